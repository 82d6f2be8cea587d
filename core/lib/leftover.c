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

/* The number that NAME has behind PREFIX; NULL: it has none. */
static const char *number_of(const char *name, const char *prefix)
{
	if (!kp_str_starts(name, prefix))
		return NULL;
	name += strlen(prefix);
	return *name >= '1' && *name <= '9' ? name : NULL;
}

/* PATH belongs to the build of PAIR, "MODULE-VERSION-KERNEL": whoever works on that has its lock,
 * for however long. */
static void remove_of_pair(struct kp_ctx *ctx, const char *pair, const char *path)
{
	_cleanup_free_ char *lock = kp_strf("%s/build/%s.lock", ctx->run_dir, pair);
	_cleanup_close_ int fd = -1;

	if (kp_lock_take(ctx->root_fd, lock, "cleaning up", KP_LOCK_TRY, &fd, NULL) == 0)
		(void)kp_rm_rf_in(ctx->root_fd, path, NULL);
}

/* DIR, and DEPTH levels below it. */
static void sweep(struct kp_ctx *ctx, const char *dir, int depth)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		const char *pid = number_of(*name, KP_TEMP_PREFIX);
		struct stat st;

		if (pid && kp_is_leftover(ctx, path, pid))
			(void)kp_rm_rf_in(ctx->root_fd, path, NULL);
		else if (!pid && depth && kp_lstat_in(ctx->root_fd, path, &st) == 0 &&
			 S_ISDIR(st.st_mode))
			sweep(ctx, path, depth - 1);
	}
}

/* PAIR: what led from the tree to DIR, joined by "-"; DEPTH levels are missing to a kernel's
 * directory, where stages of builds are. */
static void sweep_stages(struct kp_ctx *ctx, const char *dir, const char *pair, int depth)
{
	_cleanup_free_ char *stage = kp_strf(".tmp_%s_", ctx->arch);
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		_cleanup_free_ char *below =
			*pair ? kp_strf("%s-%s", pair, *name) : kp_strdup(*name);
		struct stat st;

		if (!depth && number_of(*name, stage))
			remove_of_pair(ctx, pair, path);
		else if (depth && kp_lstat_in(ctx->root_fd, path, &st) == 0 &&
			 S_ISDIR(st.st_mode))
			sweep_stages(ctx, path, below, depth - 1);
	}
}

/* They are called MODULE-VERSION-KERNEL-ARCH. */
static void sweep_work(struct kp_ctx *ctx)
{
	_cleanup_free_ char *end = kp_strf("-%s", ctx->arch);
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, ctx->work_dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(ctx->work_dir, *name);

		if (!kp_str_ends(*name, end))
			continue;
		(*name)[strlen(*name) - strlen(end)] = '\0';
		remove_of_pair(ctx, *name, path);
	}
}

void kp_leftovers_sweep(struct kp_ctx *ctx)
{
	sweep(ctx, ctx->run_dir, 0);
	sweep(ctx, ctx->state_dir, 0);
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = { "builds", "probes", "registered",
						     "trees" };
		_cleanup_free_ char *dir = kp_path_join(ctx->state_dir, names[i]);

		sweep(ctx, dir, 2);
	}
	sweep(ctx, ctx->log_dir, 2);
	/* MODULE/VERSION/KERNEL */
	sweep(ctx, ctx->dkms_tree, 3);
	sweep_stages(ctx, ctx->dkms_tree, "", 3);
	sweep_work(ctx);
}
