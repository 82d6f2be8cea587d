// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What no limit of one process bounds: the memory of all together, the size of what they wrote,
 * the room that is left on the disk. Looked at now and then from beside them. Only for sandbox.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <kmodpkg/err.h>
#include <kmodpkg/proc.h>

#include "lib/ctx.h"
#include "lib/sandbox.h"

#define KP_WATCH_MS 500 /* between two looks */

struct kp_watch;

/* Those inside are the processes of UID, or with ALL every process in sight but this one. LIMITS
 * stay the caller's. The writable directories of SB are opened, and what is free there noted; likewise
 * of the files that PROC writes its output to. */
struct kp_watch *kp_watch_new(const struct kp_sandbox *sb, const struct kp_proc *proc,
			      const struct kp_limits *limits, uid_t uid, bool all);
void kp_watch_free(struct kp_watch *w);
/* One of them has ended, and was waited for. */
void kp_watch_ended(struct kp_watch *w, const struct rusage *usage);
/* The limits (1 << enum kp_limit) that can have been met for all that was seen, by what the kernel refuses at
 * a limit: processes, memory of one program. */
unsigned int kp_watch_met(struct kp_watch *w);
/* -EDQUOT: they use more memory, disk or processes than they may, or made directories too deep to
 * be counted; -ENOSPC: too little is left on a disk. With words for a person. */
int kp_watch_look(struct kp_watch *w, struct kp_err *err);
