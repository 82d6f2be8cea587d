// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Running what a module source brings: unprivileged, alone, without network.
 *
 * Each run gets a uid of its own (one per slot, never nobody, no passwd entry), no
 * capabilities and no new privileges, private mount, pid, ipc and network namespaces, a
 * read-only view of the system without /home, /root, /run, our state, signing keys and the
 * package manager's locks, a private /tmp and /dev, and write access to the directories it is
 * given. Landlock says the same about files once more; a filter refuses system calls that
 * no build needs (sandbox-filter.h). When its first process ends, all
 * others are killed before the call returns; when the caller dies, all are killed. Where
 * the system lacks a mechanism the rest still applies and kp_sandbox_missing() says what is
 * not protected then; with config.sandbox_required that is an error.
 *
 * Slot 0 is for short helpers (evaluating a dkms.conf); builds take 1 and up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <kmodpkg/proc.h>

#include "lib/ctx.h"

struct kp_sandbox_bind {
	const char *from; /* absolute directory on the system */
	const char *at; /* absolute: where it is seen inside; made if absent where that is
			 * below `scratch`, /home, /root or /run, else it has to exist */
	bool writable;
};

struct kp_sandbox {
	unsigned int slot; /* 0..: picks the uid; concurrent runs use different ones */
	const struct kp_sandbox_bind *binds;
	size_t n_binds;
	const char *scratch; /* absolute directory that becomes an empty
			      * writable-by-mounts-only tmpfs first, so that bind points
			      * below it can be made; NULL: none.
			      * (<dkms_tree>/MODULE/VERSION) */
	const char
		*release; /* of the kernel that `uname -r` is to name, as far as private
			      * mounts bring it; NULL: the running one. Without them
			      * KP_LIBEXEC_DIR has to come first in PATH; with or without,
			      * it has to be in proc->env as $kernelver */
	int timeout_s;	  /* 0: none; on expiry everything is killed, -ETIME */
	uint64_t max_output; /* bytes of stdout (stderr too, where it is the same
			      * descriptor) that reach proc->out_fd, passed on by the
			      * caller's process so that those inside never hold the file;
			      * more is dropped. 0: the descriptor itself is handed on */
	unsigned int *met; /* -ECHILD: the limits (1 << enum kp_limit) by which something
			    * inside can have been refused more: they were in force and as
			    * much was used. NULL: not asked */
};

/* Slots are 0 to this less one. */
#define KP_SANDBOX_SLOTS 511

/* Take one from 1 up that nobody on this machine has: it is ours while *ret_lock is open, here or in a
 * process that we have started. -EBUSY: there is none. */
int kp_sandbox_take_slot(const struct kp_ctx *ctx, unsigned int *ret_slot, int *ret_lock,
			 struct kp_err *err);
/* uid and gid of a slot; both the same number, mapped in our user namespace. Where there is none that
 * we can become, and give files to, our own. */
uid_t kp_sandbox_uid(unsigned int slot);
/* Is that a user other than us? */
bool kp_sandbox_has_own_user(void);
/* Which protections are missing here, one line, or NULL; found out once. */
const char *kp_sandbox_missing(void);
/* Is there a private mount namespace (else recipes run at the real path)? Without it,
 * binds whose two ends differ are an error (-ENOTSUP), the others say what may be read and
 * written, and scratch says nothing. */
bool kp_sandbox_has_mounts(void);

/* When the last run with SLOT has ended, which nobody else has: remove what was left under its user in
 * directories of the system that all may write to. Only without private mounts is there any. */
void kp_sandbox_sweep(struct kp_ctx *ctx, unsigned int slot);

/* Run PROC inside and wait. Errors and *ret_end as kp_proc_run(). proc->setup must be
 * NULL. -ETIME: timeout. -EDQUOT, -ENOSPC: beyond config.limits, as kp_watch_look() has it, the words for a person.
 * -EINTR: the caller has SIGINT or SIGTERM blocked, and one came (it stays pending). With each
 * of these everything was killed. */
int kp_sandbox_run(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		   const struct kp_proc *proc, struct kp_proc_end *ret_end,
		   struct kp_err *err);
