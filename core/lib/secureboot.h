// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Secure Boot, and whether the firmware knows the key that modules are signed with.
 *
 * Read from EFI variables as efivarfs shows them (4 bytes of attributes, then the value;
 * Linux' Documentation/filesystems/efivarfs.rst) and from /sys/firmware/efi/mok-variables,
 * below the root that is given; shim's variables are those of its MokVars.txt. No program is
 * needed for it.
 */
#pragma once

#include <stdbool.h>

#include "lib/ctx.h"

enum kp_enrolment {
	KP_ENROLLED_NO,
	KP_ENROLLED_YES,
	KP_ENROLLED_PENDING, /* asked for; MokManager asks at the next boot */
};

/* Does the firmware let only signed code in, and has shim not been told to look away? */
bool kp_secure_boot_is_on(const struct kp_ctx *ctx);
/* Does the running kernel refuse modules whose signature it cannot verify? Secure Boot alone does
 * not make it; with distributions' kernels it means lockdown. */
bool kp_secure_boot_enforces(const struct kp_ctx *ctx);
/* Does shim, or the firmware itself, know the certificate (DER or PEM) in this file? What is
 * built into the kernel cannot be seen from outside, and counts as not enrolled. */
enum kp_enrolment kp_secure_boot_knows(const struct kp_ctx *ctx, const char *cert);
/* The command that enrols CERT, as a person types it; to be freed. NULL: the machine was booted
 * without shim, so only the firmware's own list (db) counts, which is changed in many ways. */
char *kp_secure_boot_command(const struct kp_ctx *ctx, const char *cert);
/* One line that says that modules are signed with a key which this machine does not know, and what
 * to do, to be freed; NULL: nothing is to be said. Only of the system that was booted. */
char *kp_secure_boot_hint(struct kp_ctx *ctx);
