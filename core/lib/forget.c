// SPDX-License-Identifier: GPL-2.0-or-later
#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/forget.h"
#include "lib/install.h"
#include "lib/settle.h"

void kp_forget_build(struct kp_ctx *ctx, const char *module, const char *version,
		     const char *kernel)
{
	_cleanup_free_ char *log = NULL, *dir = NULL, *parent = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	/* The record goes last, or nobody would find the rest of what a crash leaves. */
	log = kp_build_log_path(ctx, module, version, kernel);
	kp_unlink_in(ctx->root_fd, log);
	dir = kp_path_dir(log);
	kp_rmdir_in(ctx->root_fd, dir);
	parent = kp_path_dir(dir);
	kp_rmdir_in(ctx->root_fd, parent);
	r = kp_record_drop(ctx, module, version, kernel, &err);
	if (r < 0)
		kp_warn("%s", kp_err_text(&err, r));
}

/* VERSION NULL: any. */
static bool has_package(const struct kp_world *w, const char *module, const char *version,
			const char *kernel)
{
	for (size_t i = 0; i < w->input.n_packages; i++) {
		const struct kp_plan_package *p = &w->input.packages[i];

		if (kp_str_eq(p->module, module) && kp_str_eq(p->kernel, kernel) &&
		    (!version || kp_str_eq(p->version, version)))
			return true;
	}
	return false;
}

/* Has the kernel gone, for what was built or pinned for it? */
static bool is_gone(const struct kp_world *w, const struct kp_kernel *k,
		    const char *module, const char *version)
{
	if (!k || k->present || k->in_database)
		return false;
	return !k->headers ||
	       (kp_intent_get(w->intent, module, version, k->release) == KP_INTENT_PIN &&
		!kp_intent_headers_only(w->intent, module, version, k->release));
}

/* The kernels that are gone and have builds of S, a string vector. */
static char **dead_of(struct kp_ctx *ctx, const struct kp_world *w,
		      const struct kp_source *s)
{
	_cleanup_strv_ char **built = kp_record_kernels(ctx, s->module, s->version);
	char **dead = NULL;

	kp_strv_foreach(name, built) {
		const struct kp_kernel *k = kp_kernels_find(&w->kernels, *name);

		if (is_gone(w, k, s->module, s->version) &&
		    !has_package(w, s->module, s->version, *name))
			kp_strv_add(&dead, *name);
	}
	return dead;
}

/* What depmod wrote for a kernel that is gone. There are package managers' hooks that call it
 * for every release they are told of, also where nothing of ours ever was; nobody else takes
 * it away. */
static bool has_litter(const struct kp_ctx *ctx, const struct kp_kernel *k)
{
	_cleanup_free_ char *dep = kp_path_join(k->moddir, "modules.dep");

	/* Not k->present: of a kernel that another has replaced it is false. */
	return !k->in_database && !k->headers && kp_exists_in(ctx->root_fd, dep) &&
	       !kp_kernel_is_present(ctx, k->release);
}

/* The pins that the kernels which are there, and are not, make others. */
struct pins {
	struct kp_ctx *ctx;
	const struct kp_world *w;
	struct kp_intent *in; /* to be changed, NULL: only look */
	bool any;
};

static void review_pin(const char *module, const char *version, const char *kernel,
		       enum kp_intent_kind kind, void *data)
{
	struct pins *p = data;
	const struct kp_kernel *k = kp_kernels_find(&p->w->kernels, kernel);

	if (kind != KP_INTENT_PIN)
		return;
	/* Still on disk: it is about to go, and may yet stay. */
	if (is_gone(p->w, k, module, version) && !kp_kernel_is_present(p->ctx, kernel)) {
		p->any = true;
		if (p->in)
			kp_intent_set(p->in, module, version, kernel, KP_INTENT_NONE);
	} else if (k && k->present &&
		   kp_intent_headers_only(p->w->intent, module, version, kernel)) {
		p->any = true;
		if (p->in)
			kp_intent_set_headers_only(p->in, module, version, kernel, false);
	}
}

static int review_pins(struct kp_ctx *ctx, const struct kp_world *w, struct kp_err *err)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;
	struct pins p = { .ctx = ctx, .w = w };
	int r = kp_intent_load(ctx, &in, err);

	p.in = in;
	if (r == 0)
		kp_intent_foreach(w->intent, review_pin, &p);
	return r == 0 && p.any ? kp_intent_save(ctx, in, err) : r;
}

bool kp_forget_waits(struct kp_ctx *ctx, const struct kp_world *w)
{
	for (size_t i = 0; i < w->sources.n; i++) {
		const struct kp_source *s = &w->sources.list[i];
		_cleanup_strv_ char **built =
			kp_record_kernels(ctx, s->module, s->version);

		kp_strv_foreach(name, built)
			if (is_gone(w, kp_kernels_find(&w->kernels, *name), s->module,
				    s->version) &&
			    has_package(w, s->module, s->version, *name))
				return true;
	}
	return false;
}

bool kp_forget_due(struct kp_ctx *ctx, const struct kp_world *w)
{
	struct pins pins = { .ctx = ctx, .w = w };

	kp_intent_foreach(w->intent, review_pin, &pins);
	if (pins.any)
		return true;
	for (size_t i = 0; i < w->kernels.n; i++)
		if (has_litter(ctx, &w->kernels.list[i]))
			return true;
	for (size_t i = 0; i < w->sources.n; i++) {
		_cleanup_strv_ char **dead = dead_of(ctx, w, &w->sources.list[i]);

		if (dead)
			return true;
	}
	return false;
}

static int mark_litter(struct kp_ctx *ctx, const struct kp_world *w, struct kp_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->kernels.n; i++)
		if (has_litter(ctx, &w->kernels.list[i]))
			r = kp_unsettled_mark(ctx, w->kernels.list[i].release, NULL, err);
	return r;
}

int kp_forget_dead(struct kp_ctx *ctx, const struct kp_world *w, struct kp_err *err)
{
	int r;

	for (size_t i = 0; i < w->sources.n; i++) {
		const struct kp_source *s = &w->sources.list[i];
		_cleanup_strv_ char **dead = dead_of(ctx, w, s);

		kp_strv_foreach(kernel, dead) {
			r = kp_unsettled_mark(ctx, *kernel, NULL, err);
			if (r == 0 && !has_package(w, s->module, NULL, *kernel))
				r = kp_view_set(ctx, s->module, *kernel, NULL, err);
			if (r < 0)
				return r;
			kp_forget_build(ctx, s->module, s->version, *kernel);
		}
	}
	r = mark_litter(ctx, w, err);
	return r < 0 ? r : review_pins(ctx, w, err);
}
