// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/removal.h"

static bool transaction_is_over(struct kp_ctx *ctx, const struct kp_sync_opts *opts)
{
	const struct kp_backend *b = ctx->backend;
	enum kp_lock_state state;

	if (opts->no_erase || opts->build_only)
		return false;
	if (!opts->modules && !opts->kernels)
		return true;
	return b->ops->state(b->db, &state, NULL, NULL) == 0 && state == KP_LOCK_FREE;
}

/* A tombstone keeps a tree from registering itself, and has packages erased. Without tree and
 * packages it would only be in the way of a later installation. */
static bool is_outlived(struct kp_ctx *ctx, const struct kp_pkg_installed *packages,
			size_t n, const char *module, const char *version)
{
	_cleanup_free_ char *dir = kp_strf("%s/%s-%s", ctx->source_tree, module, version);
	_cleanup_free_ char *link =
		kp_strf("%s/%s/%s/source", ctx->dkms_tree, module, version);
	struct stat st;

	if (kp_lstat_in(ctx->root_fd, link, &st) != -ENOENT ||
	    !kp_world_has_gone(ctx, dir))
		return false;
	for (size_t i = 0; i < n; i++)
		if (kp_str_eq(packages[i].id.module, module) &&
		    kp_str_eq(packages[i].id.version, version))
			return false;
	return true;
}

bool kp_removal_due(struct kp_ctx *ctx, const struct kp_sync_opts *opts,
		    const struct kp_world *w)
{
	const char *module, *version, *kernel;
	enum kp_intent_kind kind;

	if (kp_intent_pending(w->intent, 0, &module, &version, &kernel, &kind))
		return transaction_is_over(ctx, opts);
	for (size_t i = 0; kp_intent_nth_removed(w->intent, i, &module, &version); i++)
		if (is_outlived(ctx, w->packages, w->n_packages, module, version))
			return transaction_is_over(ctx, opts);
	return false;
}

bool kp_removal_is_pending(struct kp_ctx *ctx)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;
	const char *module, *version, *kernel;
	enum kp_intent_kind kind;

	return kp_intent_load(ctx, &in, NULL) == 0 &&
	       kp_intent_pending(in, 0, &module, &version, &kernel, &kind);
}

bool kp_removal_has_builds(struct kp_ctx *ctx, const char *module, const char *version)
{
	_cleanup_strv_ char **built = kp_record_kernels(ctx, module, version);

	kp_strv_foreach(kernel, built) {
		_cleanup_free_ char *dir = kp_record_dir(ctx, module, version, *kernel);

		if (kp_is_dir_in(ctx->root_fd, dir))
			return true;
	}
	return false;
}

/* Is there a version of MODULE that is registered, or about to be: what its package was upgraded
 * to? */
static bool has_version(const struct kp_world *w, const struct kp_intent *in,
			const char *module)
{
	for (size_t i = 0; i < w->sources.n; i++)
		if (kp_str_eq(w->sources.list[i].module, module) &&
		    !kp_intent_removed(in, module, w->sources.list[i].version))
			return true;
	for (size_t i = 0; i < w->unregistered.n; i++)
		if (kp_str_eq(w->unregistered.list[i].module, module) &&
		    kp_world_registers(w, &w->unregistered.list[i]))
			return true;
	return false;
}

void kp_removal_note(const struct kp_world *w, struct kp_intent *in, const char *module,
		     const char *version)
{
	kp_intent_forget(in, module, version);
	kp_intent_set_removed(in, module, version, true);
	if (!has_version(w, in, module))
		kp_intent_forget(in, module, "");
}

struct removal {
	char *module, *version, *kernel; /* kernel "": the whole source */
	enum kp_intent_kind kind;
};

static void removal_clear(struct removal *r)
{
	free(r->module);
	free(r->version);
	free(r->kernel);
}

/* As change.c of the command has it: what is intended first, so that nothing comes back by
 * itself after a crash in between. */
static int remove_source(struct kp_ctx *ctx, const struct kp_world *w,
			 const struct removal *r, struct kp_err *err)
{
	struct kp_intent *in = w->intent;
	int rc;

	kp_removal_note(w, in, r->module, r->version);
	rc = kp_intent_save(ctx, in, err);
	if (rc < 0)
		return rc;
	kp_info("unregistered %s/%s, whose package is gone", r->module, r->version);
	return kp_source_unregister(ctx, r->module, r->version, err);
}

static int remove_kernel(struct kp_ctx *ctx, const struct kp_world *w,
			 const struct removal *r, struct kp_err *err)
{
	struct kp_intent *in = w->intent;
	int rc;

	kp_intent_set(in, r->module, r->version, r->kernel, KP_INTENT_HOLD);
	rc = kp_intent_save(ctx, in, err);
	if (rc < 0 || r->kind == KP_INTENT_UNINSTALL)
		return rc;
	rc = kp_record_drop(ctx, r->module, r->version, r->kernel, err);
	/* With its last build the source goes, as dkms remove has it. */
	if (rc < 0 || kp_removal_has_builds(ctx, r->module, r->version))
		return rc;
	return remove_source(ctx, w, r, err);
}

static int decide(struct kp_ctx *ctx, const struct kp_world *w, const struct removal *r,
		  struct kp_err *err)
{
	const struct kp_source *s = kp_sources_find(&w->sources, r->module, r->version);
	struct kp_intent *in = w->intent;
	int rc = 0;

	if (s && s->package)
		kp_debug("%s/%s stays: package %s has it", r->module, r->version,
			 s->package);
	else if (*r->kernel)
		rc = remove_kernel(ctx, w, r, err);
	else
		rc = remove_source(ctx, w, r, err);
	if (rc < 0)
		return rc;
	kp_intent_set_pending(in, r->module, r->version, r->kernel, KP_INTENT_NONE);
	return kp_intent_save(ctx, in, err);
}

int kp_removal_sweep(struct kp_ctx *ctx, struct kp_intent *in,
		     const struct kp_pkg_installed *packages, size_t n,
		     struct kp_err *err)
{
	const char *module, *version;
	bool any = false;

	for (size_t i = 0; kp_intent_nth_removed(in, i, &module, &version);) {
		if (is_outlived(ctx, packages, n, module, version)) {
			kp_intent_set_removed(in, module, version, false);
			any = true;
		} else {
			i++;
		}
	}
	return any ? kp_intent_save(ctx, in, err) : 0;
}

int kp_removal_decide(struct kp_ctx *ctx, const struct kp_world *w, struct kp_err *err)
{
	const char *module, *version, *kernel;
	enum kp_intent_kind kind;
	int rc = 0;

	while (rc == 0 &&
	       kp_intent_pending(w->intent, 0, &module, &version, &kernel, &kind)) {
		_cleanup_(removal_clear) struct removal r = {
			.module = kp_strdup(module),
			.version = kp_strdup(version),
			.kernel = kp_strdup(kernel),
			.kind = kind,
		};

		rc = decide(ctx, w, &r, err);
	}
	if (rc < 0)
		return rc;
	return kp_removal_sweep(ctx, w->intent, w->packages, w->n_packages, err);
}
