// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dpkg's locks, and where in a transaction we are.
 *
 * Two POSIX record locks: lock-frontend is held by whoever plans a transaction (apt for
 * all of its run, else dpkg itself), lock by each dpkg while it works. A nested dpkg can
 * have the inner lock whenever no dpkg runs above us; that a frontend holds the outer one
 * does not hinder it, for the frontend says so in DPKG_FRONTEND_LOCKED. dpkg runs its
 * hooks (post-invoke) after it has given its locks back.
 *
 * F_GETLK tells the holder's pid without touching the lock. We hold no record lock on
 * these files ourselves, so closing them gives nothing away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "dpkg.h"

struct holder {
	bool held;
	pid_t pid; /* 0: it is in a pid namespace that we do not see */
};

static int query(int root_fd, const char *path, struct holder *ret, struct kp_err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	_cleanup_close_ int fd = kp_open_in(root_fd, path, O_RDONLY, 0);

	*ret = (struct holder){ 0 };
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	if (fcntl(fd, F_GETLK, &lock) < 0)
		return kp_err_sys(err, -errno, "query the lock '%s'", path);
	ret->held = lock.l_type != F_UNLCK;
	ret->pid = lock.l_pid > 0 ? lock.l_pid : 0;
	return 0;
}

/* Our own /proc, not the managed root's: it tells of our own processes. */
static char *read_proc(pid_t pid, const char *file)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/%s", (int)pid, file);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[512];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	return n <= 0 ? NULL : kp_strndup(buf, (size_t)n);
}

/* Where /proc does not tell, what the hooks' environment says has to do. */
static bool is_ancestor(pid_t pid)
{
	return kp_proc_is_ancestor(pid) > 0;
}

static char *describe(const struct holder *h)
{
	_cleanup_free_ char *name = h->pid ? read_proc(h->pid, "comm") : NULL;

	if (!h->pid)
		return kp_strdup("a process outside of this container");
	if (!name)
		return kp_strf("pid %d", (int)h->pid);
	kp_str_strip(name);
	kp_str_printable(name);
	return kp_strf("%s, pid %d", name, (int)h->pid);
}

static const char *env(const char *name)
{
	return getenv(name) ?: "";
}

/* A dpkg that works on another system runs this system's hooks, and with
 * --force-script-chrootless its maintainer scripts here. */
static int check_same_root(struct kp_err *err)
{
	const char *root = env("DPKG_ROOT"), *admin = env("DPKG_ADMINDIR");

	if (*root && strcmp(root, "/"))
		return kp_err_set(err, -EXDEV,
				  "dpkg works on the system below %s, not on this", root);
	if (*admin && strcmp(admin, KP_DPKG_DIR))
		return kp_err_set(err, -EXDEV,
				  "dpkg works on the database %s, not on ours", admin);
	return 0;
}

static enum kp_lock_state judge(const struct holder *inner, const struct holder *frontend,
				const struct holder **ret_blocker)
{
	const char *hook = env("DPKG_HOOK_ACTION");
	bool in_script = *env("DPKG_MAINTSCRIPT_PACKAGE") && !*hook;
	bool have_frontend = *env("DPKG_FRONTEND_LOCKED");

	/* In a maintainer script dpkg is above us; this is known even without /proc. */
	if (in_script || (inner->held && is_ancestor(inner->pid)))
		return KP_LOCK_INSIDE_MUST_DEFER;
	/* What is only unpacked is going to be configured: the frontend is in the middle.
	 */
	if (!strcmp(hook, "unpack"))
		return KP_LOCK_INSIDE_MUST_DEFER;
	if (frontend->held && !have_frontend) {
		/* aptitude does not set the variable, so a dpkg below it locks for
		 * itself... */
		*ret_blocker = frontend;
		if (!is_ancestor(frontend->pid))
			return KP_LOCK_BUSY;
		/* ...and would fail while an ancestor holds the lock. */
		return KP_LOCK_INSIDE_MUST_DEFER;
	}
	if (inner->held) {
		*ret_blocker = inner;
		return KP_LOCK_BUSY;
	}
	if (have_frontend || *hook)
		return KP_LOCK_INSIDE_CAN_COMMIT;
	return KP_LOCK_FREE;
}

int kp_dpkg_lock_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		       struct kp_err *err)
{
	const struct holder *blocker = NULL;
	struct holder inner, frontend;
	int rc;

	rc = check_same_root(err);
	if (!rc)
		rc = query(db->root_fd, KP_DPKG_DIR "/lock", &inner, err);
	if (!rc)
		rc = query(db->root_fd, KP_DPKG_DIR "/lock-frontend", &frontend, err);
	if (rc < 0)
		return rc;
	*ret = judge(&inner, &frontend, &blocker);
	if (ret_holder)
		*ret_holder = blocker ? describe(blocker) : NULL;
	return 0;
}
