// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/install.h"

bool kp_script_all_allowed(const struct kp_ctx *ctx)
{
	return ctx->config.install_scripts && !ctx->config.script_modules;
}

char *kp_script_refusal(const struct kp_ctx *ctx, const struct kp_source *s,
			const struct kp_conf *conf)
{
	static const enum kp_conf_script as_root[] = {
		KP_SCRIPT_PRE_INSTALL,
		KP_SCRIPT_POST_INSTALL,
		KP_SCRIPT_POST_ADD,
		KP_SCRIPT_POST_REMOVE,
	};
	const struct kp_config *c = &ctx->config;
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *all = NULL;

	if (kp_script_all_allowed(ctx) ||
	    (c->install_scripts && kp_strv_has(c->script_modules, s->module)))
		return NULL;
	for (size_t i = 0; i < KP_ARRAY_SIZE(as_root); i++)
		if (!kp_str_empty(conf->scripts[as_root[i]]))
			kp_strv_add(&names, kp_conf_script_name(as_root[i]));
	if (!names)
		return NULL;
	all = kp_strv_join(names, ", ");
	return kp_strf("%s/%s: %s not run, install_scripts %s%s", s->module, s->version,
		       all, c->install_scripts ? "does not name " : "is no",
		       c->install_scripts ? s->module : "");
}

char **kp_script_refusals(const struct kp_ctx *ctx, const struct kp_world *w)
{
	char **lines = NULL;

	for (size_t i = 0; i < w->input.n_pairs; i++) {
		const struct kp_source *s = &w->sources.list[w->input.pairs[i].source];
		char *line = w->pairs[i].conf
				     ? kp_script_refusal(ctx, s, w->pairs[i].conf)
				     : NULL;

		if (line && !kp_strv_has(lines, line))
			kp_strv_add(&lines, line);
		free(line);
	}
	return lines;
}

int kp_script_run(struct kp_ctx *ctx, const struct kp_source *s,
		  const struct kp_conf *conf, enum kp_conf_script which,
		  const char *kernel, int *ret_exit, struct kp_err *err)
{
	_cleanup_strv_ char **words = NULL, **env = NULL;
	_cleanup_free_ char *dir = NULL, *path = NULL, *refusal = NULL;
	const char *name = kp_conf_script_name(which);
	struct kp_proc proc = { 0 };
	struct kp_proc_end end;
	int r;

	if (kp_str_empty(conf->scripts[which]))
		return 0;
	refusal = kp_script_refusal(ctx, s, conf);
	if (refusal) {
		kp_warn_once("%s", refusal);
		return 0;
	}
	words = kp_strv_split(conf->scripts[which], " \t");
	if (!words)
		return 0;
	while (kp_str_starts(words[0], "./"))
		memmove(words[0], words[0] + 2, strlen(words[0]) - 1);
	if (!kp_relpath_ok(words[0])) {
		kp_warn("%s/%s: %s \"%s\" leads out of the source tree, skipping",
			s->module, s->version, name, words[0]);
		return 0;
	}
	dir = kp_strf("/etc/dkms/%s", s->module);
	path = kp_path_join(dir, words[0]);
	if (access(path, X_OK) < 0) {
		free(dir);
		free(path);
		dir = kp_strdup(s->dir);
		path = kp_path_join(dir, words[0]);
	}
	if (access(path, X_OK) < 0) {
		kp_warn("%s/%s: %s %s is not executable, skipping", s->module, s->version,
			name, path);
		return 0;
	}
	free(words[0]);
	words[0] = kp_steal(&path);
	for (const char *const *e = kp_proc_default_env(); *e; e++)
		kp_strv_add(&env, *e);
	kp_strv_addf(&env, "kernelver=%s", kernel ? kernel : "");
	kp_strv_addf(&env, "arch=%s", ctx->arch);
	kp_strv_addf(&env, "module=%s", s->module);
	kp_strv_addf(&env, "module_version=%s", s->version);
	proc.argv = (const char *const *)words;
	proc.env = (const char *const *)env;
	proc.cwd = dir;
	r = kp_proc_run(&proc, &end, err);
	if (r == -ECHILD && ret_exit)
		*ret_exit = end.signal ? 128 + end.signal : end.exit_code;
	if (r < 0)
		kp_err_prefix(err, "%s", name);
	return r;
}
