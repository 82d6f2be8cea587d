// SPDX-License-Identifier: GPL-2.0-or-later
/* What was remembered of our packages in the database. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/package-memo.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = kp_strndup((const char *)data, size);
	struct kp_pkg_installed *list = NULL;
	size_t n = 0;

	if (!parse(text, strlen(text), "s", &list, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		assert(list[i].name && list[i].id.module && list[i].id.content);
	kp_pkg_list_free(list, n);
	return 0;
}
