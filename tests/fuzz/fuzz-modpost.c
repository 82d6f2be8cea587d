// SPDX-License-Identifier: GPL-2.0-or-later
/* The log of a build, where modpost's messages stand among anything. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "inside/modinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kp_symbol list[] = { { .name = (char *)"a" },
				    { .name = (char *)"printk" } };
	struct kp_symbols symbols = { list, sizeof(list) / sizeof(*list) };
	/* Without a NUL behind it, as the prototype has it. */
	char *text = kp_memdup(data, size);

	kp_modpost_resolve(text, size, "hello", &symbols);
	free(text);
	return 0;
}
