// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What conf-closed.c, which goes through the text of a conf, and conf-closed-words.c, which judges what a command does
 * with its words, share with nobody else.
 */
#pragma once

#include "base/str.h"
#include "lib/conf-parts.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define PATH_CHARS NAME_CHARS "/.+-"
#define GLOB "*?["

struct kp_closed {
	char *const *texts;
	const struct kp_vars *given;
	bool collecting;       /* the first time */
	struct kp_vars *known; /* literal values of variables, each once */
	char **unknown;	       /* variables that have, or may have, other ones */
	char ***paths, ***sourced;
};

/* What a simple command does with its words. */
enum kp_closed_kind {
	KP_CLOSED_NONE,	  /* there is none yet */
	KP_CLOSED_PLAIN,  /* looks at no file */
	KP_CLOSED_READER, /* reads those that are named */
	KP_CLOSED_TEST,	  /* looks at them, if that is what it tests */
	KP_CLOSED_SOURCE, /* runs them here */
	KP_CLOSED_FIND,	  /* the names in a directory */
	KP_CLOSED_MOVE,	  /* to the directory of the conf */
	KP_CLOSED_CASE,
};

struct kp_closed_command {
	enum kp_closed_kind kind;
	char *name;
	size_t n; /* words behind it */
	/* of a test: it looks at a file; a word may be any; an operator is what came last */
	bool looks, unclear, operator;
};

struct kp_closed_word {
	struct kp_buf text;  /* without quotes */
	struct kp_buf value; /* the same with variables put in */
	bool dollar;	     /* something is put in */
	bool other;	     /* more than values that are known */
	bool complex;	     /* more than values of NAME_CHARS */
	size_t own;	 /* length in TEXT of a variable that is none of those given */
	bool pattern;	 /* with an unquoted sign of one */
	const char *raw; /* as it is written */
	size_t raw_len;
};

/* "NAME=", "NAME+=" or "NAME[n]=" */
bool kp_closed_is_assignment(const char *word);
/* The variable called by the LEN bytes of NAME can have this value; NULL: one that is not to be told. */
void kp_closed_note(struct kp_closed *s, const char *name, size_t len, const char *value);
/* The same by W, which is an assignment. */
void kp_closed_assign(struct kp_closed *s, const struct kp_closed_word *w);
/* N bytes of P, what a '$' or '`' puts in, are part of W. */
void kp_closed_put_in(const struct kp_closed *s, const char *p, size_t n,
		      struct kp_closed_word *w);
/* Of a path that is absolute. */
void kp_closed_add_path(char ***paths, const char *path);
/* Is there no file behind a word of C but those that are looked at anyhow: paths that are known, which are added, and
 * the headers? */
bool kp_closed_is_clear(struct kp_closed *s, const struct kp_closed_command *c,
			const struct kp_closed_word *w);
/* May such a word be put into a variable, or be printed? */
bool kp_closed_is_plain(const struct kp_closed *s, const char *text);
/* The next word of C. False: not closed, whatever follows. */
bool kp_closed_take(struct kp_closed *s, struct kp_closed_command *c,
		    const struct kp_closed_word *w);
/* At its end: has it all words that make it closed? */
bool kp_closed_is_whole(const struct kp_closed_command *c);
