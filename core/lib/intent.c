// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/intent.h"
#include "lib/jsonfile.h"

/* A pin or hold, without a version of the whole module; or, without a kernel, the tombstone of a
 * source; or what it is built with. */
struct saying {
	char *module, *version, *kernel;
	enum kp_intent_kind kind;
	bool headers_only; /* PIN */
	struct kp_build_with with;
};

struct sayings {
	struct saying *list; /* by module, version, kernel */
	size_t n, alloc;
};

struct kp_intent {
	struct sayings pairs, removed, pending, with;
};

static void with_clear(struct kp_build_with *with)
{
	free(with->conf_file);
	free(with->kernel_source_dir);
	free(with->kernel_config);
	kp_strv_free(with->directives);
}

static void sayings_remove(struct sayings *s, size_t i)
{
	with_clear(&s->list[i].with);
	free(s->list[i].module);
	free(s->list[i].version);
	free(s->list[i].kernel);
	memmove(&s->list[i], &s->list[i + 1], (--s->n - i) * sizeof(*s->list));
}

static int compare(const struct saying *a, const char *module, const char *version,
		   const char *kernel)
{
	int c = strcmp(a->module, module);

	if (!c)
		c = kp_version_cmp(a->version, version);
	if (!c)
		c = strcmp(a->version, version); /* "1.0" and "1.00" */
	return c ? c : strcmp(a->kernel, kernel);
}

/* Where it is, or else would be inserted. */
static bool sayings_find(const struct sayings *s, const char *module, const char *version,
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

static void sayings_insert(struct sayings *s, size_t i, const char *module,
			   const char *version, const char *kernel,
			   enum kp_intent_kind kind)
{
	KP_GROW(s->list, s->n, s->alloc);
	memmove(&s->list[i + 1], &s->list[i], (s->n++ - i) * sizeof(*s->list));
	s->list[i] = (struct saying){ .module = kp_strdup(module),
				      .version = kp_strdup(version),
				      .kernel = kp_strdup(kernel),
				      .kind = kind };
}

static void sayings_clear(struct sayings *s)
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

	if (!sayings_find(&in->pairs, module, version, kernel, &i) &&
	    !sayings_find(&in->pairs, module, "", kernel, &i))
		return KP_INTENT_NONE;
	return in->pairs.list[i].kind;
}

bool kp_intent_holds_module(const struct kp_intent *in, const char *module,
			    const char *kernel)
{
	size_t i;

	return sayings_find(&in->pairs, module, "", kernel, &i);
}

/* The pin of MODULE for KERNEL, whatever the version. */
static bool find_pin(const struct kp_intent *in, const char *module, const char *kernel,
		     size_t *ret)
{
	for (size_t i = 0; i < in->pairs.n; i++) {
		const struct saying *s = &in->pairs.list[i];

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
	if (kind == KP_INTENT_PIN && find_pin(in, module, kernel, &i))
		sayings_remove(&in->pairs, i);
	if (kind == KP_INTENT_PIN && sayings_find(&in->pairs, module, "", kernel, &i))
		sayings_remove(&in->pairs, i);
	if (sayings_find(&in->pairs, module, version, kernel, &i))
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
	    sayings_find(&in->pairs, module, version, kernel, &i))
		in->pairs.list[i].headers_only = headers_only;
}

bool kp_intent_headers_only(const struct kp_intent *in, const char *module,
			    const char *version, const char *kernel)
{
	size_t i;

	return sayings_find(&in->pairs, module, version, kernel, &i) &&
	       in->pairs.list[i].headers_only;
}

/* All of a source. True: there was something. */
static bool sayings_drop(struct sayings *s, const char *module, const char *version)
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

	return sayings_find(&in->pending, module, version, "", &i);
}

void kp_intent_set_with(struct kp_intent *in, const char *module, const char *version,
			const char *kernel, const struct kp_build_with *with)
{
	size_t i;

	if (sayings_find(&in->with, module, version, kernel, &i))
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

	return sayings_find(&in->with, module, version, kernel, &i)
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
		if (sayings_find(&in->pending, module, version, kernel, &i))
			sayings_remove(&in->pending, i);
		return;
	}
	if (sayings_find(&in->pending, module, version, "", &i))
		return;
	if (!*kernel)
		kp_intent_drop_pending(in, module, version);
	if (sayings_find(&in->pending, module, version, kernel, &i))
		sayings_remove(&in->pending, i);
	/* It may have moved. */
	sayings_find(&in->pending, module, version, kernel, &i);
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

	return sayings_find(&in->removed, module, version, "", &i);
}

void kp_intent_set_removed(struct kp_intent *in, const char *module, const char *version,
			   bool removed)
{
	size_t i;
	bool found = sayings_find(&in->removed, module, version, "", &i);

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
		const struct saying *s = &in->pairs.list[i];

		fn(s->module, s->version, s->kernel, s->kind, data);
	}
}

static int bad_item(const char *file, const char *list, size_t i, const char *what,
		    struct kp_err *err)
{
	return kp_err_set(err, -EINVAL, "%s: item %zu of \"%s\": %s", file, i + 1, list,
			  what);
}

static int parse_pairs(json_t *array, const char *list, enum kp_intent_kind kind,
		       const char *file, struct kp_intent *in, struct kp_err *err)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *module, *version = NULL, *kernel;
		int headers_only = 0, r;
		size_t at;

		r = kp_json_unpack(json_array_get(array, i), file, err,
				   "{s:s, s?s, s:s, s?b}", "module", &module, "version",
				   &version, "kernel", &kernel, "headers_only",
				   &headers_only);
		if (r < 0)
			return r;
		/* Without a version it is a hold of all. */
		if (!kp_name_ok(module) || !kp_name_ok(kernel) ||
		    (version ? !kp_name_ok(version) : kind != KP_INTENT_HOLD))
			return bad_item(file, list, i, "unsafe name", err);
		if (!version)
			version = "";
		/* Never written: then the file is not what a person said. */
		if (sayings_find(&in->pairs, module, version, kernel, &at) ||
		    ((kind == KP_INTENT_PIN || !*version) &&
		     find_pin(in, module, kernel, &at)))
			return bad_item(file, list, i, "contradicts another one", err);
		kp_intent_set(in, module, version, kernel, kind);
		kp_intent_set_headers_only(in, module, version, kernel, headers_only);
	}
	return 0;
}

static int parse_removed(json_t *array, const char *file, struct kp_intent *in,
			 struct kp_err *err)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *module, *version;
		int r;

		r = kp_json_unpack(json_array_get(array, i), file, err, "{s:s, s:s}",
				   "module", &module, "version", &version);
		if (r < 0)
			return r;
		if (!kp_name_ok(module) || !kp_name_ok(version))
			return bad_item(file, "removed", i, "unsafe name", err);
		kp_intent_set_removed(in, module, version, true);
	}
	return 0;
}

static int parse_pending(json_t *array, const char *file, struct kp_intent *in,
			 struct kp_err *err)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *module, *version, *kernel = "", *what;
		int r;

		r = kp_json_unpack(json_array_get(array, i), file, err,
				   "{s:s, s:s, s?s, s:s}", "module", &module, "version",
				   &version, "kernel", &kernel, "what", &what);
		if (r < 0)
			return r;
		if (!kp_name_ok(module) || !kp_name_ok(version) ||
		    (*kernel && !kp_name_ok(kernel)))
			return bad_item(file, "pending", i, "unsafe name", err);
		if (strcmp(what, "remove") && (strcmp(what, "uninstall") || !*kernel))
			return bad_item(file, "pending", i, "unknown \"what\"", err);
		kp_intent_set_pending(in, module, version, kernel,
				      strcmp(what, "remove") ? KP_INTENT_UNINSTALL
							     : KP_INTENT_REMOVE);
	}
	return 0;
}

static int parse_directives(json_t *array, const char *file, size_t i,
			    struct kp_build_with *with, struct kp_err *err)
{
	for (size_t j = 0; j < json_array_size(array); j++) {
		const char *word = json_string_value(json_array_get(array, j));

		if (!word || *word == '=' || !strchr(word, '='))
			return bad_item(file, "with", i, "expected NAME=VALUE", err);
		kp_strv_add(&with->directives, word);
	}
	return 0;
}

static int parse_with(json_t *array, const char *file, struct kp_intent *in,
		      struct kp_err *err)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *module, *version, *kernel;
		const char *paths[3] = { 0 };
		struct kp_build_with with = { 0 };
		json_t *directives = NULL;
		int r;

		r = kp_json_unpack(json_array_get(array, i), file, err,
				   "{s:s, s:s, s:s, s?s, s?s, s?s, s?o}", "module",
				   &module, "version", &version, "kernel", &kernel,
				   "conf_file", &paths[0], "kernel_source_dir", &paths[1],
				   "kernel_config", &paths[2], "directives", &directives);
		if (r < 0)
			return r;
		if (!kp_name_ok(module) || !kp_name_ok(version) || !kp_name_ok(kernel))
			return bad_item(file, "with", i, "unsafe name", err);
		for (size_t j = 0; j < KP_ARRAY_SIZE(paths); j++)
			if (paths[j] && !kp_json_is_path(paths[j]))
				return bad_item(file, "with", i,
						"expected an absolute path", err);
		with.conf_file = (char *)paths[0];
		with.kernel_source_dir = (char *)paths[1];
		with.kernel_config = (char *)paths[2];
		r = parse_directives(directives, file, i, &with, err);
		if (r == 0)
			kp_intent_set_with(in, module, version, kernel, &with);
		kp_strv_free(with.directives);
		if (r < 0)
			return r;
	}
	return 0;
}

static int from_json(json_t *object, const char *file, struct kp_intent **ret,
		     struct kp_err *err)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new();
	json_t *pins, *holds, *removed, *pending = NULL, *with = NULL;
	int schema, r;

	r = kp_json_unpack(object, file, err, "{s:i, s:o, s:o, s:o, s?o, s?o}", "schema",
			   &schema, "pins", &pins, "holds", &holds, "removed", &removed,
			   "pending", &pending, "with", &with);
	if (r < 0)
		return r;
	if ((pending && !json_is_array(pending)) || (with && !json_is_array(with)))
		return kp_err_set(err, -EINVAL,
				  "%s: expected arrays in \"pending\" and \"with\"",
				  file);
	if (!json_is_array(pins) || !json_is_array(holds) || !json_is_array(removed))
		return kp_err_set(
			err, -EINVAL,
			"%s: expected arrays in \"pins\", \"holds\" and \"removed\"",
			file);
	r = parse_pairs(pins, "pins", KP_INTENT_PIN, file, in, err);
	if (!r)
		r = parse_pairs(holds, "holds", KP_INTENT_HOLD, file, in, err);
	if (!r)
		r = parse_removed(removed, file, in, err);
	if (!r)
		r = parse_pending(pending, file, in, err);
	if (!r)
		r = parse_with(with, file, in, err);
	if (r < 0)
		return r;
	*ret = kp_steal(&in);
	return 0;
}

int kp_intent_parse(const char *text, size_t len, const char *file,
		    struct kp_intent **ret, struct kp_err *err)
{
	_cleanup_json_ json_t *object = NULL;
	int r;

	r = kp_json_parse(text, len, file, &object, err);
	return r < 0 ? r : from_json(object, file, ret, err);
}

int kp_intent_load(struct kp_ctx *ctx, struct kp_intent **ret, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(ctx->state_dir, "intent.json");
	_cleanup_json_ json_t *object = NULL;
	struct kp_err why = KP_ERR_INIT;
	int r;

	r = kp_json_load(ctx->root_fd, path, &object, &why);
	if (r == -ENOENT) {
		*ret = kp_intent_new();
		return 0;
	}
	if (!r)
		r = from_json(object, path, ret, &why);
	if (r == -EINVAL)
		return kp_err_set(
			err, r,
			"%s; repair it, or move it away, which forgets all pins, "
			"holds and removed sources",
			kp_err_text(&why, r));
	return r < 0 ? kp_err_set(err, r, "%s", kp_err_text(&why, r)) : 0;
}

/* Append the saying, or fail: what cannot be read back must not be written. */
static int append(json_t *array, const struct saying *s, bool pair, struct kp_err *err)
{
	const char *what = s->kind == KP_INTENT_REMOVE	    ? "remove"
			   : s->kind == KP_INTENT_UNINSTALL ? "uninstall"
							    : NULL;
	bool all = s->kind == KP_INTENT_HOLD && !*s->version;
	json_t *item = NULL;

	if (kp_name_ok(s->module) && (all || kp_name_ok(s->version)) &&
	    (!pair || kp_name_ok(s->kernel)))
		item = json_pack("{s:s, s:s*, s:s*, s:s*}", "module", s->module,
				 "version", all ? NULL : s->version, "kernel",
				 pair ? s->kernel : NULL, "what", what);
	if (item && s->headers_only)
		json_object_set_new(item, "headers_only", json_true());
	if (!item)
		return kp_err_set(err, -EINVAL,
				  "intent on \"%.100s/%.100s\", kernel \"%.100s\" not "
				  "written: unsafe name",
				  s->module, s->version, s->kernel);
	json_array_append_new(array, item);
	return 0;
}

static int append_with(json_t *array, const struct saying *s, struct kp_err *err)
{
	json_t *directives = json_array();
	json_t *item;
	int r = append(array, s, true, err);

	item = r < 0 ? NULL : json_array_get(array, json_array_size(array) - 1);
	kp_strv_foreach(word, s->with.directives)
		json_array_append_new(directives, kp_json_text(*word));
	if (item)
		r = json_object_update_new(
			item, json_pack("{s:s*, s:s*, s:s*, s:O}", "conf_file",
					s->with.conf_file, "kernel_source_dir",
					s->with.kernel_source_dir, "kernel_config",
					s->with.kernel_config, "directives", directives));
	json_decref(directives);
	if (item && r < 0)
		return kp_err_set(
			err, -EINVAL,
			"what %s/%s is built with was not written: a path is no "
			"UTF-8",
			s->module, s->version);
	return r;
}

int kp_intent_save(struct kp_ctx *ctx, const struct kp_intent *in, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(ctx->state_dir, "intent.json");
	_cleanup_json_ json_t *object = NULL;
	json_t *pins = json_array(), *holds = json_array(), *removed = json_array();
	json_t *pending = json_array(), *with = json_array();
	int r = 0;

	object = json_pack("{s:o, s:o, s:o, s:o, s:o}", "pins", pins, "holds", holds,
			   "removed", removed, "pending", pending, "with", with);
	for (size_t i = 0; !r && i < in->pairs.n; i++) {
		const struct saying *s = &in->pairs.list[i];

		r = append(s->kind == KP_INTENT_PIN ? pins : holds, s, true, err);
	}
	for (size_t i = 0; !r && i < in->removed.n; i++)
		r = append(removed, &in->removed.list[i], false, err);
	for (size_t i = 0; !r && i < in->pending.n; i++)
		r = append(pending, &in->pending.list[i], *in->pending.list[i].kernel,
			   err);
	for (size_t i = 0; !r && i < in->with.n; i++)
		r = append_with(with, &in->with.list[i], err);
	if (!r)
		r = kp_mkdir_in(ctx->root_fd, ctx->state_dir, 0755, err);
	if (r < 0)
		return r;
	return kp_json_save(ctx->root_fd, path, object, err);
}
