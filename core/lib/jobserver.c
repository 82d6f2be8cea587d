// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "lib/jobserver.h"

/* Recipes are shell scripts that use low descriptors for themselves (configure: 5 to 7),
 * and shells take some from 10 up. */
#define LOWEST_FD 100

static int open_end(const char *path, int flags)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC);
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, LOWEST_FD);

	return high < 0 ? -errno : high;
}

/* Whether a read waits belongs to the open file, which makes share, so ours has to be
 * another one of the same pipe: a pipe with a name, for as long as it takes to open it.
 * (A name in /proc would do too, where that is mounted.) */
static int open_pipe(struct kp_jobserver *js, const char *dir)
{
	_cleanup_free_ char *name = kp_temp_name(), *path = kp_path_join(dir, name);
	int rc = 0;

	if (mkfifo(path, 0600))
		return -errno;
	js->poll_fd = open_end(path, O_RDWR | O_NONBLOCK);
	/* Without that one, each of these waits for ever for somebody at the other end. */
	if (js->poll_fd >= 0)
		js->read_fd = open_end(path, O_RDONLY);
	if (js->read_fd >= 0)
		js->write_fd = open_end(path, O_WRONLY);
	if (js->write_fd < 0)
		rc = -EMFILE;
	unlink(path);
	return rc;
}

/* Never waits: those inside a build may have filled the pipe; trim sees to it later. */
static int put(const struct kp_jobserver *js, int n)
{
	for (int i = 0; i < n; i++)
		while (write(js->poll_fd, "+", 1) != 1)
			if (errno != EINTR)
				return errno == EAGAIN ? 0 : -errno;
	return 0;
}

int kp_jobserver_open(struct kp_jobserver *js, const char *dir, int n, struct kp_err *err)
{
	int rc;

	*js = (struct kp_jobserver){ -1, -1, -1, n };
	rc = open_pipe(js, dir);
	if (!rc)
		rc = put(js, n);
	if (rc < 0) {
		kp_jobserver_close(js);
		return kp_err_sys(err, rc, "set up the jobserver for %d jobs", n);
	}
	return 0;
}

void kp_jobserver_close(struct kp_jobserver *js)
{
	int *const fds[] = { &js->read_fd, &js->write_fd, &js->poll_fd };

	for (size_t i = 0; i < KP_ARRAY_SIZE(fds); i++)
		if (*fds[i] >= 0)
			close(kp_steal_fd(fds[i]));
}

int kp_jobserver_take(struct kp_jobserver *js)
{
	ssize_t n;
	char c;

	do
		n = read(js->poll_fd, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 1;
	return errno == EAGAIN ? 0 : -errno;
}

void kp_jobserver_give(struct kp_jobserver *js)
{
	(void)put(js, 1);
}

/* How many are there beyond those that nobody holds; negative: so many are not there. */
static int surplus(const struct kp_jobserver *js, int held)
{
	int there = 0;

	return ioctl(js->poll_fd, FIONREAD, &there) ? 0 : there - (js->n - held);
}

void kp_jobserver_trim(struct kp_jobserver *js, int held)
{
	int many = surplus(js, held);
	char buf[4096];
	ssize_t n = 1;

	for (; many > 0 && n > 0; many -= (int)n)
		n = read(js->poll_fd, buf,
			 (size_t)many < sizeof(buf) ? (size_t)many : sizeof(buf));
}

int kp_jobserver_restore(struct kp_jobserver *js, int held)
{
	int missing = -surplus(js, held);

	kp_jobserver_trim(js, held);
	if (missing > 0)
		(void)put(js, missing);
	return missing;
}

char *kp_jobserver_env(const struct kp_jobserver *js)
{
	/* As make writes it: a word of single letters first, here empty. */
	return kp_strf("MAKEFLAGS= -j%d --jobserver-auth=%d,%d", js->n, js->read_fd,
		       js->write_fd);
}
