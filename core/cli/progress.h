// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a person sees of running builds, on stderr.
 *
 * On a terminal a block of lines below the messages, one per running job (module, kernel,
 * stage, elapsed time), drawn again at most ten times a second; it is gone when no job
 * runs, so that other programs can write. The cursor is never hidden and always rests
 * below the block: whatever ends us, there is nothing to restore. Elsewhere a line when a
 * job starts and one when it ends. A failure shows the last lines of its log in both.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "lib/build.h"
#include "lib/ctx.h"

struct cli_progress;

/* With LIVE off there is no block on a terminal either. */
struct cli_progress *cli_progress_new(struct kp_ctx *ctx, bool live);
void cli_progress_free(struct cli_progress *p);
KP_DEFINE_CLEANUP(struct cli_progress *, cli_progress_free);

/* kp_build_progress; DATA is the struct cli_progress. */
void cli_progress_event(enum kp_build_event event, const struct kp_build_job *job,
			const char *stage, void *data);
