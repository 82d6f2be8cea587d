// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox.h"
#include "lib/sandbox-filter.h"
#include "lib/sandbox-landlock.h"
#include "lib/sandbox-means.h"
#include "lib/sandbox-mounts.h"

/*
 * Ids nobody else hands out: 1879048192..2147352575 lies above systemd's container range
 * and shadow's subordinate ids and below its foreign range; 60578..61183 is the gap that
 * systemd's "Users, Groups, UIDs and GIDs on systemd Systems" lists as unused, for
 * containers with 65536 ids.
 */
static const uid_t bases[] = { 2100000000, 60600 };
#define IDS (KP_SANDBOX_SLOTS + 1) /* and the guard */

/* Is FIRST..FIRST+IDS mapped by MAP (text of uid_map)? Without one, all ids are.
 * *RET_END gets the highest end of a mapped range. */
static bool range_mapped(const char *map, uint64_t first, uint64_t *ret_end)
{
	unsigned long inside, outside, count;
	bool found = false;
	int used;

	for (; map && sscanf(map, "%lu %lu %lu%n", &inside, &outside, &count, &used) == 3;
	     map += used) {
		if (inside + count > *ret_end)
			*ret_end = inside + count;
		if (first >= inside && first + IDS <= inside + count)
			found = true;
	}
	return found || !map;
}

static uid_t base_uid(void)
{
	static uid_t base;
	_cleanup_free_ char *uids = NULL, *gids = NULL;
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t end_u = 0, end_g = 0, end;

	if (base)
		return base;
	kp_read_in(root, "/proc/self/uid_map", 0, &uids, NULL);
	kp_read_in(root, "/proc/self/gid_map", 0, &gids, NULL);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bases); i++)
		if (range_mapped(uids, bases[i], &end_u) &&
		    range_mapped(gids, bases[i], &end_g))
			return base = bases[i];
	end = end_u < end_g ? end_u : end_g;
	if (end > 65534)
		end = 65534; /* nobody */
	if (end <= 2 * IDS)
		return base = geteuid(); /* no room: kp_sandbox_missing() says so */
	return base = (uid_t)(end - IDS);
}

uid_t kp_sandbox_uid(unsigned int slot)
{
	uid_t base = base_uid();

	/* Nothing is given to a user that we cannot become. That it could not be found out now
	 * is told by the run. */
	if (geteuid() || base == geteuid() || (!kp_means()->uid && !kp_means()->error))
		return geteuid();
	return base + slot % KP_SANDBOX_SLOTS;
}

bool kp_sandbox_has_own_user(void)
{
	return kp_means()->uid;
}

uid_t kp_means_guard(void)
{
	return base_uid() + KP_SANDBOX_SLOTS;
}

int kp_means_set_ids(uid_t real, uid_t uid)
{
	/* A user namespace may forbid setgroups; then there is none to drop either. */
	if (setgroups(0, NULL) && errno != EPERM)
		return -errno;
	if (setresgid(real, uid, real) || setresuid(real, uid, real))
		return -errno;
	return 0;
}

/* Can files be given to the user of a slot, and can we become it? */
static bool try_ids(void)
{
	_cleanup_close_ int fd = memfd_create("kmodpkg", MFD_CLOEXEC);
	uid_t uid = base_uid();

	return uid != geteuid() && fd >= 0 && !fchown(fd, uid, uid) &&
	       !kp_means_set_ids(uid, uid);
}

static bool try_filter(void)
{
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !kp_filter_install(true);
}

/* In a process of its own: try everything once, in the order of a real run. */
static struct kp_means try_means(void)
{
	static const int others[] = { CLONE_NEWIPC, CLONE_NEWNET };
	struct kp_means m = { 0 };
	int view;

	m.landlock = kp_landlock_works();
	if (geteuid()) {
		m.filter = try_filter();
		return m;
	}
	if (!unshare(CLONE_NEWNS) && !kp_view_detach(NULL))
		m.flags |= CLONE_NEWNS;
	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++)
		if (!unshare(others[i]))
			m.flags |= others[i];
	if (getpid() == 1)
		m.flags |= CLONE_NEWPID;
	if (m.flags & CLONE_NEWNS) {
		view = kp_view_probe(m.flags & CLONE_NEWPID, NULL);
		if (kp_view_failed_for_now(view))
			m.error = view;
		else if (view < 0)
			m.flags &= ~CLONE_NEWNS;
		else
			m.parts = view;
	}
	m.uid = try_ids();
	m.filter = try_filter();
	return m;
}

/* What is protected, not by what: one mechanism may do without another. */
static char *describe_missing(const struct kp_means *m)
{
	_cleanup_strv_ char **v = NULL;
	_cleanup_free_ char *list = NULL;

	if (!m->uid)
		kp_strv_addf(&v, "no user of its own (runs as uid %u)", geteuid());
	if (!(m->flags & CLONE_NEWNS))
		kp_strv_add(&v, m->landlock
					? "no private mounts (builds in the real tree)"
					: "no private mounts (sees and builds in the "
					  "real tree)");
	else if (!(m->parts & KP_VIEW_READONLY_ALL) && !m->landlock)
		kp_strv_add(&v, "read-only view not of all mounts");
	if (m->flags & CLONE_NEWNS && !(m->parts & KP_VIEW_DEV) && !m->landlock)
		kp_strv_add(&v, "no private /dev");
	if (!(m->flags & CLONE_NEWPID))
		kp_strv_add(&v, "other processes visible");
	else if (m->flags & CLONE_NEWNS && !(m->parts & KP_VIEW_PROC))
		kp_strv_add(&v, "no private /proc");
	if (!(m->flags & CLONE_NEWNET) && !m->filter)
		kp_strv_add(&v, "network reachable");
	if (!(m->flags & CLONE_NEWIPC))
		kp_strv_add(&v, "shared memory of others reachable");
	if (!m->filter)
		kp_strv_add(&v, "system calls not filtered");
	list = kp_strv_join(v, ", ");
	return v ? kp_steal(&list) : NULL;
}

/* What a try in a child that dies says is not that something is missing: builds would run with
 * less protection than there is. */
static int probe(struct kp_means *ret)
{
	int fds[2], status;
	ssize_t n = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		/* The pid namespace holds for children only. */
		unshare(geteuid() ? 0 : CLONE_NEWPID);
		pid = fork();
		if (pid == 0) {
			*ret = try_means();
			_exit(kp_write_all(fds[1], ret, sizeof(*ret)) != 0);
		}
		_exit(pid < 0 || waitpid(pid, &status, 0) != pid);
	}
	if (pid < 0)
		n = -errno;
	close(fds[1]);
	while (pid > 0 && (n = read(fds[0], ret, sizeof(*ret))) < 0 && errno == EINTR)
		;
	close(fds[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0)
		return (int)n;
	return n == sizeof(*ret) ? ret->error : -EAGAIN;
}

const struct kp_means *kp_means(void)
{
	static struct kp_means m;
	static bool known;
	int rc;

	if (known)
		return &m;
	rc = probe(&m);
	if (rc < 0) {
		m = (struct kp_means){ .error = rc };
		return &m;
	}
	m.missing = describe_missing(&m);
	known = true;
	return &m;
}

const char *kp_sandbox_missing(void)
{
	return kp_means()->missing;
}

bool kp_sandbox_has_mounts(void)
{
	return kp_means()->flags & CLONE_NEWNS;
}
