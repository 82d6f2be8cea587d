// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a package file says that it is and has. Reads only files in the form that write.c gives
 * them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "../archive-util.h"
#include "pacman.h"

#define MAX_PKGINFO (1024 * 1024) /* bytes; one of ours has less than two KiB */

void kp_alpm_package_clear(struct kp_alpm_package *pkg)
{
	free(pkg->name);
	free(pkg->version);
	free(pkg->desc);
	kp_strv_free(pkg->files);
	free(pkg->sizes);
	free(pkg->times);
	*pkg = (struct kp_alpm_package){ 0 };
}

/* "key = value" lines. */
static void take_pkginfo(struct kp_alpm_package *pkg, char *text)
{
	const struct {
		const char *key;
		char **to;
	} wanted[] = {
		{ "pkgname = ", &pkg->name },
		{ "pkgver = ", &pkg->version },
		{ "pkgdesc = ", &pkg->desc },
	};
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n")))
		for (size_t i = 0; i < KP_ARRAY_SIZE(wanted); i++)
			if (kp_str_starts(line, wanted[i].key) && !*wanted[i].to)
				*wanted[i].to = kp_strdup(line + strlen(wanted[i].key));
}

static int read_pkginfo(struct archive *a, struct archive_entry *e,
			struct kp_alpm_package *pkg, struct kp_err *err)
{
	la_int64_t size = archive_entry_size(e);
	_cleanup_free_ char *text = NULL;

	if (size < 0 || size > MAX_PKGINFO)
		return kp_err_set(err, -EFBIG, ".PKGINFO is too long");
	text = kp_calloc((size_t)size + 1, 1);
	if (archive_read_data(a, text, (size_t)size) != size)
		return archive_err(a, err, ".PKGINFO");
	take_pkginfo(pkg, text);
	return 0;
}

static void add_file(struct kp_alpm_package *pkg, struct archive_entry *e)
{
	kp_strv_addf(&pkg->files, "/%s", archive_entry_pathname(e));
	pkg->sizes = kp_reallocarray(pkg->sizes, pkg->n_files + 1, sizeof(*pkg->sizes));
	pkg->times = kp_reallocarray(pkg->times, pkg->n_files + 1, sizeof(*pkg->times));
	pkg->sizes[pkg->n_files] = (uint64_t)archive_entry_size(e);
	pkg->times[pkg->n_files++] = archive_entry_mtime(e);
}

static int read_members(struct archive *a, struct kp_alpm_package *pkg,
			struct kp_err *err)
{
	struct archive_entry *e;
	int rc;

	while ((rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		const char *path = archive_entry_pathname(e);
		int r = 0;

		if (!path)
			return kp_err_set(err, -EINVAL, "a member has no name");
		if (!strcmp(path, ".PKGINFO"))
			r = read_pkginfo(a, e, pkg, err);
		else if (path[0] != '.' && archive_entry_filetype(e) != AE_IFDIR)
			add_file(pkg, e);
		if (r < 0)
			return r;
	}
	return rc == ARCHIVE_EOF ? 0 : archive_err(a, err, "read");
}

int kp_alpm_package_load(int root_fd, const char *file, struct kp_alpm_package *ret,
			 struct kp_err *err)
{
	_cleanup_(kp_alpm_package_clear) struct kp_alpm_package pkg = { 0 };
	_cleanup_archive_ struct archive *a = archive_read_new();
	_cleanup_close_ int fd = kp_open_in(root_fd, file, O_RDONLY, 0);
	int rc = 0;

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", file);
	if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_open_fd(a, fd, 64 * 1024) != ARCHIVE_OK)
		rc = archive_err(a, err, "open");
	if (!rc)
		rc = read_members(a, &pkg, err);
	if (!rc && (!pkg.name || !pkg.version || !pkg.desc))
		rc = kp_err_set(err, -EINVAL, "it does not say what it is");
	if (rc < 0)
		return kp_err_prefix(err, "package file '%s'", file);
	*ret = pkg;
	pkg = (struct kp_alpm_package){ 0 };
	return 0;
}
