// SPDX-License-Identifier: GPL-2.0-or-later
/* intent.json: what is accepted has safe names, and no pin twice. Only a hold may be of all
 * versions. */
#include <stdint.h>
#include <stdlib.h>

#include "base/fs.h"
#include "lib/intent.h"

static void check(const char *module, const char *version, const char *kernel,
		  enum kp_intent_kind kind, void *data)
{
	bool all = !*version && kind == KP_INTENT_HOLD;

	if (!kp_name_ok(module) || (!all && !kp_name_ok(version)) ||
	    !kp_name_ok(kernel) || kp_intent_get(data, module, version, kernel) != kind)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (kp_intent_parse((const char *)data, size, "f", &in, &err) == 0)
		kp_intent_foreach(in, check, in);
	else if (in || !err.text[0])
		abort();
	return 0;
}
