// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers learnt and given: the real gcc, in the real sandbox, and the front that was built
 * beside this program. Needs root, as builds do.
 */
#include "test.h"

#include <time.h>

#include <kmodpkg/proc.h>

#include "lib/probe.h"
#include "lib/sandbox.h"
#include "probe-front/question.h"

#define GCC "/usr/bin/gcc"
#define KNOWN "-Wall -fno-common -c -x c /dev/null -o"
#define UNKNOWN "-fsuch-option=4 -c -x c /dev/null -o"
#define FROM_INPUT "-Wa,--fatal-warnings -c -x assembler-with-cpp - -o"

static char *front; /* the program */

struct fixture {
	struct kp_ctx ctx;
	char dir[32], *fronts, *scratch, *out, *answers;
	int64_t deadline; /* of a build */
};

static void put(struct fixture *f, const char *path, const void *bytes, size_t len)
{
	assert_int_equal(kp_write_in(f->ctx.root_fd, path, bytes, len, 0644, NULL), 0);
}

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_free_ char *link = NULL, *gcc = NULL, *cache = NULL;

	strcpy(f->dir, "/var/tmp/kp-probe-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	f->ctx = (struct kp_ctx){
		.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.run_dir = kp_strf("%s/run", f->dir),
		.state_dir = kp_strf("%s/state", f->dir),
		.config = { .probe_answers = true },
	};
	f->fronts = kp_strf("%s/fronts", f->dir);
	f->scratch = kp_strf("%s/.tmp_42", f->dir);
	f->out = kp_strf("%s/tmp", f->scratch);
	f->answers = kp_strf("%s/probes/gcc", f->ctx.state_dir);
	link = kp_strf("%s/" KP_QUESTION_ANSWERS, f->fronts);
	cache = kp_path_dir(f->answers);
	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, cache, 0755, NULL), 0);
	assert_int_equal(mkdir(f->fronts, 0755), 0);
	assert_int_equal(mkdir(f->scratch, 0755), 0);
	assert_int_equal(symlink(cache, link), 0);
	gcc = kp_strf("%s/gcc", f->fronts);
	assert_int_equal(symlink(front, gcc), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL);
	close(f->ctx.root_fd);
	free(f->ctx.run_dir);
	free(f->ctx.state_dir);
	free(f->fronts);
	free(f->scratch);
	free(f->out);
	free(f->answers);
	free(f);
	return 0;
}

/* ARGS and the output's name behind ARGV0; to be freed. */
static char **command(struct fixture *f, const char *argv0, const char *args)
{
	char **argv = kp_strv_split(args, " "), **all = NULL;

	kp_strv_add(&all, argv0);
	kp_strv_foreach(a, argv)
		kp_strv_add(&all, *a);
	kp_strv_add(&all, f->out);
	kp_strv_free(argv);
	return all;
}

/* What the front notes for that, with COMPILER in the place of gcc. */
static void add_note(struct fixture *f, struct kp_buf *notes, const char *compiler,
		     const char *args, const char *input)
{
	_cleanup_strv_ char **argv = command(f, compiler, args);
	_cleanup_buf_ struct kp_buf key = KP_BUF_INIT;

	free(argv[kp_strv_len(argv) - 1]);
	argv[kp_strv_len(argv) - 1] = kp_strdup("-");
	kp_strv_foreach(a, argv)
		kp_buf_add(&key, *a, strlen(*a) + 1);
	kp_buf_addc(&key, '\0');
	kp_buf_adds(&key, input);
	kp_buf_addf(notes, "%zu\n", key.len);
	kp_buf_add(notes, key.s, key.len);
}

static void learn(struct fixture *f, const void *notes, size_t len)
{
	_cleanup_free_ char *path = kp_strf("%s/" KP_QUESTION_NOTES, f->fronts);

	put(f, path, notes, len);
	kp_probe_learn(&f->ctx, f->fronts, 1, f->deadline);
	put(f, path, "", 0);
}

static void learn_one(struct fixture *f, const char *args, const char *input)
{
	_cleanup_buf_ struct kp_buf notes = KP_BUF_INIT;

	add_note(f, &notes, GCC, args, input);
	learn(f, notes.s, notes.len);
}

/* Change what is remembered in a way that no compiler would say it, so that one can tell
 * who answers: exit codes become CODE. */
static void forge(struct fixture *f, char code)
{
	_cleanup_free_ char *text = NULL;
	size_t len, begin;

	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &text, &len), 0);
	begin = kp_answers_begin(text, len, GCC);
	assert_true(begin > 0 && begin < len);
	text[begin] = code;
	put(f, f->answers, text, len);
}

/* Call the front. The exit code. */
static int call(struct fixture *f, const char *args, const char *input,
		const char *variable)
{
	_cleanup_free_ char *gcc = kp_strf("%s/gcc", f->fronts);
	_cleanup_free_ char *path =
		kp_strf("PATH=%s:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH, f->fronts);
	_cleanup_strv_ char **argv = command(f, gcc, args);
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const char *const env[] = { path, "LANG=C", variable, NULL };
	struct kp_proc proc = { .argv = (const char *const *)argv,
				.env = env,
				.out_fd = null,
				.err_fd = null };
	struct kp_proc_end end = { -1, 0 };
	int pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], input, strlen(input)), strlen(input));
	close(pipe_fds[1]);
	proc.in_fd = pipe_fds[0];
	unlink(f->out);
	kp_proc_run(&proc, &end, NULL);
	close(pipe_fds[0]);
	return end.exit_code;
}

static char *notes_of(struct fixture *f)
{
	_cleanup_free_ char *path = kp_strf("%s/" KP_QUESTION_NOTES, f->fronts);
	char *text = NULL;

	assert_int_equal(kp_read_in(f->ctx.root_fd, path, 0, &text, NULL), 0);
	return text;
}

/* What the compiler itself writes for ARGS; to be freed. */
static char *real_output(struct fixture *f, const char *args, size_t *ret_len)
{
	_cleanup_strv_ char **argv = command(f, GCC, args);
	const struct kp_proc proc = { .argv = (const char *const *)argv };
	char *bytes = NULL;

	unlink(f->out);
	assert_int_equal(kp_proc_run(&proc, NULL, NULL), 0);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->out, 0, &bytes, ret_len), 0);
	return bytes;
}

static void test_remembered(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *want = NULL, *got = NULL, *notes = NULL;
	size_t want_len, got_len;

	want = real_output(f, KNOWN, &want_len);
	learn_one(f, KNOWN, "");
	assert_int_equal(call(f, KNOWN, "", NULL), 0);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->out, 0, &got, &got_len), 0);
	assert_int_equal(got_len, want_len);
	assert_memory_equal(got, want, want_len);
	forge(f, '3');
	assert_int_equal(call(f, KNOWN, "", NULL), 3);
	notes = notes_of(f);
	assert_string_equal(notes, "");
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	learn_one(f, UNKNOWN, "");
	assert_int_equal(call(f, UNKNOWN, "", NULL), 1);
	assert_int_equal(access(f->out, F_OK), -1);
	forge(f, '3');
	assert_int_equal(call(f, UNKNOWN, "", NULL), 3);
}

/* An input counts, and the compiler still gets it. */
static void test_input(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *notes = NULL;

	learn_one(f, FROM_INPUT, "nop\n");
	forge(f, '3');
	assert_int_equal(call(f, FROM_INPUT, "nop\n", NULL), 3);
	assert_int_equal(call(f, FROM_INPUT, "ret\n", NULL), 0);
	assert_int_equal(call(f, FROM_INPUT, "nosuch\n", NULL), 1);
	notes = notes_of(f);
	assert_non_null(strstr(notes, "\n" GCC));
}

/* Whoever asks otherwise gets the compiler. */
static void test_passed_on(void **state)
{
	struct fixture *f = *state;

	learn_one(f, KNOWN, "");
	forge(f, '3');
	assert_int_equal(call(f, KNOWN, "", NULL), 3);
	assert_int_equal(call(f, KNOWN, "", "CPATH=/x"), 0);
	assert_int_equal(call(f, KNOWN, "", "PATH=/usr/bin"), 0);
	assert_int_equal(call(f, "-Wextra " KNOWN, "", NULL), 0);
	assert_int_equal(call(f, "-I/x " KNOWN, "", NULL), 0);
}

/* Output that somebody reads is the compiler's own. */
static void test_output_is_read(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *line = NULL;
	_cleanup_free_ char *said = NULL;
	const char *argv[] = { "/bin/sh", "-c", NULL, NULL };
	struct kp_proc proc = { .argv = argv };

	learn_one(f, UNKNOWN, "");
	forge(f, '3');
	line = kp_strf("PATH=%s:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH "; gcc " UNKNOWN
		       " %s 2>&1 >/dev/null; gcc " UNKNOWN " %s >/dev/null 2>&1; echo $?",
		       f->fronts, f->out, f->out);
	argv[2] = line;
	assert_int_equal(kp_proc_capture(&proc, 4096, &said, NULL, NULL), 0);
	assert_non_null(strstr(said, "gcc: error: "));
	assert_non_null(strstr(said, "\n3\n"));
}

/* What a build may have written there, and what comes of it. */
static void test_forged_notes(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *trap = kp_strf("%s/trap", f->dir);
	_cleanup_free_ char *gcc = kp_strf("%s/gcc", f->scratch);
	const struct {
		const char *compiler, *args, *input;
	} notes[] = {
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
	static const char *const broken[] = { "",  "x",	      "-1\n",		"0\n",
					      "5", "99999\n", "3\n/usr/bin/gcc" };

	assert_int_equal(symlink(GCC, gcc), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(notes); i++) {
		_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;

		add_note(f, &text, notes[i].compiler, notes[i].args, notes[i].input);
		learn(f, text.s, text.len);
		if (!access(f->answers, F_OK))
			fail_msg("learnt %s %s", notes[i].compiler, notes[i].args);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(broken); i++)
		learn(f, broken[i], strlen(broken[i]));
	assert_int_equal(access(f->answers, F_OK), -1);
	assert_int_equal(access(trap, F_OK), -1);
}

/* A build that has had its time does not get more, whatever it asks. */
static void test_deadline(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct kp_buf notes = KP_BUF_INIT;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	f->deadline = now.tv_sec;
	learn_one(f, KNOWN, "");
	assert_int_equal(access(f->answers, F_OK), -1);
	/* What has no answer is the last that is asked. */
	add_note(f, &notes, GCC, FROM_INPUT, ".rept 99999\n.rept 99999\n.endr\n.endr\n");
	add_note(f, &notes, GCC, KNOWN, "");
	f->deadline = now.tv_sec + 5;
	learn(f, notes.s, notes.len);
	assert_int_equal(access(f->answers, F_OK), -1);
	f->deadline = 0;
	learn_one(f, KNOWN, "");
	assert_int_equal(access(f->answers, F_OK), 0);
}

/* A compiler that is another one now is asked itself, and what was known is forgotten. */
static void test_other_compiler(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL, *again = NULL;
	size_t len;

	learn_one(f, KNOWN, "");
	forge(f, '3');
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &text, &len), 0);
	text[0] = text[0] == '9' ? '8' : '9';
	put(f, f->answers, text, len);
	assert_int_equal(call(f, KNOWN, "", NULL), 0);
	learn_one(f, UNKNOWN, "");
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &again, NULL), 0);
	assert_int_equal(call(f, KNOWN, "", NULL), 0);
	forge(f, '3');
	assert_int_equal(call(f, UNKNOWN, "", NULL), 3);
}

/* Where cc1 is goes with the answers, so nobody is asked: there is no room to ask in. */
static void test_cc1(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *room = kp_strf("%s/room", f->dir), *asked = NULL,
			    *known = NULL, *text = NULL;
	size_t len;

	asked = kp_probe_cc1(&f->ctx, 1, room, GCC);
	assert_non_null(asked);
	assert_true(kp_str_ends(asked, "/cc1"));
	learn_one(f, KNOWN, "");
	known = kp_probe_cc1(&f->ctx, 1, "/dev/null/room", GCC);
	assert_string_equal(known, asked);
	/* Not of another compiler. */
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &text, &len), 0);
	text[0] = text[0] == '9' ? '8' : '9';
	put(f, f->answers, text, len);
	assert_null(kp_probe_cc1(&f->ctx, 1, "/dev/null/room", GCC));
}

/* An answer that is there is not looked for again; others are added to it. */
static void test_added(void **state)
{
	struct fixture *f = *state;

	learn_one(f, KNOWN, "");
	forge(f, '3');
	learn_one(f, KNOWN, "");
	learn_one(f, UNKNOWN, "");
	assert_int_equal(call(f, KNOWN, "", NULL), 3);
	assert_int_equal(call(f, UNKNOWN, "", NULL), 1);
}

/* mkdir -p and rm -rf of such a directory, and of others. */
static void test_scratch(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = { "/bin/sh", "-e", "-c", NULL, NULL };
	struct kp_proc proc = { .argv = argv };
	_cleanup_free_ char *line = kp_strf(
		"cd %s; ln -s %s fronts/mkdir; ln -s %s fronts/rm; PATH=$PWD/fronts:/usr/bin\n"
		"mkdir -p .tmp_1; test -d .tmp_1; mkdir -p .tmp_1\n"
		"mkdir -p a/.tmp_2; test -d a/.tmp_2; mkdir -p b/c; test -d b/c\n"
		"touch .tmp_1/tmp .tmp_1/.x; mkdir .tmp_1/sub; ln -s ../a .tmp_1/link\n"
		"rm -rf .tmp_1; ! test -e .tmp_1; test -d a; rm -rf .tmp_1\n"
		"mkdir c; touch c/x; ln -s c .tmp_4; rm -rf .tmp_4; test -e c/x; ! test -L .tmp_4\n"
		"touch .tmp_3; rm -rf .tmp_3; ! test -e .tmp_3; rm -rf a b; ! test -e a\n"
		"! mkdir b/c 2>err; grep -q '^mkdir: cannot create directory' err\n"
		"test $(mkdir --version | wc -l) -gt 1\n",
		f->dir, front, front);

	argv[3] = line;
	assert_int_equal(kp_proc_run(&proc, NULL, NULL), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_remembered),	 TEST(test_refused), TEST(test_input),
		TEST(test_passed_on),	 TEST(test_scratch), TEST(test_output_is_read),
		TEST(test_forged_notes), TEST(test_added),   TEST(test_other_compiler),
		TEST(test_deadline),	 TEST(test_cc1),
	};
	_cleanup_free_ char *self = NULL, *dir = NULL, *up = NULL, *top = NULL;

	(void)argc;
	if (geteuid() != 0) {
		printf("1..1\nok 1 - probe # SKIP needs root\n");
		return 0;
	}
	self = realpath(argv[0], NULL);
	dir = kp_path_dir(self);
	up = kp_path_dir(dir);
	top = kp_path_dir(up);
	front = kp_path_join(top, "probe-front");
	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
