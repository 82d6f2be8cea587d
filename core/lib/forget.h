// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is kept of builds for kernels that are gone: published files, records, logs, the view.
 *
 * Where the package manager itself removes a generated package together with its kernel
 * (autoremove), nothing of ours was asked to erase it: a sync finds the records left over. And
 * what depmod wrote for such kernels, whoever called it; and the pins for them.
 */
#pragma once

#include "lib/sync.h"

/* Drop what is kept of one build. Failures are warnings. */
void kp_forget_build(struct kp_ctx *ctx, const char *module, const char *version,
		     const char *kernel);
/* Is there anything for kp_forget_dead() to do? */
bool kp_forget_due(struct kp_ctx *ctx, const struct kp_world *w);
/* Will there be, once a package that W has of a kernel which is gone has been replaced? */
bool kp_forget_waits(struct kp_ctx *ctx, const struct kp_world *w);
/* Drop the builds of registered sources for each kernel that is gone from disk and database, with
 * its headers unless they were pinned while it was there, and are in no package; mark the kernel,
 * so that settling removes the rest of its directory. Mark as well each kernel of which only
 * depmod's output is left. Drop the pins for kernels that are gone; one that was made for headers
 * alone is as any other once the kernel is there. Needs our lock. */
int kp_forget_dead(struct kp_ctx *ctx, const struct kp_world *w, struct kp_err *err);
