// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking: open, stat, list, read. What changes files is in fs-write.c and fs-tree.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

/* Sizes and limits of more than 2 GiB: the Makefile asks for them where they are not a matter of course. */
_Static_assert(sizeof(off_t) == 8 && sizeof(rlim_t) == 8, "needs _FILE_OFFSET_BITS=64");

#define LINKS_MAX 40
#define AGAIN_MAX 64
#define READ_MAX ((size_t)64 << 20)

static bool is_slash(int root_fd)
{
	struct stat a, b;

	return !fstat(root_fd, &a) && !stat("/", &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int kp_open_in(int root_fd, const char *path, int flags, mode_t mode)
{
	bool creates = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (unsigned int)flags | O_CLOEXEC,
		.mode = creates ? mode : 0,
		.resolve = RESOLVE_IN_ROOT,
	};
	int fd, code, again = 0;

	/* What libc adds to calls of its own. */
	if (!(flags & O_PATH))
		how.flags |= O_LARGEFILE;
	/* EAGAIN: something was renamed while ".." was resolved, openat2(2). */
	do {
		fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++again < AGAIN_MAX)));
	if (fd >= 0)
		return fd;
	code = errno;
	/* EPERM is what container seccomp filters give for system calls unknown to them. */
	if ((code == ENOSYS || code == EPERM) && is_slash(root_fd)) {
		do {
			fd = openat(root_fd, path, flags | O_CLOEXEC, mode);
		} while (fd < 0 && errno == EINTR);
		if (fd >= 0)
			return fd;
		code = errno;
	}
	return -code;
}

int kp_open_parent_in(int root_fd, const char *path, int flags, char **ret_name)
{
	_cleanup_free_ char *dir = NULL, *name = NULL;
	size_t len = strlen(path), start;
	int fd;

	while (len && path[len - 1] == '/')
		len--;
	start = len;
	while (start && path[start - 1] != '/')
		start--;
	name = kp_strndup(path + start, len - start);
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	dir = start ? kp_strndup(path, start) : kp_strdup("/");
	fd = kp_open_in(root_fd, dir, flags | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	*ret_name = kp_steal(&name);
	return fd;
}

static int stat_with(int root_fd, const char *path, int flags, struct stat *ret)
{
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_PATH | flags, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st;
	return 0;
}

int kp_stat_in(int root_fd, const char *path, struct stat *ret)
{
	return stat_with(root_fd, path, 0, ret);
}

int kp_lstat_in(int root_fd, const char *path, struct stat *ret)
{
	return stat_with(root_fd, path, O_NOFOLLOW, ret);
}

static int check_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

int kp_readable_in(int root_fd, const char *path)
{
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_PATH, 0);
	int file, r;

	if (fd < 0)
		return fd;
	r = check_regular(fd);
	if (r < 0)
		return r;
	if (faccessat(fd, "", R_OK, AT_EMPTY_PATH | AT_EACCESS) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EPERM)
		return -errno;
	/* Before Linux 5.8, or a filter that does not know it. */
	file = kp_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (file >= 0)
		close(file);
	return file < 0 ? file : 0;
}

bool kp_exists_in(int root_fd, const char *path)
{
	struct stat st;

	return !kp_stat_in(root_fd, path, &st);
}

bool kp_is_dir_in(int root_fd, const char *path)
{
	struct stat st;

	return !kp_stat_in(root_fd, path, &st) && S_ISDIR(st.st_mode);
}

int kp_readlink_at(int dir_fd, const char *name, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 128;

	for (;;) {
		ssize_t n;

		text = kp_reallocarray(text, size, 1);
		n = readlinkat(dir_fd, name, text, size);
		if (n < 0)
			return -errno;
		if ((size_t)n < size) {
			text[n] = '\0';
			*ret = kp_steal(&text);
			return 0;
		}
		size *= 2;
	}
}

int kp_readlink_in(int root_fd, const char *path, char **ret)
{
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISLNK(st.st_mode) ? kp_readlink_at(fd, "", ret) : -EINVAL;
}

/* Walks component by component, since /proc/self/fd may not be there in a chroot. */
int kp_realpath_in(int root_fd, const char *path, char **ret)
{
	_cleanup_buf_ struct kp_buf done = KP_BUF_INIT; /* without links */
	_cleanup_free_ char *rest = kp_strdup(path);
	const char *p = rest;
	int links = 0;

	kp_buf_adds(&done, "");
	for (p += strspn(p, "/"); *p; p += strspn(p, "/")) {
		_cleanup_free_ char *target = NULL;
		size_t n = strcspn(p, "/"), before = done.len;
		struct stat st;
		char *next;
		int rc;

		if (n == 1 && p[0] == '.') {
			p += n;
			continue;
		}
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (done.len && done.s[--done.len] != '/')
				;
			done.s[done.len] = '\0';
			p += n;
			continue;
		}
		kp_buf_addc(&done, '/');
		kp_buf_add(&done, p, n);
		p += n;
		rc = kp_lstat_in(root_fd, done.s, &st);
		if (rc < 0)
			return rc;
		if (!S_ISLNK(st.st_mode)) {
			if (*p && !S_ISDIR(st.st_mode))
				return -ENOTDIR;
			continue;
		}
		if (++links > LINKS_MAX)
			return -ELOOP;
		rc = kp_readlink_in(root_fd, done.s, &target);
		if (rc < 0)
			return rc;
		done.len = target[0] == '/' ? 0 : before;
		done.s[done.len] = '\0';
		next = kp_strf("%s%s", target, p);
		free(rest);
		rest = next;
		p = rest;
	}
	if (!done.len)
		kp_buf_addc(&done, '/');
	*ret = kp_buf_steal(&done);
	return 0;
}

char *kp_path_alias_in(int root_fd, const char *path)
{
	_cleanup_free_ char *top = NULL, *target = NULL, *dir = NULL;
	bool below_usr = kp_str_starts(path, "/usr/");
	const char *name = below_usr ? path + 4 : path, *rest = strchr(name + 1, '/');

	if (!rest)
		return NULL;
	top = kp_strndup(name, (size_t)(rest - name));
	if (kp_readlink_in(root_fd, top, &target) < 0)
		return NULL;
	dir = kp_path_join("/", target);
	if (!below_usr)
		return kp_path_join(dir, rest + 1);
	if (!kp_str_starts(dir, "/usr") || strcmp(dir + 4, top))
		return NULL;
	return kp_strdup(name);
}

int kp_list_fd(int fd, char ***ret)
{
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_strv_ char **names = NULL;
	_cleanup_close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	size_t n = 0, alloc = 0;

	if (own < 0)
		return -errno;
	dir = fdopendir(own);
	if (!dir)
		return -errno;
	kp_steal_fd(&own);
	for (;;) {
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e && errno)
			return -errno;
		if (!e)
			break;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (n + 1 >= alloc) {
			alloc = alloc ? alloc * 2 : 32;
			names = kp_reallocarray(names, alloc, sizeof(*names));
		}
		names[n++] = kp_strdup(e->d_name);
		names[n] = NULL;
	}
	kp_strv_sort(names);
	*ret = kp_steal(&names);
	return 0;
}

int kp_list_in(int root_fd, const char *path, char ***ret)
{
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_RDONLY | O_DIRECTORY, 0);

	return fd < 0 ? fd : kp_list_fd(fd, ret);
}

int kp_read_fd(int fd, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *data = NULL;
	size_t len = 0, size = 4096;
	struct stat st;

	if (!max)
		max = READ_MAX;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
		return -EFBIG;
	/* The size is a hint; files of /proc and /sys have 0 or a page. */
	if (S_ISREG(st.st_mode) && st.st_size)
		size = (size_t)st.st_size + 2;
	data = kp_malloc(size);
	for (;;) {
		ssize_t n;

		if (len + 1 == size) {
			size *= 2;
			data = kp_reallocarray(data, size, 1);
		}
		n = read(fd, data + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	data[len] = '\0';
	*ret = kp_steal(&data);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int kp_read_in(int root_fd, const char *path, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = kp_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd == -ENXIO) /* a socket, or a device without a driver */
		return -EINVAL;
	if (fd < 0)
		return fd;
	r = check_regular(fd);
	return r < 0 ? r : kp_read_fd(fd, max, ret, ret_len);
}

char *kp_path_join(const char *a, const char *b)
{
	_cleanup_free_ char *both = kp_strf("%s%s%s", a, *a ? "/" : "", b);
	struct kp_buf out = KP_BUF_INIT;

	for (const char *p = both; *p; p++)
		if (*p != '/' || !out.len || out.s[out.len - 1] != '/')
			kp_buf_addc(&out, *p);
	if (out.len > 1 && out.s[out.len - 1] == '/')
		out.s[--out.len] = '\0';
	return kp_buf_steal(&out);
}

char *kp_path_dir(const char *path)
{
	size_t len = strlen(path);

	while (len && path[len - 1] == '/')
		len--;
	while (len && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	return len ? kp_strndup(path, len) : kp_strdup("/");
}

static bool is_dots(const char *s, size_t len)
{
	return (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
}

bool kp_name_ok(const char *name)
{
	size_t len = strlen(name);

	/* The other white space of ASCII is control characters. */
	return len && len <= NAME_MAX && !is_dots(name, len) && !strpbrk(name, "/ ") &&
	       kp_str_is_printable(name);
}

bool kp_relpath_ok(const char *path)
{
	if (!kp_str_is_printable(path))
		return false;
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");

		if (!n || is_dots(p, n))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

bool kp_path_ok(const char *path)
{
	return path && *path == '/' && kp_relpath_ok(path + 1);
}

bool kp_link_stays(unsigned int levels, const char *text)
{
	_cleanup_strv_ char **steps = kp_strv_split(text, "/");
	bool down = false;

	if (*text == '/' || !*text)
		return false;
	/* Steps up come first, or they would start where another link leads. */
	kp_strv_foreach(step, steps) {
		bool up = !strcmp(*step, "..");

		if (up && (down || !levels--))
			return false;
		down |= !up && strcmp(*step, ".") != 0;
	}
	return true;
}
