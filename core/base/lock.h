// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lock files (flock), always with a bounded wait.
 *
 * The file stays; only the lock on it matters, so a crash leaves nothing to clean up. The
 * descriptor is close-on-exec: a child never keeps our lock. While a holder works, the
 * file holds "PID what\n" so that a waiter can say what it waits for.
 */
#pragma once

#include <kmodpkg/err.h>

#define KP_LOCK_TRY 0

/*
 * Take the lock PATH below root_fd, made with its directories when absent. WHAT is written
 * into it. Waits at most TIMEOUT_MS milliseconds; says once, at info level, what it waits
 * for. -EBUSY: held by someone else (err names the holder). 0: *ret_fd holds the lock until
 * closed.
 */
int kp_lock_take(int root_fd, const char *path, const char *what, int timeout_ms,
		 int *ret_fd, struct kp_err *err);
