// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Running what a module source brings: unprivileged, alone, without network.
 *
 * Each run gets a uid of its own (one per slot, never nobody, no passwd entry), no
 * capabilities and no new privileges, private mount, pid, ipc and network namespaces, a read-only view
 * of the system, a private /tmp, and write access to the directories it is given. When its
 * first process ends, all others are killed before the call returns. Where the system
 * lacks a mechanism the rest still applies and `missing` says what; with
 * config.sandbox_required that is an error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <kmodpkg/proc.h>

#include "lib/ctx.h"

struct kp_sandbox_bind {
	const char *from; /* absolute directory on the system */
	const char *at;   /* absolute: where it is seen inside; made below `scratch` if absent */
	bool writable;
};

struct kp_sandbox {
	unsigned int slot;   /* 0..: picks the uid; concurrent runs use different ones */
	const struct kp_sandbox_bind *binds;
	size_t n_binds;
	const char *scratch; /* absolute directory that becomes an empty writable-by-mounts-only
			      * tmpfs first, so that bind points below it can be made; NULL: none.
			      * (<dkms_tree>/MODULE/VERSION) */
	int timeout_s;       /* 0: none; on expiry everything is killed, -ETIME */
};

/* uid and gid of a slot; both the same number, mapped in our user namespace. */
uid_t kp_sandbox_uid(unsigned int slot);
/* Which protections are missing here, one line, or NULL; found out once. */
const char *kp_sandbox_missing(void);
/* Is there a private mount namespace (else recipes run at the real path)? */
bool kp_sandbox_has_mounts(void);

/* Run PROC inside and wait. Errors and *ret_end as kp_proc_run(). proc->setup must be NULL. */
int kp_sandbox_run(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		   const struct kp_proc *proc, struct kp_proc_end *ret_end,
		   struct kp_err *err);
