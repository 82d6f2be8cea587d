// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a sandboxed process sees of the file system.
 *
 * Called in a process that has just got a mount namespace of its own (clone or unshare
 * with CLONE_NEWNS) and is still root in it. Only for sandbox.c.
 */
#pragma once

#include <kmodpkg/err.h>

#include "lib/sandbox.h"

/* Parts of the view that a system may refuse; found out by kp_view_probe(). */
enum kp_view_part {
	KP_VIEW_READONLY_ALL = 1 << 0, /* read-only with all mounts below "/" */
	KP_VIEW_READONLY_TOP = 1 << 1, /* at least "/" itself */
	KP_VIEW_DEV = 1 << 2,
	KP_VIEW_PROC = 1 << 3, /* with a pid namespace only */
};

/* Cut the namespace off from the system's mounts, and make "/" a mount of its own (a
 * chroot may be a plain directory). What everything else here needs first. */
int kp_view_detach(struct kp_err *err);
/* After kp_view_detach(): which parts work here (bits of kp_view_part); try /proc only
 * WITH_PROC. -errno when there cannot be a private /tmp, so no view at all, or nothing can be
 * said now (kp_view_failed_for_now()). */
int kp_view_probe(bool with_proc, struct kp_err *err);
/* Is this an error that says nothing of what the system has, but that it is out of memory, say? */
bool kp_view_failed_for_now(int rc);
/* After kp_view_detach(): the whole view, without SECRETS (absolute paths that are there). PARTS as
 * probed; a part that fails is an error. */
int kp_view_enter(const struct kp_sandbox *sb, char *const *secrets, int parts,
		  struct kp_err *err);
