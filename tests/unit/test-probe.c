// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers learnt and given: the real gcc, in the real sandbox, and the real front. Needs root, as builds
 * do.
 */
#include "test.h"

#include <kmodpkg/log.h>

#include "lib/modc-learn.h"
#include "probe-fixture.h"

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
	_cleanup_free_ char *want = NULL, *got = NULL;
	size_t want_len, got_len;

	want = real_output(f, KNOWN, &want_len);
	learn_one(f, KNOWN, "");
	assert_int_equal(answered(f, KNOWN, ""), 0);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->out, 0, &got, &got_len), 0);
	assert_int_equal(got_len, want_len);
	assert_memory_equal(got, want, want_len);
	forge(f, '3');
	assert_int_equal(call(f, KNOWN, "", NULL), 3);
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

	learn_one(f, FROM_INPUT, "nop\n");
	forge(f, '3');
	assert_int_equal(call(f, FROM_INPUT, "nop\n", NULL), 3);
	assert_int_equal(call(f, FROM_INPUT, "ret\n", NULL), 0);
	assert_int_equal(call(f, FROM_INPUT, "nosuch\n", NULL), 1);
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

/* A file that the machine did not get to write out is used as far as it goes, and goes on from there. */
static void test_torn(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	size_t len;

	learn_one(f, KNOWN, "");
	learn_one(f, UNKNOWN, "");
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &text, &len), 0);
	put(f, f->answers, text, len - 1);
	assert_int_equal(answered(f, KNOWN, ""), 0);
	learn_one(f, FROM_INPUT, "nop\n");
	assert_int_equal(answered(f, KNOWN, ""), 0);
	assert_int_equal(answered(f, FROM_INPUT, "nop\n"), 0);
}

/* mkdir -p and rm -rf of such a directory, and of others. */
static void test_scratch(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *front = kp_path_join(f->dir, "front");
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

/* Files of a source come out the same; an error is told as ever, a warning without its macro. */
static void test_untracked(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = { "/bin/sh", "-e", "-c", NULL, NULL };
	struct kp_proc proc = { .argv = argv };
	_cleanup_free_ char *line = kp_strf(
		"cd %s; PATH=$PWD/fronts:/usr/bin\n"
		"note='in expansion of macro'\n"
		"echo '#define M(x) int f(void) { int y = x; }' >w.c; echo 'M(1)' >>w.c\n"
		"echo '#define M(x) int f(void) { return x; }' >e.c; echo 'M(y)' >>e.c\n"
		"gcc -g0 -O2 -Wall -D'X(a)=a' -c -o w.o w.c 2>said\n"
		"mv w.o x.o; /usr/bin/gcc -g0 -O2 -Wall -D'X(a)=a' -c -o w.o w.c 2>real\n"
		"cmp w.o x.o; grep -q 'unused variable' said; grep -q \"$note\" real\n"
		"! grep -q \"$note\" said\n"
		"if gcc -g0 -O2 -Wall -c -o e.o e.c 2>said; then exit 1; fi\n"
		"if /usr/bin/gcc -g0 -O2 -Wall -c -o e.o e.c 2>real; then exit 1; fi\n"
		"cmp said real; grep -q \"$note\" said\n"
		"for o in -g -fsanitize=undefined -ftrack-macro-expansion=2 -S\n"
		"do gcc -g0 -O2 -Wall $o -c -o w.o w.c 2>said; grep -q \"$note\" said; done\n",
		f->dir);

	argv[3] = line;
	assert_int_equal(kp_proc_run(&proc, NULL, NULL), 0);
}

static void note_line(enum kp_log_level level, const char *line, void *data)
{
	(void)level;
	kp_buf_adds(data, line);
}

/* Headers that cannot be reduced are not read again for each module of a source. */
static void test_no_headers(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *mark = kp_strf("%s/include/linux/kconfig.h", f->dir);
	_cleanup_free_ char *dir = kp_path_dir(mark);
	_cleanup_buf_ struct kp_buf log = KP_BUF_INIT;
	struct kp_learner *l = kp_learner_new(&f->ctx, f->room);
	enum kp_log_level level = kp_log_get_level();

	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, dir, 0755, NULL), 0);
	put(f, mark, "", 0);
	for (int i = 0; i < 3; i++) {
		_cleanup_buf_ struct kp_buf key = KP_BUF_INIT;
		_cleanup_free_ char *args = kp_strf(GCC " -O2 -DX=%d -I%s -c", i, dir);
		_cleanup_strv_ char **argv = kp_strv_split(args, " ");

		kp_strv_foreach(a, argv)
			kp_buf_add(&key, *a, strlen(*a) + 1);
		kp_buf_addc(&key, '\0');
		kp_buf_adds(&key, "\n#include <linux/no-such-header.h>\n");
		kp_buf_addc(&key, '\0');
		assert_true(kp_modc_key_ok(&f->ctx, key.s, key.len - 1));
		assert_true(kp_learner_answer(l, key.s, key.len - 1));
	}
	kp_log_set_level(KP_LOG_DEBUG);
	kp_log_set_sink(note_line, &log);
	kp_learner_free(l);
	kp_log_set_sink(NULL, NULL);
	kp_log_set_level(level);
	kp_buf_addc(&log, '\0');
	assert_string_equal(log.s, "asked compilers 1 questions");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_remembered),
		TEST(test_refused),
		TEST(test_no_headers),
		TEST(test_untracked),
		TEST(test_input),
		TEST(test_passed_on),
		TEST(test_output_is_read),
		TEST(test_other_compiler),
		TEST(test_cc1),
		TEST(test_added),
		TEST(test_torn),
		TEST(test_scratch),
	};

	if (!has_builds("probe"))
		return 0;
	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
