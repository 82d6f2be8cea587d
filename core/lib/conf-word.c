// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/conf-parts.h"
#include "lib/conf-word.h"

/* Longest value; stops A=$A$A repeated, which bash would do until memory ends. */
#define VALUE_MAX (1024 * 1024)
/* All together: B=$A for each of many B. */
#define VALUES_MAX (4 * 1024 * 1024)

int kp_parse_refuse(struct kp_parser *p, const char *what)
{
	return kp_err_set(p->err, -ENOTSUP, "line %u: %s", p->line, what);
}

int kp_parse_refuse_word(struct kp_parser *p, const char *what, const char *start)
{
	size_t n = 0;

	while (start + n < p->end && n < 40 && !strchr(" \t\r\n;", start[n]))
		n++;
	return kp_err_set(p->err, -ENOTSUP, "line %u: %s '%.*s'", p->line, what, (int)n,
			  start);
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

char *kp_parse_name(struct kp_parser *p)
{
	const char *start = p->p;

	if (!is_name_start(kp_parse_peek(p, 0)))
		return NULL;
	while (is_name_char(kp_parse_peek(p, 0)))
		p->p++;
	return kp_strndup(start, (size_t)(p->p - start));
}

int kp_parse_index(struct kp_parser *p, unsigned int *ret)
{
	unsigned int n = 0;
	const char *start = p->p++;

	if (!is_digit(kp_parse_peek(p, 0)) ||
	    (kp_parse_peek(p, 0) == '0' && is_digit(kp_parse_peek(p, 1))))
		return kp_parse_refuse_word(p, "array index", start);
	for (; is_digit(kp_parse_peek(p, 0)); p->p++) {
		n = n * 10 + (unsigned int)(*p->p - '0');
		if (n > KP_INDEX_MAX)
			return kp_parse_refuse_word(p, "array index", start);
	}
	if (kp_parse_peek(p, 0) != ']')
		return kp_parse_refuse_word(p, "array index", start);
	p->p++;
	*ret = n;
	return 0;
}

int kp_parse_add(struct kp_parser *p, struct kp_buf *out, const char *s, size_t n)
{
	if (out->len + n > VALUE_MAX)
		return kp_parse_refuse(p, "a value of more than a MiB");
	p->made += n;
	if (p->made > VALUES_MAX)
		return kp_parse_refuse(p, "values of more than 4 MiB");
	kp_buf_add(out, s, n);
	return 0;
}

/* The text that bash would split or match against file names when it stands unquoted in
 * an array; an empty one would vanish there. */
static bool is_split_by_bash(const char *s)
{
	return !*s || strpbrk(s, " \t\n*?[\\");
}

/* The word in ${name:-word}: characters without any meaning only. */
static int read_operand(struct kp_parser *p, const char **ret, size_t *ret_len)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_./,:+-@%^=";
	const char *start = p->p;
	size_t n = 0;

	while (start + n < p->end && start[n] && strchr(plain, start[n]))
		n++;
	p->p += n;
	if (kp_parse_peek(p, 0) != '}')
		return kp_parse_refuse_word(p, "parameter expansion with", start);
	*ret = start;
	*ret_len = n;
	return 0;
}

/* Behind "${": name}, name[n]}, name:-word}, name-word}, name:+word}, name+word}. */
static int read_braces(struct kp_parser *p, const char **ret, size_t *ret_len)
{
	const char *start = p->p - 2, *value, *word = NULL;
	_cleanup_free_ char *name = kp_parse_name(p);
	unsigned int index = 0;
	bool colon = false, is_set;
	size_t len = 0;
	int op, r;

	if (!name)
		return kp_parse_refuse_word(p, "parameter expansion", start);
	if (kp_conf_name_special(name) || kp_str_eq(name, p->self))
		return kp_parse_refuse_word(p, "variable", start);
	if (kp_parse_peek(p, 0) == '[') {
		r = kp_parse_index(p, &index);
		if (r < 0)
			return r;
	}
	value = kp_vars_get(p->vars, name, index);
	if (kp_parse_peek(p, 0) == '}') {
		p->p++;
		*ret = value ? value : "";
		*ret_len = strlen(*ret);
		return 0;
	}
	if (kp_parse_peek(p, 0) == ':') {
		colon = true;
		p->p++;
	}
	op = kp_parse_peek(p, 0);
	if (op != '-' && op != '+')
		return kp_parse_refuse_word(p, "parameter expansion", start);
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
static int read_dollar(struct kp_parser *p, enum kp_word_context context, bool quoted,
		       struct kp_buf *out)
{
	const char *start = p->p++, *value = NULL;
	int c = kp_parse_peek(p, 0), r;
	size_t len = 0;

	if (kp_parse_at_continuation(p))
		return kp_parse_refuse(p, "line continuation behind '$'");
	if (c == '{') {
		p->p++;
		r = read_braces(p, &value, &len);
		if (r < 0)
			return r;
	} else if (is_name_start(c)) {
		_cleanup_free_ char *name = kp_parse_name(p);

		/* bash would go on reading the name behind it. */
		if (kp_parse_at_continuation(p))
			return kp_parse_refuse(
				p, "line continuation behind a variable's name");
		if (kp_conf_name_special(name) || kp_str_eq(name, p->self))
			return kp_parse_refuse_word(p, "variable", start);
		value = kp_vars_get(p->vars, name, 0);
		value = value ? value : "";
		len = strlen(value);
	} else if (c == '(') {
		return kp_parse_refuse_word(p, "command or arithmetic substitution",
					    start);
	} else if (c == '[') {
		return kp_parse_refuse_word(p, "arithmetic expansion", start);
	} else if (is_digit(c) || (c > 0 && strchr("@*#?-$!", c))) {
		return kp_parse_refuse_word(p, "special parameter", start);
	} else if (!quoted && (c == '\'' || c == '"')) {
		return kp_parse_refuse_word(p, "quoting by", start);
	} else {
		return kp_parse_add(p, out, "$", 1);
	}
	if (context == KP_IN_ARRAY && !quoted) {
		_cleanup_free_ char *text = kp_strndup(value, len);

		if (is_split_by_bash(text))
			return kp_parse_refuse_word(p, "unquoted expansion in an array",
						    start);
	}
	return kp_parse_add(p, out, value, len);
}

static int read_single_quotes(struct kp_parser *p, struct kp_buf *out)
{
	const char *start = ++p->p;
	unsigned int line = p->line;
	int r;

	for (; kp_parse_peek(p, 0) != '\''; p->p++) {
		if (kp_parse_peek(p, 0) == EOF) {
			p->line = line;
			return kp_parse_refuse(p, "a ' without its partner");
		}
		if (is_odd(kp_parse_peek(p, 0)))
			return kp_parse_refuse(p, "a control character");
		if (*p->p == '\n')
			p->line++;
	}
	r = kp_parse_add(p, out, start, (size_t)(p->p - start));
	p->p++;
	return r;
}

static int read_double_quotes(struct kp_parser *p, enum kp_word_context context,
			      struct kp_buf *out)
{
	unsigned int line = p->line;
	int c, r = 0;

	p->p++;
	while (!r && (c = kp_parse_peek(p, 0)) != '"') {
		if (c == EOF) {
			p->line = line;
			return kp_parse_refuse(p, "a \" without its partner");
		}
		if (is_odd(c))
			return kp_parse_refuse(p, "a control character");
		if (kp_parse_at_continuation(p)) {
			kp_parse_continuation(p);
			continue;
		}
		if (c == '`')
			return kp_parse_refuse(p, "command substitution by '`'");
		if (c == '$') {
			r = read_dollar(p, context, true, out);
			continue;
		}
		if (c == '\\' && kp_parse_peek(p, 1) != EOF &&
		    strchr("$`\"\\", kp_parse_peek(p, 1)))
			p->p++;
		if (*p->p == '\n')
			p->line++;
		r = kp_parse_add(p, out, p->p++, 1);
	}
	p->p++;
	return r;
}

/* Where an unquoted '~' may be a home directory: behind nothing, ':' and '='. Refused
 * anywhere but within what cannot be anything else, such as 0~2022. */
static bool is_literal_tilde(const struct kp_parser *p, const char *word)
{
	return p->p > word && (is_name_char(p->p[-1]) || strchr(".+-", p->p[-1]));
}

int kp_parse_word(struct kp_parser *p, enum kp_word_context context, struct kp_buf *out,
		  bool *ret_quoted)
{
	const char *word = p->p;
	int c, r = 0;

	*ret_quoted = false;
	while (!r) {
		c = kp_parse_peek(p, 0);
		if (c == EOF || strchr(" \t\n;", c) ||
		    (c == ')' && context == KP_IN_ARRAY))
			break;
		if (kp_parse_at_continuation(p)) {
			kp_parse_continuation(p);
			continue;
		}
		if (is_odd(c))
			return kp_parse_refuse(p, "a control character");
		if (strchr("&|<>()", c) ||
		    (context == KP_IN_ARRAY && strchr("*?[]{}\r", c)))
			return kp_parse_refuse_word(p, "unquoted character", p->p);
		if (c == '~' && !is_literal_tilde(p, word))
			return kp_parse_refuse_word(p, "home directory", p->p);
		if (c == '`')
			return kp_parse_refuse(p, "command substitution by '`'");
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
				if (kp_parse_peek(p, 0) == EOF ||
				    is_odd(kp_parse_peek(p, 0)))
					return kp_parse_refuse(p,
							       "a '\\' before nothing");
			}
			r = kp_parse_add(p, out, p->p++, 1);
		}
	}
	return r;
}
