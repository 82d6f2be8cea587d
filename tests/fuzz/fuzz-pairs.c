// SPDX-License-Identifier: GPL-2.0-or-later
/* What was remembered of sources and kernels. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/pair-memo.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kp_source source = { .module = (char *)"m",
						 .version = (char *)"1" };
	static const struct kp_kernel kernel = { .release = (char *)"6" };
	struct kp_pair_memo m = { .head = (char *)"h", .len = size };
	const struct line *line;

	m.text = kp_strndup((const char *)data, size);
	parse(&m);
	line = find_line(&m, &source, &kernel);
	if (line) {
		assert(line->n >= FILES && (line->n - FILES) % 2 == 0);
		for (size_t i = 0; i < line->n; i++)
			assert(!strpbrk(line->fields[i], "\t\n"));
	}
	free(m.text);
	free(m.fields);
	free(m.lines);
	return 0;
}
