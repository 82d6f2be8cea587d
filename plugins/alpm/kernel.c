// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kinds of kernels: /usr/lib/modules/RELEASE/pkgbase names the one that a release is of
 * ("linux", "linux-lts"). The packages of a kind replace each other.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

#define TREE "/usr/lib/modules"

char *kp_alpm_pkgbase(int root_fd, const char *kernel)
{
	_cleanup_free_ char *path = kp_strf(TREE "/%s/pkgbase", kernel), *text = NULL;

	if (kp_read_in(root_fd, path, 4096, &text, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return kp_name_ok(text) ? kp_strdup(text) : NULL;
}

/* Of a kind: its other releases' images, behind that of KERNEL. NULL: there are none. */
static char **list_images(int root_fd, const char *kernel)
{
	_cleanup_free_ char *pkgbase = kp_alpm_pkgbase(root_fd, kernel);
	_cleanup_strv_ char **names = NULL;
	char **images = NULL;

	if (!pkgbase || kp_list_in(root_fd, TREE, &names) < 0)
		return NULL;
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *other = NULL;

		if (!strcmp(*name, kernel))
			continue;
		other = kp_alpm_pkgbase(root_fd, *name);
		if (!kp_str_eq(other, pkgbase))
			continue;
		if (!images)
			kp_strv_addf(&images, TREE "/%s/vmlinuz", kernel);
		kp_strv_addf(&images, TREE "/%s/vmlinuz", *name);
	}
	return images;
}

int kp_alpm_superseded(struct kp_pkgdb *db, const char *kernel, struct kp_err *err)
{
	_cleanup_strv_ char **images = list_images(db->root_fd, kernel);
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	struct kp_owner *owners;
	size_t n = kp_strv_len(images);
	bool other_owned = false;
	int rc;

	if (!n)
		return 0;
	rc = kp_local_open(db, &local, err);
	if (rc < 0)
		return rc;
	owners = kp_calloc(n, sizeof(*owners));
	rc = kp_local_owner(db, &local, (const char *const *)images, n, owners, err);
	for (size_t i = 1; i < n; i++)
		other_owned |= owners[i].package != NULL;
	rc = rc < 0 ? rc : other_owned && !owners[0].package;
	kp_owners_free(owners, n);
	return rc;
}

int kp_alpm_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
			    struct kp_err *err)
{
	_cleanup_free_ char *pkgbase = kp_alpm_pkgbase(db->root_fd, kernel);

	(void)err;
	if (!pkgbase)
		return -ENOENT;
	/* Together: headers alone may be of a release that the kernel is not yet. */
	*ret = kp_strf("pacman -Syu %s %s-headers", pkgbase, pkgbase);
	return 0;
}
