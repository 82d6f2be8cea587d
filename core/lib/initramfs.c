// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/initramfs.h"
#include "lib/tool.h"

/*
 * One row per tool and image name. The first row whose tool is installed and whose image
 * exists is the kernel's; the order matters where tools come together: dracut of Debian
 * forky brings an update-initramfs of its own, which knows that distribution's settings;
 * before, /etc/kernel/postinst.d/dracut calls dracut the way it is done here. Fedora has
 * initramfs-K.img, openSUSE initrd-K.
 */
#define IMAGE "\1"  /* stands for the image's path among arguments */
#define KERNEL "\2" /* for the kernel's release */
static const struct {
	const char *tool;
	const char *image;  /* with the release behind it... */
	const char *suffix; /* ...and this */
	const char *args[5];
} tools[] = {
	/* Always with -k: without, only the newest kernel's is made, and below a
	 * maintainer script only a trigger is set. */
	{ "update-initramfs", "/boot/initrd.img-", "", { "-u", "-k", KERNEL } },
	{ "dracut", "/boot/initrd.img-", "", { "-q", "--force", IMAGE, KERNEL } },
	{ "dracut", "/boot/initramfs-", ".img", { "-q", "--force", IMAGE, KERNEL } },
	{ "dracut", "/boot/initrd-", "", { "-q", "--force", IMAGE, KERNEL } },
};

static bool older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static int run(size_t row, const char *tool, const char *image, const char *kernel,
	       struct kp_err *err)
{
	const char *argv[KP_ARRAY_SIZE(tools[0].args) + 2] = { tool };
	struct kp_proc proc = { .argv = argv };
	int r;

	for (size_t i = 0; i < KP_ARRAY_SIZE(tools[row].args); i++) {
		const char *arg = tools[row].args[i];

		argv[i + 1] = kp_str_eq(arg, IMAGE)    ? image
			      : kp_str_eq(arg, KERNEL) ? kernel
						       : arg;
	}
	r = kp_proc_run(&proc, NULL, err);
	if (r < 0)
		kp_err_prefix(err, "refresh '%s'", image);
	return r;
}

int kp_initramfs_refresh(struct kp_ctx *ctx, const char *kernel,
			 const struct timespec *since, struct kp_err *err)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(tools); i++) {
		_cleanup_free_ char *tool = NULL, *image = NULL;
		struct stat st;

		image = kp_strf("%s%s%s", tools[i].image, kernel, tools[i].suffix);
		if (kp_stat_in(ctx->root_fd, image, &st) < 0)
			continue;
		tool = kp_tool_find(ctx, tools[i].tool);
		if (!tool)
			continue;
		if (!older(&st.st_mtim, since)) {
			kp_debug("'%s' is newer than the modules", image);
			return 0;
		}
		kp_info("kernel %s: refreshing %s", kernel, image);
		return run(i, tool, image, kernel, err);
	}
	kp_debug("kernel %s: no initramfs to refresh", kernel);
	return 0;
}
