// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A backend: one package database, behind a table of functions.
 *
 * A backend is a shared object NAME.so in the plugin directory that exports one symbol,
 * `const struct kp_pkgdb_ops kp_pkgdb_ops`. The loader reads `abi` and `size`, and nothing
 * else before they are right. Any change of this header or of pkg.h is a new
 * KP_PKGDB_ABI. Backends include <kmodpkg/...> and base/ only and link the base objects with
 * hidden visibility.
 *
 * Memory that crosses this border is malloc()ed and freed by the receiver as said below.
 * Nothing here prints; messages of the native tools go to our stdout and stderr unless
 * they are captured into an error.
 *
 * probe, open, state, list and owner only read, take no lock, and work with any root_fd. write
 * touches no database. commit is called only when the root has been entered ("/").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kmodpkg/err.h>
#include <kmodpkg/pkg.h>

#define KP_PKGDB_ABI 7
#define KP_PKGDB_SYMBOL "kp_pkgdb_ops"

struct kp_pkgdb; /* the backend's own */

/* The native lock as seen from this process. */
enum kp_lock_state {
	/* Nobody holds it: commit takes the ordinary lock. */
	KP_LOCK_FREE,
	/* Our ancestor is the running transaction, and this is a point where a nested
	 * commit is safe. */
	KP_LOCK_INSIDE_CAN_COMMIT,
	/* Our ancestor is the running transaction; place files and queue. */
	KP_LOCK_INSIDE_MUST_DEFER,
	/* A process that is no ancestor of ours holds it. */
	KP_LOCK_BUSY,
};

/* Who owns a path. Absent strings are NULL. */
struct kp_owner {
	char *package; /* NULL: nobody */
	char *version;
	char *path; /* the literal path as the database has it */
};

/* Release what the structure holds / an array of them and itself. */
void kp_owner_clear(struct kp_owner *owner);
void kp_owners_free(struct kp_owner *owners, size_t n);

enum kp_open_flags {
	/* Whoever started us is the glue of a running transaction, at a point of it where the
	 * manager lets a nested transaction commit. Without it, state() never says
	 * KP_LOCK_INSIDE_CAN_COMMIT. */
	KP_OPEN_NESTED = 1 << 0,
};

enum kp_change_kind { KP_CHANGE_ADD, KP_CHANGE_ERASE };

enum kp_change_result {
	KP_CHANGE_PENDING, /* not tried or not reached; may be tried again */
	KP_CHANGE_DONE,
	KP_CHANGE_FAILED, /* refused by the package manager; err says why */
};

struct kp_change {
	enum kp_change_kind kind;
	const char *file; /* ADD: absolute path of a package file made by write() */
	const char *name; /* ERASE: package name as list() gave it */
	enum kp_change_result result; /* out */
	struct kp_err err;	      /* out, when FAILED */
};

struct kp_pkgdb_ops {
	unsigned int abi; /* KP_PKGDB_ABI */
	size_t size;	  /* sizeof(struct kp_pkgdb_ops) */
	const char *name; /* "dpkg" */

	/* Does this root use this database for its kernels? 0: no; 1: the database is
	 * there; 2: and it owns a kernel below /lib/modules, /usr/lib/modules or /boot. */
	int (*probe)(int root_fd);

	/* ROOT_FD stays the caller's and outlives the handle. FLAGS: enum kp_open_flags. */
	int (*open)(int root_fd, unsigned int flags, struct kp_pkgdb **ret,
		    struct kp_err *err);
	void (*close)(struct kp_pkgdb *db);

	/* *ret_holder (may be NULL): words for who holds it, to be freed, or NULL. -EXDEV: the
	 * transaction around us works on another root; the caller does nothing. */
	int (*state)(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		     struct kp_err *err);

	/* Packages that we made, whoever installed them: an array to be cleared element by
	 * element and freed. Starts no process. -EIO with words when the database cannot be
	 * read: the caller then changes nothing. */
	int (*list)(struct kp_pkgdb *db, struct kp_pkg_installed **ret, size_t *ret_n,
		    struct kp_err *err);

	/* For each of N absolute paths, who owns it (files and directories). A path is
	 * looked up literally and by the other names that directory links of the system give it
	 * (/lib and /usr/lib). A directory owned by several packages gives one of them, always
	 * the same, and one that we did not make if there is any. Strings in ret[] are to be freed by the caller. Starts no process. */
	int (*owner)(struct kp_pkgdb *db, const char *const *paths, size_t n,
		     struct kp_owner *ret, struct kp_err *err);

	/* Write a package file into the directory DIR_FD; the same input gives the same
	 * bytes. *ret_file: its file name, *ret_name: the package's name, both to be freed. -EEXIST
	 * with words: a package of that name that we did not make is installed. */
	int (*write)(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		     char **ret_file, char **ret_name, struct kp_err *err);

	/* Adds, then erases, in as few native transactions as the manager allows. Can be run again:
	 * a package that is there already, or gone already, is DONE. Files of ours that lie on
	 * disk unowned at exactly the package's paths are taken over; a path that another
	 * package owns is a FAILED change. 0: every change was tried, or could not be reached
	 * and is still PENDING. -EBUSY: the native lock is taken, nothing was changed; never
	 * waits for it. Other errors: the manager failed as a whole; what is PENDING may be
	 * tried again. */
	int (*commit)(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		      struct kp_err *err);

	/* Optional (NULL): after packages NAMES were added, set whatever flag makes the manager
	 * treat each as it treats the kernel it belongs to (apt: automatically installed). */
	int (*settle)(struct kp_pkgdb *db, const char *const *names, size_t n,
		      struct kp_err *err);

	/* Optional (NULL): the command that brings the headers of a kernel, as a person types it
	 * ("apt install linux-headers-6.1.0-56-amd64"); *ret to be freed. -ENOENT: unknown. May be
	 * slow; never called when there is nothing to report. */
	int (*suggest_headers)(struct kp_pkgdb *db, const char *kernel, char **ret,
			       struct kp_err *err);

	/* Optional (NULL), for a manager whose packages are named by the kind of kernel and not
	 * by its release: has another installed kernel taken the place of KERNEL, so that the
	 * packages are the other's? The files of the old one may still lie around; it gets no
	 * packages. 1: yes, 0: no. Starts no process. */
	int (*superseded)(struct kp_pkgdb *db, const char *kernel, struct kp_err *err);

	/* Optional (NULL), for `kmodpkg doctor`: call EMIT for each part of our glue that is not
	 * active (a plugin that is not loaded, a trigger that is missing). WHAT: one line; MEND: the
	 * command that mends it, or NULL. Strings are the backend's, for the time of the call. */
	int (*check_hooks)(struct kp_pkgdb *db,
			   void (*emit)(void *data, const char *what, const char *mend),
			   void *data, struct kp_err *err);
	/* Optional (NULL): what a person types in front of a package's name to have it installed
	 * ("apt install"); the backend's own string, NULL: unknown. */
	const char *(*install)(struct kp_pkgdb *db);

	/* Optional (NULL): called below the running transaction: have `kmodpkg sync` run before it
	 * ends, even if nothing else in it concerns us. NULL: each transaction of this manager
	 * ends with `kmodpkg drain --nested`, which looks by itself. */
	int (*sync_at_end)(struct kp_pkgdb *db, struct kp_err *err);

	/* Optional (NULL): absolute paths of the files by which this manager locks, up to NULL.
	 * Builds do not see them: who can open one can keep the manager from working. */
	const char *const *lock_files;

	/* Optional (NULL): a line of text about the database's files that is another one whenever owner() may
	 * have another answer, made of their stat only; to be freed. With it, answers are remembered.
	 * *newest_s: raised to when they last changed, seconds since the epoch. NULL: it cannot be said. */
	char *(*stamp)(struct kp_pkgdb *db, int64_t *newest_s);
	/* Is it another one also whenever list() may have another answer? Then that is remembered, too. */
	bool stamps_list;
};
