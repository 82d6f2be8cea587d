// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sources that packages bring and take: a sync registers a tree that a package owns, and
 * unregisters it when both are gone, whoever registered it. Other trees are a person's.
 */
#pragma once

#include "lib/sync.h"

/* Remember the package that owns DIR, the tree of MODULE/VERSION, if one does: the registration,
 * which is about to be made, goes with it. Needs our lock. */
int kp_register_note(struct kp_ctx *ctx, const char *module, const char *version,
		     const char *dir, struct kp_err *err);
/* Is there anything for kp_register_update() to do? FAILED: see there. */
bool kp_register_due(struct kp_ctx *ctx, const struct kp_world *w, char *const *failed);
/* Bring the registrations up to date with the world. Needs our lock. What fails with one
 * source is a warning, and its directory is added to *FAILED, a string vector, whose
 * members are left alone. A disk that is full or read-only is an error. */
int kp_register_update(struct kp_ctx *ctx, const struct kp_world *w, char ***failed,
		       struct kp_err *err);
