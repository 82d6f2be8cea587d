// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Order matters here: the directories to be bound are opened before anything hides them,
 * the system becomes read-only before our own file systems are put on top of it (those
 * are made read-only one by one at the end), and binds come last.
 *
 * Sources: mount(2), mount_setattr(2), mount_namespaces(7), path_resolution(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox-mounts.h"

/* Missing in older C libraries. */
#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 0x00000001
#define MOUNT_ATTR_NOSUID 0x00000002
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

struct mount_attributes { /* struct mount_attr of the kernel */
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

#define FRESH_FLAGS (MS_NOSUID | MS_NODEV)

/* Go to the root of the mount namespace, wherever our own root directory is. */
static int leave_chroot(void)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd >= 0 && !setns(fd, CLONE_NEWNS))
		return 0;
	if (fd >= 0)
		close(fd);
	fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNS))
		return -errno;
	return 0;
}

int kp_view_detach(struct kp_err *err)
{
	_cleanup_close_ int root = -1;
	int rc;

	if (!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 0;
	if (errno != EINVAL)
		return kp_err_sys(err, -errno, "make mounts private");

	/* A chroot into a plain directory: propagation belongs to the mount it lies on,
	 * which has no name in here. Step out, do it there, come back, and bind "/" onto
	 * itself; "/.." leads into what was mounted on top. */
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return kp_err_sys(err, -errno, "open '/'");
	rc = leave_chroot();
	if (rc < 0)
		return kp_err_sys(err, rc, "reach the root of the mount namespace");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return kp_err_sys(err, -errno, "make mounts private");
	if (fchdir(root) || chroot(".") ||
	    mount("/", "/", NULL, MS_BIND | MS_REC, NULL) || chdir("/..") || chroot("."))
		return kp_err_sys(err, -errno, "make the root directory a mount");
	return 0;
}

static int readonly_all(void)
{
	const struct mount_attributes attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
	};

	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)))
		return -errno;
	return 0;
}

static int readonly_top(void)
{
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID;
	struct statvfs fs;

	/* A remount sets all flags: name those it has. */
	if (!statvfs("/", &fs) && (fs.f_flag & ST_NODEV))
		flags |= MS_NODEV;
	if (mount(NULL, "/", NULL, flags, NULL))
		return -errno;
	return 0;
}

static int fresh(const char *at, const char *options)
{
	if (mount("tmpfs", at, "tmpfs", FRESH_FLAGS, options))
		return -errno;
	return 0;
}

static int mount_proc(void)
{
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
		  NULL))
		return -errno;
	return 0;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode);
}

/* Memory devices by minor number. A container may refuse to make them: bind those it has.
 */
static int make_nodes(const char *dir)
{
	static const struct {
		const char *name;
		unsigned int minor;
	} nodes[] = {
		{ "null", 3 },	 { "zero", 5 },	   { "full", 7 },
		{ "random", 8 }, { "urandom", 9 },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(nodes); i++) {
		_cleanup_free_ char *from = kp_path_join("/dev", nodes[i].name);
		_cleanup_free_ char *to = kp_path_join(dir, nodes[i].name);
		_cleanup_close_ int fd = -1;

		if (!mknod(to, S_IFCHR | 0666, makedev(1, nodes[i].minor))) {
			if (chmod(to, 0666)) /* whatever our umask is */
				return -errno;
			continue;
		}
		fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL))
			return -errno;
	}
	return 0;
}

/* A /dev with what every program expects and nothing that reaches a device. Made aside,
 * on the private /tmp, since it may be made of what it will hide. */
static int private_dev(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/tmp/.dev/fd" },
		{ "fd/0", "/tmp/.dev/stdin" },
		{ "fd/1", "/tmp/.dev/stdout" },
		{ "fd/2", "/tmp/.dev/stderr" },
	};
	int rc = 0;

	if (mkdir("/tmp/.dev", 0755))
		return -errno;
	/* Its nodes have to work, so not "nodev"; nobody inside can make others. */
	if (mount("tmpfs", "/tmp/.dev", "tmpfs", MS_NOSUID, "mode=0755,size=64k"))
		rc = -errno;
	if (!rc)
		rc = make_nodes("/tmp/.dev");
	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]))
			rc = -errno;
	if (!rc && mkdir("/tmp/.dev/shm", 0755))
		rc = -errno;
	if (!rc)
		rc = fresh("/tmp/.dev/shm", "mode=1777,size=256m");
	if (!rc && mount("/tmp/.dev", "/dev", NULL, MS_MOVE, NULL))
		rc = -errno;
	if (rc)
		umount2("/tmp/.dev", MNT_DETACH);
	rmdir("/tmp/.dev");
	return rc;
}

static int private_tmp(struct kp_err *err)
{
	int rc = fresh("/tmp", "mode=1777,size=256m");

	return rc < 0 ? kp_err_sys(err, rc, "mount a private /tmp") : 0;
}

int kp_view_probe(bool with_proc, struct kp_err *err)
{
	int parts = 0, rc;

	if (!readonly_all())
		parts |= KP_VIEW_READONLY_ALL;
	else if (!readonly_top())
		parts |= KP_VIEW_READONLY_TOP;
	rc = private_tmp(err);
	if (rc < 0)
		return rc;
	if (is_dir("/dev")) {
		rc = private_dev();
		if (kp_view_failed_for_now(rc))
			return rc;
		parts |= rc ? 0 : KP_VIEW_DEV;
	}
	if (with_proc && !mount_proc())
		parts |= KP_VIEW_PROC;
	return parts;
}

bool kp_view_failed_for_now(int rc)
{
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -EAGAIN ||
	       rc == -EIO || rc == -ENOSPC;
}

/* Directories below what we just mounted are made; elsewhere the system is read-only and
 * they have to be there, which the mount then tells. */
static void make_dirs(const char *path)
{
	_cleanup_free_ char *p = kp_strdup(path);

	for (char *s = p + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		mkdir(p, 0755);
		*s = '/';
	}
	mkdir(p, 0755);
}

static int bind_dir(const struct kp_sandbox_bind *bind, int fd, struct kp_err *err)
{
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV;

	make_dirs(bind->at);
	/* By descriptor: the name may be hidden by now. */
	if (fchdir(fd) || mount(".", bind->at, NULL, MS_BIND, NULL))
		return kp_err_sys(err, -errno, "bind '%s' at '%s'", bind->from, bind->at);
	if (!bind->writable)
		flags |= MS_RDONLY;
	if (mount(NULL, bind->at, NULL, flags, NULL))
		return kp_err_sys(err, -errno, "set the flags of '%s'", bind->at);
	return 0;
}

static bool in_scratch(const struct kp_sandbox *sb, const char *path)
{
	size_t len = sb->scratch ? strlen(sb->scratch) : 0;

	return len && !strncmp(path, sb->scratch, len) && path[len] == '/';
}

/* What is bound outside of scratch (/tmp) may hold scratch, so it comes first. */
static int bind_dirs(const struct kp_sandbox *sb, const int *fds, bool inside,
		     struct kp_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < sb->n_binds; i++)
		if (in_scratch(sb, sb->binds[i].at) == inside)
			rc = bind_dir(&sb->binds[i], fds[i], err);
	return rc;
}

static int seal(const char *at, unsigned long flags, struct kp_err *err)
{
	if (mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL))
		return kp_err_sys(err, -errno, "make '%s' read-only", at);
	return 0;
}

/* Show a file that holds TEXT, or nothing, in the place of PATH. */
static int cover(const char *path, const char *text, mode_t mode)
{
	static const char file[] = "/tmp/.cover";
	_cleanup_close_ int fd =
		open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int rc = fd < 0 ? -errno : kp_write_all(fd, text, strlen(text));

	if (!rc && mount(file, path, NULL, MS_BIND, NULL))
		rc = -errno;
	unlink(file);
	return rc;
}

/* Directories appear empty (and can be given bind points), files empty and closed. *DIRS gets
 * those that were hidden. */
static int hide(char *const *secrets, char ***dirs, struct kp_err *err)
{
	kp_strv_foreach(path, secrets) {
		bool dir = is_dir(*path);
		int rc = dir ? fresh(*path, "mode=0755,size=1m") : cover(*path, "", 0);

		if (dir && !rc)
			kp_strv_add(dirs, *path);
		if (rc < 0 && rc != -ENOENT) /* below another */
			return kp_err_sys(err, rc, "hide '%s'", *path);
	}
	return 0;
}

static int show_file(const char *from, const char *at, struct kp_err *err)
{
	if (mount(from, at, NULL, MS_BIND, NULL))
		return kp_err_sys(err, -errno, "show '%s' at '%s'", from, at);
	return 0;
}

/* Our uname in the place of the system's, which it finds at KP_REAL_UNAME. Not where that is a
 * link, to a program of many names: PATH has to do there. */
static int show_release(const char *release, struct kp_err *err)
{
	static const char front[] = KP_LIBEXEC_DIR "/uname";
	static const char *const places[] = { "/usr/bin/uname", "/bin/uname" };
	_cleanup_free_ char *line = kp_strf("%s\n", release);
	_cleanup_close_ int fd = -1;
	struct stat ours, old;
	int rc = 0;

	/* Nothing is lost where it cannot be covered. */
	(void)cover("/proc/sys/kernel/osrelease", line, 0444);
	for (size_t i = 0; !rc && i < KP_ARRAY_SIZE(places); i++) {
		if (stat(front, &ours) || lstat(places[i], &old) ||
		    !S_ISREG(old.st_mode) ||
		    (old.st_dev == ours.st_dev && old.st_ino == ours.st_ino))
			continue;
		if (fd < 0) {
			fd = open(KP_REAL_UNAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				  0644);
			if (fd < 0) /* no /run of ours */
				return 0;
			rc = show_file(places[i], KP_REAL_UNAME, err);
		}
		if (!rc)
			rc = show_file(front, places[i], err);
	}
	return rc;
}

static int enter(const struct kp_sandbox *sb, char *const *secrets, int parts,
		 const int *fds, struct kp_err *err)
{
	_cleanup_strv_ char **hidden = NULL;
	int rc = 0;

	if (parts & KP_VIEW_READONLY_ALL)
		rc = readonly_all();
	else if (parts & KP_VIEW_READONLY_TOP)
		rc = readonly_top();
	if (rc < 0)
		return kp_err_sys(err, rc, "make the system read-only");
	rc = private_tmp(err);
	if (rc < 0)
		return rc;
	if (parts & KP_VIEW_DEV)
		rc = private_dev();
	if (rc < 0)
		return kp_err_sys(err, rc, "make a private /dev");
	if (parts & KP_VIEW_PROC)
		rc = mount_proc();
	if (rc < 0)
		return kp_err_sys(err, rc, "mount /proc");
	rc = hide(secrets, &hidden, err);
	if (!rc && sb->release)
		rc = show_release(sb->release, err);
	if (!rc)
		rc = bind_dirs(sb, fds, false, err);
	if (rc < 0)
		return rc;
	if (sb->scratch) {
		make_dirs(sb->scratch);
		rc = fresh(sb->scratch, "mode=0755,size=1m");
		if (rc < 0)
			return kp_err_sys(err, rc, "mount on '%s'", sb->scratch);
	}
	rc = bind_dirs(sb, fds, true, err);
	if (rc < 0)
		return rc;
	kp_strv_foreach(path, hidden)
		if (!rc)
			rc = seal(*path, FRESH_FLAGS, err);
	if (!rc && parts & KP_VIEW_DEV)
		rc = seal("/dev", MS_NOSUID, err);
	if (!rc && sb->scratch)
		rc = seal(sb->scratch, FRESH_FLAGS, err);
	if (!rc && chdir("/"))
		rc = kp_err_sys(err, -errno, "chdir '/'");
	return rc;
}

int kp_view_enter(const struct kp_sandbox *sb, char *const *secrets, int parts,
		  struct kp_err *err)
{
	_cleanup_free_ int *fds = kp_calloc(sb->n_binds + 1, sizeof(*fds));
	size_t n = 0;
	int rc = 0;

	for (; n < sb->n_binds; n++) {
		fds[n] = open(sb->binds[n].from, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[n] < 0) {
			rc = kp_err_sys(err, -errno, "open '%s'", sb->binds[n].from);
			break;
		}
	}
	if (!rc)
		rc = enter(sb, secrets, parts, fds, err);
	while (n-- > 0)
		close(fds[n]);
	return rc;
}
