// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <rpm/rpmlib.h>
#include <rpm/rpmlog.h>
#include <rpm/rpmmacro.h>
#include <rpm/rpmtd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "rpm.h"

/* Where librpm's errors go; librpm has one log for all of the process. */
static struct kp_buf *current;

static int keep_message(rpmlogRec rec, rpmlogCallbackData data)
{
	_cleanup_free_ char *text = kp_strdup(rpmlogRecMessage(rec));
	const char *words = kp_str_strip(text);

	(void)data;
	if (rpmlogRecPriority(rec) <= RPMLOG_ERR)
		kp_buf_addf(current, "%s%s", current->len ? "; " : "", words);
	else
		kp_debug("rpm: %s", words);
	return 0; /* it is not printed */
}

/* Returns what is to be given to the next call, to have it as it was. */
static struct kp_buf *capture(struct kp_buf *errors)
{
	struct kp_buf *before = current;

	current = errors;
	rpmlogSetCallback(errors ? keep_message : NULL, NULL);
	return before;
}

int kp_rpm_init(struct kp_err *err)
{
	static bool done;
	_cleanup_buf_ struct kp_buf errors = KP_BUF_INIT;
	struct kp_buf *before;
	int rc;

	if (done)
		return 0;
	before = capture(&errors);
	rc = rpmReadConfigFiles(NULL, NULL);
	capture(before);
	if (rc)
		return kp_err_set(err, -EIO, "rpm's configuration cannot be read: %s",
				  errors.len ? errors.s : "no reason given");
	done = true;
	return 0;
}

bool kp_rpm_is_slash(int root_fd)
{
	struct stat a, b;

	return fstat(root_fd, &a) == 0 && stat("/", &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool kp_rpm_has_db(int root_fd, const char *dbpath)
{
	/* sqlite, ndb, Berkeley DB */
	static const char *const names[] = { "rpmdb.sqlite", "Packages.db", "Packages" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_path_join(dbpath, names[i]);

		if (kp_exists_in(root_fd, path))
			return true;
	}
	return false;
}

static char *configured_dbpath(void)
{
	_cleanup_free_ char *path = rpmGetPath("%{?_dbpath}", NULL);

	return kp_strdup(*path == '/' ? path : "/var/lib/rpm");
}

char *kp_rpm_foreign_dbpath(int root_fd)
{
	_cleanup_free_ char *configured = configured_dbpath();
	const char *const places[] = { configured, "/usr/lib/sysimage/rpm",
				       "/var/lib/rpm" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(places); i++) {
		char *path = NULL;

		/* librpm follows links from our own root */
		if (kp_rpm_has_db(root_fd, places[i]) &&
		    kp_realpath_in(root_fd, places[i], &path) == 0)
			return path;
	}
	return NULL;
}

char *kp_rpm_dbpath(const struct kp_pkgdb *db)
{
	return db->dbpath ? kp_strdup(db->dbpath) : configured_dbpath();
}

/* Let librpm's configuration name the database of DB; undone with pop_dbpath(). */
static bool push_dbpath(const struct kp_pkgdb *db)
{
	if (db->dbpath)
		rpmPushMacro(NULL, "_dbpath", NULL, db->dbpath, RMIL_CMDLINE);
	return db->dbpath != NULL;
}

static void pop_dbpath(bool pushed)
{
	if (pushed)
		rpmPopMacro(NULL, "_dbpath");
}

char *kp_rpm_expand(const struct kp_pkgdb *db, const char *text)
{
	bool pushed = push_dbpath(db);
	char *ret = rpmExpand(text, NULL);

	pop_dbpath(pushed);
	return ret;
}

int kp_rpm_begin(struct kp_pkgdb *db, struct kp_rpm_session *s, struct kp_err *err)
{
	_cleanup_free_ char *dbpath = kp_rpm_dbpath(db);
	int rc;

	/* librpm would make an empty one up. */
	if (!kp_rpm_has_db(db->root_fd, dbpath))
		return kp_err_set(err, -EIO, "there is no rpm database in '%s'", dbpath);
	s->before = capture(&s->errors);
	s->ts = rpmtsCreate();
	rpmtsSetRootDir(s->ts, db->root);
	/* Headers were checked when they came into the database. Without signatures 6.x needs no
	 * keyring, for which it would make a lock file. */
	rpmtsSetVSFlags(s->ts,
			rpmtsVSFlags(s->ts) | RPMVSF_NOHDRCHK | RPMVSF_MASK_NOSIGNATURES);
	s->pushed = push_dbpath(db);
	rc = rpmtsOpenDB(s->ts, O_RDONLY);
	if (!rc)
		return kp_rpm_check(s, err);
	if (!s->errors.len)
		kp_buf_addf(&s->errors, "cannot open the database in '%s'", dbpath);
	return kp_rpm_check(s, err);
}

int kp_rpm_check(const struct kp_rpm_session *s, struct kp_err *err)
{
	return s->errors.len ? kp_err_set(err, -EIO, "rpm: %s", s->errors.s) : 0;
}

void kp_rpm_end(struct kp_rpm_session *s)
{
	if (!s->ts)
		return;
	rpmtsFree(s->ts);
	pop_dbpath(s->pushed);
	capture(s->before);
	kp_buf_free(&s->errors);
}

char **kp_rpm_header_strv(Header h, rpmTagVal tag)
{
	struct rpmtd_s td;
	char **v = NULL;
	const char *s;

	if (!headerGet(h, tag, &td, HEADERGET_MINMEM))
		return NULL;
	while ((s = rpmtdNextString(&td)))
		kp_strv_add(&v, s);
	rpmtdFreeData(&td);
	return v;
}

char *kp_rpm_header_evr(Header h)
{
	return headerGetAsString(h, RPMTAG_EVR);
}
