// SPDX-License-Identifier: GPL-2.0-or-later
/* What intent.c shares with intent-file.c, which reads and writes it, and nobody else. */
#pragma once

#include "lib/intent.h"

/* A pin or hold, without a version of the whole module; or, without a kernel, the tombstone of a
 * source; or what it is built with. */
struct kp_saying {
	char *module, *version, *kernel;
	enum kp_intent_kind kind;
	bool headers_only; /* PIN */
	struct kp_build_with with;
};

struct kp_sayings {
	struct kp_saying *list; /* by module, version, kernel */
	size_t n, alloc;
};

struct kp_intent {
	struct kp_sayings pairs, removed, pending, with;
};

/* Where it is, or else would be inserted. */
bool kp_sayings_find(const struct kp_sayings *s, const char *module, const char *version,
		     const char *kernel, size_t *ret);
/* The pin of MODULE for KERNEL, whatever the version. */
bool kp_sayings_find_pin(const struct kp_intent *in, const char *module,
			 const char *kernel, size_t *ret);
