// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Refreshing the initramfs of a kernel whose modules changed: one table of the tools that
 * make them (initramfs.c), and which changes concern an image (initramfs-why.c). An image is
 * refreshed only where one exists; none is ever created.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "lib/ctx.h"

/* Does KERNEL have an image that a known tool makes, that is older than SINCE and that the configuration
 * lets us make anew? */
bool kp_initramfs_is_due(struct kp_ctx *ctx, const char *kernel,
			 const struct timespec *since);
/* Does it have one that was made since? */
bool kp_initramfs_is_newer(struct kp_ctx *ctx, const char *kernel,
			   const struct timespec *since);
/* Let the tool make KERNEL's image anew if it has to after changes of MODULES (kp_initramfs_why()). 0 also
 * when there is nothing to do. */
int kp_initramfs_refresh(struct kp_ctx *ctx, const char *kernel, char *const *modules,
			 struct kp_err *err);
/* The images that KERNEL's tool makes and that are there: absolute paths, a string vector. */
char **kp_initramfs_images(struct kp_ctx *ctx, const char *kernel);

/* ---- which changes concern an image (initramfs-why.c) */

/* Among the names of modules: whatever else changed, the image is to be made. */
#define KP_ANY_MODULE "*"
/* The name of the module in a file ("/x/a-b.ko.xz" -> "a_b"), KP_ANY_MODULE of that; to be freed. */
char *kp_initramfs_module(const char *path);
/*
 * Why the image of KERNEL is to be made anew after these modules (names, a string vector) were added, replaced
 * or removed: a line for a person, to be freed. NULL: it need not, for it holds none of them, a tool's
 * configuration names none, and no other kernel's image, of which this kernel's could take after, holds one. What an
 * image holds that cannot be read is not known: then it is to be made.
 */
char *kp_initramfs_why(struct kp_ctx *ctx, const char *kernel, char *const *modules);
/* Does the text of a configuration file or hook name one of MODULES, otherwise than in a comment or to
 * leave it out? *ret is which. Pure; fuzzed. */
bool kp_initramfs_text_names(const char *text, size_t len, char *const *modules,
			     const char **ret);

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
