// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

#include "base/pathset.h"

/* The sum of the tags that a path has in the set. */
static size_t tags(const struct kp_pathset *s, const char *path)
{
	const struct kp_pathset_entry *e = NULL;
	size_t len = strlen(path), sum = 0;

	while ((e = kp_pathset_find(s, path, len, e))) {
		assert_string_equal(e->path, path);
		sum += e->tag;
	}
	return sum;
}

static void finds_what_was_added(void **state)
{
	_cleanup_(kp_pathset_clear) struct kp_pathset s = { 0 };

	(void)state;
	kp_pathset_add(&s, "/usr/lib/b", 1);
	kp_pathset_add(&s, "/a", 2);
	kp_pathset_add(&s, "/usr/lib/a", 4);
	kp_pathset_add(&s, "/a", 8);
	kp_pathset_add(&s, "", 16);
	kp_pathset_seal(&s);
	assert_int_equal(tags(&s, "/usr/lib/b"), 1);
	assert_int_equal(tags(&s, "/usr/lib/a"), 4);
	assert_int_equal(tags(&s, "/a"), 10);
	assert_int_equal(tags(&s, ""), 16);
	assert_int_equal(tags(&s, "/b"), 0);
	assert_int_equal(tags(&s, "/usr"), 0);
	assert_int_equal(tags(&s, "/usr/lib/c"), 0);
	assert_int_equal(tags(&s, "/usr/lib/bb"), 0);
	/* only so many bytes count */
	assert_non_null(kp_pathset_find(&s, "/a/b", 2, NULL));
	assert_null(kp_pathset_find(&s, "/a/b", 4, NULL));
}

static void nothing_in_it(void **state)
{
	_cleanup_(kp_pathset_clear) struct kp_pathset s = { 0 };

	(void)state;
	kp_pathset_seal(&s);
	assert_int_equal(tags(&s, ""), 0);
	assert_int_equal(tags(&s, "/a"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_added),
		cmocka_unit_test(nothing_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
