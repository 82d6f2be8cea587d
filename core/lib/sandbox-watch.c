// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Cheap as long as all is well: one statvfs per place, one file of /proc per process. Directories
 * are only counted when so much of the disk has gone that it could be these.
 *
 * What is read was written by those inside, while they run: links are not followed, depth is
 * bounded, and all that is taken are numbers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox-watch.h"

#define DEPTH_MAX 64
#define MIB (1ULL << 20)
/* A program that is refused more memory has some: an eighth of the limit. A process that has no user yet
 * is missed, one of a chroot that has the same user counts: an eighth of those, too. */
#define SHARE 8
/* What a tree counts that is too deep to be counted: more than any limit. */
#define TOO_DEEP (1ULL << 60)

struct place {
	const char *path; /* of a directory; NULL: a file, whose size the kernel limits */
	int fd;
	uint64_t free;	      /* bytes, when it began */
	uint64_t keep;	      /* bytes that have to stay free */
	uint64_t keep_inodes; /* likewise */
	uint64_t count_at;    /* bytes gone at which to count what is in it */
};

struct kp_watch {
	const struct kp_limits *limits;
	uid_t uid;
	bool all;
	struct place *places;
	size_t n;
	uint64_t largest; /* bytes of memory that one process had */
	/* Processes and threads: what there were at the last look, how many had been
	 * started by then, what there can have been at once since the first. */
	uint64_t tasks, started, tasks_most;
};

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t bytes_free(const struct statvfs *st)
{
	return (uint64_t)st->f_bavail * st->f_frsize;
}

/* How many were ever started here, process 1 of a pid namespace included: the last number of loadavg,
 * which is the last pid that was given. 0: not known. */
static uint64_t tasks_started(void)
{
	_cleanup_close_ int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	const char *last;

	if (fd < 0 || kp_read_fd(fd, 0, &text, NULL) < 0)
		return 0;
	last = strrchr(text, ' ');
	return last ? strtoull(last, NULL, 10) : 0;
}

/* Takes FD, which may be negative. */
static void add_place(struct kp_watch *w, const char *path, int fd)
{
	struct statvfs st;

	if (fd < 0)
		return;
	if (fstatvfs(fd, &st)) {
		close(fd);
		return;
	}
	w->places[w->n++] = (struct place){
		.path = path,
		.fd = fd,
		/* Where there is not even that much, half of it: a build may need little. */
		.free = bytes_free(&st),
		.keep = lesser(w->limits->keep_free, bytes_free(&st) / 2),
		.keep_inodes = lesser(st.f_files / 64, st.f_favail / 2),
		.count_at = w->limits->disk,
	};
}

struct kp_watch *kp_watch_new(const struct kp_sandbox *sb, const struct kp_proc *proc,
			      const struct kp_limits *limits, uid_t uid, bool all)
{
	const int outputs[] = { proc->out_fd, proc->err_fd };
	struct kp_watch *w = kp_calloc(1, sizeof(*w));
	struct stat st;

	*w = (struct kp_watch){ .limits = limits, .uid = uid, .all = all };
	w->places = kp_calloc(sb->n_binds + KP_ARRAY_SIZE(outputs), sizeof(*w->places));
	for (size_t i = 0; i < sb->n_binds; i++)
		if (sb->binds[i].writable)
			add_place(w, sb->binds[i].from,
				  open(sb->binds[i].at,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	for (size_t i = 0; i < KP_ARRAY_SIZE(outputs); i++)
		if (outputs[i] && !fstat(outputs[i], &st) && S_ISREG(st.st_mode))
			add_place(w, NULL, fcntl(outputs[i], F_DUPFD_CLOEXEC, 3));
	w->started = tasks_started();
	return w;
}

void kp_watch_free(struct kp_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		close(w->places[i].fd);
	free(w->places);
	free(w);
}

/* ---- disk */

/* Takes FD. */
static uint64_t tree_size(int fd, int depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	uint64_t size = 0;
	struct dirent *e;
	struct stat st;

	if (!dir) {
		close(fd);
		return 0;
	}
	while (size < TOO_DEEP && (e = readdir(dir))) {
		int sub;

		if (kp_str_eq(e->d_name, "..") ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		size += (uint64_t)st.st_blocks * 512;
		if (!S_ISDIR(st.st_mode) || kp_str_eq(e->d_name, "."))
			continue;
		if (depth == DEPTH_MAX)
			return TOO_DEEP;
		sub = openat(dirfd(dir), e->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			size += tree_size(sub, depth + 1);
	}
	return size;
}

static uint64_t size_of_all(const struct kp_watch *w)
{
	uint64_t size = 0;

	for (size_t i = 0; size < TOO_DEEP && i < w->n; i++) {
		int fd = openat(w->places[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			size += tree_size(fd, 0);
	}
	return size;
}

static int look_at_disk(const struct kp_watch *w, struct place *p, struct kp_err *err)
{
	uint64_t left, gone, size;
	struct statvfs st;

	if (fstatvfs(p->fd, &st))
		return 0;
	left = bytes_free(&st);
	if (left < p->keep || (st.f_files && st.f_favail < p->keep_inodes))
		return kp_err_set(
			err, -ENOSPC,
			"only %llu MiB and %llu files are left on the disk of "
			"'%s'; make room there, or lower keep_free in " KP_SYSCONF_DIR
			"/kmodpkg/kmodpkg.conf",
			(unsigned long long)(left / MIB), (unsigned long long)st.f_favail,
			p->path ?: "its output");
	gone = p->free > left ? p->free - left : 0;
	if (!w->limits->disk || gone <= p->count_at)
		return 0;
	size = size_of_all(w);
	if (size > w->limits->disk)
		return kp_limit_met(w->limits, KP_LIMIT_DISK, err);
	/* Somebody else's. They cannot have reached it before this much more is gone. */
	p->count_at = gone + w->limits->disk - size;
	return 0;
}

/* ---- processes */

static uint64_t number_of(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? strtoull(line + strlen(key), NULL, 10) : 0;
}

/* What there can have been at once since the last look: those of then, and all that were started. */
static void note_tasks(struct kp_watch *w)
{
	uint64_t started = tasks_started(), most = UINT64_MAX;

	/* Fewer than before: pids began anew. */
	if (started && started >= w->started)
		most = w->tasks + started - w->started;
	if (most > w->tasks_most)
		w->tasks_most = most;
	w->started = started;
}

/* Bytes of memory that are this process's own, and its threads; false: it is not one of those
 * inside. A page that several share is counted for each. */
static bool look_at_process(const struct kp_watch *w, int proc, const char *pid,
			    uint64_t *ret_bytes, uint64_t *ret_threads)
{
	_cleanup_free_ char *name = kp_strf("%s/status", pid), *text = NULL;
	_cleanup_close_ int fd = openat(proc, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || kp_read_fd(fd, 0, &text, NULL) < 0)
		return false;
	/* Not the directory's owner, which a process can make root. */
	if (!w->all && number_of(text, "\nUid:\t") != w->uid)
		return false;
	*ret_bytes =
		(number_of(text, "\nRssAnon:") + number_of(text, "\nRssShmem:")) * 1024;
	*ret_threads = number_of(text, "\nThreads:");
	return true;
}

static int look_at_processes(struct kp_watch *w, struct kp_err *err)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	uint64_t memory = 0, tasks = 0, bytes, threads;
	struct dirent *e;

	if (!w->limits->memory && !w->limits->processes)
		return 0;
	note_tasks(w);
	while (proc && (e = readdir(proc))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    atoi(e->d_name) == getpid() ||
		    !look_at_process(w, dirfd(proc), e->d_name, &bytes, &threads))
			continue;
		memory += bytes;
		tasks += threads;
		if (bytes > w->largest)
			w->largest = bytes;
	}
	w->tasks = tasks;
	if (w->limits->memory && memory > w->limits->memory)
		return kp_limit_met(w->limits, KP_LIMIT_MEMORY, err);
	if (w->limits->processes && tasks > (uint64_t)w->limits->processes)
		return kp_limit_met(w->limits, KP_LIMIT_PROCESSES, err);
	return 0;
}

void kp_watch_ended(struct kp_watch *w, const struct rusage *usage)
{
	uint64_t bytes = (uint64_t)usage->ru_maxrss * 1024;

	/* Of all that it has waited for, too. */
	if (bytes > w->largest)
		w->largest = bytes;
}

/* Does this machine refuse memory of its own accord? */
static bool refuses_memory(void)
{
	_cleanup_close_ int fd =
		open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
	char c = '0';

	return fd >= 0 && read(fd, &c, 1) == 1 && c == '2';
}

unsigned int kp_watch_met(struct kp_watch *w)
{
	const struct kp_limits *limits = w->limits;
	uint64_t enough = limits->memory / SHARE, many = (uint64_t)limits->processes;
	unsigned int met = 0;

	note_tasks(w);
	if (w->tasks_most >= many - many / SHARE)
		met |= 1U << KP_LIMIT_PROCESSES;
	if (refuses_memory())
		enough = limits->memory - enough;
	if (w->largest >= enough)
		met |= 1U << KP_LIMIT_MEMORY;
	return met;
}

int kp_watch_look(struct kp_watch *w, struct kp_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < w->n; i++)
		rc = look_at_disk(w, &w->places[i], err);
	return rc ?: look_at_processes(w, err);
}
