// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

static void join_and_split_paths(void **state)
{
	static const struct {
		const char *a, *b, *joined;
	} joins[] = {
		{ "/a", "b/c", "/a/b/c" }, { "/a/", "/b//c/", "/a/b/c" },
		{ "/", "/", "/" },	   { "/", "a", "/a" },
		{ "", "a//b", "a/b" },	   { "", "/a", "/a" },
		{ "a", "", "a" },	   { "", "", "" },
	};
	static const struct {
		const char *path, *dir;
	} dirs[] = {
		{ "/a/b", "/a" },   { "/a", "/" },     { "/", "/" },
		{ "/a/b//", "/a" }, { "/a//b", "/a" }, { "//a", "/" },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(joins); i++) {
		_cleanup_free_ char *s = kp_path_join(joins[i].a, joins[i].b);

		assert_string_equal(s, joins[i].joined);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *s = kp_path_dir(dirs[i].path);

		assert_string_equal(s, dirs[i].dir);
	}
}

static void hostile_names(void **state)
{
	static const char *const good[] = {
		"zfs", "a..b", "...", "-x", "hello+1~2", "caf\xc3\xa9", "\xf0\x9f\x90\xa7"
	};
	static const char *const bad[] = {
		"",
		".",
		"..",
		"a/b",
		"/",
		"a b",
		"a\tb",
		"a\nb",
		"a\033[0m",
		"\177",
		"\xe9",
		"a\xc3",
		"\xc0\xaf",
		"\xed\xa0\x80",
		"\xf5\x80\x80\x80",
		"\xc2\x9b",
		"\xe0\x80\xaf",
	};
	char longest[257];

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(good); i++)
		if (!kp_name_ok(good[i]))
			fail_msg("'%s' is refused", good[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++)
		if (kp_name_ok(bad[i]))
			fail_msg("bad name %zu is accepted", i);
	memset(longest, 'n', sizeof(longest));
	longest[255] = '\0';
	assert_true(kp_name_ok(longest));
	longest[255] = 'n';
	longest[256] = '\0';
	assert_false(kp_name_ok(longest));
}

static void hostile_relative_paths(void **state)
{
	static const char *const good[] = { "a", "a/b c/d", "..a/b..", "a/.b" };
	static const char *const bad[] = { "",	   "/a",     "a/",    "a//b",
					   ".",	   "a/./b",  "..",    "../a",
					   "a/..", "a/../b", "a\n/b", "a/\xff" };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(good); i++)
		if (!kp_relpath_ok(good[i]))
			fail_msg("'%s' is refused", good[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++)
		if (kp_relpath_ok(bad[i]))
			fail_msg("bad path %zu is accepted", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(join_and_split_paths),
		cmocka_unit_test(hostile_names),
		cmocka_unit_test(hostile_relative_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
