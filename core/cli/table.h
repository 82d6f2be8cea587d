// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A table for people: columns as wide as what is in them, two spaces between, no spaces
 * at the ends of lines. Cells are one line of printable text.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

struct cli_table {
	size_t n_columns;
	char **cells; /* row by row, owned */
	size_t n_cells, alloc;
};

/* The next cell, row by row; NULL or "" becomes "-" unless it is the last of its row. */
void cli_table_add(struct cli_table *t, const char *text);
/* MAX_WIDTH: cut the last column so that lines fit; 0: never. */
void cli_table_print(const struct cli_table *t, FILE *f, size_t max_width);
void cli_table_clear(struct cli_table *t);
