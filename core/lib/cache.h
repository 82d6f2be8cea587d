// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Builds that are kept: <cache_dir>/KEY/, what a build published before it was signed and compressed,
 * beside entry.json, which says by what it was made.
 *
 * The key stands for all that is known before a build (build-cache.c); what its compiler read is
 * known only behind it, so that an entry also has inputs, files with their hashes, which have to be as
 * they were (file-hash.h).
 *
 * The directory is root's alone (0700): builds, which run as other users, neither see nor change it.
 * An entry appears by rename, whole or not at all; its files are compared with their hashes
 * when they are taken out, and whatever is wrong with one, it is dropped: it can be built again.
 * Nothing needs a lock: who loses a race finds no entry.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "lib/ctx.h"
#include "lib/file-hash.h"

struct kp_cache_input {
	char *path; /* absolute */
	char sha256[KP_HASH_HEX];
};

struct kp_cache_entry {
	struct kp_cache_input *inputs;
	size_t n_inputs, alloc;
	char **licenses;    /* of the modules, as kp_record has them */
	int64_t time;	    /* seconds since the epoch, end of the build */
	int64_t elapsed_ms; /* of the build */
};

/* Does the configuration have a cache, and can this process use it? */
bool kp_cache_is_on(struct kp_ctx *ctx);
/* Copy what is kept for KEY to the directory DIR (absolute, empty). 1: done, *ret says how it was
 * built (to be cleared); 0: nothing is kept, or not for inputs as they are now; then DIR may
 * hold files. */
int kp_cache_get(struct kp_ctx *ctx, const char *key, const char *dir,
		 struct kp_file_hashes *hashes, struct kp_cache_entry *ret);
/* Keep the files of DIR, and drop what was not used for longest, until all fits. */
int kp_cache_put(struct kp_ctx *ctx, const char *key, const char *dir,
		 const struct kp_cache_entry *entry, struct kp_err *err);
/* Add a file as it is now. -ESTALE: it changed at SINCE (CLOCK_REALTIME_COARSE) or later. */
int kp_cache_add_input(struct kp_cache_entry *entry, const char *path,
		       const struct timespec *since, struct kp_file_hashes *hashes,
		       struct kp_err *err);
void kp_cache_entry_clear(struct kp_cache_entry *entry);
/* Entries, and bytes in all of them. -ENOENT: there is no cache; -EACCES: it may not be looked at. */
int kp_cache_usage(struct kp_ctx *ctx, size_t *ret_n, uint64_t *ret_bytes);
