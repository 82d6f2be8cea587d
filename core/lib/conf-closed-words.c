// SPDX-License-Identifier: GPL-2.0-or-later
/* What variables can be, which words name files, and what commands do with them. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/conf-closed.h"

static enum kp_closed_kind kind_of(const char *word)
{
	static const struct {
		enum kp_closed_kind kind;
		const char *names[32];
	} known[] = {
		{ KP_CLOSED_NONE,
		  { "if", "then", "else", "elif", "fi", "do", "done", "while", "until",
		    "!", "{", "}", "esac" } },
		{ KP_CLOSED_PLAIN,
		  { ":",       "true",	"false", "echo",  "printf", "export",
		    "declare", "local", "unset", "shift", "break",  "continue",
		    "return",  "for",	"uname", "nproc", "expr",   "basename",
		    "dirname", "seq",	"shopt" } },
		{ KP_CLOSED_READER,
		  { "cat", "head", "tail", "grep", "egrep", "sed", "awk", "cut", "tr",
		    "sort", "wc" } },
		{ KP_CLOSED_TEST, { "[", "[[", "test" } },
		{ KP_CLOSED_SOURCE, { ".", "source" } },
		{ KP_CLOSED_FIND, { "find" } },
		{ KP_CLOSED_MOVE, { "pushd", "popd" } },
		{ KP_CLOSED_CASE, { "case" } },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(known); i++)
		for (size_t j = 0; known[i].names[j]; j++)
			if (!strcmp(word, known[i].names[j]))
				return known[i].kind;
	return (enum kp_closed_kind) - 1;
}

bool kp_closed_is_assignment(const char *word)
{
	size_t n = strspn(word, NAME_CHARS);

	if (n && word[n] == '[')
		n += strcspn(word + n, "]") + 1;
	return n && strlen(word) > n && word[n + (word[n] == '+')] == '=';
}

/* ---- variables */

void kp_closed_note(struct kp_closed *s, const char *name, size_t len, const char *value)
{
	_cleanup_free_ char *var = kp_strndup(name, len);
	const struct kp_var *v;
	size_t n;

	if (!s->collecting || !len)
		return;
	if (!value && !kp_strv_has(s->unknown, var))
		kp_strv_add(&s->unknown, var);
	if (!value)
		return;
	v = kp_vars_find(s->known, var);
	n = v ? v->n_elems : 0;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v->elems[i].value, value))
			return;
	kp_vars_set(s->known, var, (unsigned int)n, value);
}

void kp_closed_assign(struct kp_closed *s, const struct kp_closed_word *w)
{
	const char *text = w->text.s;
	size_t n = strspn(text, NAME_CHARS);

	kp_closed_note(s, text, n,
		       text[n] != '=' || w->dollar || w->pattern ? NULL : text + n + 1);
}

/* What a variable can be: its only value; NULL: there are several, or they are not known. *RET_GIVEN: one that
 * the conf gets and leaves alone. *RET_SIMPLE: all values are of NAME_CHARS. */
static const char *value_of(const struct kp_closed *s, const char *name, bool *ret_given,
			    bool *ret_simple)
{
	const struct kp_var *own = kp_vars_find(s->known, name);
	const char *given = s->given ? kp_vars_get(s->given, name, 0) : NULL;

	*ret_given = given && !own;
	*ret_simple = !kp_strv_has(s->unknown, name) && (own || given) &&
		      !(given && given[strspn(given, NAME_CHARS)]);
	for (size_t i = 0; own && i < own->n_elems; i++)
		*ret_simple &=
			!own->elems[i].value[strspn(own->elems[i].value, NAME_CHARS)];
	if (kp_strv_has(s->unknown, name) || (own && (given || own->n_elems > 1)))
		return NULL;
	return own ? own->elems[0].value : given;
}

/* "$NAME", "${NAME}" or "${NAME/%OLD/NEW}", N bytes of it, is part of a word. */
void kp_closed_put_in(const struct kp_closed *s, const char *p, size_t n,
		      struct kp_closed_word *w)
{
	size_t skip = p[1] == '{' ? 2 : 1, len = strspn(p + skip, NAME_CHARS);
	_cleanup_free_ char *name = kp_strndup(p + skip, len), *change = NULL;
	bool given = false, simple = false;
	const char *value = *p == '$' && len ? value_of(s, name, &given, &simple) : NULL;

	if (skip == 2 && n > skip + len + 1)
		change = kp_strndup(p + skip + len, n - skip - len - 1);
	w->complex |= !simple || change;
	if (value && change) {
		const char *old = kp_str_starts(change, "/%") ? change + 2 : "";
		char *new = strchr(old, '/');

		if (!new || strchr(new + 1, '/'))
			value = NULL;
		else
			*new = '\0';
		if (value && kp_str_ends(value, old)) {
			kp_buf_add(&w->value, value, strlen(value) - strlen(old));
			value = new + 1;
		}
	}
	w->other |= !value || (w->own && !given);
	if (!given)
		w->own = n;
	if (value)
		kp_buf_adds(&w->value, value);
}

/* Of a word in which something is put in: what it is; NULL: not to be told, or nothing like a path. A variable of the
 * conf's own may also have no value yet: then there has to be nothing else. */
static const char *known_value(const struct kp_closed_word *w)
{
	const char *value = w->value.s;

	if (w->other || (w->own && w->own != w->text.len) ||
	    value[strspn(value, PATH_CHARS)])
		return NULL;
	return value;
}

/* ---- words */

void kp_closed_add_path(char ***paths, const char *path)
{
	if (paths && *path == '/' && path[1] && !kp_strv_has(*paths, path))
		kp_strv_add(paths, path);
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

/* "s/OLD/NEW/" of sed, in which variables cannot be anything but text. */
static bool is_substitution(const struct kp_closed_word *w)
{
	const char *text = w->text.s, *last = strrchr(text, '/');
	size_t slashes = 0;

	for (const char *p = text; (p = strchr(p, '/')); p++)
		slashes++;
	return !w->complex && kp_str_starts(text, "s/") && slashes == 3 &&
	       !strpbrk(text, "\\\n;`(") && !last[1 + strspn(last + 1, "gp")];
}

bool kp_closed_is_clear(struct kp_closed *s, const struct kp_closed_command *c,
			const struct kp_closed_word *w)
{
	const char *text = w->text.s, *name = in_headers(text), *value;

	if (strstr(text, "getline") || strstr(text, "system") || strstr(text, "ARGV"))
		return false;
	/* "-f/x" is no path to add_literal_paths(); "-r" goes into directories */
	if (c->kind == KP_CLOSED_READER && *text == '-' && strpbrk(text, "/rR"))
		return false;
	if (!w->dollar)
		return !(w->pattern && strchr(text, '/'));
	if (is_config(text) || (name && !strpbrk(name, "$`" GLOB) && !strstr(name, "..")))
		return true;
	if (c->kind == KP_CLOSED_READER && c->name && !strcmp(c->name, "sed"))
		return is_substitution(w);
	value = known_value(w);
	if (value)
		kp_closed_add_path(s->paths, value);
	return value != NULL;
}

/* Does a conf look at the variable? "${!OTHER}" may be any. */
static bool is_used(const struct kp_closed *s, const char *name, size_t len)
{
	kp_strv_foreach(text, s->texts)
		for (const char *p = *text; (p = strchr(p, '$')); p++) {
			const char *at = p + 1 + (p[1] == '{');

			at += kp_str_starts(p, "${#");
			if (kp_str_starts(p, "${!") ||
			    (strspn(at, NAME_CHARS) == len && !strncmp(at, name, len)))
				return true;
		}
	return false;
}

bool kp_closed_is_plain(const struct kp_closed *s, const char *text)
{
	size_t name = kp_closed_is_assignment(text) ? strspn(text, NAME_CHARS) : 0;

	/* Those that say where the headers are, and programs. */
	if (name && (kp_str_starts(text, "kernel_") || kp_str_starts(text, "PATH")))
		return false;
	/* The brackets of an index are none of a pattern; what is a pattern where it is put in is none in
	 * a command of a directive, which is for later. */
	if (name && !is_used(s, text, name))
		return true;
	text += name ? strcspn(text, "=") : 0;
	return !(strpbrk(text, GLOB) && strchr(text, '/'));
}

static bool take_plain(struct kp_closed *s, struct kp_closed_command *c,
		       const struct kp_closed_word *w)
{
	const char *text = w->text.s;
	bool declares = kp_str_eq(c->name, "declare") || kp_str_eq(c->name, "local");

	if (!strcmp(c->name, "for") && !c->n)
		kp_closed_note(s, text, strlen(text), NULL);
	if (kp_closed_is_assignment(text))
		kp_closed_assign(s, w);
	/* Variables by another name; the host, and the build of the running kernel. */
	if ((declares && *text == '-' && text[1 + strspn(text + 1, "Aagirx")]) ||
	    (!strcmp(c->name, "printf") && !strcmp(text, "-v")) ||
	    (!strcmp(c->name, "uname") && strpbrk(text, "anv")))
		return false;
	return kp_closed_is_plain(s, text);
}

static bool take_test(struct kp_closed *s, struct kp_closed_command *c,
		      const struct kp_closed_word *w)
{
	static const char *const of_two[] = { "-nt", "-ot", "-ef" };
	static const char *const no_file[] = { "-n", "-z", "-o", "-v" };
	const char *text = w->text.s;
	bool looks = *text == '-' && strlen(text) == 2;

	for (size_t i = 0; i < KP_ARRAY_SIZE(of_two); i++)
		looks |= !strcmp(text, of_two[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(no_file); i++)
		looks &= strcmp(text, no_file[i]) != 0;
	/* "and", where something stands before it */
	if (!strcmp(text, "-a") && c->n && !c->operator)
		looks = false;
	c->operator= !strcmp(text, "-a") || !strcmp(text, "-o") || !strcmp(text, "!");
	c->looks |= looks;
	c->unclear |= !kp_closed_is_clear(s, c, w);
	return s->collecting || !(c->looks && c->unclear);
}

/* "find DIRECTORY -maxdepth 1" and what goes by names and types: a directory's time tells of both. */
static bool take_find(const struct kp_closed_command *c, const struct kp_closed_word *w)
{
	static const char *const known[] = { "-mindepth", "-type", "-name", "-print" };
	const char *text = w->text.s;

	if (w->dollar || c->n == 0)
		return !w->dollar && *text == '/' && !text[strspn(text, PATH_CHARS)];
	if (c->n < 3)
		return !strcmp(text, c->n == 1 ? "-maxdepth" : "1");
	for (size_t i = 0; i < KP_ARRAY_SIZE(known); i++)
		if (!strcmp(text, known[i]))
			return true;
	return *text != '-' && !w->pattern && !strpbrk(text, "/()!;");
}

static bool take_source(struct kp_closed *s, const struct kp_closed_word *w)
{
	const char *value = w->dollar ? known_value(w) : w->text.s;

	if (s->collecting || is_config(w->text.s))
		return true;
	/* What is not called by a path is looked for. */
	if (!value || *value != '/' || value[strspn(value, PATH_CHARS)])
		return false;
	kp_closed_add_path(s->paths, value);
	kp_closed_add_path(s->sourced, value);
	return true;
}

static bool take_move(const struct kp_closed_word *w)
{
	static const char *const known[] = { "`dirname $BASH_SOURCE`",
					     "$(dirname $BASH_SOURCE)",
					     "$(dirname ${BASH_SOURCE})",
					     "${BASH_SOURCE%/*}" };
	_cleanup_buf_ struct kp_buf raw = KP_BUF_INIT;

	kp_buf_adds(&raw, "");
	for (size_t i = 0; i < w->raw_len; i++)
		if (w->raw[i] != '"')
			kp_buf_addc(&raw, w->raw[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(known); i++)
		if (!strcmp(raw.s, known[i]))
			return true;
	return false;
}

bool kp_closed_take(struct kp_closed *s, struct kp_closed_command *c,
		    const struct kp_closed_word *w)
{
	const char *text = w->text.s;
	bool ok = false;

	switch (c->kind) {
	case KP_CLOSED_NONE:
		if (kp_closed_is_assignment(text)) {
			kp_closed_assign(s, w);
			return kp_closed_is_plain(s, text);
		}
		c->kind = kind_of(text);
		c->n = 0;
		free(c->name);
		c->name = kp_strdup(text);
		return c->kind != (enum kp_closed_kind) - 1;
	case KP_CLOSED_PLAIN:
		ok = take_plain(s, c, w);
		break;
	case KP_CLOSED_READER:
		ok = s->collecting || kp_closed_is_clear(s, c, w);
		break;
	case KP_CLOSED_TEST:
		ok = take_test(s, c, w);
		break;
	case KP_CLOSED_SOURCE:
		ok = take_source(s, w);
		break;
	case KP_CLOSED_FIND:
		ok = take_find(c, w);
		break;
	case KP_CLOSED_MOVE:
		ok = take_move(w);
		break;
	case KP_CLOSED_CASE:
		ok = true;
		break;
	}
	c->n++;
	return ok;
}

bool kp_closed_is_whole(const struct kp_closed_command *c)
{
	return c->kind != KP_CLOSED_FIND || c->n >= 3;
}
