// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the tests of the backends: the backend as the program has it, loaded from the build
 * directory that the test lies in, packages for it to write, and somebody who holds a lock.
 */
#pragma once

#include <kmodpkg/pkgdb.h>

#include "test.h"

extern const struct kp_pkgdb_ops *ops;

/* For main(), first thing. False: this backend was left out of the build, so there is nothing to
 * test. */
bool backend_load(const char *name);

/* ---- a root with a database in it */

struct root {
	struct test_root dir;
	int fd; /* dir.fd */
	struct kp_pkgdb *db;
};

struct root *root_new(void);
/* A test's teardown. */
int root_teardown(void **state);
void put(struct root *r, const char *path, const char *text);

/* ---- packages */

struct package {
	struct kp_pkg pkg;
	struct kp_pkg_file files[4];
};

void package_init(struct package *p, const char *module, const char *version,
		  const char *kernel);
void package_add(struct package *p, const char *path, const char *data);
void package_clear(struct package *p);
#define _cleanup_package_ _cleanup_(package_clear)

/* Write it into the directory DIR, which is made. *ret_path: below the root; *ret_name (may be
 * NULL). */
int package_write(struct kp_pkgdb *db, int root_fd, const struct package *p,
		  const char *dir, char **ret_path, char **ret_name, struct kp_err *err);

/* ---- POSIX locks */

/* Lock a whole file until this process, a child of the test, ends. */
void lock(const char *path);

/* A process that holds a lock until it is told to end. */
struct stranger {
	pid_t pid;
	int fd;
};

struct stranger stranger_hold(const char *path);
void stranger_end(struct stranger *s);
