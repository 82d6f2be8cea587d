// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dpkg's locks, and where in a transaction we are.
 *
 * Two POSIX record locks: lock-frontend is held by whoever plans a transaction (apt for
 * all of its run, else dpkg itself), lock by each dpkg while it works. A nested dpkg can
 * have the inner lock whenever no dpkg runs above us; that a frontend holds the outer one
 * does not hinder it, for the frontend says so in DPKG_FRONTEND_LOCKED. dpkg runs its
 * hooks (post-invoke) after it has given its locks back.
 * We hold no record lock on these files ourselves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/posix-lock.h"

#include "dpkg.h"

/* Where /proc does not tell, what the hooks' environment says has to do. */
static bool is_ancestor(pid_t pid)
{
	return kp_proc_is_ancestor(pid) > 0;
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

static enum kp_lock_state judge(const struct kp_posix_lock *inner,
				const struct kp_posix_lock *frontend,
				const struct kp_posix_lock **ret_blocker)
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
	const struct kp_posix_lock *blocker = NULL;
	struct kp_posix_lock inner, frontend;
	int rc;

	rc = check_same_root(err);
	if (!rc)
		rc = kp_posix_lock_query(db->root_fd, KP_DPKG_DIR "/lock", &inner, err);
	if (!rc)
		rc = kp_posix_lock_query(db->root_fd, KP_DPKG_DIR "/lock-frontend",
					 &frontend, err);
	if (rc < 0)
		return rc;
	*ret = judge(&inner, &frontend, &blocker);
	if (ret_holder)
		*ret_holder = blocker ? kp_posix_lock_holder(blocker) : NULL;
	return 0;
}
