// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kbuild asks compilers, remembered from one build to the next.
 *
 * In builds a front (core/probe-front) stands for the compilers; it answers what is in
 * <state_dir>/probes and notes what is not. Builds only read there. After a build the notes, which
 * it may have forged, are read by us: each question of the strict form that the front knows is
 * asked once more, in a sandbox of its own with nothing of the build in it, so that an answer
 * depends on the compiler and the question and on nothing else.
 *
 * Without it builds ask as ever; so nothing here is an error for the caller.
 */
#pragma once

#include <stdint.h>

#include "lib/ctx.h"

/* The directory of answers, which a build has to see; to be freed. */
char *kp_probe_answers(const struct kp_ctx *ctx);

/* Make DIR (absolute, in a directory that is ours alone) a directory to come first in the PATH
 * of a build of SLOT. False: no front is to be had here, or the configuration has none. */
bool kp_probe_offer(struct kp_ctx *ctx, const char *dir, unsigned int slot);

/* When nothing of the build is alive any more: learn what it asked, with SLOT for the sandbox. Takes
 * some seconds at most, and ends at DEADLINE (monotonic seconds; 0: none) and when a signal ends
 * the sandbox. */
void kp_probe_learn(struct kp_ctx *ctx, const char *dir, unsigned int slot,
		    int64_t deadline);

/* Where COMPILER (absolute) has cc1: remembered with its answers, else asked in a sandbox of SLOT that can
 * write to ROOM alone, a directory that is made for it and removed. To be freed; NULL: unknown. */
char *kp_probe_cc1(struct kp_ctx *ctx, unsigned int slot, const char *room,
		   const char *compiler);
