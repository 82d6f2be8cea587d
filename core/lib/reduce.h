// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Of all that a C file includes, what it needs.
 *
 * The text is what `gcc -E -dD -P` makes of the headers: declarations with every macro expanded, and
 * between them all macros' definitions. Of the declarations remain those that define, in
 * any number of steps, what the file's identifiers name; a structure of which there are only
 * pointers stays unknown. Of the macros remain those that the identifiers name, as they are at
 * the end. To a compiler a file says the same with either, for what is missing and needed is
 * an error, with two exceptions that the caller has to exclude: an identifier that is not among
 * those given could be a macro that is gone; and what headers put into the output unasked, of which only
 * assembler at the top level and what has the attribute "used" is kept.
 *
 * TEXT is trusted as far as it comes from a kernel's headers, but a source can have a tree that looks like
 * one: nothing in it does harm, or takes longer than a kernel's. Fuzzed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Add to RET the part of TEXT, LEN bytes, that a file with no other identifiers than NAMES (a string vector)
 * needs. USES, USES_LEN bytes, is what such a file looks like when its macros are expanded: they can put names
 * together. False: there are many times more declarations than a kernel has, or directives, as #pragma pack,
 * that may change what declarations mean. */
bool kp_reduce(const char *text, size_t len, const char *uses, size_t uses_len,
	       const char *const *names, struct kp_buf *ret);
