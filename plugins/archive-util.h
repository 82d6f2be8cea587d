// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libarchive's objects in this program's ways of cleaning up and of reporting errors.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include <kmodpkg/err.h>

#include "base/cleanup.h"

static inline void archive_freep(struct archive **a)
{
	if (*a)
		archive_free(*a);
}

static inline void entry_freep(struct archive_entry **e)
{
	if (*e)
		archive_entry_free(*e);
}

#define _cleanup_archive_ _cleanup_(archive_freep)
#define _cleanup_entry_ _cleanup_(entry_freep)

/* Error of A, and -errno. */
static inline int archive_err(struct archive *a, struct kp_err *err, const char *what)
{
	int code = archive_errno(a) > 0 ? -archive_errno(a) : -EIO;
	const char *text = archive_error_string(a);

	return kp_err_set(err, code, "%s: %s", what, text ?: strerror(-code));
}
