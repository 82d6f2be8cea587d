// SPDX-License-Identifier: GPL-2.0-or-later
/* The text of headers, of which what a file needs is left. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lib/reduce.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "A", "module", "u32", NULL };
	static const char uses[] = "struct module a = { B(u8) };";
	/* Without a NUL behind it. */
	char *text = kp_memdup(data, size);
	struct kp_buf ret = KP_BUF_INIT;

	(void)kp_reduce(text, size, uses, strlen(uses), names, &ret);
	/* Nothing twice but the ends of lines. */
	assert(ret.len <= 2 * size);
	kp_buf_free(&ret);
	free(text);
	return 0;
}
