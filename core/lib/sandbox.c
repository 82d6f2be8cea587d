// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Three processes: the caller, an init (process 1 of a pid namespace where there is one)
 * that sets up the view, waits and cleans up, and the command itself. The init stays
 * root, runs nothing and reads nothing of those inside; it shares no descriptor with
 * them. It holds the read end of a pipe whose write end only the caller has: when that is
 * closed, on purpose or by death, everything inside ends.
 *
 * Where there is no pid namespace the init is a child subreaper, so whatever the command
 * leaves behind stays below it; it kills all that is there until it has no child left.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/sandbox.h"
#include "lib/sandbox-filter.h"
#include "lib/sandbox-kill.h"
#include "lib/sandbox-landlock.h"
#include "lib/sandbox-means.h"
#include "lib/sandbox-mounts.h"
#include "lib/sandbox-secrets.h"
#include "lib/sandbox-watch.h"

struct result {
	int rc;
	unsigned int met; /* as kp_sandbox.met */
	struct kp_proc_end end;
	struct kp_err err;
};

/* Needs CAP_SETPCAP; where that is gone already, no_new_privs has to do. */
static void drop_bounding_set(void)
{
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno == EINVAL)
			break;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

struct drop {
	uid_t uid;
	bool change;  /* else stay who we are */
	int landlock; /* its rules, -1 */
	const struct kp_limits *limits;
};

/* Lower what the kernel limits, or with DRY do not. -errno, or the limits (1 << enum kp_limit) that are
 * ours then, and not lower ones of whoever started us. */
static int limit(const struct drop *drop, bool dry)
{
	const struct {
		int resource;
		rlim_t value; /* 0: as it is */
		enum kp_limit limit;
	} rules[] = {
		{ RLIMIT_FSIZE, drop->limits->disk, KP_LIMIT_DISK },
#ifndef __SANITIZE_ADDRESS__ /* reserves more than any limit, of which it uses little */
		{ RLIMIT_DATA, drop->limits->memory, KP_LIMIT_MEMORY },
#endif
		{ RLIMIT_NPROC, drop->change ? (rlim_t)drop->limits->processes : 0,
		  KP_LIMIT_PROCESSES },
	};
	int ours = 0;

	for (size_t i = 0; i < KP_ARRAY_SIZE(rules); i++) {
		struct rlimit lim;

		if (!rules[i].value)
			continue;
		if (getrlimit(rules[i].resource, &lim))
			return -errno;
		if (lim.rlim_max == RLIM_INFINITY || lim.rlim_max > rules[i].value) {
			lim.rlim_max = rules[i].value;
			ours |= 1 << rules[i].limit;
		}
		lim.rlim_cur = lim.rlim_max;
		if (!dry && setrlimit(rules[i].resource, &lim))
			return -errno;
	}
	return ours;
}

/* The last steps of the command's process before exec. */
static int drop_privileges(void *data)
{
	const struct drop *drop = data;
	int rc;

	rc = setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) ? -errno : 0;
	if (!rc)
		rc = limit(drop, false);
	if (rc < 0)
		return rc;
	drop_bounding_set();
	rc = drop->change ? kp_means_set_ids(drop->uid, drop->uid) : 0;
	if (!rc)
		rc = drop_capabilities();
	if (rc < 0)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Where the init is not process 1 its death would not end us otherwise. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return -errno;
	if (drop->landlock >= 0)
		rc = kp_landlock_enter(drop->landlock);
	if (!rc && kp_means()->filter)
		rc = kp_filter_install(kp_means()->flags & CLONE_NEWNET);
	return rc;
}

/* ---- the init ---- */

static int wait_for_end(pid_t command, const struct kp_sandbox *sb,
			struct kp_watch *watch, int lifeline, struct kp_proc_end *ret_end,
			struct kp_err *err)
{
	int64_t look_at = kp_now_ms() + KP_WATCH_MS;
	int64_t until = sb->timeout_s ? kp_now_ms() + sb->timeout_s * 1000LL : 0;
	_cleanup_close_ int sigfd = -1;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		return kp_err_sys(err, -errno, "signalfd");
	for (;;) {
		struct pollfd fds[] = { { .fd = sigfd, .events = POLLIN },
					{ .fd = lifeline } };
		struct signalfd_siginfo info;
		struct rusage usage;
		int64_t now = kp_now_ms(), left = look_at - now;
		int status, rc;
		pid_t pid;

		while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
			kp_watch_ended(watch, &usage);
			if (pid != command)
				continue;
			ret_end->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
			ret_end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
			return 0;
		}
		if (until && now >= until)
			return kp_err_set(err, -ETIME,
					  "did not end within %d minutes and was killed",
					  (sb->timeout_s + 59) / 60);
		if (left <= 0) {
			rc = kp_watch_look(watch, err);
			if (rc < 0)
				return rc;
			/* Not all of our time, however long a look takes. */
			left = KP_WATCH_MS + 4 * (kp_now_ms() - now);
			look_at = kp_now_ms() + left;
		}
		if (until && left > until - now)
			left = until - now;
		if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
			return kp_err_sys(err, -errno, "poll");
		if (fds[1].revents)
			return -EINTR;
		while (read(sigfd, &info, sizeof(info)) > 0)
			;
	}
}

static int enter(const struct kp_sandbox *sb, const struct kp_proc *proc,
		 char *const *secrets, int *ret_landlock, struct kp_err *err)
{
	bool view = kp_means()->flags & CLONE_NEWNS;
	int rc = 0;

	if (view)
		rc = kp_view_detach(err);
	if (view && !rc)
		rc = kp_view_enter(sb, secrets, kp_means()->parts, err);
	if (!rc && kp_means()->landlock)
		rc = kp_landlock_make(sb, proc, view ? NULL : secrets, ret_landlock, err);
	return rc;
}

/* When the machine is out of memory, this is what the kernel takes first. */
static void be_first_to_go(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "1000", 4);
}

static void init_main(const struct kp_sandbox *sb, const struct kp_proc *proc,
		      char *const *secrets, const struct kp_limits *limits, int lifeline,
		      int result_fd)
{
	bool alone = kp_means()->flags & CLONE_NEWPID;
	struct drop drop = { kp_sandbox_uid(sb->slot), kp_means()->uid, -1, limits };
	struct kp_limits seen = *limits;
	struct kp_proc inner = *proc;
	struct kp_watch *watch;
	struct result res = { 0 };
	struct kp_err err = KP_ERR_INIT;
	sigset_t mask;
	pid_t pid;
	int ours;

	/* Away from the terminal: its signals, and its input queue. */
	setsid();
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	signal(SIGCHLD, SIG_DFL);
	if (!alone)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	be_first_to_go();

	/* Nothing tells those inside from others. */
	if (!drop.change && !(alone && kp_means()->parts & KP_VIEW_PROC))
		seen.memory = seen.processes = 0;

	inner.setup = drop_privileges;
	inner.setup_data = &drop;
	res.rc = enter(sb, proc, secrets, &drop.landlock, &res.err);
	watch = kp_watch_new(sb, proc, &seen, drop.uid, !drop.change);
	if (!res.rc)
		res.rc = kp_proc_spawn(&inner, &pid, &res.err);
	if (!res.rc)
		res.rc = wait_for_end(pid, sb, watch, lifeline, &res.end, &res.err);
	/* What is refused at a file's size is not seen from here. */
	ours = limit(&drop, true);
	if (!res.rc && res.end.exit_code && ours > 0)
		res.met =
			(unsigned int)ours & (kp_watch_met(watch) | 1U << KP_LIMIT_DISK);
	if (!alone && kp_kill_below(drop.change, drop.uid, &err) < 0 && !res.rc) {
		res.rc = err.code;
		res.err = err;
	}
	kp_watch_free(watch);
	kp_write_all(result_fd, &res, sizeof(res));
	/* As process 1 this ends all others; we are not waitable before they are gone. */
	_exit(0);
}

/* ---- the caller ---- */

/* The users of slots are the machine's, whichever tree a run works on. */
int kp_sandbox_take_slot(const struct kp_ctx *ctx, unsigned int *ret_slot, int *ret_lock,
			 struct kp_err *err)
{
	const char *dir = geteuid() ? ctx->run_dir : KP_RUN_DIR;
	int rc = -EBUSY;

	for (unsigned int slot = 1; rc == -EBUSY && slot < KP_SANDBOX_SLOTS; slot++) {
		_cleanup_free_ char *path = kp_strf("%s/build/slot-%u.lock", dir, slot);

		rc = kp_lock_take(ctx->root_fd, path, "building", KP_LOCK_TRY, ret_lock,
				  err);
		*ret_slot = rc ? 0 : slot;
	}
	return rc;
}

/* clone(2) as fork(2) with flags; the C library's wrapper wants a stack. */
static pid_t fork_with(int flags)
{
#if defined(__s390__) || defined(__CRIS__)
	return (pid_t)syscall(SYS_clone, NULL, flags | SIGCHLD, NULL, NULL, NULL);
#else
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
#endif
}

/* Pass on what is there, up to what is left of the limit. 0: end of file. */
static ssize_t relay(const struct kp_sandbox *sb, int from, int to, uint64_t *done)
{
	static const char note[] = "\n[the rest of the output is left out]\n";
	char buf[65536];
	ssize_t n = read(from, buf, sizeof(buf));
	uint64_t room = sb->max_output - *done;

	if (n <= 0 || !room)
		return n;
	/* The writer is not to blame when this disk is full, and not to be blocked. */
	if ((uint64_t)n < room) {
		*done += (uint64_t)n;
		(void)kp_write_all(to, buf, (size_t)n);
	} else {
		*done = sb->max_output;
		(void)kp_write_all(to, buf, (size_t)room);
		(void)kp_write_all(to, note, sizeof(note) - 1);
	}
	return n;
}

struct run {
	int lifeline[2]; /* the write end is ours */
	int result[2];
	int output[2];
	uint64_t done;
	int out_fd; /* where output goes */
};

static void close_pair(int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void run_clear(struct run *run)
{
	close_pair(run->lifeline);
	close_pair(run->result);
	close_pair(run->output);
}

/* Until the result is there, or its writer is gone. */
static int supervise(const struct kp_sandbox *sb, struct run *run, pid_t pid,
		     struct result *res)
{
	_cleanup_close_ int sigfd = -1;
	bool cancelled = false;
	sigset_t mask;
	int status = 0;
	ssize_t n;

	/* Sees them only where the caller has them blocked; not read, so they stay
	 * pending. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = run->result[0], .events = POLLIN },
			{ .fd = run->output[0], .events = POLLIN },
			{ .fd = cancelled ? -1 : sigfd, .events = POLLIN },
		};

		if (poll(fds, 3, -1) < 0)
			continue; /* EINTR */
		if (fds[1].revents &&
		    !relay(sb, run->output[0], run->out_fd, &run->done)) {
			close(run->output[0]);
			run->output[0] = -1;
		}
		if (fds[2].revents) {
			cancelled = true;
			close(kp_steal_fd(&run->lifeline[1]));
		}
		if (fds[0].revents)
			break;
	}
	n = read(run->result[0], res, sizeof(*res));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	while (run->output[0] >= 0 &&
	       relay(sb, run->output[0], run->out_fd, &run->done) > 0)
		;
	if (n == sizeof(*res))
		return cancelled ? -EINTR : 0;
	if (cancelled)
		return -EINTR;
	/* As if it was the command: whoever kills the one means the other. */
	res->end = (struct kp_proc_end){ -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0 };
	res->rc = res->end.signal ? 0
				  : kp_err_set(&res->err, -EIO,
					       "the sandbox did not say how it ended");
	return 0;
}

static int run_inside(const struct kp_ctx *ctx, const struct kp_sandbox *sb,
		      const struct kp_proc *proc, struct run *run, struct result *res,
		      struct kp_err *err)
{
	_cleanup_strv_ char **secrets = kp_secrets(ctx, sb->release);
	struct kp_proc inner = *proc;
	bool both = proc->err_fd == proc->out_fd;
	pid_t pid;

	if (pipe2(run->lifeline, O_CLOEXEC) || pipe2(run->result, O_CLOEXEC))
		return kp_err_sys(err, -errno, "pipe");
	if (sb->max_output) {
		if (pipe2(run->output, O_CLOEXEC))
			return kp_err_sys(err, -errno, "pipe");
		/* Somebody inside may live on for a moment and hold the other end. */
		fcntl(run->output[0], F_SETFL, O_NONBLOCK);
		run->out_fd = proc->out_fd ? proc->out_fd : STDOUT_FILENO;
		inner.out_fd = run->output[1];
		if (both)
			inner.err_fd = run->output[1];
	}
	pid = fork_with(kp_means()->flags);
	if (pid < 0)
		return kp_err_sys(err, -errno, "clone");
	if (pid == 0) {
		close(run->lifeline[1]);
		init_main(sb, &inner, secrets, &ctx->config.limits, run->lifeline[0],
			  run->result[1]);
	}
	close(kp_steal_fd(&run->result[1]));
	if (run->output[1] >= 0)
		close(kp_steal_fd(&run->output[1]));
	return supervise(sb, run, pid, res);
}

static int check(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		 const struct kp_proc *proc, struct kp_err *err)
{
	const char *missing = kp_sandbox_missing();

	if (kp_means()->error < 0)
		return kp_err_sys(err, kp_means()->error,
				  "find out how a build can be protected");
	if (proc->setup)
		return kp_err_set(err, -EINVAL, "a sandboxed process has no setup");
	if (missing && ctx->config.sandbox_required)
		return kp_err_set(err, -EPERM,
				  "protection is missing and sandbox = required: %s",
				  missing);
	for (size_t i = 0; !kp_sandbox_has_mounts() && i < sb->n_binds; i++)
		if (!kp_str_eq(sb->binds[i].from, sb->binds[i].at))
			return kp_err_set(err, -ENOTSUP,
					  "cannot show '%s' at '%s': no private mounts",
					  sb->binds[i].from, sb->binds[i].at);
	return 0;
}

int kp_sandbox_run(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		   const struct kp_proc *proc, struct kp_proc_end *ret_end,
		   struct kp_err *err)
{
	struct run run = { { -1, -1 }, { -1, -1 }, { -1, -1 }, 0, -1 };
	struct result res = { 0 };
	char words[128];
	int rc;

	rc = check(ctx, sb, proc, err);
	if (rc < 0)
		return rc;
	rc = run_inside(ctx, sb, proc, &run, &res, err);
	run_clear(&run);
	if (rc < 0)
		return rc == -EINTR ? kp_err_set(err, rc, "interrupted") : rc;
	if (res.rc == -EDQUOT || res.rc == -ENOSPC) /* of all together */
		return kp_err_set(err, res.rc, "%s", kp_err_text(&res.err, res.rc));
	if (res.rc < 0)
		return kp_err_set(err, res.rc, "%s: %s", proc->argv[0],
				  kp_err_text(&res.err, res.rc));
	if (sb->met)
		*sb->met = res.met;
	if (ret_end)
		*ret_end = res.end;
	if (res.end.exit_code == 0)
		return 0;
	kp_proc_describe(&res.end, words, sizeof(words));
	return kp_err_set(err, -ECHILD, "%s %s", proc->argv[0], words);
}
