// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/tree-hash.h"

/* More is no source tree, and each level holds a descriptor. */
#define DEPTH_MAX 100
/* Nor is more than this, holes counted: all of it is read while a transaction waits. */
#define BYTES_MAX ((off_t)1 << 30)

struct walk {
	enum kp_tree_mode mode;
	struct kp_hash stat, content;
	int64_t newest_s;
	const char *top;    /* for messages */
	struct kp_buf path; /* of the entry at hand, relative to top */
	int depth;
	off_t bytes;
	struct kp_err *err;
};

static int walk_dir(struct walk *w, int fd);

static int fail(struct walk *w, int code)
{
	return kp_err_sys(w->err, code, "reading %s%s%s", w->top, w->path.len ? "/" : "",
			  w->path.len ? w->path.s : "");
}

static char kind_of(const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFREG:
		return 'f';
	case S_IFLNK:
		return 'l';
	default:
		return 'o';
	}
}

static void add_looks(struct walk *w, const struct stat *st)
{
	bool dir = S_ISDIR(st->st_mode);
	char text[80];

	/* A directory's size and time are the file system's business. */
	snprintf(text, sizeof(text), "%c %jd %jd.%09ld", kind_of(st),
		 dir ? 0 : (intmax_t)st->st_size, dir ? 0 : (intmax_t)st->st_mtim.tv_sec,
		 dir ? 0 : st->st_mtim.tv_nsec);
	kp_hash_field(&w->stat, w->path.s, text);
}

static void add_stat(struct walk *w, const struct stat *st, const char *link)
{
	struct stat counted = *st;
	_cleanup_free_ char *text = NULL;

	if (w->mode == KP_TREE_LOOKS) {
		add_looks(w, st);
	} else {
		counted.st_size = S_ISDIR(st->st_mode) ? 0 : st->st_size;
		text = kp_looks(&counted);
		kp_hash_field(&w->stat, w->path.s, text);
	}
	if (link)
		kp_hash_field(&w->stat, "->", link);
	if (st->st_ctim.tv_sec > w->newest_s)
		w->newest_s = st->st_ctim.tv_sec;
}

static void add_content(struct walk *w, const struct stat *st, const char *value)
{
	char kind[3] = { kind_of(st),
			 S_ISREG(st->st_mode) && st->st_mode & 0111 ? 'x' : '-' };

	if (w->mode != KP_TREE_CONTENT)
		return;
	kp_hash_field(&w->content, w->path.s, kind);
	kp_hash_field(&w->content, "", value);
}

static int add_file(struct walk *w, int fd, const struct stat *st)
{
	char hash[KP_HASH_HEX];
	struct kp_err why = KP_ERR_INIT;
	int r;

	w->bytes += st->st_size > BYTES_MAX ? BYTES_MAX + 1 : st->st_size;
	if (w->bytes > BYTES_MAX)
		return kp_err_set(
			w->err, -EFBIG,
			"%s has more than 1 GiB, with %s, which is no module source: "
			"remove what is not needed",
			w->top, w->path.s);
	r = kp_hash_fd(fd, hash, &why);
	if (r < 0)
		return fail(w, r);
	add_content(w, st, hash);
	return 0;
}

static int open_entry(int dir_fd, const char *name, int flags)
{
	int fd =
		openat(dir_fd, name,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);

	return fd < 0 ? -errno : fd;
}

static int walk_entry(struct walk *w, int dir_fd, const char *name)
{
	_cleanup_free_ char *link = NULL;
	_cleanup_close_ int fd = -1;
	bool is_dir, is_file;
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(w, -errno);
	is_dir = S_ISDIR(st.st_mode);
	is_file = S_ISREG(st.st_mode);
	if (is_dir && !strcmp(name, ".git"))
		return 0;
	if (S_ISLNK(st.st_mode)) {
		int r = kp_readlink_at(dir_fd, name, &link);

		if (r < 0)
			return fail(w, r);
	}
	add_stat(w, &st, link);
	if (is_dir || (is_file && w->mode == KP_TREE_CONTENT)) {
		fd = open_entry(dir_fd, name, is_dir ? O_DIRECTORY : 0);
		if (fd < 0)
			return fail(w, fd);
	}
	if (is_file && w->mode == KP_TREE_CONTENT)
		return add_file(w, fd, &st);
	add_content(w, &st, link);
	return is_dir ? walk_dir(w, fd) : 0;
}

/*
 * What is of interest in the directory FD, sorted. Of include/config of a kernel's tree those files
 * that say something: the thousands beside them are empty, and there for make to see by their times
 * which setting has changed since it built the kernel. All settings are in auto.conf.
 */
static int list_dir(const struct walk *w, int fd, char ***ret)
{
	static const char *const config[] = { "auto.conf", "auto.conf.cmd",
					      "kernel.release" };
	struct stat st;

	if (w->mode != KP_TREE_LOOKS || strcmp(w->path.s, "include/config") != 0)
		return kp_list_fd(fd, ret);
	for (size_t i = 0; i < KP_ARRAY_SIZE(config); i++)
		if (fstatat(fd, config[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			kp_strv_add(ret, config[i]);
	return 0;
}

/* FD stays the caller's. */
static int walk_dir(struct walk *w, int fd)
{
	_cleanup_strv_ char **names = NULL;
	size_t len = w->path.len;
	int r;

	if (w->depth >= DEPTH_MAX)
		return fail(w, -ELOOP);
	r = list_dir(w, fd, &names);
	if (r < 0)
		return fail(w, r);
	w->depth++;
	kp_strv_foreach(p, names) {
		kp_buf_addf(&w->path, "%s%s", len ? "/" : "", *p);
		r = walk_entry(w, fd, *p);
		if (r < 0)
			return r;
		w->path.s[w->path.len = len] = '\0';
	}
	w->depth--;
	return 0;
}

int kp_tree_hash(int root_fd, const char *path, enum kp_tree_mode mode,
		 struct kp_tree_hash *ret, struct kp_err *err)
{
	_cleanup_close_ int fd = -1;
	struct walk w = { .mode = mode, .top = path, .err = err };
	struct stat st;
	int r = 0;

	fd = kp_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fail(&w, fd);
	if (fstat(fd, &st) < 0)
		return fail(&w, -errno);
	kp_hash_init(&w.stat);
	kp_hash_init(&w.content);
	kp_buf_adds(&w.path, "");
	add_stat(&w, &st, NULL);
	if (S_ISDIR(st.st_mode))
		r = walk_dir(&w, fd);
	else if (S_ISREG(st.st_mode) && mode == KP_TREE_CONTENT)
		r = add_file(&w, fd, &st);
	kp_buf_free(&w.path);
	if (r < 0)
		return r;
	kp_hash_hex(&w.stat, ret->stat);
	kp_hash_hex(&w.content, ret->content);
	ret->newest_s = w.newest_s;
	return 0;
}
