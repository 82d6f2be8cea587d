// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a process that was killed left behind, and nobody else would come by.
 *
 * Most is found by whoever does its work again: an entry of the queue, a mark, the work
 * directory of the same build. This is for the rest: temporary files of writes that are not
 * done again, work directories and stages of builds that are not wanted any more.
 */
#pragma once

#include "lib/ctx.h"

/* PATH was made by the process that PID (digits, more may follow) names: is that gone, or
 * another one by now? */
bool kp_is_leftover(struct kp_ctx *ctx, const char *path, const char *pid);
/* Remove leftovers below our directories. Needs no lock: what belongs to somebody who
 * lives stays. */
void kp_leftovers_sweep(struct kp_ctx *ctx);
