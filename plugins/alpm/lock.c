// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pacman's lock, and where in a transaction we are.
 *
 * The lock is a file, DBPATH/db.lck, made with O_EXCL and mode 0, empty, removed at the
 * transaction's end; whoever made it keeps it open (lib/libalpm/handle.c). So the holder is
 * the process that has this file open, and a file that nobody has open is left over. Hooks and
 * scriptlets are children of the holder, in its root.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

#define LOCK "/db.lck"
#define DELETED LOCK " (deleted)" /* as /proc says it */

/* The lock that a process has open. */
struct open_lock {
	pid_t pid; /* 0: there is none */
	struct stat st;
	char *path; /* as seen from here */
};

static void open_lock_clear(struct open_lock *lock)
{
	free(lock->path);
	*lock = (struct open_lock){ 0 };
}

/* Mode 0 is what tells it from other programs' files of that name. */
static bool is_lock(int dir_fd, const char *name, struct open_lock *ret)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (kp_readlink_at(dir_fd, name, &path) < 0 ||
	    (!kp_str_ends(path, LOCK) && !kp_str_ends(path, DELETED)) ||
	    fstatat(dir_fd, name, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
	    (st.st_mode & 07777))
		return false;
	ret->st = st;
	ret->path = kp_steal(&path);
	return true;
}

/* 1: PID has a lock open, 0: it has none, negative: /proc does not tell. It is our own /proc,
 * not the managed root's, and what is open is looked at through it, since a path may mean
 * another file here. */
static int find_in_process(pid_t pid, struct open_lock *ret)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/fd", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_strv_ char **names = NULL;
	int rc = fd < 0 ? -errno : kp_list_fd(fd, &names);

	if (rc < 0)
		return rc;
	kp_strv_foreach(name, names) {
		if (!is_lock(fd, *name, ret))
			continue;
		ret->pid = pid;
		return 1;
	}
	return 0;
}

/* The lock that the nearest of our ancestors has; whether all could be asked. */
static bool find_above(struct open_lock *ret)
{
	pid_t pid = getppid();
	bool sure = true;

	while (pid > 0) {
		int rc = find_in_process(pid, ret);

		if (rc > 0)
			return true;
		sure = sure && !rc;
		if (kp_proc_parent(pid, &pid) < 0)
			return false;
	}
	return sure;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is it a file of our root? */
static bool is_here(int root_fd, const struct open_lock *lock)
{
	struct stat st;

	return kp_stat_in(root_fd, lock->path, &st) == 0 && same_file(&st, &lock->st);
}

char *kp_alpm_dbpath_above(int root_fd)
{
	_cleanup_(open_lock_clear) struct open_lock lock = { 0 };

	find_above(&lock);
	return lock.pid && is_here(root_fd, &lock) ? kp_path_dir(lock.path) : NULL;
}

static bool is_number(const char *s)
{
	return *s && !s[strspn(s, "0123456789")];
}

/* Words for whoever holds the lock, to be freed. */
static char *describe_holder(const char *path, const struct stat *st)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *e;

	while (proc && (e = readdir(proc))) {
		_cleanup_(open_lock_clear) struct open_lock lock = { 0 };

		if (is_number(e->d_name) && find_in_process(atoi(e->d_name), &lock) > 0 &&
		    same_file(&lock.st, st))
			return kp_proc_name(lock.pid);
	}
	return kp_strf(
		"a process that is not to be seen (if no package manager runs, it was "
		"left over by one that was killed: remove %s)",
		path);
}

/* Where the lock leaves us, whatever libalpm can do. */
static int judge(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		 struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(db->dbpath, LOCK);
	_cleanup_(open_lock_clear) struct open_lock above = { 0 };
	bool sure = find_above(&above), there, inside;
	struct stat st;
	int rc;

	rc = kp_stat_in(db->root_fd, path, &st);
	if (rc < 0 && rc != -ENOENT)
		return kp_err_sys(err, rc, "look at '%s'", path);
	there = rc == 0;
	inside = there && (above.pid ? same_file(&above.st, &st) : !sure);
	if (inside) {
		/* Where /proc does not tell, our caller does. */
		*ret = db->nested && getppid() == db->parent ? KP_LOCK_INSIDE_CAN_COMMIT
							     : KP_LOCK_INSIDE_MUST_DEFER;
	} else if (above.pid && !kp_str_ends(above.path, DELETED) &&
		   !is_here(db->root_fd, &above)) {
		return kp_err_set(
			err, -EXDEV,
			"the package manager around us works on another system");
	} else if (above.pid) {
		/* Somebody has taken its lock away from the transaction around us. */
		*ret = KP_LOCK_INSIDE_MUST_DEFER;
	} else if (!there) {
		*ret = KP_LOCK_FREE;
	} else {
		*ret = KP_LOCK_BUSY;
		if (ret_holder)
			*ret_holder = describe_holder(path, &st);
	}
	return 0;
}

int kp_alpm_lock_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		       struct kp_err *err)
{
	int rc;

	if (ret_holder)
		*ret_holder = NULL;
	rc = judge(db, ret, ret_holder, err);
	if (rc < 0)
		return rc;
	/* The files can be put in place, and the rest can wait. */
	if (db->cannot_commit &&
	    (*ret == KP_LOCK_FREE || *ret == KP_LOCK_INSIDE_CAN_COMMIT))
		*ret = KP_LOCK_INSIDE_MUST_DEFER;
	return 0;
}
