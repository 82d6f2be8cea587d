// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a command, and let one call of one of our processes below it go wrong.
 *
 * usage: fault PROGRAM REPORT [POINT KIND] -- COMMAND [ARG...]
 *	PROGRAM	path of our executable; its processes, also forked ones that did not exec,
 *		are looked at, and nobody else's, be it above or below them
 *	REPORT	file to write: a line for each point that was come to, in order, then
 *		"hit PID" if the fault was made, "status N" of the command (128 and its number
 *		for a signal), "left PID NAME" for what goes on for too long behind it
 *	POINT	as in the report of an earlier run: the call, what it was called with, how many
 *		times that was before ("rename /var/lib/x/.kp-* #2")
 *	KIND	kill	the process is killed before the call; where the call is an exec, its
 *			parent is, which waits for it, and what is executed runs
 *		all	the command and all that it started are
 *		ENOSPC, EIO, EMFILE	the call does nothing and fails so
 *
 * A seccomp filter has the kernel ask here before each call that changes state; it is inherited by
 * all that the command starts. Ends when all of them have ended, so that what a killed process
 * left running is never in the way of who comes next by chance; the command's end is not waited for
 * twice. Names that differ from run to run are "*" in points.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

/* For what is left running; nothing in these tests takes so long. */
#define LEFT_S 60

/* What tells one call of a kind from another. */
enum object {
	OBJ_NONE,
	OBJ_FD,	     /* the file open as argument `at` */
	OBJ_PATH,    /* the path in argument `at` */
	OBJ_PATH_AT, /* the same, below the directory open in the argument before it */
	OBJ_OPEN, /* OBJ_PATH_AT if its flags, in the argument after it, create a file */
	OBJ_OPEN2,
	OBJ_EXEC,
	OBJ_FORK,  /* flags in argument `at` */
	OBJ_FORK3, /* in a structure there */
	OBJ_CLONE_FILE,
};

/* Which errors a call can have. */
#define SPACE 1
#define IO 2
#define FILES 4

static const struct call {
	int nr;
	const char *name;
	enum object object;
	int at;
	int errors;
} calls[] = {
	{ SYS_write, "write", OBJ_FD, 0, SPACE | IO },
	{ SYS_writev, "write", OBJ_FD, 0, SPACE | IO },
	{ SYS_pwrite64, "pwrite", OBJ_FD, 0, SPACE | IO },
	{ SYS_pwritev, "pwrite", OBJ_FD, 0, SPACE | IO },
	{ SYS_copy_file_range, "copy", OBJ_FD, 2, SPACE | IO },
	{ SYS_sendfile, "copy", OBJ_FD, 0, SPACE | IO },
	{ SYS_ioctl, "reflink", OBJ_CLONE_FILE, 0, SPACE | IO },
	{ SYS_ftruncate, "truncate", OBJ_FD, 0, IO },
	{ SYS_fallocate, "allocate", OBJ_FD, 0, SPACE | IO },
	{ SYS_fsync, "fsync", OBJ_FD, 0, SPACE | IO },
	{ SYS_fdatasync, "fsync", OBJ_FD, 0, SPACE | IO },
	{ SYS_syncfs, "fsync", OBJ_FD, 0, SPACE | IO },
	{ SYS_fchmod, "chmod", OBJ_FD, 0, IO },
	{ SYS_fchown, "chown", OBJ_FD, 0, IO },
	{ SYS_fchmodat, "chmod", OBJ_PATH_AT, 1, IO },
	{ SYS_fchownat, "chown", OBJ_PATH_AT, 1, IO },
	{ SYS_utimensat, "utimes", OBJ_PATH_AT, 1, IO },
	{ SYS_openat, "create", OBJ_OPEN, 1, SPACE | IO | FILES },
	{ SYS_openat2, "create", OBJ_OPEN2, 1, SPACE | IO | FILES },
	{ SYS_mkdirat, "mkdir", OBJ_PATH_AT, 1, SPACE | IO },
	{ SYS_mknodat, "mknod", OBJ_PATH_AT, 1, SPACE | IO },
	{ SYS_symlinkat, "symlink", OBJ_PATH_AT, 2, SPACE | IO },
	{ SYS_linkat, "link", OBJ_PATH_AT, 3, SPACE | IO },
	{ SYS_renameat2, "rename", OBJ_PATH_AT, 3, SPACE | IO },
	{ SYS_unlinkat, "unlink", OBJ_PATH_AT, 1, IO },
	{ SYS_pipe2, "pipe", OBJ_NONE, 0, FILES },
	{ SYS_memfd_create, "memfd", OBJ_NONE, 0, FILES },
	{ SYS_clone, "fork", OBJ_FORK, 0, 0 },
	{ SYS_clone3, "fork", OBJ_FORK3, 0, 0 },
	{ SYS_execve, "exec", OBJ_EXEC, 0, IO },
	{ SYS_execveat, "exec", OBJ_EXEC, 1, IO },
/* What newer architectures do without. */
#ifdef SYS_open
	{ SYS_open, "create", OBJ_OPEN, 0, SPACE | IO | FILES },
	{ SYS_creat, "create", OBJ_PATH, 0, SPACE | IO | FILES },
	{ SYS_mkdir, "mkdir", OBJ_PATH, 0, SPACE | IO },
	{ SYS_rmdir, "unlink", OBJ_PATH, 0, IO },
	{ SYS_unlink, "unlink", OBJ_PATH, 0, IO },
	{ SYS_symlink, "symlink", OBJ_PATH, 1, SPACE | IO },
	{ SYS_link, "link", OBJ_PATH, 1, SPACE | IO },
	{ SYS_rename, "rename", OBJ_PATH, 1, SPACE | IO },
	{ SYS_chmod, "chmod", OBJ_PATH, 0, IO },
	{ SYS_chown, "chown", OBJ_PATH, 0, IO },
	{ SYS_pipe, "pipe", OBJ_NONE, 0, FILES },
	{ SYS_fork, "fork", OBJ_NONE, 0, 0 },
	{ SYS_vfork, "fork", OBJ_NONE, 0, 0 },
#endif
#ifdef SYS_renameat
	{ SYS_renameat, "rename", OBJ_PATH_AT, 3, SPACE | IO },
#endif
};

static const struct {
	const char *name;
	int code, errors;
} kinds[] = {
	{ "kill", 0, 0 },
	{ "all", 0, 0 },
	{ "ENOSPC", ENOSPC, SPACE },
	{ "EIO", EIO, IO },
	{ "EMFILE", EMFILE, FILES },
};

struct run {
	int listener;
	pid_t command;
	int status; /* of the command, -1: runs */
	struct stat program;
	FILE *report;
	const char *point, *kind;
	bool hit;
	struct count {
		char *what;
		unsigned int n;
	} * counts;
	size_t n_counts, alloc_counts;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fputs("fault: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (%s)\n", strerror(errno));
	exit(125);
}

/* Have the kernel ask before these calls from here on; the descriptor on which it does. */
static int install_filter(void)
{
	struct sock_filter filter[2 * KP_ARRAY_SIZE(calls) + 2];
	struct sock_fprog program = { 0, filter };
	unsigned int flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	int fd;

	filter[program.len++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < KP_ARRAY_SIZE(calls); i++) {
		filter[program.len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)calls[i].nr, 0, 1);
		filter[program.len++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	filter[program.len++] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	/* A signal must not make the kernel ask twice for one call (from Linux 5.19 on). */
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	return fd;
}

static void start(struct run *r, char **argv)
{
	int *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, pid_fd;

	if (shared == MAP_FAILED)
		die("mmap");
	r->command = fork();
	if (r->command < 0)
		die("fork");
	if (!r->command) {
		/* The group is what is killed by "all". */
		setpgid(0, 0);
		*shared = install_filter();
		raise(SIGSTOP);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (waitpid(r->command, &status, WUNTRACED) != r->command || !WIFSTOPPED(status))
		die("the command did not start");
	pid_fd = (int)syscall(SYS_pidfd_open, r->command, 0);
	r->listener = (int)syscall(SYS_pidfd_getfd, pid_fd, *shared, 0);
	if (r->listener < 0)
		die("no filter");
	close(pid_fd);
	kill(r->command, SIGCONT);
	r->status = -1;
}

/* ---- what a call is about */

static char *read_link(const char *fmt, ...)
{
	_cleanup_free_ char *path = NULL;
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	path = kp_vstrf(fmt, ap);
	va_end(ap);
	return kp_readlink_at(AT_FDCWD, path, &text) < 0 ? kp_strdup("?") : text;
}

/* Memory of another process; it may be shorter than SIZE. The count of bytes. */
static ssize_t read_memory(uint32_t pid, uint64_t address, void *to, size_t size)
{
	_cleanup_free_ char *path = kp_strf("/proc/%u/mem", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : pread(fd, to, size, (off_t)address);
}

static char *read_path(uint32_t pid, uint64_t address)
{
	char text[4096];
	size_t got = 0;

	/* Page by page: the one after it may not be there. */
	while (got < sizeof(text)) {
		size_t step = 256 - (address + got) % 256;
		ssize_t n;

		if (step > sizeof(text) - got)
			step = sizeof(text) - got;
		n = read_memory(pid, address + got, text + got, step);
		if (n <= 0)
			break;
		got += (size_t)n;
		if (memchr(text, 0, got))
			return kp_strdup(text);
	}
	return kp_strdup("?");
}

static char *read_path_at(uint32_t pid, int dir, uint64_t address)
{
	_cleanup_free_ char *path = address ? read_path(pid, address) : kp_strdup("");
	_cleanup_free_ char *top = NULL;

	if (*path == '/' && dir == AT_FDCWD)
		return kp_steal(&path);
	top = dir == AT_FDCWD ? read_link("/proc/%u/cwd", pid)
			      : read_link("/proc/%u/fd/%d", pid, dir);
	return kp_path_join(top, path);
}

/* What differs from run to run becomes "*": what follows these marks. */
static char *generalise(const char *what)
{
	static const char number[] = "0123456789", hex[] = "0123456789abcdef-";
	static const char any[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const struct {
		const char *mark, *digits;
	} varying[] = {
		{ "/.kp-", hex },
		{ "/.new-", "0123456789-" },
		{ "/.tmp_x86_64_", number },
		{ ".tmp", number },
		{ "/proc/", number },
		{ "pipe:[", number },
		{ "socket:[", number },
		{ "/kmodpkg-", any },
		/* rpm's own */
		{ ".ko.xz;", hex },
		{ "/rpm-tmp.", any },
	};
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;

	while (*what) {
		size_t i, n;

		for (i = 0; i < KP_ARRAY_SIZE(varying); i++)
			if (kp_str_starts(what, varying[i].mark))
				break;
		if (i == KP_ARRAY_SIZE(varying)) {
			/* Points are fields of a line. */
			kp_buf_addc(&out, isspace((unsigned char)*what) ? '_' : *what);
			what++;
			continue;
		}
		what += strlen(varying[i].mark);
		n = strspn(what, varying[i].digits);
		kp_buf_addf(&out, "%s%s", varying[i].mark, n ? "*" : "");
		what += n;
	}
	return kp_buf_steal(&out);
}

static bool creates(uint64_t flags)
{
	return flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* What CALL is about, to be freed. NULL: it changes nothing. */
static char *object_of(const struct call *call, const struct seccomp_notif *req)
{
	const __u64 *arg = req->data.args;
	uint32_t pid = req->pid;
	struct open_how how;
	struct clone_args clone;
	int fd = (int)arg[call->at];
	char *path;

	switch (call->object) {
	case OBJ_CLONE_FILE:
		if (arg[1] != FICLONE)
			return NULL;
		/* fall through */
	case OBJ_FD:
		path = read_link("/proc/%u/fd/%d", pid, fd);
		/* No words for people. */
		if (fd < 3 || kp_str_starts(path, "/dev/"))
			free(kp_steal(&path));
		return path;
	case OBJ_PATH:
		return read_path(pid, arg[call->at]);
	case OBJ_PATH_AT:
		return read_path_at(pid, (int)arg[call->at - 1], arg[call->at]);
	case OBJ_OPEN:
		if (!creates(arg[call->at + 1]))
			return NULL;
		return read_path_at(pid, call->at ? (int)arg[call->at - 1] : AT_FDCWD,
				    arg[call->at]);
	case OBJ_OPEN2:
		if (read_memory(pid, arg[2], &how, sizeof(how)) != sizeof(how) ||
		    !creates(how.flags))
			return NULL;
		return read_path_at(pid, (int)arg[0], arg[1]);
	case OBJ_EXEC:
		return read_path(pid, arg[call->at]);
	case OBJ_FORK:
		return arg[call->at] & CLONE_THREAD ? NULL : kp_strdup("");
	case OBJ_FORK3:
		if (read_memory(pid, arg[0], &clone, CLONE_ARGS_SIZE_VER0) < 0 ||
		    clone.flags & CLONE_THREAD)
			return NULL;
		return kp_strdup("");
	default:
		return kp_strdup("");
	}
}

/* ---- points */

static bool is_ours(const struct run *r, pid_t pid)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/exe", (int)pid);
	struct stat st;

	return !stat(path, &st) && st.st_dev == r->program.st_dev &&
	       st.st_ino == r->program.st_ino;
}

/* How many times this was come to before this one. */
static unsigned int count(struct run *r, const char *what)
{
	for (size_t i = 0; i < r->n_counts; i++)
		if (!strcmp(r->counts[i].what, what))
			return ++r->counts[i].n;
	KP_GROW(r->counts, r->n_counts, r->alloc_counts);
	r->counts[r->n_counts++] = (struct count){ .what = kp_strdup(what) };
	return 0;
}

static pid_t parent_of(pid_t pid)
{
	pid_t parent = 0;

	return kp_proc_parent(pid, &parent) < 0 ? 0 : parent;
}

/* Do FN to all that was started here; whose parent has ended is our child, see main(). */
static void for_each_below(struct run *r, void (*fn)(struct run *r, pid_t pid))
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10), up = pid;

		while (up > 0 && up != getpid())
			up = parent_of(up);
		if (up && pid != getpid())
			fn(r, pid);
	}
}

static void stop(struct run *r, pid_t pid)
{
	(void)r;
	kill(pid, SIGSTOP);
}

static void end(struct run *r, pid_t pid)
{
	(void)r;
	kill(pid, SIGKILL);
}

static void tell_left(struct run *r, pid_t pid)
{
	_cleanup_free_ char *name = kp_proc_name(pid);

	fprintf(r->report, "left %s\n", name);
}

/* The fault; an error for the call, or 0: the kernel shall do it. */
static int make_fault(struct run *r, const struct call *call, uint32_t pid)
{
	pid_t victim = (pid_t)pid;

	r->hit = true;
	fprintf(r->report, "hit %u\n", pid);
	for (size_t i = 0; i < KP_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, r->kind) && kinds[i].code)
			return kinds[i].code;
	if (!strcmp(r->kind, "all")) {
		/* Stopped first, so that none escapes by a fork. */
		for_each_below(r, stop);
		for_each_below(r, end);
		return 0;
	}
	if (call->object == OBJ_EXEC && is_ours(r, parent_of(victim)))
		victim = parent_of(victim);
	kill(victim, SIGKILL);
	return 0;
}

/* 0: let the kernel do it. */
static int judge(struct run *r, const struct seccomp_notif *req)
{
	_cleanup_free_ char *object = NULL, *general = NULL, *what = NULL, *point = NULL;
	const struct call *call = NULL;

	if (!is_ours(r, (pid_t)req->pid))
		return 0;
	for (size_t i = 0; !call && i < KP_ARRAY_SIZE(calls); i++)
		if (calls[i].nr == req->data.nr)
			call = &calls[i];
	object = call ? object_of(call, req) : NULL;
	if (!object)
		return 0;
	general = generalise(object);
	what = kp_strf("%s %s", call->name, *general ? general : "-");
	point = kp_strf("%s #%u", what, count(r, what));
	fprintf(r->report, "%s", point);
	for (size_t i = 0; i < KP_ARRAY_SIZE(kinds); i++)
		if (!kinds[i].errors || kinds[i].errors & call->errors)
			fprintf(r->report, " %s", kinds[i].name);
	fputc('\n', r->report);
	if (!r->point || r->hit || strcmp(point, r->point))
		return 0;
	return make_fault(r, call, req->pid);
}

static void answer(struct run *r)
{
	struct seccomp_notif req = { 0 };
	struct seccomp_notif_resp resp = { 0 };
	int code;

	/* ENOENT: killed while it asked. */
	if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0) {
		if (errno != ENOENT && errno != EINTR)
			die("no question");
		return;
	}
	code = judge(r, &req);
	resp.id = req.id;
	resp.error = -code;
	if (!code)
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 && errno != ENOENT)
		die("no answer");
}

static void reap(struct run *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == r->command)
			r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status)
							: WEXITSTATUS(status);
}

static void note_child(int sig)
{
	(void)sig; /* that it ends ppoll() is all */
}

/* Until nobody is left whom the kernel would ask about. */
static void serve(struct run *r)
{
	struct sigaction sa = { .sa_handler = note_child };
	struct pollfd wait = { .fd = r->listener, .events = POLLIN };
	struct timespec limit = { .tv_sec = LEFT_S };
	sigset_t chld, old;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	sigaction(SIGCHLD, &sa, NULL);
	for (;;) {
		int n;

		reap(r);
		n = ppoll(&wait, 1, r->status < 0 ? NULL : &limit, &old);
		if (n < 0)
			continue;
		if (!n) {
			for_each_below(r, tell_left);
			for_each_below(r, end);
			return;
		}
		if (wait.revents & POLLIN)
			answer(r);
		else
			break;
	}
	while (r->status < 0)
		reap(r);
}

int main(int argc, char **argv)
{
	struct run r = { .status = -1 };
	int at = 3;

	if (argc > 5 && strcmp(argv[3], "--")) {
		r.point = argv[3];
		r.kind = argv[4];
		at = 5;
	}
	if (argc < at + 2 || strcmp(argv[at], "--")) {
		fputs("usage: fault PROGRAM REPORT [POINT KIND] -- COMMAND [ARG...]\n",
		      stderr);
		return 125;
	}
	if (stat(argv[1], &r.program) < 0)
		die("%s", argv[1]);
	r.report = fopen(argv[2], "we");
	if (!r.report)
		die("%s", argv[2]);
	/* What is left running becomes our child, and so can be found. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	start(&r, argv + at + 1);
	serve(&r);
	fprintf(r.report, "status %d\n", r.status);
	fclose(r.report);
	return r.status;
}
