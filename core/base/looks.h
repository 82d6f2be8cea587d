// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How a file looks, for what is remembered of its content: mode, size, inode, times.
 *
 * Who remembers looks at the files, takes the time of a start, reads, and remembers only what had not
 * changed for KP_RACY_S seconds by that start: what changed later may change once more without a
 * new time stamp.
 */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#define KP_RACY_S 2

/* One line of text, to be freed. */
char *kp_looks(const struct stat *st);
/* One line of text about the file that PATH leads to below root_fd, "-" for what is not there; to be
 * freed. *newest_s is raised to its last status change, seconds since the epoch. */
char *kp_looks_in(int root_fd, const char *path, int64_t *newest_s);
/* The same of several files in the directory DIR, up to NULL, in one line. */
char *kp_looks_all_in(int root_fd, const char *dir, const char *const *names,
		      int64_t *newest_s);
