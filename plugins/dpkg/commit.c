// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changing the database: one dpkg for the packages that come, one for those that go.
 *
 * What counts afterwards is what the database says, not how dpkg ended: it goes on after
 * a package that it cannot install, and its exit code is also that of hooks and triggers
 * which are not ours. Its output is shown only as the reason of a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "dpkg.h"

#define DPKG "/usr/bin/dpkg"
#define MAX_OUTPUT (4 * 1024 * 1024)

/* A change, and what the database is to say when it is done. */
struct task {
	struct kp_change *change;
	struct kp_dpkg_identity id; /* ERASE: the name only */
};

struct tasks {
	struct task *list;
	size_t n;
};

static void tasks_clear(struct tasks *t)
{
	for (size_t i = 0; i < t->n; i++)
		kp_dpkg_identity_clear(&t->list[i].id);
	free(t->list);
}

/* What one dpkg left behind. */
struct run {
	int rc;
	struct kp_proc_end end;
	char *output;	 /* stdout and stderr */
	char *status_fd; /* "status: PACKAGE-OR-FILE : error : MESSAGE" lines among others
			  */
	struct kp_err err;
};

static void run_clear(struct run *r)
{
	free(r->output);
	free(r->status_fd);
}

static int refuse(struct kp_change *c, int code, const char *text)
{
	c->result = KP_CHANGE_FAILED;
	return kp_err_set(&c->err, code, "%s", text);
}

static bool is_done(const struct kp_dpkg_status *st, const struct task *t)
{
	const struct kp_dpkg_pkg *pkg = kp_dpkg_status_find(st, t->id.name);

	if (t->change->kind == KP_CHANGE_ERASE)
		return !pkg || !kp_dpkg_pkg_has_files(pkg);
	return pkg && pkg->state == KP_DPKG_INSTALLED && !pkg->reinst_required &&
	       kp_str_eq(pkg->version, t->id.version) &&
	       kp_str_eq(pkg->fields[KP_DPKG_KEY], t->id.key) &&
	       kp_str_eq(pkg->fields[KP_DPKG_CONTENT], t->id.content);
}

/* Find out what each change is about; changes that must not be tried get their result. */
static void tasks_load(struct kp_pkgdb *db, const struct kp_dpkg_status *st,
		       struct kp_change *changes, size_t n, struct tasks *ret)
{
	ret->list = kp_calloc(n, sizeof(*ret->list));
	for (size_t i = 0; i < n; i++) {
		struct task *t = &ret->list[ret->n++];
		const struct kp_dpkg_pkg *pkg;
		struct kp_change *c = &changes[i];

		t->change = c;
		c->result = KP_CHANGE_PENDING;
		if (c->kind == KP_CHANGE_ERASE) {
			t->id.name = kp_strdup(c->name);
		} else if (kp_dpkg_identity_load(db->root_fd, c->file, &t->id, &c->err) <
			   0) {
			c->result = KP_CHANGE_FAILED;
			continue;
		}
		pkg = kp_dpkg_status_find(st, t->id.name);
		if (c->kind == KP_CHANGE_ERASE && is_done(st, t))
			c->result = KP_CHANGE_DONE;
		else if (pkg && pkg->state != KP_DPKG_NOT_INSTALLED &&
			 !kp_dpkg_pkg_is_ours(pkg))
			refuse(c, -EEXIST,
			       "a package of that name is installed that was not "
			       "made by kmodpkg");
	}
}

/* A terminal's Ctrl-C is for us: a dpkg in the middle of its work ends it first. */
static int leave_terminal(void *data)
{
	(void)data;
	return setsid() < 0 ? -errno : 0;
}

/* Our children's usual environment, without what an outer dpkg said of itself: its
 * --force options are not meant for our packages. */
static char **make_env(void)
{
	char **env = NULL;

	for (const char *const *e = kp_proc_default_env(); *e; e++)
		if (!kp_str_starts(*e, "DPKG_FORCE=") &&
		    !kp_str_starts(*e, "DPKG_HOOK_ACTION=") &&
		    !kp_str_starts(*e, "DPKG_COLORS=") &&
		    !kp_str_starts(*e, "DEBIAN_FRONTEND="))
			kp_strv_add(&env, *e);
	kp_strv_add(&env, "DPKG_COLORS=never");
	kp_strv_add(&env, "DEBIAN_FRONTEND=noninteractive");
	return env;
}

/* Everything that was written to FD, or "". */
static char *read_back(int fd)
{
	char *text;
	size_t len;

	if (lseek(fd, 0, SEEK_SET) < 0 || kp_read_fd(fd, MAX_OUTPUT, &text, &len) < 0)
		return kp_strdup("");
	return text;
}

static int run_dpkg(char *const *args, struct run *ret, struct kp_err *err)
{
	_cleanup_close_ int out_fd = memfd_create("dpkg output", MFD_CLOEXEC);
	_cleanup_close_ int status_fd = memfd_create("dpkg status", MFD_CLOEXEC);
	_cleanup_strv_ char **argv = NULL, **env = make_env();
	struct kp_proc proc = {
		.env = (const char *const *)env,
		.out_fd = out_fd,
		.err_fd = out_fd,
		.keep_fds = &status_fd,
		.n_keep_fds = 1,
		.setup = leave_terminal,
	};

	if (out_fd < 0 || status_fd < 0)
		return kp_err_sys(err, -errno, "make a buffer for dpkg's output");
	kp_strv_add(&argv, DPKG);
	kp_strv_addf(&argv, "--status-fd=%d", status_fd);
	/* Whatever dpkg.cfg says: a file of another package stays, and a person may pin
	 * an older version of a module. */
	kp_strv_add(&argv, "--refuse-overwrite");
	kp_strv_add(&argv, "--force-downgrade");
	kp_strv_foreach(arg, args)
		kp_strv_add(&argv, *arg);
	proc.argv = (const char *const *)argv;
	ret->rc = kp_proc_run(&proc, &ret->end, &ret->err);
	if (ret->rc == -ENOENT || ret->rc == -EACCES)
		return kp_err_set(err, ret->rc, "%s", kp_err_text(&ret->err, ret->rc));
	ret->output = read_back(out_fd);
	ret->status_fd = read_back(status_fd);
	return 0;
}

/* The line behind the one that begins with START; NULL: none. */
static const char *line_after(char *const *lines, const char *start)
{
	kp_strv_foreach(line, lines)
		if (kp_str_starts(*line, start))
			return line[1];
	return NULL;
}

/* What dpkg said of one package or file, to be freed; NULL: nothing. */
static char *error_of(const struct run *r, const char *subject)
{
	_cleanup_strv_ char **lines = kp_strv_split(r->status_fd, "\n");
	_cleanup_strv_ char **output = kp_strv_split(r->output, "\n");
	_cleanup_free_ char *start = kp_strf("status: %s : error : ", subject);
	_cleanup_free_ char *removal =
		kp_strf("dpkg: dependency problems prevent removal of %s:", subject);
	const char *detail = line_after(output, removal);

	kp_strv_foreach(line, lines)
		if (kp_str_starts(*line, start))
			return kp_strf("%s%s%s", *line + strlen(start), detail ? ":" : "",
				       detail ?: "");
	return NULL;
}

/* Why nothing came of it: dpkg's own last word. To be freed. */
static char *last_error(const struct run *r)
{
	_cleanup_strv_ char **lines = kp_strv_split(r->output, "\n");
	const char *found = NULL, *last = NULL;

	kp_strv_foreach(line, lines) {
		last = *line;
		if (kp_str_starts(*line, "dpkg: error: "))
			found = *line + strlen("dpkg: error: ");
	}
	if (!found)
		found = last;
	if (!found && r->rc < 0)
		found = kp_err_text(&r->err, r->rc);
	return kp_strf("dpkg: %s", found ?: "gave no reason");
}

/*
 * Give each change that dpkg was to make its result. One that dpkg says nothing of
 * although it failed was not reached: it stays pending, and if that is all there is to
 * say, the run failed as a whole and may be tried again.
 */
static int tasks_judge(struct tasks *tasks, enum kp_change_kind kind, const struct run *r,
		       struct kp_pkgdb *db, struct kp_err *err)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	_cleanup_free_ char *general = last_error(r);
	size_t n_done = 0, n_refused = 0, n_pending = 0;
	enum kp_lock_state state;
	int rc;

	rc = kp_dpkg_status_load(db->root_fd, &st, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < tasks->n; i++) {
		struct kp_change *c = tasks->list[i].change;
		_cleanup_free_ char *text = NULL;

		if (c->kind != kind || c->result != KP_CHANGE_PENDING)
			continue;
		text = error_of(r, kind == KP_CHANGE_ADD ? c->file : c->name);
		if (is_done(&st, &tasks->list[i])) {
			c->result = KP_CHANGE_DONE;
			n_done++;
		} else if (text || r->rc == 0) {
			/* It may also end well and have left one out: that is on hold. */
			refuse(c, -EPERM, text ?: general);
			n_refused++;
		} else {
			n_pending++;
		}
	}
	/* Somebody may have taken the lock between our look and dpkg's. */
	if (!n_done && !n_refused && kp_dpkg_lock_state(db, &state, NULL, NULL) == 0 &&
	    state == KP_LOCK_BUSY)
		return kp_err_set(err, -EBUSY, "%s", general);
	if (r->end.signal)
		return kp_err_set(err, r->rc, "%s", kp_err_text(&r->err, r->rc));
	if (n_pending && !n_done && !n_refused)
		return kp_err_set(err, -EIO, "%s", general);
	return 0;
}

/* One dpkg for all changes of a kind. */
static int commit_kind(struct kp_pkgdb *db, struct tasks *tasks, enum kp_change_kind kind,
		       struct kp_err *err)
{
	_cleanup_strv_ char **args = NULL;
	_cleanup_(run_clear) struct run r = { 0 };
	size_t n = 0;
	int rc;

	/* --purge and not --remove: one that was left half removed goes as well. */
	kp_strv_add(&args, kind == KP_CHANGE_ADD ? "--install" : "--purge");
	kp_strv_add(&args, "--");
	for (size_t i = 0; i < tasks->n; i++) {
		const struct kp_change *c = tasks->list[i].change;

		if (c->kind != kind || c->result != KP_CHANGE_PENDING)
			continue;
		kp_strv_add(&args, kind == KP_CHANGE_ADD ? c->file : c->name);
		n++;
	}
	if (!n)
		return 0;
	rc = run_dpkg(args, &r, err);
	if (rc < 0)
		return rc;
	return tasks_judge(tasks, kind, &r, db, err);
}

/* A package that could not be installed stays in dpkg's records as one that is wanted; take that
 * back. Whether it works does not matter. */
static void forget_refused(struct kp_pkgdb *db, const struct tasks *tasks)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	_cleanup_(run_clear) struct run r = { 0 };
	_cleanup_strv_ char **args = NULL;

	for (size_t i = 0; i < tasks->n; i++) {
		const struct kp_dpkg_pkg *pkg;
		const struct task *t = &tasks->list[i];

		if (t->change->kind != KP_CHANGE_ADD ||
		    t->change->result != KP_CHANGE_FAILED || !t->id.name)
			continue;
		if (!st.n && kp_dpkg_status_load(db->root_fd, &st, NULL) < 0)
			return;
		pkg = kp_dpkg_status_find(&st, t->id.name);
		if (!pkg || pkg->state != KP_DPKG_NOT_INSTALLED)
			continue;
		if (!args) {
			kp_strv_add(&args, "--purge");
			kp_strv_add(&args, "--");
		}
		kp_strv_add(&args, t->id.name);
	}
	if (args)
		run_dpkg(args, &r, NULL);
}

static int check_writable(struct kp_pkgdb *db, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(db->root_fd, KP_DPKG_DIR, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", KP_DPKG_DIR);
	if (faccessat(fd, ".", W_OK, 0) < 0)
		return kp_err_sys(err, -errno, "write to '%s'", KP_DPKG_DIR);
	return 0;
}

int kp_dpkg_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		   struct kp_err *err)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	_cleanup_(tasks_clear) struct tasks tasks = { 0 };
	_cleanup_free_ char *holder = NULL;
	enum kp_lock_state state;
	int rc;

	if (!n)
		return 0;
	rc = kp_dpkg_lock_state(db, &state, &holder, err);
	if (rc < 0)
		return rc;
	if (state == KP_LOCK_BUSY)
		return kp_err_set(err, -EBUSY, "dpkg's lock is held by %s", holder);
	if (state == KP_LOCK_INSIDE_MUST_DEFER)
		return kp_err_set(err, -EBUSY, "dpkg is in the middle of its work");
	rc = check_writable(db, err);
	if (!rc)
		rc = kp_dpkg_status_load(db->root_fd, &st, err);
	if (rc < 0)
		return rc;
	tasks_load(db, &st, changes, n, &tasks);
	rc = commit_kind(db, &tasks, KP_CHANGE_ADD, err);
	if (rc < 0)
		return rc;
	forget_refused(db, &tasks);
	rc = commit_kind(db, &tasks, KP_CHANGE_ERASE, err);
	if (rc != -EBUSY)
		return rc;
	/* Busy says that nothing was changed. What has come is done, the rest stays
	 * pending. */
	for (size_t i = 0; i < n; i++)
		if (changes[i].kind == KP_CHANGE_ADD &&
		    changes[i].result == KP_CHANGE_DONE)
			return 0;
	return rc;
}
