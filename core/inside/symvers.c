// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "inside/modinfo.h"

/* A name that is not NUL-terminated against a symbol. */
struct name {
	const char *s;
	size_t len;
};

static int compare(const void *key, const void *elem)
{
	const struct name *name = key;
	const struct kp_symbol *symbol = elem;
	int c = strncmp(name->s, symbol->name, name->len);

	return c ? c : -(symbol->name[name->len] != '\0');
}

/* "0x" and up to eight hexadecimal digits. */
static bool parse_crc(const char *s, size_t len, uint32_t *ret)
{
	uint32_t crc = 0;

	if (len < 3 || len > 10 || s[0] != '0' || s[1] != 'x')
		return false;
	for (size_t i = 2; i < len; i++) {
		int c = tolower((unsigned char)s[i]);

		if (!isxdigit(c))
			return false;
		crc = crc << 4 | (uint32_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	*ret = crc;
	return true;
}

static void export_symbol(struct kp_symbol *symbol, uint32_t crc)
{
	bool differs = crc && symbol->crc && crc != symbol->crc;

	symbol->crc_differs = differs && (!symbol->exported || symbol->crc_differs);
	symbol->exported = true;
}

static void parse_line(const char *line, size_t len, struct kp_symbols *symbols)
{
	const char *tab = memchr(line, '\t', len), *end;
	struct kp_symbol *symbol;
	struct name name;
	uint32_t crc;

	if (!tab || !parse_crc(line, (size_t)(tab - line), &crc))
		return;
	name.s = tab + 1;
	end = memchr(name.s, '\t', len - (size_t)(name.s - line));
	name.len = (size_t)((end ? end : line + len) - name.s);
	if (!name.len || memchr(name.s, '\0', name.len))
		return;
	symbol = bsearch(&name, symbols->list, symbols->n, sizeof(*symbols->list),
			 compare);
	if (symbol)
		export_symbol(symbol, crc);
}

void kp_symvers_resolve(const char *text, size_t len, struct kp_symbols *symbols)
{
	while (len && symbols->n) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		parse_line(text, line, symbols);
		text += line;
		len -= line;
		if (len) {
			text++;
			len--;
		}
	}
}
