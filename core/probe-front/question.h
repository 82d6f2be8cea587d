// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Questions that a build asks a compiler: "do you know this option?" kbuild has some thirty of
 * them for every module, each a translation of nothing, or of a line from standard input,
 * whose exit code is all that counts.
 *
 * Shared by the front, which stands for the compiler in builds and answers those that are
 * remembered, and by lib/probe.c, which has the answers made. Libc only, no allocation.
 *
 * A question is known by its bytes ("key"): the compiler's path and all arguments, each with
 * its NUL, "-" in the place of the output's name; a NUL; the input. The answers of the
 * compiler KP_COMPILERS NAME are in one file, <answers>/NAME:
 *
 *	identity lines	one for each file that decides the answers, the compiler first
 *	an empty line
 *	answers		a line "EXIT-CODE KEY-LENGTH OUTPUT-LENGTH", the key, the output
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a build has in its PATH behind our own directories. Compilers are in the first, also where
 * one of the others is a link to it. */
#define KP_STANDARD_PATH "/usr/bin:/usr/sbin:/bin:/sbin"
/* Where compilers are that have a front. */
#define KP_COMPILERS "/usr/bin/"

#define KP_QUESTION_ANSWERS ".answers" /* in the directory of the front's names: a link */

/*
 * Who answers what is not known stands behind two pipes and a file in that directory. Under the lock (flock) of
 * the file a front writes the key into it, a byte into the one pipe, and waits for a byte in
 * the other: then it is worth to look again. All may be written by whatever is in the build, which
 * fools nobody but itself.
 */
#define KP_QUESTION_ASKED ".asked" /* the file */
#define KP_QUESTION_CALL ".call"
#define KP_QUESTION_TOLD ".told"
#define KP_QUESTION_WAIT_MS 60000 /* for one question, longer than it takes */

#define KP_QUESTION_ARGS_MAX 512
#define KP_QUESTION_INPUT_MAX 4096
#define KP_QUESTION_KEY_MAX 16384
#define KP_QUESTION_OUTPUT_MAX 8192
#define KP_QUESTION_LINE_MAX 4352 /* of identity */

struct kp_question {
	char *const *argv; /* argv[0]: absolute path of the compiler */
	size_t out;	   /* argv[out] is the output's name */
	bool asks_input;   /* it reads standard input, else nothing */
};

/* Is NAME, without directory, what a gcc for C is called ("x86_64-linux-gnu-gcc-12")? */
bool kp_question_is_compiler(const char *name);

/* Is W an argument of a compiler that stands alone, names no file, no other program and not this
 * machine's processor? */
bool kp_question_is_option(const char *w);

/* Does ARGV ask a question? Only what can have one answer counts: every argument of a form
 * that names no file, no other program and not this machine's processor. */
bool kp_question_parse(char *const *argv, struct kp_question *ret);

/* Is there nothing in ENV that changes what a compiler does, and PATH as it should be: ours,
 * then KP_STANDARD_PATH? */
bool kp_question_env_ok(char *const *env, const char *path);

/* Write the key to KEY, of KP_QUESTION_KEY_MAX bytes. 0: it does not fit, or the input might
 * depend on something else. */
size_t kp_question_key(const struct kp_question *q, const char *input, size_t input_len,
		       char *key);

/* What PATH is now, as an identity line: numbers that change with the file, all 0 when it is not
 * there. Its length; 0: does not fit. */
size_t kp_question_identity(const char *path, char line[KP_QUESTION_LINE_MAX]);

/* A file of answers: where they begin, if its identity lines are true and the first is of
 * COMPILER; else 0. */
size_t kp_answers_begin(const char *text, size_t len, const char *compiler);

struct kp_answer {
	unsigned int exit_code;
	const char *output;
	size_t output_len;
};

/* Look for KEY among the answers TEXT, which begin with the first one. */
bool kp_answers_find(const char *text, size_t len, const char *key, size_t key_len,
		     struct kp_answer *ret);

/* So many of LEN bytes are answers, one behind the other. */
size_t kp_answers_whole(const char *text, size_t len);
