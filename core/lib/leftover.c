// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "lib/leftover.h"

/* Nobody works that long on one: the pid is another process's. */
#define MAX_AGE_S 3600

bool kp_is_leftover(struct kp_ctx *ctx, const char *path, const char *pid)
{
	long n = strtol(pid, NULL, 10);
	struct timespec now;
	struct stat st;

	if (n <= 0 || n > INT32_MAX || (kill((pid_t)n, 0) < 0 && errno == ESRCH))
		return true;
	clock_gettime(CLOCK_REALTIME, &now);
	return kp_lstat_in(ctx->root_fd, path, &st) == 0 &&
	       st.st_mtime < now.tv_sec - MAX_AGE_S;
}

/* The pid in the name of a temporary file, or of a build's stage; NULL: it is neither. */
static const char *pid_of(const struct kp_ctx *ctx, const char *name)
{
	_cleanup_free_ char *stage = kp_strf(".tmp_%s_", ctx->arch);
	const char *prefix = kp_str_starts(name, stage) ? stage : KP_TEMP_PREFIX;

	if (!kp_str_starts(name, prefix))
		return NULL;
	name += strlen(prefix);
	return *name >= '1' && *name <= '9' ? name : NULL;
}

/* DIR, and DEPTH levels below it. */
static void sweep(struct kp_ctx *ctx, const char *dir, int depth)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		const char *pid = pid_of(ctx, *name);
		struct stat st;

		if (pid && kp_is_leftover(ctx, path, pid))
			(void)kp_rm_rf_in(ctx->root_fd, path, NULL);
		else if (!pid && depth && kp_lstat_in(ctx->root_fd, path, &st) == 0 &&
			 S_ISDIR(st.st_mode))
			sweep(ctx, path, depth - 1);
	}
}

/* They are called MODULE-VERSION-KERNEL-ARCH, and the lock of the build without the last. */
static void sweep_work(struct kp_ctx *ctx)
{
	_cleanup_free_ char *end = kp_strf("-%s", ctx->arch);
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, ctx->work_dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(ctx->work_dir, *name);
		_cleanup_free_ char *lock = NULL;
		_cleanup_close_ int fd = -1;

		if (!kp_str_ends(*name, end))
			continue;
		(*name)[strlen(*name) - strlen(end)] = '\0';
		lock = kp_strf("%s/build/%s.lock", ctx->run_dir, *name);
		if (kp_lock_take(ctx->root_fd, lock, "cleaning up", KP_LOCK_TRY, &fd,
				 NULL) == 0)
			(void)kp_rm_rf_in(ctx->root_fd, path, NULL);
	}
}

void kp_leftovers_sweep(struct kp_ctx *ctx)
{
	sweep(ctx, ctx->run_dir, 0);
	sweep(ctx, ctx->state_dir, 0);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = { "builds", "registered", "trees" };
		_cleanup_free_ char *dir = kp_path_join(ctx->state_dir, names[i]);

		sweep(ctx, dir, 2);
	}
	sweep(ctx, ctx->log_dir, 2);
	/* MODULE/VERSION/KERNEL */
	sweep(ctx, ctx->dkms_tree, 3);
	sweep_work(ctx);
}
