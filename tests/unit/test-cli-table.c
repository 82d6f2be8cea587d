// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/table.h"

static void expect_print(const struct cli_table *t, size_t max_width,
			 const char *expected)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	cli_table_print(t, f, max_width);
	fclose(f);
	assert_string_equal(text, expected);
	free(text);
}

static void fill(struct cli_table *t, const char *const *cells)
{
	for (; *cells; cells++)
		cli_table_add(t, *cells);
}

static void columns_are_as_wide_as_their_content(void **state)
{
	static const char *const cells[] = {
		"A", "LONGER", "C", "wide", "x", "last", NULL
	};
	struct cli_table t = { .n_columns = 3 };

	(void)state;
	fill(&t, cells);
	expect_print(&t, 0,
		     "A     LONGER  C\n"
		     "wide  x       last\n");
	cli_table_clear(&t);
}

static void nothing_is_a_dash_but_in_the_last_column(void **state)
{
	struct cli_table t = { .n_columns = 3 };

	(void)state;
	cli_table_add(&t, "a");
	cli_table_add(&t, NULL);
	cli_table_add(&t, NULL);
	cli_table_add(&t, "");
	cli_table_add(&t, "bb");
	cli_table_add(&t, "c");
	expect_print(&t, 0,
		     "a  -\n"
		     "-  bb  c\n");
	cli_table_clear(&t);
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	struct cli_table t = { .n_columns = 2 };

	(void)state;
	cli_table_add(&t, "a\033[2J");
	cli_table_add(&t, "b\nc");
	expect_print(&t, 0, "a?[2J  b?c\n");
	cli_table_clear(&t);
}

static void characters_count_not_bytes(void **state)
{
	static const char *const cells[] = { "\xc3\xa4\xc3\xb6", "1", "abc", "2", NULL };
	struct cli_table t = { .n_columns = 2 };

	(void)state;
	fill(&t, cells);
	expect_print(&t, 0,
		     "\xc3\xa4\xc3\xb6   1\n"
		     "abc  2\n");
	cli_table_clear(&t);
}

static void only_the_last_column_is_cut(void **state)
{
	static const char *const cells[] = { "name", "a note that is too long for this",
					     NULL };
	struct cli_table t = { .n_columns = 2 };

	(void)state;
	fill(&t, cells);
	expect_print(&t, 30, "name  a note that is too lo...\n");
	expect_print(&t, 38, "name  a note that is too long for this\n");
	/* Too narrow to be worth cutting. */
	expect_print(&t, 20, "name  a note that is too long for this\n");
	cli_table_clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_content),
		cmocka_unit_test(nothing_is_a_dash_but_in_the_last_column),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(characters_count_not_bytes),
		cmocka_unit_test(only_the_last_column_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
