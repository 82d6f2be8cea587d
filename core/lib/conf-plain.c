// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The part of bash that most dkms.conf files are written in, evaluated without bash.
 *
 * A recursive descent over the text: statements and assignments here, words in
 * conf-word.c, with the rule for both in conf-word.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/conf-parts.h"
#include "lib/conf-word.h"

struct element {
	bool has_index, append;
	unsigned int index;
	char *value;
};

struct elements {
	struct element *list;
	size_t n, alloc;
};

static void elements_clear(struct elements *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->list[i].value);
	free(e->list);
}

static void skip_blanks(struct kp_parser *p)
{
	for (;;) {
		if (kp_parse_at_continuation(p))
			kp_parse_continuation(p);
		else if (kp_parse_peek(p, 0) == ' ' || kp_parse_peek(p, 0) == '\t')
			p->p++;
		else
			return;
	}
}

static void skip_comment(struct kp_parser *p)
{
	while (p->p < p->end && *p->p != '\n')
		p->p++;
}

/* An element: word, [n]=word or [n]+=word. */
static int read_element(struct kp_parser *p, struct elements *list)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;
	struct element e = { 0 };
	bool quoted;
	int r;

	if (kp_parse_peek(p, 0) == '[') {
		const char *start = p->p;

		r = kp_parse_index(p, &e.index);
		if (r < 0)
			return r;
		e.has_index = true;
		if (kp_parse_peek(p, 0) == '+') {
			e.append = true;
			p->p++;
		}
		if (kp_parse_peek(p, 0) != '=')
			return kp_parse_refuse_word(p, "array element", start);
		p->p++;
	}
	r = kp_parse_word(p, KP_IN_ARRAY, &out, &quoted);
	if (r < 0)
		return r;
	if (!out.len && !quoted && !e.has_index)
		return 0; /* nothing but line continuations */
	e.value = kp_buf_steal(&out);
	KP_GROW(list->list, list->n, list->alloc);
	list->list[list->n++] = e;
	return 0;
}

/* The elements behind "NAME=(", to the ")". */
static int read_elements(struct kp_parser *p, struct elements *list)
{
	unsigned int line = p->line;
	int c, r = 0;

	p->p++;
	while (!r) {
		skip_blanks(p);
		c = kp_parse_peek(p, 0);
		if (c == ')') {
			p->p++;
			return 0;
		}
		if (c == EOF) {
			p->line = line;
			return kp_parse_refuse(p, "a ( without its partner");
		}
		if (c == '\n') {
			p->p++;
			p->line++;
		} else if (c == '#') {
			skip_comment(p);
		} else if (c == ';') {
			return kp_parse_refuse_word(p, "unquoted character", p->p);
		} else {
			r = read_element(p, list);
		}
	}
	return r;
}

static int append(struct kp_parser *p, const char *name, unsigned int index,
		  const char *value)
{
	const char *old = kp_vars_get(p->vars, name, index);
	_cleanup_buf_ struct kp_buf sum = KP_BUF_INIT;
	int r = 0;

	if (old)
		r = kp_parse_add(p, &sum, old, strlen(old));
	if (!r)
		r = kp_parse_add(p, &sum, value, strlen(value));
	if (r < 0)
		return r;
	kp_vars_set(p->vars, name, index, sum.s ? sum.s : "");
	return 0;
}

static int assign_array(struct kp_parser *p, const char *name, bool add)
{
	_cleanup_(elements_clear) struct elements list = { 0 };
	const struct kp_var *var;
	unsigned int next = 0;
	int r;

	p->self = name;
	r = read_elements(p, &list);
	p->self = NULL;
	if (r < 0)
		return r;
	if (!add)
		kp_vars_unset(p->vars, name);
	var = kp_vars_find(p->vars, name);
	if (var)
		next = var->elems[var->n_elems - 1].index + 1;
	for (size_t i = 0; i < list.n; i++) {
		const struct element *e = &list.list[i];
		unsigned int index = e->has_index ? e->index : next;

		if (index > KP_INDEX_MAX)
			return kp_parse_refuse(p, "array index");
		if (e->append) {
			r = append(p, name, index, e->value);
			if (r < 0)
				return r;
		} else {
			kp_vars_set(p->vars, name, index, e->value);
		}
		next = index + 1;
	}
	return 0;
}

/* NAME=..., NAME[n]=..., with '+' or without. */
static int read_assignment(struct kp_parser *p)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;
	const char *start = p->p;
	_cleanup_free_ char *name = kp_parse_name(p);
	bool add = false, indexed = false, quoted;
	unsigned int index = 0;
	int r;

	if (!name)
		return kp_parse_refuse_word(p, "command", start);
	if (kp_parse_peek(p, 0) == '[') {
		indexed = true;
		r = kp_parse_index(p, &index);
		if (r < 0)
			return r;
	}
	if (kp_parse_peek(p, 0) == '+') {
		add = true;
		p->p++;
	}
	if (kp_parse_peek(p, 0) != '=')
		return kp_parse_refuse_word(p, "command", start);
	if (kp_conf_name_special(name))
		return kp_parse_refuse_word(p, "variable", start);
	p->p++;
	if (kp_parse_peek(p, 0) == '(') {
		if (indexed)
			return kp_parse_refuse_word(p, "array as an element", start);
		r = assign_array(p, name, add);
		if (r < 0)
			return r;
		if (kp_parse_peek(p, 0) != EOF && !strchr(" \t\n;", kp_parse_peek(p, 0)))
			return kp_parse_refuse_word(p, "text behind an array", p->p);
		return 0;
	}
	r = kp_parse_word(p, KP_IN_ASSIGNMENT, &out, &quoted);
	if (r < 0)
		return r;
	if (add)
		return append(p, name, index, out.s ? out.s : "");
	kp_vars_set(p->vars, name, index, out.s ? out.s : "");
	return 0;
}

/* A line with nothing but a carriage return: to bash a command of that name, which no
 * system has; it does nothing. */
static bool is_dos_blank(const struct kp_parser *p)
{
	return kp_parse_peek(p, 0) == '\r' &&
	       (kp_parse_peek(p, 1) == '\n' || kp_parse_peek(p, 1) == EOF);
}

static int read_text(struct kp_parser *p)
{
	bool at_start = true; /* of a statement */
	bool may_end = false; /* a ';' may stand here */
	int c, r = 0;

	while (!r) {
		skip_blanks(p);
		c = kp_parse_peek(p, 0);
		if (c == EOF)
			break;
		if (c == '\n') {
			p->p++;
			p->line++;
			at_start = true;
			may_end = false;
		} else if (c == '#') {
			skip_comment(p);
		} else if (c == ';') {
			if (!may_end)
				return kp_parse_refuse(p, "';' without a command");
			p->p++;
			at_start = true;
			may_end = false;
		} else if (at_start && is_dos_blank(p)) {
			p->p++;
		} else {
			r = read_assignment(p);
			at_start = false;
			may_end = true;
		}
	}
	return r;
}

int kp_conf_plain(const char *text, size_t len, struct kp_vars *vars, struct kp_err *err)
{
	_cleanup_(kp_vars_freep) struct kp_vars *work = kp_vars_dup(vars);
	struct kp_parser p = {
		.p = text, .end = text + len, .line = 1, .vars = work, .err = err
	};
	struct kp_vars swap;
	int r;

	if (len && memchr(text, '\0', len))
		return kp_parse_refuse(&p, "a NUL byte in the file");
	r = read_text(&p);
	if (r < 0)
		return r;
	swap = *vars;
	*vars = *work;
	*work = swap;
	return 0;
}
