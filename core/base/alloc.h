// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory: an allocation that fails ends the process with a message, so nobody checks.
 * What is freed is freed with free(3). Plugins allocate with the same malloc.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

void *kp_malloc(size_t size);
void *kp_calloc(size_t n, size_t size);
void *kp_reallocarray(void *p, size_t n, size_t size);
void *kp_memdup(const void *p, size_t size);
char *kp_strdup(const char *s); /* NULL gives NULL */
char *kp_strndup(const char *s, size_t n);
char *kp_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *kp_vstrf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* Make room for one more element in a growing array: KP_GROW(v, n, alloc). */
#define KP_GROW(v, n, alloc)                                                             \
	do {                                                                             \
		if ((n) == (alloc)) {                                                    \
			(alloc) = (alloc) ? (alloc)*2 : 8;                               \
			(v) = kp_reallocarray((v), (alloc), sizeof(*(v)));               \
		}                                                                        \
	} while (0)
