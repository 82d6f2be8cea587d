// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which modules an initramfs image holds. It is read in the sandbox, and what came of it is remembered for each image by how
 * that looks, in <state_dir>/images: lines of text, which root's process writes, whole or not at all. What is not as it
 * should be counts as not there.
 */
#pragma once

#include "lib/ctx.h"

/*
 * IMAGE: absolute path of an initramfs or unified kernel image. *ret: a string vector to be freed, NULL: it holds none, of the
 * names of its modules, sorted, each once, without ".ko" and what follows, '-' written as '_'. Negative errno with
 * words: it cannot be told, and it may hold any. -ENOENT: it is not there; -EINTR: as kp_sandbox_run() has it.
 */
int kp_initramfs_modules(struct kp_ctx *ctx, const char *image, char ***ret,
			 struct kp_err *err);
