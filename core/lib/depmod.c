// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/kernel.h"
#include "lib/settle.h"
#include "lib/tool.h"

/* depmod knows no other tree than the system's own. */
static bool has_system_tree(const struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);

	kp_strv_foreach(tree, trees) {
		_cleanup_free_ char *dir = kp_path_join(*tree, kernel);

		if ((!strcmp(*tree, "/lib/modules") ||
		     !strcmp(*tree, "/usr/lib/modules")) &&
		    kp_is_dir_in(ctx->root_fd, dir))
			return true;
	}
	return false;
}

int kp_settle_depmod(struct kp_ctx *ctx, const char *kernel, struct kp_err *err)
{
	_cleanup_free_ char *system_map = kp_strf("/boot/System.map-%s", kernel);
	_cleanup_free_ char *depmod = NULL;
	const char *argv[6] = { NULL };
	struct kp_proc proc = { .argv = argv };
	bool too_early;
	size_t n = 0;
	int r;

	if (!kp_name_ok(kernel))
		return kp_err_set(err, -EINVAL, "'%s' is not the name of a kernel",
				  kernel);
	if (!kp_kernel_is_present(ctx, kernel) || !has_system_tree(ctx, kernel)) {
		kp_debug("kernel %s: no module tree for depmod", kernel);
		return 0;
	}
	r = kp_tool_need(ctx, "depmod", "kmod", &depmod, err);
	if (r < 0)
		return r;
	argv[n++] = depmod;
	argv[n++] = "-a";
	if (kp_exists_in(ctx->root_fd, system_map)) {
		argv[n++] = "-F";
		argv[n++] = system_map;
	}
	argv[n++] = kernel;
	too_early = kp_unsettled_is_overtaken(ctx, kernel) &&
		    !kp_unsettled_is_indexed(ctx, kernel);
	r = kp_proc_run(&proc, NULL, err);
	if (r < 0)
		return kp_err_prefix(err, "kernel %s", kernel);
	if (too_early)
		r = kp_unsettled_mark(ctx, kernel, NULL, err);
	if (r == 0)
		kp_unsettled_set_indexed(ctx, kernel);
	return r;
}
