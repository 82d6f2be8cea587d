// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libapt-pkg behind a C table: what only APT knows.
 *
 * A shared object of its own (apt.so, beside dpkg.so), loaded by the dpkg backend when it has a
 * question, for libapt-pkg needs half a second to open its cache and a program that installs
 * modules must work without it. The first two members are read before all others.
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KP_APT_ABI 1
#define KP_APT_SYMBOL "kp_apt_ops"

struct kp_apt_ops {
	unsigned int abi; /* KP_APT_ABI */
	size_t size;      /* sizeof(struct kp_apt_ops) */

	/* Mark N installed packages as automatically installed, in one write. Names that APT
	 * does not know are passed over. 0 or -EIO, with words in ERROR. */
	int (*mark_auto)(const char *const *names, size_t n, char *error, size_t error_size);

	/* Name of the package that brings the headers of a kernel release: linux-headers-RELEASE
	 * itself or what provides it. *ret to be freed. -ENOENT: APT knows none. */
	int (*find_headers)(const char *kernel, char **ret, char *error, size_t error_size);
};

#ifdef __cplusplus
}
#endif
