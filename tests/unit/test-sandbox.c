// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sandbox, on the real system: what those inside can and cannot do. Run as root, all
 * of it has to hold, except for what kp_sandbox_missing() names; not as root, what is
 * left is tested.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/backend.h"

#include "sandbox-fixture.h"
#include "sandbox-systems.h"

static const char *words; /* that this system's missing mechanism is told with */

static bool is_missing(const char *what)
{
	const char *missing = kp_sandbox_missing();

	return missing && strstr(missing, what);
}

static void test_missing(void **state)
{
	(void)state;
	if (!words)
		skip();
	if (!is_missing(words))
		fail_msg("'%s' does not say '%s'", kp_sandbox_missing(), words);
}

static int try_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? errno : 0;
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
	assert_int_equal(st.st_uid, kp_sandbox_uid(SLOT));
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
	assert_int_not_equal(kp_sandbox_uid(SLOT), kp_sandbox_uid(SLOT + 1));
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

/* Without a view it is Landlock that refuses. */
static void test_writes_elsewhere(void **state)
{
	struct fixture *f = *state;

	if (is_missing("sees and builds"))
		skip();
	_cleanup_free_ char *other = kp_path_join(f->dir, "other"), *script = NULL;
	/* Open to everybody, so that it is not a matter of who. */
	assert_int_equal(mkdir(other, 0777), 0);
	assert_int_equal(chmod(other, 0777), 0);
	script = kp_strf("touch %s/f || rm -r %s || ln -s x %s/l || mkdir %s/d || "
			 "mv %s /tmp",
			 other, other, other, other, other);
	assert_int_not_equal(run(f, script), 0);
	assert_int_equal(access(other, F_OK), 0);
	/* Where it may write it can move and link as everywhere. */
	assert_int_equal(run(f, "mkdir -p a/b c && echo x >a/b/f && mv a/b/f c/g && "
				"ln c/g a/h && mv a/b c && ln -s c l && test -s l/g && "
				"mkfifo p && rm -r a c l p"),
			 0);
	assert_int_equal(
		run(f, "f=$(mktemp) && echo x >$f && rm $f && echo x >/dev/null"), 0);
}

/* The state of others and keys, though their modes would let everybody in. */
static void test_secrets(void **state)
{
	static const char *const names[] = { "state/x", "mok.key", "key", "lock" };
	struct fixture *f = *state;
	const char *locks[] = { NULL, NULL };
	const struct kp_pkgdb_ops ops = { .lock_files = locks };
	struct kp_backend backend = { .ops = &ops };
	char *paths[KP_ARRAY_SIZE(names)];

	if (is_missing("sees and builds"))
		skip();
	_cleanup_free_ char *state_dir = kp_path_join(f->dir, "state");
	assert_int_equal(mkdir(state_dir, 0755), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		paths[i] = kp_path_join(f->dir, names[i]);
		assert_int_equal(kp_write_in(f->ctx.root_fd, paths[i], "secret\n", 7,
					     0644, NULL),
				 0);
	}
	for (int hidden = 0; hidden < 2; hidden++) {
		for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
			_cleanup_free_ char *script =
				kp_strf("exec <%s && cat", paths[i]);
			bool read;

			(void)run(f, script);
			read = strstr(f->output, "secret");
			if (read != !hidden)
				fail_msg("%s: %s", paths[i], f->output);
		}
		f->ctx.state_dir = state_dir;
		f->ctx.dkms_tree = f->dir;
		f->ctx.config.sign_key = paths[2];
		locks[0] = paths[3];
		f->ctx.backend = &backend;
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++)
		free(paths[i]);
}

static void test_set_id(void **state)
{
	struct fixture *f = *state;

	if (is_missing("system calls"))
		skip();
	assert_int_equal(run(f, "cp /bin/true f && chmod 755 f && ! chmod u+s f &&"
				" ! chmod g+s f && ! test -u f && ! test -g f"),
			 0);
	assert_int_equal(run(f, "grep -q '^Seccomp:[[:space:]]*2' /proc/self/status"), 0);
}

/* A socket of the system that everybody may connect to. */
static void test_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct kp_proc_end end;

	if (is_missing("system calls"))
		skip();
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", f->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(chmod(addr.sun_path, 0777), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(try_connect(addr.sun_path), 0);
	assert_int_equal(run_self(f, "--connect", addr.sun_path, NULL, &end, NULL),
			 -ECHILD);
	assert_int_equal(end.exit_code, EPERM);
}

static void test_readonly_bind(void **state)
{
	struct fixture *f = *state;

	if (!kp_sandbox_has_mounts())
		skip();
	_cleanup_free_ char *at = kp_path_join(f->tree, "a/source");
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
	if (is_missing("network"))
		skip();
	if (kp_sandbox_has_mounts())
		assert_int_equal(run(f, "test \"$(grep -c : /proc/net/dev)\" = 1"), 0);
	assert_int_not_equal(run(f, "echo >/dev/tcp/127.0.0.1/1"), 0);
	/* Refused by the filter, by Landlock, or for want of a route; not by nobody who listens. */
	assert_null(strstr(f->output, "refused"));
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

static void *stop_all(void *fd)
{
	char c;

	/* Once whoever is waited for has ended. */
	while (read(*(int *)fd, &c, 1) > 0)
		;
	for (;;)
		kill(-1, SIGSTOP);
	return NULL;
}

/* Leave a process behind that stops all it may, on several processors. Only as UID, who nobody else is. */
static int fight(uid_t uid)
{
	int until[2], ready[2];
	pthread_t thread;
	char c;

	if (getuid() != uid || uid < 1000 || pipe(until) || pipe(ready))
		return 1;
	if (fork())
		_exit(read(ready[0], &c, 1) != 1); /* without a sanitizer's look back */
	close(until[1]);
	for (int i = 0; i < 3; i++)
		if (pthread_create(&thread, NULL, stop_all, &until[0]))
			return 1;
	if (write(ready[1], "r", 1) == 1)
		stop_all(&until[0]);
	return 1;
}

/* Who ends those that are left cannot be stopped by them. */
static void test_fights_back(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct kp_proc_end end;

	if (!own_uid())
		skip();
	_cleanup_free_ char *uid = kp_strf("%u", kp_sandbox_uid(SLOT));
	for (int i = 0; i < 10; i++)
		if (run_self(f, "--fight", uid, NULL, &end, &err))
			fail_msg("%s", err.text);
}

static void test_others(void **state)
{
	struct fixture *f = *state;
	if (!own_uid() || is_missing("processes"))
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

/* Another root may have given the same slot away: who ends here does not end those there. */
static void test_neighbour(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *here = kp_path_join(f->out, "here");
	_cleanup_free_ char *back = kp_path_join(f->out, "back");
	_cleanup_close_ int here_fd = -1, back_fd = -1;
	int status;
	char line[8];
	pid_t pid;

	if (geteuid())
		skip();
	assert_int_equal(mkfifo(here, 0666) | mkfifo(back, 0666), 0);
	assert_int_equal(chmod(here, 0666) | chmod(back, 0666), 0);
	here_fd = open(here, O_RDWR | O_CLOEXEC);
	back_fd = open(back, O_RDWR | O_CLOEXEC);
	pid = fork();
	if (pid == 0)
		_exit(run(f, "echo here >here; read -r line <back; exit 5"));
	assert_int_equal(read(here_fd, line, sizeof(line)), 5);
	assert_int_equal(run(f, "(setsid sleep 1000 &)"), 0);
	assert_int_equal(write(back_fd, "back\n", 5), 5);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 5 << 8);
}

/* When the caller is killed, those inside go too. */
static void test_death(void **state)
{
	struct fixture *f = *state;

	if (!can_watch())
		skip();
	_cleanup_free_ char *fifo = kp_path_join(f->out, "fifo");
	_cleanup_free_ char *arg = long_sleep();
	_cleanup_free_ char *script =
		kp_strf("sleep %s & echo here >fifo; sleep %s", arg, arg);
	const struct timespec pause = { .tv_nsec = 1000000 };
	char line[16];
	pid_t pid;
	int fd;

	assert_int_equal(
		chown(f->out, kp_sandbox_uid(SLOT + 1), kp_sandbox_uid(SLOT + 1)), 0);
	/* A slot of its own: the init that is left behind is at it for a while. */
	f->sb.slot = SLOT + 1;
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

static int test_system(const struct system *system)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_command),	  TEST(test_no_program),
		TEST(test_identity),	  TEST(test_writes),
		TEST(test_readonly_bind), TEST(test_bind_tmp_and_home),
		TEST(test_bind_nowhere),  TEST(test_network),
		TEST(test_daemon),	  TEST(test_others),
		TEST(test_timeout),	  TEST(test_output_limit),
		TEST(test_interrupt),	  TEST(test_neighbour),
		TEST(test_death),	  TEST(test_keep_fds),
		TEST(test_required),	  TEST(test_writes_elsewhere),
		TEST(test_secrets),	  TEST(test_set_id),
		TEST(test_socket),	  TEST(test_missing),
		TEST(test_fights_back),
	};

	words = system->missing;
	print_message("# %s: missing: %s\n", system->name,
		      kp_sandbox_missing() ?: "nothing");
	return cmocka_run_group_tests_name(system->name, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	bool ok = true;

	if (argc == 3 && !strcmp(argv[1], "--connect"))
		return try_connect(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--fight"))
		return fight((uid_t)atoi(argv[2]));
	for (size_t i = 0; i < N_SYSTEMS; i++)
		ok = passes_on(&systems[i], test_system) && ok;
	return !ok;
}
