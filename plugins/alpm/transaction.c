// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One transaction of libalpm.
 *
 * Below a running transaction the lock is taken already, and libalpm has no way to do without one
 * (ALPM_TRANS_FLAG_NOLOCK is refused at the commit). What is nested takes a lock file of its own
 * next to it: the string that alpm_option_get_lockfile() returns is the handle's own, read when
 * the lock is taken and when it is given back, so it is changed in place to a name of the same
 * length. That it is so is checked: should a later libalpm hand out a copy, then taking the
 * lock fails, and nothing has been changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "libalpm.h"
#include "pacman.h"

#define LOCK "/db.lck"
#define NESTED_LOCK "/kp.lck"
_Static_assert(sizeof(LOCK) == sizeof(NESTED_LOCK), "one is written over the other");

#define alpm kp_libalpm

/* What libalpm does to the process besides its work. */
struct keep {
	sigset_t signals;
	mode_t mask;
	int cwd;
};

void kp_alpm_drop_nested_lock(struct kp_pkgdb *db)
{
	_cleanup_free_ char *path = kp_path_join(db->dbpath, NESTED_LOCK);

	(void)kp_unlink_in(db->root_fd, path);
}

/* A terminal's Ctrl-C reaches us as well, and a package half written helps nobody. */
static void keep_begin(struct keep *k)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &k->signals);
	k->mask = umask(022);
	k->cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void keep_end(struct keep *k)
{
	if (k->cwd >= 0) {
		(void)!fchdir(k->cwd);
		close(k->cwd);
	}
	umask(k->mask);
	sigprocmask(SIG_SETMASK, &k->signals, NULL);
}

/* Errors are kept for whoever is told of the failure. Warnings are that a package is installed
 * again or downgraded, which is meant. */
static void note(void *ctx, int level, const char *fmt, va_list args)
{
	struct kp_buf *errors = ctx;
	_cleanup_free_ char *text = NULL;

	if (!(level & (ALPM_LOG_ERROR | ALPM_LOG_WARNING)))
		return;
		/* The format is libalpm's own. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	text = kp_vstrf(fmt, args);
#pragma GCC diagnostic pop
	kp_str_strip(text);
	if (level & ALPM_LOG_ERROR)
		kp_buf_addf(errors, "%s%s", errors->len ? "; " : "", text);
	else
		kp_debug("libalpm: %s", text);
}

/* Words for libalpm's last error with what it has to say in DATA, which is freed. */
static char *describe(struct alpm_handle *h, struct alpm_list *data,
		      const struct kp_buf *errors)
{
	int code = alpm.get_errno(h);
	struct kp_buf b = KP_BUF_INIT;

	kp_buf_addf(&b, "pacman: %s", alpm.strerror(code));
	for (struct alpm_list *i = data; i; i = i->next) {
		if (code == ALPM_ERR_UNSATISFIED_DEPS) {
			struct alpm_depmissing *miss = i->data;

			kp_buf_addf(&b, "; %s needs %s", miss->target,
				    miss->causingpkg ?: "another package");
			alpm.depmissing_free(miss);
		} else if (code == ALPM_ERR_FILE_CONFLICTS) {
			struct alpm_fileconflict *conflict = i->data;

			kp_buf_addf(&b, "; %s: %s", conflict->target, conflict->file);
			alpm.fileconflict_free(conflict);
		}
	}
	alpm.list_free(data);
	if (errors->len)
		kp_buf_addf(&b, "; %s", errors->s);
	return kp_buf_steal(&b);
}

static int redirect_lock(struct alpm_handle *h)
{
	char *lockfile = (char *)alpm.get_lockfile(h);
	size_t len = lockfile ? strlen(lockfile) : 0;

	if (len < strlen(LOCK) || strcmp(lockfile + len - strlen(LOCK), LOCK) != 0)
		return -EOPNOTSUPP;
	memcpy(lockfile + len - strlen(LOCK), NESTED_LOCK, strlen(LOCK));
	return 0;
}

static int take_lock(struct kp_pkgdb *db, struct alpm_handle *h, bool nested,
		     struct kp_err *err)
{
	const char *lockfile;

	if (nested && redirect_lock(h) < 0)
		return kp_err_set(err, -EOPNOTSUPP,
				  "this libalpm names its lock otherwise");
	if (alpm.trans_init(h, ALPM_TRANS_FLAG_NOHOOKS | ALPM_TRANS_FLAG_NOSCRIPTLET) <
	    0) {
		int code = alpm.get_errno(h);

		if (code == ALPM_ERR_HANDLE_LOCK && nested)
			return kp_err_set(err, -EOPNOTSUPP,
					  "this libalpm does not take a lock of our own");
		if (code == ALPM_ERR_HANDLE_LOCK &&
		    kp_exists_in(db->root_fd, alpm.get_lockfile(h)))
			return kp_err_set(err, -EBUSY, "pacman's database is locked");
		return kp_err_set(err, -EIO, "pacman's database: %s",
				  alpm.strerror(code));
	}
	lockfile = alpm.get_lockfile(h);
	if (nested && (!kp_str_ends(lockfile, NESTED_LOCK) || access(lockfile, F_OK) < 0))
		return kp_err_set(err, -EOPNOTSUPP,
				  "this libalpm does not take a lock of our own");
	return 0;
}

/* libalpm goes on when it cannot remove its lock. Of a handle that has it. */
static void release_lock(struct alpm_handle *h)
{
	const char *lockfile = alpm.get_lockfile(h);
	struct stat ours, st;
	bool known = stat(lockfile, &ours) == 0;

	alpm.trans_release(h);
	if (known && stat(lockfile, &st) == 0 && st.st_ino == ours.st_ino &&
	    st.st_ctim.tv_sec == ours.st_ctim.tv_sec &&
	    st.st_ctim.tv_nsec == ours.st_ctim.tv_nsec && unlink(lockfile) < 0)
		kp_warn("remove '%s': %s", lockfile, strerror(errno));
}

/* 1: there is something to do, 0: there is nothing. */
static int add_packages(struct alpm_handle *h, const struct kp_alpm_transaction *t)
{
	bool any = false;

	kp_strv_foreach(file, t->files) {
		struct alpm_pkg *pkg = NULL;

		/* Signature level 0: none is asked for, whatever pacman.conf says. */
		if (alpm.pkg_load(h, *file, 1, 0, &pkg) < 0)
			return -EPERM;
		if (alpm.add_pkg(h, pkg) < 0) {
			alpm.pkg_free(pkg);
			return -EPERM;
		}
		any = true;
	}
	kp_strv_foreach(name, t->removes) {
		struct alpm_pkg *pkg = alpm.db_get_pkg(alpm.get_localdb(h), *name);

		if (pkg && alpm.remove_pkg(h, pkg) < 0)
			return -EPERM;
		any |= pkg != NULL;
	}
	return any;
}

static int drop_broken(struct kp_pkgdb *db, const struct kp_alpm_transaction *t,
		       struct kp_err *err)
{
	kp_strv_foreach(name, t->broken) {
		_cleanup_free_ char *path = kp_strf("%s/local/%s", db->dbpath, *name);
		int rc = kp_rm_rf_in(db->root_fd, path, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What is around us may have ended while we prepared. */
static int check_outer(struct kp_pkgdb *db, bool nested, struct kp_err *err)
{
	enum kp_lock_state state;

	if (!nested)
		return 0;
	if (kp_alpm_lock_state(db, &state, NULL, NULL) < 0 ||
	    state != KP_LOCK_INSIDE_CAN_COMMIT)
		return kp_err_set(err, -EBUSY, "the transaction around us has ended");
	return 0;
}

static int run_locked(struct kp_pkgdb *db, struct alpm_handle *h,
		      const struct kp_alpm_transaction *t, bool nested,
		      const struct kp_buf *errors, struct kp_err *err)
{
	_cleanup_free_ char *words = NULL;
	struct alpm_list *data = NULL;
	int rc;

	/* libalpm reads the database when it is first asked for a package. */
	rc = drop_broken(db, t, err);
	if (rc < 0)
		return rc;
	rc = add_packages(h, t);
	if (!rc)
		return 0; /* alpm_trans_commit() takes that for an error */
	rc = rc < 0 ? rc : 0;
	if (!rc && alpm.trans_prepare(h, &data) < 0)
		rc = -EPERM;
	if (!rc) {
		rc = check_outer(db, nested, err);
		if (rc < 0)
			return rc;
		if (alpm.trans_commit(h, &data) < 0)
			rc = -EPERM;
	}
	if (!rc)
		return 0;
	words = describe(h, data, errors);
	return kp_err_set(err, -EPERM, "%s", words);
}

static void set_options(struct kp_pkgdb *db, struct alpm_handle *h,
			const struct kp_alpm_transaction *t, struct kp_buf *errors)
{
	alpm.set_logcb(h, note, errors);
	alpm.set_logfile(h, db->logfile);
	alpm.set_hookdirs(h, NULL);
	/* Unused, and missed when it is not said: where the first package file is. */
	if (t->files) {
		_cleanup_free_ char *dir = kp_path_dir(t->files[0]);

		alpm.add_cachedir(h, dir);
	}
	/* These are taken for patterns. */
	kp_strv_foreach(path, t->overwrite) {
		_cleanup_buf_ struct kp_buf pattern = KP_BUF_INIT;

		for (const char *s = *path + 1; *s; s++) {
			if (strchr("*?[]\\!", *s))
				kp_buf_addc(&pattern, '\\');
			kp_buf_addc(&pattern, *s);
		}
		alpm.add_overwrite_file(h, pattern.s);
	}
}

int kp_alpm_transaction_run(struct kp_pkgdb *db, const struct kp_alpm_transaction *t,
			    bool nested, struct kp_err *err)
{
	_cleanup_buf_ struct kp_buf errors = KP_BUF_INIT;
	struct alpm_handle *h;
	struct keep keep;
	int code = 0, rc;

	rc = kp_libalpm_load(err);
	if (rc < 0)
		return rc;
	keep_begin(&keep);
	h = alpm.initialize("/", db->dbpath, &code);
	if (!h) {
		rc = kp_err_set(err, -EIO, "pacman's database in %s: %s", db->dbpath,
				alpm.strerror(code));
	} else {
		set_options(db, h, t, &errors);
		rc = take_lock(db, h, nested, err);
		if (!rc) {
			rc = run_locked(db, h, t, nested, &errors, err);
			release_lock(h);
		} else {
			alpm.trans_release(h);
		}
		alpm.release(h);
	}
	keep_end(&keep);
	return rc;
}
