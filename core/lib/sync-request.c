// SPDX-License-Identifier: GPL-2.0-or-later
/* Our lock, and how a process learns that it runs below a sync. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/sync.h"
#include "lib/sync-request.h"

#define GUARD "KMODPKG_SYNC"

static char *request_path(struct kp_ctx *ctx)
{
	return kp_path_join(ctx->run_dir, "request");
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/stat", (int)pid), *text = NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p;
	size_t len;

	if (fd < 0 || kp_read_fd(fd, 4096, &text, &len) < 0)
		return -1;
	/* The name in parentheses may hold anything. */
	p = strrchr(text, ')');
	return p && strlen(p) > 4 ? (pid_t)strtol(p + 4, NULL, 10) : -1;
}

bool kp_sync_is_nested(void)
{
	const char *guard = getenv(GUARD);
	pid_t outer = guard ? (pid_t)strtol(guard, NULL, 10) : 0;
	pid_t pid = getpid();

	if (outer <= 1 || outer == pid)
		return false;
	/* A daemon that was started below a sync keeps the variable: only an ancestor
	 * counts. Without /proc, one that lives has to do. */
	for (int depth = 0; depth < 64; depth++) {
		pid = parent_of(pid);
		if (pid == outer)
			return true;
		if (pid < 0)
			return depth == 0 && kill(outer, 0) == 0;
		if (pid <= 1)
			return false;
	}
	return false;
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
