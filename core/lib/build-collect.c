// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking files out of a directory in which somebody untrusted could write. Nobody can any
 * more: the sandbox has killed all of them before it returned, so what is looked at stays.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"

/* Where a Module.symvers is looked for. */
#define DEPTH_MAX 8
#define SYMVERS_MAX 64

/* Step by step, so that it is the same without openat2(2). "a/./b" is fine, ".." is not. */
static int open_beneath(int dir_fd, const char *path)
{
	_cleanup_strv_ char **parts = kp_strv_split(path, "/");
	int at = dir_fd;

	if (!parts)
		return -EINVAL;
	kp_strv_foreach(part, parts) {
		int flags =
			part[1] ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY;
		int next = -1;

		errno = EXDEV;
		if (!kp_str_eq(*part, ".."))
			next = openat(at, *part, flags | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			next = -errno;
		if (at != dir_fd)
			close(at);
		if (next < 0)
			return next;
		at = next;
	}
	return at;
}

int kp_collect_open(int dir_fd, const char *path, struct kp_err *err)
{
	_cleanup_close_ int fd = open_beneath(dir_fd, path);
	struct stat st;

	if (fd == -ENOENT)
		return kp_err_set(err, -ENOENT, "'%s' is not there", path);
	if (fd == -ELOOP || fd == -ENOTDIR)
		return kp_err_set(err, -ELOOP, "'%s' is reached by a symbolic link",
				  path);
	if (fd == -EXDEV)
		return kp_err_set(err, -EXDEV, "'%s' leads out of the build", path);
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	if (fstat(fd, &st))
		return kp_err_sys(err, -errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return kp_err_set(err, -EINVAL, "'%s' is not a regular file", path);
	if (st.st_nlink != 1)
		return kp_err_set(err, -EMLINK, "'%s' has other names (hard links)",
				  path);
	return kp_steal_fd(&fd);
}

/* Copy an open file to TO (absolute), which is new and ours. */
static int copy_to(struct kp_ctx *ctx, int from, const char *to, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(ctx->root_fd, to, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		return kp_err_sys(err, fd, "create '%s'", to);
	return kp_copy_fd(from, fd, err);
}

static int open_dir(struct kp_ctx *ctx, const char *path, struct kp_err *err)
{
	int fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	return fd < 0 ? kp_err_sys(err, fd, "open '%s'", path) : fd;
}

static int collect(struct kp_build_work *w, int build, const struct kp_conf_module *m,
		   struct kp_err *err)
{
	_cleanup_free_ char *from = kp_strf("%s%s.ko", m->built_location, m->built_name);
	_cleanup_free_ char *to = kp_strf("%s/module/%s.ko", w->stage, m->dest_name);
	_cleanup_close_ int fd = -1;
	struct kp_err why = KP_ERR_INIT;
	int rc;

	fd = kp_collect_open(build, from, &why);
	if (fd < 0) {
		w->exit_code = KP_EXIT_NO_PRODUCT;
		w->recipe = true;
		if (fd == -ENOENT)
			return kp_err_set(err, fd,
					  "make ended without an error, but '%s' is "
					  "not there",
					  from);
		return kp_err_set(err, fd, "refused what was built: %s", why.text);
	}
	rc = copy_to(w->ctx, fd, to, err);
	if (rc < 0)
		return rc;
	w->products[w->n_products++] = (struct kp_product){ m, kp_steal(&to), false };
	return 0;
}

/* Recipes with several directories get a Module.symvers in each (or in some); modules of
 * one package may use each other's symbols. DIR_FD is taken over. */
static int collect_symvers(struct kp_build_work *w, int dir_fd, int depth,
			   struct kp_err *err)
{
	_cleanup_closedir_ DIR *dir = fdopendir(dir_fd);
	struct dirent *e;
	int rc = 0;

	if (!dir) {
		close(dir_fd);
		return kp_err_sys(err, -ENOMEM, "read the build directory");
	}
	while (!rc && (e = readdir(dir))) {
		_cleanup_free_ char *to = NULL;
		_cleanup_close_ int fd = -1;

		if (e->d_name[0] == '.')
			continue;
		if (kp_str_eq(e->d_name, "Module.symvers")) {
			fd = kp_collect_open(dirfd(dir), e->d_name, NULL);
			if (fd < 0 || kp_strv_len(w->own_symvers) >= SYMVERS_MAX)
				continue;
			to = kp_strf("%s/%zu.symvers", w->private,
				     kp_strv_len(w->own_symvers));
			rc = copy_to(w->ctx, fd, to, err);
			kp_strv_take(&w->own_symvers, kp_steal(&to));
		} else if (depth > 0) {
			int sub = openat(dirfd(dir), e->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0)
				rc = collect_symvers(w, sub, depth - 1, err);
		}
	}
	return rc;
}

/* What others may build upon, where they look for it; DKMS takes the one at the top, which not
 * every recipe makes. */
static int collect_top_symvers(struct kp_build_work *w, int build, struct kp_err *err)
{
	_cleanup_close_ int fd = kp_collect_open(build, "Module.symvers", NULL);
	_cleanup_free_ char *to = kp_path_join(w->stage, "module/Module.symvers");

	return fd < 0 ? 0 : copy_to(w->ctx, fd, to, err);
}

int kp_collect_products(struct kp_build_work *w, struct kp_err *err)
{
	const struct kp_conf *conf = w->job->conf;
	_cleanup_close_ int build = open_dir(w->ctx, w->build, err);
	int rc = build < 0 ? build : 0, top;

	w->products = kp_calloc(conf->n_modules + 1, sizeof(*w->products));
	for (size_t i = 0; !rc && i < conf->n_modules; i++)
		if (!conf->modules[i].excluded)
			rc = collect(w, build, &conf->modules[i], err);
	if (!rc)
		rc = collect_top_symvers(w, build, err);
	if (rc < 0)
		return rc;
	top = open_dir(w->ctx, w->build, err);
	return top < 0 ? top : collect_symvers(w, top, DEPTH_MAX, err);
}

int kp_collect_extra(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_close_ int fd = open_dir(w->ctx, w->out, err);
	_cleanup_strv_ char **names = NULL;
	int rc = fd < 0 ? fd : kp_list_in(w->ctx->root_fd, w->out, &names);

	kp_strv_foreach(name, names) {
		_cleanup_free_ char *to = kp_path_join(w->stage, *name);
		_cleanup_close_ int file = -1;
		struct kp_err why = KP_ERR_INIT;

		if (!kp_name_ok(*name) || **name == '.' || kp_str_eq(*name, "module") ||
		    kp_str_eq(*name, "log"))
			continue;
		file = kp_collect_open(fd, *name, &why);
		if (file < 0) {
			kp_build_log_line(&w->log, "left out: %s", why.text);
			continue;
		}
		rc = copy_to(w->ctx, file, to, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}
