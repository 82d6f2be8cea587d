// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The reconciler: load the world, plan, build, package, commit, settle, until nothing is
 * left to do.
 *
 * Every hook, the boot service and a person's verbs end here. Locks, in this order: the
 * package manager's, then ours (<run_dir>/lock). Builds run outside of ours, under a lock per pair.
 * Under ours the native lock is only tried; when it is busy, ours is released and the plan made
 * again. A mutating command below a running sync (KMODPKG_SYNC in its environment) leaves a request
 * and returns; the outer sync loops until there are none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/build.h"
#include "lib/conf.h"
#include "lib/ctx.h"
#include "lib/intent.h"
#include "lib/kernel.h"
#include "lib/plan.h"
#include "lib/queue.h"
#include "lib/record.h"
#include "lib/source.h"

/* Everything the plan is made from, loaded at one moment. */
struct kp_world {
	struct kp_sources sources;
	struct kp_kernels kernels;
	struct kp_intent *intent;
	struct kp_queue queue;
	struct kp_pkg_installed *packages;
	size_t n_packages;
	struct kp_sources unregistered; /* trees below source_tree */
	struct kp_world_pair *pairs;	/* parallel to input.pairs */
	struct kp_plan_input input;
	struct kp_plan plan;
	/* With opts->brief: of some pairs there is neither conf nor record, and what the plan knows of
	 * them is the memo's. NULL: all was loaded. */
	struct kp_pair_memo *memo;
};

struct kp_world_pair {
	struct kp_conf *conf; /* NULL: bad, problem says why */
	char *problem;
	struct kp_record *record; /* NULL: never built */
	char *key;
	char **depends; /* those of the memo */
};

struct kp_sync_opts {
	char *const *modules; /* only these ("M" or "M/V"); NULL: all */
	char *const *kernels; /* only these; NULL: all */
	bool requested;	      /* a person asked: retry failures, ignore AUTOINSTALL */
	bool force;	      /* rebuild although nothing changed */
	bool reinstall;	      /* install what is built although it is installed */
	bool anyway; /* build what lacks its BUILD_DEPENDS, install what PRE_INSTALL refuses */
	bool build_only; /* publish, do not install */
	bool dry_run;
	bool brief; /* only look at the plan: what is remembered will do (pair-memo.h) */
	int jobs;
	int native_wait_ms; /* how long another's package transaction is waited for before the
			     * changes are queued: 0: a minute, negative: not at all */
	bool no_initramfs;
	bool no_erase; /* the running transaction may be about to do it itself */
	bool last; /* we are being removed: carry out removals, build and install nothing */
	bool leave; /* KERNELS are about to go: erase what is there for them */
	bool boot;  /* build only what is not there at all (kernels: the running one) */
	kp_build_progress *progress; /* NULL: none */
	void *progress_data;
};

struct kp_sync_result {
	size_t built, installed, erased, failed, queued, blocked;
	size_t cached;		 /* of those that are built: taken from the cache */
	size_t queued_erases;	 /* of those that are queued */
	size_t remembered;	 /* failed before with the same key, not tried again */
	char **remembered_names; /* of those: "M/V", each once, vector */
	size_t settled;	 /* kernels that had depmod or initramfs due, and have not now */
	bool registered; /* a source registered itself */
	char **no_headers; /* kernels for which something selected lacks only the headers */
	int exit_code;	   /* of the first that failed, as DKMS has it; 0: it has none */
	char **failures;   /* "zfs/2.3.1, kernel 6.12.9: reason", vector */
};

/* Our lock: taken by whoever changes state, packages or intent. Waits at most TIMEOUT_MS. */
int kp_lock_main(struct kp_ctx *ctx, const char *what, int timeout_ms, int *ret_fd,
		 struct kp_err *err);

/* Load, and plan. Reads only; takes no lock; starts no process unless a conf needs the shell, or to see
 * what protects builds where one failed for which that was not all. Without
 * a backend (ctx->backend NULL) there are no packages; only build_only can be synced then. */
int kp_world_load(struct kp_ctx *ctx, const struct kp_sync_opts *opts,
		  struct kp_world *ret, struct kp_err *err);
/* Does a sync register this unregistered tree by itself? */
bool kp_world_registers(const struct kp_world *w, const struct kp_source *s);
/* Do OPTS ask for this row? */
bool kp_sync_selects(const struct kp_sync_opts *opts, const struct kp_plan_row *row);
/* Is a row's version wanted, for a kernel that has no headers? */
bool kp_world_lacks_headers(const struct kp_world *w, const struct kp_plan_row *row);
/* Is there no source tree in DIR any more, neither on disk nor in the database? */
bool kp_world_has_gone(struct kp_ctx *ctx, const char *dir);
void kp_world_clear(struct kp_world *w);

/* Below a running sync (or with our lock held by an ancestor) a mutating verb must not start: it
 * leaves a request, which the outer sync carries out before it ends. True: a request was left
 * and the verb has nothing more to do. */
bool kp_sync_is_nested(void);
/* Mark this process as a running sync for its children, and no longer. */
void kp_sync_enter(void);
void kp_sync_leave(void);
int kp_sync_request(struct kp_ctx *ctx, struct kp_err *err);

/* 0: done, though single modules may have failed (ret->failed). */
int kp_sync(struct kp_ctx *ctx, const struct kp_sync_opts *opts,
	    struct kp_sync_result *ret, struct kp_err *err);
void kp_sync_result_clear(struct kp_sync_result *r);

/* Is there anything for a drain to do? Needs no backend. */
bool kp_drain_is_due(const struct kp_ctx *ctx);
/* Commit the queue and settle; neither plans nor builds. What the end of a transaction runs. */
int kp_drain(struct kp_ctx *ctx, struct kp_err *err);
