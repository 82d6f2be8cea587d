// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The process that has a build's questions to its compiler answered (probe.h) while the build runs.
 *
 * It is ours, the build is not: what comes is as good as forged, nothing is written in a way that could block, and
 * it ends with the build, whatever that does. The front (core/probe-front) waits for it; where it is
 * not there, or has no answer, the front asks the real compiler.
 */
#pragma once

#include <sys/types.h>

#include "lib/ctx.h"

/* Start it for a build of SLOT whose front's directory is DIR, before anything of it runs. ROOM as in
 * kp_learner_new(). 0: there is none. */
pid_t kp_asker_start(struct kp_ctx *ctx, const char *dir, unsigned int slot,
		     const char *room);
/* When the build is over: end it and what it runs, and wait for that. 0: there is none. */
void kp_asker_stop(pid_t pid);
