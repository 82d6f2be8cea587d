// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf.h"
#include "lib/framework.h"

#define FILE_PATH "/etc/dkms/framework.conf"
#define FILE_MAX (256 * 1024)
#define JOBS_MAX 4096

/* Stands for the kernel's release, which is known only when something is signed for it. No
 * path has a newline. */
#define KERNEL_MARK "\nkernelver\n"

static void find_files(struct kp_ctx *ctx, char ***files)
{
	_cleanup_strv_ char **names = NULL;

	if (kp_exists_in(ctx->root_fd, FILE_PATH))
		kp_strv_add(files, FILE_PATH);
	(void)kp_list_in(ctx->root_fd, FILE_PATH ".d", &names);
	kp_strv_foreach(name, names)
		if (**name != '.' && kp_str_ends(*name, ".conf"))
			kp_strv_take(files, kp_path_join(FILE_PATH ".d", *name));
}

static int evaluate_plain(struct kp_ctx *ctx, char *const *files, struct kp_vars *vars,
			  struct kp_err *err)
{
	kp_strv_foreach(file, files) {
		_cleanup_free_ char *text = NULL;
		struct kp_err why = KP_ERR_INIT;
		size_t len;
		int r = kp_read_in(ctx->root_fd, *file, FILE_MAX, &text, &len);

		if (r < 0)
			return kp_err_sys(err, r, "%s", *file);
		r = kp_conf_plain(text, len, vars, &why);
		if (r < 0)
			return kp_err_set(err, r, "%s: %s", *file, kp_err_text(&why, r));
	}
	return 0;
}

/* What the files may read. */
static struct kp_vars *make_vars(const struct kp_ctx *ctx)
{
	struct kp_vars *vars = kp_vars_new();

	kp_vars_set(vars, "kernelver", 0, KERNEL_MARK);
	kp_vars_set(vars, "arch", 0, ctx->arch);
	kp_vars_set(vars, "dkms_tree", 0, ctx->dkms_tree);
	kp_vars_set(vars, "source_tree", 0, ctx->source_tree);
	kp_vars_set(vars, "install_tree", 0, ctx->install_tree);
	return vars;
}

static int evaluate(struct kp_ctx *ctx, char *const *files, struct kp_vars **ret,
		    struct kp_err *err)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars(ctx);
	int r = evaluate_plain(ctx, files, vars, err);

	if (r == -ENOTSUP) {
		kp_debug("%s: evaluated by bash", kp_err_text(err, r));
		kp_vars_free(vars);
		vars = make_vars(ctx);
		r = kp_conf_shell(ctx, files, vars, true, err);
	}
	if (r < 0)
		return r;
	*ret = kp_steal(&vars);
	return 0;
}

/* ---- what it means ---- */

static void set_path(const struct kp_vars *vars, const char *name, char **path)
{
	const char *value = kp_vars_get(vars, name, 0);

	if (kp_str_empty(value))
		return;
	if (*value != '/' && !kp_str_starts(value, "pkcs11:")) {
		kp_warn_once("/etc/dkms/framework.conf: %s=%s is no absolute path, "
			     "ignoring",
			     name, value);
		return;
	}
	free(*path);
	*path = kp_strdup(value);
}

static void set_tree(const struct kp_vars *vars, const char *name, char **path)
{
	const char *value = kp_vars_get(vars, name, 0);

	if (!kp_str_empty(value) && *value == '/') {
		free(*path);
		*path = kp_path_join(value, "");
	}
}

/* A package can only have files in the system's tree: another one is as if it were named by
 * an option of each command. */
static void set_install_tree(const struct kp_vars *vars, struct kp_ctx *ctx)
{
	_cleanup_free_ char *tree = kp_strdup(ctx->install_tree);

	set_tree(vars, "install_tree", &tree);
	if (kp_str_eq(tree, "/lib/modules") || kp_str_eq(tree, "/usr/lib/modules")) {
		free(ctx->install_tree);
		ctx->install_tree = kp_steal(&tree);
	} else {
		free(ctx->config.install_tree);
		ctx->config.install_tree = kp_steal(&tree);
	}
}

static void set_jobs(const struct kp_vars *vars, int *jobs)
{
	const char *value = kp_vars_get(vars, "parallel_jobs", 0);
	char *end;
	long n;

	if (kp_str_empty(value))
		return;
	n = strtol(value, &end, 10);
	if (!*end && n >= 0 && n <= JOBS_MAX)
		*jobs = (int)n;
}

static void set_signing(const struct kp_vars *vars, struct kp_config *config)
{
	if (kp_str_eq(kp_vars_get(vars, "try_sign_modules", 0), "false"))
		config->sign = KP_SIGN_NO;
	set_path(vars, "sign_file", &config->sign_tool);
	set_path(vars, "mok_signing_key", &config->sign_key);
	set_path(vars, "mok_certificate", &config->sign_cert);
	/* DKMS has a default for either; ours are a pair. */
	if (config->sign_key && !config->sign_cert)
		config->sign_cert = kp_strdup("/var/lib/dkms/mok.pub");
	if (config->sign_cert && !config->sign_key)
		config->sign_key = kp_strdup("/var/lib/dkms/mok.key");
}

static void find_ignored(const struct kp_vars *vars, char ***ret)
{
	static const char *const names[] = { "symlink_modules", "build_environment",
					     "post_transaction" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++)
		if (!kp_str_empty(kp_vars_get(vars, names[i], 0)))
			kp_strv_add(ret, names[i]);
}

static void take(const struct kp_vars *vars, struct kp_ctx *ctx)
{
	set_tree(vars, "dkms_tree", &ctx->dkms_tree);
	set_tree(vars, "source_tree", &ctx->source_tree);
	set_install_tree(vars, ctx);
	set_jobs(vars, &ctx->config.jobs);
	set_signing(vars, &ctx->config);
	ctx->config.probe_devices =
		!kp_str_empty(kp_vars_get(vars, "modprobe_on_install", 0));
	find_ignored(vars, &ctx->ignored);
}

void kp_framework_load(struct kp_ctx *ctx)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = NULL;
	_cleanup_strv_ char **files = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	find_files(ctx, &files);
	if (!files)
		return;
	r = evaluate(ctx, files, &vars, &err);
	if (r < 0) {
		kp_warn_once("%s, ignoring DKMS's configuration", kp_err_text(&err, r));
		return;
	}
	take(vars, ctx);
}

char *kp_framework_path(const char *path, const char *kernel)
{
	const char *mark = path ? strstr(path, KERNEL_MARK) : NULL;
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	if (!mark)
		return kp_strdup(path);
	for (; mark; mark = strstr(path, KERNEL_MARK)) {
		kp_buf_add(&b, path, (size_t)(mark - path));
		kp_buf_adds(&b, kernel);
		path = mark + strlen(KERNEL_MARK);
	}
	kp_buf_adds(&b, path);
	return kp_buf_steal(&b);
}
