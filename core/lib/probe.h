// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kbuild asks compilers, remembered from one build to the next.
 *
 * In builds a front (core/probe-front) stands for the compilers; it answers what is in
 * <state_dir>/probes. Builds only read there. What is not there it hands to a process of ours beside the
 * build (asker.h). That may be forged, so each question of the strict form that the front knows is
 * asked in a sandbox of its own with nothing of the build in it and as another user: an answer
 * depends on the compiler and the question and on nothing else.
 *
 * Without it builds ask as ever; so nothing here is an error for the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/ctx.h"

/* The directory of answers, which a build has to see; to be freed. */
char *kp_probe_answers(const struct kp_ctx *ctx);

/* Make DIR (absolute, in a directory that is ours alone) a directory to come first in the PATH
 * of a build. False: no front is to be had here, or the configuration has none. */
bool kp_probe_offer(struct kp_ctx *ctx, const char *dir);

/* Who has questions of one build answered. Compilers can write to ROOM alone, a directory that is made
 * for it and removed, and run in a slot that is taken with the first question. */
struct kp_learner *kp_learner_new(struct kp_ctx *ctx, const char *room);
/* See to it that the front finds what it looked for: KEY, LEN bytes and a NUL, is what it made of a question
 * (question.h) or a file of kbuild's (modc.h), or whatever a build says that it is. Takes seconds at most, and ends
 * when a signal ends the sandbox. False: no more are answered. */
bool kp_learner_answer(struct kp_learner *l, const char *key, size_t len);
void kp_learner_free(struct kp_learner *l);

/* Where COMPILER (absolute) has cc1: remembered with its answers, else asked in a sandbox of SLOT that can
 * write to ROOM alone, a directory that is made for it and removed. To be freed; NULL: unknown. */
char *kp_probe_cc1(struct kp_ctx *ctx, unsigned int slot, const char *room,
		   const char *compiler);
