// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A few paths that are looked for in very many, such as the file lists of all packages. Most of
 * those differ from all of the few in length, and end there.
 *
 * Add all, seal once, then find.
 */
#pragma once

#include <stddef.h>

struct kp_pathset_entry {
	char *path;
	size_t len;
	size_t tag; /* the caller's */
};

struct kp_pathset {
	struct kp_pathset_entry *list; /* sealed: by length */
	size_t n, alloc;
	size_t *first_of_len, max_len;
};

/* A path may be there several times, with different tags. */
void kp_pathset_add(struct kp_pathset *s, const char *path, size_t tag);
void kp_pathset_seal(struct kp_pathset *s);
/* The next entry with these LEN bytes as its path; AFTER NULL: the first. NULL: no more. */
const struct kp_pathset_entry *kp_pathset_find(const struct kp_pathset *s,
					       const char *path, size_t len,
					       const struct kp_pathset_entry *after);
void kp_pathset_clear(struct kp_pathset *s);
