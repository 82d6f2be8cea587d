// SPDX-License-Identifier: GPL-2.0-or-later
/* Intent as it is kept: <state_dir>/intent.json. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "lib/intent-parts.h"
#include "lib/jsonfile.h"

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
		if (kp_sayings_find(&in->pairs, module, version, kernel, &at) ||
		    ((kind == KP_INTENT_PIN || !*version) &&
		     kp_sayings_find_pin(in, module, kernel, &at)))
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
			if (paths[j] && !kp_path_ok(paths[j]))
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
static int append(json_t *array, const struct kp_saying *s, bool pair, struct kp_err *err)
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

static int append_with(json_t *array, const struct kp_saying *s, struct kp_err *err)
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
		const struct kp_saying *s = &in->pairs.list[i];

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
		r = kp_mkdir_durably_in(ctx->root_fd, ctx->state_dir, err);
	if (r < 0)
		return r;
	return kp_json_save(ctx->root_fd, path, object, err);
}
