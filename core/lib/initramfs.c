// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/initramfs.h"
#include "lib/kernel.h"
#include "lib/tool.h"

/*
 * One row per tool and way of naming images. The first row whose tool is installed and one of
 * whose images exists is the kernel's; the order matters where tools come together: dracut
 * of Debian forky brings an update-initramfs of its own, which knows that distribution's
 * settings; before, /etc/kernel/postinst.d/dracut calls dracut the way it is done here.
 * Fedora has initramfs-K.img, openSUSE initrd-K. Arch names an image after the package and
 * not the release: mkinitcpio by a preset for each, dracut by the hooks that its manual
 * of Arch's gives. Entries of the boot loader (systemd-boot, unified kernel images) are
 * kernel-install's, which calls whatever generator is configured.
 */
#define IMAGE "\1"   /* stands for the image's path among arguments, */
#define KERNEL "\2"  /* for the kernel's release, */
#define PKGBASE "\3" /* for its package base, */
#define VMLINUZ "\4" /* for the path of its image */
enum images { BY_RELEASE, BY_PKGBASE, BY_PRESET, BY_ENTRY };
static const struct {
	const char *tool;
	enum images images;
	const char *image;  /* BY_RELEASE, BY_PKGBASE: with that name behind it... */
	const char *suffix; /* ...and this */
	const char *args[5];
} tools[] = {
	/* Always with -k: without, only the newest kernel's is made, and below a
	 * maintainer script only a trigger is set. */
	{ "update-initramfs",
	  BY_RELEASE,
	  "/boot/initrd.img-",
	  "",
	  { "-u", "-k", KERNEL } },
	{ "dracut",
	  BY_RELEASE,
	  "/boot/initrd.img-",
	  "",
	  { "-q", "--force", IMAGE, KERNEL } },
	{ "dracut",
	  BY_RELEASE,
	  "/boot/initramfs-",
	  ".img",
	  { "-q", "--force", IMAGE, KERNEL } },
	{ "dracut", BY_RELEASE, "/boot/initrd-", "", { "-q", "--force", IMAGE, KERNEL } },
	{ "mkinitcpio", BY_PRESET, NULL, NULL, { "-p", PKGBASE } },
	{ "dracut",
	  BY_PKGBASE,
	  "/boot/initramfs-",
	  ".img",
	  { "-q", "--force", IMAGE, KERNEL } },
	{ "kernel-install", BY_ENTRY, NULL, NULL, { "add", KERNEL, VMLINUZ } },
};

/* The row of a kernel, and what it needs. */
struct job {
	size_t row;
	char *tool;
	char *image; /* the oldest of those that the tool makes */
	struct timespec time;
	char *pkgbase; /* may be NULL, like vmlinuz */
	char *vmlinuz;
};

static void job_clear(struct job *job)
{
	free(job->tool);
	free(job->image);
	free(job->pkgbase);
	free(job->vmlinuz);
}

static bool older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static char *find_vmlinuz(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);
	char *path;

	kp_strv_foreach(tree, trees) {
		path = kp_strf("%s/%s/vmlinuz", *tree, kernel);
		if (kp_exists_in(ctx->root_fd, path))
			return path;
		free(path);
	}
	path = kp_strf("/boot/vmlinuz-%s", kernel);
	if (kp_exists_in(ctx->root_fd, path))
		return path;
	free(path);
	return NULL;
}

static char **name_images(struct kp_ctx *ctx, const struct job *job, const char *kernel)
{
	const char *image = tools[job->row].image, *suffix = tools[job->row].suffix;
	char **images = NULL;

	switch (tools[job->row].images) {
	case BY_RELEASE:
		kp_strv_addf(&images, "%s%s%s", image, kernel, suffix);
		break;
	case BY_PKGBASE:
		if (job->pkgbase)
			kp_strv_addf(&images, "%s%s%s", image, job->pkgbase, suffix);
		break;
	case BY_PRESET:
		if (job->pkgbase)
			kp_initramfs_preset(ctx, job->pkgbase, &images);
		break;
	case BY_ENTRY:
		if (job->vmlinuz)
			kp_initramfs_entries(ctx, kernel, &images);
		break;
	}
	return images;
}

static bool is_image(struct kp_ctx *ctx, const char *path, struct stat *st)
{
	return kp_stat_in(ctx->root_fd, path, st) == 0 && S_ISREG(st->st_mode);
}

static char **list_images(struct kp_ctx *ctx, const struct job *job, const char *kernel)
{
	_cleanup_strv_ char **images = name_images(ctx, job, kernel);
	char **there = NULL;
	struct stat st;

	kp_strv_foreach(image, images)
		if (is_image(ctx, *image, &st))
			kp_strv_add(&there, *image);
	return there;
}

/* The oldest image of the row; one call of the tool makes all of them. */
static bool find_image(struct kp_ctx *ctx, struct job *job, const char *kernel)
{
	_cleanup_strv_ char **images = name_images(ctx, job, kernel);

	kp_strv_foreach(image, images) {
		struct stat st;

		if (!is_image(ctx, *image, &st) ||
		    (job->image && !older(&st.st_mtim, &job->time)))
			continue;
		free(job->image);
		job->image = kp_strdup(*image);
		job->time = st.st_mtim;
	}
	return job->image;
}

static bool find_job(struct kp_ctx *ctx, const char *kernel, struct job *job)
{
	job->pkgbase = kp_initramfs_pkgbase(ctx, kernel);
	job->vmlinuz = find_vmlinuz(ctx, kernel);
	for (job->row = 0; job->row < KP_ARRAY_SIZE(tools); job->row++) {
		job->tool = kp_tool_find(ctx, tools[job->row].tool);
		if (job->tool && find_image(ctx, job, kernel))
			return true;
		free(kp_steal(&job->tool));
	}
	return false;
}

static int run(const struct job *job, const char *kernel, struct kp_err *err)
{
	const char *argv[KP_ARRAY_SIZE(tools[0].args) + 2] = { job->tool };
	struct kp_proc proc = { .argv = argv };
	int r;

	for (size_t i = 0; i < KP_ARRAY_SIZE(tools[0].args); i++) {
		const char *arg = tools[job->row].args[i];

		argv[i + 1] = kp_str_eq(arg, IMAGE)	? job->image
			      : kp_str_eq(arg, KERNEL)	? kernel
			      : kp_str_eq(arg, PKGBASE) ? job->pkgbase
			      : kp_str_eq(arg, VMLINUZ) ? job->vmlinuz
							: arg;
	}
	r = kp_proc_run(&proc, NULL, err);
	if (r < 0)
		kp_err_prefix(err, "refresh '%s'", job->image);
	return r;
}

/* Files have the time of the last tick: what has the same one may be older. */
static bool is_newer(const struct job *job, const struct timespec *since)
{
	return older(since, &job->time);
}

bool kp_initramfs_is_due(struct kp_ctx *ctx, const char *kernel,
			 const struct timespec *since)
{
	_cleanup_(job_clear) struct job job = { 0 };

	return ctx->config.initramfs != KP_REFRESH_NO && find_job(ctx, kernel, &job) &&
	       !is_newer(&job, since);
}

bool kp_initramfs_is_newer(struct kp_ctx *ctx, const char *kernel,
			   const struct timespec *since)
{
	_cleanup_(job_clear) struct job job = { 0 };

	return find_job(ctx, kernel, &job) && is_newer(&job, since);
}

char **kp_initramfs_images(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_(job_clear) struct job job = { 0 };

	return find_job(ctx, kernel, &job) ? list_images(ctx, &job, kernel) : NULL;
}

int kp_initramfs_refresh(struct kp_ctx *ctx, const char *kernel, char *const *modules,
			 struct kp_err *err)
{
	_cleanup_(job_clear) struct job job = { 0 };
	_cleanup_free_ char *why = NULL;

	if (!find_job(ctx, kernel, &job)) {
		kp_debug("kernel %s: no initramfs to refresh", kernel);
		return 0;
	}
	why = kp_initramfs_why(ctx, kernel, modules);
	if (!why) {
		kp_debug("'%s' has nothing to do with the modules that changed",
			 job.image);
		return 0;
	}
	kp_info("kernel %s: refreshing %s, %s", kernel, job.image, why);
	return run(&job, kernel, err);
}
