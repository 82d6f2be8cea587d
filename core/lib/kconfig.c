// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/kernel.h"

/* A string between double quotes in which a backslash takes the next character as it is
 * (scripts/kconfig/symbol.c, sym_escape_string). */
static char *unquote(const char *s, size_t len)
{
	struct kp_buf b = KP_BUF_INIT;

	for (size_t i = 0; i < len && s[i] != '"'; i++) {
		if (s[i] == '\\' && i + 1 < len)
			i++;
		kp_buf_addc(&b, s[i]);
	}
	return kp_buf_steal(&b);
}

char *kp_kconfig_get(const char *text, const char *name)
{
	size_t name_len = strlen(name);
	const char *value = NULL;
	size_t len = 0;

	while (*text) {
		size_t line = strcspn(text, "\n");

		if (line > name_len && text[name_len] == '=' &&
		    !memcmp(text, name, name_len)) {
			value = text + name_len + 1;
			len = line - name_len - 1;
		}
		text += line;
		if (*text)
			text++;
	}
	if (!value)
		return NULL;
	if (len && value[len - 1] == '\r')
		len--;
	if (len && *value == '"')
		return unquote(value + 1, len - 1);
	return kp_strndup(value, len);
}
