// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The archive itself is read in the sandbox (inside/unpack.c). What comes from there is what a stranger wrote: taken
 * apart with care, and held against the same rules as the archive.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/archive-parts.h"
#include "lib/tool.h"
#include "lib/unpack-parts.h"

#define LINE_MAX_LEN 128
#define DEPTH_MAX 100

struct unpack {
	FILE *in;
	int to_fd;
	size_t entries;
	long long bytes;
};

struct member {
	char type;
	unsigned int mode;
	long long mtime;
	char *name, *link;
};

static void member_clear(struct member *m)
{
	free(m->name);
	free(m->link);
}

static int nonsense(struct kp_err *err)
{
	return kp_err_set(err, -EINVAL, "archive: damaged: reading it ends in nonsense");
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

	while (name[0] == '.' && name[1] == '/')
		name += 2 + strspn(name + 2, "/");
	clean = kp_strdup(strcmp(name, ".") ? name : "");
	for (n = strlen(clean); n && clean[n - 1] == '/';)
		clean[--n] = '\0';
	if (n && (!kp_relpath_ok(clean) || is_too_deep(clean)))
		return NULL;
	return kp_strf("/%s", clean);
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

/* LEN bytes as a string; NULL: there are less. */
static char *read_text(FILE *in, size_t len)
{
	_cleanup_free_ char *text = kp_malloc(len + 1);

	if (fread(text, 1, len, in) != len)
		return NULL;
	text[len] = '\0';
	return kp_steal(&text);
}

static int read_member(FILE *in, struct member *m, struct kp_err *err)
{
	unsigned int name_len, link_len;
	char line[LINE_MAX_LEN];
	int end = 0;

	if (!fgets(line, sizeof(line), in) ||
	    sscanf(line, "%c %o %lld %u %u%n", &m->type, &m->mode, &m->mtime, &name_len,
		   &link_len, &end) != 5 ||
	    strcmp(line + end, "\n") || name_len > KP_UNPACK_NAME ||
	    link_len > KP_UNPACK_NAME)
		return nonsense(err);
	m->name = read_text(in, name_len);
	m->link = read_text(in, link_len);
	return m->name && m->link ? 0 : nonsense(err);
}

static int copy_data(struct unpack *u, int fd, struct kp_err *err)
{
	_cleanup_free_ char *piece = kp_malloc(KP_UNPACK_PIECE);
	char line[LINE_MAX_LEN];

	for (;;) {
		unsigned int n;
		int end = 0;

		if (!fgets(line, sizeof(line), u->in) ||
		    sscanf(line, "%u%n", &n, &end) != 1 || strcmp(line + end, "\n") ||
		    n > KP_UNPACK_PIECE || fread(piece, 1, n, u->in) != n)
			return nonsense(err);
		if (n == 0)
			return 0;
		u->bytes += n;
		if (u->bytes > KP_UNPACK_BYTES)
			return kp_err_set(err, -EFBIG, "archive: too large");
		if (kp_write_all(fd, piece, n) < 0)
			return kp_err_sys(err, -errno, "write a file of the archive");
	}
}

static int unpack_file(struct unpack *u, const struct member *m, const char *path,
		       struct kp_err *err)
{
	const struct timespec times[2] = {
		{ .tv_sec = m->mtime },
		{ .tv_sec = m->mtime },
	};
	_cleanup_close_ int fd = -1;
	int r;

	r = fd = create(u->to_fd, path, err);
	if (r >= 0)
		r = copy_data(u, fd, err);
	if (r < 0)
		return r;
	if (fchmod(fd, (m->mode & 0755) | 0600) < 0 || futimens(fd, times) < 0)
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
	if (u->bytes > KP_UNPACK_BYTES)
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

static int unpack_entry(struct unpack *u, const struct member *m, struct kp_err *err)
{
	_cleanup_free_ char *path = member_path(m->name);
	int r;

	if (!path)
		return kp_err_set(err, -EINVAL, "archive: unsafe path '%.200s'", m->name);
	if (!is_below_directories(u->to_fd, path))
		return kp_err_set(err, -EINVAL, "archive: '%s' lies below a link", path);
	if (m->type == KP_UNPACK_DIR)
		return kp_mkdir_in(u->to_fd, path, 0755, err);
	if (!strcmp(path, "/"))
		return kp_err_set(err, -EINVAL, "archive: its top is no directory");
	r = make_parent(u->to_fd, path, err);
	if (r < 0)
		return r;
	if (m->type == KP_UNPACK_HARD)
		return unpack_hard_link(u, m->link, path, err);
	if (m->type == KP_UNPACK_FILE)
		return unpack_file(u, m, path, err);
	if (m->type != KP_UNPACK_LINK)
		return kp_err_set(err, -EINVAL,
				  "archive: '%s' is neither file nor directory", path);
	if (!kp_archive_link_stays(path, m->link))
		return kp_err_set(err, -EINVAL, "archive: '%s' is a link to '%.200s'",
				  path, m->link);
	return kp_symlink_in(u->to_fd, m->link, path, err);
}

int kp_archive_take(FILE *members, int to_fd, struct kp_err *err)
{
	struct unpack u = { .in = members, .to_fd = to_fd };

	for (;;) {
		_cleanup_(member_clear) struct member m = { 0 };
		int r = read_member(members, &m, err);

		if (!r && m.type == KP_UNPACK_END)
			return 0;
		if (!r && ++u.entries > KP_UNPACK_ENTRIES)
			r = kp_err_set(err, -EFBIG, "archive: too many files");
		if (!r)
			r = unpack_entry(&u, &m, err);
		if (r < 0)
			return r;
	}
}

/* Run the program; what it says of the archive goes to OUT. */
static int read_in_sandbox(struct kp_ctx *ctx, int archive_fd, int out,
			   struct kp_err *err)
{
	struct kp_proc_end end = { 0 };
	_cleanup_free_ char *said = NULL;
	int r = kp_tool_run_own(ctx, "unpack", KP_UNPACK_PROTOCOL, archive_fd, out,
				ctx->config.timeout_minutes * 60, &end, &said, err);

	if (r != -ECHILD)
		return r < 0 ? kp_err_prefix(err, "unpack") : 0;
	if (end.signal == SIGXFSZ)
		return kp_err_set(err, -EFBIG, "archive: too large");
	if (end.signal)
		return kp_err_set(err, -EINVAL,
				  "archive: damaged: reading it ends in signal %d",
				  end.signal);
	return kp_err_set(err,
			  end.exit_code == KP_UNPACK_BAD     ? -EINVAL
			  : end.exit_code == KP_UNPACK_LARGE ? -EFBIG
							     : -EIO,
			  "archive: %s", said);
}

int kp_archive_unpack(struct kp_ctx *ctx, int archive_fd, int to_fd, struct kp_err *err)
{
	_cleanup_free_ char *path =
		kp_strf("%s/members-%d", ctx->work_dir, (int)getpid());
	_cleanup_close_ int fd = -1;
	FILE *members;
	int r;

	(void)kp_unlink_in(ctx->root_fd, path); /* of a dead process with our number */
	fd = kp_open_in(ctx->root_fd, path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return kp_err_sys(err, fd, "create '%s'", path);
	(void)kp_unlink_in(ctx->root_fd, path);
	r = read_in_sandbox(ctx, archive_fd, fd, err);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 || !(members = fdopen(fd, "r")))
		return kp_err_sys(err, -errno, "read '%s'", path);
	fd = -1;
	r = kp_archive_take(members, to_fd, err);
	fclose(members);
	return r;
}
