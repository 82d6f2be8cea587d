// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the front needs to translate a file of kbuild's around a module (probe-front/modc.h): the
 * headers of a kernel, reduced, as they are for one compiler and its options.
 *
 * Made with what a build asked for, which can be forged, and of nothing that a build has: directives of a
 * strict form, and paths of the system at which builds find what we do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/str.h"
#include "lib/ctx.h"

/* Is KEY, LEN bytes and a NUL, one that the front can have asked for? */
bool kp_modc_key_ok(const struct kp_ctx *ctx, const char *key, size_t len);

/* Does the front find what it looks for? ANSWERS: kp_probe_answers(). */
bool kp_modc_is_known(const struct kp_ctx *ctx, const char *answers, const char *key,
		      size_t len);

/* The call that reads the headers: arguments for the compiler, which writes their text to OUT and a list
 * of them to DEP and finds *ret_input on its standard input. Both to be freed. */
char **kp_modc_call(const char *key, size_t len, const char *out, const char *dep,
		    char **ret_input);

/* What came of it. */
struct kp_modc_read {
	const char *key;
	size_t key_len;
	const char *identity; /* lines of the compiler */
	const char *text;     /* OUT, with a NUL at its end */
	size_t len;
	const char *deps; /* DEP */
	time_t since;	  /* when the call began */
};

/* Add to RET the file that the front looks for. False: it cannot be had, or a header is as new as the call. */
bool kp_modc_make(const struct kp_ctx *ctx, const struct kp_modc_read *read,
		  struct kp_buf *ret);

/* Put that file where the front looks for it. What it replaces, or is the oldest of too many, goes. */
int kp_modc_save(struct kp_ctx *ctx, const char *answers, const char *key, size_t len,
		 const struct kp_buf *file);
