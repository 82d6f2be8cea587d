// SPDX-License-Identifier: GPL-2.0-or-later
/* Shared by recipe-scan.c (make files), recipe-line.c (MAKE lines), recipe-commands.c (what a shell runs) and
 * recipe-words.c (words, variables and where they lead). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/alloc.h"

#define BLANK " \t"

/* An assignment, as it is written. */
struct kp_recipe_var {
	char *name, *value;
	bool is_flags; /* looked at as such */
};

struct kp_scan {
	char *why; /* the first thing that is not closed */
	bool running;
	unsigned int levels; /* the make file's directory below the top of the build */
	int depth;
	struct kp_recipe_var *vars;
	size_t n_vars, alloc;
	char **set;	 /* variables that the MAKE line sets */
	char **inside;	 /* of those, the ones that lead into the build directory */
	char **includes; /* as kp_scan_file.includes */
	char **mentioned; /* targets that may be part of a build whatever they are called */
	bool names_inside; /* the current rule's targets and prerequisites are of the source */
};

void kp_scan_clear(struct kp_scan *s);
/* Is PATH the directory DIR, or something below it? */
bool kp_scan_is_at(const char *path, const char *dir);
/* The end of what opens at P, "(...)" or "{...}", nested; the end of the text without one. */
const char *kp_scan_group(const char *p);
/* The end of the word at P, as a shell and make together see it. */
const char *kp_scan_word(const char *p, const char *ends);
/* As a shell understands it, without quotes and backslashes; to be freed. */
char *kp_scan_unquote(const char *word, size_t n);
bool kp_scan_is_one_of(const char *word, const char *const *list, size_t n);
#define ONE_OF(word, list) kp_scan_is_one_of(word, list, KP_ARRAY_SIZE(list))
unsigned int kp_scan_climbs(const char *path);
/* Is WORD, without quotes, surely no path out of the build directory? */
bool kp_scan_stays(const struct kp_scan *s, const char *word);
/* Does it begin with a variable that surely leads into the build directory, and stay there? */
bool kp_scan_is_inside(const struct kp_scan *s, const char *word);
/* Is it the directory of the kernel that is built for? */
bool kp_scan_is_kernel(const struct kp_scan *s, const char *word);
/* WORD with the variables in it that have one value; to be freed. */
char *kp_scan_expand(const struct kp_scan *s, const char *word);
void kp_scan_add_var(struct kp_scan *s, const char *name, size_t n, const char *value);
/* Is this a way to say where make runs? */
bool kp_scan_is_here(const char *value);
/* Refuse flags, set anywhere in LINE for programs of the build (*flags*, *FLAGS*), by which these read a
 * file that no dependency file names. COMMAND: what is set is one word of a shell, not all that follows. */
void kp_scan_flags(struct kp_scan *s, const char *line, bool command);

/* recipe-scan.c: refuse variables, set anywhere in LINE, that change what commands mean, or name files that
 * programs read. COMMAND as above. */
void kp_scan_names(struct kp_scan *s, const char *line, bool command);

/* recipe-commands.c */
void kp_scan_refuse(struct kp_scan *s, const char *what, const char *text);
/* A line of the shell: commands between ; & | and brackets. */
void kp_scan_commands(struct kp_scan *s, const char *line);
/* Commands of the shell within a word. */
void kp_scan_inner(struct kp_scan *s, const char *word, size_t n);
/* "NAME=..." */
bool kp_scan_is_assignment(const char *word);
/* What make files of other directories may be asked for. */
extern const char *const kp_scan_goals[];
