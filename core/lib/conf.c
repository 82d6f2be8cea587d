// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"

#define CONF_MAX (1024 * 1024)
#define OVERRIDES_DIR "/etc/dkms"

void kp_conf_free(struct kp_conf *conf)
{
	if (!conf)
		return;
	free(conf->name);
	free(conf->version);
	for (size_t i = 0; i < conf->n_modules; i++) {
		free(conf->modules[i].built_name);
		free(conf->modules[i].built_location);
		free(conf->modules[i].dest_name);
		free(conf->modules[i].dest_location);
		free(conf->modules[i].excluded);
	}
	free(conf->modules);
	free(conf->make);
	kp_strv_free(conf->patches);
	for (size_t i = 0; i < KP_SCRIPT_COUNT; i++)
		free(conf->scripts[i]);
	kp_strv_free(conf->build_depends);
	free(conf->excluded);
	free(conf->why_shell);
	kp_strv_free(conf->reads);
	kp_strv_free(conf->files);
	kp_strv_free(conf->warnings);
	kp_vars_free(conf->vars);
	free(conf);
}

static void set(struct kp_vars *vars, const char *name, const char *value)
{
	if (value)
		kp_vars_set(vars, name, 0, value);
}

/* As DKMS has it: Ubuntu by its own name, the others by the family they belong to. */
static const char *distribution(const struct kp_ctx *ctx)
{
	const char *like;

	if (kp_str_eq(ctx->distro, "ubuntu"))
		return ctx->distro;
	like = ctx->distro_like ? strchr(ctx->distro_like, ' ') : NULL;
	return like ? like + 1 : ctx->distro;
}

static struct kp_vars *make_vars(const struct kp_ctx *ctx, const struct kp_conf_env *env)
{
	struct kp_vars *vars = kp_vars_new();
	long jobs = ctx->config.jobs ? ctx->config.jobs : sysconf(_SC_NPROCESSORS_ONLN);
	_cleanup_free_ char *jobs_text = kp_strf("%ld", jobs > 0 ? jobs : 1);

	set(vars, "module", env->module);
	set(vars, "module_version", env->version);
	set(vars, "kernelver", env->kernelver);
	set(vars, "arch", env->arch ? env->arch : ctx->arch);
	set(vars, "kernel_source_dir", env->kernel_source_dir);
	set(vars, "kernel_config", env->kernel_config);
	set(vars, "dkms_tree", ctx->dkms_tree);
	set(vars, "source_tree", ctx->source_tree);
	set(vars, "install_tree", ctx->install_tree);
	set(vars, "parallel_jobs", jobs_text);
	set(vars, "running_distribution", distribution(ctx));
	set(vars, "tmp_location", "/tmp");
	return vars;
}

/* Without a registered name there are no overrides, and names with slashes have none. */
static void add_overrides(struct kp_ctx *ctx, const struct kp_conf_env *env,
			  char ***files)
{
	const char *m = env->module, *v = env->version, *k = env->kernelver;
	const char *a = env->arch ? env->arch : ctx->arch;
	_cleanup_strv_ char **names = NULL;

	if (!m || !kp_name_ok(m))
		return;
	kp_strv_addf(&names, "%s.conf", m);
	if (v)
		kp_strv_addf(&names, "%s-%s.conf", m, v);
	if (v && k)
		kp_strv_addf(&names, "%s-%s-%s.conf", m, v, k);
	if (v && k)
		kp_strv_addf(&names, "%s-%s-%s-%s.conf", m, v, k, a);
	if (k)
		kp_strv_addf(&names, "%s--%s.conf", m, k);
	if (k)
		kp_strv_addf(&names, "%s--%s-%s.conf", m, k, a);
	kp_strv_foreach(p, names) {
		_cleanup_free_ char *path = kp_path_join(OVERRIDES_DIR, *p);

		if (!strchr(*p, '/') && kp_exists_in(ctx->root_fd, path))
			kp_strv_take(files, kp_steal(&path));
	}
}

/* All files by the plain evaluator, or -ENOTSUP with the reason in conf->why_shell. */
static int evaluate_plain(struct kp_ctx *ctx, struct kp_conf *conf, struct kp_vars *vars,
			  struct kp_err *err)
{
	kp_strv_foreach(p, conf->files) {
		_cleanup_free_ char *text = NULL;
		struct kp_err why = KP_ERR_INIT;
		size_t len;
		int r;

		r = kp_read_in(ctx->root_fd, *p, CONF_MAX, &text, &len);
		if (r == -EINVAL)
			return kp_err_set(err, r, "%s: not a regular file", *p);
		if (r < 0)
			return kp_err_sys(err, r, "%s", *p);
		r = kp_conf_plain(text, len, vars, &why);
		if (r == -ENOTSUP)
			conf->why_shell = kp_strf("%s: %s", *p, why.text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Who asks for a conf itself gets all that it sets, and warnings. */
static bool is_linted(const struct kp_conf_env *env)
{
	return !env->basis || env->anew;
}

static int expand(struct kp_conf *conf, bool *ret_cr, struct kp_err *err)
{
	int r = kp_conf_expand(conf->vars, ret_cr, err);

	return r < 0 ? kp_err_prefix(err, "%s", conf->files[0]) : 0;
}

/* To variables whose directives are expanded. *ret_cr: see kp_conf_expand(). */
static int evaluate(struct kp_ctx *ctx, struct kp_conf *conf,
		    const struct kp_conf_env *env, bool *ret_cr, struct kp_err *err)
{
	_cleanup_(kp_vars_freep) struct kp_vars *given = make_vars(ctx, env);
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_dup(given);
	int r;

	conf->vars = kp_vars_dup(given);
	conf->evaluator = "plain";
	r = evaluate_plain(ctx, conf, conf->vars, err);
	if (r != -ENOTSUP)
		return r < 0 ? r : expand(conf, ret_cr, err);
	conf->evaluator = "shell";
	if (!env->anew &&
	    kp_conf_recall(ctx, env, conf->files, given, &conf->vars, &conf->reads)) {
		conf->closed = true;
		return 0;
	}
	/* For each kernel, and each look of a sync. */
	kp_log_once(KP_LOG_DEBUG, "%s: evaluated by bash", conf->why_shell);
	r = kp_conf_shell(ctx, conf->files, vars, is_linted(env), err);
	if (r < 0)
		return r;
	kp_vars_free(conf->vars);
	conf->vars = kp_steal(&vars);
	r = expand(conf, ret_cr, err);
	conf->closed = kp_conf_reads(ctx, conf->files, given, &conf->reads) == 0;
	if (!r && conf->closed)
		kp_conf_remember(ctx, env, conf->files, given, conf->vars, conf->reads);
	return r;
}

/* --directive NAME=VALUE: element 0, as it is. */
static int add_directives(struct kp_conf *conf, const struct kp_conf_env *env,
			  struct kp_err *err)
{
	kp_strv_foreach(p, env->directives) {
		const char *equals = strchr(*p, '=');
		_cleanup_free_ char *name = NULL;

		if (!equals || equals == *p)
			return kp_err_set(err, -EINVAL,
					  "directive '%s': expected NAME=VALUE", *p);
		name = kp_strndup(*p, (size_t)(equals - *p));
		kp_vars_set(conf->vars, name, 0, equals + 1);
	}
	return 0;
}

static int load(struct kp_ctx *ctx, const struct kp_conf_env *env, const char *file,
		struct kp_conf **ret, struct kp_err *err)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = kp_calloc(1, sizeof(*conf));
	bool has_cr = false;
	int r;

	kp_strv_add(&conf->files, file);
	add_overrides(ctx, env, &conf->files);
	r = evaluate(ctx, conf, env, &has_cr, err);
	if (!r)
		r = add_directives(conf, env, err);
	if (!r)
		r = kp_conf_rules(conf, env, file, err);
	if (!r)
		r = kp_conf_exclude(ctx, conf, env, err);
	if (r < 0)
		return r;
	if (has_cr)
		kp_strv_add(
			&conf->warnings,
			"lines end in carriage returns (DOS text): they are dropped from "
			"the ends of values only");
	if (is_linted(env))
		kp_conf_lint(ctx, conf, env);
	*ret = kp_steal(&conf);
	return 0;
}

/* A tree that is not registered: its own name and version, which the overrides and
 * ${module} need, come from a first evaluation. */
static int load_unnamed(struct kp_ctx *ctx, const struct kp_conf_env *env,
			const char *file, struct kp_conf **ret, struct kp_err *err)
{
	_cleanup_(kp_conf_freep) struct kp_conf *first = NULL;
	struct kp_conf_env unnamed = *env, named = *env;
	int r;

	unnamed.module = unnamed.version = NULL;
	r = load(ctx, &unnamed, file, &first, err);
	if (r < 0)
		return r;
	named.module = first->name;
	named.version = first->version;
	return load(ctx, &named, file, ret, err);
}

bool kp_conf_is_bad(int r)
{
	return r == -EINVAL || r == -ETIME || r == -EDQUOT || r == -EFBIG;
}

int kp_conf_load(struct kp_ctx *ctx, const struct kp_conf_env *env, struct kp_conf **ret,
		 struct kp_err *err)
{
	_cleanup_free_ char *file = NULL, *headers = NULL, *config = NULL;
	struct kp_conf_env e = *env;
	struct stat st;
	int r;

	file = env->conf_file ? kp_strdup(env->conf_file)
			      : kp_path_join(env->source_dir, "dkms.conf");
	r = kp_stat_in(ctx->root_fd, file, &st);
	if (r < 0)
		return kp_err_sys(err, r == -ENOTDIR ? -ENOENT : r, "%s", file);
	if (e.kernelver && !e.kernel_source_dir) {
		headers = kp_strf("%s/%s/build", ctx->install_tree, e.kernelver);
		e.kernel_source_dir = headers;
	}
	if (e.kernel_source_dir && !e.kernel_config) {
		config = kp_path_join(e.kernel_source_dir, "include/config/auto.conf");
		if (!kp_exists_in(ctx->root_fd, config)) {
			free(config);
			config = kp_path_join(e.kernel_source_dir, ".config");
		}
		e.kernel_config = config;
	}
	if (kp_str_empty(e.module))
		return load_unnamed(ctx, &e, file, ret, err);
	return load(ctx, &e, file, ret, err);
}
