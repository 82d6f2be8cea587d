// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What APT holds of our packages: they are installed automatically if their kernel is, so
 * that autoremove takes both. A module marked so beside a kernel that is not would be
 * removed by autoremove and built again by us, for ever.
 *
 * The marks are read from APT's own file; only a mark that has to be changed needs
 * libapt-pkg.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "apt/apt.h"
#include "deb822.h"
#include "dpkg.h"

#define EXTENDED_STATES "/var/lib/apt/extended_states"

/* The shim lies beside this object. -ENOENT: it or libapt-pkg is not installed. Once
 * loaded it stays: libraries of C++ are not made to be unloaded. */
static int load_apt(const struct kp_apt_ops **ret, struct kp_err *err)
{
	_cleanup_free_ char *path = NULL;
	const struct kp_apt_ops *ops;
	const char *slash;
	void *handle;
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)load_apt, &info) ||
	    !(slash = strrchr(info.dli_fname, '/')))
		return -ENOENT;
	path = kp_strf("%.*s/apt.so", (int)(slash - info.dli_fname), info.dli_fname);
	if (access(path, R_OK) < 0)
		return -ENOENT;
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return -ENOENT;
	ops = dlsym(handle, KP_APT_SYMBOL);
	if (!ops || ops->abi != KP_APT_ABI || ops->size != sizeof(*ops))
		return kp_err_set(err, -ELIBBAD, "'%s' belongs to another version", path);
	*ret = ops;
	return 0;
}

/* Names of the packages that APT has marked, sorted. An absent file: none. */
static int load_marks(int root_fd, char ***ret, struct kp_err *err)
{
	_cleanup_strv_ char **marked = NULL;
	_cleanup_free_ char *text = NULL;
	struct kp_deb822 d;
	size_t len;
	int rc;

	rc = kp_read_in(root_fd, EXTENDED_STATES, 0, &text, &len);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return kp_err_sys(err, rc, "read '%s'", EXTENDED_STATES);
	kp_deb822_init(&d, text, len, EXTENDED_STATES);
	while (kp_deb822_stanza(&d)) {
		const char *package = NULL;
		bool is_auto = false;
		char *name, *value;

		while ((rc = kp_deb822_field(&d, &name, &value, err)) > 0) {
			if (!strcasecmp(name, "Package"))
				package = value;
			else if (!strcasecmp(name, "Auto-Installed"))
				is_auto = !strcmp(value, "1");
		}
		if (rc < 0)
			return rc;
		if (package && is_auto)
			kp_strv_add(&marked, package);
	}
	*ret = kp_steal(&marked);
	return 0;
}

/*
 * Is each installed package that stands for a kernel marked? That is the owner of its
 * image or modules, and the package people install, which may have no files of its own
 * (Debian 14 has linux-image-K without, linux-binary-K and linux-modules-K with).
 */
static int kernel_is_auto(int root_fd, const struct kp_dpkg_status *st,
			  char *const *marked, const char *kernel, bool *ret,
			  struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL, **paths = NULL;
	struct kp_owner owners[3] = { 0 };
	bool any = false, all = true;
	int rc;

	kp_strv_addf(&paths, "/boot/vmlinuz-%s", kernel);
	kp_strv_addf(&paths, "/lib/modules/%s/vmlinuz", kernel);
	kp_strv_addf(&paths, "/lib/modules/%s/kernel", kernel);
	rc = kp_dpkg_owner(root_fd, st, (const char *const *)paths, KP_ARRAY_SIZE(owners),
			   owners, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < KP_ARRAY_SIZE(owners); i++) {
		if (owners[i].package)
			kp_strv_add(&names, owners[i].package);
		kp_owner_clear(&owners[i]);
	}
	kp_strv_addf(&names, "linux-image-%s", kernel);
	kp_strv_addf(&names, "linux-image-unsigned-%s", kernel);
	kp_strv_addf(&names, "linux-image-%s-unsigned", kernel);
	kp_strv_foreach(name, names) {
		const struct kp_dpkg_pkg *pkg = kp_dpkg_status_find(st, *name);

		if (!pkg || !kp_dpkg_pkg_has_files(pkg))
			continue;
		any = true;
		all = all && kp_strv_has(marked, *name);
	}
	*ret = any && all;
	return 0;
}

int kp_dpkg_settle(struct kp_pkgdb *db, const char *const *names, size_t n,
		   struct kp_err *err)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	_cleanup_strv_ char **marked = NULL, **to_mark = NULL;
	/* Kernels: to ask who owns one is to read the lists of all packages. */
	_cleanup_strv_ char **asked = NULL, **autos = NULL;
	const struct kp_apt_ops *apt;
	char error[512] = "";
	int rc;

	rc = load_marks(db->root_fd, &marked, err);
	if (rc < 0 || !marked)
		return rc;
	rc = kp_dpkg_status_load(db->root_fd, &st, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		const struct kp_dpkg_pkg *pkg = kp_dpkg_status_find(&st, names[i]);
		const char *kernel;
		bool is_auto = false;

		if (!pkg || !kp_dpkg_pkg_is_ours(pkg) || kp_strv_has(marked, names[i]))
			continue;
		kernel = pkg->fields[KP_DPKG_KERNEL];
		if (!kp_strv_has(asked, kernel)) {
			rc = kernel_is_auto(db->root_fd, &st, marked, kernel, &is_auto,
					    err);
			if (rc < 0)
				return rc;
			kp_strv_add(&asked, kernel);
			if (is_auto)
				kp_strv_add(&autos, kernel);
		}
		if (kp_strv_has(autos, kernel))
			kp_strv_add(&to_mark, names[i]);
	}
	if (!to_mark)
		return 0;
	rc = load_apt(&apt, err);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = apt->mark_auto((const char *const *)to_mark, kp_strv_len(to_mark), error,
			    sizeof(error));
	return rc < 0 ? kp_err_set(err, rc, "mark as automatically installed: %s", error)
		      : 0;
}

int kp_dpkg_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
			    struct kp_err *err)
{
	_cleanup_free_ char *package = NULL;
	const struct kp_apt_ops *apt;
	char error[512] = "";
	int rc;

	(void)db;
	rc = load_apt(&apt, err);
	if (rc < 0)
		return rc;
	rc = apt->find_headers(kernel, &package, error, sizeof(error));
	if (rc == -ENOENT)
		return rc;
	if (rc < 0)
		return kp_err_set(err, rc, "ask APT for headers: %s", error);
	*ret = kp_strf("apt install %s", package);
	return 0;
}
