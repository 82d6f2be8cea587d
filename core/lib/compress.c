// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "lib/artifact.h"
#include "lib/tool.h"

/* As the kernel does it (scripts/Makefile.modinst): xz with the check and the dictionary
 * that its decompressor wants, zstd and gzip with their defaults; no name or time in the
 * output, one thread. */
static const struct {
	const char *tool, *package;
	const char *args[4];
} compressors[] = {
	[KP_COMPRESS_GZ] = { "gzip", "gzip", { "-n", "-c" } },
	[KP_COMPRESS_XZ] = { "xz",
			     "xz-utils (xz)",
			     { "-T1", "--check=crc32", "--lzma2=dict=1MiB", "-c" } },
	[KP_COMPRESS_ZST] = { "zstd", "zstd", { "-q", "-T1", "-c" } },
};

int kp_artifact_compress(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
			 enum kp_compression how, int log_fd, char **ret_path,
			 struct kp_err *err)
{
	_cleanup_free_ char *to = NULL, *tool = NULL, *size = NULL;
	const char *argv[8] = { NULL };
	size_t n = 0;
	struct stat st;
	int r;

	if (how == KP_COMPRESS_NONE) {
		*ret_path = kp_strdup(ko);
		return 0;
	}
	r = kp_tool_need(ctx, compressors[how].tool, compressors[how].package, &tool,
			 err);
	if (r < 0)
		return r;
	argv[n++] = tool;
	for (size_t i = 0; i < KP_ARRAY_SIZE(compressors[how].args); i++)
		if (compressors[how].args[i])
			argv[n++] = compressors[how].args[i];
	if (how == KP_COMPRESS_ZST) {
		r = kp_stat_in(ctx->root_fd, ko, &st);
		if (r < 0)
			return kp_err_sys(err, r, "look at '%s'", ko);
		/* The size in the frame's head lets readers reserve what they need: what
		 * the tool does by itself when it is given a file name. */
		size = kp_strf("--stream-size=%jd", (intmax_t)st.st_size);
		argv[n++] = size;
	}
	to = kp_strf("%s%s", ko, kp_compression_suffix(how));
	r = kp_tool_filter(ctx, sb, argv, ko, to, log_fd, err);
	if (r < 0)
		return r;
	r = kp_unlink_in(ctx->root_fd, ko);
	if (r < 0)
		return kp_err_sys(err, r, "remove '%s'", ko);
	*ret_path = kp_steal(&to);
	return 0;
}
