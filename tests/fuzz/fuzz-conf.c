// SPDX-License-Identifier: GPL-2.0-or-later
/* The plain evaluator: what it accepts has one meaning, and it never fails halfway. What is closed
 * is found out of any text. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/conf-parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kp_vars *make_vars(void)
{
	struct kp_vars *vars = kp_vars_new();

	kp_vars_set(vars, "kernelver", 0, "6.1.0-56-amd64");
	kp_vars_set(vars, "kernel_source_dir", 0, "/lib/modules/6.1.0-56-amd64/build");
	kp_vars_set(vars, "dkms_tree", 0, "/var/lib/dkms");
	return vars;
}

static void check_same(const struct kp_vars *a, const struct kp_vars *b)
{
	if (a->n_vars != b->n_vars)
		abort();
	for (size_t i = 0; i < a->n_vars; i++) {
		const struct kp_var *x = &a->vars[i], *y = &b->vars[i];

		if (strcmp(x->name, y->name) || x->n_elems != y->n_elems || !x->n_elems)
			abort();
		for (size_t j = 0; j < x->n_elems; j++)
			if (x->elems[j].index != y->elems[j].index ||
			    strcmp(x->elems[j].value, y->elems[j].value) ||
			    (j && x->elems[j].index <= x->elems[j - 1].index))
				abort();
	}
}

static void check_reads(char *text, const struct kp_vars *given)
{
	_cleanup_strv_ char **paths = NULL, **sourced = NULL;
	char *const texts[] = { text, NULL };

	(void)kp_conf_is_closed(texts, given, &paths, &sourced);
	kp_strv_foreach(p, paths)
		if (**p != '/')
			abort();
	kp_strv_foreach(p, sourced)
		if (!kp_strv_has(paths, *p))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kp_vars_freep) struct kp_vars *once = make_vars(), *again = make_vars();
	_cleanup_free_ char *text = kp_strndup((const char *)data, size);
	struct kp_err err = KP_ERR_INIT;
	int r = kp_conf_plain((const char *)data, size, once, &err);
	bool cr;

	check_reads(text, again);
	if (kp_conf_plain((const char *)data, size, again, NULL) != r)
		abort();
	if (r) {
		_cleanup_(kp_vars_freep) struct kp_vars *untouched = make_vars();

		if (r != -ENOTSUP || strncmp(err.text, "line ", 5))
			abort();
		check_same(once, untouched);
		return 0;
	}
	check_same(once, again);
	if (kp_conf_expand(once, &cr, NULL) != kp_conf_expand(again, &cr, NULL))
		abort();
	check_same(once, again);
	return 0;
}
