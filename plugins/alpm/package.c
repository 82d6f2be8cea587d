// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a package file says that it is and has. Reads only files in the form that write.c gives
 * them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* "/usr/...", to be freed; NULL: it is nothing of the system's, or a directory. */
static char *file_path(struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e);

	return !path || path[0] == '.' || archive_entry_filetype(e) == AE_IFDIR
		       ? NULL
		       : kp_strf("/%s", path);
}

static int read_members(struct archive *a, struct kp_alpm_package *pkg,
			struct kp_err *err)
{
	struct archive_entry *e;
	int rc;

	while ((rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);
		char *path = file_path(e);
		int r = 0;

		if (!name)
			return kp_err_set(err, -EINVAL, "a member has no name");
		if (!strcmp(name, ".PKGINFO"))
			r = read_pkginfo(a, e, pkg, err);
		if (path) {
			kp_strv_take(&pkg->files, path);
			pkg->size += (uint64_t)archive_entry_size(e);
		}
		if (r < 0)
			return r;
	}
	return rc == ARCHIVE_EOF ? 0 : archive_err(a, err, "read");
}

static int open_package(struct archive *a, int fd, struct kp_err *err)
{
	if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_open_fd(a, fd, 64 * 1024) != ARCHIVE_OK)
		return archive_err(a, err, "open");
	return 0;
}

int kp_alpm_package_load(int root_fd, const char *file, struct kp_alpm_package *ret,
			 struct kp_err *err)
{
	_cleanup_(kp_alpm_package_clear) struct kp_alpm_package pkg = { 0 };
	_cleanup_archive_ struct archive *a = archive_read_new();
	_cleanup_close_ int fd = kp_open_in(root_fd, file, O_RDONLY, 0);
	int rc;

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", file);
	rc = open_package(a, fd, err);
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

static bool has_content(struct archive *a, int fd)
{
	char want[16 * 1024], got[sizeof(want)];
	la_ssize_t n;

	while ((n = archive_read_data(a, want, sizeof(want))) > 0)
		for (la_ssize_t done = 0, step; done < n; done += step) {
			step = read(fd, got, (size_t)(n - done));
			if (step <= 0 || memcmp(got, want + done, (size_t)step) != 0)
				return false;
		}
	return n == 0 && read(fd, got, 1) == 0;
}

static bool is_placed(int root_fd, struct archive *a, struct archive_entry *e,
		      const char *path)
{
	struct timespec times[] = { { .tv_nsec = UTIME_OMIT },
				    { .tv_sec = archive_entry_mtime(e) } };
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (kp_lstat_in(root_fd, path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	fd = kp_open_in(root_fd, path, O_RDONLY, 0);
	return fd >= 0 && has_content(a, fd) &&
	       (st.st_mtim.tv_sec == times[1].tv_sec || futimens(fd, times) == 0);
}

bool kp_alpm_package_is_placed(int root_fd, const char *file)
{
	_cleanup_archive_ struct archive *a = archive_read_new();
	_cleanup_close_ int fd = kp_open_in(root_fd, file, O_RDONLY, 0);
	struct archive_entry *e;
	int rc;

	if (fd < 0 || open_package(a, fd, NULL) < 0)
		return false;
	while ((rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		_cleanup_free_ char *path = file_path(e);

		if (path && !is_placed(root_fd, a, e, path))
			return false;
	}
	return rc == ARCHIVE_EOF;
}
