// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Can what bash makes of confs change while the running kernel, the headers and certain files stay the
 * same? Those are what they name by literal paths, by variables that they get ("/boot/config-$kernelver")
 * and by variables of their own that have one literal value. By a pattern, a path that is made up in
 * another way, PATH or a program that looks around it can.
 *
 * Not a parser of bash: words at what may be the place of a command have to be on a list, and what is not
 * understood (functions, here documents, arithmetic commands) is not closed. The texts are gone through
 * twice, first for the values of variables, wherever they are set, then for what is done with them.
 * Pure; fuzzed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/conf-closed.h"

#define BLANK " \t\r"
#define DEPTH_MAX 8

static void command_clear(struct kp_closed_command *c)
{
	free(c->name);
	*c = (struct kp_closed_command){ 0 };
}

static void word_clear(struct kp_closed_word *w)
{
	kp_buf_free(&w->text);
	kp_buf_free(&w->value);
}

static const char *scan(struct kp_closed *s, const char *p, char end, int depth);

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
static const char *scan_dollar(struct kp_closed *s, const char *p, int depth)
{
	size_t n;

	if (*p == '`')
		return scan(s, p + 1, '`', depth + 1);
	if (p[1] == '(' && p[2] != '(')
		return scan(s, p + 2, ')', depth + 1);
	if (p[1] != '(' && p[1] != '{')
		return p + 1 + strspn(p + 1, NAME_CHARS);
	n = strcspn(p + 2, p[1] == '(' ? ")" : "}");
	if (!p[2 + n] || !has_variables_only(p + 2, p + 2 + n))
		return NULL;
	if (p[1] == '{') {
		size_t len = strspn(p + 2, NAME_CHARS);

		/* "${NAME:=VALUE}" */
		if (p[2 + len + (p[2 + len] == ':')] == '=')
			kp_closed_note(s, p + 2, len, NULL);
		return p + 3 + n;
	}
	return p[3 + n] == ')' ? p + 4 + n : NULL;
}

static void add_literal(struct kp_closed_word *w, char c)
{
	kp_buf_addc(&w->text, c);
	kp_buf_addc(&w->value, c);
}

/* A word; ENDS: what ends it. */
static const char *scan_word(struct kp_closed *s, const char *p, const char *ends,
			     int depth, struct kp_closed_word *w)
{
	char quote = '\0';

	w->raw = p;
	kp_buf_adds(&w->text, "");
	kp_buf_adds(&w->value, "");
	while (p && *p && (quote || !strchr(ends, *p))) {
		const char *from = p;

		if (*p == '\\' && quote != '\'') {
			if (p[1] && p[1] != '\n')
				add_literal(w, p[1]);
			p += 1 + (p[1] != '\0');
		} else if ((*p == '$' || *p == '`') && quote != '\'' &&
			   !(quote && is_lone(p))) {
			size_t n;

			w->dollar = true;
			p = scan_dollar(s, p, depth);
			if (!p)
				return NULL;
			n = *from == '`' ? 1 : from[1] == '(' ? 2 : (size_t)(p - from);
			kp_buf_add(&w->text, from, n);
			kp_closed_put_in(s, from, n, w);
		} else if (quote ? *p == quote : *p == '"' || *p == '\'') {
			quote = quote ? '\0' : *p;
			p++;
		} else {
			w->pattern |= !quote && strchr(GLOB, *p);
			add_literal(w, *p++);
		}
	}
	w->raw_len = p ? (size_t)(p - w->raw) : 0;
	return quote ? NULL : p;
}

/* From behind the "(" of "NAME=(WORD...)" to behind it. */
static const char *scan_array(struct kp_closed *s, const char *p, int depth)
{
	while (p && *p && *p != ')') {
		_cleanup_(word_clear) struct kp_closed_word w = { .text = KP_BUF_INIT,
								  .value = KP_BUF_INIT };

		if (strchr(BLANK "\n", *p)) {
			p++;
			continue;
		}
		if (strchr("#<>;&|(", *p))
			return NULL;
		p = scan_word(s, p, BLANK "\n;&|()<>", depth, &w);
		if (p && (w.pattern || !kp_closed_is_plain(s, w.text.s)))
			return NULL;
	}
	return p && *p ? p + 1 : NULL;
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
static const char *scan(struct kp_closed *s, const char *p, char end, int depth)
{
	_cleanup_(command_clear) struct kp_closed_command c = { 0 };
	const char *ends = end == '`' ? BLANK "\n;&|()<>`" : BLANK "\n;&|()<>";

	if (depth > DEPTH_MAX)
		return NULL;
	while (p && *p) {
		_cleanup_(word_clear) struct kp_closed_word w = { .text = KP_BUF_INIT,
								  .value = KP_BUF_INIT };
		bool in_test = c.kind == KP_CLOSED_TEST && !strcmp(c.name, "[[");

		if (strchr(BLANK, *p)) {
			p++;
		} else if (p[0] == '\\' && p[1] == '\n') {
			p += 2;
		} else if (*p == '#') {
			p += strcspn(p, "\n");
		} else if (c.kind == KP_CLOSED_CASE && strchr("\n|)", *p)) {
			/* "case WORD in", and perhaps some of the pattern */
			command_clear(&c);
			p = *p == ')' ? p + 1 : skip_pattern(p + 1);
		} else if (end && *p == end) {
			return kp_closed_is_whole(&c) ? p + 1 : NULL;
		} else if (*p == '\n' || *p == ';' || (strchr("&|", *p) && !in_test)) {
			bool next = kp_str_starts(p, ";;");

			if (!kp_closed_is_whole(&c))
				return NULL;
			command_clear(&c);
			p = next ? skip_pattern(p + 2) : p + 1;
		} else if (*p == '(' && c.kind == KP_CLOSED_NONE) {
			p = scan(s, p + 1, ')', depth + 1);
			c.kind = KP_CLOSED_PLAIN;
			c.name = c.name ? c.name : kp_strdup("(");
		} else if (strchr("()", *p) && !in_test) {
			return NULL;
		} else if (strchr("<>", *p) && !in_test) {
			const struct kp_closed_command reads = {
				.kind = KP_CLOSED_READER
			};
			bool text = kp_str_starts(p, "<<<"), in = *p == '<' && !text;

			if (kp_str_starts(p, "<<") && !text)
				return NULL;
			p += strspn(p, "<>&|");
			p = scan_word(s, p + strspn(p, BLANK), ends, depth, &w);
			if (p && in && !s->collecting &&
			    !kp_closed_is_clear(s, &reads, &w))
				return NULL;
		} else {
			p = scan_word(s, p, in_test ? BLANK "\n" : ends, depth, &w);
			if (p && in_test && !strcmp(w.text.s, "]]"))
				c.kind = KP_CLOSED_PLAIN;
			else if (p && (*p == '<' || *p == '>') &&
				 !w.text.s[strspn(w.text.s, "0123456789")])
				; /* "2>" */
			else if (p && *p == '(' && c.kind == KP_CLOSED_NONE &&
				 kp_closed_is_assignment(w.text.s) && p[-1] == '=') {
				w.dollar = true;
				kp_closed_assign(s, &w);
				p = scan_array(s, p + 1, depth);
			} else if (p && !kp_closed_take(s, &c, &w))
				return NULL;
		}
	}
	return end || !kp_closed_is_whole(&c) ? NULL : p;
}

static void add_literal_paths(const char *text, char ***paths)
{
	for (const char *p = text; (p = strchr(p, '/')); p += strspn(p, PATH_CHARS)) {
		_cleanup_free_ char *path = kp_strndup(p, strspn(p, PATH_CHARS));

		/* The rest of "${dkms_tree}/x" is not one. */
		if (!(p > text && strchr("})" PATH_CHARS, p[-1])))
			kp_closed_add_path(paths, path);
	}
}

bool kp_conf_is_closed(char *const *texts, const struct kp_vars *given, char ***paths,
		       char ***sourced)
{
	_cleanup_(kp_vars_freep) struct kp_vars *known = kp_vars_new();
	struct kp_closed s = { .texts = texts,
			       .given = given,
			       .collecting = true,
			       .known = known,
			       .paths = paths,
			       .sourced = sourced };
	bool closed = true;

	kp_strv_foreach(text, texts)
		closed &= scan(&s, *text, '\0', 0) != NULL;
	s.collecting = false;
	kp_strv_foreach(text, texts) {
		closed = closed && scan(&s, *text, '\0', 0);
		add_literal_paths(*text, paths);
	}
	kp_strv_free(s.unknown);
	return closed;
}
