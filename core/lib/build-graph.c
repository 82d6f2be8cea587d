// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/build-graph.h"

void kp_build_graph_add(struct kp_build_graph *g, const struct kp_world *w,
			const struct kp_plan_row *row, bool force)
{
	const struct kp_plan_pair *x = &w->input.pairs[row->pair];

	g->jobs = kp_reallocarray(g->jobs, g->n + 1, sizeof(*g->jobs));
	g->rows = kp_reallocarray(g->rows, g->n + 1, sizeof(*g->rows));
	g->rows[g->n] = row;
	g->jobs[g->n++] = (struct kp_build_job){
		.source = &w->sources.list[x->source],
		.kernel = &w->kernels.list[x->kernel],
		.conf = w->pairs[row->pair].conf,
		.key = row->key,
		.force = force,
	};
}

static size_t graph_find(const struct kp_build_graph *g, const char *module,
			 const char *kernel)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->rows[i]->wanted && kp_str_eq(g->rows[i]->module, module) &&
		    kp_str_eq(g->rows[i]->kernel, kernel))
			return i;
	return SIZE_MAX;
}

static void add_depends(struct kp_ctx *ctx, const struct kp_world *w,
			struct kp_build_graph *g, size_t at)
{
	const struct kp_plan_row *row = g->rows[at];
	const struct kp_plan_pair *x = &w->input.pairs[row->pair];
	struct kp_build_job *job = &g->jobs[at];
	size_t *deps = NULL;
	char **symvers = NULL;

	for (const char *const *d = x->depends; d && *d; d++) {
		size_t dep = graph_find(g, *d, row->kernel);

		if (dep != SIZE_MAX && dep != at) {
			deps = kp_reallocarray(deps, job->n_deps + 1, sizeof(*deps));
			deps[job->n_deps++] = dep;
			continue;
		}
		for (size_t i = 0; i < w->plan.n_rows; i++) {
			const struct kp_plan_row *other = &w->plan.rows[i];
			char *file;

			if (!kp_str_eq(other->module, *d) ||
			    !kp_str_eq(other->kernel, row->kernel) ||
			    !(other->wanted || other->package))
				continue;
			file = kp_record_symvers(ctx, other->module, other->version,
						 other->kernel);
			if (file)
				kp_strv_take(&symvers, file);
		}
	}
	job->deps = deps;
	job->symvers = symvers;
}

void kp_build_graph_connect(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_build_graph *g)
{
	for (size_t i = 0; i < g->n; i++)
		add_depends(ctx, w, g, i);
}

void kp_build_graph_clear(struct kp_build_graph *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free((void *)g->jobs[i].deps);
		kp_strv_free((char **)g->jobs[i].symvers);
		kp_build_job_clear(&g->jobs[i]);
	}
	free(g->jobs);
	free(g->rows);
}
