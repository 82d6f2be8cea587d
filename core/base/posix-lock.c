// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/posix-lock.h"

int kp_posix_lock_query(int root_fd, const char *path, struct kp_posix_lock *ret,
			struct kp_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_RDONLY, 0);

	*ret = (struct kp_posix_lock){ 0 };
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	if (fcntl(fd, F_GETLK, &lock) < 0)
		return kp_err_sys(err, -errno, "query the lock '%s'", path);
	ret->held = lock.l_type != F_UNLCK;
	ret->pid = lock.l_pid > 0 ? lock.l_pid : 0;
	return 0;
}

char *kp_posix_lock_holder(const struct kp_posix_lock *lock)
{
	return lock->pid ? kp_proc_name(lock->pid)
			 : kp_strdup("a process outside of this container");
}
