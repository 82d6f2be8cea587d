// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "dpkg.h"

#define INFO KP_DPKG_DIR "/info"
#define MAX_LIST (64 * 1024 * 1024) /* bytes; real ones stay below 3 MiB */

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

/* Reads one list after the other into the same memory. */
struct reader {
	int root_fd, info_fd;
	char *text;
	size_t len, alloc;
};

static void reader_clear(struct reader *r)
{
	kp_closep(&r->info_fd);
	free(r->text);
}

static int reader_open(struct reader *r, int root_fd, struct kp_err *err)
{
	r->root_fd = root_fd;
	r->info_fd = kp_open_in(root_fd, INFO, O_RDONLY | O_DIRECTORY, 0);
	if (r->info_fd >= 0)
		return 0;
	kp_err_sys(err, r->info_fd, "open '%s'", INFO);
	return -EIO;
}

/* Most packages have one: one openat() in the directory; a link (dpkg makes none) is
 * resolved inside of the root. */
static int open_list(const struct reader *r, const char *name)
{
	int fd = openat(r->info_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno == ELOOP) {
		_cleanup_free_ char *path = kp_path_join(INFO, name);

		return kp_open_in(r->root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	}
	return fd < 0 ? -errno : fd;
}

static int read_all(struct reader *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > MAX_LIST)
		return -EFBIG;
	if ((size_t)st.st_size > r->alloc) {
		r->alloc = (size_t)st.st_size * 2;
		r->text = kp_reallocarray(r->text, r->alloc, 1);
	}
	/* dpkg replaces its lists and never writes to one that is in place. */
	for (r->len = 0; r->len < (size_t)st.st_size;) {
		ssize_t n = read(fd, r->text + r->len, (size_t)st.st_size - r->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		r->len += (size_t)n;
	}
	return 0;
}

/* The text of a package's list. -ENOENT: there is none. */
static int read_list(struct reader *r, const struct kp_dpkg_pkg *pkg, struct kp_err *err)
{
	_cleanup_free_ char *plain = kp_strf("%s.list", pkg->name), *arch = NULL;
	_cleanup_close_ int fd = -ENOENT;
	const char *name = plain;
	int rc;

	/* A database that was never converted to multiarch has the plain name for all. */
	if (pkg->multi_arch_same && pkg->arch) {
		name = arch = kp_strf("%s:%s.list", pkg->name, pkg->arch);
		fd = open_list(r, name);
	}
	if (fd == -ENOENT) {
		name = plain;
		fd = open_list(r, name);
	}
	if (fd == -ENOENT)
		return fd;
	rc = fd < 0 ? fd : read_all(r, fd);
	if (rc < 0) {
		kp_err_sys(err, rc, "read '%s/%s'", INFO, name);
		return -EIO;
	}
	/* As dpkg: every path ends with a newline. */
	if (r->len && (r->text[r->len - 1] != '\n' || memchr(r->text, '\0', r->len)))
		return kp_err_set(err, -EIO, "%s/%s is damaged or cut off", INFO, name);
	return 0;
}

int kp_dpkg_lists_walk(int root_fd, const struct kp_dpkg_status *st, kp_dpkg_list_fn *fn,
		       void *data, struct kp_err *err)
{
	_cleanup_(reader_clear) struct reader r = { .info_fd = -1 };
	int rc = reader_open(&r, root_fd, err);

	for (size_t i = 0; i < st->n && rc >= 0; i++) {
		if (!kp_dpkg_pkg_has_files(&st->pkgs[i]))
			continue;
		rc = read_list(&r, &st->pkgs[i], err);
		if (rc == -ENOENT) /* dpkg itself goes on: the package has no files */
			rc = 0;
		else if (rc == 0)
			rc = fn(&st->pkgs[i], r.text, r.len, data);
	}
	return rc;
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

/* The paths in a list that are no other path's parent. */
static char **regular_files(const char *text, size_t len)
{
	_cleanup_strv_ char **paths = NULL, **files = NULL;
	_cleanup_free_ bool *is_parent = NULL;
	const char *p = text, *line;
	size_t line_len, n;

	while (kp_dpkg_list_next(&p, text + len, &line, &line_len))
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
	return kp_steal(&files);
}

int kp_dpkg_list_files(int root_fd, const struct kp_dpkg_pkg *pkg, char ***ret,
		       struct kp_err *err)
{
	_cleanup_(reader_clear) struct reader r = { .info_fd = -1 };
	int rc = reader_open(&r, root_fd, err);

	if (!rc)
		rc = read_list(&r, pkg, err);
	if (!rc)
		*ret = regular_files(r.text, r.len);
	return rc;
}
