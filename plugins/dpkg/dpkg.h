// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the parts of the dpkg backend share.
 *
 * Reading never starts a process: dpkg's database is text that has kept its form since
 * 1.16 (status, updates, file lists, diversions), and reading it takes milliseconds where
 * dpkg-query takes tens. Changing it is dpkg's alone (commit.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <kmodpkg/pkgdb.h>

#include "base/cleanup.h"

#define KP_DPKG_DIR "/var/lib/dpkg"

struct kp_pkgdb {
	int root_fd;
};

/*
 * Control fields of a generated package. dpkg keeps fields that it does not know, so
 * they come back from its status file; their presence is what makes a package ours.
 */
enum kp_dpkg_field {
	KP_DPKG_MODULE,
	KP_DPKG_VERSION,
	KP_DPKG_KERNEL,
	KP_DPKG_ARCH,
	KP_DPKG_KEY,
	KP_DPKG_CONTENT,
	KP_DPKG_SOURCE_PACKAGE, /* optional, as are key and content when read */
	KP_DPKG_N_FIELDS
};
extern const char *const kp_dpkg_field_names[KP_DPKG_N_FIELDS];
/* The members of ID in the order of the fields. */
void kp_dpkg_id_fields(const struct kp_pkg_id *id, const char *ret[KP_DPKG_N_FIELDS]);

/* status.c: the packages that dpkg knows */

/* In dpkg's order: what is above HALF_INSTALLED has all its files in place. */
enum kp_dpkg_state {
	KP_DPKG_NOT_INSTALLED,
	KP_DPKG_CONFIG_FILES,
	KP_DPKG_HALF_INSTALLED,
	KP_DPKG_UNPACKED,
	KP_DPKG_HALF_CONFIGURED,
	KP_DPKG_TRIGGERS_AWAITED,
	KP_DPKG_TRIGGERS_PENDING,
	KP_DPKG_INSTALLED,
};

/* One stanza. All strings lie in the texts of struct kp_dpkg_status; NULL: not set. */
struct kp_dpkg_pkg {
	const char *name, *arch, *version;
	enum kp_dpkg_state state;
	bool reinst_required; /* dpkg wants it installed again: its files are not whole */
	bool multi_arch_same;
	const char *fields[KP_DPKG_N_FIELDS];
};

struct kp_dpkg_status {
	struct kp_dpkg_pkg *pkgs; /* by name, then architecture */
	size_t n, alloc;
	char **texts;
};

/* The status file with the journal (updates/) of a running or killed dpkg applied. -EIO
 * when it cannot be read as a whole. */
int kp_dpkg_status_load(int root_fd, struct kp_dpkg_status *ret, struct kp_err *err);
void kp_dpkg_status_clear(struct kp_dpkg_status *st);
/* The installed instance of a name; else any; NULL: unknown to dpkg. */
const struct kp_dpkg_pkg *kp_dpkg_status_find(const struct kp_dpkg_status *st,
					      const char *name);
/* Does dpkg count files as the package's own in this state? */
bool kp_dpkg_pkg_has_files(const struct kp_dpkg_pkg *pkg);
bool kp_dpkg_pkg_is_ours(const struct kp_dpkg_pkg *pkg);
/* One text; JOURNAL: it is a file of updates/, whose stanzas replace. Changes TEXT and
 * keeps pointers into it. Fuzzed. */
int kp_dpkg_status_parse(struct kp_dpkg_status *st, char *text, size_t len, bool journal,
			 const char *file, struct kp_err *err);

#define _cleanup_status_ _cleanup_(kp_dpkg_status_clear)

/* lists.c: which paths a package has */

/* Called with the text of a package's file list, one path per line. A negative return
 * ends the walk. */
typedef int kp_dpkg_list_fn(const struct kp_dpkg_pkg *pkg, const char *text, size_t len,
			    void *data);
int kp_dpkg_lists_walk(int root_fd, const struct kp_dpkg_status *st, kp_dpkg_list_fn *fn,
		       void *data, struct kp_err *err);
/* Regular files of a package: the paths that are no other path's parent. *ret is a
 * vector. -ENOENT: dpkg has lost the list. */
int kp_dpkg_list_files(int root_fd, const struct kp_dpkg_pkg *pkg, char ***ret,
		       struct kp_err *err);
/* Next line of a list from *P on, which moves on: 1, or 0 at the end. Every line ends
 * with a newline (the reader has checked it). Fuzzed. */
int kp_dpkg_list_next(const char **p, const char *end, const char **ret, size_t *ret_len);

/* owner.c: as the backend's owner(), on a status loaded before. What only configuration
 * files are left of owns nothing. */
int kp_dpkg_owner(int root_fd, const struct kp_dpkg_status *st, const char *const *paths,
		  size_t n, struct kp_owner *ret, struct kp_err *err);

/* name.c: names and versions that dpkg allows */

/*
 * Package name of a module for a kernel: MODULE-modules-KERNEL, the form that APT's rules
 * for kernels know (APT::VersionedKernelPackages). Different pairs give different names.
 * Bytes that dpkg does not allow in a name (capital letters, '_', ...) become "+xHH" with
 * their two hexadecimal digits, so do a '+' that an 'x' follows and, in MODULE, the '-'
 * of "-modules"; a MODULE that does not begin with a letter or digit has its first byte
 * written as "0+xxHH". To be freed.
 */
char *kp_dpkg_name(const char *module, const char *kernel);
/*
 * Package version of a module version; different versions give different ones. As above
 * "+xHH" stands for what dpkg does not allow (':' and '_' are the usual ones, and a last
 * '-'); a version that does not begin with a digit gets "0~" in front, and the '~' of one
 * that begins with "0~" is written as "+x7e". To be freed.
 */
char *kp_dpkg_version(const char *version);

/* write.c */
int kp_dpkg_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		  char **ret_file, char **ret_name, struct kp_err *err);

/* identity.c: what a package file that we wrote says that it is */
struct kp_dpkg_identity {
	char *name, *version;
	char *key, *content; /* our fields, NULL when absent */
};
int kp_dpkg_identity_load(int root_fd, const char *file, struct kp_dpkg_identity *ret,
			  struct kp_err *err);
void kp_dpkg_identity_clear(struct kp_dpkg_identity *id);

/* lock.c */
int kp_dpkg_lock_state(struct kp_pkgdb *db, enum kp_lock_state *ret, char **ret_holder,
		       struct kp_err *err);

/* commit.c */
int kp_dpkg_commit(struct kp_pkgdb *db, struct kp_change *changes, size_t n,
		   struct kp_err *err);

/* auto.c: APT's view, by way of the libapt-pkg shim where it is installed */
int kp_dpkg_settle(struct kp_pkgdb *db, const char *const *names, size_t n,
		   struct kp_err *err);
int kp_dpkg_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
			    struct kp_err *err);

/* hooks.c: pkgdb.h's check_hooks() and sync_at_end(). */
int kp_dpkg_sync_at_end(struct kp_pkgdb *db, struct kp_err *err);
int kp_dpkg_check_hooks(struct kp_pkgdb *db,
			void (*emit)(void *data, const char *what, const char *mend),
			void *data, struct kp_err *err);
