// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Find, load and check the one backend of a root.
 *
 * Chosen once: the configuration's, else the one whose database owns that system's kernels, else
 * the one os-release suggests, else the only one there is; then recorded in
 * <state_dir>/backend. A backend that is not on disk is skipped; a broken one is an error
 * that names the file. The three names stand in backend.c, nowhere else in core.
 */
#pragma once

#include <kmodpkg/pkgdb.h>

#include "lib/ctx.h"

struct kp_backend {
	const struct kp_pkgdb_ops *ops;
	struct kp_pkgdb *db;
	void *handle;
	struct kp_owner_memo *memo; /* owner-memo.h; NULL until it is asked */
};

/* Set ctx->backend. Plugin directory: $KMODPKG_PLUGIN_DIR if set and we are not set-id, else
 * the compiled-in one. With RECORD the choice is written down. -ENOENT: none found. */
int kp_backend_open(struct kp_ctx *ctx, bool record, struct kp_err *err);
void kp_backend_close(struct kp_ctx *ctx);
/* Is NAME the backend of this root? For the glue of a manager: a hook of one that is not
 * chosen exits silently. */
bool kp_backend_is(const struct kp_ctx *ctx, const char *name);

/* The packages of ours that are in the database: ops->list(), without those that are not what
 * they say they are (a warning each). *ret is to be released by kp_pkg_list_free(); without a backend
 * there are none. */
int kp_backend_list(const struct kp_ctx *ctx, struct kp_pkg_installed **ret,
		    size_t *ret_n, struct kp_err *err);

/* Ask who owns each of PATHS, in one query. *ret has an element for each, to be released by
 * kp_owners_free(); without a backend nobody owns anything. Names are the array's: whoever wants
 * one beyond it takes it by kp_steal(). */
int kp_backend_owners(const struct kp_ctx *ctx, char *const *paths, struct kp_owner **ret,
		      struct kp_err *err);
