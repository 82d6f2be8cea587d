// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Words of the shell as the plain evaluator takes them: quoting and expansions.
 *
 * Of conf-plain.c alone. Every construct is either done exactly as bash 4.0 and later
 * do it, or refused. In doubt: refuse; the shell evaluator costs milliseconds, a wrong
 * value costs a kernel module. tests/conf compares the two.
 *
 * Functions return 0, or -ENOTSUP with line and construct in parser->err.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <kmodpkg/err.h>

#include "base/str.h"
#include "lib/vars.h"

/* Largest array index with a meaning in any dkms.conf, by a wide margin. */
#define KP_INDEX_MAX 9999

struct kp_parser {
	const char *p, *end; /* what is left of the text */
	unsigned int line;
	struct kp_vars *vars;
	const char *self; /* array that is being assigned; must not be read meanwhile */
	size_t made;	  /* bytes of values so far */
	struct kp_err *err;
};

/* Where a word stands decides what bash would do with it after the expansions. */
enum kp_word_context {
	KP_IN_ASSIGNMENT, /* no word splitting, no globbing, no braces */
	KP_IN_ARRAY,	  /* all of them: what could trigger them is refused */
};

/* The byte so far ahead of the cursor, EOF behind the end. */
static inline int kp_parse_peek(const struct kp_parser *p, size_t ahead)
{
	return (size_t)(p->end - p->p) > ahead ? (unsigned char)p->p[ahead] : EOF;
}

/* A backslash before a line break joins two lines. */
static inline bool kp_parse_at_continuation(const struct kp_parser *p)
{
	return kp_parse_peek(p, 0) == '\\' && kp_parse_peek(p, 1) == '\n';
}

static inline void kp_parse_continuation(struct kp_parser *p)
{
	p->p += 2;
	p->line++;
}

int kp_parse_refuse(struct kp_parser *p, const char *what);
/* Refuse, naming the text from START on. */
int kp_parse_refuse_word(struct kp_parser *p, const char *what, const char *start);

/* A name at the cursor, to be freed; NULL when there is none. */
char *kp_parse_name(struct kp_parser *p);
/* "[n]" with a decimal number; anything else is arithmetic, which is refused. */
int kp_parse_index(struct kp_parser *p, unsigned int *ret);
/* Append to a value, up to the length that it, and all together, may have. */
int kp_parse_add(struct kp_parser *p, struct kp_buf *out, const char *s, size_t n);
/*
 * One word, to the next unquoted blank, line end, ';' or, in an array, ')'. *ret_quoted:
 * some of it was quoted (then it is a word even when it is empty).
 */
int kp_parse_word(struct kp_parser *p, enum kp_word_context context, struct kp_buf *out,
		  bool *ret_quoted);
