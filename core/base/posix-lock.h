// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Other programs' POSIX record locks (fcntl), looked at with F_GETLK, which tells the holder
 * without touching the lock.
 *
 * Closing a descriptor of a file gives up all record locks that this process has on it: nothing
 * here may be called for a file of which we hold one.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <kmodpkg/err.h>

struct kp_posix_lock {
	bool held;
	pid_t pid; /* 0: it is in a pid namespace that we do not see */
};

/* Who locks the file PATH below the root? A file that is not there is not locked. */
int kp_posix_lock_query(int root_fd, const char *path, struct kp_posix_lock *ret,
			struct kp_err *err);
/* Words for who holds it, to be freed. */
char *kp_posix_lock_holder(const struct kp_posix_lock *lock);
