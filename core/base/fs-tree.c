// SPDX-License-Identifier: GPL-2.0-or-later
/* Whole trees: copy, remove. Both hold descriptors of the directories they are in, so that
 * nobody who swaps a directory for a link can lead them elsewhere. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

/* Source trees are far from it; a copy into itself ends here. */
#define COPY_DEPTH_MAX 100
#define REMOVE_DEPTH_MAX 32
#define COPY_CHUNK ((size_t)1 << 30)
#define COPY_BLOCK 131072

/* Can copy_file_range() not do it for these two files, while read and write can? */
static bool wants_plain_copy(int code)
{
	return code == EXDEV || code == EINVAL || code == ENOSYS || code == EOPNOTSUPP ||
	       code == EPERM || code == EBADF || code == ETXTBSY;
}

int kp_copy_fd(int in_fd, int out_fd, struct kp_err *err)
{
	_cleanup_free_ char *block = NULL;
	bool any = false;

	/* copy_file_range() shares the blocks where the file system can. It copies nothing of
	 * files whose size is not known (/proc), so the end is believed only after some
	 * bytes or from read(). */
	for (;;) {
		ssize_t n = copy_file_range(in_fd, NULL, out_fd, NULL, COPY_CHUNK, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !wants_plain_copy(errno))
			return kp_err_sys(err, -errno, "copy data");
		if (!n && any)
			return 0;
		if (n <= 0)
			break;
		any = true;
	}
	block = kp_malloc(COPY_BLOCK);
	for (;;) {
		ssize_t n = read(in_fd, block, COPY_BLOCK);
		int rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kp_err_sys(err, -errno, "copy data: read");
		if (!n)
			return 0;
		rc = kp_write_all(out_fd, block, (size_t)n);
		if (rc < 0)
			return kp_err_sys(err, rc, "copy data: write");
	}
}

struct copy {
	uid_t uid;
	gid_t gid;
	struct kp_err *err;
};

static int give(const struct copy *c, int fd, const struct stat *st)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };

	if ((c->uid != (uid_t)-1 || c->gid != (gid_t)-1) &&
	    fchown(fd, c->uid, c->gid) < 0)
		return -errno;
	if (fchmod(fd, st->st_mode & 01777) < 0 || futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int copy_file(const struct copy *c, int from, int to, const char *name,
		     const char *path)
{
	_cleanup_close_ int in = -1, out = -1;
	struct stat st;
	int rc;

	in = openat(from, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return kp_err_sys(c->err, -errno, "copy '%s'", path);
	if (!S_ISREG(st.st_mode))
		return kp_err_set(c->err, -EINVAL, "copy '%s': it changes meanwhile",
				  path);
	if (unlinkat(to, name, 0) < 0 && errno != ENOENT)
		return kp_err_sys(c->err, -errno, "copy '%s': replace what is there",
				  path);
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return kp_err_sys(c->err, -errno, "copy '%s'", path);
	rc = kp_copy_fd(in, out, c->err);
	if (rc < 0) {
		kp_err_prefix(c->err, "copy '%s'", path);
	} else {
		rc = give(c, out, &st);
		if (rc < 0)
			kp_err_sys(c->err, rc, "copy '%s'", path);
	}
	if (rc < 0)
		unlinkat(to, name, 0); /* half a file */
	return rc;
}

static int copy_link(const struct copy *c, int from, int to, const char *name,
		     const struct stat *st, const char *path)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	_cleanup_free_ char *target = kp_malloc(PATH_MAX);
	ssize_t n = readlinkat(from, name, target, PATH_MAX - 1);

	if (n < 0)
		return kp_err_sys(c->err, -errno, "copy link '%s'", path);
	target[n] = '\0';
	if (unlinkat(to, name, 0) < 0 && errno != ENOENT)
		return kp_err_sys(c->err, -errno, "copy link '%s': replace what is there",
				  path);
	if (symlinkat(target, to, name) < 0 ||
	    ((c->uid != (uid_t)-1 || c->gid != (gid_t)-1) &&
	     fchownat(to, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0) ||
	    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return kp_err_sys(c->err, -errno, "copy link '%s'", path);
	return 0;
}

/* A directory NAME below TO: the one that is there, else a new one; not through a link. */
static int enter_copy_dir(int to, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(to, name, flags);

	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR) && unlinkat(to, name, 0) < 0)
		return -errno;
	if (fd < 0 && mkdirat(to, name, 0700) < 0)
		return -errno;
	if (fd < 0)
		fd = openat(to, name, flags);
	return fd < 0 ? -errno : fd;
}

static const char *kind_name(mode_t mode)
{
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

static int copy_dir(const struct copy *c, int from, int to, const char *path, int depth);

static int copy_entry(const struct copy *c, int from, int to, const char *name,
		      const char *dir_path, int depth)
{
	_cleanup_free_ char *path = kp_path_join(dir_path, name);
	_cleanup_close_ int from_fd = -1, to_fd = -1;
	struct stat st;
	int rc;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return kp_err_sys(c->err, -errno, "copy '%s'", path);
	if (S_ISREG(st.st_mode))
		return copy_file(c, from, to, name, path);
	if (S_ISLNK(st.st_mode))
		return copy_link(c, from, to, name, &st, path);
	if (!S_ISDIR(st.st_mode)) {
		kp_warn("'%s' is %s, skipping it", path, kind_name(st.st_mode));
		return 0;
	}
	if (depth == COPY_DEPTH_MAX)
		return kp_err_set(c->err, -ELOOP, "copy '%s': nested deeper than %d",
				  path, COPY_DEPTH_MAX);
	from_fd = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from_fd < 0)
		return kp_err_sys(c->err, -errno, "copy '%s'", path);
	to_fd = enter_copy_dir(to, name);
	if (to_fd < 0)
		return kp_err_sys(c->err, to_fd, "copy '%s'", path);
	rc = copy_dir(c, kp_steal_fd(&from_fd), to_fd, path, depth + 1);
	if (rc < 0)
		return rc;
	/* Last: what is put into a directory changes its time. */
	rc = give(c, to_fd, &st);
	if (rc < 0)
		return kp_err_sys(c->err, rc, "copy '%s'", path);
	return 0;
}

/* Takes FROM. */
static int copy_dir(const struct copy *c, int from, int to, const char *path, int depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(from);

	if (!dir) {
		int code = -errno;

		close(from);
		return kp_err_sys(c->err, code, "copy '%s'", path);
	}
	for (;;) {
		struct dirent *e;
		int rc;

		errno = 0;
		e = readdir(dir);
		if (!e && errno)
			return kp_err_sys(c->err, -errno, "copy '%s'", path);
		if (!e)
			return 0;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		rc = copy_entry(c, from, to, e->d_name, path, depth);
		if (rc < 0)
			return rc;
	}
}

int kp_copy_tree(int from_root, const char *from, int to_fd, uid_t uid, gid_t gid,
		 struct kp_err *err)
{
	const struct copy c = { .uid = uid, .gid = gid, .err = err };
	int fd = kp_open_in(from_root, from, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "copy '%s'", from);
	return copy_dir(&c, fd, to_fd, from, 0);
}

struct level {
	DIR *dir;
	char *name;   /* in the level above */
	bool removed; /* something, since the directory was last read from its start */
};

struct removal {
	struct level levels[REMOVE_DEPTH_MAX];
	int depth;
	int parent; /* directory that holds what is removed */
	const char *path;
	int rc; /* the first error; the rest is removed nevertheless */
	struct kp_err *err;
};

static void note_error(struct removal *r, const char *name, int code)
{
	_cleanup_buf_ struct kp_buf where = KP_BUF_INIT;

	if (r->rc)
		return;
	r->rc = code;
	kp_buf_adds(&where, r->path);
	for (int i = 1; i < r->depth; i++)
		kp_buf_addf(&where, "/%s", r->levels[i].name);
	if (r->depth)
		kp_buf_addf(&where, "/%s", name);
	if (code == -EXDEV)
		kp_err_set(r->err, code, "remove '%s': it is a mount point; unmount it",
			   where.s);
	else
		kp_err_sys(r->err, code, "remove '%s'", where.s);
}

/* Open directory NAME in DIR, not through a link and not into another mount. */
static int open_below(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct open_how how = {
		.flags = (unsigned int)flags,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	struct stat a, b;

	if (fd >= 0)
		return fd;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	fd = openat(dir, name, flags);
	if (fd < 0)
		return -errno;
	if (fstat(dir, &a) < 0 || fstat(fd, &b) < 0 || a.st_dev != b.st_dev) {
		close(fd);
		return -EXDEV;
	}
	return fd;
}

static int holder_of(const struct removal *r, int depth)
{
	return depth ? dirfd(r->levels[depth - 1].dir) : r->parent;
}

static int push(struct removal *r, const char *name)
{
	struct level *l = &r->levels[r->depth];
	int fd = open_below(holder_of(r, r->depth), name);

	if (fd < 0)
		return fd;
	*l = (struct level){ .dir = fdopendir(fd) };
	if (!l->dir) {
		int code = -errno;

		close(fd);
		return code;
	}
	l->name = kp_strdup(name);
	r->depth++;
	return 0;
}

/* A build may nest directories deeper than we have descriptors: hang the rest of such a
 * branch up at the top, where a later round finds it. */
static int lift(struct removal *r, const char *name)
{
	_cleanup_free_ char *temp = kp_temp_name();

	if (renameat(holder_of(r, r->depth), name, dirfd(r->levels[0].dir), temp) < 0)
		return -errno;
	r->levels[0].removed = true;
	return 0;
}

static void remove_entry(struct removal *r, const char *name)
{
	struct level *l = &r->levels[r->depth - 1];
	int rc;

	if (!unlinkat(dirfd(l->dir), name, 0) || errno == ENOENT) {
		l->removed = true;
		return;
	}
	rc = -errno;
	if (rc == -EISDIR)
		rc = r->depth < REMOVE_DEPTH_MAX ? push(r, name) : lift(r, name);
	if (rc < 0 && rc != -ENOENT)
		note_error(r, name, rc);
}

/* The top level's directory is read to its end: remove it from the one above. */
static void pop(struct removal *r)
{
	struct level *l = &r->levels[r->depth - 1];
	int rc = 0;

	if (unlinkat(holder_of(r, r->depth - 1), l->name, AT_REMOVEDIR) < 0)
		rc = errno == ENOENT ? 0 : -errno;
	/* Reading may miss entries while others vanish, and lift() adds some. */
	if ((rc == -ENOTEMPTY || rc == -EEXIST) && l->removed && !r->rc) {
		l->removed = false;
		rewinddir(l->dir);
		return;
	}
	closedir(l->dir);
	r->depth--;
	if (rc < 0)
		note_error(r, l->name, rc);
	else if (r->depth)
		l[-1].removed = true;
	free(l->name);
}

int kp_rm_rf_in(int root_fd, const char *path, struct kp_err *err)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int parent = kp_open_parent_in(root_fd, path, O_PATH, &name);
	struct removal r = { .parent = parent, .path = path, .err = err };
	int rc;

	if (parent == -ENOENT)
		return 0;
	if (parent < 0)
		return kp_err_sys(err, parent, "remove '%s'", path);
	if (!unlinkat(parent, name, 0) || errno == ENOENT)
		return 0;
	rc = -errno;
	if (rc == -EISDIR)
		rc = push(&r, name);
	if (rc < 0)
		note_error(&r, name, rc);
	while (r.depth) {
		DIR *dir = r.levels[r.depth - 1].dir;
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e && errno)
			note_error(&r, ".", -errno);
		if (!e)
			pop(&r);
		else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_entry(&r, e->d_name);
	}
	return r.rc;
}
