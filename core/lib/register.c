// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/register.h"

/* Who owned a source that registered itself: below what is remembered of its builds, which
 * kp_source_unregister() removes. */
static char *owner_file(struct kp_ctx *ctx, const struct kp_source *s)
{
	return kp_strf("%s/builds/%s/%s/source-package", ctx->state_dir, s->module,
		       s->version);
}

static bool came(const struct kp_world *w, const struct kp_source *s, char *const *failed)
{
	return kp_world_registers(w, s) && !kp_strv_has(failed, s->dir);
}

/* Was there once a package that owned the source? We remember it, or a package that we made of
 * it does. */
static bool had_owner(struct kp_ctx *ctx, const struct kp_world *w,
		      const struct kp_source *s)
{
	_cleanup_free_ char *file = owner_file(ctx, s);

	for (size_t i = 0; i < w->input.n_packages; i++) {
		const struct kp_plan_package *pkg = &w->input.packages[i];

		if (pkg->source_gone && kp_str_eq(pkg->module, s->module) &&
		    kp_str_eq(pkg->version, s->version))
			return true;
	}
	return kp_exists_in(ctx->root_fd, file);
}

/* A source that registered itself, and whose tree went together with its package. */
static bool went(struct kp_ctx *ctx, const struct kp_world *w, const struct kp_source *s,
		 char *const *failed)
{
	return s->missing && !s->package && !kp_strv_has(failed, s->dir) &&
	       kp_world_has_gone(ctx, s->dir) && had_owner(ctx, w, s);
}

bool kp_register_due(struct kp_ctx *ctx, const struct kp_world *w, char *const *failed)
{
	for (size_t i = 0; i < w->unregistered.n; i++)
		if (came(w, &w->unregistered.list[i], failed))
			return true;
	for (size_t i = 0; i < w->sources.n; i++)
		if (went(ctx, w, &w->sources.list[i], failed))
			return true;
	return false;
}

static int add(struct kp_ctx *ctx, const struct kp_source *s, struct kp_err *err)
{
	_cleanup_free_ char *file = owner_file(ctx, s), *dir = kp_path_dir(file);
	int r;

	r = kp_mkdir_in(ctx->root_fd, dir, 0755, err);
	if (r == 0)
		r = kp_write_in(ctx->root_fd, file, s->package, strlen(s->package), 0644,
				err);
	if (r == 0)
		r = kp_source_register(ctx, s->module, s->version, s->dir, err);
	if (r == 0)
		kp_info("registered %s/%s (package %s)", s->module, s->version,
			s->package);
	return r;
}

static int drop(struct kp_ctx *ctx, const struct kp_source *s, struct kp_err *err)
{
	kp_info("%s/%s is gone with its package", s->module, s->version);
	return kp_source_unregister(ctx, s->module, s->version, err);
}

static int try_one(struct kp_ctx *ctx, const struct kp_source *s,
		   int (*change)(struct kp_ctx *ctx, const struct kp_source *s,
				 struct kp_err *err),
		   char ***failed, struct kp_err *err)
{
	struct kp_err one = KP_ERR_INIT;
	int r = change(ctx, s, &one);

	if (kp_err_is_disk(r))
		return kp_err_set(err, r, "%s/%s: %s", s->module, s->version,
				  kp_err_text(&one, r));
	if (r < 0) {
		kp_warn("%s/%s: %s, skipping this source", s->module, s->version,
			kp_err_text(&one, r));
		kp_strv_add(failed, s->dir);
	}
	return 0;
}

int kp_register_update(struct kp_ctx *ctx, const struct kp_world *w, char ***failed,
		       struct kp_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->unregistered.n; i++)
		if (came(w, &w->unregistered.list[i], *failed))
			r = try_one(ctx, &w->unregistered.list[i], add, failed, err);
	for (size_t i = 0; r == 0 && i < w->sources.n; i++)
		if (went(ctx, w, &w->sources.list[i], *failed))
			r = try_one(ctx, &w->sources.list[i], drop, failed, err);
	return r;
}
