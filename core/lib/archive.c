// SPDX-License-Identifier: GPL-2.0-or-later
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/archive.h"

#define BLOCK 65536
#define ENTRIES_MAX 200000
#define BYTES_MAX (4LL << 30)
#define DEPTH_MAX 100

static int failed(struct archive *a, int code, struct kp_err *err)
{
	const char *text = archive_error_string(a);

	return kp_err_set(err, code, "archive: %s", text ? text : "damaged");
}

/* ---- unpacking ---- */

struct unpack {
	struct archive *a;
	int to_fd;
	size_t entries;
	long long bytes;
};

static void close_reader(struct archive **a)
{
	archive_read_free(*a);
}

static bool is_too_deep(const char *path)
{
	int depth = 0;

	for (const char *p = path; (p = strchr(p, '/')); p++)
		if (++depth > DEPTH_MAX)
			return true;
	return strlen(path) >= PATH_MAX;
}

/* The one place where a path of an archive becomes one of ours: absolute below to_fd, to be
 * freed; "" (the top itself) gives "/". NULL: it is not to be taken. */
static char *member_path(const char *name)
{
	_cleanup_free_ char *clean = NULL;
	size_t n;

	if (!name)
		return NULL;
	while (name[0] == '.' && name[1] == '/')
		name += 2 + strspn(name + 2, "/");
	clean = kp_strdup(strcmp(name, ".") ? name : "");
	for (n = strlen(clean); n && clean[n - 1] == '/';)
		clean[--n] = '\0';
	if (n && (!kp_relpath_ok(clean) || is_too_deep(clean)))
		return NULL;
	return kp_strf("/%s", clean);
}

/* Does a link at AT ("/a/b") with this text stay below the top? */
static bool link_stays(const char *at, const char *text)
{
	unsigned int slashes = 0;

	for (; *at; at++)
		slashes += *at == '/';
	return slashes && kp_link_stays(slashes - 1, text);
}

/* Do only directories lie above PATH, or nothing yet? What an archive has below a link has
 * another place on disk, and links are judged by their place. */
static bool is_below_directories(int to_fd, const char *path)
{
	_cleanup_free_ char *dir = kp_path_dir(path);
	struct stat st;

	if (!strcmp(dir, "/"))
		return true;
	return is_below_directories(to_fd, dir) &&
	       (kp_lstat_in(to_fd, dir, &st) < 0 || S_ISDIR(st.st_mode));
}

static int make_parent(int to_fd, const char *path, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_dir(path);

	return kp_mkdir_in(to_fd, dir, 0755, err);
}

static int create(int to_fd, const char *path, struct kp_err *err)
{
	int fd;

	(void)kp_unlink_in(to_fd, path);
	fd = kp_open_in(to_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	return fd < 0 ? kp_err_sys(err, fd, "create '%s'", path) : fd;
}

static int copy_data(struct unpack *u, int fd, struct kp_err *err)
{
	_cleanup_free_ char *block = kp_malloc(BLOCK);

	for (;;) {
		la_ssize_t n = archive_read_data(u->a, block, BLOCK);

		if (n < 0)
			return failed(u->a, -EINVAL, err);
		if (n == 0)
			return 0;
		u->bytes += n;
		if (u->bytes > BYTES_MAX)
			return kp_err_set(err, -EFBIG, "archive: too large");
		if (kp_write_all(fd, block, (size_t)n) < 0)
			return kp_err_sys(err, -errno, "write a file of the archive");
	}
}

static int unpack_file(struct unpack *u, struct archive_entry *e, const char *path,
		       struct kp_err *err)
{
	const struct timespec times[2] = {
		{ .tv_sec = archive_entry_mtime(e) },
		{ .tv_sec = archive_entry_mtime(e) },
	};
	_cleanup_close_ int fd = -1;
	int r;

	/* Not only when the disk has got all of it: a few bytes can stand for any number. */
	if (archive_entry_size(e) > BYTES_MAX - u->bytes)
		return kp_err_set(err, -EFBIG, "archive: too large");
	r = fd = create(u->to_fd, path, err);
	if (r >= 0)
		r = copy_data(u, fd, err);
	if (r < 0)
		return r;
	if (fchmod(fd, (archive_entry_perm(e) & 0755) | 0600) < 0 ||
	    futimens(fd, times) < 0)
		return kp_err_sys(err, -errno, "write '%s'", path);
	return 0;
}

static int unpack_hard_link(struct unpack *u, const char *target, const char *path,
			    struct kp_err *err)
{
	_cleanup_free_ char *from = member_path(target);
	_cleanup_close_ int in = -1, out = -1;
	struct stat st;
	int r;

	if (!from || kp_lstat_in(u->to_fd, from, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !strcmp(from, path))
		return kp_err_set(err, -EINVAL, "archive: '%s' is a link to '%.200s'",
				  path, target);
	u->bytes += st.st_size;
	if (u->bytes > BYTES_MAX)
		return kp_err_set(err, -EFBIG, "archive: too large");
	in = kp_open_in(u->to_fd, from, O_RDONLY | O_NOFOLLOW, 0);
	if (in < 0)
		return kp_err_sys(err, in, "open '%s'", from);
	r = out = create(u->to_fd, path, err);
	if (r >= 0)
		r = kp_copy_fd(in, out, err);
	if (r >= 0 && fchmod(out, st.st_mode & 0755) < 0)
		r = kp_err_sys(err, -errno, "write '%s'", path);
	return r < 0 ? r : 0;
}

static int unpack_entry(struct unpack *u, struct archive_entry *e, struct kp_err *err)
{
	const char *name = archive_entry_pathname(e), *hard = archive_entry_hardlink(e);
	const char *text = archive_entry_symlink(e);
	_cleanup_free_ char *path = member_path(name);
	mode_t type = archive_entry_filetype(e);
	int r;

	if (!path)
		return kp_err_set(err, -EINVAL, "archive: unsafe path '%.200s'",
				  name ? name : "");
	if (!is_below_directories(u->to_fd, path))
		return kp_err_set(err, -EINVAL, "archive: '%s' lies below a link", path);
	if (!hard && type == AE_IFDIR)
		return kp_mkdir_in(u->to_fd, path, 0755, err);
	if (!strcmp(path, "/"))
		return kp_err_set(err, -EINVAL, "archive: its top is no directory");
	r = make_parent(u->to_fd, path, err);
	if (r < 0)
		return r;
	if (hard)
		return unpack_hard_link(u, hard, path, err);
	if (type == AE_IFREG)
		return unpack_file(u, e, path, err);
	if (type == AE_IFLNK && text && link_stays(path, text))
		return kp_symlink_in(u->to_fd, text, path, err);
	if (type == AE_IFLNK)
		return kp_err_set(err, -EINVAL, "archive: '%s' is a link to '%.200s'",
				  path, text ? text : "");
	return kp_err_set(err, -EINVAL, "archive: '%s' is neither file nor directory",
			  path);
}

int kp_archive_unpack(int archive_fd, int to_fd, struct kp_err *err)
{
	_cleanup_(close_reader) struct archive *a = archive_read_new();
	struct unpack u = { .a = a, .to_fd = to_fd };
	struct archive_entry *e;
	int r;

	archive_read_support_format_tar(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	if (archive_read_open_fd(a, archive_fd, BLOCK) != ARCHIVE_OK)
		return failed(a, -EINVAL, err);
	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		if (++u.entries > ENTRIES_MAX)
			return kp_err_set(err, -EFBIG, "archive: too many files");
		r = unpack_entry(&u, e, err);
		if (r < 0)
			return r;
	}
	return r == ARCHIVE_EOF ? 0 : failed(a, -EINVAL, err);
}

/* ---- packing ---- */

struct kp_archive {
	struct archive *a;
};

void kp_archive_free(struct kp_archive *a)
{
	if (!a)
		return;
	archive_write_free(a->a);
	free(a);
}

static int add_filter(struct archive *a, const char *name)
{
	if (kp_str_ends(name, ".gz") || kp_str_ends(name, ".tgz")) {
		archive_write_add_filter_gzip(a);
		return archive_write_set_filter_option(a, "gzip", "timestamp", NULL);
	}
	if (kp_str_ends(name, ".xz"))
		return archive_write_add_filter_xz(a);
	if (kp_str_ends(name, ".zst"))
		return archive_write_add_filter_zstd(a);
	if (kp_str_ends(name, ".bz2"))
		return archive_write_add_filter_bzip2(a);
	return archive_write_add_filter_none(a);
}

int kp_archive_new(int fd, const char *name, struct kp_archive **ret, struct kp_err *err)
{
	_cleanup_(kp_archive_freep) struct kp_archive *a = kp_calloc(1, sizeof(*a));

	a->a = archive_write_new();
	if (add_filter(a->a, name) != ARCHIVE_OK ||
	    archive_write_set_format_gnutar(a->a) != ARCHIVE_OK ||
	    archive_write_open_fd(a->a, fd) != ARCHIVE_OK)
		return failed(a->a, -EIO, err);
	*ret = kp_steal(&a);
	return 0;
}

static void free_entry(struct archive_entry **e)
{
	archive_entry_free(*e);
}

#define _cleanup_entry_ _cleanup_(free_entry)

static struct archive_entry *new_entry(const char *at, const struct stat *st)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, at);
	archive_entry_set_filetype(e, st->st_mode & S_IFMT);
	archive_entry_set_perm(e, st->st_mode & 0755);
	archive_entry_set_size(e, S_ISREG(st->st_mode) ? st->st_size : 0);
	archive_entry_set_mtime(e, st->st_mtim.tv_sec, 0);
	archive_entry_set_uname(e, "root");
	archive_entry_set_gname(e, "root");
	return e;
}

static int add_file(struct kp_archive *a, int root_fd, const char *path, const char *at,
		    struct kp_err *err)
{
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_RDONLY | O_NONBLOCK, 0);
	_cleanup_free_ char *block = kp_malloc(BLOCK);
	_cleanup_entry_ struct archive_entry *e = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return kp_err_sys(err, -errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return 0;
	e = new_entry(at, &st);
	if (archive_write_header(a->a, e) != ARCHIVE_OK)
		return failed(a->a, -EIO, err);
	while ((n = read(fd, block, BLOCK)) > 0)
		if (archive_write_data(a->a, block, (size_t)n) < 0)
			return failed(a->a, -EIO, err);
	return n < 0 ? kp_err_sys(err, -errno, "read '%s'", path) : 0;
}

static int add_link(struct kp_archive *a, const char *text, const struct stat *st,
		    const char *at, struct kp_err *err)
{
	_cleanup_entry_ struct archive_entry *e = new_entry(at, st);

	archive_entry_set_symlink(e, text);
	return archive_write_header(a->a, e) == ARCHIVE_OK ? 0 : failed(a->a, -EIO, err);
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
	_cleanup_entry_ struct archive_entry *e = NULL;
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
		if (link_stays(inside, text))
			return add_link(a, text, &st, at, err);
		return add_foreign(a, root_fd, path, at, follow, err);
	}
	if (S_ISREG(st.st_mode))
		return add_file(a, root_fd, path, at, err);
	if (!S_ISDIR(st.st_mode))
		return 0;
	e = new_entry(at, &st);
	if (archive_write_header(a->a, e) != ARCHIVE_OK)
		return failed(a->a, -EIO, err);
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
	_cleanup_entry_ struct archive_entry *e = new_entry(at, &st);

	return archive_write_header(a->a, e) == ARCHIVE_OK ? 0 : failed(a->a, -EIO, err);
}

int kp_archive_add_text(struct kp_archive *a, const char *at, const char *text,
			struct kp_err *err)
{
	const struct stat st = { .st_mode = S_IFREG | 0644,
				 .st_size = (off_t)strlen(text) };
	_cleanup_entry_ struct archive_entry *e = new_entry(at, &st);

	if (archive_write_header(a->a, e) != ARCHIVE_OK ||
	    archive_write_data(a->a, text, strlen(text)) < 0)
		return failed(a->a, -EIO, err);
	return 0;
}

int kp_archive_end(struct kp_archive *a, struct kp_err *err)
{
	return archive_write_close(a->a) == ARCHIVE_OK ? 0 : failed(a->a, -EIO, err);
}
