// SPDX-License-Identifier: GPL-2.0-or-later
/* Our lock, and how a process learns that it runs below a sync. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/sync-request.h"
#include "lib/sync.h"

#define GUARD "KMODPKG_SYNC"

static char *request_path(struct kp_ctx *ctx)
{
	return kp_path_join(ctx->run_dir, "request");
}

bool kp_sync_is_nested(void)
{
	const char *guard = getenv(GUARD);
	long outer = guard ? strtol(guard, NULL, 10) : 0;
	int r;

	if (outer <= 1 || outer > INT_MAX || outer == getpid())
		return false;
	/* A daemon that was started below a sync keeps the variable: only an ancestor
	 * counts. Without /proc, one that lives has to do. */
	r = kp_proc_is_ancestor((pid_t)outer);
	return r < 0 ? kill((pid_t)outer, 0) == 0 : r;
}

void kp_sync_enter(void)
{
	_cleanup_free_ char *pid = kp_strf("%d", (int)getpid());

	setenv(GUARD, pid, 1);
}

void kp_sync_leave(void)
{
	unsetenv(GUARD);
}

int kp_sync_request(struct kp_ctx *ctx, struct kp_err *err)
{
	_cleanup_free_ char *path = request_path(ctx);
	int r = kp_mkdir_in(ctx->root_fd, ctx->run_dir, 0755, err);

	return r < 0 ? r : kp_write_in(ctx->root_fd, path, "sync\n", 5, 0644, err);
}

bool kp_sync_take_request(struct kp_ctx *ctx)
{
	_cleanup_free_ char *path = request_path(ctx);

	if (!kp_exists_in(ctx->root_fd, path))
		return false;
	kp_unlink_in(ctx->root_fd, path);
	return true;
}

int kp_lock_main(struct kp_ctx *ctx, const char *what, int timeout_ms, int *ret_fd,
		 struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(ctx->run_dir, "lock");

	/* The sync above us holds it while we run, and waits for us. */
	if (kp_sync_is_nested()) {
		*ret_fd = -1;
		return 0;
	}
	return kp_lock_take(ctx->root_fd, path, what, timeout_ms, ret_fd, err);
}
