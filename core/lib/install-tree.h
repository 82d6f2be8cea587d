// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Modules in a tree that no package database knows: another DKMS tree, or another directory for
 * the kernels' modules, as an image is made from. Files are put in place and belong to nobody;
 * the links that DKMS keeps (install.h, kp_view_set) are all that says so.
 */
#pragma once

#include "lib/ctx.h"

/* Put the published build in place, with the install scripts and depmod. ANYWAY: though
 * PRE_INSTALL refuses. -ENOENT: it is not built; -ECHILD: PRE_INSTALL refused. */
int kp_tree_install(struct kp_ctx *ctx, const char *module, const char *version,
		    const char *kernel, bool anyway, struct kp_err *err);
/* Take away what is there as it was built, with empty directories. 0 when it is not installed. */
int kp_tree_uninstall(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, struct kp_err *err);
