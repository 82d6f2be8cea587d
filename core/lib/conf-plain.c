// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The part of bash that most dkms.conf files are written in, evaluated without bash.
 *
 * A recursive descent over the text; every construct is either done exactly as bash 4.0
 * and later do it, or refused. tests/conf compares the two. In doubt: refuse; the shell
 * evaluator costs milliseconds, a wrong value costs a kernel module.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/conf-parts.h"

/* Longest value; stops A=$A$A repeated, which bash would do until memory ends. */
#define VALUE_MAX (1024 * 1024)
/* Largest array index with a meaning in any dkms.conf, by a wide margin. */
#define INDEX_MAX 9999

struct parser {
	const char *p, *end;
	unsigned int line;
	struct kp_vars *vars;
	const char *self; /* array that is being assigned; must not be read meanwhile */
	struct kp_err *err;
};

/* Where a word stands decides what bash would do with it after the expansions. */
enum context {
	IN_ASSIGNMENT, /* no word splitting, no globbing, no braces */
	IN_ARRAY,      /* all of them: what could trigger them is refused */
};

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

static int refuse(struct parser *p, const char *what)
{
	return kp_err_set(p->err, -ENOTSUP, "line %u: %s", p->line, what);
}

/* Refuse at the word that begins at P. */
static int refuse_word(struct parser *p, const char *what, const char *start)
{
	size_t n = 0;

	while (start + n < p->end && n < 40 && !strchr(" \t\r\n;", start[n]))
		n++;
	return kp_err_set(p->err, -ENOTSUP, "line %u: %s '%.*s'", p->line, what, (int)n,
			  start);
}

static int peek(const struct parser *p, size_t ahead)
{
	return (size_t)(p->end - p->p) > ahead ? (unsigned char)p->p[ahead] : EOF;
}

static bool is_continuation(const struct parser *p)
{
	return peek(p, 0) == '\\' && peek(p, 1) == '\n';
}

static void skip_continuation(struct parser *p)
{
	p->p += 2;
	p->line++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_start(int c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name_char(int c)
{
	return is_name_start(c) || is_digit(c);
}

/* Bytes that bash uses for itself inside of words (CTLESC, CTLNUL), or drops (NUL), and
 * other control characters that no conf needs. */
static bool is_odd(int c)
{
	return (c >= 0 && c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

static void skip_blanks(struct parser *p)
{
	for (;;) {
		if (is_continuation(p))
			skip_continuation(p);
		else if (peek(p, 0) == ' ' || peek(p, 0) == '\t')
			p->p++;
		else
			return;
	}
}

static void skip_comment(struct parser *p)
{
	while (p->p < p->end && *p->p != '\n')
		p->p++;
}

/* A name at the cursor, to be freed; NULL when there is none. */
static char *read_name(struct parser *p)
{
	const char *start = p->p;

	if (!is_name_start(peek(p, 0)))
		return NULL;
	while (is_name_char(peek(p, 0)))
		p->p++;
	return kp_strndup(start, (size_t)(p->p - start));
}

/* "[n]" with a decimal number; anything else is arithmetic, which is refused. */
static int read_index(struct parser *p, unsigned int *ret)
{
	unsigned int n = 0;
	const char *start = p->p++;

	if (!is_digit(peek(p, 0)) || (peek(p, 0) == '0' && is_digit(peek(p, 1))))
		return refuse_word(p, "array index", start);
	for (; is_digit(peek(p, 0)); p->p++) {
		n = n * 10 + (unsigned int)(*p->p - '0');
		if (n > INDEX_MAX)
			return refuse_word(p, "array index", start);
	}
	if (peek(p, 0) != ']')
		return refuse_word(p, "array index", start);
	p->p++;
	*ret = n;
	return 0;
}

static int add_value(struct parser *p, struct kp_buf *out, const char *s, size_t n)
{
	if (out->len + n > VALUE_MAX)
		return refuse(p, "a value of more than a MiB");
	kp_buf_add(out, s, n);
	return 0;
}

/* The text that bash would split or match against file names when it stands unquoted in an
 * array; an empty one would vanish there. */
static bool is_split_by_bash(const char *s)
{
	return !*s || strpbrk(s, " \t\n*?[\\");
}

/* The word in ${name:-word}: characters without any meaning only. */
static int read_operand(struct parser *p, const char **ret, size_t *ret_len)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_./,:+-@%^=";
	const char *start = p->p;
	size_t n = 0;

	while (start + n < p->end && start[n] && strchr(plain, start[n]))
		n++;
	p->p += n;
	if (peek(p, 0) != '}')
		return refuse_word(p, "parameter expansion with", start);
	*ret = start;
	*ret_len = n;
	return 0;
}

/* ${name}, ${name[n]}, ${name:-word}, ${name-word}, ${name:+word}, ${name+word} behind "${". */
static int read_braces(struct parser *p, const char **ret, size_t *ret_len)
{
	const char *start = p->p - 2, *value, *word = NULL;
	_cleanup_free_ char *name = read_name(p);
	unsigned int index = 0;
	bool colon = false, is_set;
	size_t len = 0;
	int op, r;

	if (!name)
		return refuse_word(p, "parameter expansion", start);
	if (kp_conf_name_special(name) || kp_str_eq(name, p->self))
		return refuse_word(p, "variable", start);
	if (peek(p, 0) == '[') {
		r = read_index(p, &index);
		if (r < 0)
			return r;
	}
	value = kp_vars_get(p->vars, name, index);
	if (peek(p, 0) == '}') {
		p->p++;
		*ret = value ? value : "";
		*ret_len = strlen(*ret);
		return 0;
	}
	if (peek(p, 0) == ':') {
		colon = true;
		p->p++;
	}
	op = peek(p, 0);
	if (op != '-' && op != '+')
		return refuse_word(p, "parameter expansion", start);
	p->p++;
	r = read_operand(p, &word, &len);
	if (r < 0)
		return r;
	p->p++;
	is_set = value && !(colon && !*value);
	if ((op == '+') == is_set) {
		*ret = word;
		*ret_len = len;
	} else {
		*ret = is_set ? value : "";
		*ret_len = strlen(*ret);
	}
	return 0;
}

/* What follows a '$' at the cursor. */
static int read_dollar(struct parser *p, enum context context, bool quoted,
		       struct kp_buf *out)
{
	const char *start = p->p++, *value = NULL;
	int c = peek(p, 0), r;
	size_t len = 0;

	if (is_continuation(p))
		return refuse(p, "line continuation behind '$'");
	if (c == '{') {
		p->p++;
		r = read_braces(p, &value, &len);
		if (r < 0)
			return r;
	} else if (is_name_start(c)) {
		_cleanup_free_ char *name = read_name(p);

		/* bash would go on reading the name behind it. */
		if (is_continuation(p))
			return refuse(p, "line continuation behind a variable's name");
		if (kp_conf_name_special(name) || kp_str_eq(name, p->self))
			return refuse_word(p, "variable", start);
		value = kp_vars_get(p->vars, name, 0);
		value = value ? value : "";
		len = strlen(value);
	} else if (c == '(') {
		return refuse_word(p, "command or arithmetic substitution", start);
	} else if (c == '[') {
		return refuse_word(p, "arithmetic expansion", start);
	} else if (is_digit(c) || (c > 0 && strchr("@*#?-$!", c))) {
		return refuse_word(p, "special parameter", start);
	} else if (!quoted && (c == '\'' || c == '"')) {
		return refuse_word(p, "quoting by", start);
	} else {
		return add_value(p, out, "$", 1);
	}
	if (context == IN_ARRAY && !quoted) {
		_cleanup_free_ char *text = kp_strndup(value, len);

		if (is_split_by_bash(text))
			return refuse_word(p, "unquoted expansion in an array", start);
	}
	return add_value(p, out, value, len);
}

static int read_single_quotes(struct parser *p, struct kp_buf *out)
{
	const char *start = ++p->p;
	unsigned int line = p->line;
	int r;

	for (; peek(p, 0) != '\''; p->p++) {
		if (peek(p, 0) == EOF) {
			p->line = line;
			return refuse(p, "a ' without its partner");
		}
		if (is_odd(peek(p, 0)))
			return refuse(p, "a control character");
		if (*p->p == '\n')
			p->line++;
	}
	r = add_value(p, out, start, (size_t)(p->p - start));
	p->p++;
	return r;
}

static int read_double_quotes(struct parser *p, enum context context, struct kp_buf *out)
{
	unsigned int line = p->line;
	int c, r = 0;

	p->p++;
	while (!r && (c = peek(p, 0)) != '"') {
		if (c == EOF) {
			p->line = line;
			return refuse(p, "a \" without its partner");
		}
		if (is_odd(c))
			return refuse(p, "a control character");
		if (is_continuation(p)) {
			skip_continuation(p);
			continue;
		}
		if (c == '`')
			return refuse(p, "command substitution by '`'");
		if (c == '$') {
			r = read_dollar(p, context, true, out);
			continue;
		}
		if (c == '\\' && peek(p, 1) != EOF && strchr("$`\"\\", peek(p, 1)))
			p->p++;
		if (*p->p == '\n')
			p->line++;
		r = add_value(p, out, p->p++, 1);
	}
	p->p++;
	return r;
}

/* Where an unquoted '~' may be a home directory: behind nothing, ':' and '='. Refused
 * anywhere but within what cannot be anything else, such as 0~2022. */
static bool is_literal_tilde(const struct parser *p, const char *word)
{
	return p->p > word && (is_name_char(p->p[-1]) || strchr(".+-", p->p[-1]));
}

/*
 * One word, to the next unquoted blank, line end, ';' or, in an array, ')'. *ret_quoted:
 * some of it was quoted (then it is a word even when it is empty).
 */
static int read_word(struct parser *p, enum context context, struct kp_buf *out,
		     bool *ret_quoted)
{
	const char *word = p->p;
	int c, r = 0;

	*ret_quoted = false;
	while (!r) {
		c = peek(p, 0);
		if (c == EOF || strchr(" \t\n;", c) || (c == ')' && context == IN_ARRAY))
			break;
		if (is_continuation(p)) {
			skip_continuation(p);
			continue;
		}
		if (is_odd(c))
			return refuse(p, "a control character");
		if (strchr("&|<>()", c) || (context == IN_ARRAY && strchr("*?[]{}\r", c)))
			return refuse_word(p, "unquoted character", p->p);
		if (c == '~' && !is_literal_tilde(p, word))
			return refuse_word(p, "home directory", p->p);
		if (c == '`')
			return refuse(p, "command substitution by '`'");
		if (c == '\'' || c == '"' || c == '\\')
			*ret_quoted = true;
		if (c == '\'') {
			r = read_single_quotes(p, out);
		} else if (c == '"') {
			r = read_double_quotes(p, context, out);
		} else if (c == '$') {
			r = read_dollar(p, context, false, out);
		} else {
			if (c == '\\') {
				p->p++;
				if (peek(p, 0) == EOF || is_odd(peek(p, 0)))
					return refuse(p, "a '\\' before nothing");
			}
			r = add_value(p, out, p->p++, 1);
		}
	}
	return r;
}

/* An element: word, [n]=word or [n]+=word. */
static int read_element(struct parser *p, struct elements *list)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;
	struct element e = { 0 };
	bool quoted;
	int r;

	if (peek(p, 0) == '[') {
		const char *start = p->p;

		r = read_index(p, &e.index);
		if (r < 0)
			return r;
		e.has_index = true;
		if (peek(p, 0) == '+') {
			e.append = true;
			p->p++;
		}
		if (peek(p, 0) != '=')
			return refuse_word(p, "array element", start);
		p->p++;
	}
	r = read_word(p, IN_ARRAY, &out, &quoted);
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
static int read_elements(struct parser *p, struct elements *list)
{
	unsigned int line = p->line;
	int c, r = 0;

	p->p++;
	while (!r) {
		skip_blanks(p);
		c = peek(p, 0);
		if (c == ')') {
			p->p++;
			return 0;
		}
		if (c == EOF) {
			p->line = line;
			return refuse(p, "a ( without its partner");
		}
		if (c == '\n') {
			p->p++;
			p->line++;
		} else if (c == '#') {
			skip_comment(p);
		} else if (c == ';') {
			return refuse_word(p, "unquoted character", p->p);
		} else {
			r = read_element(p, list);
		}
	}
	return r;
}

static int append(struct parser *p, const char *name, unsigned int index,
		  const char *value)
{
	const char *old = kp_vars_get(p->vars, name, index);
	_cleanup_buf_ struct kp_buf sum = KP_BUF_INIT;
	int r = 0;

	if (old)
		r = add_value(p, &sum, old, strlen(old));
	if (!r)
		r = add_value(p, &sum, value, strlen(value));
	if (r < 0)
		return r;
	kp_vars_set(p->vars, name, index, sum.s ? sum.s : "");
	return 0;
}

static int assign_array(struct parser *p, const char *name, bool add)
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

		if (index > INDEX_MAX)
			return refuse(p, "array index");
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
static int read_assignment(struct parser *p)
{
	_cleanup_buf_ struct kp_buf out = KP_BUF_INIT;
	const char *start = p->p;
	_cleanup_free_ char *name = read_name(p);
	bool add = false, indexed = false, quoted;
	unsigned int index = 0;
	int r;

	if (!name)
		return refuse_word(p, "command", start);
	if (peek(p, 0) == '[') {
		indexed = true;
		r = read_index(p, &index);
		if (r < 0)
			return r;
	}
	if (peek(p, 0) == '+') {
		add = true;
		p->p++;
	}
	if (peek(p, 0) != '=')
		return refuse_word(p, "command", start);
	if (kp_conf_name_special(name))
		return refuse_word(p, "variable", start);
	p->p++;
	if (peek(p, 0) == '(') {
		if (indexed)
			return refuse_word(p, "array as an element", start);
		r = assign_array(p, name, add);
		if (r < 0)
			return r;
		if (peek(p, 0) != EOF && !strchr(" \t\n;", peek(p, 0)))
			return refuse_word(p, "text behind an array", p->p);
		return 0;
	}
	r = read_word(p, IN_ASSIGNMENT, &out, &quoted);
	if (r < 0)
		return r;
	if (add)
		return append(p, name, index, out.s ? out.s : "");
	kp_vars_set(p->vars, name, index, out.s ? out.s : "");
	return 0;
}

/* A line with nothing but a carriage return: to bash a command of that name, which no system
 * has; it does nothing. */
static bool is_dos_blank(const struct parser *p)
{
	return peek(p, 0) == '\r' && (peek(p, 1) == '\n' || peek(p, 1) == EOF);
}

static int read_text(struct parser *p)
{
	bool at_start = true; /* of a statement */
	bool may_end = false; /* a ';' may stand here */
	int c, r = 0;

	while (!r) {
		skip_blanks(p);
		c = peek(p, 0);
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
				return refuse(p, "';' without a command");
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
	struct parser p = {
		.p = text, .end = text + len, .line = 1, .vars = work, .err = err
	};
	struct kp_vars swap;
	int r;

	if (len && memchr(text, '\0', len))
		return refuse(&p, "a NUL byte in the file");
	r = read_text(&p);
	if (r < 0)
		return r;
	swap = *vars;
	*vars = *work;
	*work = swap;
	return 0;
}
