// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/build-graph.h"
#include "lib/forget.h"
#include "lib/install.h"
#include "lib/leftover.h"
#include "lib/register.h"
#include "lib/removal.h"
#include "lib/settle.h"
#include "lib/sync-request.h"
#include "lib/sync.h"

#define LOCK_WAIT_MS (10 * 60 * 1000) /* for another sync to commit */
#define NATIVE_WAIT_MS (60 * 1000)    /* kp_sync_opts.native_wait_ms */
#define NATIVE_STEP_MS 200
#define PRE_INSTALL_EXIT 101 /* DKMS's exit code for a PRE_INSTALL that failed */
/* Requests and changes during a run make another round; this many at most. */
#define ROUNDS 8

struct sync {
	struct kp_ctx *ctx;
	struct kp_sync_opts *opts; /* a copy */
	struct kp_sync_result *ret;
	char **tried;	 /* "M/V K key" of the builds of this run */
	char **unusable; /* trees that could not be registered */
	bool waited;	 /* the native lock was waited for long enough */
	bool counted;	 /* what is hopeless is in ret */
	size_t n_erases; /* queued in this round */
	bool erasing;	 /* this round's commit has an erase in it... */
	bool put_off;	 /* ...and left an install that may wait for it */
};

void kp_sync_result_clear(struct kp_sync_result *r)
{
	kp_strv_free(r->no_headers);
	kp_strv_free(r->failures);
	kp_strv_free(r->remembered_names);
	*r = (struct kp_sync_result){ 0 };
}

static char *row_name(const struct kp_plan_row *row)
{
	return kp_strf("%s/%s %s %s", row->module, row->version, row->kernel,
		       row->key ? row->key : "");
}

static bool is_optional(const struct sync *s, const struct kp_plan_row *row)
{
	return kp_strv_has(s->ctx->config.optional, row->module);
}

static void note_failure(struct sync *s, const struct kp_plan_row *row, const char *why)
{
	if (is_optional(s, row))
		return;
	s->ret->failed++;
	kp_strv_addf(&s->ret->failures, "%s/%s, kernel %s: %s", row->module, row->version,
		     row->kernel, why);
}

static bool to_build(struct sync *s, const struct kp_plan_row *row)
{
	_cleanup_free_ char *name = row_name(row);

	/* At boot nobody waits for a module that is there to be made better. */
	if (s->opts->last || (s->opts->boot && row->package))
		return false;
	return row->action == KP_ACTION_BUILD && !kp_strv_has(s->tried, name);
}

/* What is there as it should be is built for no other reason: somebody asked for it, and it failed. */
static bool is_forced(const struct sync *s, const struct kp_world *w,
		      const struct kp_plan_row *row)
{
	return (s->opts->force && w->input.pairs[row->pair].requested) ||
	       row->state == KP_STATE_INSTALLED || row->state == KP_STATE_QUEUED;
}

/* Build what the plan says, without any lock of ours. Count of builds, or negative. */
static int build(struct sync *s, const struct kp_world *w, struct kp_err *err)
{
	_cleanup_(kp_build_graph_clear) struct kp_build_graph g = { 0 };
	struct kp_build_opts opts = { .jobs = s->opts->jobs,
				      .progress = s->opts->progress,
				      .data = s->opts->progress_data };
	int r;

	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];

		if (!to_build(s, row))
			continue;
		kp_build_graph_add(&g, w, row, is_forced(s, w, row));
		kp_strv_take(&s->tried, row_name(row));
	}
	if (!g.n)
		return 0;
	kp_build_graph_connect(s->ctx, w, &g);
	r = kp_build_run(s->ctx, g.jobs, g.n, &opts, err);
	/* What was to be built anew was: from here on it is to be installed. */
	s->opts->force = false;
	if (r < 0)
		return r;
	for (size_t i = 0; i < g.n; i++) {
		const struct kp_build_job *job = &g.jobs[i];

		if (job->rc == 0) {
			s->ret->built++;
			s->ret->cached += job->record && job->record->cached;
		} else if (job->rc == -ENOLINK) {
			s->ret->blocked++;
		} else if (job->rc != -ESTALE) {
			note_failure(s, g.rows[i], kp_err_text(&job->err, job->rc));
		}
	}
	return (int)g.n;
}

static void tell_restored(struct sync *s, const struct kp_world *w,
			  const struct kp_plan_row *row)
{
	_cleanup_free_ char *name = row_name(row);

	/* What was built just now was not there before: the view is DKMS's own. Nor is it missing
	 * to who asks for it, or when we were about to erase it. */
	if (!row->package && !kp_strv_has(s->tried, name) &&
	    !w->input.pairs[row->pair].requested &&
	    !kp_queue_has(&w->queue, row->module, row->kernel) &&
	    kp_view_has(s->ctx, row->module, row->kernel))
		kp_info("the package of %s/%s for %s is missing, restoring it; "
			"to be rid of it: kmodpkg uninstall %s/%s -k %s",
			row->module, row->version, row->kernel, row->module, row->version,
			row->kernel);
}

/* How a change of the database is called in s->tried; to be freed. */
static char *change_name(const struct kp_plan_row *row)
{
	_cleanup_free_ char *name = row_name(row);

	return kp_strf("%s %s", kp_action_name(row->action), name);
}

/* Is this row to be changed in the database now? */
static bool is_due(const struct sync *s, const struct kp_plan_row *row)
{
	return (row->action == KP_ACTION_INSTALL && row->wanted && !s->opts->last) ||
	       (row->action == KP_ACTION_ERASE && !s->opts->no_erase);
}

/* Queue the changes of a plan of one kind. Count of changes. */
static int enqueue_kind(struct sync *s, struct kp_world *w, enum kp_action kind,
			struct kp_err *err)
{
	int n = 0, r = 0;

	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];
		_cleanup_free_ char *change = change_name(row);
		struct kp_err one = KP_ERR_INIT;

		if (row->action != kind || !is_due(s, row))
			continue;
		/* What was refused once in this run is not tried again in it. */
		if (kp_strv_has(s->tried, change))
			continue;
		if (row->action == KP_ACTION_INSTALL) {
			tell_restored(s, w, row);
			r = kp_install_row(s->ctx, w, row, &one);
		} else {
			r = kp_erase_row(s->ctx, w, row, &one);
		}
		/* The file may be that of a package that goes first: a module that another
		 * one takes the place of. */
		if (r == -EEXIST && s->erasing) {
			s->put_off = true;
			continue;
		}
		kp_strv_take(&s->tried, kp_steal(&change));
		if (kp_err_is_disk(r))
			return kp_err_set(err, r, "%s/%s, kernel %s: %s", row->module,
					  row->version, row->kernel,
					  kp_err_text(&one, r));
		if (r < 0) {
			kp_log(KP_LOG_ERR, "%s/%s for %s: %s", row->module, row->version,
			       row->kernel, kp_err_text(&one, r));
			note_failure(s, row, kp_err_text(&one, r));
			if (r == -ECHILD && !s->ret->exit_code)
				s->ret->exit_code = PRE_INSTALL_EXIT;
		} else {
			n++;
		}
	}
	return n;
}

/* Queue the changes of a plan. Erases first: where a package is upgraded in place of one for
 * an older kernel that goes by the same name, the entry that adds it drops the one that erases. */
static int enqueue(struct sync *s, struct kp_world *w, struct kp_err *err)
{
	int erased, added;

	s->put_off = false;
	erased = enqueue_kind(s, w, KP_ACTION_ERASE, err);
	s->erasing |= erased > 0;
	s->n_erases = erased > 0 ? (size_t)erased : 0;
	added = erased < 0 ? erased : enqueue_kind(s, w, KP_ACTION_INSTALL, err);
	return added < 0 ? added : erased + added;
}

/* Put in place what the database gets later, with depmod: the rest of the transaction, its
 * initramfs, has to find it. */
static int place(struct sync *s, const struct kp_world *w, struct kp_err *err)
{
	_cleanup_strv_ char **kernels = NULL;
	int r = kp_place_queue(s->ctx, w, &kernels, s->ret, err);

	kp_strv_foreach(k, kernels) {
		enum kp_mark mark = kp_unsettled_get(s->ctx, *k);

		if (r == 0 && (mark == KP_MARK_DUE || mark == KP_MARK_FAILED))
			r = kp_settle_depmod(s->ctx, *k, err);
	}
	return r;
}

static bool pending(struct sync *s, const struct kp_world *w)
{
	if (kp_forget_due(s->ctx, w))
		return true;
	for (size_t i = 0; i < w->plan.n_rows; i++)
		if (is_due(s, &w->plan.rows[i]))
			return true;
	return kp_drain_is_due(s->ctx);
}

static void pause_ms(int ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
			      .tv_nsec = (long)(ms % 1000) * 1000000L };

	nanosleep(&t, NULL);
}

/* The native lock as it is, after waiting a while for somebody else's. Our lock is not
 * held. BUSY in the end means: queue, the holder's transaction drains it. */
static int native_state(struct sync *s, enum kp_lock_state *ret, struct kp_err *err)
{
	const struct kp_pkgdb_ops *ops = s->ctx->backend->ops;
	int limit = s->opts->native_wait_ms ? s->opts->native_wait_ms : NATIVE_WAIT_MS;

	for (int waited = 0;; waited += NATIVE_STEP_MS) {
		_cleanup_free_ char *holder = NULL;
		int r = ops->state(s->ctx->backend->db, ret, &holder, err);

		if (r < 0 || *ret != KP_LOCK_BUSY || s->waited)
			return r;
		if (waited >= limit) {
			s->waited = true;
			return 0;
		}
		if (waited == 0)
			kp_info("waiting up to %d s for the package database, held by %s",
				(limit + 999) / 1000,
				holder ? holder : "another process");
		pause_ms(NATIVE_STEP_MS);
	}
}

/* Under our lock: register and unregister. */
static int update_sources(struct sync *s, struct kp_err *err)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	_cleanup_close_ int lock = -1;
	int r;

	r = kp_lock_main(s->ctx, "sync", LOCK_WAIT_MS, &lock, err);
	if (r == 0)
		r = kp_world_load(s->ctx, s->opts, &w, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < w.unregistered.n; i++)
		s->ret->registered |= kp_world_registers(&w, &w.unregistered.list[i]);
	/* The rest is another round's, whose world it is. */
	if (kp_removal_due(s->ctx, s->opts, &w))
		return kp_removal_decide(s->ctx, &w, err);
	return kp_register_update(s->ctx, &w, &s->unusable, err);
}

/* Is the initramfs somebody else's business? The transaction that was to make it may have been
 * killed: then nobody comes after us. */
static unsigned int drain_flags(const struct sync *s, enum kp_lock_state state)
{
	if (!s->opts->no_initramfs || (s->ctx->nested && state == KP_LOCK_FREE))
		return 0;
	return KP_DRAIN_NO_INITRAMFS;
}

static bool can_commit(enum kp_lock_state state)
{
	return state == KP_LOCK_FREE || state == KP_LOCK_INSIDE_CAN_COMMIT;
}

static bool has_erase(const struct kp_queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->list[i].kind == KP_CHANGE_ERASE)
			return true;
	return false;
}

static void count_queued(struct sync *s, size_t n)
{
	s->ret->queued += n;
	s->ret->queued_erases += s->n_erases;
}

/* Commit what is queued, or else have it in place. 1: it has to be tried again. */
static int commit(struct sync *s, const struct kp_world *w, enum kp_lock_state state,
		  size_t n_queued, struct kp_err *err)
{
	const struct kp_pkgdb_ops *ops = s->ctx->backend->ops;
	int r;

	if (!can_commit(state)) {
		r = place(s, w, err);
		/* Whoever held the native lock may have drained the queue and left while
		 * we filled it. */
		if (r == 0 && state == KP_LOCK_BUSY)
			r = ops->state(s->ctx->backend->db, &state, NULL, err);
		if (r < 0)
			return r;
	}
	if (!can_commit(state)) {
		count_queued(s, n_queued);
		return 0;
	}
	r = kp_drain_locked(s->ctx, drain_flags(s, state), s->opts->kernels, w, s->ret,
			    err);
	if (r == 0)
		s->ret->queued = s->ret->queued_erases = 0;
	if (r != -EBUSY)
		return r;
	/* Taken from under us. In place it is safe, whatever comes now. */
	r = place(s, w, err);
	if (r < 0)
		return r;
	count_queued(s, n_queued);
	return 1;
}

/*
 * Under our lock: plan again, queue, and commit if the native lock lets us. 1 when another
 * round is needed (something is to be built, or the native lock was taken from under us).
 */
static int change(struct sync *s, struct kp_err *err)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	_cleanup_close_ int lock = -1;
	enum kp_lock_state state;
	bool again = false;
	int n, r;

	r = native_state(s, &state, err);
	if (r == 0)
		r = kp_lock_main(s->ctx, "sync", LOCK_WAIT_MS, &lock, err);
	if (r == 0)
		r = kp_world_load(s->ctx, s->opts, &w, err);
	if (r < 0)
		return r;
	if (kp_register_due(s->ctx, &w, s->unusable))
		return 1;
	for (size_t i = 0; i < w.plan.n_rows; i++)
		again |= to_build(s, &w.plan.rows[i]);
	r = kp_forget_dead(s->ctx, &w, err);
	if (r < 0)
		return r;
	s->erasing = can_commit(state) && has_erase(&w.queue);
	n = enqueue(s, &w, err);
	if (n < 0)
		return n;
	r = commit(s, &w, state, (size_t)n, err);
	/* What was built for a kernel whose package has become another's is of no use now. */
	again |= n > 0 && can_commit(state) && kp_forget_waits(s->ctx, &w);
	return r < 0 ? r : r || again || s->put_off;
}

/* Registered, and nothing can be made of it: its tree is missing or its conf malformed. */
static bool is_unusable(const struct kp_world *w, const struct kp_plan_pair *x)
{
	return w->input.sources[x->source].missing || x->conf == KP_PLAN_CONF_BAD;
}

/* What is known to be wrong and is not tried. */
static void count_hopeless(struct sync *s, const struct kp_world *w)
{
	_cleanup_strv_ char **unusable = NULL;
	const struct kp_plan_pair *x;

	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];
		_cleanup_free_ char *name = NULL;

		if (!kp_sync_selects(s->opts, row))
			continue;
		/* Also where an older version stays. */
		if (kp_world_lacks_headers(w, row) && (!row->package || row->outdated) &&
		    !kp_strv_has(s->ret->no_headers, row->kernel))
			kp_strv_add(&s->ret->no_headers, row->kernel);
		if (is_optional(s, row) || row->action != KP_ACTION_NONE ||
		    row->pair == SIZE_MAX)
			continue;
		x = &w->input.pairs[row->pair];
		name = kp_strf("%s/%s", row->module, row->version);
		/* One that was built anew in vain is there. */
		if (row->wanted && row->state != KP_STATE_INSTALLED &&
		    row->state != KP_STATE_QUEUED && x->failed_key &&
		    kp_str_eq(x->failed_key, row->key)) {
			s->ret->remembered++;
			if (!kp_strv_has(s->ret->remembered_names, name))
				kp_strv_add(&s->ret->remembered_names, name);
		}
		/* Who asked for one source is told by the verb. */
		if (s->opts->requested || !is_unusable(w, x) ||
		    x->intent == KP_INTENT_HOLD)
			continue;
		/* One line for a source, whatever the kernels. */
		if (kp_strv_has(unusable, name))
			continue;
		kp_warn("%s: %s", name, row->note);
		kp_strv_addf(&s->ret->failures, "%s: %s", name, row->note);
		kp_strv_take(&unusable, kp_steal(&name));
		s->ret->failed++;
	}
}

/* An image is not to be changed: say so before anything is built in vain. */
static int check_writable(struct sync *s, const char *dir, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(s->ctx->root_fd, dir, O_PATH | O_DIRECTORY, 0);
	struct statvfs st;

	if (fd >= 0 && fstatvfs(fd, &st) == 0 && (st.f_flag & ST_RDONLY))
		return kp_err_set(err, -EROFS,
				  "%s is on a read-only file system, nothing is changed",
				  dir);
	return 0;
}

/* Is there anything to do about W? *ret_due: about its sources first. *ret_any: builds. */
static bool has_work(struct sync *s, const struct kp_world *w, bool *ret_due,
		     bool *ret_any)
{
	*ret_any = false;
	*ret_due = kp_register_due(s->ctx, w, s->unusable) ||
		   kp_removal_due(s->ctx, s->opts, w);
	/* Of all sources, those that are about to be registered too; once, before builds add
	 * failures that are no old ones. */
	if (!*ret_due && !s->counted) {
		count_hopeless(s, w);
		s->counted = true;
	}
	for (size_t i = 0; i < w->plan.n_rows; i++)
		*ret_any |= to_build(s, &w->plan.rows[i]);
	return *ret_due || *ret_any || (!s->opts->build_only && pending(s, w));
}

/* One pass over everything. 1: another one may find more to do. */
static int round_once(struct sync *s, struct kp_err *err)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts look = *s->opts;
	bool any, due;
	int r;

	/* Work takes all that there is to know. */
	for (look.brief = true;; look.brief = false) {
		r = kp_world_load(s->ctx, &look, &w, err);
		if (r < 0)
			return r;
		if (!has_work(s, &w, &due, &any))
			return 0;
		if (!w.memo)
			break;
		kp_world_clear(&w);
	}
	r = check_writable(s, s->ctx->state_dir, err);
	if (r == 0 && !s->opts->build_only)
		r = check_writable(s, s->ctx->install_tree, err);
	if (r < 0)
		return r;
	if (due) {
		r = update_sources(s, err);
		return r < 0 ? r : 1;
	}
	if (any) {
		r = build(s, &w, err);
		if (r < 0)
			return r;
	}
	return s->opts->build_only ? 1 : change(s, err);
}

static int rounds(struct sync *s, struct kp_err *err)
{
	for (int round = 0; round < ROUNDS; round++) {
		int r;

		kp_sync_take_request(s->ctx);
		r = round_once(s, err);
		if (r < 0)
			return r;
		if (r == 0 && !kp_sync_take_request(s->ctx))
			return 0;
	}
	kp_warn("the system kept changing; what is left is done by the next sync");
	return 0;
}

int kp_sync(struct kp_ctx *ctx, const struct kp_sync_opts *opts,
	    struct kp_sync_result *ret, struct kp_err *err)
{
	struct kp_sync_opts own = *opts;
	struct sync s = { .ctx = ctx, .opts = &own, .ret = ret };
	int r;

	*ret = (struct kp_sync_result){ 0 };
	if (kp_sync_is_nested())
		return kp_sync_request(ctx, err);
	kp_sync_enter();
	kp_leftovers_sweep(ctx);
	r = rounds(&s, err);
	kp_sync_leave();
	kp_strv_free(s.tried);
	kp_strv_free(s.unusable);
	return r;
}
