// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stale keys: when does a module have to be built again?
 *
 * The key of (source, kernel) covers the source tree's content, dkms.conf with its
 * overrides and patches, and the identity of every tree its build reads of the kernel:
 * the owning packages' versions where packages own them, a walk of names, sizes and
 * times where nobody does. Same key: nothing to do. The compiler is not in it. The planner
 * adds the keys of BUILD_DEPENDS (kp_key_with_deps).
 */
#pragma once

#include "base/hash.h"
#include "lib/conf.h"
#include "lib/ctx.h"
#include "lib/kernel.h"
#include "lib/source.h"

/* Fill kernel->headers_key for all kernels with headers: one owner query for all. Trees
 * reached from build/: itself, links in it that lead outside, what its Makefile includes. */
/* A kernel whose trees cannot be read keeps headers_key NULL, with a warning. */
int kp_key_kernels(struct kp_ctx *ctx, struct kp_kernels *kernels, struct kp_err *err);
/* Content hash of a source tree, remembered by stat (names, sizes, inodes, times) in
 * <state_dir>/trees/ where that can be written. Links count by their text. */
int kp_key_tree(struct kp_ctx *ctx, const char *dir, char ret[KP_HASH_HEX],
		struct kp_err *err);
/* The same of /etc/dkms/MODULE/, what the administrator lays over a build (patches, scripts).
 * -ENOENT: there is nothing. */
int kp_key_overlay(struct kp_ctx *ctx, const char *module, char ret[KP_HASH_HEX],
		   struct kp_err *err);
/* Drop what is remembered of DIR. */
void kp_key_tree_forget(struct kp_ctx *ctx, const char *dir);
/* Fill tree_looks of all sources that are there. Reads no file. */
void kp_key_sources(struct kp_ctx *ctx, struct kp_sources *sources);
/* After that, and if it is not done: fill tree_key, so that kp_key_pair() need not walk the tree once per
 * kernel. One that cannot be read keeps NULL: kp_key_pair() then says why. */
void kp_key_source(struct kp_ctx *ctx, struct kp_source *source);
/* Key without BUILD_DEPENDS; kernel must have headers_key. */
int kp_key_pair(struct kp_ctx *ctx, const struct kp_source *source,
		const struct kp_conf *conf, const struct kp_kernel *kernel,
		char ret[KP_HASH_HEX], struct kp_err *err);
/* KEY itself when there are no dependencies. */
void kp_key_with_deps(const char *key, const char *const *dep_keys, size_t n,
		      char ret[KP_HASH_HEX]);
