// SPDX-License-Identifier: GPL-2.0-or-later
/* A Module.symvers, which may come from a build, against some symbols. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "inside/modinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kp_symbol list[] = {
		{ .name = (char *)"a", .crc = 1 },
		{ .name = (char *)"module_layout", .crc = 0x12345678 },
		{ .name = (char *)"printk" },
	};
	struct kp_symbols symbols = { list, sizeof(list) / sizeof(*list) };
	/* Without a NUL behind it, as the prototype has it. */
	char *text = kp_memdup(data, size);

	kp_symvers_resolve(text, size, &symbols);
	for (size_t i = 0; i < symbols.n; i++)
		if (list[i].crc_differs && !list[i].exported)
			abort();
	free(text);
	return 0;
}
