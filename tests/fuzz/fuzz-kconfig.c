// SPDX-License-Identifier: GPL-2.0-or-later
/* A kernel configuration, of which several values are asked. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lib/kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "CONFIG_MODULES", "CONFIG_CC_VERSION_TEXT",
					     "CONFIG_HZ" };
	char *text = kp_strndup((const char *)data, size);
	enum kp_compression c;

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++)
		free(kp_kconfig_get(text, names[i]));
	(void)kp_compression_of_name(text, &c);
	free(text);
	return 0;
}
