// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sources that packages bring and take: a sync registers a tree that a package owns, and
 * unregisters it when both are gone. What a person registered is the person's.
 */
#pragma once

#include "lib/sync.h"

/* Is there anything for kp_register_update() to do? FAILED: see there. */
bool kp_register_due(struct kp_ctx *ctx, const struct kp_world *w, char *const *failed);
/* Bring the registrations up to date with the world. Needs our lock. What fails with one
 * source is a warning, and its directory is added to *FAILED, a string vector, whose
 * members are left alone. A disk that is full or read-only is an error. */
int kp_register_update(struct kp_ctx *ctx, const struct kp_world *w, char ***failed,
		       struct kp_err *err);
