// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changing the database: one transaction for all changes. Where that is refused, one for each
 * change, so that a bad one does not sink the others.
 *
 * What libalpm refuses late and badly is looked for first: that a path belongs to another
 * package. A file that nobody owns at exactly the path of one of ours is taken over by an
 * overwrite option, and that option would give away files of other packages too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

/* A change, and what the database is to say when it is done. */
struct task {
	struct kp_change *change;
	struct kp_alpm_package pkg; /* ERASE: the name only */
	/* Packages of ours that have its files and go with it: for the same kernel by another
	 * name, or erased by another change. */
	char **replaces;
	char **broken;	    /* entries of that name that are not whole, or older ones */
	char **old;	    /* ADD: paths of what is there by that name */
	struct stat before; /* ADD: the entry, if it was there as it is to be */
};

struct tasks {
	struct task *list;
	size_t n;
	bool changed; /* a transaction has been run */
};

static void tasks_clear(struct tasks *t)
{
	for (size_t i = 0; i < t->n; i++) {
		kp_alpm_package_clear(&t->list[i].pkg);
		kp_strv_free(t->list[i].replaces);
		kp_strv_free(t->list[i].broken);
		kp_strv_free(t->list[i].old);
	}
	free(t->list);
}

static bool is_add(const struct task *t)
{
	return t->change->kind == KP_CHANGE_ADD;
}

static bool is_due(const struct task *t)
{
	return t->change->result == KP_CHANGE_PENDING;
}

static int refuse(struct task *t, int code, const char *text)
{
	t->change->result = KP_CHANGE_FAILED;
	return kp_err_set(&t->change->err, code, "%s", text);
}

static bool is_done(const struct kp_local *local, const struct task *t)
{
	const struct kp_local_pkg *pkg = kp_local_find(local, t->pkg.name);
	_cleanup_free_ char *text = NULL, *desc = NULL;

	if (!is_add(t))
		return !pkg;
	if (!pkg || strcmp(pkg->version, t->pkg.version) != 0 ||
	    kp_local_read(local, pkg, "desc", &text, NULL, NULL) < 0)
		return false;
	desc = kp_desc_get(text, "DESC");
	return kp_str_eq(desc, t->pkg.desc);
}

static void stat_entry(const struct kp_local *local, const struct task *t,
		       struct stat *ret)
{
	const struct kp_local_pkg *pkg = kp_local_find(local, t->pkg.name);
	_cleanup_free_ char *dir = pkg ? kp_local_dir(pkg) : NULL;

	if (!dir || fstatat(local->fd, dir, ret, AT_SYMLINK_NOFOLLOW) < 0)
		*ret = (struct stat){ 0 };
}

/* Has libalpm left alone what was there as it is to be? It makes an entry anew. */
static bool is_untouched(const struct kp_local *local, const struct task *t)
{
	struct stat now;

	stat_entry(local, t, &now);
	return t->before.st_ino && now.st_ino == t->before.st_ino &&
	       now.st_ctim.tv_sec == t->before.st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == t->before.st_ctim.tv_nsec;
}

/* Is it in the database as it is to be, and nothing else by its name? */
static bool is_whole(const struct kp_local *local, const struct task *t)
{
	const struct kp_local_pkg *pkg = kp_local_find(local, t->pkg.name);
	_cleanup_strv_ char **files = NULL;

	if (!pkg || !kp_local_is_whole(local, pkg) ||
	    kp_local_files(local, pkg, false, &files, NULL) < 0)
		return false;
	kp_strv_foreach(path, t->pkg.files)
		if (!kp_strv_has(files, *path))
			return false;
	return true;
}

/* Can libalpm do nothing with this entry, or the wrong thing? */
static bool is_in_the_way(const struct kp_local *local, const struct kp_local_pkg *pkg)
{
	_cleanup_strv_ char **files = NULL;

	/* Of two it knows one, whichever it comes to first. */
	return kp_local_find(local, pkg->name) != pkg ||
	       kp_local_files(local, pkg, false, &files, NULL) == -ENOENT;
}

/* What the database has by the name of a change: nothing that we did not make. */
static int check_entries(const struct kp_local *local, struct task *t)
{
	for (size_t i = 0; i < local->n; i++) {
		const struct kp_local_pkg *pkg = &local->pkgs[i];
		struct kp_alpm_identity identity;
		int rc;

		if (strcmp(pkg->name, t->pkg.name) != 0)
			continue;
		if (is_add(t))
			(void)kp_local_files(local, pkg, true, &t->old, NULL);
		rc = kp_alpm_identity_load(local, pkg, &identity, &t->change->err);
		if (rc == 0)
			kp_alpm_identity_clear(&identity);
		if (rc == -EBADMSG || (rc == 0 && is_in_the_way(local, pkg)))
			kp_strv_take(&t->broken, kp_local_dir(pkg));
		else if (rc == -ENOENT)
			return kp_err_set(&t->change->err, -EEXIST,
					  "a package of that name is installed that was "
					  "not made by kmodpkg");
		else if (rc < 0)
			return rc;
	}
	return 0;
}

/* Find out what each change is about; changes that must not be tried get their result. */
static void tasks_load(struct kp_pkgdb *db, const struct kp_local *local,
		       struct kp_change *changes, size_t n, struct tasks *ret)
{
	ret->list = kp_calloc(n, sizeof(*ret->list));
	for (size_t i = 0; i < n; i++) {
		struct task *t = &ret->list[ret->n++];
		struct kp_change *c = &changes[i];
		int rc = 0;

		t->change = c;
		c->result = KP_CHANGE_PENDING;
		if (c->kind == KP_CHANGE_ERASE)
			t->pkg.name = kp_strdup(c->name);
		else
			rc = kp_alpm_package_load(db->root_fd, c->file, &t->pkg, &c->err);
		if (!rc)
			rc = check_entries(local, t);
		if (rc < 0)
			c->result = KP_CHANGE_FAILED;
		else if (is_done(local, t) && is_add(t))
			stat_entry(local, t, &t->before);
		else if (is_done(local, t))
			c->result = KP_CHANGE_DONE;
	}
}

/* Is OWNER a package of ours for the same module and kernel, by another name? */
static bool is_same_by_other_name(const struct kp_local *local, const struct task *t,
				  const char *owner)
{
	const struct kp_local_pkg *pkg = kp_local_find(local, owner);
	struct kp_alpm_identity old = { 0 }, new = { 0 };
	bool same = false;

	if (pkg && kp_alpm_identity_load(local, pkg, &old, NULL) == 0 &&
	    kp_alpm_desc_parse(t->pkg.name, t->pkg.desc, &new) == 0)
		same = !strcmp(old.id.module, new.id.module) &&
		       !strcmp(old.id.kernel, new.id.kernel);
	kp_alpm_identity_clear(&old);
	kp_alpm_identity_clear(&new);
	return same;
}

static bool is_erased(const struct tasks *tasks, const char *name)
{
	for (size_t i = 0; i < tasks->n; i++)
		if (!is_add(&tasks->list[i]) && is_due(&tasks->list[i]) &&
		    !strcmp(tasks->list[i].pkg.name, name))
			return true;
	return false;
}

static void check_owner(const struct kp_local *local, struct tasks *tasks, struct task *t,
			const struct kp_owner *owner)
{
	_cleanup_free_ char *text = NULL;

	if (!owner->package || !strcmp(owner->package, t->pkg.name) ||
	    kp_strv_has(t->replaces, owner->package))
		return;
	/* Erased by a transaction of its own, it would take the file with it. */
	if (is_erased(tasks, owner->package) ||
	    is_same_by_other_name(local, t, owner->package)) {
		kp_strv_add(&t->replaces, owner->package);
		return;
	}
	text = kp_strf("%s belongs to package %s", owner->path, owner->package);
	refuse(t, -EEXIST, text);
}

/* libalpm's option to overwrite a path would let two new packages have it. */
static void check_others(struct tasks *tasks, struct task *t)
{
	for (struct task *other = tasks->list; other < t; other++)
		kp_strv_foreach(path, t->pkg.files) {
			_cleanup_free_ char *text = NULL;

			if (!is_add(other) || !is_due(other) || !is_due(t) ||
			    !kp_strv_has(other->pkg.files, *path))
				continue;
			text = kp_strf("%s is in package %s too", *path, other->pkg.name);
			refuse(t, -EEXIST, text);
		}
}

/* All paths of all packages in one pass over the database. */
static int check_paths(struct kp_pkgdb *db, const struct kp_local *local,
		       struct tasks *tasks, struct kp_err *err)
{
	_cleanup_strv_ char **paths = NULL;
	struct kp_owner *owners;
	size_t n, at = 0;
	int rc;

	for (size_t i = 0; i < tasks->n; i++)
		kp_strv_foreach(path, tasks->list[i].pkg.files)
			kp_strv_add(&paths, *path);
	n = kp_strv_len(paths);
	if (!n)
		return 0;
	owners = kp_calloc(n, sizeof(*owners));
	rc = kp_local_owner(db, local, (const char *const *)paths, n, owners, err);
	for (size_t i = 0; i < tasks->n && !rc; i++) {
		struct task *t = &tasks->list[i];

		kp_strv_foreach(path, t->pkg.files) {
			if (is_due(t))
				check_owner(local, tasks, t, &owners[at]);
			at++;
		}
		check_others(tasks, t);
	}
	kp_owners_free(owners, n);
	return rc;
}

static void transaction_clear(struct kp_alpm_transaction *t)
{
	kp_strv_free(t->files);
	kp_strv_free(t->overwrite);
	kp_strv_free(t->removes);
	kp_strv_free(t->broken);
}

static void add_remove(struct kp_alpm_transaction *tr, const char *name)
{
	/* libalpm refuses the second. */
	if (!kp_strv_has(tr->removes, name))
		kp_strv_add(&tr->removes, name);
}

static void add_task(struct kp_alpm_transaction *tr, const struct task *t)
{
	kp_strv_foreach(dir, t->broken)
		kp_strv_add(&tr->broken, *dir);
	if (!is_add(t)) {
		add_remove(tr, t->pkg.name);
		return;
	}
	kp_strv_add(&tr->files, t->change->file);
	kp_strv_foreach(path, t->pkg.files)
		kp_strv_add(&tr->overwrite, *path);
	kp_strv_foreach(name, t->replaces)
		add_remove(tr, *name);
}

/* libalpm registers a package also when its files could not be written. What is not whole must
 * not be taken for installed. */
static void take_back(struct kp_pkgdb *db, const struct task *t, bool nested)
{
	_cleanup_(transaction_clear) struct kp_alpm_transaction tr = { 0 };
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	struct kp_err err = KP_ERR_INIT;

	if (!is_add(t) || kp_local_open(db, &local, NULL) < 0 || !is_done(&local, t) ||
	    is_untouched(&local, t))
		return;
	kp_strv_add(&tr.removes, t->pkg.name);
	if (kp_alpm_transaction_run(db, &tr, nested, &err) < 0)
		kp_warn("%s: %s", t->pkg.name, err.text);
}

/* Entries that are not to be there, by their directories: libalpm goes on when it cannot remove what it
 * replaces or removes... */
static char **find_rest(const struct kp_local *local, const struct task *t)
{
	const struct kp_local_pkg *kept =
		is_add(t) ? kp_local_find(local, t->pkg.name) : NULL;
	char **rest = NULL;

	for (size_t i = 0; i < local->n; i++)
		if (&local->pkgs[i] != kept && !strcmp(local->pkgs[i].name, t->pkg.name))
			kp_strv_take(&rest, kp_local_dir(&local->pkgs[i]));
	return rest;
}

static int drop_rest(struct kp_pkgdb *db, struct kp_local *local, const struct task *t,
		     bool nested, struct kp_err *err)
{
	_cleanup_(transaction_clear) struct kp_alpm_transaction tr = { 0 };
	struct kp_err why = KP_ERR_INIT;

	if (is_add(t) && !is_done(local, t))
		return 0;
	tr.broken = find_rest(local, t);
	if (!tr.broken)
		return 0;
	if (kp_alpm_transaction_run(db, &tr, nested, &why) < 0)
		kp_warn("%s: %s", t->pkg.name, why.text);
	kp_local_close(local);
	return kp_local_open(db, local, err);
}

/* ...and when it cannot remove a file, which is nobody's then. */
static bool has_old_files(int root_fd, const struct task *t)
{
	struct stat st;

	kp_strv_foreach(path, t->old)
		if (!kp_str_ends(*path, "/") && !kp_strv_has(t->pkg.files, *path) &&
		    kp_lstat_in(root_fd, *path, &st) == 0)
			return true;
	return false;
}

static void remove_old_files(struct kp_pkgdb *db, const struct kp_local *local,
			     const struct task *t)
{
	size_t n = kp_strv_len(t->old);
	struct kp_owner *owners;

	if (!has_old_files(db->root_fd, t))
		return;
	owners = kp_calloc(n, sizeof(*owners));
	if (kp_local_owner(db, local, (const char *const *)t->old, n, owners, NULL) == 0)
		for (size_t i = n; i-- > 0;) {
			const char *path = t->old[i];
			int rc;

			if (owners[i].package)
				continue;
			if (kp_str_ends(path, "/"))
				(void)kp_rmdir_in(db->root_fd, path);
			else if ((rc = kp_unlink_in(db->root_fd, path)) < 0)
				kp_warn("%s, which was %s's, cannot be removed: %s", path,
					t->pkg.name, strerror(-rc));
		}
	kp_owners_free(owners, n);
}

/* Did libalpm do what it said it did? */
static int judge(struct kp_pkgdb *db, struct task *t, bool nested, struct kp_err *err)
{
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	int rc = kp_local_open(db, &local, err);

	if (!rc)
		rc = drop_rest(db, &local, t, nested, err);
	if (rc < 0)
		return rc;
	if (!is_done(&local, t) ||
	    (is_add(t) && !kp_alpm_package_is_placed(db->root_fd, t->change->file))) {
		take_back(db, t, nested);
		refuse(t, -EIO, "pacman says that it is done, and it is not");
	} else if (is_add(t) && !is_whole(&local, t)) {
		/* The files are there, and list() says that it is to be installed again. */
		refuse(t, -EIO, "pacman's database has only a part of it");
	} else {
		remove_old_files(db, &local, t);
		t->change->result = KP_CHANGE_DONE;
	}
	return 0;
}

static int commit_one(struct kp_pkgdb *db, struct task *t, bool nested,
		      struct kp_err *err)
{
	_cleanup_(transaction_clear) struct kp_alpm_transaction tr = { 0 };
	struct kp_err why = KP_ERR_INIT;
	int rc;

	add_task(&tr, t);
	rc = kp_alpm_transaction_run(db, &tr, nested, &why);
	if (!rc)
		return judge(db, t, nested, err);
	if (rc == -EPERM)
		rc = kp_alpm_disk_check(db->root_fd, t->pkg.files, t->pkg.size, &why)
			     ?: rc;
	if (rc == -EPERM || kp_err_is_disk(rc))
		take_back(db, t, nested);
	if (rc != -EPERM)
		return kp_err_set(err, rc, "%s", why.text);
	refuse(t, rc, why.text);
	return 0;
}

/* Each by itself: there is one, or all together were refused. */
static int commit_each(struct kp_pkgdb *db, struct tasks *tasks, bool nested,
		       struct kp_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < tasks->n; i++) {
		struct task *t = &tasks->list[i];

		if (!is_due(t))
			continue;
		/* That on which the first attempt has ended may be one of the rest. */
		if (rc < 0)
			take_back(db, t, nested);
		else
			rc = commit_one(db, t, nested, err);
		tasks->changed |= rc == 0;
	}
	return rc;
}

static int commit_all(struct kp_pkgdb *db, struct tasks *tasks, bool nested,
		      struct kp_err *err)
{
	_cleanup_(transaction_clear) struct kp_alpm_transaction tr = { 0 };
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < tasks->n; i++) {
		if (!is_due(&tasks->list[i]))
			continue;
		add_task(&tr, &tasks->list[i]);
		n++;
	}
	if (!n)
		return 0;
	rc = kp_alpm_disk_check(db->root_fd, tr.overwrite, 0, err);
	if (!rc && n > 1)
		rc = kp_alpm_transaction_run(db, &tr, nested, err);
	if (rc == -EPERM || (!rc && n == 1))
		return commit_each(db, tasks, nested, err);
	tasks->changed = !rc;
	for (size_t i = 0; i < tasks->n && !rc; i++)
		if (is_due(&tasks->list[i]))
			rc = judge(db, &tasks->list[i], nested, err);
	return rc;
}

static int check_writable(struct kp_pkgdb *db, struct kp_err *err)
{
	_cleanup_close_ int fd =
		kp_open_in(db->root_fd, db->dbpath, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", db->dbpath);
	if (faccessat(fd, ".", W_OK, 0) < 0)
		return kp_err_sys(err, -errno, "write to '%s'", db->dbpath);
	return 0;
}

static int check_state(struct kp_pkgdb *db, bool *ret_nested, struct kp_err *err)
{
	_cleanup_free_ char *holder = NULL;
	enum kp_lock_state state;
	int rc = kp_alpm_lock_state(db, &state, &holder, err);

	if (rc < 0)
		return rc;
	if (state == KP_LOCK_BUSY)
		return kp_err_set(err, -EBUSY, "pacman's database is held by %s", holder);
	if (state == KP_LOCK_INSIDE_MUST_DEFER)
		return kp_err_set(err, -EBUSY, "pacman's database cannot be changed now");
	*ret_nested = state == KP_LOCK_INSIDE_CAN_COMMIT;
	return 0;
}

int kp_alpm_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		   struct kp_err *err)
{
	_cleanup_(tasks_clear) struct tasks tasks = { 0 };
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	struct kp_err why = KP_ERR_INIT;
	bool nested = false;
	int rc;

	if (!n)
		return 0;
	rc = check_state(db, &nested, err);
	if (!rc)
		rc = check_writable(db, err);
	if (!rc)
		rc = kp_local_open(db, &local, err);
	if (rc < 0)
		return rc;
	/* Only one of us commits at a time. */
	kp_alpm_drop_nested_lock(db);
	tasks_load(db, &local, changes, n, &tasks);
	rc = check_paths(db, &local, &tasks, err);
	if (rc < 0)
		return rc;
	rc = commit_all(db, &tasks, nested, &why);
	if (rc == -EOPNOTSUPP) {
		/* state() says from now on that we must defer. */
		kp_warn("%s; the modules are put in place and get their packages later",
			why.text);
		db->cannot_commit = true;
		rc = -EBUSY;
	}
	/* Busy says that nothing was changed. What has been done is done, the rest stays
	 * pending. */
	if (rc == -EBUSY && tasks.changed)
		return 0;
	return rc < 0 ? kp_err_set(err, rc, "%s", why.text) : 0;
}
