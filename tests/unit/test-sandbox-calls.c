// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The filter of system calls, for itself: as root with all capabilities, so that it is the
 * filter that refuses. Arguments are such that nothing happens where it does not: the kernel
 * then has another error.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "lib/sandbox-filter.h"

struct
try {
	const char *name;
	long nr, args[6];
	int error; /* with the filter; 0: it passes */
};

/* Numbers that headers may lack: those from 424 on are the same everywhere. */
static const struct try tries[] = {
	{ "mount", SYS_mount, { 0, 1, 1, 0, 0 }, EPERM },
	{ "umount", SYS_umount2, { 1, 0 }, EPERM },
	{ "pivot_root", SYS_pivot_root, { 1, 1 }, EPERM },
	{ "chroot", SYS_chroot, { 1 }, EPERM },
	{ "setns", SYS_setns, { -1, 0 }, EPERM },
	{ "unshare of files", SYS_unshare, { CLONE_FILES }, 0 },
	{ "unshare of users", SYS_unshare, { CLONE_NEWUSER | 1 }, EPERM },
	{ "unshare of time", SYS_unshare, { 0x80 | 1 }, EPERM },
	{ "clone3", 435, { 1, 0 }, ENOSYS },
	{ "open_tree", 428, { -1, 1, 0 }, EPERM },
	{ "move_mount", 429, { -1, 1, -1, 1, 0 }, EPERM },
	{ "fsopen", 430, { 1, 0 }, EPERM },
	{ "mount_setattr", 442, { -1, 1, 0, 0, 0 }, EPERM },
	{ "ptrace", SYS_ptrace, { -1, -1, 0, 0 }, EPERM },
	{ "process_vm_readv", SYS_process_vm_readv, { -1, 0, 0, 0, 0, 0 }, EPERM },
	{ "process_vm_writev", SYS_process_vm_writev, { -1, 0, 0, 0, 0, 0 }, EPERM },
	{ "pidfd_getfd", 438, { -1, 0, 0 }, EPERM },
	{ "add_key", SYS_add_key, { 1, 1, 0, 0, 0 }, EPERM },
	{ "request_key", SYS_request_key, { 1, 1, 0, 0 }, EPERM },
	{ "keyctl", SYS_keyctl, { -1, 0, 0, 0, 0 }, EPERM },
	{ "bpf", SYS_bpf, { -1, 0, 0 }, EPERM },
	{ "perf_event_open", SYS_perf_event_open, { 1, 0, 0, -1, 0 }, EPERM },
	{ "userfaultfd", SYS_userfaultfd, { -1 }, EPERM },
	{ "open_by_handle_at", SYS_open_by_handle_at, { -1, 1, 0 }, EPERM },
	{ "io_uring_setup", 425, { 0, 0 }, ENOSYS },
	{ "io_uring_enter", 426, { -1, 0, 0, 0, 0, 0 }, ENOSYS },
	{ "init_module", SYS_init_module, { 0, 0, 1 }, EPERM },
	{ "finit_module", SYS_finit_module, { -1, 1, 0 }, EPERM },
	{ "delete_module", SYS_delete_module, { 1, 0 }, EPERM },
	{ "reboot", SYS_reboot, { 0, 0, 0, 0 }, EPERM },
	{ "swapon", SYS_swapon, { 1, 0 }, EPERM },
	{ "kernel's messages", SYS_syslog, { 10, 0, 0 }, EPERM },
	{ "clock_settime", SYS_clock_settime, { -1, 0 }, EPERM },
	{ "settimeofday", SYS_settimeofday, { 1, 0 }, EPERM },
	{ "sethostname", SYS_sethostname, { 1, -1 }, EPERM },
	{ "memfd_create", SYS_memfd_create, { 1, 0 }, EFAULT },
	{ "personality asked", SYS_personality, { 0xffffffff }, 0 },
	{ "personality, addresses", SYS_personality, { ADDR_NO_RANDOMIZE }, 0 },
	{ "personality, code", SYS_personality, { READ_IMPLIES_EXEC }, EPERM },
	{ "TIOCSTI", SYS_ioctl, { -1, TIOCSTI, 0 }, EPERM },
	{ "TIOCLINUX", SYS_ioctl, { -1, TIOCLINUX, 0 }, EPERM },
	{ "connect", SYS_connect, { -1, 0, 0 }, EPERM },
	{ "socket, netlink", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, EAFNOSUPPORT },
	{ "socket, packet", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EAFNOSUPPORT },
	{ "socket, unix", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, 0 },
	{ "socket, datagrams", SYS_socket, { AF_UNIX, SOCK_DGRAM, 0 }, EAFNOSUPPORT },
	{ "socket, raw", SYS_socket, { AF_UNIX, SOCK_RAW, 0 }, EAFNOSUPPORT },
	{ "fchmod", SYS_fchmod, { -1, 0755 }, EBADF },
	{ "fchmod u+s", SYS_fchmod, { -1, 04755 }, EPERM },
	{ "fchmod g+s", SYS_fchmod, { -1, 02755 }, EPERM },
	{ "fchmodat u+s", SYS_fchmodat, { -1, 1, 04755 }, EPERM },
	{ "fchmodat2 u+s", 452, { -1, 1, 04755, 0 }, EPERM },
	{ "openat, no mode", SYS_openat, { -1, 1, O_RDONLY, 04755 }, EFAULT },
	{ "openat, create", SYS_openat, { -1, 1, O_CREAT, 0755 }, EFAULT },
	{ "openat u+s", SYS_openat, { -1, 1, O_CREAT | O_WRONLY, 04755 }, EPERM },
	{ "openat u+s, no name",
	  SYS_openat,
	  { -1, 1, O_TMPFILE | O_RDWR, 06755 },
	  EPERM },
	{ "openat2", 437, { -1, 1, 0, 0 }, ENOSYS },
	{ "mknodat u+s", SYS_mknodat, { -1, 1, S_IFREG | 04755, 0 }, EPERM },
#ifdef SYS_open
	{ "open u+s", SYS_open, { 1, O_CREAT | O_WRONLY, 04755 }, EPERM },
	{ "chmod u+s", SYS_chmod, { 1, 04755 }, EPERM },
	{ "creat u+s", SYS_creat, { 1, 04755 }, EPERM },
#endif
#ifdef SYS_shmget
	{ "shmget", SYS_shmget, { 1, 0, 0 }, ENOSYS },
#endif
	/* In all of the ABI's calls, and in none that this kernel could have. */
	{ "a call of the future", 480, { 0 }, ENOSYS },
#ifdef __x86_64__
	{ "getpid of x32", 0x40000000 | SYS_getpid, { 0 }, ENOSYS },
#endif
};

static int call(const struct try *t)
{
	const long *a = t->args;

	return syscall(t->nr, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
}

/* What FN returns in a process of its own that has the filter. */
static int filtered(bool internet, int (*fn)(const void *), const void *data)
{
	int status, rc;
	pid_t pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || kp_filter_install(internet))
			_exit(254);
		_exit(fn(data));
	}
	do
		rc = waitpid(pid, &status, 0);
	while (rc < 0 && errno == EINTR);
	assert_int_equal(rc, pid);
	if (!WIFEXITED(status))
		fail_msg("ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int try_one(const void *data)
{
	return call(data);
}

static void test_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(tries); i++) {
		int error = filtered(true, try_one, &tries[i]);

		if (error != tries[i].error)
			fail_msg("%s: error %d, not %d", tries[i].name, error,
				 tries[i].error);
	}
}

static int socket_error(const void *data)
{
	int fd = socket(*(const int *)data, SOCK_STREAM, 0);

	return fd < 0 ? errno : 0;
}

static void test_internet(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(families); i++) {
		assert_int_equal(filtered(false, socket_error, &families[i]),
				 EAFNOSUPPORT);
		assert_int_not_equal(filtered(true, socket_error, &families[i]), 254);
	}
	assert_int_equal(filtered(true, socket_error, &families[0]), 0);
}

static int pair_error(const void *data)
{
	int fds[2];

	return socketpair(AF_UNIX, *(const int *)data, 0, fds) ? errno : 0;
}

static void test_pair(void **state)
{
	static const int stream = SOCK_STREAM | SOCK_CLOEXEC, dgram = SOCK_DGRAM;

	(void)state;
	assert_int_equal(filtered(false, pair_error, &stream), 0);
	assert_int_equal(filtered(false, pair_error, &dgram), EAFNOSUPPORT);
}

static int child(void *data)
{
	(void)data;
	return 0;
}

static int clone_error(const void *data)
{
	static char stack[65536] __attribute__((aligned(16)));
	int pid = clone(child, stack + sizeof(stack), *(const int *)data | SIGCHLD, NULL);

	return pid < 0 ? errno : waitpid(pid, NULL, 0) != pid;
}

static void test_clone(void **state)
{
	static const int none = 0, users = CLONE_NEWUSER, nets = CLONE_NEWNET;

	(void)state;
	assert_int_equal(filtered(true, clone_error, &none), 0);
	assert_int_equal(filtered(true, clone_error, &users), EPERM);
	assert_int_equal(filtered(true, clone_error, &nets), EPERM);
}

#ifdef __x86_64__
/* getpid, as 32-bit programs call it. */
static int call_i386(const void *data)
{
	long rc;

	(void)data;
	__asm__ volatile("int $0x80"
			 : "=a"(rc)
			 : "a"(20)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	return rc < 0 ? (int)-rc : 0;
}

static void test_i386(void **state)
{
	(void)state;
	assert_int_equal(filtered(true, call_i386, NULL), ENOSYS);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls), cmocka_unit_test(test_internet),
		cmocka_unit_test(test_pair),  cmocka_unit_test(test_clone),
#ifdef __x86_64__
		cmocka_unit_test(test_i386),
#endif
	};

	return cmocka_run_group_tests_name("sandbox-calls", tests, NULL, NULL);
}
