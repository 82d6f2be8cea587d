// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * First all are stopped, until a look finds none that runs: what is stopped has no further
 * children. Then all are killed.
 *
 * Sources: proc(5), prctl(2).
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "lib/sandbox-kill.h"
#include "lib/sandbox-means.h"

#define STOP_MS 1000   /* for stopping those that run; then they are killed as they are */
#define KILLER_MS 5000 /* for the process that does it */
#define WAIT_MS 20000  /* for those that do not die */
#define STOPPED_OR_DEAD "TtZXx"

struct process {
	pid_t pid, parent;
	char state;
	bool below;
};

struct processes {
	struct process *list; /* by pid */
	size_t n, room;
};

static int compare(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static void add(struct processes *all, const char *pid)
{
	_cleanup_free_ char *path = kp_strf("/proc/%s/stat", pid);
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	struct process p = { .pid = atoi(pid) };
	char line[512], *end;

	/* The name, which they choose, is in parentheses. */
	if (!f || !fgets(line, sizeof(line), f) || !(end = strrchr(line, ')')) ||
	    sscanf(end + 1, " %c %d", &p.state, &p.parent) != 2)
		return;
	KP_GROW(all->list, all->n, all->room);
	all->list[all->n++] = p;
}

static void mark(struct processes *all, pid_t above)
{
	bool again = true;

	/* Most have a higher number than their parent: this ends soon. */
	while (again) {
		again = false;
		for (size_t i = 0; i < all->n; i++) {
			struct process *p = &all->list[i];
			const struct process key = { .pid = p->parent }, *parent;

			if (p->below || p->pid == getpid())
				continue;
			parent = bsearch(&key, all->list, all->n, sizeof(key), compare);
			if (p->parent != above && !(parent && parent->below))
				continue;
			p->below = true;
			again = true;
		}
	}
}

/* Send SIG to those below ABOVE that are neither stopped nor dead, or with ALL also to those that
 * are stopped. How many there were. */
static size_t send(pid_t above, int sig, bool all)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct processes ps = { 0 };
	struct dirent *e;
	size_t n = 0;

	while (proc && (e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			add(&ps, e->d_name);
	qsort(ps.list, ps.n, sizeof(*ps.list), compare);
	mark(&ps, above);
	for (size_t i = 0; i < ps.n; i++) {
		const struct process *p = &ps.list[i];

		if (p->below && (all || !strchr(STOPPED_OR_DEAD, p->state)))
			n += !kill(p->pid, sig);
	}
	free(ps.list);
	return n;
}

static void pause_ms(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void kill_all(pid_t above)
{
	int64_t until = kp_now_ms() + STOP_MS;

	while (send(above, SIGSTOP, false) && kp_now_ms() < until)
		;
	send(above, SIGKILL, true);
}

/* In a process that may signal them, and they not it: what counts is the effective id of who
 * does, the real and the saved one of whom it reaches. No such process is waited for for long. */
static void kill_once(bool as_user, uid_t uid)
{
	int64_t until = kp_now_ms() + KILLER_MS;
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		if (!as_user || !kp_means_set_ids(kp_means_guard(), uid))
			kill_all(self);
		_exit(0);
	}
	while (pid > 0 && !waitpid(pid, NULL, WNOHANG) && kp_now_ms() < until)
		pause_ms();
	if (kp_now_ms() >= until && pid > 0)
		kill(pid, SIGKILL);
}

static bool reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		;
	return pid < 0;
}

int kp_kill_below(bool as_user, uid_t uid, struct kp_err *err)
{
	int64_t until = kp_now_ms() + WAIT_MS;

	for (; !reap(); pause_ms()) {
		if (kp_now_ms() >= until)
			return kp_err_set(err, -EBUSY,
					  "a process of uid %u cannot be killed", uid);
		kill_once(as_user, uid);
	}
	return 0;
}
