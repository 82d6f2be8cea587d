// SPDX-License-Identifier: GPL-2.0-or-later
/* Jobs of build.h made from rows of a plan, for sync.c only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/sync.h"

struct kp_build_graph {
	struct kp_build_job *jobs;
	const struct kp_plan_row **rows; /* parallel */
	size_t n;
};

/* ROW and what it is made from stay W's. */
void kp_build_graph_add(struct kp_build_graph *g, const struct kp_world *w,
			const struct kp_plan_row *row, bool force);
/* When all are added: what each needs of the modules it depends on, which are jobs that come first, and
 * Module.symvers of those that are built. */
void kp_build_graph_connect(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_build_graph *g);
void kp_build_graph_clear(struct kp_build_graph *g);
