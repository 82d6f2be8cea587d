// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is allowed in a dkms.conf and yet doubtful: told to those who ask (kmodpkg conf).
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"

#define SCRIPT_MAX (1024 * 1024)

static void lint_deprecated(struct kp_conf *conf)
{
	static const char *const ignored[] = {
		"MODULES_CONF",
		"MODULES_CONF_OBSOLETES",
		"MODULES_CONF_ALIAS_TYPE",
		"MODULES_CONF_OBSOLETE_ONLY",
	};
	const char *clean = kp_conf_value(conf, "CLEAN", 0);

	for (size_t i = 0; i < KP_ARRAY_SIZE(ignored); i++)
		if (kp_vars_find(conf->vars, ignored[i]))
			kp_strv_addf(&conf->warnings, "%s is deprecated and ignored",
				     ignored[i]);
	if (*clean && strcmp(clean, "true") && strcmp(clean, "/bin/true") &&
	    strcmp(clean, "/usr/bin/true"))
		kp_strv_add(&conf->warnings, "CLEAN is deprecated and ignored");
	if (*kp_conf_value(conf, "OBSOLETE_BY", 0))
		kp_strv_add(&conf->warnings,
			    "OBSOLETE_BY is deprecated: use BUILD_EXCLUSIVE_KERNEL_MAX");
}

/* An array of exclusions whose first element the author may think of as the first
 * module's. */
static void lint_package_wide(struct kp_conf *conf)
{
	static const char *const names[] = {
		"BUILD_EXCLUSIVE_KERNEL",     "BUILD_EXCLUSIVE_KERNEL_MIN",
		"BUILD_EXCLUSIVE_KERNEL_MAX", "BUILD_EXCLUSIVE_ARCH",
		"BUILD_EXCLUSIVE_CONFIG",
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		const struct kp_var *var = kp_vars_find(conf->vars, names[i]);

		if (var && var->n_elems > 1 && *kp_conf_value(conf, names[i], 0))
			kp_strv_addf(&conf->warnings,
				     "%s[0] is for the whole package, not for module 0",
				     names[i]);
	}
}

/* DKMS takes as many elements as there are, from 0 on. */
static void lint_sparse(struct kp_conf *conf, const char *name)
{
	const struct kp_var *var = kp_vars_find(conf->vars, name);

	for (size_t i = 0; var && i < var->n_elems; i++)
		if (var->elems[i].index >= var->n_elems && *var->elems[i].value)
			kp_strv_addf(&conf->warnings,
				     "%s[%u] is ignored, because %s has holes before it",
				     name, var->elems[i].index, name);
}

/* An element of MAKE that nothing can ever select. */
static void lint_unmatched(struct kp_conf *conf)
{
	const struct kp_var *var = kp_vars_find(conf->vars, "MAKE");

	for (size_t i = 0; var && i < var->n_elems; i++) {
		unsigned int index = var->elems[i].index;

		if (index && *var->elems[i].value &&
		    !*kp_conf_value(conf, "MAKE_MATCH", index))
			kp_strv_addf(
				&conf->warnings,
				"MAKE[%u] is ignored, because MAKE_MATCH[%u] is not set",
				index, index);
	}
}

/* Is one of the words "-j", "-j8", "--jobs=..." (or in the middle of a longer line)? */
static bool has_jobs_option(const char *line)
{
	_cleanup_strv_ char **words = kp_strv_split(line, " \t\n()'\";");

	kp_strv_foreach(p, words) {
		const char *w = *p;

		if (kp_str_starts(w, "--jobs"))
			return true;
		if (kp_str_starts(w, "-j") && (!w[2] || strchr("0123456789$`", w[2])))
			return true;
	}
	return false;
}

static void lint_make(struct kp_conf *conf)
{
	const struct kp_var *var = kp_vars_find(conf->vars, "MAKE");

	for (size_t i = 0; var && i < var->n_elems; i++) {
		unsigned int index = var->elems[i].index;

		if (strstr(var->elems[i].value, "uname -r"))
			kp_strv_addf(
				&conf->warnings,
				"MAKE[%u] asks for the running kernel (uname -r): use "
				"$kernelver",
				index);
		if (has_jobs_option(var->elems[i].value))
			kp_strv_addf(
				&conf->warnings,
				"MAKE[%u] sets its number of jobs (-j): leave it to the "
				"caller",
				index);
	}
}

static bool script_asks_uname(struct kp_ctx *ctx, const struct kp_conf_env *env,
			      const char *script)
{
	_cleanup_strv_ char **words = kp_strv_split(script, " ");
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;

	if (strstr(script, "uname -r"))
		return true;
	if (!words || !env->source_dir || !kp_relpath_ok(words[0]))
		return false;
	path = kp_path_join(env->source_dir, words[0]);
	if (kp_read_in(ctx->root_fd, path, SCRIPT_MAX, &text, &len) < 0)
		return false;
	return strstr(text, "uname -r") != NULL;
}

static void lint_scripts(struct kp_ctx *ctx, struct kp_conf *conf,
			 const struct kp_conf_env *env)
{
	for (enum kp_conf_script s = 0; s < KP_SCRIPT_COUNT; s++)
		if (conf->scripts[s] && script_asks_uname(ctx, env, conf->scripts[s]))
			kp_strv_addf(&conf->warnings,
				     "%s asks for the running kernel (uname -r): the one "
				     "that is built for is in $kernelver",
				     kp_conf_script_name(s));
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, replace) from A to B, both shorter than 32. */
static size_t distance(const char *a, const char *b)
{
	size_t row[33], n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1,
				      diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

/* The directive that NAME was probably meant to be, or NULL. */
static const char *find_similar(const char *name)
{
	size_t n = strlen(name);

	/* Short words resemble each other; a sourced .config sets thousands of others. */
	if (n < 5 || n > 31 || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != n ||
	    kp_str_starts(name, "CONFIG_"))
		return NULL;
	for (size_t i = 0; kp_conf_directives[i]; i++) {
		const char *d = kp_conf_directives[i];
		size_t m = strlen(d), near = n < 9 ? 1 : 2;

		if (m < 5 || m > 31 || m > n + near || n > m + near)
			continue;
		if (distance(name, d) <= near)
			return d;
	}
	return NULL;
}

static void lint_names(struct kp_conf *conf)
{
	for (size_t i = 0; i < conf->vars->n_vars; i++) {
		const char *name = conf->vars->vars[i].name;
		const char *meant =
			kp_conf_is_directive(name) ? NULL : find_similar(name);

		if (meant)
			kp_strv_addf(&conf->warnings, "%s is no directive: is %s meant?",
				     name, meant);
	}
}

static void lint_identity(struct kp_conf *conf, const struct kp_conf_env *env)
{
	if (env->module && strcmp(env->module, conf->name))
		kp_strv_addf(&conf->warnings,
			     "PACKAGE_NAME is '%s', but it is registered as '%s'",
			     conf->name, env->module);
	if (env->version && strcmp(env->version, conf->version))
		kp_strv_addf(&conf->warnings,
			     "PACKAGE_VERSION is '%s', but it is registered as '%s'",
			     conf->version, env->version);
}

void kp_conf_lint(struct kp_ctx *ctx, struct kp_conf *conf, const struct kp_conf_env *env)
{
	lint_identity(conf, env);
	lint_deprecated(conf);
	lint_package_wide(conf);
	lint_sparse(conf, "MAKE");
	lint_sparse(conf, "PATCH");
	lint_unmatched(conf);
	lint_make(conf);
	lint_scripts(ctx, conf, env);
	lint_names(conf);
}
