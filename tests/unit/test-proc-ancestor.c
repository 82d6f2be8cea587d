// SPDX-License-Identifier: GPL-2.0-or-later
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <kmodpkg/proc.h>

#include "test.h"

static pid_t grandparent;

/* Run FN, which uses up the process, two generations below. */
static void in_child(int (*fn)(void))
{
	int status;
	pid_t pid;

	grandparent = getpid();
	pid = fork();
	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int look_up_from_below(void)
{
	pid_t sibling, middle = getpid();
	int status;

	/* What reads /proc/PID/stat must not be led astray by a name. */
	prctl(PR_SET_NAME, "x) R 1 (y) Z");
	sibling = fork();
	if (!sibling)
		_exit(pause());
	if (fork()) {
		wait(&status);
		kill(sibling, SIGKILL);
		return status ? 100 : 0;
	}
	if (kp_proc_is_ancestor(middle) != 1)
		_exit(1);
	if (kp_proc_is_ancestor(grandparent) != 1)
		_exit(2);
	if (kp_proc_is_ancestor(getpid()) || kp_proc_is_ancestor(sibling))
		_exit(3);
	if (kp_proc_is_ancestor(0) || kp_proc_is_ancestor(-1) ||
	    kp_proc_is_ancestor(INT32_MAX))
		_exit(4);
	_exit(0);
}

static void ancestors(void **state)
{
	(void)state;
	in_child(look_up_from_below);
}

/* As in a chroot that has no /proc: the parent is known, of others nothing. */
static int look_up_without_proc(void)
{
	int status;

	if (fork()) {
		wait(&status);
		return status ? 100 : 0;
	}
	if (test_forbid_syscall(SYS_openat, ENOENT) < 0)
		_exit(1);
	if (kp_proc_is_ancestor(getppid()) != 1)
		_exit(2);
	_exit(kp_proc_is_ancestor(grandparent) != -ENOENT);
}

static void ancestors_without_proc(void **state)
{
	(void)state;
	in_child(look_up_without_proc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ancestors),
		cmocka_unit_test(ancestors_without_proc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
