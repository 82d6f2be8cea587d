// SPDX-License-Identifier: GPL-2.0-or-later
/* owners.json: what was remembered of the package database. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../core/lib/owner-memo.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = { "/a",
					     "/lib/modules/6/updates/dkms/hello.ko" };
	struct kp_owner_memo m = { 0 };
	_cleanup_json_ json_t *object = NULL;

	if (kp_json_parse((const char *)data, size, "f", &object, NULL) < 0)
		return 0;
	from_json(object, "f", &m);
	assert(!m.stamp == !m.owners);
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++) {
		struct kp_owner o = { 0 };

		if (!kp_owner_memo_find(&m, paths[i], &o))
			continue;
		assert(!o.package == !o.version && !o.package == !o.path);
		free(o.package);
		free(o.version);
		free(o.path);
	}
	json_decref(m.owners);
	free(m.stamp);
	return 0;
}
