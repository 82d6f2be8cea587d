// SPDX-License-Identifier: GPL-2.0-or-later
/* Answers of the backend's owner(), remembered over processes. Only for backend.c. */
#pragma once

#include <stdbool.h>

#include <kmodpkg/pkgdb.h>

#include "lib/ctx.h"

struct kp_owner_memo;

/* What is known of the database as it looks now, by *ret_stamp (to be freed). *ret_fresh: it changed so
 * recently that nothing may be added. NULL: the backend cannot say how it looks. */
struct kp_owner_memo *kp_owner_memo_get(const struct kp_ctx *ctx, char **ret_stamp,
					bool *ret_fresh);
/* How the database looks, to be freed; NULL: the backend cannot say. *RET_FRESH: it may look the same with another
 * content. */
char *kp_owner_memo_stamp(const struct kp_ctx *ctx, bool *ret_fresh);
/* False: not known. M may be NULL. *ret is to be cleared. */
bool kp_owner_memo_find(const struct kp_owner_memo *m, const char *path,
			struct kp_owner *ret);
void kp_owner_memo_add(struct kp_owner_memo *m, const char *path,
		       const struct kp_owner *owner);
/* Write what was added, if this process may, and release all. */
void kp_owner_memo_close(const struct kp_ctx *ctx);
