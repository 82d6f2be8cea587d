// SPDX-License-Identifier: GPL-2.0-or-later
/* What archive.c and archive-unpack.c share, and a fuzzer. */
#pragma once

#include <stdio.h>

#include "lib/archive.h"

/* Does a link at AT ("/a/b") with this text stay below the top? */
bool kp_archive_link_stays(const char *at, const char *text);
/* Make what MEMBERS say, lib/unpack-parts.h, below TO_FD. Errors as kp_archive_unpack(). Fuzzed. */
int kp_archive_take(FILE *members, int to_fd, struct kp_err *err);
