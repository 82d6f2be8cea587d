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
	char quote = '\0';

	for (const char *in = copy; *in; in++) {
		if (*in == '\\' && quote != '\'' && in[1]) {
			if (quote && !strchr("\"\\$`", in[1]))
				*out++ = *in;
			*out++ = *++in;
		} else if (quote ? *in == quote : *in == '"' || *in == '\'') {
			quote = quote ? '\0' : *in;
		} else {
			*out++ = *in;
		}
	}
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
		(struct kp_recipe_var){ kp_strndup(name, n), kp_strdup(value), false };
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

bool kp_scan_is_inside(const struct kp_scan *s, const char *word)
{
	static const char *const always[] = { "src", "obj", "M" };
	size_t n = name_at(word);
	_cleanup_free_ char *name = kp_strndup(word + (n ? 2 : 0), n);

	return n && word[n + 3] == '/' && !kp_scan_climbs(word) &&
	       (ONE_OF(name, always) ||
		(kp_strv_has(s->inside, name) && !is_set(s, name, n)));
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

/* ---- flags */

/* Does a word of flags, without quotes, make the linker, the assembler or the compiler read a file that is
 * not of the source? */
static bool names_file(const char *word)
{
	size_t n;

	for (const char *p = word; *p; p += n + (p[n] != '\0')) {
		const char *slash;

		n = strcspn(p, ",=");
		slash = memchr(p, '/', n);
		if ((n && strchr("/~@", *p)) || kp_str_starts(p, "-l") ||
		    (slash && *p == '-' && !strchr(")}", slash[-1])))
			return true;
	}
	return false;
}

static void check_flags(struct kp_scan *s, const char *value);

/* Whatever a variable stands for, each of its values once. */
static void check_variables(struct kp_scan *s, const char *word)
{
	for (const char *p = word; (p = strchr(p, '$')); p++) {
		size_t n = name_at(p);

		for (size_t i = 0; n && i < s->n_vars; i++) {
			struct kp_recipe_var *v = &s->vars[i];

			if (v->is_flags || strlen(v->name) != n ||
			    strncmp(v->name, p + 2, n) != 0)
				continue;
			v->is_flags = true;
			check_flags(s, v->value);
		}
	}
}

static void check_flags(struct kp_scan *s, const char *value)
{
	/* What these name is in the dependency files, or is not read. */
	static const char *const noted[] = { "-I",	 "-D",	      "-U",
					     "-include", "-imacros",  "-isystem",
					     "-iquote",	 "-idirafter" };
	_cleanup_strv_ char **words = kp_strv_split(value, BLANK);

	for (char **p = words; p && *p && !s->why; p++) {
		_cleanup_free_ char *word = kp_scan_unquote(*p, strlen(*p));
		size_t i = 0;

		while (i < KP_ARRAY_SIZE(noted) && !kp_str_starts(word, noted[i]))
			i++;
		if (ONE_OF(word, noted) && p[1])
			p++;
		else if (i == KP_ARRAY_SIZE(noted) && names_file(word))
			kp_scan_refuse(s, "has the flag", word);
		else if (i == KP_ARRAY_SIZE(noted))
			check_variables(s, word);
	}
}

void kp_scan_flags(struct kp_scan *s, const char *line, bool command)
{
	for (const char *p = line; !s->why && (p = strchr(p, '=')); p++) {
		const char *end = p, *start, *value = p + 1 + strspn(p + 1, BLANK);
		_cleanup_free_ char *name = NULL, *text = NULL;

		while (end > line && strchr(BLANK "+?!:", end[-1]))
			end--;
		for (start = end; start > line && !strchr(BLANK "=", start[-1]);)
			start--;
		name = kp_strndup(start, (size_t)(end - start));
		if (!strcasestr(name, "flags"))
			continue;
		end = command ? kp_scan_word(value, BLANK "\n;&|") : strchr(value, '\0');
		text = command ? kp_scan_unquote(value, (size_t)(end - value))
			       : kp_strdup(value);
		check_flags(s, text);
		p = end - 1;
	}
}
