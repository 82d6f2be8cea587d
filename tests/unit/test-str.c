// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

static void buf_grows_and_hands_on(void **state)
{
	struct kp_buf b = KP_BUF_INIT;
	_cleanup_free_ char *s = NULL;

	(void)state;
	assert_null(b.s);
	for (int i = 0; i < 1000; i++)
		kp_buf_addf(&b, "%d,", i % 10);
	assert_int_equal(b.len, 2000);
	assert_int_equal(strlen(b.s), 2000);
	kp_buf_add(&b, "\0x", 2);
	assert_int_equal(b.len, 2002);
	assert_int_equal(b.s[2001], 'x');
	s = kp_buf_steal(&b);
	assert_null(b.s);
	assert_int_equal(b.len, 0);
	free(s);
	s = kp_buf_steal(&b);
	assert_string_equal(s, "");
}

static void buf_reset_keeps_nothing(void **state)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	(void)state;
	kp_buf_reset(&b);
	kp_buf_adds(&b, "abc");
	kp_buf_reset(&b);
	assert_string_equal(b.s, "");
	kp_buf_addc(&b, 'd');
	assert_string_equal(b.s, "d");
}

static void strv_splits_joins_sorts(void **state)
{
	_cleanup_strv_ char **v = kp_strv_split("  zeta alpha\tBeta ", " \t");
	_cleanup_strv_ char **copy = NULL;
	_cleanup_free_ char *joined = NULL;

	(void)state;
	assert_int_equal(kp_strv_len(v), 3);
	assert_true(kp_strv_has(v, "Beta"));
	assert_false(kp_strv_has(v, "beta"));
	copy = kp_strv_dup(v);
	kp_strv_sort(copy);
	kp_strv_addf(&copy, "%d", 7);
	joined = kp_strv_join(copy, "::");
	assert_string_equal(joined, "Beta::alpha::zeta::7");
	assert_string_equal(v[0], "zeta");
}

static void strv_empty_is_null(void **state)
{
	_cleanup_free_ char *joined = kp_strv_join(NULL, ",");

	(void)state;
	assert_null(kp_strv_split(" \t", " \t"));
	assert_null(kp_strv_split(NULL, " "));
	assert_null(kp_strv_dup(NULL));
	assert_int_equal(kp_strv_len(NULL), 0);
	assert_false(kp_strv_has(NULL, ""));
	assert_string_equal(joined, "");
	kp_strv_sort(NULL);
	kp_strv_free(NULL);
}

static void predicates(void **state)
{
	(void)state;
	assert_true(kp_str_eq(NULL, NULL));
	assert_false(kp_str_eq(NULL, ""));
	assert_true(kp_str_starts("abc", "ab"));
	assert_false(kp_str_starts("ab", "abc"));
	assert_true(kp_str_ends("x.ko", ".ko"));
	assert_false(kp_str_ends("ko", ".ko"));
	assert_true(kp_str_empty(NULL));
	assert_true(kp_str_empty(""));
	assert_false(kp_str_empty(" "));
}

static void printable_replaces_controls_only(void **state)
{
	char text[] = "a\tb\nc\033[0m\177\r\xc3\xa9";
	/* CSI as one character of eight bits and in UTF-8; half a character */
	char more[] = "\x9b[0m \xc2\x9b[0m \xe2\x80\x98q\xe2\x80\x99 \xe2\x80";

	(void)state;
	assert_false(kp_str_is_printable(text));
	kp_str_printable(text);
	assert_string_equal(text, "a?b?c?[0m??\xc3\xa9");
	assert_true(kp_str_is_printable(text));
	kp_str_printable(more);
	assert_string_equal(more, "?[0m ??[0m \xe2\x80\x98q\xe2\x80\x99 ??");
}

static void strip_both_ends(void **state)
{
	char text[] = " \t two words \r\n", blank[] = " \n";

	(void)state;
	assert_string_equal(kp_str_strip(text), "two words");
	assert_string_equal(kp_str_strip(blank), "");
}

static void versions_in_order(void **state)
{
	/* Ascending; every pair is compared both ways. */
	static const char *const order[] = {
		"",
		"0.9",
		"1",
		"1.0",
		"1.0.1",
		"1.0.10",
		"1.2",
		"1.2-rc1",
		"6.1.0-9",
		"6.1.0-10-amd64",
		"6.9",
		"6.10",
		"6.10-rc1",
		"18446744073709551616",
		"20000000000000000000000",
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(order); i++) {
		for (size_t j = 0; j < KP_ARRAY_SIZE(order); j++) {
			int c = kp_version_cmp(order[i], order[j]);

			if ((c > 0) - (c < 0) != (i > j) - (i < j))
				fail_msg("'%s' against '%s': %d", order[i], order[j], c);
		}
	}
	assert_int_equal(kp_version_cmp("1.007", "1.7"), 0);
	assert_int_equal(kp_version_cmp("1.0", "1.00"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_grows_and_hands_on),
		cmocka_unit_test(buf_reset_keeps_nothing),
		cmocka_unit_test(strv_splits_joins_sorts),
		cmocka_unit_test(strv_empty_is_null),
		cmocka_unit_test(predicates),
		cmocka_unit_test(printable_replaces_controls_only),
		cmocka_unit_test(strip_both_ends),
		cmocka_unit_test(versions_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
