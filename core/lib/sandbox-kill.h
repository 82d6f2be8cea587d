// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ending all that is below a process, where no pid namespace does that. Only for sandbox.c.
 *
 * By descent and not by user: a chroot or another run of ours beside this one may have given
 * the same uid to somebody else.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <kmodpkg/err.h>

/* Kill and reap all processes below this one, which has to be a child subreaper
 * (PR_SET_CHILD_SUBREAPER), so that nobody gets away. With AS_USER it is done as UID, whose
 * they are, so that nobody else can be hit; and they cannot hit back. -EBUSY: one does not die
 * (in the kernel). */
int kp_kill_below(bool as_user, uid_t uid, struct kp_err *err);
