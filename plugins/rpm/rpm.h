// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the parts of the rpm backend share.
 *
 * Everything is done by librpm in this process, through its public interface as it is the
 * same in 4.18, 4.20 and 6.1; no rpm, no rpmbuild is started. librpm's state is global
 * (configuration, macros, log), so it is read once and left as it was after each call. A database is
 * opened for one call of the backend and closed again: whoever changes it meanwhile is
 * seen by the next.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <rpm/header.h>
#include <rpm/rpmdb.h>
#include <rpm/rpmte.h>
#include <rpm/rpmts.h>

#include <kmodpkg/pkgdb.h>

#include "base/cleanup.h"
#include "base/str.h"

struct kp_pkgdb {
	int root_fd;
	char *root;   /* what librpm is to put in front of its paths */
	char *dbpath; /* of a root that is not ours, without links; NULL: as configured */
	bool nested;  /* KP_OPEN_NESTED */
	pid_t client; /* nested: the process whose transaction it is */
	int client_fd; /* pidfd of it, -1: none */
	char **erased; /* nested: packages that it is going to erase itself */
};

KP_DEFINE_CLEANUP(Header, headerFree);
KP_DEFINE_CLEANUP(FD_t, Fclose);
#define _cleanup_header_ _cleanup_(headerFreep)
#define _cleanup_fd_ _cleanup_(Fclosep)

/* session.c: librpm, from configuration to an open database */

/* Read librpm's configuration, once per process. */
int kp_rpm_init(struct kp_err *err);
/* Directory of the database as seen from inside the root, to be freed. */
char *kp_rpm_dbpath(const struct kp_pkgdb *db);
/* Where the database of a root that is not ours lies, without links; to be freed, NULL: it
 * has none. */
char *kp_rpm_foreign_dbpath(int root_fd);
/* Is there a database in this directory? */
bool kp_rpm_has_db(int root_fd, const char *dbpath);
/* Does the root descriptor stand for our own root? */
bool kp_rpm_is_slash(int root_fd);
/* As rpmExpand(), for the database of DB; to be freed. */
char *kp_rpm_expand(const struct kp_pkgdb *db, const char *text);

/* One use of the database. Until its end librpm's errors are kept in it, not printed. */
struct kp_rpm_session {
	rpmts ts;
	bool pushed;	       /* the configuration names another database for now */
	struct kp_buf errors;  /* joined with "; " */
	struct kp_buf *before; /* those of the session around this one, NULL: none */
};
/* -EIO: the database cannot be opened. */
int kp_rpm_begin(struct kp_pkgdb *db, struct kp_rpm_session *s, struct kp_err *err);
/* -EIO with its words when librpm has reported an error since the beginning: an iterator
 * that fails in the middle looks like one that is at its end. */
int kp_rpm_check(const struct kp_rpm_session *s, struct kp_err *err);
void kp_rpm_end(struct kp_rpm_session *s);
#define _cleanup_session_ _cleanup_(kp_rpm_end)

/* The strings of an array in a header: a vector to be freed, NULL when there are none. */
char **kp_rpm_header_strv(Header h, rpmTagVal tag);
/* "[EPOCH:]VERSION-RELEASE", to be freed. */
char *kp_rpm_header_evr(Header h);

/* identity.c: the identity of a generated package, as Provides of it */

/* Provides of the packages that we made, and of no other. */
#define KP_RPM_MARKER "kmodpkg(package)"
/* All of them: a vector to be freed. */
char **kp_rpm_identity_provides(const struct kp_pkg_id *id);
bool kp_rpm_is_ours(Header h);
/* False, and nothing in *ret, when we did not make it. Key and content are never NULL. */
bool kp_rpm_identity_load(Header h, struct kp_pkg_id *ret);

/* name.c: what rpm allows */

/*
 * Name of the package of a module for a kernel: kmod-MODULE-KERNEL. Different pairs give
 * different names. Bytes other than letters, digits and "._-+" become "+xHH" with their two
 * hexadecimal digits; so do a '+' that an 'x' follows, the first byte of a kernel when it is
 * no digit and, in MODULE, a '-' that would look like the one before KERNEL, because a digit or
 * "+x" follows. To be freed.
 */
char *kp_rpm_name(const char *module, const char *kernel);
/* MODULE-kmod: what the module's package provides whatever the kernel. To be freed. */
char *kp_rpm_capability(const char *module);
/* Version of the package: '-' becomes '_', which itself, and what else rpm does not allow, is
 * escaped as above. To be freed. */
char *kp_rpm_version(const char *version);

/* query.c */

/* Paths of the regular files of a package: a vector to be freed, never NULL. */
char **kp_rpm_regular_files(Header h);
int kp_rpm_list(struct kp_pkgdb *db, struct kp_pkg_installed **ret, size_t *ret_n,
		struct kp_err *err);
int kp_rpm_owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err);
int kp_rpm_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
			   struct kp_err *err);

/* hooks.c: pkgdb.h's check_hooks() and install() */
int kp_rpm_check_hooks(struct kp_pkgdb *db,
		       void (*emit)(void *data, const char *what, const char *mend),
		       void *data, struct kp_err *err);
const char *kp_rpm_install(struct kp_pkgdb *db);
/* What people of this system install packages with. */
enum kp_rpm_frontend { KP_RPM_NONE, KP_RPM_DNF, KP_RPM_ZYPPER };
enum kp_rpm_frontend kp_rpm_frontend(struct kp_pkgdb *db);

/* header.c: the header of a package that is to be written */

/* The files and directories of a package in rpm's order, which is that of their paths. */
struct kp_rpm_payload {
	struct kp_rpm_payload_file {
		char *dir; /* with a slash at the end */
		char *base;
		const struct kp_pkg_file *file; /* NULL: a directory */
	} * files;
	size_t n;
};
int kp_rpm_payload_load(struct kp_rpm_payload *p, const struct kp_pkg *pkg,
			struct kp_err *err);
void kp_rpm_payload_clear(struct kp_rpm_payload *p);
/* Everything but what depends on the archive. REQUIRE_KERNEL: as pkg->depend_on_kernel, when
 * the kernel is in the database. *ret to be freed with headerFree(). */
int kp_rpm_header_make(const struct kp_pkg *pkg, const struct kp_rpm_payload *p,
		       bool require_kernel, Header *ret, struct kp_err *err);
/* Hash over the first N bytes of a file, hexadecimal, to be freed; NULL: it has not that many, or
 * they cannot be read. */
char *kp_rpm_sha256_fd(int fd, size_t n);

/* write.c */
int kp_rpm_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		 char **ret_file, char **ret_name, struct kp_err *err);

/* lock.c */
int kp_rpm_lock_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		      struct kp_err *err);
/* Find out whose transaction we are in, and hold on to that process. */
void kp_rpm_client_load(struct kp_pkgdb *db);
/* A transaction lock that this process holds before rpm takes it, for rpm would wait. */
struct kp_rpm_lock {
	int root_fd;
	char *path;
	int fd;
	bool own; /* beside the real one, which the client holds */
};
#define KP_RPM_LOCK_INIT                                                                 \
	{                                                                                \
		.fd = -1                                                                 \
	}
/* The one that state() calls for; never waits. -EBUSY with words. */
int kp_rpm_lock_take(struct kp_pkgdb *db, struct kp_rpm_lock *ret, struct kp_err *err);
void kp_rpm_lock_drop(struct kp_rpm_lock *lock);

/* commit.c */
int kp_rpm_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		  struct kp_err *err);
