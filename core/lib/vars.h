// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shell variables: names with sparse arrays of strings, as bash has them. What either
 * evaluator of dkms.conf returns, and what the interpretation (conf.h) reads.
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"

struct kp_var_elem {
	unsigned int index;
	char *value;
};

struct kp_var {
	char *name;
	struct kp_var_elem *elems; /* ascending index, no duplicates */
	size_t n_elems;
};

struct kp_vars {
	struct kp_var *vars; /* by name (strcmp); each has at least one element */
	size_t n_vars, alloc;
};

struct kp_vars *kp_vars_new(void);
void kp_vars_free(struct kp_vars *v);
KP_DEFINE_CLEANUP(struct kp_vars *, kp_vars_free);
struct kp_vars *kp_vars_dup(const struct kp_vars *v);
/* NULL when the variable or the element is not set. */
const struct kp_var *kp_vars_find(const struct kp_vars *v, const char *name);
const char *kp_vars_get(const struct kp_vars *v, const char *name, unsigned int index);
void kp_vars_set(struct kp_vars *v, const char *name, unsigned int index,
		 const char *value);
void kp_vars_unset(struct kp_vars *v, const char *name); /* all elements */
