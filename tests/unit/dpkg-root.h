// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the tests of the dpkg backend: a root with a dpkg database in it, and the backend as the program has
 * it, loaded from the build directory that the test lies in.
 */
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

struct root {
	char path[64];
	int fd;
	struct kp_pkgdb *db;
};

/* A file of the build directory; this program is <build>/tests/unit/test-X. To be freed. */
static inline char *build_path(const char *file)
{
	char *exe = realpath("/proc/self/exe", NULL), *path;

	assert_non_null(exe);
	for (int i = 0; i < 3; i++)
		*strrchr(exe, '/') = '\0';
	path = kp_strf("%s/%s", exe, file);
	free(exe);
	return path;
}

static const struct kp_pkgdb_ops *ops;

/* A group's setup. */
static inline int load_backend(void **state)
{
	_cleanup_free_ char *path = build_path("plugins/dpkg.so");
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	(void)state;
	if (!handle)
		fail_msg("%s", dlerror());
	ops = dlsym(handle, KP_PKGDB_SYMBOL);
	assert_non_null(ops);
	assert_int_equal(ops->abi, KP_PKGDB_ABI);
	return 0;
}

static inline void put(struct root *r, const char *path, const char *text)
{
	_cleanup_free_ char *dir = kp_strndup(path, (size_t)(strrchr(path, '/') - path));

	if (*dir)
		assert_int_equal(kp_mkdir_in(r->fd, dir, 0755, NULL), 0);
	assert_int_equal(kp_write_in(r->fd, path, text, strlen(text), 0644, NULL), 0);
}

#define DPKG_STANZA                                                                      \
	"Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n"     \
	"Version: 1.21.22\nDescription: Debian package management system\n"                  \
	" This package provides the low-level infrastructure.\n\n"

/* A test's setup: a database with dpkg itself in it. */
static inline int root_setup(void **state)
{
	struct root *r = kp_calloc(1, sizeof(*r));

	strcpy(r->path, "/tmp/kmodpkg-test-XXXXXX");
	assert_non_null(mkdtemp(r->path));
	r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->fd >= 0);
	put(r, "/var/lib/dpkg/status", DPKG_STANZA);
	put(r, "/var/lib/dpkg/info/dpkg.list", "/.\n/usr\n/usr/bin\n/usr/bin/dpkg\n");
	assert_int_equal(kp_mkdir_in(r->fd, "/var/lib/dpkg/updates", 0755, NULL), 0);
	assert_int_equal(ops->open(r->fd, &r->db, NULL), 0);
	*state = r;
	return 0;
}

static inline int root_teardown(void **state)
{
	struct root *r = *state;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ops->close(r->db);
	close(r->fd);
	assert_int_equal(kp_rm_rf_in(fd, r->path, NULL), 0);
	close(fd);
	free(r);
	return 0;
}
