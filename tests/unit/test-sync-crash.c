// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Killed at every point: a sync or a drain runs traced and is killed before its first change
 * of the file system, its second, and so on until it ends by itself. What is left each time has
 * to heal with the next run, to the same end.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "system.h"

/* Have the tracer told of each change of a file by this process and those it starts. */
static int report_changes(void)
{
	static const unsigned int calls[] = {
		SYS_renameat2, SYS_unlinkat,	    SYS_mkdirat,
		SYS_symlinkat, SYS_fsync,	    SYS_ftruncate,
		SYS_fchmod,    SYS_copy_file_range, SYS_write,
#ifdef SYS_renameat
		SYS_renameat,
#endif
	};
	struct sock_filter filter[2 * KP_ARRAY_SIZE(calls) + 2];
	struct sock_fprog program = { 0, filter };

	filter[program.len++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < KP_ARRAY_SIZE(calls); i++) {
		filter[program.len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		filter[program.len++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	}
	filter[program.len++] =
		(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* Run FN and kill it before change number N. False: it ended by itself. */
static bool killed_at(struct test_system *s, void (*fn)(struct test_system *s), size_t n)
{
	int status;
	pid_t pid = fork(), stopped;

	assert_true(pid >= 0);
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) ||
		    report_changes() < 0)
			_exit(100);
		fn(s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL,
				PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK |
					PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
					PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL),
			 0);
	stopped = pid;
	for (long signal = 0;;) {
		if (WIFSTOPPED(status))
			assert_int_equal(ptrace(PTRACE_CONT, stopped, NULL, signal), 0);
		stopped = waitpid(-1, &status, __WALL);
		assert_true(stopped > 0);
		if (stopped == pid && !WIFSTOPPED(status)) {
			assert_int_equal(status, 0);
			return false;
		}
		/* What a process below does that it waits for is one step of it. */
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8) &&
		    stopped == pid && !n--)
			break;
		signal = WSTOPSIG(status);
		if (status >> 16 || signal == SIGSTOP)
			signal = 0;
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return true;
}

static void run_sync(struct test_system *s)
{
	if (test_sync_rc(s, NULL) < 0) {
		fprintf(stderr, "%s\n", s->err.text);
		_exit(1);
	}
}

static void run_drain(struct test_system *s)
{
	if (kp_drain(s->ctx, NULL) < 0)
		_exit(1);
}

static void hold(struct test_system *s, enum kp_intent_kind kind)
{
	test_say(s, "hello", "1.0", K1, kind);
}

/* hello/1.0 for the one kernel, with two files. */
static struct test_system *published(void **state)
{
	struct test_system *s = test_system(state);

	test_remove_kernel(s, K2);
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, "hello", "extra", NULL);
	return s;
}

static void assert_whole(struct test_system *s, const char *version)
{
	test_assert_installed(s, "hello", version, K1);
	test_assert_settled(s);
}

static void assert_gone(struct test_system *s)
{
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates"));
	test_assert_settled(s);
}

static void while_it_installs(void **state)
{
	struct test_system *s = published(state);
	size_t n = 0;

	for (bool killed = true; killed; n++) {
		hold(s, KP_INTENT_HOLD);
		test_sync(s);
		assert_gone(s);
		hold(s, KP_INTENT_NONE);
		killed = killed_at(s, run_sync, n);
		test_sync(s);
		test_assert_not_said(s, "is missing, restoring");
		assert_whole(s, "1.0");
	}
	/* There was something to be killed at. */
	assert_true(n > 20);
}

static void while_it_erases(void **state)
{
	struct test_system *s = published(state);
	size_t n = 0;

	for (bool killed = true; killed; n++) {
		hold(s, KP_INTENT_NONE);
		test_sync(s);
		assert_whole(s, "1.0");
		hold(s, KP_INTENT_HOLD);
		killed = killed_at(s, run_sync, n);
		test_sync(s);
		assert_gone(s);
	}
	assert_true(n > 20);
}

/* In a transaction; what heals is the end of the same one, or the next trigger and then it. */
static void while_it_places(void **state)
{
	struct test_system *s = published(state);
	size_t n = 0;

	for (bool killed = true; killed; n++) {
		hold(s, KP_INTENT_HOLD);
		test_sync(s);
		hold(s, KP_INTENT_NONE);
		test_fake(s, "lock", "must-defer");
		killed = killed_at(s, run_sync, n);
		test_sync(s);
		test_assert_placed(s, "hello", "1.0", K1);
		assert_int_equal(test_queue_length(s), 1);
		test_fake(s, "lock", "can-commit");
		test_drain(s);
		assert_whole(s, "1.0");
		test_fake(s, "lock", NULL);
	}
	assert_true(n > 20);
}

static void while_it_drains(void **state)
{
	struct test_system *s = published(state);
	size_t n = 0;

	for (bool killed = true; killed; n++) {
		hold(s, KP_INTENT_HOLD);
		test_sync(s);
		hold(s, KP_INTENT_NONE);
		test_fake(s, "lock", "must-defer");
		test_sync(s);
		test_fake(s, "lock", NULL);
		killed = killed_at(s, run_drain, n);
		/* The next run may be the one or the other. */
		if (n % 2)
			test_drain(s);
		else
			test_sync(s);
		assert_whole(s, "1.0");
	}
	assert_true(n > 20);
}

static void while_it_upgrades(void **state)
{
	struct test_system *s = published(state);
	size_t n = 0;

	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	for (bool killed = true; killed; n++) {
		test_say(s, "hello", "1.0", K1, KP_INTENT_PIN);
		test_sync(s);
		assert_whole(s, "1.0");
		hold(s, KP_INTENT_NONE);
		test_fake(s, "lock", n % 2 ? "must-defer" : NULL);
		killed = killed_at(s, run_sync, n / 2);
		test_fake(s, "lock", NULL);
		test_sync(s);
		assert_whole(s, "2.0");
		assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	}
	assert_true(n > 20);
}

static void while_it_registers(void **state)
{
	struct test_system *s = test_system(state);
	size_t n = 0;

	test_put(&s->root, "/etc/dkms/no-autoinstall", "");
	for (bool killed = true; killed; n++) {
		test_add_source(s, "hello", "1.0", NULL);
		test_own(s, "hello-dkms", "/usr/src/hello-1.0/dkms.conf");
		killed = killed_at(s, run_sync, n);
		test_sync(s);
		assert_true(test_exists(s, "/var/lib/dkms/hello/1.0/source"));
		assert_true(test_exists(s, "/var/lib/kmodpkg/registered/hello/1.0"));
		assert_int_equal(kp_rm_rf_in(s->root.fd, "/usr/src/hello-1.0", NULL), 0);
		test_disown(s, "hello-dkms");
		killed |= killed_at(s, run_sync, n);
		test_sync(s);
		assert_false(test_exists(s, "/var/lib/dkms/hello"));
		assert_false(test_exists(s, "/var/lib/kmodpkg/builds/hello"));
		assert_false(test_exists(s, "/var/lib/kmodpkg/registered/hello/1.0"));
	}
	assert_true(n > 5);
}

/* The very end: all is committed, and the kernel is still to be settled. */
static void a_mark_alone(void **state)
{
	struct test_system *s = published(state);

	test_sync(s);
	assert_int_equal(unlink("/lib/modules/" K1 "/modules.dep"), 0);
	assert_int_equal(kp_unsettled_mark(s->ctx, K1, NULL, NULL), 0);
	test_sync(s);
	assert_whole(s, "1.0");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(while_it_installs), SYSTEM_TEST(while_it_erases),
		SYSTEM_TEST(while_it_places),	SYSTEM_TEST(while_it_drains),
		SYSTEM_TEST(while_it_upgrades), SYSTEM_TEST(while_it_registers),
		SYSTEM_TEST(a_mark_alone),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
