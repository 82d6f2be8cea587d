// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Child processes. The only way by which this program starts another one.
 *
 * Never a shell, argv[0] is an absolute path, the environment is explicit. In the child
 * all signals are unblocked and reset to their defaults (rpm blocks and ignores them for
 * its children), stdin is /dev/null unless given, every descriptor above 2 that is not in
 * `keep_fds` is closed, umask is 022.
 *
 * Steps of a caller: fill a struct kp_proc (zero is a valid start for every member but
 * argv), then kp_proc_run() to wait for it, kp_proc_capture() to also have its output, or
 * kp_proc_spawn() and later kp_proc_wait().
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include <kmodpkg/err.h>

struct kp_proc {
	const char *const *argv; /* argv[0] absolute, NULL-terminated */
	const char *const *env;	 /* NAME=value..., NULL: kp_proc_default_env() */
	const char *cwd;	 /* NULL: "/"; entered after setup() */
	int in_fd;		 /* 0: /dev/null; else this descriptor */
	int out_fd;		 /* 0: our stdout; /dev/null when nobody reads that any more */
	int err_fd;		 /* 0: our stderr; likewise */
	const int *keep_fds; /* further descriptors to pass on under the same number */
	size_t n_keep_fds;
	/* Called in the child after descriptors and signals are set, before exec. May
	 * change root, user, limits. A negative errno makes the child end with 126; the
	 * spawner then reports it. Async-signal-safe calls only unless the caller has no
	 * threads (kmodpkg has none). All of our descriptors are still open here and vanish
	 * at exec; a setup that forks closes those above 2 in the half that never execs,
	 * since the spawner waits until one of them says that exec has happened. */
	int (*setup)(void *data);
	void *setup_data;
};

/* How a child ended. */
struct kp_proc_end {
	int exit_code; /* -1 when killed by a signal */
	int signal;    /* 0 when it exited */
};

/* PATH, LANG, LC_ALL, HOME of our own and, where set, TERM, SOURCE_DATE_EPOCH, DPKG_* and
 * other variables of the surrounding package manager: what its children expect of us. Made from
 * the environment of this moment; valid until the next call or start of a process. */
const char *const *kp_proc_default_env(void);

/* Open /dev/null on those of 0, 1 and 2 that are closed (dpkg starts its hooks like that), so
 * that no file of ours gets such a number. For main, first thing. */
void kp_proc_open_std_fds(void);

/* Start it. -ENOENT: argv[0] does not exist (no child is left). */
int kp_proc_spawn(const struct kp_proc *proc, pid_t *ret_pid, struct kp_err *err);

/* Wait for PID (restarts on EINTR). */
int kp_proc_wait(pid_t pid, struct kp_proc_end *ret_end, struct kp_err *err);

/* Start and wait. 0 when it exited with 0; -ECHILD with words such as
 * "/sbin/depmod ended with exit code 1" otherwise, *ret_end (may be NULL) filled. */
int kp_proc_run(const struct kp_proc *proc, struct kp_proc_end *ret_end,
		struct kp_err *err);

/* Like kp_proc_run() with stdout collected (at most MAX bytes, -EFBIG above; a NUL is
 * added). *ret_out is to be freed; also set when it ended with -ECHILD. What a
 * grandchild writes after the child has ended is not waited for. out_fd is not looked at. */
int kp_proc_capture(const struct kp_proc *proc, size_t max, char **ret_out,
		    size_t *ret_len, struct kp_err *err);

/* Words for how it ended: "exited with 2", "was killed by signal 9 (Killed)". */
void kp_proc_describe(const struct kp_proc_end *end, char *buf, size_t size);

/* Is PID a process above us: parent, parent's parent and so on? 1 or 0; negative errno when
 * /proc does not tell. It is our own /proc that is read, whatever root is managed. */
int kp_proc_is_ancestor(pid_t pid);

/* The parent of a process; *ret 0: it has none in our pid namespace. */
int kp_proc_parent(pid_t pid, pid_t *ret);

/* Words for a process: "NAME, pid N", or "pid N" where /proc does not tell; to be freed. It is
 * our own /proc that is read, whatever root is managed. */
char *kp_proc_name(pid_t pid);
