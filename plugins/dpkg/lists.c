// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "dpkg.h"

#define INFO KP_DPKG_DIR "/info"

int kp_dpkg_list_next(const char **p, const char *end, const char **ret, size_t *ret_len)
{
	const char *nl;

	if (*p >= end)
		return 0;
	nl = memchr(*p, '\n', (size_t)(end - *p));
	*ret = *p;
	*ret_len = (size_t)(nl - *p);
	*p = nl + 1;
	return 1;
}

/* Open a file of info/ that is there for most packages: one openat() in the directory; a
 * link (dpkg makes none) is resolved inside of the root. */
static int open_list(int root_fd, int info_fd, const char *name)
{
	int fd = openat(info_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno == ELOOP) {
		_cleanup_free_ char *path = kp_path_join(INFO, name);

		return kp_open_in(root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	}
	return fd < 0 ? -errno : fd;
}

/* The text of a package's list. -ENOENT: there is none. */
static int read_list(int root_fd, int info_fd, const struct kp_dpkg_pkg *pkg, char **ret,
		     size_t *ret_len, struct kp_err *err)
{
	_cleanup_free_ char *plain = kp_strf("%s.list", pkg->name), *arch = NULL,
			    *text = NULL;
	_cleanup_close_ int fd = -ENOENT;
	const char *name = plain;
	size_t len;
	int rc;

	/* A database that was never converted to multiarch has the plain name for all. */
	if (pkg->multi_arch_same && pkg->arch) {
		name = arch = kp_strf("%s:%s.list", pkg->name, pkg->arch);
		fd = open_list(root_fd, info_fd, name);
	}
	if (fd == -ENOENT) {
		name = plain;
		fd = open_list(root_fd, info_fd, name);
	}
	if (fd == -ENOENT)
		return fd;
	rc = fd < 0 ? fd : kp_read_fd(fd, 0, &text, &len);
	if (rc < 0) {
		kp_err_sys(err, rc, "read '%s/%s'", INFO, name);
		return -EIO;
	}
	if (len && text[len - 1] != '\n')
		return kp_err_set(err, -EIO, "%s/%s is cut off", INFO, name);
	*ret = kp_steal(&text);
	*ret_len = len;
	return 0;
}

static int open_info(int root_fd, struct kp_err *err)
{
	int fd = kp_open_in(root_fd, INFO, O_RDONLY | O_DIRECTORY, 0);

	if (fd >= 0)
		return fd;
	kp_err_sys(err, fd, "open '%s'", INFO);
	return -EIO;
}

int kp_dpkg_lists_walk(int root_fd, const struct kp_dpkg_status *st, kp_dpkg_list_fn *fn,
		       void *data, struct kp_err *err)
{
	_cleanup_close_ int info_fd = open_info(root_fd, err);

	if (info_fd < 0)
		return info_fd;
	for (size_t i = 0; i < st->n; i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		int rc;

		if (!kp_dpkg_pkg_has_files(&st->pkgs[i]))
			continue;
		rc = read_list(root_fd, info_fd, &st->pkgs[i], &text, &len, err);
		if (rc == -ENOENT) /* dpkg itself goes on: the package has no files */
			continue;
		if (rc < 0)
			return rc;
		rc = fn(&st->pkgs[i], text, len, data);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Index of the directory that PATH lies in; SIZE_MAX: the list does not have it. */
static size_t find_parent(char **paths, size_t n, const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir =
		slash ? kp_strndup(path, (size_t)(slash - path)) : NULL;
	char **found = dir ? bsearch(&dir, paths, n, sizeof(*paths), by_bytes) : NULL;

	return found ? (size_t)(found - paths) : SIZE_MAX;
}

int kp_dpkg_list_files(int root_fd, const struct kp_dpkg_pkg *pkg, char ***ret,
		       struct kp_err *err)
{
	_cleanup_close_ int info_fd = open_info(root_fd, err);
	_cleanup_strv_ char **paths = NULL, **files = NULL;
	_cleanup_free_ bool *is_parent = NULL;
	_cleanup_free_ char *text = NULL;
	const char *p, *line;
	size_t len, line_len, n;
	int rc;

	if (info_fd < 0)
		return info_fd;
	rc = read_list(root_fd, info_fd, pkg, &text, &len, err);
	if (rc < 0)
		return rc;
	for (p = text; kp_dpkg_list_next(&p, text + len, &line, &line_len);)
		kp_strv_take(&paths, kp_strndup(line, line_len));
	kp_strv_sort(paths);
	n = kp_strv_len(paths);
	is_parent = kp_calloc(n + 1, sizeof(*is_parent));
	for (size_t i = 0; i < n; i++) {
		size_t parent = find_parent(paths, n, paths[i]);

		if (parent != SIZE_MAX)
			is_parent[parent] = true;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_parent[i] && strcmp(paths[i], "/."))
			kp_strv_add(&files, paths[i]);
	*ret = kp_steal(&files);
	return 0;
}
