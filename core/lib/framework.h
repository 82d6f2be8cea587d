// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * DKMS's own configuration, /etc/dkms/framework.conf and framework.conf.d, as far as it
 * says something that is ours to say: where the trees are, how many jobs, how modules are
 * signed. What kmodpkg.conf says comes after it and counts.
 *
 * The files are bash, evaluated like a dkms.conf (conf.h): in C where they are plain
 * assignments, else by bash in the sandbox. A file that cannot be evaluated is passed over with a
 * warning: DKMS's configuration must not keep anything from working.
 */
#pragma once

#include "lib/ctx.h"

/* Fill CTX's trees and configuration, which hold the defaults. */
void kp_framework_load(struct kp_ctx *ctx);

/* Paths of the configuration may name the kernel, by $kernelver; the text with KERNEL in its
 * place, to be freed. NULL gives NULL. */
char *kp_framework_path(const char *path, const char *kernel);
