// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/tar.h"
#include "lib/archive-parts.h"
#include "lib/tool.h"

#define BLOCK 65536
#define DEPTH_MAX 100

bool kp_archive_link_stays(const char *at, const char *text)
{
	unsigned int slashes = 0;

	for (; *at; at++)
		slashes += *at == '/';
	return slashes && kp_link_stays(slashes - 1, text);
}

struct kp_archive {
	FILE *out;
};

void kp_archive_free(struct kp_archive *a)
{
	if (!a)
		return;
	fclose(a->out);
	free(a);
}

int kp_archive_new(int fd, struct kp_archive **ret, struct kp_err *err)
{
	_cleanup_close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	FILE *out = own < 0 ? NULL : fdopen(own, "w");

	if (!out)
		return kp_err_sys(err, -errno, "write an archive");
	kp_steal_fd(&own);
	*ret = kp_calloc(1, sizeof(**ret));
	(*ret)->out = out;
	return 0;
}

static int put(void *a, const void *p, size_t len, struct kp_err *err)
{
	struct kp_archive *archive = a;

	return fwrite(p, 1, len, archive->out) == len
		       ? 0
		       : kp_err_sys(err, -errno, "write an archive");
}

static int put_head(struct kp_archive *a, const char *at, const struct stat *st,
		    const char *text, struct kp_err *err)
{
	return kp_tar_head(put, a, at, (st->st_mode & S_IFMT) | (st->st_mode & 0755),
			   S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
			   st->st_mtim.tv_sec, text, err);
}

static int add_file(struct kp_archive *a, int root_fd, const char *path, const char *at,
		    struct kp_err *err)
{
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	_cleanup_free_ char *block = kp_malloc(BLOCK);
	struct stat st;
	off_t left;
	ssize_t n;
	int r;

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return kp_err_sys(err, -errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return 0;
	r = put_head(a, at, &st, NULL, err);
	for (left = st.st_size; !r && left; left -= n) {
		n = read(fd, block, left < BLOCK ? (size_t)left : BLOCK);
		if (n <= 0)
			return kp_err_sys(err, n < 0 ? -errno : -EIO, "read '%s'", path);
		r = put(a, block, (size_t)n, err);
	}
	return r ? r : kp_tar_pad(put, a, (uint64_t)st.st_size, err);
}

/* A link that leads out of its tree. */
static int add_foreign(struct kp_archive *a, int root_fd, const char *path,
		       const char *at, const char *follow, struct kp_err *err)
{
	_cleanup_free_ char *real = NULL;
	size_t len = follow ? strlen(follow) : 0;
	int r = kp_realpath_in(root_fd, path, &real);

	if (r == -ENOENT)
		return 0; /* a link to nothing is nothing */
	if (r == 0 && follow && kp_str_starts(real, follow) && real[len] == '/')
		return add_file(a, root_fd, real, at, err);
	kp_warn("%s: a link that leads out of its tree is left out", path);
	return 0;
}

/* INSIDE: AT without the top of the tree that is added, for links. */
static int add(struct kp_archive *a, int root_fd, const char *path, const char *at,
	       const char *inside, int depth, const char *follow, struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	int r;

	r = depth ? kp_lstat_in(root_fd, path, &st) : kp_stat_in(root_fd, path, &st);
	if (r < 0)
		return kp_err_sys(err, r, "stat '%s'", path);
	if (depth > DEPTH_MAX)
		return kp_err_set(err, -ELOOP, "'%s' is too deep", path);
	if (S_ISLNK(st.st_mode)) {
		r = kp_readlink_in(root_fd, path, &text);
		if (r < 0)
			return kp_err_sys(err, r, "read the link '%s'", path);
		if (kp_archive_link_stays(inside, text))
			return put_head(a, at, &st, text, err);
		return add_foreign(a, root_fd, path, at, follow, err);
	}
	if (S_ISREG(st.st_mode))
		return add_file(a, root_fd, path, at, err);
	if (!S_ISDIR(st.st_mode))
		return 0;
	r = put_head(a, at, &st, NULL, err);
	if (r < 0)
		return r;
	r = kp_list_in(root_fd, path, &names);
	if (r < 0)
		return kp_err_sys(err, r, "list '%s'", path);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *below = kp_path_join(path, *name);
		_cleanup_free_ char *to = kp_path_join(at, *name);
		_cleanup_free_ char *rest = kp_strf("%s/%s", inside, *name);

		r = add(a, root_fd, below, to, rest, depth + 1, follow, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int kp_archive_add(struct kp_archive *a, int root_fd, const char *path, const char *at,
		   const char *follow, struct kp_err *err)
{
	return add(a, root_fd, path, at, "", 0, follow, err);
}

int kp_archive_add_dir(struct kp_archive *a, const char *at, struct kp_err *err)
{
	const struct stat st = { .st_mode = S_IFDIR | 0755 };

	return put_head(a, at, &st, NULL, err);
}

int kp_archive_add_text(struct kp_archive *a, const char *at, const char *text,
			struct kp_err *err)
{
	const struct stat st = { .st_mode = S_IFREG | 0644,
				 .st_size = (off_t)strlen(text) };
	int r = put_head(a, at, &st, NULL, err);

	if (!r)
		r = put(a, text, strlen(text), err);
	return r ? r : kp_tar_pad(put, a, strlen(text), err);
}

int kp_archive_end(struct kp_archive *a, struct kp_err *err)
{
	int r = kp_tar_end(put, a, err);

	if (!r && fflush(a->out))
		r = kp_err_sys(err, -errno, "write an archive");
	return r;
}

int kp_archive_compress(struct kp_ctx *ctx, const char *path, const char *name,
			struct kp_err *err)
{
	static const struct {
		const char *suffix, *tool, *package, *option;
	} how[] = {
		{ ".gz", "gzip", "gzip", "-nc" },	{ ".tgz", "gzip", "gzip", "-nc" },
		{ ".xz", "xz", "xz-utils (xz)", "-c" }, { ".zst", "zstd", "zstd", "-qc" },
		{ ".bz2", "bzip2", "bzip2", "-c" },
	};
	const struct kp_sandbox sb = { .timeout_s = ctx->config.timeout_minutes * 60 };

	for (size_t i = 0; i < KP_ARRAY_SIZE(how); i++) {
		_cleanup_free_ char *tool = NULL;
		int r;

		if (!kp_str_ends(name, how[i].suffix))
			continue;
		r = kp_tool_need(ctx, how[i].tool, how[i].package, &tool, err);
		if (r < 0)
			return r;
		return kp_tool_filter(ctx, &sb,
				      (const char *[]){ tool, how[i].option, NULL }, path,
				      path, STDERR_FILENO, err);
	}
	return 0;
}
