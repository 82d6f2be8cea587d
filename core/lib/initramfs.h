// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Refreshing the initramfs of a kernel whose modules changed: one table of the tools that
 * make them. An image is refreshed only where one exists; none is ever created.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "lib/ctx.h"

/* Does KERNEL have an image that a known tool makes and that is older than SINCE? */
bool kp_initramfs_is_due(struct kp_ctx *ctx, const char *kernel,
			 const struct timespec *since);
/* Does it have one that was made since? */
bool kp_initramfs_is_newer(struct kp_ctx *ctx, const char *kernel,
			   const struct timespec *since);
/* If it has one that is due, let the tool make it anew. 0 also when there is nothing to do. */
int kp_initramfs_refresh(struct kp_ctx *ctx, const char *kernel,
			 const struct timespec *since, struct kp_err *err);

/* ---- where images are called otherwise than by their kernel's release (initramfs-names.c); they
 * add absolute paths, of files that need not exist, to a string vector */

/* First line of <tree>/KERNEL/pkgbase: the package of Arch's that the kernel comes from
 * ("linux-lts"), after which its image is named; to be freed. NULL: there is none, or another
 * release has taken its place and the image is that one's. */
char *kp_initramfs_pkgbase(struct kp_ctx *ctx, const char *kernel);
/* What mkinitcpio makes for a package base: the images and unified kernel images that
 * /etc/mkinitcpio.d/PKGBASE.preset names. Nothing without such a file. */
void kp_initramfs_preset(struct kp_ctx *ctx, const char *pkgbase, char ***images);
/* What kernel-install makes: initrd of a boot loader entry, or unified kernel image. */
void kp_initramfs_entries(struct kp_ctx *ctx, const char *kernel, char ***images);

/* The images that the text of a preset names literally, see mkinitcpio(8): the values of
 * NAME_image and NAME_uki for each NAME in PRESETS, for any where that is not plain. Pure;
 * fuzzed. */
void kp_initramfs_preset_parse(const char *text, size_t len, char ***images);
