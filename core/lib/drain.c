// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/forget.h"
#include "lib/install.h"
#include "lib/removal.h"
#include "lib/settle.h"

/* How long the end of a transaction waits for another of our processes. */
#define DRAIN_WAIT_MS (60 * 1000)

/* What goes on while a queue is applied. */
struct drain {
	struct kp_ctx *ctx;
	const struct kp_world *world; /* of whoever has planned; NULL */
	struct kp_sync_result *ret;
	struct kp_sources sources; /* loaded for the first script without it */
	bool have_sources;
	struct kp_err late; /* the first that is told when all else is done */
};

static void keep_first(struct kp_err *first, int code, const struct kp_err *err)
{
	if (first->code) {
		kp_warn("%s", kp_err_text(err, code));
	} else {
		*first = *err;
		first->code = code;
	}
}

/* As the plan has it: another evaluation may take as long as a small build. */
static const struct kp_conf *planned_conf(const struct kp_world *w,
					  const struct kp_pkg_id *id,
					  const struct kp_source **ret_source)
{
	for (size_t i = 0; w && i < w->input.n_pairs; i++) {
		const struct kp_plan_pair *x = &w->input.pairs[i];
		const struct kp_source *s = &w->sources.list[x->source];

		if (!kp_str_eq(s->module, id->module) ||
		    !kp_str_eq(s->version, id->version) ||
		    !kp_str_eq(w->kernels.list[x->kernel].release, id->kernel))
			continue;
		*ret_source = s;
		return w->pairs[i].conf;
	}
	return NULL;
}

static int load_and_run(struct drain *d, const struct kp_pkg_id *id,
			enum kp_conf_script which, struct kp_err *err)
{
	_cleanup_free_ char *dir =
		kp_strf("%s/%s-%s", d->ctx->source_tree, id->module, id->version);
	/* What a person removed is unregistered first, and its tree stays. */
	struct kp_source removed = {
		.module = id->module,
		.version = id->version,
		.dir = dir,
		.missing = kp_world_has_gone(d->ctx, dir),
	};
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = { .module = id->module,
				   .version = id->version,
				   .kernelver = id->kernel,
				   .arch = id->arch };
	struct kp_source *s;
	int r;

	if (!d->have_sources && kp_sources_load(d->ctx, &d->sources, NULL) < 0)
		return 0;
	d->have_sources = true;
	s = kp_sources_find(&d->sources, id->module, id->version);
	if (!s)
		s = &removed;
	if (s->missing)
		return 0;
	env.source_dir = s->dir;
	r = kp_conf_load(d->ctx, &env, &conf, err);
	return r < 0 ? r : kp_script_run(d->ctx, s, conf, which, id->kernel, NULL, err);
}

static void run_script(struct drain *d, const struct kp_pkg_id *id,
		       enum kp_conf_script which)
{
	const struct kp_source *s = NULL;
	const struct kp_conf *conf = planned_conf(d->world, id, &s);
	struct kp_err err = KP_ERR_INIT;
	int r;

	r = conf ? kp_script_run(d->ctx, s, conf, which, id->kernel, NULL, &err)
		 : load_and_run(d, id, which, &err);
	/* The modules are in place, or gone, whatever the script says. */
	if (r < 0)
		kp_warn("%s/%s, kernel %s: %s", id->module, id->version, id->kernel,
			kp_err_text(&err, r));
}

/* Something odd in its place is told of, and stays. What may pass is an error: the change's entry
 * stays, and the next run sets the view. */
static int set_view(struct kp_ctx *ctx, const struct kp_pkg_id *id, const char *version,
		    struct kp_err *err)
{
	struct kp_err own = KP_ERR_INIT;
	int r = kp_view_set(ctx, id->module, id->kernel, version, &own);

	if (r == -EISDIR || r == -ENOTDIR || r == -EEXIST || r == -ENOTEMPTY ||
	    r == -EPERM) {
		kp_warn("%s", kp_err_text(&own, r));
		return 0;
	}
	return r < 0 ? kp_err_set(err, r, "%s", kp_err_text(&own, r)) : 0;
}

static int added(struct drain *d, const struct kp_queue_entry *e, struct kp_err *err)
{
	int r;

	kp_place_sweep(d->ctx, e->paths);
	r = set_view(d->ctx, &e->id, e->id.version, err);
	if (r < 0)
		return r;
	kp_info("installed %s/%s for %s (package %s)", e->id.module, e->id.version,
		e->id.kernel, e->name);
	run_script(d, &e->id, KP_SCRIPT_POST_INSTALL);
	d->ret->installed++;
	return 0;
}

static int erased(struct drain *d, const struct kp_queue_entry *e, struct kp_err *err)
{
	int r = set_view(d->ctx, &e->id, NULL, err);

	if (r < 0)
		return r;
	kp_place_remove(d->ctx, &e->id, e->paths);
	if (!kp_kernel_is_present(d->ctx, e->id.kernel))
		kp_forget_build(d->ctx, e->id.module, e->id.version, e->id.kernel);
	kp_info("removed %s%s%s", e->name, e->reason ? ": " : "",
		e->reason ? e->reason : "");
	run_script(d, &e->id, KP_SCRIPT_POST_REMOVE);
	d->ret->erased++;
	return 0;
}

/* The view after a change that was refused: what the database has. */
static int show_installed(struct kp_ctx *ctx, const struct kp_pkg_id *id,
			  struct kp_err *err)
{
	struct kp_pkg_installed *list = NULL;
	const char *version = NULL;
	size_t n = 0;
	int r = kp_backend_list(ctx, &list, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (kp_str_eq(list[i].id.module, id->module) &&
		    kp_str_eq(list[i].id.kernel, id->kernel))
			version = list[i].id.version;
	r = set_view(ctx, id, version, err);
	kp_pkg_list_free(list, n);
	return r;
}

static int refused(struct drain *d, const struct kp_queue_entry *e, const char *why,
		   struct kp_err *err)
{
	int r;

	kp_log(KP_LOG_ERR, "%s: %s", e->name, why);
	kp_strv_addf(&d->ret->failures, "%s/%s, kernel %s: %s", e->id.module,
		     e->id.version, e->id.kernel, why);
	d->ret->failed++;
	if (e->kind != KP_CHANGE_ADD)
		return 0;
	/* The package would have changed nothing, its removal does; and an initramfs may have been made
	 * with what was placed. */
	r = kp_unsettled_keep(d->ctx, e->id.kernel, e->paths, err);
	if (r < 0)
		return r;
	kp_place_remove(d->ctx, &e->id, e->paths);
	return show_installed(d->ctx, &e->id, err);
}

static void tell_native(struct kp_ctx *ctx, char *const *names)
{
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (!names || !ctx->backend->ops->settle)
		return;
	r = ctx->backend->ops->settle(ctx->backend->db, (const char *const *)names,
				      kp_strv_len(names), &err);
	if (r < 0)
		kp_warn("%s", kp_err_text(&err, r));
}

static int finish_one(struct drain *d, const struct kp_queue_entry *e,
		      const struct kp_change *c, struct kp_err *err)
{
	int r;

	if (c->result == KP_CHANGE_FAILED)
		r = refused(d, e, kp_err_text(&c->err, -EIO), err);
	else if (e->kind == KP_CHANGE_ADD)
		r = added(d, e, err);
	else
		r = erased(d, e, err);
	return r < 0 ? r : kp_queue_drop(d->ctx, e, err);
}

/* After each change that is finished its entry goes. One that cannot be finished leaves the others,
 * and what is done for kernels, as they would be without it: d->late. */
static void finish(struct drain *d, const struct kp_queue *q, struct kp_change *changes)
{
	_cleanup_strv_ char **names = NULL;

	for (size_t i = 0; i < q->n; i++) {
		const struct kp_queue_entry *e = &q->list[i];
		struct kp_err err = KP_ERR_INIT;
		int r;

		if (changes[i].result == KP_CHANGE_PENDING)
			continue;
		r = finish_one(d, e, &changes[i], &err);
		if (r < 0)
			keep_first(&d->late, r, &err);
		if (changes[i].result == KP_CHANGE_DONE && e->kind == KP_CHANGE_ADD)
			kp_strv_add(&names, e->name);
	}
	tell_native(d->ctx, names);
}

/* Has whoever placed E's files left nothing to the commit, of PATHS that it changes? */
static bool is_placed(struct kp_ctx *ctx, const struct kp_queue_entry *e,
		      char *const *paths)
{
	kp_strv_foreach(path, paths)
		if (!kp_strv_has(e->paths, *path) && kp_exists_in(ctx->root_fd, *path))
			return false;
	return kp_place_is_done(ctx, e);
}

/* An entry whose kernel was settled since it was written, or in part, with other changes, is to be
 * marked again. A mark that is due keeps its time: an initramfs made since has what was
 * placed, unless whoever was to place it was killed, or something is erased only now. LIST:
 * the packages that are there. */
static int mark_again(struct kp_ctx *ctx, const struct kp_queue_entry *e,
		      const struct kp_pkg_installed *list, size_t n, struct kp_err *err)
{
	_cleanup_strv_ char **paths = kp_place_changes(list, n, e);
	const char *kernel = e->id.kernel;
	bool leave = kp_unsettled_names(ctx, kernel, paths);

	switch (kp_unsettled_get(ctx, kernel)) {
	case KP_MARK_NONE:
		leave = kp_place_is_as_it_was(ctx, list, n, e);
		break;
	case KP_MARK_DUE:
		leave = leave && (!kp_unsettled_is_overtaken(ctx, kernel) ||
				  is_placed(ctx, e, paths));
		break;
	/* What depmod has seen, and the commit leaves as it is, it need not see again. */
	case KP_MARK_INITRAMFS:
		leave = leave && is_placed(ctx, e, paths);
		break;
	case KP_MARK_FAILED:
		leave = false;
		break;
	}
	return leave ? 0 : kp_unsettled_mark(ctx, kernel, paths, err);
}

static int mark_all_again(struct kp_ctx *ctx, const struct kp_queue *q,
			  struct kp_err *err)
{
	struct kp_pkg_installed *list = NULL;
	size_t n = 0;
	int r = kp_backend_list(ctx, &list, &n, err);

	for (size_t i = 0; r == 0 && i < q->n; i++)
		r = mark_again(ctx, &q->list[i], list, n, err);
	kp_pkg_list_free(list, n);
	return r;
}

/* With a source's last package goes what is remembered of its removal. */
static int forget_removed(struct kp_ctx *ctx, struct kp_err *err)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;
	struct kp_pkg_installed *list = NULL;
	const char *module, *version;
	size_t n = 0;
	int r = kp_intent_load(ctx, &in, err);

	if (r < 0 || !kp_intent_nth_removed(in, 0, &module, &version))
		return r;
	r = kp_backend_list(ctx, &list, &n, err);
	if (r == 0)
		r = kp_removal_sweep(ctx, in, list, n, err);
	kp_pkg_list_free(list, n);
	return r;
}

static int apply(struct kp_ctx *ctx, const struct kp_queue *q,
		 const struct kp_world *world, struct kp_sync_result *ret,
		 struct kp_err *late, struct kp_err *err)
{
	struct drain d = { .ctx = ctx, .world = world, .ret = ret };
	struct kp_change *changes = kp_calloc(q->n, sizeof(*changes));
	int r;

	for (size_t i = 0; i < q->n; i++) {
		changes[i].kind = q->list[i].kind;
		changes[i].file = q->list[i].file;
		changes[i].name = q->list[i].name;
	}
	r = mark_all_again(ctx, q, err);
	if (r == 0)
		r = ctx->backend->ops->commit(ctx->backend->db, changes, q->n, err);
	if (r == 0)
		finish(&d, q, changes);
	if (r == 0 && ret->erased)
		r = forget_removed(ctx, err);
	*late = d.late;
	kp_sources_clear(&d.sources);
	free(changes);
	return r;
}

static enum kp_settle_initramfs whose_initramfs(const struct kp_ctx *ctx,
						unsigned int flags, char *const *kernels,
						const char *kernel)
{
	if (!(flags & KP_DRAIN_NO_INITRAMFS))
		return KP_INITRAMFS_NOW;
	/* The transaction around us makes it, and its end looks whether it has; that of a kernel which is
	 * none of ours was due before. */
	return ctx->nested || (kernels && !kp_strv_has(kernels, kernel))
		       ? KP_INITRAMFS_LATER
		       : KP_INITRAMFS_NEVER;
}

int kp_drain_locked(struct kp_ctx *ctx, unsigned int flags, char *const *kernels,
		    const struct kp_world *w, struct kp_sync_result *ret,
		    struct kp_err *err)
{
	_cleanup_(kp_queue_clear) struct kp_queue q = { 0 };
	struct kp_sync_result own = { 0 };
	_cleanup_strv_ char **marked = NULL;
	struct kp_err late = KP_ERR_INIT;
	int r;

	r = kp_queue_load(ctx, &q, err);
	if (r == 0 && q.n)
		r = apply(ctx, &q, w, ret ? ret : &own, &late, err);
	if (r == 0)
		r = kp_queue_sweep(ctx, err);
	if (r == 0)
		r = kp_unsettled_sweep(ctx, err);
	kp_sync_result_clear(&own);
	if (r < 0)
		return r;
	r = kp_unsettled_list(ctx, &marked, err);
	if (r < 0)
		return r;
	kp_strv_foreach(k, marked) {
		struct kp_err serr = KP_ERR_INIT;
		int s;

		if ((flags & KP_DRAIN_ONCE) &&
		    kp_unsettled_get(ctx, *k) == KP_MARK_FAILED)
			continue;
		s = kp_settle(ctx, *k, whose_initramfs(ctx, flags, kernels, *k), &serr);
		if (s < 0)
			keep_first(&late, s, &serr);
		else if (ret)
			ret->settled += kp_unsettled_get(ctx, *k) == KP_MARK_NONE;
	}
	return late.code ? kp_err_set(err, late.code, "%s", late.text) : 0;
}

static bool has_state(const struct kp_ctx *ctx, const char *name)
{
	_cleanup_free_ char *path = kp_path_join(ctx->state_dir, name);

	return kp_exists_in(ctx->root_fd, path);
}

bool kp_drain_is_due(const struct kp_ctx *ctx)
{
	/* Both are there only while there is something to do, if only to sweep up. */
	return has_state(ctx, "queue") || has_state(ctx, "unsettled");
}

int kp_drain(struct kp_ctx *ctx, struct kp_err *err)
{
	_cleanup_close_ int lock = -1;
	struct kp_err busy = KP_ERR_INIT;
	enum kp_lock_state state;
	int r;

	/* A nested transaction of a running sync ends here too; that sync drains. */
	if (kp_sync_is_nested())
		return 0;
	r = ctx->backend->ops->state(ctx->backend->db, &state, NULL, err);
	if (r < 0)
		return r;
	if (state == KP_LOCK_INSIDE_MUST_DEFER)
		return 0;
	r = kp_lock_main(ctx, "drain", DRAIN_WAIT_MS, &lock, &busy);
	if (r == -EBUSY) {
		kp_info("%s; the queue stays for the next run", busy.text);
		return 0;
	}
	if (r < 0)
		return kp_err_set(err, r, "%s", busy.text);
	kp_sync_enter();
	/* This comes after every call of the package manager: a full /boot is to be told of once, and tried
	 * again by a sync. */
	r = kp_drain_locked(ctx, KP_DRAIN_ONCE, NULL, NULL, NULL, err);
	kp_sync_leave();
	if (r == -EBUSY) {
		/* Another package manager came in between: the end of its transaction
		 * drains the queue. */
		kp_info("the package database is in use; the queue stays for the next run");
		return 0;
	}
	return r;
}
