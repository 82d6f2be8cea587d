// SPDX-License-Identifier: GPL-2.0-or-later
/* entry.json of a build that is kept: root copies the files that it names. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/cache.c"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_cache_entry_clear) struct kp_cache_entry e = { 0 };
	_cleanup_(files_clear) struct files f = { 0 };
	_cleanup_json_ json_t *object = NULL;

	if (kp_json_parse((const char *)data, size, "f", &object, NULL) < 0 ||
	    from_json(object, "f", KEY, &e, &f) < 0)
		return 0;
	for (size_t i = 0; i < e.n_inputs; i++)
		assert(kp_path_ok(e.inputs[i].path) &&
		       strlen(e.inputs[i].sha256) == 64);
	for (size_t i = 0; i < f.n; i++)
		assert(kp_relpath_ok(f.list[i].path) && strlen(f.list[i].sha256) == 64);
	return 0;
}
