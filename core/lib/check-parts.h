// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the two halves of the check (lib/check.c, inside/check.c) say to each other, and nobody else.
 *
 * The answer is lines, each at most once:
 *
 *	license GPL v2
 *	signed
 *	says needs the symbol 'x', which ...
 *
 * "says" is the reason of a bad verdict, or what is to be noted about a good module.
 */
#pragma once

#include "lib/artifact.h"

/* The first argument of the half in the sandbox: the two may be of different versions while kmodpkg itself is
 * upgraded. To be raised when arguments or answers change. */
#define KP_CHECK_PROTOCOL "1"

/* Exit codes of the half in the sandbox. */
enum { KP_CHECK_GOOD = 0, KP_CHECK_BAD = 1, KP_CHECK_NONE = 2 };

/* Of all lines of an answer together. */
#define KP_CHECK_ANSWER_MAX 1024

/* Take an answer of LEN bytes apart; *ret to be cleared, its note is what was said. -EINVAL: it
 * is none. Pure; fuzzed. */
int kp_check_parse(const char *text, size_t len, struct kp_artifact_facts *ret);
