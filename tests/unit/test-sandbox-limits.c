// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What those inside a sandbox may use, all together.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/sandbox-watch.h"
#include "lib/tool.h"

#include "sandbox-fixture.h"
#include "sandbox-systems.h"

/* FORKS processes that take MIB of memory each, and stay. Fails if there cannot be that many. */
static int take(int forks, size_t mib)
{
	for (int i = 0; i < forks; i++) {
		pid_t pid = fork();

		if (pid < 0)
			_exit(errno); /* a sanitizer's look at the end takes a process, too */
		if (pid == 0) {
			if (mib)
				memset(kp_malloc(mib << 20), 1, mib << 20);
			pause();
		}
	}
	return pause();
}

static void assert_words(const struct kp_err *err, const char *what)
{
	if (!strstr(err->text, what))
		fail_msg("'%s' does not say '%s'", err->text, what);
}

/* Does something tell those inside from others? */
static bool can_count(void)
{
	const char *missing = kp_sandbox_missing();

	return own_uid() || (kp_sandbox_has_mounts() && !strstr(missing, "/proc"));
}

/* No one takes too much, all together do. */
static void test_memory(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct kp_proc_end end;
	unsigned int met = 0;

	f->ctx.config.limits.memory = 100 << 20;
	f->sb.met = &met;
	if (!can_count())
		skip();
	assert_int_equal(run_self(f, "--take", "4", "40", &end, &err), -EDQUOT);
	assert_words(&err, "met limit_memory (100 MiB); raise limit_memory in /etc/");
#ifndef __SANITIZE_ADDRESS__
	/* One alone gets no more than that, unless it is seen before it asks. */
	if (run_end(f, "head -c 200000000 /dev/zero | tail >/dev/null", &end, &err) !=
	    -EDQUOT) {
		assert_non_null(strstr(f->output, "memory exhausted"));
		assert_true(met & 1 << KP_LIMIT_MEMORY);
	}
	/* What only says so is far from it. */
	assert_int_equal(run_end(f, "echo memory exhausted; exit 1", &end, &err),
			 -ECHILD);
	assert_false(met & 1 << KP_LIMIT_MEMORY);
#endif
}

static void test_processes(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct kp_proc_end end = { 0 };
	unsigned int met = 0;
	int rc;

	f->ctx.config.limits.processes = 64;
	f->sb.met = &met;
	if (!can_count())
		skip();
	rc = run_self(f, "--take", "200", "0", &end, &err);
	if (own_uid()) {
		assert_int_equal(rc, -ECHILD);
		assert_int_equal(end.exit_code, EAGAIN);
		assert_true(met & 1 << KP_LIMIT_PROCESSES);
	} else {
		assert_int_equal(rc, -EDQUOT);
		assert_words(&err, "met limit_processes (64); raise limit_processes in");
	}
	/* Fewer than it may have were never started: somebody else refused more. */
	assert_int_equal(run_end(f, "for i in {1..20}; do (exit); done; exit 1", &end,
				 &err),
			 -ECHILD);
	assert_false(met & 1 << KP_LIMIT_PROCESSES);
}

/* A lower limit of whoever started us is not the one that can be raised. */
static void test_limits_of_the_caller(void **state)
{
	const struct rlimit lower = { 1 << 20, 1 << 20 };
	struct fixture *f = *state;
	unsigned int met = 0;
	int status;
	pid_t pid;

	f->ctx.config.limits.disk = 2 << 20;
	f->sb.met = &met;
	assert_int_not_equal(run(f, "head -c 3000000 /dev/zero >f"), 0);
	assert_true(met & 1 << KP_LIMIT_DISK);
	pid = fork();
	if (pid == 0) {
		if (setrlimit(RLIMIT_FSIZE, &lower) ||
		    !run(f, "head -c 1500000 /dev/zero >f"))
			_exit(1);
		_exit(met & 1 << KP_LIMIT_DISK ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* What others have is theirs. */
static void test_others(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	pid_t others[8];

	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++) {
		others[i] = fork();
		if (others[i] == 0)
			_exit(pause());
		assert_true(others[i] > 0);
	}
	f->ctx.config.limits.processes = KP_ARRAY_SIZE(others) / 2;
	f->sb.timeout_s = 2;
	assert_int_equal(run_end(f, "sleep 1000", NULL, &err), -ETIME);
	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++) {
		assert_int_equal(kill(others[i], SIGKILL), 0);
		assert_int_equal(waitpid(others[i], NULL, 0), others[i]);
	}
}

static void test_disk(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	f->ctx.config.limits.disk = 8 << 20;
	assert_int_not_equal(run(f, "head -c 9000000 /dev/zero >f"), 0);
	assert_int_equal(run_end(f,
				 "for i in {1..200}; do head -c 1000000 /dev/zero >f$i; "
				 "done; sleep 1000",
				 NULL, &err),
			 -EDQUOT);
	assert_words(&err, "met limit_disk (8 MiB); raise limit_disk in");
}

/* Nor is it of use to hide it far down. */
static void test_disk_deep(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	f->ctx.config.limits.disk = 8 << 20;
	assert_int_equal(run_end(f,
				 "d=$(printf 'd/%.0s' {1..100}); mkdir -p $d; cd $d;"
				 "for i in {1..200}; do head -c 1000000 /dev/zero >f$i; "
				 "done; sleep 1000",
				 NULL, &err),
			 -EDQUOT);
	assert_words(&err, "limit_disk");
}

static void write_zeros(const char *dir, const char *name, size_t n)
{
	_cleanup_free_ char *path = kp_path_join(dir, name), *zeros = kp_calloc(1, n);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(kp_write_all(fd, zeros, n), 0);
}

/* On a disk of its own. */
static void test_keep_free(void **state)
{
	struct fixture *f = *state;
	const struct kp_sandbox_bind bind = { f->out, f->out, true };
	const struct kp_sandbox sb = { .binds = &bind, .n_binds = 1 };
	const struct kp_limits limits = { .keep_free = 1ULL << 30 };
	struct kp_err err = KP_ERR_INIT;
	struct kp_watch *watch;

	if (!kp_sandbox_has_mounts() ||
	    mount("tmpfs", f->out, "tmpfs", 0, "mode=0777,size=8m"))
		skip();
	/* As small as the disk is, half of it may be had. */
	watch = kp_watch_new(&sb, &(struct kp_proc){ 0 }, &limits, 0, true);
	write_zeros(f->out, "f", 3000000);
	assert_int_equal(kp_watch_look(watch, &err), 0);
	write_zeros(f->out, "g", 2000000);
	assert_int_equal(kp_watch_look(watch, &err), -ENOSPC);
	kp_watch_free(watch);
	f->ctx.config.limits = limits;
	assert_int_equal(run_end(f, "head -c 2000000 /dev/zero >h; sleep 1000", NULL,
				 &err),
			 -ENOSPC);
	assert_words(&err, "MiB and");
	assert_words(&err, "make room there, or lower keep_free in");
	assert_int_equal(umount(f->out), 0);
}

/* What strip and compressors write goes to a file that they were given open. */
static void test_keep_free_of_output(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c",
				     "head -c 5000000 /dev/zero; sleep 1000", NULL };
	struct fixture *f = *state;
	const struct kp_sandbox sb = { .slot = SLOT, .timeout_s = 60 };
	struct kp_proc proc = { .argv = argv };
	struct kp_err err = KP_ERR_INIT;
	_cleanup_free_ char *path = NULL;

	if (!kp_sandbox_has_mounts() ||
	    mount("tmpfs", f->out, "tmpfs", 0, "mode=0777,size=8m"))
		skip();
	path = kp_path_join(f->out, "module");
	f->ctx.config.limits.keep_free = 1ULL << 30;
	proc.out_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(kp_sandbox_run(&f->ctx, &sb, &proc, NULL, &err), -ENOSPC);
	assert_words(&err, "are left on the disk of 'its output'; make room there");
	close(proc.out_fd);
	assert_int_equal(umount(f->out), 0);
}

/* Nor do they write more than a build, and it is said what keeps them. */
static void test_disk_of_output(void **state)
{
	const char *const argv[] = { "/usr/bin/head", "-c", "20000000", "/dev/zero",
				     NULL };
	struct fixture *f = *state;
	const struct kp_sandbox sb = { .slot = SLOT, .timeout_s = 60 };
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_free_ char *to = kp_path_join(f->out, "module");
	struct kp_err err = KP_ERR_INIT;

	f->ctx.config.limits.disk = 8 << 20;
	assert_int_equal(kp_tool_filter(&f->ctx, &sb, argv, "/etc/passwd", to, null,
					&err),
			 -EDQUOT);
	assert_words(&err, "head: met limit_disk (8 MiB); raise limit_disk in /etc/");
	f->ctx.config.limits.disk = 20 << 20;
	assert_int_equal(
		kp_tool_filter(&f->ctx, &sb, argv, "/etc/passwd", to, null, &err), 0);
}

static int test_system(const struct system *system)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_memory),
		TEST(test_processes),
		TEST(test_limits_of_the_caller),
		TEST(test_others),
		TEST(test_disk),
		TEST(test_disk_deep),
		TEST(test_keep_free),
		TEST(test_keep_free_of_output),
		TEST(test_disk_of_output),
	};

	return cmocka_run_group_tests_name(system->name, tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	bool ok = true;

	if (argc == 4 && !strcmp(argv[1], "--take"))
		return take(atoi(argv[2]), (size_t)atoi(argv[3]));
	for (size_t i = 0; i < N_SYSTEMS; i++)
		ok = passes_on(&systems[i], test_system) && ok;
	return !ok;
}
