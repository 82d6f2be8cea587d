// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/install.h"

static char *view_path(struct kp_ctx *ctx, const char *module, const char *kernel)
{
	return kp_strf("%s/%s/kernel-%s-%s", ctx->dkms_tree, module, kernel, ctx->arch);
}

int kp_view_set(struct kp_ctx *ctx, const char *module, const char *kernel,
		const char *version, struct kp_err *err)
{
	_cleanup_free_ char *path = view_path(ctx, module, kernel), *target = NULL,
			    *dir = NULL;
	int r;

	if (!version) {
		r = kp_unlink_in(ctx->root_fd, path);
		if (r < 0)
			return kp_err_sys(err, r, "remove '%s'", path);
		dir = kp_strf("%s/%s", ctx->dkms_tree, module);
		return kp_rmdir_in(ctx->root_fd, dir);
	}
	dir = kp_strf("%s/%s", ctx->dkms_tree, module);
	r = kp_mkdir_in(ctx->root_fd, dir, 0755, err);
	if (r < 0)
		return r;
	target = kp_strf("%s/%s/%s", version, kernel, ctx->arch);
	return kp_symlink_in(ctx->root_fd, target, path, err);
}

bool kp_view_has(struct kp_ctx *ctx, const char *module, const char *kernel)
{
	_cleanup_free_ char *path = view_path(ctx, module, kernel);
	struct stat st;

	return kp_lstat_in(ctx->root_fd, path, &st) == 0;
}
