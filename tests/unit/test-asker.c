// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Builds that ask while somebody answers, as the front does and otherwise. Needs root, as builds do.
 */
#include "test.h"

#include <poll.h>
#include <sched.h>
#include <sys/wait.h>

#include "base/lock.h"
#include "probe-fixture.h"
#include "sandbox-systems.h"

#define ENDLESS ".rept 99999\\n.rept 99999\\n.endr\\n.endr\\n"

/* Run LINE of a shell as a build does. Its exit code, or -errno. */
static int run_build(struct fixture *f, const char *line, int timeout_s)
{
	_cleanup_free_ char *path =
		kp_strf("PATH=%s:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH, f->fronts);
	const char *const env[] = { path, NULL };
	const char *const argv[] = { "/bin/sh", "-ec", line, NULL };
	const struct kp_proc proc = { .argv = argv, .env = env, .cwd = f->scratch };
	const struct kp_sandbox_bind binds[] = { { f->fronts, f->fronts, true },
						 { f->scratch, f->scratch, true } };
	const struct kp_sandbox sb = {
		.slot = SLOT, .binds = binds, .n_binds = 2, .timeout_s = timeout_s
	};
	struct kp_proc_end end = { -1, 0 };
	int rc = kp_sandbox_run(&f->ctx, &sb, &proc, &end, NULL);

	return rc && rc != -ECHILD ? rc : end.exit_code;
}

/* A build that asks what is not known waits for the answer, and asks no compiler. */
static void test_asked_once(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(answered(f, KNOWN, ""), 0);
	assert_int_equal(access(f->out, F_OK), 0);
	assert_int_equal(answered(f, FROM_INPUT, "nop\n"), 0);
	assert_int_equal(answered(f, FROM_INPUT, "nosuch\n"), 1);
	/* Nor a second time. */
	forge(f, '3');
	assert_int_equal(answered(f, KNOWN, ""), 3);
	assert_int_equal(answered(f, FROM_INPUT, "nop\n"), 0);
	assert_int_equal(answered(f, "-Wextra " KNOWN, ""), 0);
	assert_int_equal(answered(f, KNOWN, ""), 3);
	stop(f);
}

/* Fronts at the same time take turns. */
static void test_at_once(void **state)
{
	struct fixture *f = *state;
	static const char line[] =
		"for i in 0 1 2 3 4 5 6 7; do\n"
		"	mkdir .tmp_$i\n"
		"	gcc -Wframe-larger-than=$i -c -x c /dev/null -o .tmp_$i/tmp >/dev/null 2>&1 &\n"
		"done\n"
		"wait\n"
		"for i in 0 1 2 3 4 5 6 7; do test -s .tmp_$i/tmp; done\n";

	start(f);
	assert_int_equal(run_build(f, line, 60), 0);
	for (char i = '0'; i < '8'; i++) {
		_cleanup_free_ char *args =
			kp_strf("-Wframe-larger-than=%c -c -x c /dev/null -o", i);

		assert_int_equal(answered(f, args, ""), 0);
	}
	stop(f);
}

/* What another build has answered meanwhile is not asked again. */
static void test_two_builds(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *lock_path = kp_strf("%s/probes.lock", f->ctx.run_dir);
	_cleanup_free_ char *asked = line_path(f, KP_QUESTION_ASKED);
	_cleanup_free_ char *aside = kp_strf("%s.aside", f->answers);
	_cleanup_close_ int lock = -1;
	struct stat st = { .st_size = 0 };
	struct kp_proc_end end;
	pid_t build;

	learn_one(f, KNOWN, "");
	forge(f, '3');
	assert_int_equal(rename(f->answers, aside), 0);
	start(f);
	assert_int_equal(kp_lock_take(f->ctx.root_fd, lock_path, "asking", KP_LOCK_TRY,
				      &lock, NULL),
			 0);
	build = fork();
	if (build == 0) {
		close(lock);
		_exit(answered(f, KNOWN, ""));
	}
	while (!st.st_size) {
		assert_int_equal(stat(asked, &st), 0);
		sched_yield();
	}
	assert_int_equal(rename(aside, f->answers), 0);
	close(kp_steal_fd(&lock));
	assert_int_equal(kp_proc_wait(build, &end, NULL), 0);
	assert_int_equal(end.exit_code, 3);
	stop(f);
}

/* ---- builds that ask otherwise ---- */

static int line_open(struct fixture *f, const char *name, int flags)
{
	_cleanup_free_ char *path = line_path(f, name);
	int fd = open(path, flags | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Ask BYTES without a front, and wait until that is done. False: there is nobody any more. */
static bool hand_over(struct fixture *f, const void *bytes, size_t len)
{
	_cleanup_close_ int asked = line_open(f, KP_QUESTION_ASKED, O_WRONLY | O_TRUNC);
	_cleanup_close_ int told = line_open(f, KP_QUESTION_TOLD, O_RDONLY | O_NONBLOCK);
	_cleanup_close_ int line = line_open(f, KP_QUESTION_CALL, O_RDWR);
	struct pollfd p = { .fd = told, .events = POLLIN };
	char c;

	if (read(told, &c, 1) == 0)
		return false;
	assert_int_equal(write(asked, bytes, len), len);
	assert_int_equal(write(line, "", 1), 1);
	assert_int_equal(poll(&p, 1, -1), 1);
	return read(told, &c, 1) == 1;
}

static bool hand_over_question(struct fixture *f, const char *compiler, const char *args,
			       const char *input)
{
	_cleanup_buf_ struct kp_buf key = make_key(f, compiler, args, input);

	return hand_over(f, key.s, key.len);
}

static void test_forged(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *gcc = kp_strf("%s/gcc", f->scratch);
	const struct {
		const char *compiler, *args, *input;
	} questions[] = {
		{ "/bin/sh", KNOWN, "" },
		{ gcc, KNOWN, "" },
		{ "/usr/bin/../../usr/bin/gcc", KNOWN, "" },
		{ "/usr/bin/gcc-no-such", KNOWN, "" },
		{ GCC, "-fplugin=x " KNOWN, "" },
		{ GCC, "-wrapper touch " KNOWN, "" },
		{ GCC, "-c -x c /dev/null -x c " KNOWN, "" },
		{ GCC, "-c -x c /dev/null", "" },
		{ GCC, KNOWN, "more" },
		{ GCC, FROM_INPUT, ".incbin \"/etc/passwd\"" },
	};
	static const char *const broken[] = { "", "x", "/usr/bin/gcc", "\n" };
	_cleanup_free_ char *longest = kp_calloc(1, KP_QUESTION_KEY_MAX + 1);

	assert_int_equal(symlink(GCC, gcc), 0);
	start(f);
	for (size_t i = 0; i < KP_ARRAY_SIZE(questions); i++) {
		assert_true(hand_over_question(f, questions[i].compiler,
					       questions[i].args, questions[i].input));
		if (!access(f->answers, F_OK))
			fail_msg("learnt %s %s", questions[i].compiler,
				 questions[i].args);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(broken); i++)
		assert_true(hand_over(f, broken[i], strlen(broken[i]) + 1));
	assert_true(hand_over(f, longest, KP_QUESTION_KEY_MAX + 1));
	memset(longest, 'x', KP_QUESTION_KEY_MAX + 1);
	assert_true(hand_over(f, longest, KP_QUESTION_KEY_MAX + 1));
	assert_int_equal(access(f->answers, F_OK), -1);
	/* And for whoever asks properly. */
	assert_int_equal(answered(f, KNOWN, ""), 0);
	stop(f);
}

/* So many and no more; then who asks finds nobody, and does not wait. */
static void test_too_many(void **state)
{
	struct fixture *f = *state;
	size_t n = 0;
	bool any = true;

	start(f);
	for (; any && n < 1000; n++) {
		_cleanup_free_ char *args =
			kp_strf("-Wframe-larger-than=%zu -S -x c /dev/null -o", n);

		any = hand_over_question(f, GCC, args, "");
	}
	assert_in_range(n, 100, 999);
	assert_int_equal(call(f, "-w " KNOWN, "", NULL), 0);
	assert_false(is_known(f, "-w " KNOWN, ""));
	stop(f);
}

static void fill(int fd)
{
	static const char bytes[4096];

	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
}

/* Pipes that are full, as nobody reads them. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	int told, line;

	start(f);
	told = line_open(f, KP_QUESTION_TOLD, O_RDWR | O_NONBLOCK);
	line = line_open(f, KP_QUESTION_CALL, O_RDWR | O_NONBLOCK);
	fill(told);
	fill(line);
	assert_int_equal(call(f, KNOWN, "", NULL), 0);
	fill(told);
	fill(line);
	stop(f);
	close(told);
	close(line);
}

/* Whoever asks is no longer there, or has never been. */
static void test_nobody(void **state)
{
	struct fixture *f = *state;
	static const char line[] = "gcc " KNOWN " tmp";

	assert_int_equal(run_build(f, line, 30), 0);
	start(f);
	assert_int_equal(kill(f->asker, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)f->asker, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(run_build(f, line, 30), 0);
	stop(f);
	assert_int_equal(access(f->answers, F_OK), -1);
}

/* A build that never lets its own front ask, and one that asks what has no answer, have the time
 * they have. */
static void test_timeout(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *held =
		kp_strf("exec 9<>%s/" KP_QUESTION_ASKED "; flock 9; gcc " KNOWN
			" .tmp_1/tmp >/dev/null 2>&1",
			f->fronts);
	static const char endless[] =
		"printf '" ENDLESS "' | gcc " FROM_INPUT " .tmp_1/tmp >/dev/null 2>&1";

	start(f);
	assert_int_equal(run_build(f, held, 1), -ETIME);
	assert_int_equal(answered(f, FROM_INPUT, "nop\n"), 0);
	assert_int_equal(run_build(f, endless, 1), -ETIME);
	stop(f);
	assert_true(is_known(f, FROM_INPUT, "nop\n"));
}

/* One who was killed while it waited leaves a byte behind, which is not for the next one. */
static void test_killed(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int told = -1;

	start(f);
	told = line_open(f, KP_QUESTION_TOLD, O_RDWR | O_NONBLOCK);
	assert_int_equal(write(told, "", 1), 1);
	assert_int_equal(answered(f, KNOWN, ""), 0);
	stop(f);
}

/* Whoever started it was killed. */
static void test_orphan(void **state)
{
	struct fixture *f = *state;
	int fds[2], status;
	pid_t job;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	job = fork();
	if (job == 0) {
		start(f);
		_exit(write(fds[1], &f->asker, sizeof(f->asker)) != sizeof(f->asker));
	}
	assert_int_equal(read(fds[0], &f->asker, sizeof(f->asker)), sizeof(f->asker));
	assert_int_equal(waitpid(job, &status, 0), job);
	assert_int_equal(waitpid(f->asker, &status, 0), f->asker);
	close(fds[0]);
	close(fds[1]);
}

static int test_system(const struct system *system)
{
	const struct CMUnitTest tests[] = {
		TEST(test_asked_once), TEST(test_at_once), TEST(test_two_builds),
		TEST(test_forged),     TEST(test_full),	   TEST(test_nobody),
		TEST(test_timeout),    TEST(test_killed),  TEST(test_orphan),
		TEST(test_too_many),
	};

	/* Found out there: it is not again. */
	if (!has_builds(system->name))
		return 0;
	print_message("# %s: missing: %s\n", system->name,
		      kp_sandbox_missing() ?: "nothing");
	/* What is last takes long, and does not concern what is missing. */
	return _cmocka_run_group_tests(system->name, tests,
				       KP_ARRAY_SIZE(tests) - (system->missing != NULL),
				       NULL, NULL);
}

int main(void)
{
	const struct system here = { "asker", as_it_is, NULL };
	const struct system container = { "asker without CAP_SYS_ADMIN", no_mounts,
					  "no private mounts" };

	return !passes_on(&here, test_system) |
	       (!geteuid() && !passes_on(&container, test_system));
}
