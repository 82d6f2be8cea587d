// SPDX-License-Identifier: GPL-2.0-or-later
#include "lib/artifact.h"
#include "lib/tool.h"

int kp_artifact_strip(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
		      const struct kp_kernel_build *kb, int log_fd, struct kp_err *err)
{
	_cleanup_free_ char *tool = NULL;
	/* GNU strip wants files it can seek in, by name; what it finds there are our
	 * descriptors. */
	const char *gnu[] = {
		NULL, "-g", "-o", "/proc/self/fd/1", "/proc/self/fd/0", NULL,
	};
	/* llvm-strip replaces the output by rename, unless it is "-". */
	const char *llvm[] = { NULL, "-g", "-o", "-", "-", NULL };
	int r;

	if (kb->clang)
		r = kp_tool_need(ctx, "llvm-strip", "llvm", &tool, err);
	else
		r = kp_tool_need(ctx, "strip", "binutils", &tool, err);
	if (r < 0)
		return r;
	gnu[0] = llvm[0] = tool;
	return kp_tool_filter(ctx, sb, kb->clang ? llvm : gnu, ko, ko, log_fd, err);
}
