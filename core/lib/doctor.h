// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is wrong with this system's modules, and the command that mends it.
 *
 * Reads only. Each check adds its findings to a list; what it cannot look at (another root's
 * processes, EFI variables of a machine that it does not run on) it passes over. The root need
 * not be entered; what has to run a program is looked at only where the root is "/".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/secureboot.h"
#include "lib/sync.h"

struct kp_finding {
	const char *area; /* "headers", "modules", "files", "signing"...; for programs */
	char *what;	  /* one line */
	char *mend;	  /* a command, as a person types it; NULL: none is known */
	bool chosen;	  /* the configuration has it so: worth saying, and not wrong */
};

/* How modules are signed here, found in order or not. */
struct kp_doctor_signing {
	bool wanted;		 /* the configuration lets modules be signed */
	char *key, *certificate; /* NULL: none was made yet, or something is wrong */
	bool booted; /* the members below are known: this is the system that was booted */
	bool secure_boot;
	bool enforced; /* and the kernel refuses what it cannot verify */
	enum kp_enrolment enrolled;
};

struct kp_doctor {
	struct kp_finding *list; /* in the order of the checks */
	size_t n, alloc;
	struct kp_doctor_signing signing;
};

/* The backend is open. An error only if the system cannot be looked at, by the words of
 * kp_world_load(). */
int kp_doctor_look(struct kp_ctx *ctx, struct kp_doctor *ret, struct kp_err *err);
void kp_doctor_clear(struct kp_doctor *d);

/* ---- between the parts of it */

/* Takes WHAT and MEND (may be NULL). */
void kp_doctor_add(struct kp_doctor *d, const char *area, char *what, char *mend);
/* doctor-files.c: what nobody owns below /lib/modules. */
void kp_doctor_files(struct kp_ctx *ctx, const struct kp_world *w, struct kp_doctor *d);
/* doctor-machine.c: compilers, keys, protections, hooks, disks. */
void kp_doctor_machine(struct kp_ctx *ctx, const struct kp_world *w, struct kp_doctor *d);
