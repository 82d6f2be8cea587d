// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changing the database: one rpm transaction for all changes, in this process.
 *
 * rpm refuses a transaction as a whole when it finds a problem with one of its packages, and says
 * which. That change has failed then, and the others are tried again without it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rpm/rpmio.h>
#include <rpm/rpmlib.h>
#include <rpm/rpmmacro.h>
#include <rpm/rpmprob.h>
#include <rpm/rpmps.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "rpm.h"

#define MAX_INSTANCES 16 /* of one name; there is one, or two after an accident */

struct task {
	struct kp_change *change;
	char *name;	     /* NULL: the file could not be read yet */
	struct kp_pkg_id id; /* ADD: what the file says that it is */
	bool running;	     /* part of the transaction at hand */
};

struct commit {
	struct kp_pkgdb *db;
	struct task *tasks;
	size_t n;
};

static void commit_clear(struct commit *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->tasks[i].name);
		kp_pkg_id_clear(&c->tasks[i].id);
	}
	free(c->tasks);
}

static void refuse(struct task *t, int code, const char *why)
{
	t->change->result = KP_CHANGE_FAILED;
	kp_err_set(&t->change->err, code, "%s", why);
}

/* ---- what is there ---- */

/* Installed packages of one name. */
struct instances {
	Header h[MAX_INSTANCES];
	size_t n;
	bool foreign; /* one of them is not ours */
};

static void instances_load(rpmts ts, const char *name, struct instances *ret)
{
	rpmdbMatchIterator it = rpmtsInitIterator(ts, RPMDBI_NAME, name, 0);
	Header h;

	*ret = (struct instances){ 0 };
	while (ret->n < MAX_INSTANCES && (h = rpmdbNextIterator(it))) {
		ret->foreign |= !kp_rpm_is_ours(h);
		ret->h[ret->n++] = headerLink(h);
	}
	rpmdbFreeIterator(it);
}

static void instances_clear(struct instances *i)
{
	while (i->n)
		headerFree(i->h[--i->n]);
}

#define _cleanup_instances_ _cleanup_(instances_clear)

static bool same_id(const struct kp_pkg_id *a, const struct kp_pkg_id *b)
{
	return kp_str_eq(a->module, b->module) && kp_str_eq(a->version, b->version) &&
	       kp_str_eq(a->kernel, b->kernel) && kp_str_eq(a->arch, b->arch) &&
	       kp_str_eq(a->key, b->key) && kp_str_eq(a->content, b->content) &&
	       kp_str_eq(a->source_package, b->source_package);
}

/* Is what the change wants so already? */
static bool is_done(const struct task *t, const struct instances *there)
{
	struct kp_pkg_id id = { 0 };
	bool same;

	if (t->change->kind == KP_CHANGE_ERASE)
		return !there->n;
	if (there->n != 1 || !kp_rpm_identity_load(there->h[0], &id))
		return false;
	same = same_id(&id, &t->id);
	kp_pkg_id_clear(&id);
	return same;
}

/* ---- making a transaction ---- */

static int read_package(struct kp_rpm_session *s, struct task *t, Header *ret)
{
	FD_t fd = Fopen(t->change->file, "r.ufdio");
	rpmRC rc = RPMRC_NOTFOUND;

	if (!fd || Ferror(fd)) {
		t->change->result = KP_CHANGE_FAILED;
		kp_err_sys(&t->change->err, -errno, "open '%s'", t->change->file);
	} else {
		rc = rpmReadPackageFile(s->ts, fd, t->change->file, ret);
	}
	if (fd)
		Fclose(fd);
	if (rc == RPMRC_OK || rc == RPMRC_NOTTRUSTED || rc == RPMRC_NOKEY)
		return 0;
	if (t->change->result == KP_CHANGE_PENDING)
		refuse(t, -EINVAL,
		       s->errors.len ? s->errors.s : "it is no usable package file");
	/* That was about this file only. */
	kp_buf_reset(&s->errors);
	return -EINVAL;
}

/* Is NAME what rpm calls the file BASE until all of its package is written: "BASE;6b0ada1f"? */
static bool is_unfinished(const char *name, const char *base)
{
	size_t len = strlen(base);

	return kp_str_starts(name, base) && name[len] == ';' &&
	       strspn(name + len + 1, "0123456789abcdef") == 8 && !name[len + 9];
}

/* A transaction that was killed leaves such files, and none takes their names again. */
static void sweep(const struct kp_pkgdb *db, Header h)
{
	_cleanup_strv_ char **files = kp_rpm_regular_files(h);

	kp_strv_foreach(f, files) {
		_cleanup_free_ char *dir = kp_path_dir(*f);
		_cleanup_strv_ char **names = NULL;

		(void)kp_list_in(db->root_fd, dir, &names);
		kp_strv_foreach(name, names) {
			_cleanup_free_ char *path = kp_path_join(dir, *name);

			if (is_unfinished(*name, strrchr(*f, '/') + 1))
				(void)kp_unlink_in(db->root_fd, path);
		}
	}
}

static bool same_evr(Header a, Header b)
{
	_cleanup_free_ char *va = headerGetAsString(a, RPMTAG_EVR),
			    *vb = headerGetAsString(b, RPMTAG_EVR);

	return !strcmp(va, vb);
}

/* One that is there in the same version is installed again, so that files it had and has no longer
 * go. Others of the name go in any case. */
static int add_install(rpmts ts, Header h, const char *file,
		       const struct instances *there)
{
	bool again = false;
	int rc = 0;

	for (size_t i = 0; i < there->n; i++)
		again |= same_evr(h, there->h[i]);
	if (!again)
		return rpmtsAddInstallElement(ts, h, file, 1, NULL);
	rc = rpmtsAddReinstallElement(ts, h, file);
	for (size_t i = 0; i < there->n && !rc; i++)
		if (!same_evr(h, there->h[i]))
			rc = rpmtsAddEraseElement(ts, there->h[i],
						  (int)headerGetInstance(there->h[i]));
	return rc;
}

static int add_erase(rpmts ts, const struct instances *there)
{
	int rc = 0;

	for (size_t i = 0; i < there->n && !rc; i++)
		rc = rpmtsAddEraseElement(ts, there->h[i],
					  (int)headerGetInstance(there->h[i]));
	return rc;
}

/* Put a change into the transaction, or give it its result. */
static void add_task(const struct kp_pkgdb *db, struct kp_rpm_session *s, struct task *t)
{
	_cleanup_instances_ struct instances there = { 0 };
	_cleanup_header_ Header h = NULL;
	struct kp_change *c = t->change;
	int rc;

	if (c->kind == KP_CHANGE_ADD) {
		if (read_package(s, t, &h) < 0)
			return;
		free(t->name);
		t->name = headerGetAsString(h, RPMTAG_NAME);
		kp_pkg_id_clear(&t->id);
		if (!kp_rpm_identity_load(h, &t->id)) {
			refuse(t, -EINVAL, "it was not made by kmodpkg");
			return;
		}
	}
	/* That waits until it is done, and has to find the package as it is. */
	if (kp_strv_has(db->erased, t->name))
		return;
	instances_load(s->ts, t->name, &there);
	if (is_done(t, &there)) {
		c->result = KP_CHANGE_DONE;
		return;
	}
	if (there.foreign) {
		refuse(t, -EEXIST,
		       "a package of that name is installed that was not made by kmodpkg");
		return;
	}
	if (h)
		sweep(db, h);
	rc = c->kind == KP_CHANGE_ADD ? add_install(s->ts, h, c->file, &there)
				      : add_erase(s->ts, &there);
	if (rc) {
		refuse(t, -EPERM, s->errors.len ? s->errors.s : "rpm does not take it");
		kp_buf_reset(&s->errors);
		return;
	}
	t->running = true;
}

/* ---- running it ---- */

/* rpm asks for the package file, which KEY names; nothing else is of interest. */
static void *notify(const void *h, const rpmCallbackType what, const rpm_loff_t amount,
		    const rpm_loff_t total, fnpyKey key, rpmCallbackData data)
{
	FD_t *fd = data;

	(void)h;
	(void)amount;
	(void)total;
	if (what == RPMCALLBACK_INST_OPEN_FILE) {
		*fd = Fopen(key, "r.ufdio");
		if (*fd && Ferror(*fd)) {
			Fclose(*fd);
			*fd = NULL;
		}
		return *fd;
	}
	if (what == RPMCALLBACK_INST_CLOSE_FILE && *fd) {
		Fclose(*fd);
		*fd = NULL;
	}
	return NULL;
}

static struct task *task_of(struct commit *c, rpmte te)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->tasks[i].running && !strcmp(c->tasks[i].name, rpmteN(te)))
			return &c->tasks[i];
	return NULL;
}

/* The first problem that rpm has with an element. -ENOSPC: there is no room. */
static int problem_of(rpmte te, char **ret)
{
	rpmps problems = rpmteProblems(te);
	rpmpsi it = rpmpsInitIterator(problems);
	rpmProblem p;
	int rc = 0;

	while ((p = rpmpsiNext(it))) {
		if (!*ret)
			*ret = rpmProblemString(p);
		if (rpmProblemGetType(p) == RPMPROB_DISKSPACE ||
		    rpmProblemGetType(p) == RPMPROB_DISKNODES)
			rc = -ENOSPC;
	}
	rpmpsFreeIterator(it);
	rpmpsFree(problems);
	return rc;
}

/* Is it the disk that rpm complains of? There is no errno, but its words for it. */
static int disk_error(const char *text)
{
	static const int codes[] = { ENOSPC, EDQUOT, EROFS, EIO };

	for (size_t i = 0; i < KP_ARRAY_SIZE(codes); i++)
		if (strstr(text, strerror(codes[i])))
			return -codes[i];
	return 0;
}

/* Changes that rpm has a problem with fail. Number of them. */
static int take_problems(struct commit *c, struct kp_rpm_session *s, struct kp_err *err)
{
	const char *said = s->errors.len ? s->errors.s : "rpm gave no reason";
	int n = 0, rc = disk_error(said);
	rpmtsi it;
	rpmte te;

	if (rc < 0)
		return kp_err_set(err, rc, "rpm: %s", said);
	it = rpmtsiInit(s->ts);
	while (!rc && (te = rpmtsiNext(it, TR_ADDED | TR_REMOVED))) {
		_cleanup_free_ char *text = NULL;
		struct task *t = task_of(c, te);

		rc = problem_of(te, &text);
		if (rc < 0) {
			kp_err_set(err, rc, "rpm: %s", text);
		} else if (t && t->change->result == KP_CHANGE_PENDING &&
			   (text || rpmteFailed(te))) {
			refuse(t, -EPERM, text ?: said);
			n++;
		}
	}
	rpmtsiFree(it);
	return rc < 0 ? rc : n;
}

static int run(struct kp_rpm_session *s, const struct kp_rpm_lock *lock)
{
	FD_t fd = NULL;
	int rc;

	/* Our packages need not be signed, whatever others must be; they are to be whole. */
	rpmtsSetVfyLevel(s->ts, RPMSIG_DIGEST_TYPE);
	rpmtsSetNotifyCallback(s->ts, notify, &fd);
	if (lock->own)
		rpmPushMacro(NULL, "_rpmlock_path", NULL, lock->path, RMIL_CMDLINE);
	/* What the database says is there is there, also after a power cut. */
	rpmPushMacro(NULL, "_flush_io", NULL, "1", RMIL_CMDLINE);
	rc = rpmtsRun(s->ts, NULL, RPMPROB_FILTER_OLDPACKAGE | RPMPROB_FILTER_REPLACEPKG);
	rpmPopMacro(NULL, "_flush_io");
	if (lock->own)
		rpmPopMacro(NULL, "_rpmlock_path");
	if (fd)
		Fclose(fd);
	return rc;
}

/* Compare with the database what has come of the changes that were to be made. */
static int judge(struct commit *c, struct kp_err *err)
{
	_cleanup_session_ struct kp_rpm_session s = { 0 };
	int rc = kp_rpm_begin(c->db, &s, err), n = 0;

	for (size_t i = 0; i < c->n && !rc; i++) {
		_cleanup_instances_ struct instances there = { 0 };
		struct task *t = &c->tasks[i];

		if (!t->running)
			continue;
		instances_load(s.ts, t->name, &there);
		rc = kp_rpm_check(&s, err);
		if (rc || !is_done(t, &there))
			continue;
		t->change->result = KP_CHANGE_DONE;
		n++;
	}
	return rc < 0 ? rc : n;
}

/* One transaction with all that is pending. 1: something has changed, try what is left; 0: nothing
 * is. */
static int round_once(struct commit *c, struct kp_err *err)
{
	_cleanup_session_ struct kp_rpm_session s = { 0 };
	_cleanup_(kp_rpm_lock_drop) struct kp_rpm_lock lock = KP_RPM_LOCK_INIT;
	int rc, n_running = 0, n_refused, n_done = 0;

	rc = kp_rpm_lock_take(c->db, &lock, err);
	if (!rc)
		rc = kp_rpm_begin(c->db, &s, err);
	for (size_t i = 0; i < c->n && !rc; i++) {
		struct task *t = &c->tasks[i];

		t->running = false;
		if (t->change->result == KP_CHANGE_PENDING)
			add_task(c->db, &s, t);
		n_running += t->running;
		rc = kp_rpm_check(&s, err);
	}
	if (rc < 0 || !n_running)
		return rc;
	rpmtsCheck(s.ts);
	n_refused = take_problems(c, &s, err);
	if (n_refused)
		return n_refused < 0 ? n_refused : 1;
	rpmtsOrder(s.ts);
	rc = run(&s, &lock);
	n_done = judge(c, err);
	if (n_done < 0)
		return n_done;
	if (n_done == n_running)
		return 0;
	n_refused = take_problems(c, &s, err);
	if (n_refused < 0)
		return n_refused;
	if (!n_refused && !n_done)
		return kp_err_set(err, -EIO, "rpm: %s",
				  s.errors.len ? s.errors.s : "it gave no reason");
	return 1;
}

static int check_writable(struct kp_pkgdb *db, struct kp_err *err)
{
	_cleanup_free_ char *dbpath = kp_rpm_dbpath(db);
	_cleanup_close_ int fd =
		kp_open_in(db->root_fd, dbpath, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", dbpath);
	if (faccessat(fd, ".", W_OK, 0) < 0)
		return kp_err_sys(err, -errno, "write to '%s'", dbpath);
	return 0;
}

int kp_rpm_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		  struct kp_err *err)
{
	_cleanup_(commit_clear) struct commit c = { .db = db, .n = n };
	int rc = 1;

	if (!n)
		return 0;
	c.tasks = kp_calloc(n, sizeof(*c.tasks));
	for (size_t i = 0; i < n; i++) {
		c.tasks[i].change = &changes[i];
		changes[i].result = KP_CHANGE_PENDING;
		if (changes[i].kind == KP_CHANGE_ERASE)
			c.tasks[i].name = kp_strdup(changes[i].name);
	}
	rc = check_writable(db, err);
	if (rc < 0)
		return rc;
	do
		rc = round_once(&c, err);
	while (rc > 0);
	if (rc != -EBUSY)
		return rc;
	/* Busy says that nothing was changed. What is done is done, the rest stays pending. */
	for (size_t i = 0; i < n; i++)
		if (changes[i].result != KP_CHANGE_PENDING)
			return 0;
	return rc;
}
