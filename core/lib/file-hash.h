// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hashes of the system's files, remembered by stat: <cache_dir>/hashes.json. All builds for a kernel read the
 * same headers with the same compiler, some forty megabytes.
 *
 * A cache: what is lost, or wrong with it, is read again. Needs no lock: who writes takes in what others have
 * written, and if one gets lost in between that is all.
 */
#pragma once

#include <time.h>

#include "base/hash.h"
#include "lib/ctx.h"

struct kp_file_hashes;

/* To be closed. The context has a cache_dir. */
struct kp_file_hashes *kp_file_hashes_open(struct kp_ctx *ctx);
/* Remember what came new. NULL is a no-op. */
void kp_file_hashes_close(struct kp_file_hashes *h);
KP_DEFINE_CLEANUP(struct kp_file_hashes *, kp_file_hashes_close);

/* Of the content of PATH, a regular file; *ret_changed: when its status last changed. -EINVAL: it is something
 * else, and was not opened; -EFBIG: nobody would compile with that. */
int kp_file_hash(struct kp_file_hashes *h, const char *path, char ret[KP_HASH_HEX],
		 struct timespec *ret_changed, struct kp_err *err);
