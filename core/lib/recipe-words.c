// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "lib/recipe-parts.h"

#define EXPAND_MAX 8
#define VALUE_MAX 4096
#define VARS_MAX 1000

const char *kp_scan_group(const char *p)
{
	char open = *p, close = open == '(' ? ')' : '}';
	int depth = 0;

	for (; *p; p++) {
		depth += (*p == open) - (*p == close);
		if (!depth)
			return p + 1;
	}
	return p;
}

const char *kp_scan_word(const char *p, const char *ends)
{
	char quote = '\0';

	while (*p && (quote || !strchr(ends, *p))) {
		if (*p == '$' && (p[1] == '(' || p[1] == '{')) {
			p = kp_scan_group(p + 1);
			continue;
		}
		if (*p == '`' && quote != '\'' && strchr(p + 1, '`'))
			p = strchr(p + 1, '`');
		if (*p == '\\' && quote != '\'' && p[1])
			p++;
		else if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? '\0' : *p;
		p++;
	}
	return p;
}

char *kp_scan_unquote(const char *word, size_t n)
{
	char *copy = kp_strndup(word, n), *out = copy;

	for (const char *in = copy; *in; in++)
		if (*in != '"' && *in != '\'')
			*out++ = *in;
	*out = '\0';
	return copy;
}

bool kp_scan_is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

unsigned int kp_scan_climbs(const char *path)
{
	unsigned int n = 0;

	for (; (path = strstr(path, "..")); path += 2)
		n++;
	return n;
}

/* ---- variables */

void kp_scan_add_var(struct kp_scan *s, const char *name, size_t n, const char *value)
{
	if (s->n_vars >= VARS_MAX) {
		if (!s->why)
			s->why = kp_strdup("has too many variables");
		return;
	}
	KP_GROW(s->vars, s->n_vars, s->alloc);
	s->vars[s->n_vars++] =
		(struct kp_recipe_var){ kp_strndup(name, n), kp_strdup(value) };
}

/* The only value of NAME; NULL: none, or several. */
static const char *value_of(const struct kp_scan *s, const char *name, size_t n)
{
	const char *value = NULL;

	for (size_t i = 0; i < s->n_vars; i++) {
		const struct kp_recipe_var *v = &s->vars[i];

		if (strlen(v->name) != n || strncmp(v->name, name, n) != 0)
			continue;
		if (value && strcmp(value, v->value) != 0)
			return NULL;
		value = v->value;
	}
	return value;
}

static bool is_set(const struct kp_scan *s, const char *name, size_t n)
{
	for (size_t i = 0; i < s->n_vars; i++)
		if (strlen(s->vars[i].name) == n && !strncmp(s->vars[i].name, name, n))
			return true;
	return false;
}

/* The name in "$(name)" at P; 0: it is something else. */
static size_t name_at(const char *p)
{
	size_t n;

	if (*p != '$' || (p[1] != '(' && p[1] != '{'))
		return 0;
	n = strcspn(p + 2, "(){}$ \t:=,");
	return p[2 + n] == ')' || p[2 + n] == '}' ? n : 0;
}

char *kp_scan_expand(const struct kp_scan *s, const char *word)
{
	char *text = kp_strdup(word);

	for (int i = 0; i < EXPAND_MAX && strlen(text) < VALUE_MAX; i++) {
		_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
		bool changed = false;

		kp_buf_adds(&b, "");
		for (const char *p = text; *p;) {
			size_t n = name_at(p);
			const char *value = n ? value_of(s, p + 2, n) : NULL;

			if (value && b.len < VALUE_MAX) {
				kp_buf_adds(&b, value);
				p += n + 3;
				changed = true;
			} else {
				kp_buf_addc(&b, *p++);
			}
		}
		free(text);
		text = kp_buf_steal(&b);
		if (!changed)
			break;
	}
	return text;
}

/* ---- places */

bool kp_scan_is_here(const char *value)
{
	static const char *const here[] = { "$(shell pwd)", "$(shell /bin/pwd)",
					    "`pwd`",	    "$(CURDIR)",
					    "${CURDIR}",    "$(PWD)",
					    "${PWD}",	    "$$PWD",
					    "$$(pwd)",	    ".",
					    "$(src)",	    "$(obj)" };

	return ONE_OF(value, here);
}

bool kp_scan_stays(const struct kp_scan *s, const char *word)
{
	static const char *const inside[] = { "src", "obj", "M", "PWD", "CURDIR" };
	static const char *const of_rule[] = { "@D", "<D", "*", "@F", "<F" };
	const char *name, *slash = strrchr(word, '/');
	size_t n;

	/* The key does not have it. */
	if (strstr(word, ".git") && strcmp(slash ? slash + 1 : word, ".gitignore"))
		return false;
	if (*word == '/' || *word == '~')
		return !strcmp(word, "/dev/null");
	/* "-f/x", "--file=/x" */
	if (*word == '-' && strchr(word, '/'))
		return false;
	if (kp_scan_climbs(word))
		return kp_str_starts(word, "$(src)/") &&
		       kp_scan_climbs(word) <= s->levels;
	if (*word != '$')
		return true;
	if (word[1] && strchr("@<^*+?", word[1]))
		return s->names_inside;
	if (word[1] != '(' && word[1] != '{')
		return false;
	name = word + 2;
	n = strcspn(name, ")}");
	for (size_t i = 0; i < KP_ARRAY_SIZE(of_rule); i++)
		if (strlen(of_rule[i]) == n && !strncmp(name, of_rule[i], n))
			return s->names_inside;
	for (size_t i = 0; i < KP_ARRAY_SIZE(inside); i++)
		if (strlen(inside[i]) == n && !strncmp(name, inside[i], n))
			return true;
	return false;
}

/* What names a kernel's release, the one that is built for. */
static bool is_release(const struct kp_scan *s, const char *text, size_t n)
{
	static const char *const asked[] = { "$(shell uname -r)", "`uname -r`",
					     "$(KERNELRELEASE)", "$(kernelver)" };
	_cleanup_free_ char *word = kp_strndup(text, n), *name = NULL;
	size_t len = name_at(word);

	if (ONE_OF(word, asked))
		return true;
	name = kp_strndup(word + (len ? 2 : 0), len);
	return len && len + 3 == n && kp_strv_has(s->set, name);
}

bool kp_scan_is_kernel(const struct kp_scan *s, const char *word)
{
	static const char *const places[] = { "/lib/modules/", "/usr/lib/modules/" };
	_cleanup_free_ char *text = kp_scan_expand(s, word), *name = NULL;
	size_t n = name_at(text), len;

	if (n && !text[n + 3]) {
		name = kp_strndup(text + 2, n);
		return !is_set(s, name, n) && (kp_strv_has(s->set, name) ||
					       kp_str_eq(name, "kernel_source_dir"));
	}
	for (len = strlen(text); len && text[len - 1] == '/'; len--)
		text[len - 1] = '\0';
	for (size_t i = 0; i < KP_ARRAY_SIZE(places); i++) {
		const char *release = text + strlen(places[i]);

		if (kp_str_starts(text, places[i]) && kp_str_ends(text, "/build"))
			return text + len - strlen("/build") > release &&
			       is_release(s, release,
					  (size_t)(text + len - release) -
						  strlen("/build"));
	}
	return false;
}
