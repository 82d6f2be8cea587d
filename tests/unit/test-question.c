// SPDX-License-Identifier: GPL-2.0-or-later
/* Which calls of a compiler are questions. */
#include "test.h"

#include "probe-front/question.h"

#define OUT "/build/.tmp_77/tmp"

/* The words of LINE as an argument vector behind a compiler; to be freed. */
static char **words(const char *line)
{
	char **argv = kp_strv_split(line, " "), **all = NULL;

	kp_strv_add(&all, "/usr/bin/gcc");
	kp_strv_foreach(w, argv)
		kp_strv_add(&all, *w);
	kp_strv_free(argv);
	return all;
}

static void asks(const char *line, bool expect)
{
	_cleanup_strv_ char **argv = words(line);
	struct kp_question q;

	if (kp_question_parse(argv, &q) != expect)
		fail_msg("'%s' is %sa question", line, expect ? "not " : "");
}

/* As kbuild of 4.18 to 6.12 asks. */
static void test_questions(void **state)
{
	static const char *const lines[] = {
		"-Werror -D__KERNEL__ -Wall -Wundef -Werror=strict-prototypes -std=gnu11 "
		"-mindirect-branch=thunk-extern -mindirect-branch-register -c -x c /dev/null "
		"-o " OUT,
		"-Werror -fmacro-prefix-map=/usr/src/linux-headers-6.1.0-1-common/= -O2 "
		"--param=allow-store-data-races=0 -Wframe-larger-than=2048 -mcmodel=kernel "
		"-fpatchable-function-entry=16,16 -fsanitize=kernel-address -pg -mfentry -c "
		"-x c /dev/null -o " OUT,
		"-Werror -D__ASSEMBLY__ -fno-PIE -Wa,--fatal-warnings -Wa,-march=armv8.5-a -c "
		"-x assembler-with-cpp -o " OUT " -",
		"-c -x c /dev/null -o .tmp_5/tmp",
		"-c -x c /dev/null -o /build/.4711.tmp",
		"-S -x c /dev/null -o /dev/null",
		"-DX -DY=3 -DA=\"armv8.5-a\" -DB= -UZ -c -x c - -o " OUT,
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(lines); i++)
		asks(lines[i], true);
}

static void test_no_questions(void **state)
{
	/* Each instead of %s. */
	static const char *const bad[] = {
		"-include /build/x.h",
		"-I.",
		"-I/build",
		"-isystem /build",
		"-iquote.",
		"-B.",
		"-B/build",
		"-specs=x",
		"-wrapper x",
		"-fplugin=x",
		"-fplugin-arg-x-y",
		"@file",
		"-Wp,-MD,x",
		"-Wl,-T,x",
		"-Wa,-I,x",
		"-Wa,-al=x",
		"-Xassembler -al",
		"-fprofile-use",
		"-fprofile-use=x",
		"-fdump-tree-all",
		"-save-temps",
		"-fsanitize-ignorelist=x",
		"-fopt-info=x",
		"-fstack-usage",
		"-ftest-coverage",
		"-flto",
		"-fdiagnostics-format=sarif-file",
		"-march=native",
		"-mtune=native",
		"-g",
		"-gdwarf-5",
		"-MD",
		"-MF x",
		"-E",
		"-x",
		"x.c",
		"--sysroot=/build",
		"-imacros x",
		"-D",
		"-D3",
		"-DA=x+x",
		"-DA=x.x",
		"-DA=x/x",
		"-DA(x)=x",
		"-DA=\"a/b\"",
		"-DA=\"x",
		"-DA=\"x\"\"x\"",
		"-UA=x",
		"-o " OUT,
		"-c",
		"/dev/null",
		"-v",
		"-###",
		"--help",
		"-fuse-ld=x",
		"-no-canonical-prefixes",
		"-print-prog-name=as",
		"-Q",
		"-dM",
		"-mabi=a/b",
		"-std=a/b",
		"-O./x",
		"-Wno-x/y",
		"-fx=y.z",
		"--param=a=b/c",
	};
	static const char *const lines[] = {
		"-c /dev/null -o " OUT,
		"/dev/null -c -x c -o " OUT,
		"-x c /dev/null -o " OUT,
		"-c -x c /dev/null",
		"-c -x c -o " OUT,
		"-c -x c /dev/null -o",
		"-c -x c++ /dev/null -o " OUT,
		"-c -x c /dev/zero -o " OUT,
		"-c -x c /dev/null -o /build/module.o",
		"-c -x c /dev/null -o /build/tmp",
		"-c -x c /dev/null -o tmp",
		"-c -x c /dev/null -o /build/.tmp_x/tmp",
		"-c -x c /dev/null -o /build/.tmp_/tmp",
		"-c -x c /dev/null -o /build/.tmp_1/tmp.o",
		"-c -x c /dev/null -o /build/.tmp",
		"--version",
		"",
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *line =
			kp_strf("-Wall %s -c -x c /dev/null -o " OUT, bad[i]);

		asks(line, false);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(lines); i++)
		asks(lines[i], false);
}

static void test_compilers(void **state)
{
	static const char *const yes[] = { "gcc", "gcc-12", "gcc-13.2",
					   "x86_64-linux-gnu-gcc",
					   "aarch64-linux-gnu-gcc-12" };
	static const char *const no[] = { "gcc-ar",  "gcc-ar-12", "clang", "cc",
					  "distgcc", "gcc-",	  "gccx",  "g++" };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(yes); i++)
		if (!kp_question_is_compiler(yes[i]))
			fail_msg("%s is one", yes[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(no); i++)
		if (kp_question_is_compiler(no[i]))
			fail_msg("%s is none", no[i]);
}

static void test_environment(void **state)
{
	static const char *const fine[] = { "LANG=C", "CC=gcc", "MAKEFLAGS= -j",
					    "KCFLAGS=-I." };
	static const char *const bad[] = { "GCC_EXEC_PREFIX=/x",
					   "COMPILER_PATH=/x",
					   "CPATH=.",
					   "LD_PRELOAD=x",
					   "TMPDIR=/x",
					   "LIBRARY_PATH=",
					   "COLLECT_GCC=x",
					   "DEPENDENCIES_OUTPUT=x",
					   "GLIBC_TUNABLES=x" };
	char *env[] = { (char *)"PATH=/a:/b", NULL, NULL };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(fine); i++) {
		env[1] = (char *)fine[i];
		if (!kp_question_env_ok(env, "/a:/b"))
			fail_msg("%s changes nothing", fine[i]);
	}
	assert_false(kp_question_env_ok(env, "/a"));
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		env[1] = (char *)bad[i];
		if (kp_question_env_ok(env, "/a:/b"))
			fail_msg("%s changes a compiler", bad[i]);
	}
	assert_false(kp_question_env_ok(env + 1, "/a:/b"));
}

static size_t key_of(const char *line, const char *input, char *key)
{
	_cleanup_strv_ char **argv = words(line);
	struct kp_question q;

	assert_true(kp_question_parse(argv, &q));
	return kp_question_key(&q, input, strlen(input), key);
}

/* Everything but the output's name makes another question. */
static void test_keys(void **state)
{
	static const char *const different[] = {
		"-Wall -c -x c - -o " OUT,
		"-c -Wall -x c - -o " OUT,
		"-Wall -S -x c - -o " OUT,
		"-Wall -c -x assembler - -o " OUT,
	};
	char keys[4][KP_QUESTION_KEY_MAX], again[KP_QUESTION_KEY_MAX];
	size_t lens[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		lens[i] = key_of(different[i], "nop", keys[i]);
		assert_true(lens[i] > 0);
		for (size_t j = 0; j < i; j++)
			assert_false(lens[i] == lens[j] &&
				     !memcmp(keys[i], keys[j], lens[i]));
	}
	assert_int_equal(key_of("-Wall -c -x c - -o /x/.tmp_1/tmp", "nop", again),
			 lens[0]);
	assert_memory_equal(keys[0], again, lens[0]);
	assert_int_equal(key_of(different[0], "nup", again), lens[0]);
	assert_memory_not_equal(keys[0], again, lens[0]);
}

/* What an input may hold decides whether a file can be read by it. */
static void test_inputs(void **state)
{
	static const char *const fine[] = { "nop\n",
					    "tpause %ecx",
					    "endbr64",
					    ".cfi_startproc\n.cfi_endproc\n",
					    "vpbroadcastb %xmm0,%ymm1",
					    "int f(void) { return 3; }\n" };
	static const char *const bad[] = { "#include <x.h>", ".incbin \"x\"",
					   ".include \"x\"", ".INCBIN",
					   "__DATE__",	     "__has_include(<x>)",
					   "a\\b",	     "%:include <x>",
					   "\"x\"" };
	char key[KP_QUESTION_KEY_MAX];
	_cleanup_free_ char *longest = kp_malloc(KP_QUESTION_INPUT_MAX + 2);

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(fine); i++)
		if (!key_of("-c -x c - -o " OUT, fine[i], key))
			fail_msg("'%s' names no file", fine[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++)
		if (key_of("-c -x c - -o " OUT, bad[i], key))
			fail_msg("'%s' may name a file", bad[i]);
	memset(longest, 'x', KP_QUESTION_INPUT_MAX + 1);
	longest[KP_QUESTION_INPUT_MAX + 1] = '\0';
	assert_int_equal(key_of("-c -x c - -o " OUT, longest, key), 0);
	longest[KP_QUESTION_INPUT_MAX] = '\0';
	assert_true(key_of("-c -x c - -o " OUT, longest, key) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_questions), cmocka_unit_test(test_no_questions),
		cmocka_unit_test(test_compilers), cmocka_unit_test(test_environment),
		cmocka_unit_test(test_keys),	  cmocka_unit_test(test_inputs),
	};

	return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
