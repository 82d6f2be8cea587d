// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/doctor.h"
#include "lib/install.h"
#include "lib/settle.h"

void kp_doctor_add(struct kp_doctor *d, const char *area, char *what, char *mend)
{
	KP_GROW(d->list, d->n, d->alloc);
	kp_str_printable(what);
	d->list[d->n++] = (struct kp_finding){ .area = area, .what = what, .mend = mend };
}

void kp_doctor_clear(struct kp_doctor *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->list[i].what);
		free(d->list[i].mend);
	}
	free(d->list);
	free(d->signing.key);
	free(d->signing.certificate);
	*d = (struct kp_doctor){ 0 };
}

/* Releases of which headers alone are here: where kernel and headers come from different
 * packages, one of them may have been upgraded without the other. NULL: none. */
static char *lonely_headers(const struct kp_world *w)
{
	_cleanup_strv_ char **releases = NULL;

	for (size_t i = 0; i < w->kernels.n; i++) {
		const struct kp_kernel *k = &w->kernels.list[i];

		if (k->headers && !k->present)
			kp_strv_add(&releases, k->release);
	}
	return releases ? kp_strv_join(releases, ", ") : NULL;
}

static char *headers_words(const struct kp_world *w, const char *kernel, size_t without,
			   size_t old)
{
	_cleanup_free_ char *others = lonely_headers(w);
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_addf(&b, "kernel %s has no headers", kernel);
	if (others)
		kp_buf_addf(&b, " (there are some for %s, which is not installed)",
			    others);
	if (without)
		kp_buf_addf(&b, ": %zu module%s cannot be built", without,
			    without == 1 ? "" : "s");
	if (old)
		kp_buf_addf(&b, "%s %zu module%s cannot be rebuilt", without ? "," : ":",
			    old, old == 1 ? "" : "s");
	return kp_buf_steal(&b);
}

static void look_at_configuration(struct kp_ctx *ctx, struct kp_doctor *d)
{
	kp_strv_foreach(line, ctx->config.problems)
		kp_doctor_add(d, "configuration", kp_strdup(*line), NULL);
}

/* One finding for a kernel, whatever the number of its modules. */
static void look_at_headers(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_doctor *d)
{
	const struct kp_backend *b = ctx->backend;

	for (size_t i = 0; i < w->kernels.n; i++) {
		const struct kp_kernel *k = &w->kernels.list[i];
		size_t without = 0, old = 0;
		char *command = NULL;

		for (size_t j = 0; j < w->plan.n_rows; j++) {
			const struct kp_plan_row *row = &w->plan.rows[j];

			if (!kp_str_eq(row->kernel, k->release) ||
			    !kp_world_lacks_headers(w, row))
				continue;
			without += !row->package;
			old += row->package != NULL;
		}
		if (!without && !old)
			continue;
		if (b->ops->suggest_headers &&
		    b->ops->suggest_headers(b->db, k->release, &command, NULL) < 0)
			command = NULL;
		kp_doctor_add(d, "headers", headers_words(w, k->release, without, old),
			      command);
	}
}

/* Its tree is not merely out of reach: nobody has it. */
static bool has_no_tree(struct kp_ctx *ctx, const struct kp_world *w,
			const struct kp_plan_row *row)
{
	const struct kp_source *s =
		kp_sources_find(&w->sources, row->module, row->version);

	return s && s->missing && kp_world_has_gone(ctx, s->dir);
}

/* Installed once and not uninstalled by us: by the package manager, then. */
static char *removed_words(struct kp_ctx *ctx, const struct kp_plan_row *row)
{
	if (row->action != KP_ACTION_INSTALL || row->package ||
	    !kp_view_has(ctx, row->module, row->kernel))
		return NULL;
	return kp_strf("its package was removed and a sync brings it back; to be rid of "
		       "it: kmodpkg uninstall %s/%s -k %s",
		       row->module, row->version, row->kernel);
}

/* What a row says, behind its name; to be freed. */
static char *describe(const struct kp_plan_row *row, const char *note)
{
	_cleanup_free_ char *state = kp_strf("is %s", kp_state_name(row->state));
	const char *words = row->state == KP_STATE_ADDED    ? "is not built yet"
			    : row->state == KP_STATE_BUILT  ? "is built and not installed"
			    : row->state == KP_STATE_FAILED ? "failed"
							    : state;

	return kp_strf("%s%s%s", words, note ? ": " : "", note ? note : "");
}

static void look_at_modules(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_doctor *d)
{
	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];
		_cleanup_free_ char *name =
			kp_strf("%s/%s%s%s", row->module, row->version,
				row->kernel ? " for " : "",
				row->kernel ? row->kernel : "");
		bool bad = row->state == KP_STATE_FAILED ||
			   row->state == KP_STATE_STALE || row->state == KP_STATE_BLOCKED;
		_cleanup_free_ char *removed = removed_words(ctx, row);
		_cleanup_free_ char *words = describe(row, removed ? removed : row->note);
		char *mend = NULL;

		if (kp_world_lacks_headers(w, row) ||
		    (!bad && row->action == KP_ACTION_NONE))
			continue;
		if (row->action != KP_ACTION_NONE)
			mend = kp_strdup("kmodpkg sync");
		else if (has_no_tree(ctx, w, row))
			mend = kp_strf("kmodpkg remove %s/%s", row->module, row->version);
		else if (row->state == KP_STATE_FAILED && row->kernel && row->wanted)
			mend = kp_strf("kmodpkg log %s/%s -k %s", row->module,
				       row->version, row->kernel);
		kp_doctor_add(d, "modules", kp_strf("%s %s", name, words), mend);
	}
}

static void look_at_sources(const struct kp_world *w, struct kp_doctor *d)
{
	for (size_t i = 0; i < w->unregistered.n; i++) {
		const struct kp_source *s = &w->unregistered.list[i];

		if (s->problem)
			kp_doctor_add(d, "sources", kp_strf("%s: %s", s->dir, s->problem),
				      NULL);
		else if (kp_world_registers(w, s))
			kp_doctor_add(d, "sources",
				      kp_strf("%s is not registered yet", s->dir),
				      kp_strdup("kmodpkg sync"));
		/* What a person removed is as it should be. */
		else if (!kp_intent_removed(w->intent, s->module, s->version))
			kp_doctor_add(d, "sources",
				      kp_strf("%s is not registered, and belongs to no "
					      "package that would do it",
					      s->dir),
				      kp_strf("kmodpkg add %s/%s", s->module,
					      s->version));
	}
}

static void look_at_scripts(struct kp_ctx *ctx, const struct kp_world *w,
			    struct kp_doctor *d)
{
	char **refusals = kp_script_refusals(ctx, w);

	kp_strv_foreach(line, refusals) {
		kp_doctor_add(d, "scripts", *line, NULL);
		d->list[d->n - 1].chosen = true;
	}
	free(refusals);
}

/* Nothing can be changed until it is free, least of all where the holder is dead. */
static void look_at_lock(struct kp_ctx *ctx, struct kp_doctor *d)
{
	const struct kp_backend *b = ctx->backend;
	_cleanup_free_ char *holder = NULL;
	enum kp_lock_state state;

	if (b->ops->state(b->db, &state, &holder, NULL) == 0 && state == KP_LOCK_BUSY)
		kp_doctor_add(d, "queue",
			      kp_strf("the package database is held by %s",
				      holder ? holder : "another process"),
			      NULL);
}

static void look_at_queue(struct kp_ctx *ctx, const struct kp_world *w,
			  struct kp_doctor *d)
{
	_cleanup_strv_ char **marks = NULL;

	look_at_lock(ctx, d);
	if (w->queue.n)
		kp_doctor_add(d, "queue",
			      kp_strf("%zu package change%s for the package manager",
				      w->queue.n, w->queue.n == 1 ? " waits" : "s wait"),
			      kp_strdup("kmodpkg sync"));
	if (kp_unsettled_list(ctx, &marks, NULL) < 0)
		return;
	kp_strv_foreach(k, marks) {
		const char *due = kp_mark_text(kp_unsettled_get(ctx, *k));

		if (due)
			kp_doctor_add(d, "queue", kp_strf("kernel %s: %s", *k, due),
				      kp_strdup("kmodpkg sync"));
	}
}

int kp_doctor_look(struct kp_ctx *ctx, struct kp_doctor *ret, struct kp_err *err)
{
	_cleanup_(kp_doctor_clear) struct kp_doctor d = { 0 };
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts opts = { 0 };
	int r;

	r = kp_world_load(ctx, &opts, &w, err);
	if (r < 0)
		return r;
	look_at_configuration(ctx, &d);
	look_at_headers(ctx, &w, &d);
	look_at_modules(ctx, &w, &d);
	look_at_sources(&w, &d);
	look_at_scripts(ctx, &w, &d);
	look_at_queue(ctx, &w, &d);
	kp_doctor_files(ctx, &w, &d);
	kp_doctor_machine(ctx, &w, &d);
	*ret = d;
	d = (struct kp_doctor){ 0 };
	return 0;
}
