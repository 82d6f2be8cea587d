// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * modpost is the only one that knows what a module was linked against: a recipe may name the
 * Module.symvers of any tree. Its messages are those of scripts/mod/modpost.c in Linux:
 *
 *	ERROR: modpost: "symbol" [path/module.ko] undefined!
 *	WARNING: modpost: suppressed 5 unresolved symbol warnings because ...
 *
 * Before 5.7 there is no "modpost: ", before 5.8 each is a warning.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "inside/modinfo.h"

bool kp_module_name_eq(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return false;
	return *a == *b;
}

static bool has(const char *line, size_t len, const char *word)
{
	return memmem(line, len, word, strlen(word)) != NULL;
}

/* Take a complaint apart, in place: "symbol" [path/module.ko] undefined! */
static bool split_complaint(char *line, const char **ret_symbol, const char **ret_module)
{
	char *end = strstr(line, ".ko] undefined!"), *path, *symbol, *slash;

	if (!end)
		return false;
	*end = '\0';
	path = strrchr(line, '[');
	if (!path || path - line < 3 || path[-1] != ' ' || path[-2] != '"')
		return false;
	path[-2] = '\0';
	symbol = strrchr(line, '"');
	if (!symbol)
		return false;
	slash = strrchr(++path, '/');
	*ret_symbol = symbol + 1;
	*ret_module = slash ? slash + 1 : path;
	return true;
}

static void mark(struct kp_symbols *symbols, const char *name)
{
	for (size_t i = 0; i < symbols->n; i++)
		if (!name || !strcmp(symbols->list[i].name, name))
			symbols->list[i].undefined = true;
}

bool kp_modpost_resolve(const char *text, size_t len, const char *module,
			struct kp_symbols *symbols)
{
	bool ran = false;

	while (len) {
		const char *end = memchr(text, '\n', len), *symbol, *its_module;
		size_t n = end ? (size_t)(end - text) : len;

		ran = ran || has(text, n, "MODPOST") || has(text, n, "modpost");
		if (has(text, n, "undefined!")) {
			_cleanup_free_ char *line = kp_strndup(text, n);

			if (split_complaint(line, &symbol, &its_module) &&
			    kp_module_name_eq(its_module, module))
				mark(symbols, symbol);
		}
		/* Of which module is not said. */
		if (has(text, n, "unresolved symbol warnings"))
			mark(symbols, NULL);
		text += n;
		len -= n;
		if (len) {
			text++;
			len--;
		}
	}
	return ran;
}
