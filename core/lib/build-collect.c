// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking files out of a directory in which somebody untrusted could write. Nobody can any
 * more: the sandbox has killed all of them before it returned, so what is looked at stays.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"

/* Where a Module.symvers is looked for. */
#define DEPTH_MAX 8
#define SYMVERS_MAX 64

#define EXTRA_MAX 1000 /* files in K/ARCH */

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

static int open_dir(struct kp_ctx *ctx, const char *path, struct kp_err *err)
{
	int fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	return fd < 0 ? kp_err_sys(err, fd, "open '%s'", path) : fd;
}

#define MIB (1ULL << 20)

/* What is to be taken: found and measured before the first file is copied. What a build wrote was
 * counted by blocks, a copy is as large as the file says: holes are none in it. */
struct taking {
	struct kp_build_work *w;
	int dir;	  /* open, not ours */
	const char *into; /* absolute */
	char **from;	  /* below dir */
	char **to;	  /* absolute, of each */
	uint64_t size;
};

static void taking_clear(struct taking *t)
{
	kp_strv_free(t->from);
	kp_strv_free(t->to);
}

/* As kp_collect_open(). */
static int find(struct taking *t, const char *from, const char *name, struct kp_err *err)
{
	_cleanup_close_ int fd = kp_collect_open(t->dir, from, err);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return kp_err_sys(err, -errno, "stat '%s'", from);
	kp_strv_add(&t->from, from);
	kp_strv_take(&t->to, kp_path_join(t->into, name));
	if (__builtin_add_overflow(t->size, (uint64_t)st.st_size, &t->size))
		t->size = UINT64_MAX;
	return 0;
}

/* Within limit_disk, with what was taken before, and where it goes with room beside it. */
static int check_size(const struct taking *t, struct kp_err *err)
{
	const struct kp_limits *limits = &t->w->ctx->config.limits;
	_cleanup_close_ int fd = -1;
	uint64_t left, keep;
	struct statvfs st;

	if (limits->disk &&
	    (t->w->taken > limits->disk || t->size > limits->disk - t->w->taken))
		return kp_limit_met(limits, KP_LIMIT_DISK, err);
	fd = open_dir(t->w->ctx, t->into, err);
	if (fd < 0)
		return fd;
	if (fstatvfs(fd, &st))
		return kp_err_sys(err, -errno, "look at the disk of '%s'", t->into);
	left = (uint64_t)st.f_bavail * st.f_frsize;
	keep = limits->keep_free < left / 2 ? limits->keep_free : left / 2;
	if (t->size <= left - keep)
		return 0;
	return kp_err_set(err, -ENOSPC,
			  "what was built is %llu MiB, and %llu MiB are left on the disk "
			  "of '%s'; make room there%s",
			  (unsigned long long)((t->size + MIB - 1) / MIB),
			  (unsigned long long)(left / MIB), t->w->ctx->dkms_tree,
			  t->size > left ? ""
					 : ", or lower keep_free in " KP_SYSCONF_DIR
					   "/kmodpkg/kmodpkg.conf");
}

static int copy(const struct taking *t, size_t i, struct kp_err *err)
{
	_cleanup_close_ int in = kp_collect_open(t->dir, t->from[i], err), out = -1;

	if (in < 0)
		return in;
	out = kp_open_in(t->w->ctx->root_fd, t->to[i], O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (out < 0)
		return kp_err_sys(err, out, "create '%s'", t->to[i]);
	return kp_copy_fd(in, out, err);
}

static int take(const struct taking *t, struct kp_err *err)
{
	int rc = check_size(t, err);

	for (size_t i = 0; !rc && t->from && t->from[i]; i++)
		rc = kp_build_go_on(t->w, err) ?: copy(t, i, err);
	t->w->taken += t->size;
	return rc;
}

/* ---- products ---- */

static int find_module(struct taking *t, const struct kp_conf_module *m,
		       struct kp_err *err)
{
	_cleanup_free_ char *from = kp_strf("%s%s.ko", m->built_location, m->built_name);
	_cleanup_free_ char *name = kp_strf("%s.ko", m->dest_name);
	struct kp_build_work *w = t->w;
	struct kp_err why = KP_ERR_INIT;
	int rc = find(t, from, name, &why);

	if (!rc) {
		w->products[w->n_products++] =
			(struct kp_product){ m, kp_path_join(t->into, name), false };
		return 0;
	}
	w->exit_code = KP_EXIT_NO_PRODUCT;
	w->recipe = true;
	if (rc == -ENOENT)
		return kp_err_set(err, rc,
				  "make ended without an error, but '%s' is not there",
				  from);
	return kp_err_set(err, rc, "refused what was built: %s", why.text);
}

static int take_modules(struct kp_build_work *w, int build, struct kp_err *err)
{
	const struct kp_conf *conf = w->job->conf;
	_cleanup_free_ char *into = kp_path_join(w->stage, "module");
	_cleanup_(taking_clear) struct taking t = { .w = w, .dir = build, .into = into };
	int rc = 0;

	w->products = kp_calloc(conf->n_modules + 1, sizeof(*w->products));
	for (size_t i = 0; !rc && i < conf->n_modules; i++)
		if (!conf->modules[i].excluded)
			rc = find_module(&t, &conf->modules[i], err);
	/* What others may build upon, where they look for it; DKMS takes the one at the top,
	 * which not every recipe makes. */
	if (!rc)
		(void)find(&t, "Module.symvers", "Module.symvers", NULL);
	return rc ?: take(&t, err);
}

/* Recipes with several directories get a Module.symvers in each (or in some); modules of
 * one package may use each other's symbols. DIR_FD, of AT, is taken over. */
static int find_symvers(struct taking *t, int dir_fd, const char *at, int depth,
			struct kp_err *err)
{
	_cleanup_closedir_ DIR *dir = fdopendir(dir_fd);
	struct dirent *e;
	int rc;

	if (!dir) {
		close(dir_fd);
		return kp_err_sys(err, -ENOMEM, "read the build directory");
	}
	rc = kp_build_go_on(t->w, err);
	while (!rc && (e = readdir(dir))) {
		_cleanup_free_ char *path = kp_path_join(at, e->d_name);
		size_t n = kp_strv_len(t->from);

		if (e->d_name[0] == '.')
			continue;
		if (kp_str_eq(e->d_name, "Module.symvers")) {
			_cleanup_free_ char *name = kp_strf("%zu.symvers", n);

			if (n < SYMVERS_MAX)
				(void)find(t, path, name, NULL);
		} else if (depth > 0) {
			int sub = openat(dirfd(dir), e->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0)
				rc = find_symvers(t, sub, path, depth - 1, err);
		}
	}
	return rc;
}

static int take_symvers(struct kp_build_work *w, int build, struct kp_err *err)
{
	_cleanup_(taking_clear) struct taking t = { .w = w,
						    .dir = build,
						    .into = w->private };
	int top = open_dir(w->ctx, w->build, err), rc;

	rc = top < 0 ? top : find_symvers(&t, top, ".", DEPTH_MAX, err);
	if (!rc)
		rc = take(&t, err);
	w->own_symvers = kp_steal(&t.to);
	return rc;
}

int kp_collect_products(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_close_ int build = open_dir(w->ctx, w->build, err);
	int rc = build < 0 ? build : take_modules(w, build, err);

	return rc ?: take_symvers(w, build, err);
}

/* ---- what else there is ---- */

static int find_extra(struct taking *t, struct kp_err *err)
{
	_cleanup_closedir_ DIR *dir =
		fdopendir(openat(t->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;
	size_t n = 0;

	if (!dir)
		return kp_err_sys(err, -errno, "read '%s'", t->w->out);
	while ((e = readdir(dir))) {
		struct kp_err why = KP_ERR_INIT;

		if (!kp_name_ok(e->d_name) || e->d_name[0] == '.' ||
		    kp_str_eq(e->d_name, "module") || kp_str_eq(e->d_name, "log"))
			continue;
		if (++n > EXTRA_MAX) {
			t->w->recipe = true;
			return kp_err_set(err, -E2BIG,
					  "it left more than %d files in '%s'", EXTRA_MAX,
					  t->w->seen_out);
		}
		if (find(t, e->d_name, e->d_name, &why) < 0)
			kp_build_log_line(&t->w->log, "left out: %s", why.text);
	}
	return 0;
}

int kp_collect_extra(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_close_ int out = open_dir(w->ctx, w->out, err);
	_cleanup_(
		taking_clear) struct taking t = { .w = w, .dir = out, .into = w->stage };
	int rc = out < 0 ? out : find_extra(&t, err);

	return rc ?: take(&t, err);
}
