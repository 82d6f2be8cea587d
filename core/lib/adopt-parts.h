// SPDX-License-Identifier: GPL-2.0-or-later
/* What adopt.c, which reads the tree, shares with adopt-original.c, and nobody else. */
#pragma once

#include "lib/adopt.h"

struct kp_adopt_finder {
	struct kp_ctx *ctx;
	struct kp_adopt *found;
	struct kp_world w;
	char **kernels; /* that the tree has builds or modules for */
};

/* Valid until the next call. VERSION, KERNEL: NULL where it is of none. */
struct kp_adopt_item *kp_adopt_add(struct kp_adopt_finder *f, enum kp_adopt_kind kind,
				   const char *module, const char *version,
				   const char *kernel);
/* Is nothing of this kernel there, on disk or in the database, but what DKMS left? */
bool kp_adopt_is_dead(const struct kp_kernel *k);
/* The kernels' own modules that DKMS moved to MODULE/original_module. */
int kp_adopt_originals(struct kp_adopt_finder *f, const char *module, struct kp_err *err);
