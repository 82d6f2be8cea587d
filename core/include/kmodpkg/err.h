// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Errors: a negative errno says what kind, an error object says what happened.
 *
 * Every function that can fail returns 0 (or a count) on success and a negative errno on
 * failure. Where the caller may want the words, the last parameter is `struct kp_err *err`,
 * a value on the caller's stack: fixed text, nothing to free, usable without memory. It is
 * untouched on success. NULL is allowed everywhere and drops the words.
 *
 * The cause is described where it is known; on the way up a caller may only put the object
 * it was working on in front (kp_err_prefix). Libraries never print errors: main does, once.
 * A text is one line and says what to do where something can be done.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#define KP_ERR_MAX 768

struct kp_err {
	int code; /* negative errno, 0 when unset */
	char text[KP_ERR_MAX];
};

#define KP_ERR_INIT                                                                      \
	{                                                                                \
		.code = 0                                                                \
	}

/* Set the text and return CODE (a negative errno). Line breaks and other control
 * characters in the text are replaced by '?'. */
int kp_err_set(struct kp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Like kp_err_set(), with ": <strerror>" behind the text. */
int kp_err_sys(struct kp_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "<prefix>: " in front of a text that is set; returns err's code. */
int kp_err_prefix(struct kp_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The text, or the words for CODE when there is none (err may be NULL). */
const char *kp_err_text(const struct kp_err *err, int code);

/* Is CODE about a disk that is full or read-only, so that the next change fails as well? */
bool kp_err_is_disk(int code);
