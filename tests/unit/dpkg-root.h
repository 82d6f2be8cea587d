// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the tests of the dpkg backend: a root with a dpkg database in it.
 */
#pragma once

#include "pkgdb.h"

#define DPKG_STANZA                                                                          \
	"Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n" \
	"Version: 1.21.22\nDescription: Debian package management system\n"                  \
	" This package provides the low-level infrastructure.\n\n"

/* A test's setup: a database with dpkg itself in it. */
static inline int root_setup(void **state)
{
	struct root *r = root_new();

	put(r, "/var/lib/dpkg/status", DPKG_STANZA);
	put(r, "/var/lib/dpkg/info/dpkg.list", "/.\n/usr\n/usr/bin\n/usr/bin/dpkg\n");
	assert_int_equal(kp_mkdir_in(r->fd, "/var/lib/dpkg/updates", 0755, NULL), 0);
	assert_int_equal(ops->open(r->fd, 0, &r->db, NULL), 0);
	*state = r;
	return 0;
}
