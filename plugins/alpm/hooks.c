// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does pacman run our hooks? As alpm-hooks(5) says: those of the system's directory and of the
 * HookDirs; of several with the same name the one of the last directory, and none if that is a
 * link to /dev/null. Files: hooks/alpm.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

/* Of libalpm itself, before all HookDirs. */
#define SYSTEM_DIR "/usr/share/libalpm/hooks"

struct hook {
	const char *name;
	const char *otherwise; /* what it is like without it */
};

static void check_hook(struct kp_pkgdb *db, char *const *dirs, const struct hook *hook,
		       void (*emit)(void *data, const char *what, const char *mend),
		       void *data)
{
	_cleanup_free_ char *last = NULL, *target = NULL, *what = NULL, *mend = NULL;

	kp_strv_foreach(dir, dirs) {
		_cleanup_free_ char *path = kp_path_join(*dir, hook->name);
		struct stat st;

		if (kp_lstat_in(db->root_fd, path, &st) < 0)
			continue;
		free(last);
		last = kp_steal(&path);
	}
	if (!last) {
		what = kp_strf("pacman has no hook %s: %s", hook->name, hook->otherwise);
		emit(data, what, "pacman -S kmodpkg");
	} else if (kp_readlink_in(db->root_fd, last, &target) == 0 &&
		   !strcmp(target, "/dev/null")) {
		what = kp_strf("%s switches the hook off: %s", last, hook->otherwise);
		mend = kp_strf("rm %s", last);
		emit(data, what, mend);
	}
}

int kp_alpm_check_hooks(struct kp_pkgdb *db,
			void (*emit)(void *data, const char *what, const char *mend),
			void *data, struct kp_err *err)
{
	static const struct hook hooks[] = {
		{ "70-kmodpkg.hook", "kernels, headers and sources that are installed go "
				     "unnoticed" },
		{ "91-kmodpkg-drain.hook",
		  "what a transaction leaves unfinished waits for the next sync" },
	};
	_cleanup_(kp_pacman_conf_clear) struct kp_pacman_conf conf = { 0 };
	_cleanup_strv_ char **dirs = NULL;

	(void)err;
	kp_pacman_conf_load(db->root_fd, &conf);
	kp_strv_add(&dirs, SYSTEM_DIR);
	kp_strv_foreach(dir, conf.hookdirs)
		kp_strv_add(&dirs, *dir);
	for (size_t i = 0; i < KP_ARRAY_SIZE(hooks); i++)
		check_hook(db, dirs, &hooks[i], emit, data);
	return 0;
}
