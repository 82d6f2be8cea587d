// SPDX-License-Identifier: GPL-2.0-or-later
/* From the tree that is registered to the build directory. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"

static int count_visible(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_strv_ char **names = NULL;
	int n = 0, rc = kp_list_in(ctx->root_fd, dir, &names);

	kp_strv_foreach(name, names)
		n += **name != '.';
	return rc < 0 ? rc : n;
}

static int copy_for_recipe(struct kp_build_work *w, uid_t uid, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(w->ctx->root_fd, w->source, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", w->source);
	return kp_copy_tree(w->ctx->root_fd, w->job->source->dir, fd, uid, uid, err);
}

int kp_build_copy_source(struct kp_build_work *w, struct kp_err *err)
{
	const struct kp_source *s = w->job->source;
	int root = w->ctx->root_fd, n = count_visible(w->ctx, s->dir), rc;
	_cleanup_free_ char *over = kp_strf("/etc/dkms/%s/patches", s->module);
	_cleanup_free_ char *patches = kp_path_join(w->build, "patches");
	_cleanup_close_ int fd = -1, patches_fd = -1;
	uid_t uid = kp_sandbox_uid(w->slot);

	if (uid == geteuid())
		uid = (uid_t)-1;
	if (n < 2) {
		w->exit_code = KP_EXIT_NO_SOURCE;
		w->recipe = n >= 0;
		return n < 0 ? kp_err_sys(err, n, "read '%s'", s->dir)
			     : kp_err_set(err, -ENOENT, "'%s' holds no module source",
					  s->dir);
	}
	fd = kp_open_in(root, w->build, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", w->build);
	rc = kp_copy_tree(root, s->dir, fd, uid, uid, err);
	if (rc == 0 && w->source)
		rc = copy_for_recipe(w, uid, err);
	if (rc < 0 || !kp_is_dir_in(root, over))
		return rc;
	if (mkdirat(fd, "patches", 0755) && errno != EEXIST)
		return kp_err_sys(err, -errno, "create '%s'", patches);
	/* By name below the copy: a source may have a link there. */
	patches_fd =
		openat(fd, "patches", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (patches_fd < 0)
		return kp_err_sys(err, -errno, "open '%s'", patches);
	return kp_copy_tree(root, over, patches_fd, uid, uid, err);
}
