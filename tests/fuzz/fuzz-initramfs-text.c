// SPDX-License-Identifier: GPL-2.0-or-later
/* A file of an initramfs tool's: what it is said to name is a word of it. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/initramfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *const modules[] = { (char *)"a_b", (char *)"zfs", NULL };
	_cleanup_free_ char *text = kp_calloc(size + 1, 1);
	const char *name = NULL;

	for (size_t i = 0; i < size; i++)
		text[i] = data[i] == '-' ? '_' : data[i] ? (char)data[i] : ' ';
	if (kp_initramfs_text_names((const char *)data, size, modules, &name) &&
	    (!name || !strstr(text, name)))
		abort();
	return 0;
}
