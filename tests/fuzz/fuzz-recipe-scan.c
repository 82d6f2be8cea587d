// SPDX-License-Identifier: GPL-2.0-or-later
/* A make file, or a MAKE line, of a source that wants to be taken for another. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/recipe-scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const headers[] = { "/h", NULL };
	char *text = kp_strndup((const char *)data, size);
	struct kp_scan_file file = { .levels = 1 };

	free(kp_scan_makefile(text, text, "/b", &file));
	kp_strv_free(file.includes);
	free(kp_scan_make_line(text, "/b", headers));
	free(text);
	return 0;
}
