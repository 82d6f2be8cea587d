// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"

#define LONGEST_STEP_MS 100
#define HOLDER_MAX 200

static void sleep_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	/* A signal that is handled cuts the step short; the deadline still holds. */
	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

/* What the holder wrote: "PID what"; to be freed. */
static char *holder(int fd)
{
	char text[HOLDER_MAX + 1];
	ssize_t n = pread(fd, text, HOLDER_MAX, 0);

	if (n <= 0)
		return kp_strdup("another process");
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	kp_str_printable(text);
	return kp_strf("process %s", text);
}

static int open_file(int root_fd, const char *path, struct kp_err *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	/* Not readable by others: who can open it can hold the lock against us. */
	fd = kp_open_in(root_fd, path,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd == -ENOENT) {
		_cleanup_free_ char *dir = kp_path_dir(path);
		int rc = kp_mkdir_in(root_fd, dir, 0755, err);

		if (rc < 0)
			return rc;
		fd = kp_open_in(root_fd, path,
				O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
				0600);
	}
	if (fd < 0)
		return kp_err_sys(err, fd, "open lock file '%s'", path);
	if (fstat(fd, &st) < 0)
		return kp_err_sys(err, -errno, "open lock file '%s'", path);
	if (!S_ISREG(st.st_mode))
		return kp_err_set(err, -EINVAL,
				  "lock file '%s' is not a regular file; remove it",
				  path);
	return kp_steal_fd(&fd);
}

/* Is FD still the file that others would find at PATH? */
static bool is_current(int root_fd, const char *path, int fd)
{
	struct stat mine, there;

	return !fstat(fd, &mine) && !kp_lstat_in(root_fd, path, &there) &&
	       mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

static void write_holder(int fd, const char *what)
{
	_cleanup_free_ char *text = kp_strf("%d %s\n", (int)getpid(), what);

	/* Only words for those who wait: the lock counts without them. */
	if (!ftruncate(fd, 0))
		(void)!pwrite(fd, text, strlen(text), 0);
}

int kp_lock_take(int root_fd, const char *path, const char *what, int timeout_ms,
		 int *ret_fd, struct kp_err *err)
{
	_cleanup_close_ int fd = -1;
	int64_t end = kp_now_ms() + timeout_ms, step = 1;
	bool told = false;

	for (;;) {
		_cleanup_free_ char *who = NULL;
		int64_t left;

		if (fd < 0)
			fd = open_file(root_fd, path, err);
		if (fd < 0)
			return fd;
		if (!flock(fd, LOCK_EX | LOCK_NB)) {
			if (is_current(root_fd, path, fd))
				break;
			/* Somebody removed the file: a lock on it keeps nobody out. */
			close(kp_steal_fd(&fd));
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return kp_err_sys(err, -errno, "lock '%s'", path);

		who = holder(fd);
		left = end - kp_now_ms();
		if (left <= 0)
			return kp_err_set(err, -EBUSY, "lock '%s' is held by %s", path,
					  who);
		if (!told)
			kp_info("waiting for lock '%s', held by %s, at most %lld s", path,
				who, (long long)(timeout_ms + 999) / 1000);
		told = true;
		sleep_ms(step < left ? step : left);
		step = step * 2 < LONGEST_STEP_MS ? step * 2 : LONGEST_STEP_MS;
	}
	write_holder(fd, what);
	*ret_fd = kp_steal_fd(&fd);
	return 0;
}
