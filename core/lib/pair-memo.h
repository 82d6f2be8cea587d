// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the plan has to know of a source and a kernel, remembered: <state_dir>/pairs.
 *
 * Its conf is evaluated, its key made and the record of its build read once, and the outcome holds as
 * long as all of that looks the same: headers by their keys, source and files by their stat, the
 * program itself and its configuration. Only what is in order is remembered; a failed build, a conf
 * with an error, a build whose files are not all there are looked at each time. Lines of text, since
 * to parse as much JSON would take longer than the rest. Root's process writes it, whole or
 * not at all; what is not as it should be counts as not there. Only for world.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/sync.h"

struct kp_pair_memo;

/* Both lists are the caller's, with tree_looks and headers_key filled, and stay where they are until it is saved.
 * NULL: nothing can be remembered here. */
struct kp_pair_memo *kp_pair_memo_open(struct kp_ctx *ctx,
				       const struct kp_sources *sources,
				       const struct kp_kernels *kernels);
/* Fill what a conf, a key and a record give of X, which names source and kernel; its strings are the
 * memo's, but x->depends, which is *ret_depends, a vector of the caller's. False: it is not known. */
bool kp_pair_memo_find(struct kp_pair_memo *m, struct kp_plan_pair *x,
		       char ***ret_depends);
/* X was looked at, with this outcome, since the memo was opened. */
void kp_pair_memo_add(struct kp_pair_memo *m, const struct kp_plan_pair *x,
		      const struct kp_world_pair *wp);
/* Write all pairs that were found or added, if that is not what is there and this process may. */
void kp_pair_memo_save(struct kp_pair_memo *m);
void kp_pair_memo_free(struct kp_pair_memo *m);
