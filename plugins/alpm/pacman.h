// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the parts of the alpm backend share.
 *
 * Reading needs no libalpm: pacman's local database is text that has kept its form since
 * version 9 of it (ALPM_DB_VERSION, 2011), so it is read on any root, whatever libalpm that
 * root or this machine has. Changing it is libalpm's alone (commit.c), which is loaded when
 * it is needed (libalpm.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <kmodpkg/pkgdb.h>

#include "base/cleanup.h"

struct kp_pkgdb {
	int root_fd;
	bool nested;	    /* KP_OPEN_NESTED */
	bool cannot_commit; /* there is no libalpm that can: found out by a commit */
	pid_t parent;	    /* when we were opened */
	char *dbpath;	    /* "/var/lib/pacman": absolute below the root */
	char *logfile;
};

/* conf.c: what pacman's configuration says of its places */
struct kp_pacman_conf {
	char *dbpath, *logfile; /* absolute paths; never NULL once loaded */
	char **hookdirs; /* those that are named, or the default; the last one counts most */
};
/* What is not said, or cannot be read, is pacman's default. */
void kp_pacman_conf_load(int root_fd, struct kp_pacman_conf *ret);
void kp_pacman_conf_clear(struct kp_pacman_conf *conf);
/* One text, which is changed. INCLUDE is called with the pattern of each Include. Fuzzed. */
typedef void kp_pacman_include_fn(const char *pattern, void *data);
void kp_pacman_conf_parse(struct kp_pacman_conf *conf, char *text,
			  kp_pacman_include_fn *include, void *data);

/* local.c: the local database */

/* An entry: the directory DBPATH/local/NAME-VERSION-RELEASE. */
struct kp_local_pkg {
	char *dir; /* its name, with a NUL behind the package's name... */
	const char *name, *version; /* ...in it */
};

struct kp_local {
	int fd; /* DBPATH/local; -1: there is none, the database is empty */
	struct kp_local_pkg *pkgs; /* in the order of the directories' names */
	size_t n, alloc;
};

int kp_local_open(struct kp_pkgdb *db, struct kp_local *ret, struct kp_err *err);
void kp_local_close(struct kp_local *local);
#define _cleanup_local_ _cleanup_(kp_local_close)
/* The entry's directory, to be freed. */
char *kp_local_dir(const struct kp_local_pkg *pkg);
/* NULL: there is none. Of several of that name, as a transaction leaves them which could not take the old
 * one away, it is the one that was written last; libalpm takes any. */
const struct kp_local_pkg *kp_local_find(const struct kp_local *local, const char *name);
/* Is this entry of ours as libalpm writes one, and the only one of its name? */
bool kp_local_is_whole(const struct kp_local *local, const struct kp_local_pkg *pkg);
/* Absolute paths of the files of a package, added to *RET; with DIRS those of its directories too, each
 * with a slash at the end and before what it holds. As kp_local_read(). */
int kp_local_files(const struct kp_local *local, const struct kp_local_pkg *pkg,
		   bool dirs, char ***ret, struct kp_err *err);
/* The text of an entry's file ("desc", "files"), to be freed. -ENOENT: it is not there; a
 * pacman that was killed leaves such entries, one that runs takes them away from under us. */
int kp_local_read(const struct kp_local *local, const struct kp_local_pkg *pkg,
		  const char *file, char **ret, size_t *ret_len, struct kp_err *err);

/* The first line of the section %KEY% of such a text, to be freed; NULL: it has none. Fuzzed. */
char *kp_desc_get(const char *text, const char *key);
/* Where the lines of the section %KEY% begin; NULL: there is none. Fuzzed. */
const char *kp_desc_find(const char *text, const char *key);
/* Next line of a section from *P on, which moves on: 1, or 0 at the section's end. Fuzzed. */
int kp_desc_next(const char **p, const char **ret, size_t *ret_len);

/* owner.c: as the backend's owner(), on a database opened before. */
int kp_local_owner(struct kp_pkgdb *db, const struct kp_local *local,
		   const char *const *paths, size_t n, struct kp_owner *ret,
		   struct kp_err *err);
/* Is any of these owned by a package? PATTERNs are fnmatch(3)'s, without the first slash. */
bool kp_local_owns_match(const struct kp_local *local, const char *const *patterns);

/* identity.c: a package's name, version, and what its description says that it is */

struct kp_alpm_identity {
	struct kp_pkg_id id;
	char *pkgbase;
};
void kp_alpm_identity_clear(struct kp_alpm_identity *identity);

/*
 * Package name of a module for a kind of kernel: kmod-MODULE-PKGBASE. Different pairs give
 * different names: the PKGBASE begins behind the first '-' that "linux", a digit or '@'
 * follows. "@HH" with two hexadecimal digits stands for a '-' of MODULE where that is not
 * plain, for the first byte of a PKGBASE that begins otherwise, and for what pacman does not
 * allow in a name. To be freed.
 */
char *kp_alpm_name(const char *module, const char *pkgbase);
/* Package version: VERSION_KERNEL-1. What pacman does not allow in one becomes '_', so it is the
 * description that tells two of them apart. To be freed. */
char *kp_alpm_version(const char *version, const char *kernel);
/*
 * Description of a package: SUMMARY and behind it " [kmodpkg: KEY=VALUE ...]" with the
 * identity, all values encoded as in a URL. -ENAMETOOLONG: libalpm reads lines of 1023 bytes.
 */
int kp_alpm_desc_make(const char *summary, const struct kp_alpm_identity *identity,
		      char **ret, struct kp_err *err);
/* Take the identity out of the description of the package NAME. -ENOENT: it is none that we
 * made. Fuzzed. */
int kp_alpm_desc_parse(const char *name, const char *desc, struct kp_alpm_identity *ret);
/* The identity of an entry. -ENOENT: none that we made; -EBADMSG: the entry is not whole, as a
 * killed pacman leaves it; -EIO with words. */
int kp_alpm_identity_load(const struct kp_local *local, const struct kp_local_pkg *pkg,
			  struct kp_alpm_identity *ret, struct kp_err *err);

/* lock.c */
int kp_alpm_lock_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		       struct kp_err *err);
/* DBPath of the pacman that is above us, to be freed; NULL: there is none. */
char *kp_alpm_dbpath_above(int root_fd);

/* kernel.c: kinds of kernels */

/* The kind of the kernel KERNEL, to be freed; NULL: it does not say. */
char *kp_alpm_pkgbase(int root_fd, const char *kernel);
int kp_alpm_superseded(struct kp_pkgdb *db, const char *kernel, struct kp_err *err);
int kp_alpm_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
			    struct kp_err *err);

/* hooks.c: pkgdb.h's check_hooks() */
int kp_alpm_check_hooks(struct kp_pkgdb *db,
			void (*emit)(void *data, const char *what, const char *mend),
			void *data, struct kp_err *err);

/* write.c */
int kp_alpm_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		  char **ret_file, char **ret_name, struct kp_err *err);

/* package.c: what a package file that we wrote says that it is */
struct kp_alpm_package {
	char *name, *version, *desc;
	char **files;  /* absolute paths of its regular files */
	uint64_t size; /* of all of them, in bytes */
};
int kp_alpm_package_load(int root_fd, const char *file, struct kp_alpm_package *ret,
			 struct kp_err *err);
void kp_alpm_package_clear(struct kp_alpm_package *pkg);
/* Is on disk what is in a package file? Times that libalpm could not set are set. */
bool kp_alpm_package_is_placed(int root_fd, const char *file);

/* disk.c: -EROFS, -ENOSPC with words: what is to be written at these paths cannot be, SIZE
 * bytes of it in all. */
int kp_alpm_disk_check(int root_fd, char *const *paths, uint64_t size,
		       struct kp_err *err);

/* commit.c */
int kp_alpm_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		   struct kp_err *err);

/* transaction.c: one transaction of libalpm */
struct kp_alpm_transaction {
	char **files;	  /* package files to install */
	char **overwrite; /* paths at which an unowned file may lie */
	char **removes;	  /* names of packages */
	char **broken; /* entries with which libalpm can do nothing, or the wrong thing */
};
/*
 * Run it, below the running transaction (NESTED) or under the ordinary lock. 0: all of it is
 * done. -EBUSY: the lock is taken; -EOPNOTSUPP: there is no libalpm, or none that can be nested; -EIO: the database
 * cannot be opened: nothing was changed. -EPERM: refused, with libalpm's words; part of it may be done.
 */
int kp_alpm_transaction_run(struct kp_pkgdb *db, const struct kp_alpm_transaction *t,
			    bool nested, struct kp_err *err);
/* Remove the lock of a nested one that was killed; the caller sees to it that there is none now. */
void kp_alpm_drop_nested_lock(struct kp_pkgdb *db);
