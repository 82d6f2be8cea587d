// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Refreshing the initramfs of a kernel whose modules changed: one table of the tools that
 * make them. An image is refreshed only where one exists; none is ever created.
 */
#pragma once

#include <time.h>

#include "lib/ctx.h"

/* If an image of KERNEL that a known tool makes is older than SINCE, let the tool make it anew. 0
 * also when there is nothing to do. */
int kp_initramfs_refresh(struct kp_ctx *ctx, const char *kernel,
			 const struct timespec *since, struct kp_err *err);
