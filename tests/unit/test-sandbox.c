// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sandbox, on the real system: what those inside can and cannot do. Run as root, all
 * of it has to hold, except for what kp_sandbox_missing() names; not as root, what is
 * left is tested.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox.h"

struct fixture {
	struct kp_ctx ctx;
	char dir[32]; /* on the real system */
	char *out, *tree;
	struct kp_sandbox_bind binds[2];
	struct kp_sandbox sb;
	char *output; /* of the last run */
};

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));

	strcpy(f->dir, "/var/tmp/kp-sandbox-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	f->ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->out = kp_path_join(f->dir, "out");
	f->tree = kp_path_join(f->dir, "tree");
	assert_int_equal(mkdir(f->out, 0700), 0);
	assert_int_equal(mkdir(f->tree, 0755), 0);
	if (!geteuid())
		assert_int_equal(chown(f->out, kp_sandbox_uid(1), kp_sandbox_uid(1)), 0);
	f->binds[0] = (struct kp_sandbox_bind){ f->out, f->out, true };
	f->sb = (struct kp_sandbox){
		.slot = 1, .binds = f->binds, .n_binds = 1, .timeout_s = 60
	};
	if (kp_sandbox_has_mounts()) {
		f->binds[0].at = kp_strf("%s/build", f->tree);
		f->sb.scratch = f->tree;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL);
	if (f->binds[0].at != f->out)
		free((char *)f->binds[0].at);
	free(f->output);
	free(f->out);
	free(f->tree);
	close(f->ctx.root_fd);
	free(f);
	return 0;
}

static int run_end(struct fixture *f, const char *script, struct kp_proc_end *end,
		   struct kp_err *err)
{
	const char *const argv[] = { "/bin/bash", "-c", script, NULL };
	_cleanup_free_ char *log = kp_path_join(f->dir, "log");
	_cleanup_close_ int fd =
		open(log, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	const struct kp_proc proc = {
		.argv = argv, .cwd = f->binds[0].at, .out_fd = fd, .err_fd = fd
	};
	int rc;

	if (!f->sb.max_output)
		f->sb.max_output = 1 << 20;
	rc = kp_sandbox_run(&f->ctx, &f->sb, &proc, end, err);
	free(f->output);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(kp_read_fd(fd, 0, &f->output, NULL), 0);
	return rc;
}

/* The exit code of a shell command inside. */
static int run(struct fixture *f, const char *script)
{
	struct kp_proc_end end = { -2, 0 };
	struct kp_err err = KP_ERR_INIT;
	int rc = run_end(f, script, &end, &err);

	if (rc && rc != -ECHILD)
		fail_msg("%s", err.text);
	return end.signal ? -end.signal : end.exit_code;
}

/* Do those inside run as somebody else? */
static bool own_uid(void)
{
	return kp_sandbox_uid(1) != geteuid();
}

static void test_command(void **state)
{
	struct fixture *f = *state;
	struct kp_proc_end end;
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(run(f, "echo out; echo err >&2; echo yes >file"), 0);
	assert_string_equal(f->output, "out\nerr\n");
	assert_int_equal(run(f, "exit 7"), 7);
	assert_int_equal(run(f, "kill -TERM $$"), -SIGTERM);
	assert_int_equal(run_end(f, "exit 7", &end, &err), -ECHILD);
	assert_string_equal(err.text, "/bin/bash exited with 7");
	/* The file is there outside, and belongs to the slot. */
	struct stat st;
	_cleanup_free_ char *file = kp_path_join(f->out, "file");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_uid, kp_sandbox_uid(1));
}

static void test_no_program(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = { "/nonexistent", NULL };
	const struct kp_proc proc = { .argv = argv };
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(kp_sandbox_run(&f->ctx, &f->sb, &proc, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent"));
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	if (!own_uid())
		skip();
	assert_int_not_equal(kp_sandbox_uid(1), kp_sandbox_uid(2));
	assert_int_equal(run(f, "set -e; test $(id -u) -ne 0; test $(id -u) -ne 65534\n"
				"test \"$(id -G)\" = \"$(id -u)\"\n"
				"grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status\n"
				"grep -q '^CapPrm:[[:space:]]*0*$' /proc/self/status\n"
				"grep -q '^CapBnd:[[:space:]]*0*$' /proc/self/status\n"
				"grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status\n"
				"test $(ulimit -c) = 0; test $(umask) = 0022\n"
				"ulimit -u | grep -q '^[0-9]'"),
			 0);
}

static void test_writes(void **state)
{
	struct fixture *f = *state;

	if (!kp_sandbox_has_mounts())
		skip();
	assert_int_equal(run(f, "echo x >a && echo x >/tmp/b && echo x >/dev/null &&"
				" echo x >/dev/shm/c"),
			 0);
	assert_int_equal(run(f, "test -e a && ! test -e /tmp/b && ! test -e /dev/shm/c"),
			 0);
	assert_int_equal(run(f,
			     "for d in /etc /usr /var/tmp /var/log /dev /proc .. / /home"
			     " /root /run; do echo x >$d/kp-x && exit 1; done; exit 0"),
			 0);
	/* Not a matter of the uid alone. */
	assert_int_equal(run(f, "echo x >/var/tmp/kp-x"), 1);
	assert_non_null(strstr(f->output, "Read-only file system"));
	assert_int_equal(run(f, "test -z \"$(ls -A /home /root /run | grep -v :)\""), 0);
	/* scratch holds what was bound there and nothing else. */
	assert_int_equal(run(f, "test \"$(ls -A ..)\" = build"), 0);
	assert_int_equal(access("/tmp/b", F_OK), -1);
}

static void test_readonly_bind(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *at = kp_path_join(f->tree, "a/source");

	if (!kp_sandbox_has_mounts())
		skip();
	f->binds[1] = (struct kp_sandbox_bind){ f->out, at, false };
	f->sb.n_binds = 2;
	assert_int_equal(run(f, "echo x >f && test -s ../a/source/f"), 0);
	assert_int_equal(run(f, "echo x >../a/source/g"), 1);
	assert_non_null(strstr(f->output, "Read-only file system"));
	assert_int_equal(run(f, "mount -o remount,rw,bind ../a/source"), 32);
}

static void test_bind_tmp_and_home(void **state)
{
	struct fixture *f = *state;

	if (!kp_sandbox_has_mounts() || access("/home", F_OK))
		skip();
	f->binds[1] = (struct kp_sandbox_bind){ f->out, "/tmp", true };
	f->sb.n_binds = 2;
	assert_int_equal(run(f, "echo x >/tmp/f && test -s f"), 0);
	f->binds[1] = (struct kp_sandbox_bind){ f->out, "/home/a/b", false };
	assert_int_equal(run(f, "test -s /home/a/b/f && ! test -e /tmp/f"), 0);
}

static void test_bind_nowhere(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct kp_proc_end end;

	f->binds[1] = (struct kp_sandbox_bind){ f->out, "/usr/kp-nowhere", false };
	f->sb.n_binds = 2;
	assert_int_equal(run_end(f, "true", &end, &err),
			 kp_sandbox_has_mounts() ? -ENOENT : -ENOTSUP);
	assert_non_null(strstr(err.text, "/usr/kp-nowhere"));
}

static void test_network(void **state)
{
	struct fixture *f = *state;
	const char *missing = kp_sandbox_missing();

	if (missing && strstr(missing, "network"))
		skip();
	assert_int_equal(run(f, "test \"$(grep -c : /proc/net/dev)\" = 1"), 0);
	assert_int_not_equal(run(f, "echo >/dev/tcp/127.0.0.1/1"), 0);
	assert_non_null(strstr(f->output, "unreachable"));
}

static bool alive(pid_t pid)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/stat", pid);
	_cleanup_free_ char *text = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is;

	if (fd < 0)
		return false;
	is = !kp_read_fd(fd, 0, &text, NULL) && !strstr(text, ") Z ");
	close(fd);
	return is;
}

/* Can we tell those inside from others? */
static bool can_watch(void)
{
	return own_uid() && !access("/proc/self", F_OK);
}

/* How long the processes sleep that must not survive: a number by which they are told from those
 * of anybody else who uses this uid on the machine. To be freed. */
static char *long_sleep(void)
{
	return kp_strf("1000.%d", getpid());
}

/* Does a process live that was given ARG? */
static bool anybody_sleeps(const char *arg)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *e;

	assert_non_null(proc);
	while ((e = readdir(proc))) {
		_cleanup_free_ char *path = kp_strf("/proc/%s/cmdline", e->d_name);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		char line[256] = "";
		ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);

		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && n > 6 &&
		    !strcmp(line, "sleep") && !strcmp(line + 6, arg) &&
		    alive(atoi(e->d_name)))
			return true;
	}
	return false;
}

static void test_daemon(void **state)
{
	struct fixture *f = *state;

	_cleanup_free_ char *arg = long_sleep();
	_cleanup_free_ char *script = kp_strf(
		"(setsid sleep %s &) ; setsid sleep %s & disown; echo a", arg, arg);

	/* The daemon holds our output too: the run must not wait for it. */
	assert_int_equal(run(f, script), 0);
	assert_string_equal(f->output, "a\n");
	if (can_watch())
		assert_false(anybody_sleeps(arg));
}

static void test_others(void **state)
{
	struct fixture *f = *state;
	const char *missing = kp_sandbox_missing();

	if (!own_uid() || (missing && strstr(missing, "processes")))
		skip();
	_cleanup_free_ char *script =
		kp_strf("set -- /proc/[0-9]*; test $# -lt 8; ! kill -0 %d; ! kill -9 1",
			getpid());
	assert_int_equal(run(f, script), 0);
}

static void test_timeout(void **state)
{
	struct fixture *f = *state;
	struct kp_proc_end end;
	struct kp_err err = KP_ERR_INIT;
	_cleanup_free_ char *arg = long_sleep();
	_cleanup_free_ char *script =
		kp_strf("trap '' TERM; sleep %s; sleep %s", arg, arg);

	f->sb.timeout_s = 1;
	assert_int_equal(run_end(f, script, &end, &err), -ETIME);
	assert_non_null(strstr(err.text, "was killed"));
	if (can_watch())
		assert_false(anybody_sleeps(arg));
}

static void test_output_limit(void **state)
{
	struct fixture *f = *state;

	f->sb.max_output = 1000;
	assert_int_equal(run(f, "yes | head -c 100000000; exit 3"), 3);
	assert_int_equal(strspn(f->output, "y\n"), 1001);
	assert_string_equal(f->output + 1001, "[the rest of the output is left out]\n");
}

static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct kp_proc_end end;
	struct kp_err err = KP_ERR_INIT;
	sigset_t mask, old, pending;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &old);
	raise(SIGTERM);
	assert_int_equal(run_end(f, "sleep 1000", &end, &err), -EINTR);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGTERM));
	sigwaitinfo(&mask, NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* When the caller is killed, those inside go too. */
static void test_death(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *fifo = kp_path_join(f->out, "fifo");
	_cleanup_free_ char *arg = long_sleep();
	_cleanup_free_ char *script =
		kp_strf("sleep %s & echo here >fifo; sleep %s", arg, arg);
	const struct timespec pause = { .tv_nsec = 1000000 };
	char line[16];
	pid_t pid;
	int fd;

	if (!can_watch())
		skip();
	assert_int_equal(chown(f->out, kp_sandbox_uid(2), kp_sandbox_uid(2)), 0);
	/* A slot of its own: the init that is left behind cleans it for a while. */
	f->sb.slot = 2;
	assert_int_equal(mkfifo(fifo, 0666), 0);
	assert_int_equal(chmod(fifo, 0666), 0);
	fd = open(fifo, O_RDWR | O_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		run_end(f, script, NULL, NULL);
		_exit(write(fd, "end", 3) != 3);
	}
	assert_int_equal(read(fd, line, sizeof(line)), 5);
	for (int i = 0; i < 5000 && !anybody_sleeps(arg); i++)
		nanosleep(&pause, NULL);
	assert_true(anybody_sleeps(arg));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 5000 && anybody_sleeps(arg); i++)
		nanosleep(&pause, NULL);
	assert_false(anybody_sleeps(arg));
	close(fd);
}

static void test_keep_fds(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = { "/bin/sh", "-c",
				     "echo x >&7 && ! (echo y >&8) 2>/dev/null", NULL };
	int keep = 7, fds[2];
	struct kp_proc proc = { .argv = argv, .keep_fds = &keep, .n_keep_fds = 1 };
	char c[4];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup3(fds[1], 7, O_CLOEXEC), 7);
	assert_int_equal(dup3(fds[1], 8, O_CLOEXEC), 8);
	assert_int_equal(kp_sandbox_run(&f->ctx, &f->sb, &proc, NULL, NULL), 0);
	assert_int_equal(read(fds[0], c, sizeof(c)), 2);
	close(7);
	close(8);
	close(fds[0]);
	close(fds[1]);
}

static void test_required(void **state)
{
	struct fixture *f = *state;
	const char *const argv[] = { "/bin/true", NULL };
	const struct kp_proc proc = { .argv = argv };

	f->ctx.config.sandbox_required = true;
	assert_int_equal(kp_sandbox_run(&f->ctx, &f->sb, &proc, NULL, NULL),
			 kp_sandbox_missing() ? -EPERM : 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_command),	  TEST(test_no_program),
		TEST(test_identity),	  TEST(test_writes),
		TEST(test_readonly_bind), TEST(test_bind_tmp_and_home),
		TEST(test_bind_nowhere),  TEST(test_network),
		TEST(test_daemon),	  TEST(test_others),
		TEST(test_timeout),	  TEST(test_output_limit),
		TEST(test_interrupt),	  TEST(test_death),
		TEST(test_keep_fds),	  TEST(test_required),
	};

	print_message("missing here: %s\n", kp_sandbox_missing() ?: "nothing");
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
