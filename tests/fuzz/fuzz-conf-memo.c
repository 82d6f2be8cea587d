// SPDX-License-Identifier: GPL-2.0-or-later
/* What was remembered of a dkms.conf that needed a shell. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/conf-memo.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	_cleanup_json_ json_t *object = NULL;

	if (kp_json_parse((const char *)data, size, "f", &object, NULL) < 0)
		return 0;
	(void)read_vars(json_object_get(object, "directives"), vars);
	for (size_t i = 0; i < vars->n_vars; i++)
		assert(kp_conf_is_directive(vars->vars[i].name));
	return 0;
}
