// SPDX-License-Identifier: GPL-2.0-or-later
/* A file of a compiler's remembered answers, as a build's front reads it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "probe-front/question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char key[] = "/usr/bin/gcc\0-c\0-x\0c\0/dev/null\0-o\0-\0";
	/* Without a NUL behind it. */
	char *text = kp_memdup(data, size);
	struct kp_answer a;
	size_t begin = kp_answers_begin(text, size, "/usr/bin/gcc");

	assert(begin <= size);
	assert(kp_answers_whole(text, size) <= size);
	if (kp_answers_find(text, size, key, sizeof(key), &a))
		assert(a.exit_code < 256 &&
		       (!a.output_len ||
			(a.output >= text && a.output + a.output_len <= text + size)));
	free(text);
	return 0;
}
