// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Landlock only knows what is allowed, with all that is below. So where something is hidden the
 * directories above it get no rule, and each of their other entries one; those above cannot be
 * listed then, but gone through.
 *
 * Sources: landlock(7), Documentation/userspace-api/landlock.rst of the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox-landlock.h"

/* <linux/landlock.h> of the oldest headers this is built with lacks most of it. */
enum {
	NR_create_ruleset = 444,
	NR_add_rule = 445,
	NR_restrict_self = 446,
	ASK_VERSION = 1,
	PATH_BENEATH = 1,
};

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_MAKE_CHAR (1ULL << 6)
#define FS_MAKE_BLOCK (1ULL << 11)
#define FS_TRUNCATE (1ULL << 14) /* version 3 */
#define FS_ALL_2 ((1ULL << 14) - 1)
#define FS_IOCTL_DEV (1ULL << 15) /* version 5 */
#define NET_TCP 3ULL		  /* bind and connect, version 4 */
#define SCOPE_ALL 3ULL		  /* abstract sockets, signals: version 6 */

#define READ (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define WRITE (FS_ALL_2 | FS_TRUNCATE)
#define OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_rule {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

static int version(void)
{
	int v = (int)syscall(NR_create_ruleset, NULL, 0, ASK_VERSION);

	return v < 0 ? 0 : v;
}

bool kp_landlock_works(void)
{
	return version() >= 2;
}

struct rules {
	int fd;
	uint64_t handled;
};

static int add_fd(const struct rules *r, int fd, uint64_t access)
{
	struct path_rule rule = { .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	rule.allowed = access & r->handled & (S_ISDIR(st.st_mode) ? ~0ULL : OF_FILES);
	/* Nodes that may be made stay refused. */
	rule.allowed &= ~(FS_MAKE_CHAR | FS_MAKE_BLOCK);
	if (!rule.allowed || !syscall(NR_add_rule, r->fd, PATH_BENEATH, &rule, 0))
		return 0;
	/* A file of no file system that can be named (memfd) needs none. */
	return errno == EBADFD ? 0 : -errno;
}

/* What is not there, or a link (which leads to what has a rule of its own), needs none. */
static int add_path(const struct rules *r, const char *path, uint64_t access,
		    struct kp_err *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) || S_ISLNK(st.st_mode))
		return 0;
	rc = add_fd(r, fd, access);
	return rc < 0 ? kp_err_sys(err, rc, "allow access to '%s'", path) : 0;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") ? strlen(dir) : 0;

	return !strncmp(path, dir, len) && path[len] == '/';
}

static int add_readable(const struct rules *r, const char *path, char *const *hidden,
			struct kp_err *err)
{
	_cleanup_closedir_ DIR *dir = NULL;
	bool above = false;
	struct dirent *e;
	int rc = 0;

	kp_strv_foreach(h, hidden) {
		if (kp_str_eq(*h, path))
			return 0;
		above = above || is_below(*h, path);
	}
	if (!above)
		return add_path(r, path, READ, err);
	dir = opendir(path);
	while (dir && !rc && (e = readdir(dir))) {
		_cleanup_free_ char *entry = kp_path_join(path, e->d_name);

		if (!kp_str_eq(e->d_name, ".") && !kp_str_eq(e->d_name, ".."))
			rc = add_readable(r, entry, hidden, err);
	}
	return rc;
}

/* Programs may open what they were given anew, by its name in /proc. */
static int add_descriptors(const struct rules *r, const struct kp_proc *proc,
			   struct kp_err *err)
{
	const struct {
		int fd;
		uint64_t access;
	} std[] = {
		{ proc->in_fd, READ },
		{ proc->out_fd, READ | WRITE },
		{ proc->err_fd, READ | WRITE },
	};
	struct stat st;
	int rc = 0;

	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(std); i++)
		if (std[i].fd > 2 && !fstat(std[i].fd, &st) && S_ISREG(st.st_mode))
			rc = add_fd(r, std[i].fd, std[i].access);
	for (size_t i = 0; !rc && i < proc->n_keep_fds; i++)
		if (!fstat(proc->keep_fds[i], &st) && S_ISREG(st.st_mode))
			rc = add_fd(r, proc->keep_fds[i], READ);
	return rc < 0 ? kp_err_sys(err, rc, "allow access to what is passed on") : 0;
}

static int fill(const struct rules *r, const struct kp_sandbox *sb,
		const struct kp_proc *proc, char *const *hidden, struct kp_err *err)
{
	static const char *const writable[] = {
		"/tmp",	     "/dev/shm",    "/dev/null",    "/dev/zero",
		"/dev/full", "/dev/random", "/dev/urandom",
	};
	_cleanup_close_ int program = open(proc->argv[0], O_PATH | O_CLOEXEC);
	int rc = add_readable(r, "/", hidden, err);

	for (size_t i = 0; !rc && i < sb->n_binds; i++)
		rc = add_path(r, sb->binds[i].at,
			      READ | (sb->binds[i].writable ? WRITE : 0), err);
	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(writable); i++)
		rc = add_path(r, writable[i], READ | WRITE, err);
	if (!rc && program >= 0)
		rc = add_fd(r, program, READ);
	return rc ?: add_descriptors(r, proc, err);
}

int kp_landlock_make(const struct kp_sandbox *sb, const struct kp_proc *proc,
		     char *const *hidden, int *ret_fd, struct kp_err *err)
{
	int v = version(), rc;
	const struct ruleset attr = {
		.fs = FS_ALL_2 | (v >= 3 ? FS_TRUNCATE : 0) | (v >= 5 ? FS_IOCTL_DEV : 0),
		.net = v >= 4 ? NET_TCP : 0,
		.scoped = v >= 6 ? SCOPE_ALL : 0,
	};
	_cleanup_close_ int fd = (int)syscall(NR_create_ruleset, &attr, sizeof(attr), 0);
	const struct rules rules = { fd, attr.fs };

	if (fd < 0)
		return kp_err_sys(err, -errno, "make rules for files");
	rc = fill(&rules, sb, proc, hidden, err);
	if (rc < 0)
		return rc;
	*ret_fd = kp_steal_fd(&fd);
	return 0;
}

int kp_landlock_enter(int fd)
{
	return syscall(NR_restrict_self, fd, 0) ? -errno : 0;
}
