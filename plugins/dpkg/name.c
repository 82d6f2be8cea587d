// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#include "dpkg.h"

#define SEPARATOR "-modules"

/* <ctype.h> asks the locale; dpkg does not. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static void add_hex(struct kp_buf *b, const char *intro, char c)
{
	kp_buf_addf(b, "%s%02x", intro, (unsigned char)c);
}

/* Does an escape seem to begin here? Then the '+' must become one. */
static bool looks_escaped(const char *s)
{
	return s[0] == '+' && s[1] == 'x';
}

static bool name_char_ok(char c)
{
	return is_digit(c) || is_lower(c) || c == '+' || c == '-' || c == '.';
}

static void add_name(struct kp_buf *b, const char *s, bool is_module)
{
	for (; *s; s++) {
		if (!name_char_ok(*s) || looks_escaped(s) ||
		    (is_module && kp_str_starts(s, SEPARATOR)))
			add_hex(b, "+x", *s);
		else
			kp_buf_addc(b, *s);
	}
}

char *kp_dpkg_name(const char *module, const char *kernel)
{
	struct kp_buf b = KP_BUF_INIT;

	if (*module && !is_digit(*module) && !is_lower(*module))
		add_hex(&b, "0+xx", *module++);
	add_name(&b, module, true);
	kp_buf_adds(&b, SEPARATOR "-");
	add_name(&b, kernel, false);
	return kp_buf_steal(&b);
}

static bool version_char_ok(const char *s)
{
	if (*s == '-')
		return s[1]; /* dpkg: an empty revision */
	return is_digit(*s) || is_lower(*s) || is_upper(*s) || *s == '.' || *s == '+' ||
	       *s == '~';
}

char *kp_dpkg_version(const char *version)
{
	struct kp_buf b = KP_BUF_INIT;

	if (!is_digit(*version)) {
		kp_buf_adds(&b, "0~");
	} else if (kp_str_starts(version, "0~")) {
		kp_buf_addc(&b, '0');
		add_hex(&b, "+x", '~');
		version += 2;
	}
	for (; *version; version++) {
		if (!version_char_ok(version) || looks_escaped(version))
			add_hex(&b, "+x", *version);
		else
			kp_buf_addc(&b, *version);
	}
	return kp_buf_steal(&b);
}
