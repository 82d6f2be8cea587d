// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Removals that a package's script asked for within a transaction.
 *
 * A script cannot know whether its package goes or another version of it comes: an old one of
 * DKMS's days says "remove" in both cases. So it is noted (intent.h) and decided when the
 * transaction ends: where a package then owns the source tree it was a replacement and
 * nothing is done, else it is carried out like a person's.
 */
#pragma once

#include "lib/sync.h"

/* Is there something to decide, and may this sync do it: it is for everything, or no
 * transaction runs any more? Also true when a tombstone has outlived what it is for. */
bool kp_removal_due(struct kp_ctx *ctx, const struct kp_sync_opts *opts,
		    const struct kp_world *w);
/* Is there something to decide? Reads the intent; needs no backend. */
bool kp_removal_is_pending(struct kp_ctx *ctx);
/* Decide all. Changes w->intent. Needs our lock. */
int kp_removal_decide(struct kp_ctx *ctx, const struct kp_world *w, struct kp_err *err);
/* Forget that sources were removed of which there is neither a tree nor one of PACKAGES, all of
 * ours that are installed. Needs our lock. */
int kp_removal_sweep(struct kp_ctx *ctx, struct kp_intent *in,
		     const struct kp_pkg_installed *packages, size_t n,
		     struct kp_err *err);
/* Say in IN that a source was removed, so that no sync registers its tree again, and forget
 * what was said of it; with the module's last version also what was said of the module. */
void kp_removal_note(const struct kp_world *w, struct kp_intent *in, const char *module,
		     const char *version);
/* Does a build of this source lie in its tree, for any kernel? */
bool kp_removal_has_builds(struct kp_ctx *ctx, const char *module, const char *version);
