// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/install.h"
#include "lib/settle.h"

/* How long the end of a transaction waits for another of our processes. */
#define DRAIN_WAIT_MS (60 * 1000)

/* Files that we placed and that the database will not get now must not stay behind. */
static void remove_unowned(struct kp_ctx *ctx, char *const *paths)
{
	size_t n = kp_strv_len(paths);
	struct kp_owner *owners = kp_calloc(n, sizeof(*owners));
	int r;

	r = n ? ctx->backend->ops->owner(ctx->backend->db, (const char *const *)paths, n,
					 owners, NULL)
	      : 0;
	for (size_t i = 0; i < n; i++) {
		if (r == 0 && !owners[i].package)
			kp_unlink_in(ctx->root_fd, paths[i]);
		free(owners[i].package);
		free(owners[i].version);
		free(owners[i].path);
	}
	free(owners);
}

static void run_script(struct kp_ctx *ctx, const struct kp_pkg_id *id,
		       enum kp_conf_script which)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_err err = KP_ERR_INIT;
	struct kp_source *s;
	int r;

	if (kp_sources_load(ctx, &sources, NULL) < 0)
		return;
	s = kp_sources_find(&sources, id->module, id->version);
	if (!s || s->missing)
		return;
	r = kp_conf_load(ctx,
			 &(struct kp_conf_env){ .module = id->module,
						.version = id->version,
						.kernelver = id->kernel,
						.arch = id->arch,
						.source_dir = s->dir },
			 &conf, &err);
	if (r == 0)
		r = kp_script_run(ctx, s, conf, which, id->kernel, &err);
	/* The modules are in place, or gone, whatever the script says. */
	if (r < 0)
		kp_warn("%s", kp_err_text(&err, r));
}

static void added(struct kp_ctx *ctx, const struct kp_queue_entry *e,
		  struct kp_sync_result *ret)
{
	struct kp_err err = KP_ERR_INIT;
	int r = kp_view_set(ctx, e->id.module, e->id.kernel, e->id.version, &err);

	if (r < 0)
		kp_warn("%s", kp_err_text(&err, r));
	kp_info("installed %s/%s for %s (package %s)", e->id.module, e->id.version,
		e->id.kernel, e->name);
	run_script(ctx, &e->id, KP_SCRIPT_POST_INSTALL);
	ret->installed++;
}

/* Of a kernel that is gone nothing is kept: build, record, log. */
static void forget_dead(struct kp_ctx *ctx, const struct kp_pkg_id *id)
{
	_cleanup_free_ char *log = NULL, *dir = NULL, *parent = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (kp_kernel_is_present(ctx, id->kernel))
		return;
	r = kp_record_drop(ctx, id->module, id->version, id->kernel, &err);
	if (r < 0)
		kp_warn("%s", kp_err_text(&err, r));
	log = kp_build_log_path(ctx, id->module, id->version, id->kernel);
	kp_unlink_in(ctx->root_fd, log);
	dir = kp_path_dir(log);
	kp_rmdir_in(ctx->root_fd, dir);
	parent = kp_path_dir(dir);
	kp_rmdir_in(ctx->root_fd, parent);
}

static void erased(struct kp_ctx *ctx, const struct kp_queue_entry *e,
		   struct kp_sync_result *ret)
{
	struct kp_err err = KP_ERR_INIT;
	int r = kp_view_set(ctx, e->id.module, e->id.kernel, NULL, &err);

	if (r < 0)
		kp_warn("%s", kp_err_text(&err, r));
	remove_unowned(ctx, e->paths);
	forget_dead(ctx, &e->id);
	kp_info("removed %s%s%s", e->name, e->reason ? ": " : "",
		e->reason ? e->reason : "");
	run_script(ctx, &e->id, KP_SCRIPT_POST_REMOVE);
	ret->erased++;
}

static int apply(struct kp_ctx *ctx, const struct kp_queue *q, struct kp_sync_result *ret,
		 struct kp_err *err)
{
	struct kp_change *changes = kp_calloc(q->n, sizeof(*changes));
	_cleanup_strv_ char **names = NULL;
	int r;

	for (size_t i = 0; i < q->n; i++) {
		changes[i].kind = q->list[i].kind;
		changes[i].file = q->list[i].file;
		changes[i].name = q->list[i].name;
	}
	r = ctx->backend->ops->commit(ctx->backend->db, changes, q->n, err);
	for (size_t i = 0; r == 0 && i < q->n; i++) {
		const struct kp_queue_entry *e = &q->list[i];

		if (changes[i].result == KP_CHANGE_PENDING)
			continue;
		if (changes[i].result == KP_CHANGE_FAILED) {
			const char *why = kp_err_text(&changes[i].err, -EIO);

			kp_log(KP_LOG_ERR, "%s: %s", e->name, why);
			kp_strv_addf(&ret->failures, "%s/%s, kernel %s: %s", e->id.module,
				     e->id.version, e->id.kernel, why);
			ret->failed++;
			if (e->kind == KP_CHANGE_ADD)
				remove_unowned(ctx, e->paths);
		} else if (e->kind == KP_CHANGE_ADD) {
			added(ctx, e, ret);
			kp_strv_add(&names, e->name);
		} else {
			erased(ctx, e, ret);
		}
		r = kp_queue_drop(ctx, e, err);
	}
	free(changes);
	if (r == 0 && names && ctx->backend->ops->settle) {
		struct kp_err serr = KP_ERR_INIT;
		int s = ctx->backend->ops->settle(ctx->backend->db,
						  (const char *const *)names,
						  kp_strv_len(names), &serr);

		if (s < 0)
			kp_warn("%s", kp_err_text(&serr, s));
	}
	return r;
}

int kp_drain_locked(struct kp_ctx *ctx, struct kp_sync_result *ret, bool no_initramfs,
		    struct kp_err *err)
{
	_cleanup_(kp_queue_clear) struct kp_queue q = { 0 };
	struct kp_sync_result own = { 0 };
	_cleanup_strv_ char **marked = NULL;
	bool refresh = ctx->config.initramfs;
	int r;

	r = kp_queue_load(ctx, &q, err);
	if (r == 0 && q.n)
		r = apply(ctx, &q, ret ? ret : &own, err);
	if (r == 0)
		r = kp_queue_sweep(ctx, err);
	kp_sync_result_clear(&own);
	if (r < 0)
		return r;
	r = kp_unsettled_list(ctx, &marked, err);
	if (r < 0)
		return r;
	ctx->config.initramfs = refresh && !no_initramfs;
	kp_strv_foreach(k, marked) {
		struct kp_err serr = KP_ERR_INIT;
		int s = kp_settle(ctx, *k, &serr);

		if (s < 0 && r == 0) {
			r = s;
			if (err)
				*err = serr;
		} else if (s < 0) {
			kp_warn("%s", kp_err_text(&serr, s));
		}
	}
	ctx->config.initramfs = refresh;
	return r;
}

int kp_drain(struct kp_ctx *ctx, struct kp_err *err)
{
	_cleanup_close_ int lock = -1;
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
	r = kp_lock_main(ctx, "drain", DRAIN_WAIT_MS, &lock, err);
	if (r < 0)
		return r;
	kp_sync_enter();
	r = kp_drain_locked(ctx, NULL, false, err);
	kp_sync_leave();
	if (r == -EBUSY) {
		/* Another package manager came in between: the end of its transaction
		 * drains the queue. */
		kp_info("the package database is in use; the queue stays for the next run");
		return 0;
	}
	return r;
}
