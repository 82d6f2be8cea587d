// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "cli/cli.h"

static const struct cli_cmd verb = { .name = "verb", .args = "", .summary = "A verb" };

static const struct option longs[] = {
	{ "kernel", required_argument, NULL, 'k' },
	{ "json", no_argument, NULL, 'J' },
	{ NULL, 0, NULL, 0 },
};

/* Parse the words, give the options that the verb saw as a string ("k=6.1 J"). */
static char *parse(struct cli *cli, const char *line, int *ret_status)
{
	char **argv = kp_strv_split(line, " ");
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	int argc = (int)kp_strv_len(argv), c;

	*cli = (struct cli){ .cmd = &verb };
	*ret_status = 0;
	optind = 0;
	while ((c = cli_getopt(cli, argc, argv, "k:", longs, ret_status)) >= 0)
		kp_buf_addf(&b, "%s%c%s%s", b.len ? " " : "", c, c == 'k' ? "=" : "",
			    c == 'k' ? optarg : "");
	for (int i = optind; c != CLI_OPT_END && i < argc; i++)
		kp_buf_addf(&b, "%s[%s]", b.len ? " " : "", argv[i]);
	kp_strv_free(argv);
	return kp_buf_steal(&b);
}

static void expect(const char *line, const char *seen)
{
	struct cli cli;
	int status;
	char *got = parse(&cli, line, &status);

	assert_string_equal(got, seen);
	assert_int_equal(status, 0);
	free(got);
}

static void expect_wrong(const char *line, const char *words)
{
	struct cli cli;
	int status;

	free(parse(&cli, line, &status));
	assert_int_equal(status, CLI_USAGE);
	assert_string_equal(cli.err.text, words);
}

static void options_of_the_verb(void **state)
{
	(void)state;
	expect("verb", "");
	expect("verb -k 6.1 --kernel=6.2 --json a", "k=6.1 k=6.2 J [a]");
	expect("verb a -k6.1 b", "k=6.1 [a] [b]");
	expect("verb -- -k", "[-k]");
}

static void global_options_work_behind_the_verb(void **state)
{
	struct cli cli;
	int status;

	(void)state;
	free(parse(&cli, "verb -v --root", &status));
	assert_int_equal(status, CLI_USAGE);
	assert_true(cli.verbose);
	expect("verb --root=/mnt -q a", "[a]");
}

static void wrong_usage_names_the_option(void **state)
{
	(void)state;
	expect_wrong("verb -x", "unknown option '-x'; see kmodpkg verb --help");
	expect_wrong("verb --json -Jx", "unknown option '-J'; see kmodpkg verb --help");
	expect_wrong("verb --no-such",
		     "unknown or ambiguous option '--no-such'; see kmodpkg verb --help");
	expect_wrong("verb -k", "option '-k' needs an argument; see kmodpkg verb --help");
	expect_wrong("verb --kernel",
		     "option '--kernel' needs an argument; see kmodpkg verb --help");
	expect_wrong("verb --json=1",
		     "option '--json=1' takes no argument; see kmodpkg verb --help");
	expect_wrong("verb -\033", "unknown option '-?'; see kmodpkg verb --help");
}

static void modules_are_checked(void **state)
{
	static const char *const bad[] = {
		"",	 "/",	  "/1",	   "a/",    "..",      "../x", "a/..",
		"a/b/c", "a b/1", "a\n/1", "a/1\t", "\033[2J", ".",    "a/.",
	};
	char *module = NULL, *version = NULL;
	struct cli cli = { .cmd = &verb };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		assert_int_equal(cli_parse_module(&cli, bad[i], &module, &version),
				 CLI_USAGE);
		assert_null(strchr(cli.err.text, '\033'));
		assert_null(strchr(cli.err.text, '\n'));
	}
	assert_int_equal(cli_parse_module(&cli, "hello/1.0-2", &module, &version), 0);
	assert_string_equal(module, "hello");
	assert_string_equal(version, "1.0-2");
	free(module);
	free(version);
	assert_int_equal(cli_parse_module(&cli, "hello", &module, &version), 0);
	assert_string_equal(module, "hello");
	assert_null(version);
	free(module);
}

static void kernels_are_checked_and_kept_once(void **state)
{
	_cleanup_strv_ char **kernels = NULL;
	struct cli cli = { .cmd = &verb };

	(void)state;
	assert_int_equal(cli_parse_kernel(&cli, "6.1.0-56-amd64", &kernels), 0);
	assert_int_equal(cli_parse_kernel(&cli, "6.1.0-56-amd64", &kernels), 0);
	assert_int_equal(cli_parse_kernel(&cli, "../6.1", &kernels), CLI_USAGE);
	assert_int_equal(cli_parse_kernel(&cli, "", &kernels), CLI_USAGE);
	assert_int_equal(kp_strv_len(kernels), 1);
}

static void numbers_are_checked(void **state)
{
	static const char *const bad[] = { "",	 "0", "-1", " 1",
					   "1 ", "9", "1x", "99999999999999999999",
					   "+1" };
	struct cli cli = { .cmd = &verb };
	int n = 0;

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++)
		assert_int_equal(cli_parse_int(&cli, "jobs", bad[i], 1, 8, &n),
				 CLI_USAGE);
	assert_int_equal(cli_parse_int(&cli, "jobs", "8", 1, 8, &n), 0);
	assert_int_equal(n, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_of_the_verb),
		cmocka_unit_test(global_options_work_behind_the_verb),
		cmocka_unit_test(wrong_usage_names_the_option),
		cmocka_unit_test(modules_are_checked),
		cmocka_unit_test(kernels_are_checked_and_kept_once),
		cmocka_unit_test(numbers_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
