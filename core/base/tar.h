// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing tar archives: the format of POSIX's ustar with GNU's way of long names, which all know. Entries are
 * owned by root; the same input gives the same bytes.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <kmodpkg/err.h>

/* Gets the archive piece by piece. 0 or an error, which is passed on. */
typedef int kp_tar_sink(void *data, const void *p, size_t len, struct kp_err *err);

/* The head of an entry; of a regular file SIZE bytes are to follow, and then kp_tar_pad(). MODE is as in st_mode:
 * a regular file, a directory, or a link with its TEXT (else NULL). MTIME in seconds. -EFBIG: 8 GiB or more. */
int kp_tar_head(kp_tar_sink *sink, void *data, const char *path, mode_t mode,
		uint64_t size, int64_t mtime, const char *text, struct kp_err *err);
/* What fills up a file of SIZE bytes. */
int kp_tar_pad(kp_tar_sink *sink, void *data, uint64_t size, struct kp_err *err);
int kp_tar_end(kp_tar_sink *sink, void *data, struct kp_err *err);
