// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a build leaves in the system's temporary directories, where it has none of its own. It is removed
 * by its own user: these directories are sticky, so nothing else can be hit, wherever a link
 * leads.
 */
#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox.h"
#include "lib/sandbox-means.h"

static void remove_own(int root_fd, const char *dir, uid_t uid)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		struct stat st;

		if (!kp_lstat_in(root_fd, path, &st) && st.st_uid == uid)
			(void)kp_rm_rf_in(root_fd, path, NULL);
	}
}

void kp_sandbox_sweep(struct kp_ctx *ctx, unsigned int slot)
{
	static const char *const dirs[] = { "/tmp", "/var/tmp", "/dev/shm" };
	uid_t uid = kp_sandbox_uid(slot);
	pid_t pid;

	if (kp_sandbox_has_mounts() || !kp_sandbox_has_own_user())
		return;
	pid = fork();
	if (pid == 0) {
		if (kp_means_set_ids(uid, uid))
			_exit(1);
		for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++)
			remove_own(ctx->root_fd, dirs[i], uid);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
