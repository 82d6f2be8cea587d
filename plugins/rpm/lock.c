// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rpm's transaction lock, and where in a transaction we are.
 *
 * It is a POSIX record lock over a whole file, held by the process that runs the transaction
 * (rpm, dnf, zypper's helper) from before the first change to after the last hook. A nested
 * transaction of ours takes a lock of its own beside it: the client keeps everybody else out.
 * That is so only while the client lives; dnf 5 leaves its transaction on Ctrl-C, and any
 * can be killed.
 *
 * Closing a descriptor of the file gives up all locks that this process has on it, so nothing here
 * opens it while we hold it. rpm's own way to the lock waits when stdin is a terminal; so we take it
 * first, and rpm, in the same process, finds nobody in its way.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/posix-lock.h"

#include "rpm.h"

/* How often a lock file may be another one by the time we have locked it. */
#define ATTEMPTS 5

static char *lock_path(const struct kp_pkgdb *db)
{
	_cleanup_free_ char *path = kp_rpm_expand(db, "%{?_rpmlock_path}");

	return *path == '/' ? kp_path_join("/", path)
			    : kp_strdup("/var/lib/rpm/.rpm.lock");
}

void kp_rpm_client_load(struct kp_pkgdb *db)
{
	_cleanup_free_ char *path = lock_path(db);
	struct kp_posix_lock h;

	db->client = getppid();
	/* Without /proc, as below dnf --installroot, the hook's word has to do. */
	if (kp_posix_lock_query(db->root_fd, path, &h, NULL) == 0 && h.pid &&
	    kp_proc_is_ancestor(h.pid) != 0)
		db->client = h.pid;
	db->client_fd = (int)syscall(SYS_pidfd_open, db->client, 0);
}

static bool client_lives(const struct kp_pkgdb *db)
{
	struct pollfd p = { .fd = db->client_fd, .events = POLLIN };

	if (!db->nested)
		return false;
	/* An old kernel: who has died is nobody's parent any more. */
	if (db->client_fd < 0)
		return kp_proc_is_ancestor(db->client) > 0;
	return poll(&p, 1, 0) == 0;
}

/* Is the holder of our lock the client whose hook we are? One that we cannot see can be no
 * other: the hook says that a transaction is going on above us. */
static bool is_client(const struct kp_pkgdb *db, const struct kp_posix_lock *h)
{
	return client_lives(db) &&
	       (!h->pid || h->pid == db->client || kp_proc_is_ancestor(h->pid) > 0);
}

/* Does the client hold a lock like rpm's (POSIX, for writing, over a whole file) elsewhere? */
static bool client_locks_another(const struct kp_pkgdb *db)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		int pid = 0, n = 0;

		/* "1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF" */
		if (sscanf(line, "%*d: POSIX %*s WRITE %d %*s 0 EOF%n", &pid, &n) == 1 &&
		    n && pid == db->client)
			return true;
	}
	return false;
}

int kp_rpm_lock_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		      struct kp_err *err)
{
	_cleanup_free_ char *path = lock_path(db);
	struct kp_posix_lock h;
	int rc = kp_posix_lock_query(db->root_fd, path, &h, err);

	if (rc < 0)
		return rc;
	if (ret_holder)
		*ret_holder = NULL;
	if (!h.held) {
		if (client_lives(db) && client_locks_another(db))
			return kp_err_set(err, -EXDEV,
					  "the transaction works on another database");
		*ret = KP_LOCK_FREE;
	} else if (is_client(db, &h)) {
		*ret = KP_LOCK_INSIDE_CAN_COMMIT;
	} else if (kp_proc_is_ancestor(h.pid) > 0) {
		/* A scriptlet: its rpm has the package half done. */
		*ret = KP_LOCK_INSIDE_MUST_DEFER;
	} else {
		*ret = KP_LOCK_BUSY;
		if (ret_holder)
			*ret_holder = kp_posix_lock_holder(&h);
	}
	return 0;
}

static bool is_current(const struct kp_rpm_lock *lock)
{
	struct stat a, b;

	return fstat(lock->fd, &a) == 0 &&
	       kp_stat_in(lock->root_fd, lock->path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Lock the file; 1: it is no longer the one of that name, as its last user has removed it. */
static int lock_file(struct kp_rpm_lock *lock, struct kp_err *err)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	lock->fd = kp_open_in(lock->root_fd, lock->path, O_RDWR | O_CREAT | O_NOFOLLOW,
			      0644);
	if (lock->fd < 0)
		return kp_err_sys(err, lock->fd, "open '%s'", lock->path);
	if (fcntl(lock->fd, F_SETLK, &l) < 0)
		return errno == EAGAIN || errno == EACCES
			       ? kp_err_set(err, -EBUSY, "rpm's lock has just been taken")
			       : kp_err_sys(err, -errno, "lock '%s'", lock->path);
	if (is_current(lock))
		return 0;
	close(kp_steal_fd(&lock->fd));
	return 1;
}

int kp_rpm_lock_take(struct kp_pkgdb *db, struct kp_rpm_lock *ret, struct kp_err *err)
{
	_cleanup_free_ char *path = lock_path(db), *holder = NULL;
	struct kp_rpm_lock lock = KP_RPM_LOCK_INIT;
	enum kp_lock_state state;
	int rc;

	rc = kp_rpm_lock_state(db, &state, &holder, err);
	if (rc < 0)
		return rc;
	if (state == KP_LOCK_BUSY)
		return kp_err_set(err, -EBUSY, "rpm's lock is held by %s", holder);
	if (state == KP_LOCK_INSIDE_MUST_DEFER)
		return kp_err_set(err, -EBUSY, "rpm is in the middle of its work");
	lock.root_fd = db->root_fd;
	lock.own = state == KP_LOCK_INSIDE_CAN_COMMIT;
	lock.path = kp_strf("%s%s", path, lock.own ? ".kmodpkg" : "");
	rc = 1;
	for (int i = 0; i < ATTEMPTS && rc == 1; i++)
		rc = lock_file(&lock, err);
	if (rc == 1)
		rc = kp_err_set(err, -EBUSY, "'%s' keeps changing", lock.path);
	if (rc < 0) {
		if (lock.fd >= 0)
			close(lock.fd);
		free(lock.path);
		return rc;
	}
	*ret = lock;
	return 0;
}

void kp_rpm_lock_drop(struct kp_rpm_lock *lock)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (lock->fd < 0)
		return;
	/* rpm has given the lock up, for both of us. Only who has it may remove the file. */
	if (lock->own && fcntl(lock->fd, F_SETLK, &l) == 0 && is_current(lock))
		kp_unlink_in(lock->root_fd, lock->path);
	close(kp_steal_fd(&lock->fd));
	free(kp_steal(&lock->path));
}
