// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libarchive's objects in this program's ways of cleaning up and of reporting errors, and the
 * entries of a package.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/err.h>

#include "base/cleanup.h"
#include "base/str.h"

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

/* Put an entry's header; its SIZE bytes are to follow. It is owned by root. */
static inline int archive_put_header(struct archive *a, const char *path, mode_t mode,
				     uint64_t size, int64_t mtime, struct kp_err *err)
{
	_cleanup_entry_ struct archive_entry *e = archive_entry_new2(a);

	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, mode);
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_mtime(e, mtime, 0);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	archive_entry_set_uname(e, "root");
	archive_entry_set_gname(e, "root");
	if (archive_write_header(a, e) != ARCHIVE_OK)
		return archive_err(a, err, path);
	return 0;
}

/* Put bytes of an entry. A kp_payload_fn of the archive. */
static inline int archive_put_bytes(void *archive, const void *data, size_t len,
				    struct kp_err *err)
{
	if (archive_write_data(archive, data, len) != (la_ssize_t)len)
		return archive_err(archive, err, "write package");
	return 0;
}

/* Put a regular file that is at hand. */
static inline int archive_put_file(struct archive *a, const char *path,
				   const struct kp_buf *data, int64_t mtime,
				   struct kp_err *err)
{
	int rc = archive_put_header(a, path, S_IFREG | 0644, data->len, mtime, err);

	return rc < 0 ? rc : archive_put_bytes(a, data->s ?: "", data->len, err);
}

/* An archive_write_callback: add to a struct kp_buf. */
static inline la_ssize_t archive_to_buf(struct archive *a, void *buf, const void *p,
					size_t len)
{
	(void)a;
	kp_buf_add(buf, p, len);
	return (la_ssize_t)len;
}
