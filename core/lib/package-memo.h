// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the backend's list() said, remembered: <state_dir>/packages, as long as the database's files look as they
 * did. Lines of text, since to parse as much JSON would take longer than to ask some databases. Root's process writes
 * it, whole or not at all; what is not as it should be counts as not there. Only for backend.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <kmodpkg/pkg.h>

#include "lib/ctx.h"

/* By STAMP, how the database looks now. False: not known. *ret is to be released by kp_pkg_list_free(). */
bool kp_package_memo_load(const struct kp_ctx *ctx, const char *stamp,
			  struct kp_pkg_installed **ret, size_t *ret_n);
/* Write it down, if this process may. */
void kp_package_memo_save(const struct kp_ctx *ctx, const char *stamp,
			  const struct kp_pkg_installed *list, size_t n);
