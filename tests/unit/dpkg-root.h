// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the tests of the dpkg backend: a root with a dpkg database in it, and the backend
 * as the program has it, loaded from the build directory that the test lies in.
 */
#pragma once

#include <dlfcn.h>

#include <kmodpkg/pkgdb.h>

#include "test.h"

static const struct kp_pkgdb_ops *ops;

/* Where the plugin lies; this program is <build>/tests/unit/test-X. To be freed. */
static inline char *backend_path(void)
{
	_cleanup_free_ char *exe = realpath("/proc/self/exe", NULL);

	assert_non_null(exe);
	for (int i = 0; i < 3; i++)
		*strrchr(exe, '/') = '\0';
	return kp_strf("%s/plugins/dpkg.so", exe);
}

/* Was this backend left out of the build? Then there is nothing to test. */
static inline bool backend_left_out(void)
{
	_cleanup_free_ char *path = backend_path();

	return access(path, F_OK) < 0;
}

/* A group's setup. */
static inline int load_backend(void **state)
{
	_cleanup_free_ char *path = backend_path();
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	(void)state;
	if (!handle)
		fail_msg("%s", dlerror());
	ops = dlsym(handle, KP_PKGDB_SYMBOL);
	assert_non_null(ops);
	assert_int_equal(ops->abi, KP_PKGDB_ABI);
	return 0;
}

#define DPKG_STANZA                                                                          \
	"Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n" \
	"Version: 1.21.22\nDescription: Debian package management system\n"                  \
	" This package provides the low-level infrastructure.\n\n"

struct root {
	struct test_root dir;
	int fd; /* dir.fd */
	struct kp_pkgdb *db;
};

static inline void put(struct root *r, const char *path, const char *text)
{
	test_put(&r->dir, path, text);
}

/* A test's setup: a database with dpkg itself in it. */
static inline int root_setup(void **state)
{
	struct root *r = kp_calloc(1, sizeof(*r));

	r->dir = test_root_new();
	r->fd = r->dir.fd;
	put(r, "/var/lib/dpkg/status", DPKG_STANZA);
	put(r, "/var/lib/dpkg/info/dpkg.list", "/.\n/usr\n/usr/bin\n/usr/bin/dpkg\n");
	assert_int_equal(kp_mkdir_in(r->fd, "/var/lib/dpkg/updates", 0755, NULL), 0);
	assert_int_equal(ops->open(r->fd, 0, &r->db, NULL), 0);
	*state = r;
	return 0;
}

static inline int root_teardown(void **state)
{
	struct root *r = *state;

	ops->close(r->db);
	test_root_free(&r->dir);
	free(r);
	return 0;
}
