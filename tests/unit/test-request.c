// SPDX-License-Identifier: GPL-2.0-or-later
/* Syncs that meet: one below another, and two side by side. */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/lock.h"
#include "lib/sync-request.h"
#include "system.h"

#define REQUEST "/run/kmodpkg/request"

static void set_guard(pid_t pid)
{
	_cleanup_free_ char *text = kp_strf("%d", (int)pid);

	assert_int_equal(setenv("KMODPKG_SYNC", text, 1), 0);
}

static int clear_guard(void **state)
{
	unsetenv("KMODPKG_SYNC");
	return test_system_teardown(state);
}

static void guard_of_an_ancestor(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	set_guard(getppid());
	assert_true(kp_sync_is_nested());
	test_sync(s);
	assert_int_equal(s->result.installed, 0);
	assert_true(test_exists(s, REQUEST));
	test_assert_absent(s, "hello", K1);
	/* The outer one drains. */
	test_drain(s);
	unsetenv("KMODPKG_SYNC");
	assert_false(kp_sync_is_nested());
	assert_true(kp_sync_take_request(s->ctx));
	assert_false(kp_sync_take_request(s->ctx));
}

/* A process that is there, and one that is not, and what is no process at all. */
static void stale_guards(void **state)
{
	struct test_system *s = test_system(state);
	static const char *const wrong[] = { "",	  "0", "1",
					     "-5",	  "x", "99999999999999999999",
					     "2147483647" };
	pid_t other = fork();

	if (!other)
		_exit(pause());
	assert_true(other > 0);
	set_guard(other);
	assert_false(kp_sync_is_nested());
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_remove_kernel(s, K2);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_false(test_exists(s, REQUEST));
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
	set_guard(other);
	assert_false(kp_sync_is_nested());
	set_guard(getpid());
	assert_false(kp_sync_is_nested());
	for (size_t i = 0; i < KP_ARRAY_SIZE(wrong); i++) {
		setenv("KMODPKG_SYNC", wrong[i], 1);
		assert_false(kp_sync_is_nested());
	}
}

static void the_guard_does_not_outlive_the_sync(void **state)
{
	struct test_system *s = test_system(state);

	test_sync(s);
	assert_null(getenv("KMODPKG_SYNC"));
	test_drain(s);
	assert_null(getenv("KMODPKG_SYNC"));
}

/* What a sync that died has not taken any more does no harm. */
static void left_behind_request(void **state)
{
	struct test_system *s = test_system(state);

	test_put(&s->root, REQUEST, "sync\n");
	test_sync(s);
	assert_false(test_exists(s, REQUEST));
	test_assert_not_said(s, "kept changing");
}

/* A script of a module (as a maintainer script or a hook would) registers another one and
 * asks for a sync: the outer one makes another round. */
static void command_below_a_sync(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", "POST_INSTALL=\"register\"\n");
	/* This program again: see main(). */
	test_put(&s->root, "/usr/src/hello-1.0/register",
		 "#!/bin/sh\nset -e\nmkdir -p /var/lib/dkms/second/1.0\n"
		 "ln -s /usr/src/second-1.0 /var/lib/dkms/second/1.0/source\n"
		 "/test-program nested\n");
	assert_int_equal(chmod("/usr/src/hello-1.0/register", 0755), 0);
	test_copy_self(s, "/test-program");
	test_remove_kernel(s, K2);
	test_register(s, "second", "1.0", NULL);
	test_publish(s, "second", "1.0", K1, NULL);
	assert_int_equal(unlink("/var/lib/dkms/second/1.0/source"), 0);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	test_assert_not_said(s, "warning");
	assert_int_equal(s->result.installed, 2);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "second", "1.0", K1);
	test_assert_settled(s);
	assert_false(test_exists(s, REQUEST));
}

/* What is refused is tried once in a run, whatever asks for further rounds (as dpkg's trigger does
 * after each commit). */
static void refused_once(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *tried = NULL;
	size_t len;

	test_register(s, "hello", "1.0", "PRE_INSTALL=\"refuse\"\n");
	test_put(&s->root, "/usr/src/hello-1.0/refuse",
		 "#!/bin/sh\necho once >>/tried\n/test-program nested\nexit 1\n");
	assert_int_equal(chmod("/usr/src/hello-1.0/refuse", 0755), 0);
	test_copy_self(s, "/test-program");
	test_remove_kernel(s, K2);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	assert_int_equal(s->result.failed, 1);
	test_assert_not_said(s, "kept changing");
	assert_int_equal(kp_read_in(s->root.fd, "/tried", 0, &tried, &len), 0);
	assert_string_equal(tried, "once\n");
}

/* ---- two at once ---- */

static int pipes[2][2];

/* Wait for the start, sync, say how it went. */
static void sync_when_told(struct test_system *s)
{
	char c;

	if (read(pipes[0][0], &c, 1) != 1 || test_sync_rc(s, NULL) < 0)
		_exit(1);
	_exit(0);
}

static void two_at_once(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *log = NULL;
	pid_t pids[4];
	int status;

	test_register(s, "hello", "1.0", NULL);
	test_register(s, "other", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_publish(s, "other", "1.0", K1, NULL);
	test_publish(s, "other", "1.0", K2, NULL);
	assert_int_equal(pipe2(pipes[0], O_CLOEXEC), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (!pids[i])
			sync_when_told(s);
	}
	assert_int_equal(write(pipes[0][1], "1234", 4), 4);
	for (size_t i = 0; i < KP_ARRAY_SIZE(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	close(pipes[0][0]);
	close(pipes[0][1]);
	/* One of them did it all, in one transaction. */
	test_assert_fake_log(s, "begin\nadd kmod-hello-" K1 "\nadd kmod-hello-" K2
				"\nadd kmod-other-" K1 "\nadd kmod-other-" K2
				"\nend\nsettle kmod-hello-" K1 "\nsettle kmod-hello-" K2
				"\nsettle kmod-other-" K1 "\nsettle kmod-other-" K2 "\n");
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "other", "1.0", K2);
	test_assert_settled(s);
}

/* A drain that finds our lock taken waits; what it would do is done once. */
static void drain_beside_a_sync(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_close_ int lock = -1;
	struct kp_err err = KP_ERR_INIT;
	int status;
	pid_t pid;

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_fake(s, "lock", NULL);
	assert_int_equal(kp_lock_main(s->ctx, "test", 0, &lock, &err), 0);
	assert_int_equal(pipe2(pipes[0], O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(lock); /* ours, and so the lock, but for the parent's */
		/* Says that it waits. */
		kp_log_set_sink(NULL, NULL);
		dup2(pipes[0][1], STDERR_FILENO);
		_exit(kp_drain(s->ctx, NULL) < 0);
	}
	close(pipes[0][1]);
	{
		struct pollfd p = { .fd = pipes[0][0], .events = POLLIN };

		assert_int_equal(poll(&p, 1, 30000), 1);
	}
	assert_int_equal(test_queue_length(s), 2);
	close(kp_steal_fd(&lock));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pipes[0][0]);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

#define GUARD_TEST(t) cmocka_unit_test_setup_teardown(t, test_system_setup, clear_guard)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		GUARD_TEST(guard_of_an_ancestor),
		GUARD_TEST(stale_guards),
		GUARD_TEST(the_guard_does_not_outlive_the_sync),
		GUARD_TEST(left_behind_request),
		GUARD_TEST(command_below_a_sync),
		GUARD_TEST(refused_once),
		GUARD_TEST(two_at_once),
		GUARD_TEST(drain_beside_a_sync),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
