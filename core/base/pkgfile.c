// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/pkgfile.h"

/* Whatever the name is, this one is not too long. */
#define TEMP "package.new"

int kp_pkgfile_create(struct kp_pkgfile *f, int dir_fd, const char *name,
		      struct kp_err *err)
{
	int fd = openat(dir_fd, TEMP,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return kp_err_sys(err, -errno, "create '%s'", TEMP);
	*f = (struct kp_pkgfile){
		.dir_fd = dir_fd,
		.fd = fd,
		.name = kp_strdup(name),
	};
	return 0;
}

int kp_pkgfile_publish(struct kp_pkgfile *f, char **ret_name, struct kp_err *err)
{
	if (fsync(f->fd) < 0)
		return kp_err_sys(err, -errno, "write package");
	if (renameat(f->dir_fd, TEMP, f->dir_fd, f->name) < 0)
		return kp_err_sys(err, -errno, "rename '%s'", TEMP);
	*ret_name = kp_steal(&f->name);
	return 0;
}

void kp_pkgfile_close(struct kp_pkgfile *f)
{
	if (f->fd >= 0)
		close(kp_steal_fd(&f->fd));
	if (f->name)
		unlinkat(f->dir_fd, TEMP, 0);
	free(kp_steal(&f->name));
}
