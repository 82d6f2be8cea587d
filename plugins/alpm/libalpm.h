// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libalpm, loaded when it is needed: pacman 6.0 has libalpm.so.13, 6.1 .so.14, 7.0 .so.15, 7.1
 * .so.16, and which of them is on disk may change in the very transaction that runs us. The
 * declarations are those of its alpm.h and alpm_list.h, as far as used here; these calls, types
 * and numbers are the same in all of them (14 was not at hand to try).
 */
#pragma once

#include <stdarg.h>
#include <stdint.h>

#include <kmodpkg/err.h>

struct alpm_handle;
struct alpm_pkg;
struct alpm_db;

struct alpm_list {
	void *data;
	struct alpm_list *prev, *next;
};

/* alpm_depmissing_t, alpm_fileconflict_t: what alpm_trans_prepare() and _commit() complain of. */
struct alpm_depmissing {
	char *target; /* the package that has the dependency */
	void *depend;
	char *causingpkg;
};

struct alpm_fileconflict {
	char *target; /* our package */
	int type;
	char *file;
	char *ctarget; /* the other one's, "": it is in the file system only */
};

enum { /* alpm_loglevel_t */
       ALPM_LOG_ERROR = 1 << 0,
       ALPM_LOG_WARNING = 1 << 1,
};

enum {					 /* alpm_transflag_t */
       ALPM_TRANS_FLAG_NOHOOKS = 1 << 7, /* 13 does not know it and does no harm */
       ALPM_TRANS_FLAG_NOSCRIPTLET = 1 << 10,
};

enum { /* alpm_errno_t */
       ALPM_ERR_HANDLE_LOCK = 10,
       ALPM_ERR_UNSATISFIED_DEPS = 45,
       ALPM_ERR_FILE_CONFLICTS = 47,
};

typedef void alpm_log_fn(void *ctx, int level, const char *fmt, va_list args);

struct kp_libalpm {
	struct alpm_handle *(*initialize)(const char *root, const char *dbpath, int *err);
	int (*release)(struct alpm_handle *h);
	int (*get_errno)(struct alpm_handle *h);
	const char *(*strerror)(int err);
	const char *(*get_lockfile)(struct alpm_handle *h);
	int (*set_logcb)(struct alpm_handle *h, alpm_log_fn *fn, void *ctx);
	int (*set_logfile)(struct alpm_handle *h, const char *path);
	int (*set_hookdirs)(struct alpm_handle *h, struct alpm_list *dirs);
	int (*add_cachedir)(struct alpm_handle *h, const char *path);
	int (*add_overwrite_file)(struct alpm_handle *h, const char *glob);
	struct alpm_db *(*get_localdb)(struct alpm_handle *h);
	struct alpm_pkg *(*db_get_pkg)(struct alpm_db *db, const char *name);
	int (*pkg_load)(struct alpm_handle *h, const char *file, int full, int siglevel,
			struct alpm_pkg **ret);
	int (*pkg_free)(struct alpm_pkg *pkg);
	int (*add_pkg)(struct alpm_handle *h, struct alpm_pkg *pkg); /* takes it */
	int (*remove_pkg)(struct alpm_handle *h, struct alpm_pkg *pkg);
	int (*trans_init)(struct alpm_handle *h, int flags);
	int (*trans_prepare)(struct alpm_handle *h, struct alpm_list **data);
	int (*trans_commit)(struct alpm_handle *h, struct alpm_list **data);
	int (*trans_release)(struct alpm_handle *h);
	void (*list_free)(struct alpm_list *list);
	void (*depmissing_free)(struct alpm_depmissing *miss);
	void (*fileconflict_free)(struct alpm_fileconflict *conflict);
};

/* -EOPNOTSUPP with words: none of a version that we know is there. Stays loaded. */
int kp_libalpm_load(struct kp_err *err);
extern struct kp_libalpm kp_libalpm;
