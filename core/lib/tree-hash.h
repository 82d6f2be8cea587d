// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hashes over the entries of a tree, in the order of their names.
 *
 * Symbolic links count by their text and are not followed (but for the tree's own path); .git is
 * left out, since git changes it without a change of what a build reads.
 */
#pragma once

#include "base/hash.h"

struct kp_tree_hash {
	/* Names, kinds, execute bits, bytes. */
	char content[KP_HASH_HEX];
	/* Names, modes, sizes, inodes, times: changes whenever the content may have; taken
	 * before it is read. */
	char stat[KP_HASH_HEX];
	int64_t newest_s; /* latest status change, seconds since the epoch */
};

enum kp_tree_mode {
	KP_TREE_STAT,	 /* `stat` and `newest_s` */
	KP_TREE_CONTENT, /* all */
	/* `stat` over names, kinds, sizes and modification times only: the same for a copy
	 * that keeps times. Without the empty files by which kbuild follows settings
	 * (include/config/MODULES). */
	KP_TREE_LOOKS,
};

/* PATH, a directory or a file, below root_fd. Negative errno with words. */
int kp_tree_hash(int root_fd, const char *path, enum kp_tree_mode mode,
		 struct kp_tree_hash *ret, struct kp_err *err);
