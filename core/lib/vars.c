// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/vars.h"

struct kp_vars *kp_vars_new(void)
{
	return kp_calloc(1, sizeof(struct kp_vars));
}

static void var_clear(struct kp_var *var)
{
	for (size_t i = 0; i < var->n_elems; i++)
		free(var->elems[i].value);
	free(var->elems);
	free(var->name);
}

void kp_vars_free(struct kp_vars *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n_vars; i++)
		var_clear(&v->vars[i]);
	free(v->vars);
	free(v);
}

struct kp_vars *kp_vars_dup(const struct kp_vars *v)
{
	struct kp_vars *copy = kp_vars_new();

	copy->vars = kp_calloc(v->n_vars + 1, sizeof(*copy->vars));
	copy->alloc = v->n_vars + 1;
	copy->n_vars = v->n_vars;
	for (size_t i = 0; i < v->n_vars; i++) {
		const struct kp_var *from = &v->vars[i];
		struct kp_var *to = &copy->vars[i];

		to->name = kp_strdup(from->name);
		to->elems = kp_calloc(from->n_elems, sizeof(*to->elems));
		to->n_elems = from->n_elems;
		for (size_t j = 0; j < from->n_elems; j++) {
			to->elems[j].index = from->elems[j].index;
			to->elems[j].value = kp_strdup(from->elems[j].value);
		}
	}
	return copy;
}

/* Where NAME is, or where it belongs: *ret_found says which. */
static size_t find_slot(const struct kp_vars *v, const char *name, int *ret_found)
{
	size_t low = 0, high = v->n_vars;

	*ret_found = 0;
	/* bash hands variables over in order: most are new and belong at the end. */
	if (high && strcmp(v->vars[high - 1].name, name) < 0)
		return high;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(v->vars[mid].name, name);

		if (!c) {
			*ret_found = 1;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct kp_var *kp_vars_find(const struct kp_vars *v, const char *name)
{
	int found;
	size_t slot = find_slot(v, name, &found);

	return found ? &v->vars[slot] : NULL;
}

const char *kp_vars_get(const struct kp_vars *v, const char *name, unsigned int index)
{
	const struct kp_var *var = kp_vars_find(v, name);

	if (!var)
		return NULL;
	for (size_t i = 0; i < var->n_elems; i++)
		if (var->elems[i].index == index)
			return var->elems[i].value;
	return NULL;
}

void kp_vars_set(struct kp_vars *v, const char *name, unsigned int index,
		 const char *value)
{
	int found;
	size_t slot = find_slot(v, name, &found), i;
	char *copy = kp_strdup(value); /* VALUE may be the element that is replaced */
	struct kp_var *var;

	if (!found) {
		KP_GROW(v->vars, v->n_vars, v->alloc);
		memmove(v->vars + slot + 1, v->vars + slot,
			(v->n_vars - slot) * sizeof(*v->vars));
		v->vars[slot] = (struct kp_var){ .name = kp_strdup(name) };
		v->n_vars++;
	}
	var = &v->vars[slot];
	for (i = var->n_elems; i > 0 && var->elems[i - 1].index >= index; i--)
		if (var->elems[i - 1].index == index) {
			free(var->elems[i - 1].value);
			var->elems[i - 1].value = copy;
			return;
		}
	var->elems = kp_reallocarray(var->elems, var->n_elems + 1, sizeof(*var->elems));
	memmove(var->elems + i + 1, var->elems + i,
		(var->n_elems - i) * sizeof(*var->elems));
	var->elems[i] = (struct kp_var_elem){ .index = index, .value = copy };
	var->n_elems++;
}

void kp_vars_unset(struct kp_vars *v, const char *name)
{
	int found;
	size_t slot = find_slot(v, name, &found);

	if (!found)
		return;
	var_clear(&v->vars[slot]);
	v->n_vars--;
	memmove(v->vars + slot, v->vars + slot + 1,
		(v->n_vars - slot) * sizeof(*v->vars));
}
