// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whether a disk is the reason. libalpm takes a file that it cannot create for one that needs no
 * more than a warning, and of a full disk it says "write failed".
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

/* The file system on which PATH is or will be. */
static int stat_fs(int root_fd, const char *path, struct statvfs *ret)
{
	_cleanup_free_ char *at = kp_strdup(path);

	for (;;) {
		_cleanup_close_ int fd = kp_open_in(root_fd, at, O_PATH, 0);
		char *up;

		if (fd >= 0)
			return fstatvfs(fd, ret) < 0 ? -errno : 0;
		if (fd != -ENOENT || !strcmp(at, "/"))
			return fd;
		up = kp_path_dir(at);
		free(at);
		at = up;
	}
}

int kp_alpm_disk_check(int root_fd, char *const *paths, uint64_t size, struct kp_err *err)
{
	kp_strv_foreach(path, paths) {
		struct statvfs st;

		if (stat_fs(root_fd, *path, &st) < 0)
			continue;
		if (st.f_flag & ST_RDONLY)
			return kp_err_set(err, -EROFS,
					  "'%s' is on a read-only file system", *path);
		if ((uint64_t)st.f_bavail * st.f_frsize < size)
			return kp_err_set(err, -ENOSPC, "no space left for '%s'", *path);
	}
	return 0;
}
