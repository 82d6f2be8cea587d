// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Can what bash makes of a conf change while the files that the conf names by literal paths, its headers
 * and the running kernel stay the same? By a pattern, a path that is made up, PATH or a program that
 * looks around it can.
 *
 * Not a parser of bash: words at what may be the place of a command have to be on a list, and what is not
 * understood (functions, arrays, here documents, arithmetic commands) is not closed. Pure; fuzzed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/conf-parts.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define BLANK " \t\r"
#define GLOB "*?["
#define DEPTH_MAX 8

/* What a simple command does with its words. */
enum kind {
	NONE,	/* there is none yet */
	PLAIN,	/* looks at no file */
	READER, /* reads those that are named */
	TEST,	/* looks at them, if that is what it tests */
	SOURCE, /* settings of the kernel */
	CASE,
};

struct command {
	enum kind kind;
	char *name;
	bool looks, unclear; /* of a test: it looks at a file; a word may be any */
};

struct word {
	struct kp_buf text; /* without quotes */
	bool dollar;	    /* something is put in */
	bool pattern;	    /* with an unquoted sign of one */
};

static void command_clear(struct command *c)
{
	free(c->name);
	*c = (struct command){ 0 };
}

static void word_clear(struct word *w)
{
	kp_buf_free(&w->text);
}

static enum kind kind_of(const char *word)
{
	static const struct {
		enum kind kind;
		const char *names[32];
	} known[] = {
		{ NONE,
		  { "if", "then", "else", "elif", "fi", "do", "done", "while", "until",
		    "!", "{", "}", "esac" } },
		{ PLAIN, { ":",	     "true",	 "false",    "echo",	"printf",
			   "export", "declare",	 "local",    "unset",	"shift",
			   "break",  "continue", "return",   "for",	"uname",
			   "nproc",  "expr",	 "basename", "dirname", "seq" } },
		{ READER,
		  { "cat", "head", "tail", "grep", "egrep", "sed", "awk", "cut", "tr",
		    "sort", "wc" } },
		{ TEST, { "[", "[[", "test" } },
		{ SOURCE, { ".", "source" } },
		{ CASE, { "case" } },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(known); i++)
		for (size_t j = 0; known[i].names[j]; j++)
			if (!strcmp(word, known[i].names[j]))
				return known[i].kind;
	return (enum kind) - 1;
}

/* "NAME=", "NAME+=" or "NAME[n]=" */
static bool is_assignment(const char *word)
{
	size_t n = strspn(word, NAME_CHARS);

	if (n && word[n] == '[')
		n += strcspn(word + n, "]") + 1;
	return n && strlen(word) > n && word[n + (word[n] == '+')] == '=';
}

/* What a word names below the headers; NULL: it is no such word. */
static const char *in_headers(const char *word)
{
	static const char *const dirs[] = { "$kernel_source_dir/",
					    "${kernel_source_dir}/" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++)
		if (kp_str_starts(word, dirs[i]))
			return word + strlen(dirs[i]);
	return NULL;
}

static bool is_config(const char *word)
{
	const char *name = in_headers(word);

	return !strcmp(word, "$kernel_config") || !strcmp(word, "${kernel_config}") ||
	       (name &&
		(!strcmp(name, ".config") || !strcmp(name, "include/config/auto.conf")));
}

/* Is there no file behind a word but those that are looked at anyhow: literal paths, and the headers? */
static bool is_clear(const struct command *c, const struct word *w)
{
	const char *text = w->text.s, *name = in_headers(text);

	if (strstr(text, "getline") || strstr(text, "system") || strstr(text, "ARGV"))
		return false;
	/* "-f/x" is no path to kp_conf_paths(); "-r" goes into directories */
	if (c->kind == READER && *text == '-' && strpbrk(text, "/rR"))
		return false;
	if (!w->dollar)
		return !(w->pattern && strchr(text, '/'));
	return is_config(text) ||
	       (name && !strpbrk(name, "$`" GLOB) && !strstr(name, ".."));
}

/* May such a word be put into a variable, or be printed? */
static bool is_plain(const char *text)
{
	/* Those that say where the headers are, and programs. */
	if (is_assignment(text) &&
	    (kp_str_starts(text, "kernel_") || kp_str_starts(text, "PATH")))
		return false;
	/* The brackets of an index are none of a pattern. */
	text += is_assignment(text) ? strcspn(text, "=") : 0;
	return !(strpbrk(text, GLOB) && strchr(text, '/'));
}

static bool take_word(struct command *c, const struct word *w)
{
	static const char *const no_file[] = { "-n",  "-z",  "-o",  "-v",  "-eq",
					       "-ne", "-lt", "-le", "-gt", "-ge" };
	const char *text = w->text.s;
	bool looks = *text == '-';

	switch (c->kind) {
	case NONE:
		if (is_assignment(text))
			return is_plain(text);
		c->kind = kind_of(text);
		free(c->name);
		c->name = kp_strdup(text);
		return c->kind != (enum kind) - 1;
	case PLAIN:
		/* The host, and the build of the running kernel. */
		return is_plain(text) &&
		       !(!strcmp(c->name, "uname") && strpbrk(text, "anv"));
	case READER:
		return is_clear(c, w);
	case TEST:
		for (size_t i = 0; i < KP_ARRAY_SIZE(no_file); i++)
			looks &= strcmp(text, no_file[i]) != 0;
		c->looks |= looks;
		c->unclear |= !is_clear(c, w);
		return !(c->looks && c->unclear);
	case SOURCE:
		return is_config(text);
	case CASE:
		return true;
	}
	return false;
}

static const char *scan(const char *p, char end, int depth);

/* Within quotes: a '$' that puts in nothing. */
static bool is_lone(const char *p)
{
	return *p == '$' && (!p[1] || !strchr(NAME_CHARS "({@*#?!-$", p[1]));
}

/* Is there no more put in between P and END than variables? */
static bool has_variables_only(const char *p, const char *end)
{
	for (; p < end; p++)
		if (*p == '`' || (*p == '$' && !strchr(NAME_CHARS, p[1])))
			return false;
	return true;
}

/* What is put in at P, a '$' or '`'. The place behind it; NULL: not closed. */
static const char *scan_dollar(const char *p, int depth)
{
	size_t n;

	if (*p == '`')
		return scan(p + 1, '`', depth + 1);
	if (p[1] == '(' && p[2] != '(')
		return scan(p + 2, ')', depth + 1);
	if (p[1] != '(' && p[1] != '{')
		return p + 1;
	n = strcspn(p + 2, p[1] == '(' ? ")" : "}");
	if (!p[2 + n] || !has_variables_only(p + 2, p + 2 + n))
		return NULL;
	if (p[1] == '{')
		return p + 3 + n;
	return p[3 + n] == ')' ? p + 4 + n : NULL;
}

/* A word; ENDS: what ends it. */
static const char *scan_word(const char *p, const char *ends, int depth, struct word *w)
{
	char quote = '\0';

	kp_buf_adds(&w->text, "");
	while (p && *p && (quote || !strchr(ends, *p))) {
		const char *from = p;

		if (*p == '\\' && quote != '\'') {
			if (p[1] && p[1] != '\n')
				kp_buf_addc(&w->text, p[1]);
			p += 1 + (p[1] != '\0');
		} else if ((*p == '$' || *p == '`') && quote != '\'' &&
			   !(quote && is_lone(p))) {
			w->dollar = true;
			p = scan_dollar(p, depth);
			if (p)
				kp_buf_add(&w->text, from,
					   *from == '`'	    ? 1
					   : from[1] == '(' ? 2
							    : (size_t)(p - from));
		} else if (quote ? *p == quote : *p == '"' || *p == '\'') {
			quote = quote ? '\0' : *p;
			p++;
		} else {
			w->pattern |= !quote && strchr(GLOB, *p);
			kp_buf_addc(&w->text, *p++);
		}
	}
	return quote ? NULL : p;
}

/* From the pattern of a case to behind it. */
static const char *skip_pattern(const char *p)
{
	const char *end;

	p += strspn(p, BLANK "\n");
	if (kp_str_starts(p, "esac"))
		return p;
	end = strchr(p, ')');
	if (!end || memchr(p, '`', (size_t)(end - p)) ||
	    memchr(p, '$', (size_t)(end - p)))
		return NULL;
	return end + 1;
}

/* Commands up to END, '\0' for all of the text. The place behind; NULL: not closed. */
static const char *scan(const char *p, char end, int depth)
{
	_cleanup_(command_clear) struct command c = { 0 };
	const char *ends = end == '`' ? BLANK "\n;&|()<>`" : BLANK "\n;&|()<>";

	if (depth > DEPTH_MAX)
		return NULL;
	while (p && *p) {
		_cleanup_(word_clear) struct word w = { .text = KP_BUF_INIT };
		bool in_test = c.kind == TEST && !strcmp(c.name, "[[");

		if (strchr(BLANK, *p)) {
			p++;
		} else if (*p == '#') {
			p += strcspn(p, "\n");
		} else if (c.kind == CASE && strchr("\n|)", *p)) {
			/* "case WORD in", and perhaps some of the pattern */
			command_clear(&c);
			p = *p == ')' ? p + 1 : skip_pattern(p + 1);
		} else if (end && *p == end) {
			return p + 1;
		} else if (*p == '\n' || *p == ';' || (strchr("&|", *p) && !in_test)) {
			bool next = kp_str_starts(p, ";;");

			command_clear(&c);
			p = next ? skip_pattern(p + 2) : p + 1;
		} else if (strchr("()", *p) && !in_test) {
			return NULL;
		} else if (strchr("<>", *p) && !in_test) {
			const struct command reads = { .kind = READER };
			bool text = kp_str_starts(p, "<<<"), in = *p == '<' && !text;

			if (kp_str_starts(p, "<<") && !text)
				return NULL;
			p += strspn(p, "<>&|");
			p = scan_word(p + strspn(p, BLANK), ends, depth, &w);
			if (p && in && !is_clear(&reads, &w))
				return NULL;
		} else {
			p = scan_word(p, in_test ? BLANK "\n" : ends, depth, &w);
			if (p && in_test && !strcmp(w.text.s, "]]"))
				c.kind = PLAIN;
			else if (p && (*p == '<' || *p == '>') &&
				 !w.text.s[strspn(w.text.s, "0123456789")])
				; /* "2>" */
			else if (p && !take_word(&c, &w))
				return NULL;
		}
	}
	return end ? NULL : p;
}

bool kp_conf_is_closed(const char *text)
{
	return scan(text, '\0', 0) != NULL;
}
