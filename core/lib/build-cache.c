// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What makes a build one that can be kept, and by what it is known again.
 *
 * Known before a build, the key: the stale key, the content of the source and of what is laid over it,
 * the environment and with it our flags, the symbol versions of BUILD_DEPENDS, the tools. All that
 * is to be the same when the build is done. Known behind it, the inputs: each file of the system
 * that was read (build-reads.c). A recipe that could have read more is not kept (recipe-scan.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"
#include "lib/cache.h"
#include "lib/key.h"
#include "lib/tool.h"

/* ---- the key */

/* How wide a build runs does not change what comes out. */
static bool is_about_jobs(const char *variable)
{
	return kp_str_starts(variable, "MAKEFLAGS=") ||
	       kp_str_starts(variable, "parallel_jobs=");
}

/* A tool as it is installed; its package goes with each of its versions. */
static void add_tool(struct kp_ctx *ctx, struct kp_hash *h, const char *name)
{
	_cleanup_free_ char *path = kp_tool_find(ctx, name), *real = NULL, *text = NULL;
	struct stat st;

	if (path && kp_realpath_in(ctx->root_fd, path, &real) == 0 &&
	    kp_stat_in(ctx->root_fd, real, &st) == 0)
		text = kp_strf("%s %jd %jd.%09ld", real, (intmax_t)st.st_size,
			       (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	kp_hash_field(h, name, text);
}

static void add_tools(const struct kp_build_work *w, struct kp_hash *h)
{
	static const char *const gnu[] = { "gcc", "ld", "as", "objcopy", "strip" };
	static const char *const llvm[] = { "clang", "ld.lld", "llvm-objcopy",
					    "llvm-strip" };
	static const char *const both[] = { "make", "pahole" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(gnu); i++)
		add_tool(w->ctx, h, gnu[i]);
	for (size_t i = 0; w->kb.clang && i < KP_ARRAY_SIZE(llvm); i++)
		add_tool(w->ctx, h, llvm[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(both); i++)
		add_tool(w->ctx, h, both[i]);
	if (w->kb.cc)
		add_tool(w->ctx, h, w->kb.cc);
	if (w->kb.ld)
		add_tool(w->ctx, h, w->kb.ld);
}

static int add_symvers(struct kp_ctx *ctx, struct kp_hash *h, const char *path)
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, path, O_RDONLY, 0);
	char hex[KP_HASH_HEX];
	int r = fd < 0 ? fd : kp_hash_fd(fd, hex, NULL);

	if (!r)
		kp_hash_field(h, path, hex);
	return r;
}

/* As they are now; the stale key is of the time when it was planned. */
static int add_source(const struct kp_build_work *w, struct kp_hash *h)
{
	char hex[KP_HASH_HEX];
	int r = kp_key_tree(w->ctx, w->job->source->dir, hex, NULL);

	if (r < 0)
		return r;
	kp_hash_field(h, "tree", hex);
	r = kp_key_overlay(w->ctx, w->job->source->module, hex, NULL);
	kp_hash_field(h, "overlay", r ? NULL : hex);
	return r == -ENOENT ? 0 : r;
}

static int make_key(const struct kp_build_work *w, char ret[KP_HASH_HEX])
{
	_cleanup_strv_ char **env = kp_recipe_env(w);
	struct kp_hash h;
	int r;

	kp_hash_init(&h);
	kp_hash_field(&h, "cache", "3");
	r = add_source(w, &h);
	kp_hash_field(&h, "key", w->job->key);
	kp_strv_foreach(p, env)
		if (!is_about_jobs(*p))
			kp_hash_field(&h, "env", *p);
	kp_hash_field(&h, "debug_info", w->ctx->config.debug_info ? "kept" : NULL);
	kp_strv_foreach(p, w->symvers)
		r = r < 0 ? r : add_symvers(w->ctx, &h, *p);
	add_tools(w, &h);
	kp_hash_hex(&h, ret);
	return r;
}

/* ---- taking */

/* The products that the conf wants, in stage; false: one is not there. */
static bool find_products(struct kp_build_work *w)
{
	const struct kp_conf *conf = w->job->conf;

	w->products = kp_calloc(conf->n_modules + 1, sizeof(*w->products));
	w->n_products = 0;
	for (size_t i = 0; i < conf->n_modules; i++) {
		const struct kp_conf_module *m = &conf->modules[i];
		char *path = kp_strf("%s/module/%s.ko", w->stage, m->dest_name);

		if (!m->excluded)
			w->products[w->n_products++] =
				(struct kp_product){ m, path, false };
		else
			free(path);
		if (!m->excluded && !kp_exists_in(w->ctx->root_fd, path))
			return false;
	}
	return true;
}

static void tell(struct kp_build_work *w, const struct kp_cache_entry *e)
{
	char date[64] = "";
	struct tm tm;
	time_t when = (time_t)e->time;

	if (localtime_r(&when, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
	kp_build_log_line(
		&w->log,
		"\nfrom the cache: these modules were built on %s in %lld.%02lld s "
		"(kmodpkg build --force builds them anew)",
		date, (long long)e->elapsed_ms / 1000,
		(long long)e->elapsed_ms % 1000 / 10);
}

int kp_kept_take(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_(kp_cache_entry_clear) struct kp_cache_entry e = { 0 };
	_cleanup_(kp_file_hashes_closep) struct kp_file_hashes *hashes = NULL;
	_cleanup_free_ char *modules = kp_path_join(w->stage, "module");
	int r;

	clock_gettime(CLOCK_REALTIME_COARSE, &w->since);
	w->can_keep = kp_sandbox_uid(w->slot) != geteuid() && kp_cache_is_on(w->ctx) &&
		      make_key(w, w->cache_key) == 0;
	if (!w->can_keep || w->job->force)
		return 0;
	hashes = kp_file_hashes_open(w->ctx);
	r = kp_cache_get(w->ctx, w->cache_key, w->stage, hashes, &e);
	if (r > 0 && find_products(w)) {
		r = kp_build_stage(w, "cache", err);
		w->licenses = kp_steal(&e.licenses);
		tell(w, &e);
		return r ?: 1;
	}
	/* Whatever came of it. */
	for (size_t i = 0; i < w->n_products; i++)
		free(w->products[i].path);
	free(kp_steal(&w->products));
	w->n_products = 0;
	r = kp_rm_rf_in(w->ctx->root_fd, w->stage, err);
	return r ?: kp_mkdir_in(w->ctx->root_fd, modules, 0755, err);
}

/* ---- keeping */

static int add_inputs(struct kp_build_work *w, char *const *paths,
		      struct kp_cache_entry *e, struct kp_err *err)
{
	_cleanup_(kp_file_hashes_closep) struct kp_file_hashes *hashes =
		kp_file_hashes_open(w->ctx);
	int r = 0;

	kp_strv_foreach(path, paths) {
		r = r ?: kp_build_go_on(w, err);
		r = r ?: kp_cache_add_input(e, *path, &w->since, hashes, err);
	}
	return r;
}

/* What the key has may have changed between its making and the end of the build: the source before it
 * was copied, a dependency's symbols before modpost read them, a tool. */
static int check_key(const struct kp_build_work *w, struct kp_err *err)
{
	char now[KP_HASH_HEX];

	if (make_key(w, now) < 0 || strcmp(now, w->cache_key) != 0)
		return kp_err_set(err, -ESTALE,
				  "what it was built of or with changed meanwhile");
	return 0;
}

void kp_kept_put(struct kp_build_work *w, int64_t elapsed_ms)
{
	_cleanup_(kp_cache_entry_clear) struct kp_cache_entry e = { .elapsed_ms =
									    elapsed_ms };
	_cleanup_strv_ char **paths = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (!w->can_keep)
		return;
	r = kp_reads_find(w, &paths, &err);
	if (!r)
		r = add_inputs(w, paths, &e, &err);
	if (!r)
		r = check_key(w, &err);
	e.time = time(NULL);
	e.licenses = kp_strv_dup(w->licenses);
	if (!r)
		r = kp_cache_put(w->ctx, w->cache_key, w->stage, &e, &err);
	if (r < 0)
		kp_build_log_line(&w->log, "\nnot kept in the cache: %s",
				  kp_err_text(&err, r));
}
