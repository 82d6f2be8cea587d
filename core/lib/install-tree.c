// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/install-tree.h"
#include "lib/install.h"
#include "lib/tool.h"

#define MODULES "/lib/modules"

static char *dest_path(const struct kp_ctx *ctx, const char *kernel,
		       const struct kp_record_file *f)
{
	return kp_strf("%s/%s/%s", ctx->install_tree, kernel, f->dest);
}

/* depmod finds kernels below BASE/lib/modules only; who names another directory runs it. */
static int run_depmod(struct kp_ctx *ctx, const char *kernel, struct kp_err *err)
{
	_cleanup_free_ char *depmod = NULL, *base = NULL;
	const char *argv[] = { NULL, "-b", NULL, kernel, NULL };
	struct kp_proc proc = { .argv = argv };
	int r;

	if (!kp_str_ends(ctx->install_tree, MODULES)) {
		kp_info("%s does not end in " MODULES ", so depmod is not run",
			ctx->install_tree);
		return 0;
	}
	r = kp_tool_need(ctx, "depmod", "kmod", &depmod, err);
	if (r < 0)
		return r;
	base = kp_strndup(ctx->install_tree, strlen(ctx->install_tree) - strlen(MODULES));
	argv[0] = depmod;
	argv[2] = *base ? base : "/";
	return kp_proc_run(&proc, NULL, err);
}

static int run_script(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, enum kp_conf_script which, struct kp_err *err)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = { .module = module,
				   .version = version,
				   .kernelver = kernel };
	const struct kp_source *s;
	int r = kp_sources_load(ctx, &sources, err);

	if (r < 0)
		return r;
	s = kp_sources_find(&sources, module, version);
	if (!s || s->missing)
		return 0;
	env.source_dir = s->dir;
	r = kp_conf_load(ctx, &env, &conf, err);
	return r < 0 ? r : kp_script_run(ctx, s, conf, which, kernel, NULL, err);
}

/* What is in place whatever the script says. */
static void run_last_script(struct kp_ctx *ctx, const char *module, const char *version,
			    const char *kernel, enum kp_conf_script which)
{
	struct kp_err err = KP_ERR_INIT;
	int r = run_script(ctx, module, version, kernel, which, &err);

	if (r < 0)
		kp_warn("%s/%s, kernel %s: %s", module, version, kernel,
			kp_err_text(&err, r));
}

static int load_build(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, struct kp_record **ret, struct kp_err *err)
{
	int r = kp_record_load(ctx, module, version, kernel, ret, err);

	if (r == 0 && (*ret)->result == KP_BUILD_OK)
		return 0;
	return r == 0 || r == -ENOENT
		       ? kp_err_set(err, -ENOENT, "%s/%s is not built for kernel %s",
				    module, version, kernel)
		       : r;
}

int kp_tree_install(struct kp_ctx *ctx, const char *module, const char *version,
		    const char *kernel, bool anyway, struct kp_err *err)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	_cleanup_free_ char *dir = kp_record_dir(ctx, module, version, kernel);
	struct kp_err why = KP_ERR_INIT;
	int r = load_build(ctx, module, version, kernel, &rec, err);

	if (r < 0)
		return r;
	r = run_script(ctx, module, version, kernel, KP_SCRIPT_PRE_INSTALL, &why);
	if (r < 0 && !(r == -ECHILD && anyway))
		return kp_err_set(err, r, "%s", kp_err_text(&why, r));
	r = 0;
	for (size_t i = 0; r == 0 && i < rec->n_files; i++) {
		_cleanup_free_ char *from =
			kp_strf("%s/module/%s", dir, rec->files[i].name);
		_cleanup_free_ char *to = dest_path(ctx, kernel, &rec->files[i]);

		r = kp_place_file(ctx, from, to, err);
	}
	if (r == 0)
		r = kp_view_set(ctx, module, kernel, version, err);
	if (r == 0)
		r = run_depmod(ctx, kernel, err);
	if (r < 0)
		return r;
	kp_info("installed %s/%s for %s in %s", module, version, kernel,
		ctx->install_tree);
	run_last_script(ctx, module, version, kernel, KP_SCRIPT_POST_INSTALL);
	return 0;
}

/* The directories above PATH up to that of the kernel, as long as they are empty. */
static void remove_empty(struct kp_ctx *ctx, const char *kernel, const char *path)
{
	_cleanup_free_ char *end = kp_path_join(ctx->install_tree, kernel);
	char *dir = kp_path_dir(path);

	while (kp_str_starts(dir, end) && strlen(dir) > strlen(end)) {
		char *up = kp_path_dir(dir);

		(void)kp_rmdir_in(ctx->root_fd, dir);
		free(dir);
		dir = up;
	}
	free(dir);
}

int kp_tree_uninstall(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, struct kp_err *err)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	int r = load_build(ctx, module, version, kernel, &rec, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < rec->n_files; i++) {
		_cleanup_free_ char *path = dest_path(ctx, kernel, &rec->files[i]);

		if (!kp_place_is_there(ctx, path, &rec->files[i])) {
			kp_info("%s is not as it was installed, it stays", path);
			continue;
		}
		r = kp_unlink_in(ctx->root_fd, path);
		if (r < 0)
			return kp_err_sys(err, r, "removing %s", path);
		remove_empty(ctx, kernel, path);
	}
	r = kp_view_set(ctx, module, kernel, NULL, err);
	if (r == 0)
		r = run_depmod(ctx, kernel, err);
	if (r < 0)
		return r;
	kp_info("removed %s/%s for %s from %s", module, version, kernel,
		ctx->install_tree);
	run_last_script(ctx, module, version, kernel, KP_SCRIPT_POST_REMOVE);
	return 0;
}
