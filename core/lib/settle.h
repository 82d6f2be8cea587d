// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * After files below /lib/modules changed: depmod, initramfs, cleaning up.
 *
 * Before anything is placed or committed for a kernel, kp_unsettled_mark() writes
 * <state_dir>/unsettled/KERNEL; kp_settle() runs depmod once and refreshes the initramfs once, and
 * removes the mark. Every sync settles every mark it finds, so a crash in between heals. The
 * unsettled/ directory exists exactly while there are marks. The mode of a mark says what
 * was done already.
 */
#pragma once

#include <stdbool.h>

#include "lib/ctx.h"

/* Mark now (again): the mark's time is what an initramfs is compared with. PATHS, a string vector, are
 * module files that are going to change, with KP_ANY_MODULE among them where the initramfs must be
 * made whatever they are; the mark names their modules, and those that it named already. */
int kp_unsettled_mark(struct kp_ctx *ctx, const char *kernel, char *const *paths,
		      struct kp_err *err);
/* The same, unless it is marked, for all of these modules, and no initramfs was made since. */
int kp_unsettled_keep(struct kp_ctx *ctx, const char *kernel, char *const *paths,
		      struct kp_err *err);
/* Is KERNEL marked, and does the mark name all modules of PATHS? */
bool kp_unsettled_names(struct kp_ctx *ctx, const char *kernel, char *const *paths);
/* Kernels that are marked: a string vector; NULL when none. */
int kp_unsettled_list(struct kp_ctx *ctx, char ***ret, struct kp_err *err);
enum kp_mark {
	KP_MARK_NONE,
	KP_MARK_DUE,
	KP_MARK_INITRAMFS, /* depmod is done */
	KP_MARK_FAILED,	   /* it was tried, in vain */
};
/* What is due of a kernel with this mark, for a person; NULL: nothing. */
const char *kp_mark_text(enum kp_mark mark);
enum kp_mark kp_unsettled_get(struct kp_ctx *ctx, const char *kernel);
/* Note in the mark, if there is one, that depmod is done. */
void kp_unsettled_set_indexed(struct kp_ctx *ctx, const char *kernel);
/* Is the kernel marked, and an initramfs was made since? */
bool kp_unsettled_is_overtaken(struct kp_ctx *ctx, const char *kernel);
/* The same of depmod's index. */
bool kp_unsettled_is_indexed(struct kp_ctx *ctx, const char *kernel);
/* Was KERNEL's index made since each of these files changed, and the initramfs that it may have? */
bool kp_is_settled_since(struct kp_ctx *ctx, const char *kernel, char *const *paths);

/* Remove what a process that died left, and the directory if there are no marks. Needs our
 * lock. */
int kp_unsettled_sweep(struct kp_ctx *ctx, struct kp_err *err);

/* Run depmod for a kernel, which stays marked, for its initramfs only: what is placed inside a transaction must be
 * found by the initramfs that the transaction makes. One that was made before this is none of the
 * modules: then it is marked again. Nothing is done for a kernel that is not present. */
int kp_settle_depmod(struct kp_ctx *ctx, const char *kernel, struct kp_err *err);

enum kp_settle_initramfs {
	KP_INITRAMFS_NOW,
	/* Somebody is going to make it: if it is older than the mark, the mark stays, and the next
	 * kp_settle() looks whether it still is. */
	KP_INITRAMFS_LATER,
	KP_INITRAMFS_NEVER,
};

/*
 * Settle one kernel: if it is still there, depmod (once per mark), then its initramfs by the
 * distribution's tool if one exists for it and is older than the mark (initramfs.h); if the
 * kernel is gone, remove depmod's known output files and the empty directories of a dead release
 * below which no package owns a file. Removes the mark when all worked. A failed depmod or
 * initramfs tool, a database that cannot be read: error, the mark stays and says so. Without a
 * mark nothing is done. Needs our lock.
 */
int kp_settle(struct kp_ctx *ctx, const char *kernel, enum kp_settle_initramfs initramfs,
	      struct kp_err *err);
