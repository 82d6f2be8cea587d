// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A package file while a backend writes it: it has its name when it is whole and on disk.
 */
#pragma once

#include <kmodpkg/err.h>

#include "base/cleanup.h"

struct kp_pkgfile {
	int dir_fd; /* the caller's, outlives this */
	int fd;	    /* to write to */
	char *name; /* that it is going to have; NULL: it has it */
};
#define KP_PKGFILE_INIT                                                                  \
	{                                                                                \
		.fd = -1                                                                 \
	}
#define _cleanup_pkgfile_ _cleanup_(kp_pkgfile_close)

/* Begin the file NAME in the directory DIR_FD, one at a time. */
int kp_pkgfile_create(struct kp_pkgfile *f, int dir_fd, const char *name,
		      struct kp_err *err);
/* All is written: give it its name, which is the caller's to free. */
int kp_pkgfile_publish(struct kp_pkgfile *f, char **ret_name, struct kp_err *err);
/* What was not published goes. */
void kp_pkgfile_close(struct kp_pkgfile *f);
