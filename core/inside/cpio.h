// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cpio archives as the kernel takes them for an initramfs (its documentation: driver-api/early-userspace/buffer-format): "newc",
 * several after each other, with zero bytes between them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kmodpkg/err.h>

/* Bytes one after the other, some of them at hand. */
struct kp_stream {
	const char *p; /* `left` bytes */
	size_t left;
	uint64_t pos; /* of p, from the start */
	/* Called with left == 0: put at least one more at hand. 1; 0: there are none; negative errno with words. */
	int (*more)(struct kp_stream *s, struct kp_err *err);
	/* Called with left == 0: go on up to N bytes further on without reading, and say how many. NULL: cannot. */
	uint64_t (*jump)(struct kp_stream *s, uint64_t n);
};

/* What of them matters. */
struct kp_members {
	char **modules; /* names, in the order of the archives, some more than once */
	size_t n, alloc;
	bool init; /* the program that the kernel starts is there */
};

void kp_members_clear(struct kp_members *m);

/* Read the archives that are there, and the zero bytes around them. 0: that was all; 1: what begins at the place that is
 * reached is something else. -EINVAL: damaged, cut off, or modules may be where this does not look; -EFBIG: too
 * many. Both with words. Pure; fuzzed. */
int kp_cpio_read(struct kp_stream *s, struct kp_members *m, struct kp_err *err);

/* The name of the module that a file is, '-' written as '_', to be freed. NULL: PATH is not that of a module. */
char *kp_cpio_module(const char *path);
