// SPDX-License-Identifier: GPL-2.0-or-later
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <kmodpkg/proc.h>

#include "test.h"

#define SH(script) ((const char *const[]){ "/bin/sh", "-c", (script), NULL })

/* What a shell script prints, run with the members of PROC. */
static char *output(struct kp_proc proc, const char *script)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	struct kp_err err = KP_ERR_INIT;
	char *out = NULL;

	proc.argv = argv;
	if (kp_proc_capture(&proc, 1 << 20, &out, NULL, &err) < 0)
		fail_msg("%s: %s", script, err.text);
	return out;
}

/* Run FN in a process of its own, since it changes what cannot be restored. */
static void in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void no_children_left(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void run_tells_how_it_ended(void **state)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_proc_end end;

	(void)state;
	assert_int_equal(
		kp_proc_run(&(struct kp_proc){ .argv = SH("exit 0") }, &end, &err), 0);
	assert_int_equal(end.exit_code, 0);
	assert_int_equal(err.code, 0);
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = SH("exit 7") }, &end,
				     &err),
			 -ECHILD);
	assert_int_equal(end.exit_code, 7);
	assert_int_equal(end.signal, 0);
	assert_string_equal(err.text, "/bin/sh ended with exit code 7");
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = SH("kill -9 $$") }, &end,
				     &err),
			 -ECHILD);
	assert_int_equal(end.exit_code, -1);
	assert_int_equal(end.signal, SIGKILL);
	assert_string_equal(err.text, "/bin/sh was killed by signal 9 (Killed)");
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = SH("exit 1") }, NULL,
				     NULL),
			 -ECHILD);
	no_children_left();
}

static void describe_ends(void **state)
{
	char buf[64];

	(void)state;
	kp_proc_describe(&(struct kp_proc_end){ .exit_code = 2 }, buf, sizeof(buf));
	assert_string_equal(buf, "exited with 2");
	kp_proc_describe(&(struct kp_proc_end){ .exit_code = -1, .signal = SIGTERM }, buf,
			 sizeof(buf));
	assert_string_equal(buf, "was killed by signal 15 (Terminated)");
}

static int refuse(void *data)
{
	(void)data;
	return -EPERM;
}

static void start_failures_say_why(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *script = kp_path_join(root.path, "script"), *text = NULL;
	const char *const none[] = { "/none/program", NULL };
	const char *const relative[] = { "true", NULL };
	const char *const plain[] = { script, NULL };
	struct kp_err err = KP_ERR_INIT;
	const int not_open[] = { 987 };

	(void)state;
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = none }, NULL, &err),
			 -ENOENT);
	assert_string_equal(err.text, "start '/none/program': No such file or directory");
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = relative }, NULL, &err),
			 -EINVAL);
	test_put(&root, "/script", "#!/bin/sh\n");
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = plain }, NULL, &err),
			 -EACCES);
	text = kp_strf("start '%s': Permission denied", script);
	assert_string_equal(err.text, text);
	assert_int_equal(
		kp_proc_run(&(struct kp_proc){ .argv = SH("exit 0"), .cwd = "/none" },
			    NULL, &err),
		-ENOENT);
	assert_string_equal(err.text, "start '/bin/sh': enter directory '/none': "
				      "No such file or directory");
	assert_int_equal(
		kp_proc_run(&(struct kp_proc){ .argv = SH("exit 0"), .setup = refuse },
			    NULL, &err),
		-EPERM);
	assert_string_equal(err.text, "start '/bin/sh': prepare its surroundings: "
				      "Operation not permitted");
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = SH("exit 0"),
							.keep_fds = not_open,
							.n_keep_fds = 1 },
				     NULL, &err),
			 -EBADF);
	no_children_left();
}

static void environment_is_explicit(void **state)
{
	const char *const env[] = { "ONE=1", "TWO=a b", NULL };
	const char *const argv[] = { "/usr/bin/env", NULL };
	_cleanup_free_ char *out = NULL;

	(void)state;
	assert_int_equal(kp_proc_capture(&(struct kp_proc){ .argv = argv, .env = env },
					 4096, &out, NULL, NULL),
			 0);
	assert_string_equal(out, "ONE=1\nTWO=a b\n");
}

static int default_env_child(void)
{
	static char *outer[] = {
		"PATH=/home/x/bin",	"LANG=de_DE",	      "LD_PRELOAD=/x.so",
		"CFLAGS=-O0",		"TERM=dumb",	      "TERMINFO=/x",
		"SOURCE_DATE_EPOCH=5",	"DPKG_ROOT=",	      "DPKG_FRONTEND_LOCKED=true",
		"DEBIAN_FRONTEND=text", "KMODPKG_SYNC=1",     "MAKEFLAGS=-j",
		"BASH_ENV=/x",		"DEB_MAINT_PARAMS=x", NULL,
	};
	static const char *const expected[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"LC_ALL=C.UTF-8",
		"HOME=/root",
		"TERM=dumb",
		"SOURCE_DATE_EPOCH=5",
		"DPKG_ROOT=",
		"DPKG_FRONTEND_LOCKED=true",
		"DEBIAN_FRONTEND=text",
		"KMODPKG_SYNC=1",
		"DEB_MAINT_PARAMS=x",
		NULL,
	};
	const char *const *env;

	environ = outer;
	env = kp_proc_default_env();
	for (size_t i = 0; i < KP_ARRAY_SIZE(expected); i++) {
		if (!kp_str_eq(env[i], expected[i])) {
			print_error("%zu: %s\n", i, env[i] ? env[i] : "-");
			return 1;
		}
	}
	/* What is set later is passed on later. */
	setenv("KMODPKG_SYNC", "2", 1);
	env = kp_proc_default_env();
	return !kp_strv_has((char *const *)env, "KMODPKG_SYNC=2");
}

static void default_environment(void **state)
{
	(void)state;
	in_child(default_env_child);
}

static void descriptors_do_not_leak(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	int leak = open("/dev/null", O_RDONLY), high = fcntl(leak, F_DUPFD, 700);
	int keep[] = { fcntl(leak, F_DUPFD_CLOEXEC, 500), 1 };
	_cleanup_free_ char *out = NULL, *kept = NULL;

	(void)state;
	out = output((struct kp_proc){ 0 }, "cd /proc/self/fd && echo *");
	/* 3 is the shell's own for reading the directory, if it is there at all. */
	if (strcmp(out, "0 1 2\n") != 0 && strcmp(out, "0 1 2 3\n") != 0)
		fail_msg("%s", out);
	kept = output((struct kp_proc){ .keep_fds = keep, .n_keep_fds = 2 },
		      "cd /proc/self/fd && echo *");
	if (strcmp(kept, "0 1 2 500\n") != 0 && strcmp(kept, "0 1 2 3 500\n") != 0)
		fail_msg("%s", kept);
	/* Passing a descriptor does not change it here. */
	assert_true(fcntl(keep[0], F_GETFD) & FD_CLOEXEC);
	close(keep[0]);
	close(leak);
	close(high);
}

/* The same where the kernel lacks close_range() and pidfd_open(). */
static int old_kernel_child(void)
{
	struct kp_proc proc = { .argv = SH("cd /proc/self/fd && echo *") };
	int leak = open("/dev/null", O_RDONLY);
	char *out = NULL;

	if (leak < 0 || fcntl(leak, F_DUPFD, 300) < 0 ||
	    test_forbid_syscall(SYS_close_range, ENOSYS) < 0 ||
	    test_forbid_syscall(SYS_pidfd_open, ENOSYS) < 0)
		return 1;
	if (kp_proc_capture(&proc, 100, &out, NULL, NULL) < 0)
		return 2;
	if (strcmp(out, "0 1 2\n") != 0 && strcmp(out, "0 1 2 3\n") != 0)
		return 3;
	free(out);
	return 0;
}

static void descriptors_do_not_leak_on_old_kernels(void **state)
{
	(void)state;
	in_child(old_kernel_child);
}

static void standard_descriptors(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_close_ int in = -1, out = -1, err = -1;
	_cleanup_free_ char *text = NULL, *errors = NULL, *null = NULL;

	(void)state;
	null = output((struct kp_proc){ 0 }, "readlink /proc/self/fd/0; cat");
	assert_string_equal(null, "/dev/null\n");
	test_put(&root, "/in", "input");
	in = kp_open_in(root.fd, "/in", O_RDONLY, 0);
	out = kp_open_in(root.fd, "/out", O_WRONLY | O_CREAT, 0600);
	err = kp_open_in(root.fd, "/err", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = SH("cat; echo bad >&2"),
							.in_fd = in,
							.out_fd = out,
							.err_fd = err },
				     NULL, NULL),
			 0);
	text = test_get(&root, "/out");
	assert_string_equal(text, "input");
	errors = test_get(&root, "/err");
	assert_string_equal(errors, "bad\n");
}

/* The given descriptors may be each other's numbers. */
static int swapped_child(void)
{
	struct test_root root = test_root_new();
	char *text;

	close(1);
	close(2);
	if (kp_open_in(root.fd, "/one", O_WRONLY | O_CREAT, 0600) != 1 ||
	    kp_open_in(root.fd, "/two", O_WRONLY | O_CREAT, 0600) != 2)
		return 1;
	if (kp_proc_run(&(struct kp_proc){ .argv = SH("echo out; echo err >&2"),
					   .out_fd = 2,
					   .err_fd = 1 },
			NULL, NULL) < 0)
		return 2;
	if (kp_read_in(root.fd, "/one", 0, &text, NULL) < 0 || strcmp(text, "err\n") != 0)
		return 3;
	free(text);
	if (kp_read_in(root.fd, "/two", 0, &text, NULL) < 0 || strcmp(text, "out\n") != 0)
		return 4;
	free(text);
	test_root_free(&root);
	return 0;
}

static void swapped_descriptors(void **state)
{
	(void)state;
	in_child(swapped_child);
}

static int closed_child(void)
{
	char *out = NULL;
	int rc;

	for (int fd = 0; fd <= 2; fd++)
		close(fd);
	rc = kp_proc_capture(&(struct kp_proc){ .argv = SH("echo x; echo y >&2; cat") },
			     64, &out, NULL, NULL);
	if (rc < 0 || strcmp(out, "x\n") != 0)
		return 1;
	free(out);
	if (kp_proc_run(&(struct kp_proc){ .argv = SH("echo x && echo y >&2 && cat") },
			NULL, NULL) < 0)
		return 2;
	/* None of it made a low descriptor of ours. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 3;
	kp_proc_open_std_fds();
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st, null;

		if (fstat(fd, &st) < 0 || stat("/dev/null", &null) < 0 ||
		    st.st_rdev != null.st_rdev || !S_ISCHR(st.st_mode))
			return 4;
		if (fcntl(fd, F_GETFD) & FD_CLOEXEC)
			return 5;
	}
	return write(1, "x", 1) == 1 ? 0 : 7;
}

static void closed_standard_descriptors(void **state)
{
	(void)state;
	in_child(closed_child);
}

/* Masks of blocked, ignored and caught signals, as a child sees its own. */
static int signals_child(void)
{
	const char *const argv[] = { "/bin/cat", "/proc/self/status", NULL };
	const struct kp_proc proc = { .argv = argv };
	unsigned long long masks[3];
	char *out = NULL, *line;
	sigset_t all, after;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_IGN); /* SIGCHLD, too */
	if (kp_proc_capture(&proc, 4096, &out, NULL, NULL) < 0)
		return 1;
	line = strstr(out, "SigBlk:");
	if (!line || sscanf(line, "SigBlk: %llx SigIgn: %llx SigCgt: %llx", &masks[0],
			    &masks[1], &masks[2]) != 3)
		return 2;
	/* glibc's own 32 and 33 cannot be reset; its posix_spawn() leaves them ignored. */
	if (masks[0] || masks[1] & ~0x180000000ULL || masks[2])
		return 3;
	free(out);
	/* Ours are as they were. */
	sigprocmask(SIG_SETMASK, NULL, &after);
	return sigismember(&after, SIGTERM) == 1 ? 0 : 4;
}

static void signals_are_reset(void **state)
{
	(void)state;
	in_child(signals_child);
}

static void umask_and_directory(void **state)
{
	mode_t mask = umask(077);
	_cleanup_free_ char *out = output((struct kp_proc){ 0 }, "umask; pwd");
	_cleanup_free_ char *tmp = output((struct kp_proc){ .cwd = "/tmp" }, "pwd");

	(void)state;
	umask(mask);
	assert_string_equal(out, "0022\n/\n");
	assert_string_equal(tmp, "/tmp\n");
}

static int write_number(void *data)
{
	char digit = (char)('0' + *(int *)data);

	return write(1, &digit, 1) == 1 ? 0 : -EIO;
}

static void setup_runs_in_the_child(void **state)
{
	int number = 7;
	_cleanup_free_ char *out = output(
		(struct kp_proc){ .setup = write_number, .setup_data = &number }, "echo");

	(void)state;
	assert_string_equal(out, "7\n");
}

/* A setup that ends the child itself is no start failure, but an end. */
static int end_with_3(void *data)
{
	(void)data;
	_exit(3);
}

static void setup_may_end_the_child(void **state)
{
	struct kp_proc_end end;

	(void)state;
	assert_int_equal(kp_proc_run(&(struct kp_proc){ .argv = SH("exit 0"),
							.setup = end_with_3 },
				     &end, NULL),
			 -ECHILD);
	assert_int_equal(end.exit_code, 3);
}

static void capture_big_output(void **state)
{
	struct kp_proc proc = { .argv = SH("head -c 5000000 /dev/zero | tr '\\0' x") };
	_cleanup_free_ char *out = NULL;
	struct kp_err err = KP_ERR_INIT;
	size_t len = 0;

	(void)state;
	assert_int_equal(kp_proc_capture(&proc, 5000000, &out, &len, &err), 0);
	assert_int_equal(len, 5000000);
	assert_int_equal(strlen(out), len);
}

static void capture_has_a_limit(void **state)
{
	const char *const argv[] = { "/usr/bin/yes", NULL };
	struct kp_err err = KP_ERR_INIT;
	char *out = NULL;

	(void)state;
	assert_int_equal(kp_proc_capture(&(struct kp_proc){ .argv = argv }, 1000, &out,
					 NULL, &err),
			 -EFBIG);
	assert_null(out);
	assert_string_equal(err.text, "/usr/bin/yes wrote more than 1000 bytes");
	no_children_left();
}

static void capture_gives_output_of_failures(void **state)
{
	_cleanup_free_ char *out = NULL;
	struct kp_err err = KP_ERR_INIT;
	size_t len = 0;

	(void)state;
	assert_int_equal(
		kp_proc_capture(&(struct kp_proc){ .argv = SH("printf 'a\\0b'; exit 4") },
				100, &out, &len, &err),
		-ECHILD);
	assert_int_equal(len, 3);
	assert_memory_equal(out, "a\0b", 4);
	assert_string_equal(err.text, "/bin/sh ended with exit code 4");
}

static void capture_does_not_wait_for_daemons(void **state)
{
	_cleanup_free_ char *out = NULL;
	int rc;

	(void)state;
	alarm(20);
	rc = kp_proc_capture(
		&(struct kp_proc){ .argv = SH("echo before; sleep 1000 & echo $!") }, 100,
		&out, NULL, NULL);
	alarm(0);
	assert_int_equal(rc, 0);
	assert_true(kp_str_starts(out, "before\n"));
	assert_int_equal(kill(atoi(out + strlen("before\n")), SIGKILL), 0);
}

static volatile sig_atomic_t signals_seen;

static void count_signal(int sig)
{
	(void)sig;
	signals_seen++;
}

/* The child of the spawned shell signals us while we wait for it. */
static void waiting_goes_on_after_signals(void **state)
{
	struct sigaction sa = { .sa_handler = count_signal }, old;
	_cleanup_free_ char *out = NULL;
	const char *script =
		"i=0; while [ $i -lt 5 ]; do"
		"  if grep -q ') S ' /proc/$PPID/stat; then kill -USR1 $PPID; i=$((i+1)); fi;"
		"done; exec >&-; i=0; while [ $i -lt 5 ]; do"
		"  if grep -q ') S ' /proc/$PPID/stat; then kill -USR1 $PPID; i=$((i+1)); fi;"
		"done; exit 5";
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	signals_seen = 0;
	sigaction(SIGUSR1, &sa, &old);
	assert_int_equal(kp_proc_capture(&(struct kp_proc){ .argv = SH(script) }, 100,
					 &out, NULL, &err),
			 -ECHILD);
	sigaction(SIGUSR1, &old, NULL);
	assert_string_equal(err.text, "/bin/sh ended with exit code 5");
	assert_true(signals_seen > 1);
}

static int run_without_readers(void)
{
	int fds[2];

	if (pipe(fds) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[1], 2) < 0)
		return 1;
	close(fds[0]);
	return kp_proc_run(&(struct kp_proc){ .argv = SH("echo out; echo err >&2") },
			   NULL, NULL) < 0;
}

static void output_that_nobody_reads(void **state)
{
	(void)state;
	in_child(run_without_readers);
}

static void wait_for_nobody(void **state)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_proc_end end;

	(void)state;
	assert_int_equal(kp_proc_wait(getpid(), &end, &err), -ECHILD);
	assert_true(kp_str_starts(err.text, "wait for process "));
}

static void names_a_process(void **state)
{
	_cleanup_free_ char *name = NULL, *gone = NULL, *want = NULL;
	char before[16];

	(void)state;
	prctl(PR_GET_NAME, before);
	prctl(PR_SET_NAME, "a \033b ");
	name = kp_proc_name(getpid());
	prctl(PR_SET_NAME, before);
	want = kp_strf("a ?b, pid %d", (int)getpid());
	assert_string_equal(name, want);
	gone = kp_proc_name(INT32_MAX);
	assert_string_equal(gone, "pid 2147483647");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_tells_how_it_ended),
		cmocka_unit_test(describe_ends),
		cmocka_unit_test(start_failures_say_why),
		cmocka_unit_test(environment_is_explicit),
		cmocka_unit_test(default_environment),
		cmocka_unit_test(descriptors_do_not_leak),
		cmocka_unit_test(descriptors_do_not_leak_on_old_kernels),
		cmocka_unit_test(standard_descriptors),
		cmocka_unit_test(swapped_descriptors),
		cmocka_unit_test(closed_standard_descriptors),
		cmocka_unit_test(signals_are_reset),
		cmocka_unit_test(umask_and_directory),
		cmocka_unit_test(setup_runs_in_the_child),
		cmocka_unit_test(setup_may_end_the_child),
		cmocka_unit_test(capture_big_output),
		cmocka_unit_test(capture_has_a_limit),
		cmocka_unit_test(capture_gives_output_of_failures),
		cmocka_unit_test(capture_does_not_wait_for_daemons),
		cmocka_unit_test(waiting_goes_on_after_signals),
		cmocka_unit_test(output_that_nobody_reads),
		cmocka_unit_test(wait_for_nobody),
		cmocka_unit_test(names_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
