// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

#define TEMP_TRIES 16

int kp_write_all(int fd, const void *p, size_t len)
{
	const char *s = p;

	while (len) {
		ssize_t n = write(fd, s, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s += n;
		len -= (size_t)n;
	}
	return 0;
}

char *kp_temp_name(void)
{
	uint64_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
		r = 0; /* early boot: O_EXCL guards what follows */
	return kp_strf(KP_TEMP_PREFIX "%d-%016" PRIx64, (int)getpid(), r);
}

static int sync_dir(int dir)
{
	/* Some file systems (fuse) cannot, and then have nothing to flush. */
	if (fsync(dir) < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

/* Create one directory with exactly MODE, whatever the umask. 0 also when NAME is there. */
static int make_dir(int parent, const char *name, mode_t mode, bool durable)
{
	_cleanup_close_ int fd = -1;

	if (mkdirat(parent, name, mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	/* Not by name: the parent may be writable by somebody who swaps it for a link. */
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return -errno;
	return durable ? sync_dir(parent) : 0;
}

static int make_dirs(int root_fd, const char *path, mode_t mode, bool durable,
		     struct kp_err *err)
{
	size_t end = 0, len = strlen(path);

	if (kp_is_dir_in(root_fd, path))
		return 0;
	while (len > 1 && path[len - 1] == '/')
		len--;
	while (end < len) {
		_cleanup_free_ char *prefix = NULL, *name = NULL;
		_cleanup_close_ int parent = -1;
		int rc;

		end += strspn(path + end, "/");
		end += strcspn(path + end, "/");
		prefix = kp_strndup(path, end);
		if (kp_is_dir_in(root_fd, prefix))
			continue;
		parent = kp_open_parent_in(root_fd, prefix, durable ? O_RDONLY : O_PATH,
					   &name);
		rc = parent;
		if (parent >= 0)
			rc = make_dir(parent, name, end < len ? 0755 : mode, durable);
		if (rc >= 0 && !kp_is_dir_in(root_fd, prefix))
			rc = -ENOTDIR;
		if (rc < 0)
			return kp_err_sys(err, rc, "create directory '%s'", prefix);
	}
	return 0;
}

int kp_mkdir_in(int root_fd, const char *path, mode_t mode, struct kp_err *err)
{
	return make_dirs(root_fd, path, mode, false, err);
}

int kp_mkdir_durably_in(int root_fd, const char *path, struct kp_err *err)
{
	return make_dirs(root_fd, path, 0755, true, err);
}

/* Create a file nobody else uses in DIR; *ret_name to be freed. */
static int create_temp(int dir, char **ret_name)
{
	for (int i = 0; i < TEMP_TRIES; i++) {
		_cleanup_free_ char *name = kp_temp_name();
		int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (fd >= 0) {
			*ret_name = kp_steal(&name);
			return fd;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int fill(int fd, const void *data, size_t len, mode_t mode, bool durable)
{
	int rc = kp_write_all(fd, data, len);

	if (rc < 0)
		return rc;
	if (fchmod(fd, mode) < 0 || (durable && fsync(fd) < 0))
		return -errno;
	return 0;
}

static int replace(int root_fd, const char *path, const void *data, size_t len,
		   mode_t mode, bool durable, struct kp_err *err)
{
	_cleanup_free_ char *name = NULL, *temp = NULL;
	_cleanup_close_ int dir = -1, fd = -1;
	int rc;

	dir = kp_open_parent_in(root_fd, path, O_RDONLY, &name);
	if (dir < 0)
		return kp_err_sys(err, dir, "write '%s': open its directory", path);
	fd = create_temp(dir, &temp);
	if (fd < 0)
		return kp_err_sys(err, fd, "write '%s': create a temporary file", path);
	rc = fill(fd, data, len, mode, durable);
	if (!rc && renameat(dir, temp, dir, name) < 0)
		rc = -errno;
	if (rc < 0) {
		unlinkat(dir, temp, 0);
		return kp_err_sys(err, rc, "write '%s'", path);
	}
	rc = durable ? sync_dir(dir) : 0;
	if (rc < 0)
		return kp_err_sys(err, rc, "write '%s': flush its directory", path);
	return 0;
}

int kp_write_in(int root_fd, const char *path, const void *data, size_t len, mode_t mode,
		struct kp_err *err)
{
	return replace(root_fd, path, data, len, mode, true, err);
}

int kp_write_cache_in(int root_fd, const char *path, const void *data, size_t len,
		      mode_t mode, struct kp_err *err)
{
	return replace(root_fd, path, data, len, mode, false, err);
}

int kp_symlink_in(int root_fd, const char *target, const char *path, struct kp_err *err)
{
	_cleanup_free_ char *name = NULL, *temp = NULL, *old = NULL;
	_cleanup_close_ int dir = -1;
	int rc = 0;

	if (!kp_readlink_in(root_fd, path, &old) && !strcmp(old, target))
		return 0;
	dir = kp_open_parent_in(root_fd, path, O_RDONLY, &name);
	if (dir < 0)
		return kp_err_sys(err, dir, "create link '%s': open its directory", path);
	for (int i = 0; i < TEMP_TRIES; i++) {
		free(temp);
		temp = kp_temp_name();
		rc = symlinkat(target, dir, temp) < 0 ? -errno : 0;
		if (rc != -EEXIST)
			break;
	}
	if (rc < 0)
		return kp_err_sys(err, rc, "create link '%s'", path);
	if (renameat(dir, temp, dir, name) < 0) {
		rc = -errno;
		unlinkat(dir, temp, 0);
		return kp_err_sys(err, rc, "create link '%s'", path);
	}
	rc = sync_dir(dir);
	if (rc < 0)
		return kp_err_sys(err, rc, "create link '%s': flush its directory", path);
	return 0;
}

static int unlink_with(int root_fd, const char *path, int flags)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int dir = kp_open_parent_in(root_fd, path, O_PATH, &name);

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	if (unlinkat(dir, name, flags) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int kp_unlink_in(int root_fd, const char *path)
{
	return unlink_with(root_fd, path, 0);
}

int kp_rmdir_in(int root_fd, const char *path)
{
	int rc = unlink_with(root_fd, path, AT_REMOVEDIR);

	return rc == -ENOTEMPTY || rc == -EEXIST ? 0 : rc;
}

int kp_rename_in(int root_fd, const char *from, const char *to)
{
	_cleanup_free_ char *old = NULL, *new = NULL;
	_cleanup_close_ int from_dir = -1, to_dir = -1;

	from_dir = kp_open_parent_in(root_fd, from, O_PATH, &old);
	if (from_dir < 0)
		return from_dir;
	to_dir = kp_open_parent_in(root_fd, to, O_PATH, &new);
	if (to_dir < 0)
		return to_dir;
	return renameat(from_dir, old, to_dir, new) < 0 ? -errno : 0;
}

int kp_swap_in(int root_fd, const char *from, const char *to, struct kp_err *err)
{
	_cleanup_free_ char *old = NULL, *new = NULL;
	_cleanup_close_ int from_dir = kp_open_parent_in(root_fd, from, O_PATH, &old);
	_cleanup_close_ int to_dir = kp_open_parent_in(root_fd, to, O_PATH, &new);

	if (from_dir < 0 || to_dir < 0)
		return kp_err_sys(err, from_dir < 0 ? from_dir : to_dir, "open '%s'", to);
	if (!renameat2(from_dir, old, to_dir, new, RENAME_EXCHANGE))
		return 0;
	if (errno != ENOENT) { /* a file system that cannot exchange */
		int rc = kp_rm_rf_in(root_fd, to, err);

		if (rc < 0)
			return rc;
	}
	if (renameat(from_dir, old, to_dir, new) < 0)
		return kp_err_sys(err, -errno, "rename '%s' to '%s'", from, to);
	return 0;
}

int kp_sync_dir_in(int root_fd, const char *path)
{
	_cleanup_close_ int dir = kp_open_in(root_fd, path, O_RDONLY | O_DIRECTORY, 0);

	return dir < 0 ? dir : sync_dir(dir);
}
