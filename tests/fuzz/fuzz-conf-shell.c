// SPDX-License-Identifier: GPL-2.0-or-later
/* What the shell that evaluated a conf answers: the conf may have written there itself. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/conf-shell.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	struct kp_err err = KP_ERR_INIT;
	const char *text = (const char *)data, *status;
	int r = parse_result(text, size, vars, &status, &err);

	assert(r <= 0 && (r == 0 || err.text[0]));
	assert(!status || (status >= text && status < text + size &&
			   memchr(status, '\0', (size_t)(text + size - status))));
	for (size_t i = 0; i < vars->n_vars; i++) {
		const struct kp_var *v = &vars->vars[i];

		assert(*v->name && !kp_conf_name_special(v->name) && v->n_elems);
		for (size_t j = 0; j < v->n_elems; j++)
			assert(v->elems[j].index <= INDEX_MAX &&
			       (!j || v->elems[j].index > v->elems[j - 1].index));
	}
	return 0;
}
