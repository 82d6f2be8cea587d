// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>
#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/conf.h"
#include "lib/key.h"
#include "lib/source.h"

#define CONF_MAX (1024 * 1024)

static void source_clear(struct kp_source *s)
{
	free(s->module);
	free(s->version);
	free(s->dir);
	free(s->problem);
	free(s->package);
	free(s->tree_looks);
	free(s->tree_key);
}

void kp_sources_clear(struct kp_sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		source_clear(&s->list[i]);
	free(s->list);
	*s = (struct kp_sources){ 0 };
}

/* Takes what *SOURCE holds. */
static void sources_add(struct kp_sources *s, struct kp_source *source)
{
	s->list = kp_reallocarray(s->list, s->n + 1, sizeof(*s->list));
	s->list[s->n++] = *source;
	*source = (struct kp_source){ 0 };
}

static int by_name(const void *a, const void *b)
{
	const struct kp_source *x = a, *y = b;
	int c = strcmp(x->module, y->module);

	if (!c)
		c = kp_version_cmp(x->version, y->version);
	if (!c)
		c = strcmp(x->version, y->version); /* "1.0" and "1.00" */
	return c ? c : strcmp(x->dir, y->dir);
}

static void sources_sort(struct kp_sources *s)
{
	if (s->n)
		qsort(s->list, s->n, sizeof(*s->list), by_name);
}

struct kp_source *kp_sources_find(const struct kp_sources *s, const char *module,
				  const char *version)
{
	for (size_t i = s->n; i-- > 0;) {
		struct kp_source *source = &s->list[i];

		if (!strcmp(source->module, module) &&
		    (!version || !strcmp(source->version, version)))
			return source;
	}
	return NULL;
}

/* Why DIR cannot serve as a module source, to be freed; NULL when it can. */
static char *tree_problem(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_free_ char *conf = kp_path_join(dir, "dkms.conf");
	struct stat st;
	int r;

	r = kp_stat_in(ctx->root_fd, dir, &st);
	if (r == -ENOENT)
		return kp_strf("%s is not there", dir);
	if (r < 0)
		return kp_strf("%s: %s", dir, strerror(-r));
	if (!S_ISDIR(st.st_mode))
		return kp_strf("%s is not a directory", dir);
	r = kp_readable_in(ctx->root_fd, conf);
	if (r == -ENOENT)
		return kp_strf("%s has no dkms.conf", dir);
	if (r == -EINVAL)
		return kp_strf("%s is not a regular file", conf);
	if (r < 0)
		return kp_strf("%s cannot be read: %s", conf, strerror(-r));
	return NULL;
}

/* Ask the backend who owns each tree's dkms.conf: under the path that the link names and,
 * where that leads through further links, under the real one. One query for all. */
static int fill_owners(struct kp_ctx *ctx, struct kp_sources *s, struct kp_err *err)
{
	_cleanup_strv_ char **paths = NULL;
	struct kp_owner *owners;
	size_t n = s->n * 2;
	int r;

	if (!ctx->backend || !s->n)
		return 0;
	paths = kp_calloc(n + 1, sizeof(*paths));
	for (size_t i = 0; i < s->n; i++) {
		char *conf = kp_path_join(s->list[i].dir, "dkms.conf");

		paths[2 * i] = conf;
		if (kp_realpath_in(ctx->root_fd, conf, &paths[2 * i + 1]) < 0)
			paths[2 * i + 1] = kp_strdup(conf);
	}
	r = kp_backend_owners(ctx, paths, &owners, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (!s->list[i / 2].package)
			s->list[i / 2].package = kp_steal(&owners[i].package);
	kp_owners_free(owners, n);
	return 0;
}

int kp_source_owner(struct kp_ctx *ctx, const char *dir, char **ret, struct kp_err *err)
{
	struct kp_source one = { .dir = (char *)dir };
	struct kp_sources list = { .list = &one, .n = 1 };
	int r = fill_owners(ctx, &list, err);

	*ret = one.package;
	return r;
}

/* Where the registration link LINK in the directory AT points, absolute, to be freed. */
static char *link_target(struct kp_ctx *ctx, const char *at, const char *link,
			 const char *text)
{
	char *real;

	if (*text == '/')
		return kp_path_join(text, "");
	if (kp_realpath_in(ctx->root_fd, link, &real) == 0)
		return real;
	return kp_path_join(at, text);
}

/* The directory AT is <dkms_tree>/MODULE/VERSION; add it if it is a registration. */
static int load_version(struct kp_ctx *ctx, const char *at, const char *module,
			const char *version, struct kp_sources *ret, struct kp_err *err)
{
	_cleanup_free_ char *link = kp_path_join(at, "source"), *text = NULL;
	struct kp_source source = { 0 };
	struct stat st;
	int r;

	r = kp_readlink_in(ctx->root_fd, link, &text);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EINVAL)
		return 0;
	/* A link beside the versions is DKMS's kernel-KERNEL-ARCH, and nobody's registration. */
	if (!r)
		r = kp_lstat_in(ctx->root_fd, at, &st);
	if (r == -ENOENT || (!r && !S_ISDIR(st.st_mode)))
		return 0;
	if (r < 0)
		return kp_err_sys(err, r, "reading %s", link);
	if (!kp_name_ok(version)) {
		kp_warn_once("%s: unsafe name of a version, skipping", at);
		return 0;
	}
	source.module = kp_strdup(module);
	source.version = kp_strdup(version);
	source.dir = link_target(ctx, at, link, text);
	source.problem = tree_problem(ctx, source.dir);
	if (source.problem)
		kp_str_printable(source.problem);
	source.missing = source.problem;
	sources_add(ret, &source);
	return 0;
}

static int load_module(struct kp_ctx *ctx, const char *module, struct kp_sources *ret,
		       struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_join(ctx->dkms_tree, module);
	_cleanup_strv_ char **versions = NULL;
	int r;

	if (!kp_is_dir_in(ctx->root_fd, dir))
		return 0;
	if (!kp_name_ok(module)) {
		kp_warn_once("%s: unsafe name of a module, skipping", dir);
		return 0;
	}
	r = kp_list_in(ctx->root_fd, dir, &versions);
	if (r < 0)
		return r == -ENOENT ? 0 : kp_err_sys(err, r, "reading %s", dir);
	kp_strv_foreach(p, versions) {
		_cleanup_free_ char *at = kp_path_join(dir, *p);

		r = load_version(ctx, at, module, *p, ret, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int kp_sources_load(struct kp_ctx *ctx, struct kp_sources *ret, struct kp_err *err)
{
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_strv_ char **modules = NULL;
	int r;

	r = kp_list_in(ctx->root_fd, ctx->dkms_tree, &modules);
	if (r < 0 && r != -ENOENT)
		return kp_err_sys(err, r, "reading %s", ctx->dkms_tree);
	kp_strv_foreach(p, modules) {
		r = load_module(ctx, *p, &s, err);
		if (r < 0)
			return r;
	}
	sources_sort(&s);
	r = fill_owners(ctx, &s, err);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct kp_sources){ 0 };
	return 0;
}

/* The trees of registered sources, by what they are and not by their names: an array parallel to
 * KNOWN, with st_ino 0 for one that is not there. To be freed. */
static struct stat *registered_trees(struct kp_ctx *ctx, const struct kp_sources *known)
{
	struct stat *trees = kp_calloc(known->n, sizeof(*trees));

	for (size_t i = 0; i < known->n; i++)
		(void)kp_stat_in(ctx->root_fd, known->list[i].dir, &trees[i]);
	return trees;
}

static bool has_tree(const struct stat *trees, size_t n, const struct stat *st)
{
	for (size_t i = 0; i < n; i++)
		if (trees[i].st_dev == st->st_dev && trees[i].st_ino == st->st_ino)
			return true;
	return false;
}

/* Is NAME "MODULE-VERSION", with parts that are safe by themselves (not "..-1")? */
static bool is_named(const char *name, const char *module, const char *version)
{
	size_t n = strlen(module);

	return kp_name_ok(module) && kp_name_ok(version) && !strncmp(name, module, n) &&
	       name[n] == '-' && !strcmp(name + n + 1, version);
}

/*
 * Where the name has more than one '-', which one parts module from version? If the lines
 * that assign PACKAGE_NAME and PACKAGE_VERSION, read alone, give just the directory's
 * name, they say it, whatever else the conf does. Saves a shell for most confs that need
 * one.
 */
static bool split_by_lines(const char *name, const char *text, struct kp_source *source)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	_cleanup_strv_ char **lines = kp_strv_split(text, "\n");
	_cleanup_buf_ struct kp_buf picked = KP_BUF_INIT;
	const char *module, *version;

	kp_strv_foreach(p, lines) {
		const char *line = *p + strspn(*p, " \t");

		if (kp_str_starts(line, "PACKAGE_NAME=") ||
		    kp_str_starts(line, "PACKAGE_VERSION="))
			kp_buf_addf(&picked, "%s\n", line);
	}
	if (!picked.len || kp_conf_plain(picked.s, picked.len, vars, NULL) < 0)
		return false;
	module = kp_vars_get(vars, "PACKAGE_NAME", 0);
	version = kp_vars_get(vars, "PACKAGE_VERSION", 0);
	if (!module || !version || !is_named(name, module, version))
		return false;
	source->module = kp_strdup(module);
	source->version = kp_strdup(version);
	return true;
}

/* Fill module, version and, when they do not fit NAME, problem. */
static void identify(struct kp_ctx *ctx, const char *name, struct kp_source *source)
{
	_cleanup_free_ char *file = kp_path_join(source->dir, "dkms.conf"), *text = NULL;
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	const char *dash = strrchr(name, '-');
	struct kp_err err = KP_ERR_INIT;
	struct kp_conf_env env = { .arch = ctx->arch, .source_dir = source->dir };
	size_t len;
	int r;

	r = kp_read_in(ctx->root_fd, file, CONF_MAX, &text, &len);
	if (!r && split_by_lines(name, text, source))
		return;
	source->module = dash ? kp_strndup(name, (size_t)(dash - name)) : kp_strdup(name);
	source->version = kp_strdup(dash ? dash + 1 : "");
	if (r < 0) {
		source->problem = kp_strf("%s cannot be read: %s", file, strerror(-r));
		return;
	}
	env.module = source->module;
	env.version = source->version;
	r = kp_conf_load(ctx, &env, &conf, &err);
	if (r < 0) {
		source->problem = kp_strdup(kp_err_text(&err, r));
		return;
	}
	if (!is_named(name, conf->name, conf->version)) {
		source->problem = kp_strf("%s says %s-%s, not the name of its directory",
					  file, conf->name, conf->version);
		kp_str_printable(source->problem);
		return;
	}
	free(source->module);
	free(source->version);
	source->module = kp_strdup(conf->name);
	source->version = kp_strdup(conf->version);
}

int kp_sources_unregistered(struct kp_ctx *ctx, const struct kp_sources *known,
			    struct kp_sources *ret, struct kp_err *err)
{
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ struct stat *trees = registered_trees(ctx, known);
	_cleanup_strv_ char **names = NULL;
	int r;

	r = kp_list_in(ctx->root_fd, ctx->source_tree, &names);
	if (r < 0 && r != -ENOENT)
		return kp_err_sys(err, r, "reading %s", ctx->source_tree);
	kp_strv_foreach(p, names) {
		_cleanup_free_ char *dir = kp_path_join(ctx->source_tree, *p);
		_cleanup_free_ char *conf = kp_path_join(dir, "dkms.conf");
		struct kp_source source = { 0 };
		struct stat st;

		if (kp_stat_in(ctx->root_fd, dir, &st) < 0 ||
		    has_tree(trees, known->n, &st) || !kp_exists_in(ctx->root_fd, conf))
			continue;
		if (!kp_name_ok(*p)) {
			kp_warn_once("%s: unsafe name of a module source, skipping", dir);
			continue;
		}
		source.dir = kp_strdup(dir);
		identify(ctx, *p, &source);
		if (kp_sources_find(known, source.module, source.version))
			source_clear(&source);
		else
			sources_add(&s, &source);
	}
	sources_sort(&s);
	r = fill_owners(ctx, &s, err);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct kp_sources){ 0 };
	return 0;
}

static int check_names(const char *module, const char *version, struct kp_err *err)
{
	if (kp_name_ok(module) && kp_name_ok(version))
		return 0;
	return kp_err_set(err, -EINVAL,
			  "\"%.200s/%.200s\": module and version must be plain names, "
			  "without slashes, white space and control characters",
			  module, version);
}

int kp_source_register(struct kp_ctx *ctx, const char *module, const char *version,
		       const char *dir, struct kp_err *err)
{
	_cleanup_free_ char *at = NULL, *link = NULL, *old = NULL;
	int r;

	r = check_names(module, version, err);
	if (r < 0)
		return r;
	if (*dir != '/')
		return kp_err_set(err, -EINVAL, "%s: not an absolute path", dir);
	at = kp_strf("%s/%s/%s", ctx->dkms_tree, module, version);
	link = kp_path_join(at, "source");
	if (kp_readlink_in(ctx->root_fd, link, &old) == 0 && !strcmp(old, dir))
		return 0;
	r = kp_mkdir_durably_in(ctx->root_fd, at, err);
	if (r < 0)
		return r;
	return kp_symlink_in(ctx->root_fd, dir, link, err);
}

/* Drop DKMS's links MODULE/kernel-KERNEL-ARCH -> VERSION/KERNEL/ARCH. */
static void drop_kernel_links(struct kp_ctx *ctx, const char *dir, const char *version)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(p, names) {
		_cleanup_free_ char *link = kp_path_join(dir, *p), *text = NULL;
		size_t n = strlen(version);

		if (kp_str_starts(*p, "kernel-") &&
		    kp_readlink_in(ctx->root_fd, link, &text) == 0 &&
		    !strncmp(text, version, n) && text[n] == '/')
			(void)kp_unlink_in(ctx->root_fd, link);
	}
}

/* What is remembered of its builds: records (who registers it again wants it tried) and logs. */
static int drop_records(struct kp_ctx *ctx, const char *module, const char *version,
			struct kp_err *err)
{
	_cleanup_free_ char *builds = kp_strf("%s/builds/%s", ctx->state_dir, module);
	_cleanup_free_ char *logs = kp_path_join(ctx->log_dir, module);
	const char *const dirs[] = { builds, logs };
	int r = 0;

	for (size_t i = 0; r == 0 && i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *at = kp_path_join(dirs[i], version);

		r = kp_rm_rf_in(ctx->root_fd, at, err);
		if (r < 0)
			return r;
		r = kp_rmdir_in(ctx->root_fd, dirs[i]);
		if (r < 0)
			kp_err_sys(err, r, "removing %s", dirs[i]);
	}
	return r;
}

int kp_source_unregister(struct kp_ctx *ctx, const char *module, const char *version,
			 struct kp_err *err)
{
	_cleanup_free_ char *dir = NULL, *at = NULL, *link = NULL, *target = NULL;
	int r;

	r = check_names(module, version, err);
	if (r < 0)
		return r;
	dir = kp_path_join(ctx->dkms_tree, module);
	at = kp_path_join(dir, version);
	link = kp_path_join(at, "source");
	/* The link first: without it what a crash leaves here is no source any more. */
	if (kp_readlink_in(ctx->root_fd, link, &target) == 0) {
		kp_key_tree_forget(ctx, target);
		r = kp_unlink_in(ctx->root_fd, link);
		if (!r)
			r = kp_sync_dir_in(ctx->root_fd, at);
		if (r < 0)
			return kp_err_sys(err, r, "removing %s", link);
	}
	r = kp_rm_rf_in(ctx->root_fd, at, err);
	if (r < 0)
		return r;
	drop_kernel_links(ctx, dir, version);
	kp_conf_forget(ctx, module, version);
	r = drop_records(ctx, module, version, err);
	if (r < 0)
		return r;
	r = kp_rmdir_in(ctx->root_fd, dir);
	if (r < 0)
		return kp_err_sys(err, r, "removing %s", dir);
	return 0;
}
