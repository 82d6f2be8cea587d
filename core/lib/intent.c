// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/intent-parts.h"

static void with_clear(struct kp_build_with *with)
{
	free(with->conf_file);
	free(with->kernel_source_dir);
	free(with->kernel_config);
	kp_strv_free(with->directives);
}

static void sayings_remove(struct kp_sayings *s, size_t i)
{
	with_clear(&s->list[i].with);
	free(s->list[i].module);
	free(s->list[i].version);
	free(s->list[i].kernel);
	memmove(&s->list[i], &s->list[i + 1], (--s->n - i) * sizeof(*s->list));
}

static int compare(const struct kp_saying *a, const char *module, const char *version,
		   const char *kernel)
{
	int c = strcmp(a->module, module);

	if (!c)
		c = kp_version_cmp(a->version, version);
	if (!c)
		c = strcmp(a->version, version); /* "1.0" and "1.00" */
	return c ? c : strcmp(a->kernel, kernel);
}

bool kp_sayings_find(const struct kp_sayings *s, const char *module, const char *version,
		     const char *kernel, size_t *ret)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = compare(&s->list[mid], module, version, kernel);

		if (!c) {
			*ret = mid;
			return true;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret = low;
	return false;
}

static void sayings_insert(struct kp_sayings *s, size_t i, const char *module,
			   const char *version, const char *kernel,
			   enum kp_intent_kind kind)
{
	KP_GROW(s->list, s->n, s->alloc);
	memmove(&s->list[i + 1], &s->list[i], (s->n++ - i) * sizeof(*s->list));
	s->list[i] = (struct kp_saying){ .module = kp_strdup(module),
					 .version = kp_strdup(version),
					 .kernel = kp_strdup(kernel),
					 .kind = kind };
}

static void sayings_clear(struct kp_sayings *s)
{
	while (s->n)
		sayings_remove(s, s->n - 1);
	free(s->list);
}

struct kp_intent *kp_intent_new(void)
{
	return kp_calloc(1, sizeof(struct kp_intent));
}

void kp_intent_free(struct kp_intent *in)
{
	if (!in)
		return;
	sayings_clear(&in->pairs);
	sayings_clear(&in->removed);
	sayings_clear(&in->pending);
	sayings_clear(&in->with);
	free(in);
}

enum kp_intent_kind kp_intent_get(const struct kp_intent *in, const char *module,
				  const char *version, const char *kernel)
{
	size_t i;

	if (!kp_sayings_find(&in->pairs, module, version, kernel, &i) &&
	    !kp_sayings_find(&in->pairs, module, "", kernel, &i))
		return KP_INTENT_NONE;
	return in->pairs.list[i].kind;
}

bool kp_intent_holds_module(const struct kp_intent *in, const char *module,
			    const char *kernel)
{
	size_t i;

	return kp_sayings_find(&in->pairs, module, "", kernel, &i);
}

bool kp_sayings_find_pin(const struct kp_intent *in, const char *module,
			 const char *kernel, size_t *ret)
{
	for (size_t i = 0; i < in->pairs.n; i++) {
		const struct kp_saying *s = &in->pairs.list[i];

		if (s->kind == KP_INTENT_PIN && !strcmp(s->module, module) &&
		    !strcmp(s->kernel, kernel)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* Whatever the version. */
static void drop_module(struct kp_intent *in, const char *module, const char *kernel)
{
	for (size_t i = in->pairs.n; i-- > 0;)
		if (!strcmp(in->pairs.list[i].module, module) &&
		    !strcmp(in->pairs.list[i].kernel, kernel))
			sayings_remove(&in->pairs, i);
}

void kp_intent_set(struct kp_intent *in, const char *module, const char *version,
		   const char *kernel, enum kp_intent_kind kind)
{
	size_t i;

	if (!*version)
		drop_module(in, module, kernel);
	if (kind == KP_INTENT_PIN && kp_sayings_find_pin(in, module, kernel, &i))
		sayings_remove(&in->pairs, i);
	if (kind == KP_INTENT_PIN && kp_sayings_find(&in->pairs, module, "", kernel, &i))
		sayings_remove(&in->pairs, i);
	if (kp_sayings_find(&in->pairs, module, version, kernel, &i))
		sayings_remove(&in->pairs, i);
	if (kind != KP_INTENT_NONE)
		sayings_insert(&in->pairs, i, module, version, kernel, kind);
}

void kp_intent_set_headers_only(struct kp_intent *in, const char *module,
				const char *version, const char *kernel,
				bool headers_only)
{
	size_t i;

	if (kp_intent_get(in, module, version, kernel) == KP_INTENT_PIN &&
	    kp_sayings_find(&in->pairs, module, version, kernel, &i))
		in->pairs.list[i].headers_only = headers_only;
}

bool kp_intent_headers_only(const struct kp_intent *in, const char *module,
			    const char *version, const char *kernel)
{
	size_t i;

	return kp_sayings_find(&in->pairs, module, version, kernel, &i) &&
	       in->pairs.list[i].headers_only;
}

/* All of a source. True: there was something. */
static bool sayings_drop(struct kp_sayings *s, const char *module, const char *version)
{
	size_t before = s->n;

	for (size_t i = s->n; i-- > 0;)
		if (!strcmp(s->list[i].module, module) &&
		    !strcmp(s->list[i].version, version))
			sayings_remove(s, i);
	return s->n != before;
}

void kp_intent_forget(struct kp_intent *in, const char *module, const char *version)
{
	sayings_drop(&in->pairs, module, version);
	sayings_drop(&in->with, module, version);
	kp_intent_set_removed(in, module, version, false);
}

bool kp_intent_drop_pending(struct kp_intent *in, const char *module, const char *version)
{
	return sayings_drop(&in->pending, module, version);
}

bool kp_intent_removes(const struct kp_intent *in, const char *module,
		       const char *version)
{
	size_t i;

	return kp_sayings_find(&in->pending, module, version, "", &i);
}

void kp_intent_set_with(struct kp_intent *in, const char *module, const char *version,
			const char *kernel, const struct kp_build_with *with)
{
	size_t i;

	if (kp_sayings_find(&in->with, module, version, kernel, &i))
		sayings_remove(&in->with, i);
	if (!with)
		return;
	sayings_insert(&in->with, i, module, version, kernel, KP_INTENT_NONE);
	in->with.list[i].with = (struct kp_build_with){
		.conf_file = kp_strdup(with->conf_file),
		.kernel_source_dir = kp_strdup(with->kernel_source_dir),
		.kernel_config = kp_strdup(with->kernel_config),
		.directives = kp_strv_dup(with->directives),
	};
}

const struct kp_build_with *kp_intent_with(const struct kp_intent *in, const char *module,
					   const char *version, const char *kernel)
{
	size_t i;

	return kp_sayings_find(&in->with, module, version, kernel, &i)
		       ? &in->with.list[i].with
		       : NULL;
}

bool kp_intent_nth_with(const struct kp_intent *in, size_t i, const char **ret_module,
			const char **ret_version, const char **ret_kernel,
			const struct kp_build_with **ret)
{
	if (i >= in->with.n)
		return false;
	*ret_module = in->with.list[i].module;
	*ret_version = in->with.list[i].version;
	*ret_kernel = in->with.list[i].kernel;
	*ret = &in->with.list[i].with;
	return true;
}

void kp_intent_set_pending(struct kp_intent *in, const char *module, const char *version,
			   const char *kernel, enum kp_intent_kind kind)
{
	size_t i;

	if (kind == KP_INTENT_NONE) {
		if (kp_sayings_find(&in->pending, module, version, kernel, &i))
			sayings_remove(&in->pending, i);
		return;
	}
	if (kp_sayings_find(&in->pending, module, version, "", &i))
		return;
	if (!*kernel)
		kp_intent_drop_pending(in, module, version);
	if (kp_sayings_find(&in->pending, module, version, kernel, &i))
		sayings_remove(&in->pending, i);
	/* It may have moved. */
	kp_sayings_find(&in->pending, module, version, kernel, &i);
	sayings_insert(&in->pending, i, module, version, kernel, kind);
}

bool kp_intent_pending(const struct kp_intent *in, size_t i, const char **ret_module,
		       const char **ret_version, const char **ret_kernel,
		       enum kp_intent_kind *ret_kind)
{
	if (i >= in->pending.n)
		return false;
	*ret_module = in->pending.list[i].module;
	*ret_version = in->pending.list[i].version;
	*ret_kernel = in->pending.list[i].kernel;
	*ret_kind = in->pending.list[i].kind;
	return true;
}

bool kp_intent_nth_removed(const struct kp_intent *in, size_t i, const char **ret_module,
			   const char **ret_version)
{
	if (i >= in->removed.n)
		return false;
	*ret_module = in->removed.list[i].module;
	*ret_version = in->removed.list[i].version;
	return true;
}

bool kp_intent_removed(const struct kp_intent *in, const char *module,
		       const char *version)
{
	size_t i;

	return kp_sayings_find(&in->removed, module, version, "", &i);
}

void kp_intent_set_removed(struct kp_intent *in, const char *module, const char *version,
			   bool removed)
{
	size_t i;
	bool found = kp_sayings_find(&in->removed, module, version, "", &i);

	if (removed && !found)
		sayings_insert(&in->removed, i, module, version, "", KP_INTENT_NONE);
	else if (!removed && found)
		sayings_remove(&in->removed, i);
}

void kp_intent_foreach(const struct kp_intent *in,
		       void (*fn)(const char *module, const char *version,
				  const char *kernel, enum kp_intent_kind kind,
				  void *data),
		       void *data)
{
	for (size_t i = 0; i < in->pairs.n; i++) {
		const struct kp_saying *s = &in->pairs.list[i];

		fn(s->module, s->version, s->kernel, s->kind, data);
	}
}
