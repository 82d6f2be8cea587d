// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a sandboxed process may do with files, said once more by Landlock, and without mounts
 * said by it alone. Only for sandbox.c.
 *
 * Reading is allowed where nothing is hidden, writing in the writable directories, /tmp,
 * /dev/shm and memory devices. Connecting by TCP, abstract sockets and signals to those
 * outside are refused where the kernel can (Linux 6.7, 6.12).
 */
#pragma once

#include <stdbool.h>

#include <kmodpkg/err.h>
#include <kmodpkg/proc.h>

#include "lib/sandbox.h"

/* Is there one that builds can live with? (Linux 5.19; before, no file could be moved from one
 * directory to another.) */
bool kp_landlock_works(void);
/* The rules for a run, after the view has been entered if there is one. HIDDEN: absolute paths
 * that cannot be read; NULL in a view, which hides them itself. */
int kp_landlock_make(const struct kp_sandbox *sb, const struct kp_proc *proc,
		     char *const *hidden, int *ret_fd, struct kp_err *err);
/* Apply them to this process, after no_new_privs. */
int kp_landlock_enter(int fd);
