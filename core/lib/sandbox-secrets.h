// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What nothing inside a sandbox may see. Only for sandbox.c.
 */
#pragma once

#include "lib/ctx.h"

/* Absolute paths without links, of directories and files that are there; to be freed. RELEASE: of the
 * kernel that the sandbox is about, NULL: of none. */
char **kp_secrets(const struct kp_ctx *ctx, const char *release);
