// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What bash made of a conf, remembered: <state_dir>/confs/MODULE/VERSION/KERNEL-ARCH.json.
 *
 * Only directives are kept, as they are after the second expansion. They hold as long as the key
 * does (the variables given, the conf and its overrides by stat, the caller's word for the source and
 * the headers, the running kernel) and the files that bash may have looked at look as they did. A conf that
 * could see anything else (conf-closed.c) is not remembered.
 * Root's process writes it; who may not, evaluates.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/conf-parts.h"
#include "lib/jsonfile.h"
#include "lib/kernel.h"

#define CONF_MAX (1024 * 1024)
#define FILES_MAX 16

static char *memo_dir(const struct kp_ctx *ctx, const char *module, const char *version)
{
	return kp_strf("%s/confs/%s/%s", ctx->state_dir, module, version);
}

/* NULL: nothing is remembered for this one. To be freed. */
static char *memo_path(const struct kp_ctx *ctx, const struct kp_conf_env *env)
{
	_cleanup_free_ char *dir = NULL;

	if (!env->basis || !env->kernelver || !env->version || !kp_name_ok(env->module) ||
	    !kp_name_ok(env->version) || !kp_name_ok(env->kernelver))
		return NULL;
	dir = memo_dir(ctx, env->module, env->version);
	return kp_strf("%s/%s-%s.json", dir, env->kernelver,
		       env->arch ? env->arch : ctx->arch);
}

static void add_looks(const struct kp_ctx *ctx, struct kp_hash *h, const char *path,
		      int64_t *newest_s)
{
	_cleanup_free_ char *looks = kp_looks_in(ctx->root_fd, path, newest_s);

	kp_hash_field(h, path, looks);
}

static void make_key(const struct kp_ctx *ctx, const struct kp_conf_env *env,
		     char *const *files, const struct kp_vars *given, int64_t *newest_s,
		     char ret[KP_HASH_HEX])
{
	struct utsname uts = { 0 };
	struct kp_hash h;

	uname(&uts);
	kp_hash_init(&h);
	kp_hash_field(&h, "memo", "1");
	kp_hash_field(&h, "basis", env->basis);
	kp_hash_field(&h, "running", uts.release);
	for (size_t i = 0; i < given->n_vars; i++)
		kp_hash_field(&h, given->vars[i].name, given->vars[i].elems[0].value);
	kp_strv_foreach(p, files)
		add_looks(ctx, &h, *p, newest_s);
	/* A configuration that somebody edited, whoever owns it. */
	if (env->kernel_config)
		add_looks(ctx, &h, env->kernel_config, newest_s);
	kp_hash_hex(&h, ret);
}

/* ---- reading */

static bool paths_hold(const struct kp_ctx *ctx, json_t *paths)
{
	const char *path;
	json_t *value;

	json_object_foreach(paths, path, value)
	{
		int64_t newest_s = 0;
		_cleanup_free_ char *looks = kp_looks_in(ctx->root_fd, path, &newest_s);

		if (!kp_str_eq(looks, json_string_value(value)))
			return false;
	}
	return true;
}

static int read_vars(json_t *object, struct kp_vars *vars)
{
	const char *name;
	json_t *elems, *elem;
	size_t i;

	json_object_foreach(object, name, elems)
	{
		if (!kp_conf_is_directive(name))
			return -EINVAL;
		json_array_foreach(elems, i, elem)
		{
			const char *value;
			int index;

			if (json_unpack(elem, "[i, s!]", &index, &value) || index < 0)
				return -EINVAL;
			kp_vars_set(vars, name, (unsigned int)index, value);
		}
	}
	return 0;
}

bool kp_conf_recall(struct kp_ctx *ctx, const struct kp_conf_env *env, char *const *files,
		    const struct kp_vars *given, struct kp_vars **ret, char ***ret_reads)
{
	_cleanup_free_ char *path = memo_path(ctx, env);
	_cleanup_(kp_vars_freep) struct kp_vars *vars = NULL;
	_cleanup_json_ json_t *object = NULL;
	json_t *paths, *directives, *looks;
	const char *its_key, *read;
	char key[KP_HASH_HEX];
	int64_t newest_s = 0;
	int schema;

	/* Whatever is wrong with it: it is made again. */
	if (!path || kp_json_load(ctx->root_fd, path, &object, NULL) < 0 ||
	    kp_json_unpack(object, path, NULL, "{s:i, s:s, s:o, s:o}", "schema", &schema,
			   "key", &its_key, "paths", &paths, "directives",
			   &directives) < 0)
		return false;
	make_key(ctx, env, files, given, &newest_s, key);
	if (strcmp(its_key, key) != 0 || !json_is_object(paths) ||
	    !json_is_object(directives) || !paths_hold(ctx, paths))
		return false;
	vars = kp_vars_dup(given);
	if (read_vars(directives, vars) < 0)
		return false;
	kp_vars_free(*ret);
	*ret = kp_steal(&vars);
	json_object_foreach(paths, read, looks) kp_strv_add(ret_reads, read);
	return true;
}

/* ---- writing */

int kp_conf_reads(const struct kp_ctx *ctx, char *const *files,
		  const struct kp_vars *given, char ***ret)
{
	_cleanup_strv_ char **texts = NULL, **paths = NULL, **sourced = NULL;

	kp_strv_foreach(p, files)
		kp_strv_add(&sourced, *p);
	/* Those that are sourced are added behind. */
	for (size_t i = 0; sourced[i]; i++) {
		char *text;
		size_t len;
		int r = kp_read_in(ctx->root_fd, sourced[i], CONF_MAX, &text, &len);

		if (i >= kp_strv_len(files) && (r == -ENOENT || r == -ENOTDIR))
			continue; /* its path is among those that have to look the same */
		if (r < 0)
			return r;
		kp_strv_take(&texts, text);
		if (sourced[i + 1])
			continue;
		if (kp_strv_len(sourced) > FILES_MAX ||
		    !kp_conf_is_closed(texts, given, &paths, &sourced))
			return -ENOTSUP;
	}
	*ret = kp_steal(&paths);
	return 0;
}

static json_t *write_vars(const struct kp_vars *vars)
{
	json_t *object = json_object();

	for (size_t i = 0; kp_conf_directives[i]; i++) {
		const struct kp_var *var = kp_vars_find(vars, kp_conf_directives[i]);
		json_t *elems = var ? json_array() : NULL;

		for (size_t j = 0; var && j < var->n_elems; j++)
			json_array_append_new(elems, json_pack("[i, s]",
							       (int)var->elems[j].index,
							       var->elems[j].value));
		/* Less than all of it: text that is no UTF-8. */
		if (var && json_array_size(elems) != var->n_elems) {
			json_decref(elems);
			json_decref(object);
			return NULL;
		}
		if (var)
			json_object_set_new(object, var->name, elems);
	}
	return object;
}

/* Kernels that are not there any more. */
static void sweep(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *release = NULL, *path = kp_path_join(dir, *name);
		const char *dash = strrchr(*name, '-');

		release = dash ? kp_strndup(*name, (size_t)(dash - *name)) : NULL;
		if (!release || !kp_kernel_is_present(ctx, release))
			(void)kp_unlink_in(ctx->root_fd, path);
	}
}

void kp_conf_remember(struct kp_ctx *ctx, const struct kp_conf_env *env,
		      char *const *files, const struct kp_vars *given,
		      const struct kp_vars *vars, char *const *reads)
{
	_cleanup_free_ char *path = memo_path(ctx, env), *dir = NULL;
	_cleanup_json_ json_t *object = NULL;
	json_t *paths, *directives;
	char key[KP_HASH_HEX];
	int64_t newest_s = 0;

	if (!path || geteuid() != 0)
		return;
	directives = write_vars(vars);
	if (!directives)
		return;
	paths = json_object();
	make_key(ctx, env, files, given, &newest_s, key);
	kp_strv_foreach(p, reads) {
		_cleanup_free_ char *looks = kp_looks_in(ctx->root_fd, *p, &newest_s);

		json_object_set_new(paths, *p, json_string(looks));
	}
	object = json_pack("{s:s, s:o, s:o}", "key", key, "paths", paths, "directives",
			   directives);
	if (newest_s + KP_RACY_S >= time(NULL) || !object)
		return;
	dir = memo_dir(ctx, env->module, env->version);
	if (kp_mkdir_in(ctx->root_fd, dir, 0755, NULL) < 0)
		return; /* a read-only system */
	sweep(ctx, dir);
	(void)kp_json_save(ctx->root_fd, path, object, NULL);
}

void kp_conf_forget(struct kp_ctx *ctx, const char *module, const char *version)
{
	_cleanup_free_ char *dir = memo_dir(ctx, module, version);
	_cleanup_free_ char *parent = kp_path_dir(dir);

	(void)kp_rm_rf_in(ctx->root_fd, dir, NULL);
	(void)kp_rmdir_in(ctx->root_fd, parent);
}
