// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cli/table.h"

/* Columns that TEXT takes: characters of UTF-8, not bytes. */
static size_t text_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void cli_table_add(struct cli_table *t, const char *text)
{
	bool last = t->n_cells % t->n_columns == t->n_columns - 1;

	KP_GROW(t->cells, t->n_cells, t->alloc);
	if (kp_str_empty(text))
		text = last ? "" : "-";
	t->cells[t->n_cells] = kp_strdup(text);
	kp_str_printable(t->cells[t->n_cells++]);
}

/* Bytes of TEXT that fit into WIDTH columns. */
static size_t bytes_that_fit(const char *text, size_t width)
{
	size_t i = 0;

	while (text[i] && width--) {
		i++;
		while (((unsigned char)text[i] & 0xc0) == 0x80)
			i++;
	}
	return i;
}

static void print_row(char *const *cells, size_t n, const size_t *widths, FILE *f,
		      size_t max_width)
{
	size_t at = 0, used = 0, last = n - 1;

	while (last && !cells[last][0])
		last--;
	for (; used < last; used++) {
		fprintf(f, "%s%*s  ", cells[used],
			(int)(widths[used] - text_width(cells[used])), "");
		at += widths[used] + 2;
	}
	/* Below some width cutting leaves nothing that is worth reading. */
	if (max_width && at + 16 < max_width && at + text_width(cells[last]) > max_width)
		fprintf(f, "%.*s...\n",
			(int)bytes_that_fit(cells[last], max_width - at - 3),
			cells[last]);
	else
		fprintf(f, "%s\n", cells[last]);
}

void cli_table_print(const struct cli_table *t, FILE *f, size_t max_width)
{
	_cleanup_free_ size_t *widths = kp_calloc(t->n_columns, sizeof(*widths));

	for (size_t i = 0; i < t->n_cells; i++) {
		size_t w = text_width(t->cells[i]);

		if (w > widths[i % t->n_columns])
			widths[i % t->n_columns] = w;
	}
	for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns)
		print_row(t->cells + i, t->n_columns, widths, f, max_width);
}

void cli_table_clear(struct cli_table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct cli_table){ .n_columns = t->n_columns };
}
