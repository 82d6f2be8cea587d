// SPDX-License-Identifier: GPL-2.0-or-later
/* os-release. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/ctx.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = kp_strndup((const char *)data, size), *id = NULL;

	id = os_release_get(text, "ID");
	assert(kp_str_is_printable(id) && strlen(id) <= size);
	return 0;
}
