// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The files that kbuild writes, or has, around a module's own: NAME.mod.c, which modpost makes
 * of every module, and scripts/module-common.c of Linux 6.12 and later. They are a few lines
 * that include the whole of <linux/module.h>, whose parsing is all that compiling them costs. Of the
 * headers they need little, which can be said in a hundred lines (lib/reduce.h), once for a
 * kernel.
 *
 * Such a file is known by its bytes: what it includes, and then no other identifiers than
 * those of kp_modc_names outside of strings, and symbols that the source exports, which must be no macros. What follows from the headers for one of them
 * does so for all that include the same and are compiled with the same options, so
 * that is the key: as a question's (question.h), compiler and options, each with its NUL, without the names of
 * module and files; a NUL; the directory that relative paths count from, "" if there are
 * none, and a newline; the directives up to the last #include, a line each.
 *
 * What is known for a key is <answers>/HASH.h, HASH being kp_modc_hash() of it, 16 digits:
 *
 *	a line that begins a comment
 *	identity lines	of the compiler, as in a file of answers: KP_MODC_OWN lines
 *			of the headers that were read, in the order in which the compiler names them
 *	an empty line
 *	the key, a newline for each NUL
 *	the names of all macros without arguments, kp_modc_name_hash() of each, ascending, on one line
 *	a line that ends the comment
 *	the reduced headers
 *
 * With that included first, <answers>/KP_MODC_EMPTY has an empty file for each that is included.
 *
 * Libc only, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "question.h"

#define KP_MODC_BEGIN "/*\n"
#define KP_MODC_END "*/\n"
#define KP_MODC_OWN 4
#define KP_MODC_HASH 8 /* digits */
#define KP_MODC_EMPTY "empty"
#define KP_MODC_NAME "%016llx.h"

#define KP_MODC_INPUT_MAX (1 << 20)
#define KP_MODC_HEAD_MAX 1024

/* Identifiers; ends with NULL. */
extern const char *const kp_modc_names[];

struct kp_modc {
	char *const *argv; /* argv[0]: absolute path of the compiler */
	size_t n_args;
	const char *source, *output;
	const char *dep; /* where a list of what was read is to be written, NULL */
	bool relative;	 /* a directory of headers is given by a relative path */
};

/* What becomes of an argument. The next one may belong to it. */
enum kp_modc_arg {
	KP_MODC_NO,   /* none that such a call has */
	KP_MODC_KEEP, /* decides what comes out */
	KP_MODC_PATH, /* -Ix, -include x: where headers are */
	KP_MODC_NAMES /* names of the module and of files */
};
/* *ret_n: 1 or 2, how many arguments it is; *ret_path: of a PATH. */
enum kp_modc_arg kp_modc_arg(char *const *argv, size_t *ret_n, const char **ret_path);

/* Does ARGV translate a file of that name, optimizing and without debug information, all arguments being of a
 * form that runs no other program, writes no other file and puts out nothing that is not used? */
bool kp_modc_parse(char *const *argv, struct kp_modc *ret);

/* Is TEXT such a file? The directives that are part of the key go to HEAD, of
 * KP_MODC_HEAD_MAX bytes, a string. */
bool kp_modc_head(const char *text, size_t len, char *head);

/* Is HEAD one that kp_modc_head() can have made? *ret_open: conditions that are still open. */
bool kp_modc_head_ok(const char *head, size_t *ret_open);

/* Write the key to KEY, of KP_QUESTION_KEY_MAX bytes. 0: it does not fit. */
size_t kp_modc_key(const struct kp_modc *m, const char *cwd, const char *head, char *key);

unsigned long long kp_modc_hash(const char *key, size_t len);
/* To HASH, KP_MODC_HASH digits and a NUL. */
void kp_modc_name_hash(const char *s, size_t n, char *hash);

struct kp_modc_known {
	const char *headers; /* their identity lines */
	size_t headers_len;
	const char *macros;
	size_t macros_len;
};

/* Is TEXT, the file of that hash, of KEY and COMPILER, and are its identity lines true? */
bool kp_modc_is_true(const char *text, size_t len, const char *compiler, const char *key,
		     size_t key_len, struct kp_modc_known *ret);

/* Is a file that passed kp_modc_head() one that these macros leave as it is? */
bool kp_modc_fits(const char *text, size_t len, const char *macros, size_t macros_len);
