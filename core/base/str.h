// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Strings: a growing buffer and NULL-terminated string vectors.
 *
 * struct kp_buf: `s` is always NUL-terminated once something was added (NULL before);
 * the bytes may contain NULs, `len` counts them. kp_buf_free() releases; kp_buf_steal()
 * hands the string on.
 * A string vector (`char **`) owns its strings and is NULL-terminated; NULL is the empty
 * vector.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

struct kp_buf {
	char *s;
	size_t len, alloc;
};

#define KP_BUF_INIT                                                                      \
	{                                                                                \
		NULL, 0, 0                                                               \
	}
#define _cleanup_buf_ _cleanup_(kp_buf_free)

void kp_buf_free(struct kp_buf *b);
void kp_buf_add(struct kp_buf *b, const void *p, size_t len);
void kp_buf_addc(struct kp_buf *b, char c);
void kp_buf_adds(struct kp_buf *b, const char *s);
void kp_buf_addf(struct kp_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void kp_buf_reset(struct kp_buf *b);  /* empty, memory kept */
char *kp_buf_steal(struct kp_buf *b); /* never NULL; to be freed; b is empty afterwards */

void kp_strv_free(char **v);
KP_DEFINE_CLEANUP(char **, kp_strv_free);
#define _cleanup_strv_ _cleanup_(kp_strv_freep)
size_t kp_strv_len(char *const *v);
void kp_strv_add(char ***v, const char *s); /* copies */
void kp_strv_take(char ***v, char *s);	    /* takes ownership */
void kp_strv_addf(char ***v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool kp_strv_has(char *const *v, const char *s);
char **kp_strv_dup(char *const *v);
char **kp_strv_split(const char *s, const char *separators); /* no empty words */
char *kp_strv_join(char *const *v, const char *separator);
void kp_strv_sort(char **v); /* by bytes */

#define kp_strv_foreach(p, v) for (char *const *p = (v); p && *p; p++)

static inline bool kp_str_eq(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}
bool kp_str_starts(const char *s, const char *prefix);
bool kp_str_ends(const char *s, const char *suffix);
bool kp_str_empty(const char *s); /* NULL or "" */
/* Is it UTF-8 without control characters? */
bool kp_str_is_printable(const char *s);
void kp_str_printable(char *s); /* each byte of what is not becomes '?', in place */
char *kp_str_strip(char *s);	  /* white space off both ends, in place; returns start */

/* Order of two version strings as DKMS has it: every run of digits counts as a number,
 * the rest by bytes ("6.9" < "6.10" < "6.10-rc1"). <0, 0, >0. */
int kp_version_cmp(const char *a, const char *b);
