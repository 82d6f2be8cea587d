// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

/* How a child says that it could not become the program. */
enum stage { STAGE_FDS, STAGE_SETUP, STAGE_CWD, STAGE_EXEC };

struct report {
	enum stage stage;
	int code; /* negative errno */
};

static bool passes(const char *var)
{
	/* "X_" stands for all names that begin so. */
	static const char *const names[] = {
		"TERM",
		"SOURCE_DATE_EPOCH",
		"DPKG_",
		"DEB_MAINT_PARAMS",
		"DEBIAN_",
		"DEBCONF_",
		"APT_",
		"RPM_",
		"KMODPKG_",
		"INITRD",
		"KERNEL_INSTALL_",
		"DRACUT_",
		NULL,
	};

	for (const char *const *n = names; *n; n++) {
		size_t len = strlen(*n);

		if (!strncmp(var, *n, len) && ((*n)[len - 1] == '_' || var[len] == '='))
			return true;
	}
	return false;
}

const char *const *kp_proc_default_env(void)
{
	static char **env;

	/* Made anew: sync sets its guard variable after the first use. */
	kp_strv_free(env);
	env = NULL;
	kp_strv_add(&env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	kp_strv_add(&env, "LANG=C.UTF-8");
	kp_strv_add(&env, "LC_ALL=C.UTF-8");
	kp_strv_add(&env, "HOME=/root");
	kp_strv_foreach(var, environ)
		if (passes(*var))
			kp_strv_add(&env, *var);
	return (const char *const *)env;
}

void kp_proc_open_std_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* The lowest free number is this one. Without /dev/null anything serves that
		 * keeps the number taken. */
		if (open("/dev/null", O_RDWR) < 0)
			(void)!open("/", O_RDONLY | O_DIRECTORY);
	}
}

/* A pipe whose descriptors are above 2, close-on-exec. */
static int make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		int low = fds[i];

		if (low > 2)
			continue;
		fds[i] = fcntl(low, F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0) {
			int code = -errno;

			close(low);
			close(fds[!i]);
			return code;
		}
		close(low);
	}
	return 0;
}

/* A package manager that was killed, a terminal that was closed: nobody reads what goes to FD, and
 * a program that we need, and that says what it does, would die of it. */
static bool reader_is_gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

/* What becomes descriptor I of the child, at a number above 2. */
static int source_of_std(const struct kp_proc *proc, int i)
{
	const int given[] = { proc->in_fd, proc->out_fd, proc->err_fd };
	int fd, high;

	if (given[i] || (i > 0 && !reader_is_gone(i))) {
		high = fcntl(given[i] ? given[i] : i, F_DUPFD_CLOEXEC, 3);
		if (high >= 0 || errno != EBADF || given[i])
			return high < 0 ? -errno : high;
	}
	fd = open("/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* A low number is overwritten by dup2(), a high one closed by exec. */
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return high < 0 ? -errno : high;
}

static void close_above_std_at_exec(void)
{
	struct rlimit limit;

	if (!syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC))
		return;
	/* Linux before 5.11, or a seccomp filter. */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = 1024;
	for (int fd = 3; fd < (int)limit.rlim_cur; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int set_descriptors(const struct kp_proc *proc)
{
	int from[3];

	for (int i = 0; i < 3; i++) {
		from[i] = source_of_std(proc, i);
		if (from[i] < 0)
			return from[i];
	}
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			return -errno;
	close_above_std_at_exec();
	for (size_t i = 0; i < proc->n_keep_fds; i++)
		if (proc->keep_fds[i] > 2 && fcntl(proc->keep_fds[i], F_SETFD, 0) < 0)
			return -errno;
	return 0;
}

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < _NSIG; sig++)
		sigaction(sig, &dfl, NULL); /* KILL, STOP and libc's own refuse */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) fail_child(int fd, enum stage stage, int code)
{
	const struct report report = { .stage = stage, .code = code };

	(void)kp_write_all(fd, &report, sizeof(report));
	_exit(126);
}

static void __attribute__((noreturn))
run_child(const struct kp_proc *proc, const char *const *env, int report_fd)
{
	int rc = set_descriptors(proc);

	if (rc < 0)
		fail_child(report_fd, STAGE_FDS, rc);
	reset_signals();
	umask(022);
	if (proc->setup) {
		rc = proc->setup(proc->setup_data);
		if (rc < 0)
			fail_child(report_fd, STAGE_SETUP, rc);
	}
	if (chdir(proc->cwd ? proc->cwd : "/") < 0)
		fail_child(report_fd, STAGE_CWD, -errno);
	execve(proc->argv[0], (char *const *)proc->argv, (char *const *)env);
	fail_child(report_fd, STAGE_EXEC, -errno);
}

/* Who started us may ignore SIGCHLD; then there would be nothing to wait for. */
static void want_children(void)
{
	struct sigaction sa;

	if (sigaction(SIGCHLD, NULL, &sa) < 0 ||
	    (sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_NOCLDWAIT)))
		return;
	sa = (struct sigaction){ .sa_handler = SIG_DFL };
	sigaction(SIGCHLD, &sa, NULL);
}

static int start_error(const struct kp_proc *proc, const struct report *report,
		       struct kp_err *err)
{
	const char *program = proc->argv[0];

	switch (report->stage) {
	case STAGE_FDS:
		return kp_err_sys(err, report->code, "start '%s': pass its descriptors",
				  program);
	case STAGE_SETUP:
		return kp_err_sys(err, report->code,
				  "start '%s': prepare its surroundings", program);
	case STAGE_CWD:
		return kp_err_sys(err, report->code, "start '%s': enter directory '%s'",
				  program, proc->cwd ? proc->cwd : "/");
	default:
		return kp_err_sys(err, report->code, "start '%s'", program);
	}
}

int kp_proc_spawn(const struct kp_proc *proc, pid_t *ret_pid, struct kp_err *err)
{
	const char *const *env = proc->env ? proc->env : kp_proc_default_env();
	_cleanup_close_ int report_fd = -1;
	struct report report;
	sigset_t all, old;
	int fds[2], rc;
	ssize_t n;
	pid_t pid;

	if (!proc->argv || !proc->argv[0] || proc->argv[0][0] != '/')
		return kp_err_set(err, -EINVAL, "start a program: no absolute path");
	rc = make_pipe(fds);
	if (rc < 0)
		return kp_err_sys(err, rc, "start '%s'", proc->argv[0]);
	want_children();
	/* No handler of ours may run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (!pid)
		run_child(proc, env, fds[1]);
	rc = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
	report_fd = fds[0];
	if (rc < 0)
		return kp_err_sys(err, rc, "start '%s'", proc->argv[0]);

	/* A report, or the end of file that exec (or a child that died in setup) makes. */
	do {
		n = read(report_fd, &report, sizeof(report));
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(report)) {
		struct kp_proc_end end;

		kp_proc_wait(pid, &end, NULL);
		return start_error(proc, &report, err);
	}
	*ret_pid = pid;
	return 0;
}

int kp_proc_wait(pid_t pid, struct kp_proc_end *ret_end, struct kp_err *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return kp_err_sys(err, -errno, "wait for process %d", (int)pid);
	*ret_end = (struct kp_proc_end){
		.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
		.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
	};
	return 0;
}

/* 0 when all was well, else -ECHILD with the words for it. */
static int judge(const char *program, const struct kp_proc_end *end, struct kp_err *err)
{
	char words[128];

	if (!end->exit_code)
		return 0;
	if (end->exit_code > 0)
		return kp_err_set(err, -ECHILD, "%s ended with exit code %d", program,
				  end->exit_code);
	kp_proc_describe(end, words, sizeof(words));
	return kp_err_set(err, -ECHILD, "%s %s", program, words);
}

int kp_proc_run(const struct kp_proc *proc, struct kp_proc_end *ret_end,
		struct kp_err *err)
{
	struct kp_proc_end end;
	pid_t pid;
	int rc;

	rc = kp_proc_spawn(proc, &pid, err);
	if (rc < 0)
		return rc;
	rc = kp_proc_wait(pid, &end, err);
	if (rc < 0)
		return rc;
	if (ret_end)
		*ret_end = end;
	return judge(proc->argv[0], &end, err);
}

/* Read FD until it ends, or until the child has ended and nothing is left in the pipe: a
 * daemon that it left behind may hold the other end for ever. -EFBIG above MAX. */
static int collect(int fd, pid_t pid, size_t max, struct kp_buf *out)
{
	/* Without pidfd_open (Linux before 5.3) the descriptor is -1, which poll ignores. */
	_cleanup_close_ int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd wait[2] = { { .fd = fd, .events = POLLIN },
				  { .fd = pid_fd, .events = POLLIN } };
	bool ended = false;
	char block[16384];

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));

		if (!n)
			return 0;
		if (n > 0) {
			kp_buf_add(out, block, (size_t)n);
			if (out->len > max)
				return -EFBIG;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (ended)
			return 0;
		if (poll(wait, KP_ARRAY_SIZE(wait), -1) < 0 && errno != EINTR)
			return -errno;
		ended = wait[1].revents != 0;
	}
}

int kp_proc_capture(const struct kp_proc *proc, size_t max, char **ret_out,
		    size_t *ret_len, struct kp_err *err)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;
	_cleanup_close_ int read_fd = -1;
	struct kp_proc copy = *proc;
	struct kp_proc_end end;
	int fds[2], rc, wait_rc;
	pid_t pid;

	rc = make_pipe(fds);
	if (rc < 0)
		return kp_err_sys(err, rc, "make a pipe");
	read_fd = fds[0];
	copy.out_fd = fds[1];
	rc = kp_proc_spawn(&copy, &pid, err);
	close(fds[1]);
	if (rc < 0)
		return rc;
	rc = collect(read_fd, pid, max, &out);
	if (rc < 0)
		kill(pid, SIGKILL);
	wait_rc = kp_proc_wait(pid, &end, rc < 0 ? NULL : err);
	if (rc == -EFBIG)
		return kp_err_set(err, rc, "%s wrote more than %zu bytes", proc->argv[0],
				  max);
	if (rc < 0)
		return kp_err_sys(err, rc, "read what %s writes", proc->argv[0]);
	if (wait_rc < 0)
		return wait_rc;
	if (ret_len)
		*ret_len = out.len;
	*ret_out = kp_buf_steal(&out);
	return judge(proc->argv[0], &end, err);
}

void kp_proc_describe(const struct kp_proc_end *end, char *buf, size_t size)
{
	if (end->signal)
		snprintf(buf, size, "was killed by signal %d (%s)", end->signal,
			 strsignal(end->signal));
	else
		snprintf(buf, size, "exited with %d", end->exit_code);
}

int kp_proc_parent(pid_t pid, pid_t *ret)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/stat", (int)pid), *text = NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *name_end;
	size_t len;
	int parent, rc;

	if (fd < 0)
		return -errno;
	rc = kp_read_fd(fd, 4096, &text, &len);
	if (rc < 0)
		return rc;
	/* "PID (name, which may hold anything) S PPID ...", proc(5). */
	name_end = strrchr(text, ')');
	if (!name_end || sscanf(name_end + 1, " %*c %d", &parent) != 1)
		return -EBADMSG;
	*ret = parent;
	return 0;
}

int kp_proc_is_ancestor(pid_t pid)
{
	pid_t above = getppid();

	if (pid <= 0)
		return 0;
	while (above > 0 && above != pid) {
		int rc = kp_proc_parent(above, &above);

		if (rc < 0)
			return rc;
	}
	return above == pid;
}

char *kp_proc_name(pid_t pid)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/comm", (int)pid), *name = NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len;

	if (fd < 0 || kp_read_fd(fd, 4096, &name, &len) < 0)
		return kp_strf("pid %d", (int)pid);
	kp_str_strip(name);
	kp_str_printable(name);
	return kp_strf("%s, pid %d", name, (int)pid);
}
