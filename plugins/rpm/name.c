// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdbool.h>

#include "rpm.h"

/* <ctype.h> asks the locale; rpm does not. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void add_hex(struct kp_buf *b, char c)
{
	kp_buf_addf(b, "+x%02x", (unsigned char)c);
}

/* Does an escape seem to begin here? Then the '+' must become one. */
static bool looks_escaped(const char *s)
{
	return s[0] == '+' && s[1] == 'x';
}

static bool name_char_ok(const char *s)
{
	return (is_letter(*s) || is_digit(*s) || strchr("._-+", *s)) && !looks_escaped(s);
}

/* A '-' behind which a kernel could begin. */
static bool looks_like_separator(const char *s)
{
	return s[0] == '-' && s[1] && (is_digit(s[1]) || !name_char_ok(s + 1));
}

static void add_name(struct kp_buf *b, const char *s, bool before_kernel)
{
	for (; *s; s++) {
		if (!name_char_ok(s) || (before_kernel && looks_like_separator(s)))
			add_hex(b, *s);
		else
			kp_buf_addc(b, *s);
	}
}

char *kp_rpm_name(const char *module, const char *kernel)
{
	struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, "kmod-");
	add_name(&b, module, true);
	kp_buf_addc(&b, '-');
	if (*kernel && !is_digit(*kernel))
		add_hex(&b, *kernel++);
	add_name(&b, kernel, false);
	return kp_buf_steal(&b);
}

char *kp_rpm_capability(const char *module)
{
	struct kp_buf b = KP_BUF_INIT;

	add_name(&b, module, false);
	kp_buf_adds(&b, "-kmod");
	return kp_buf_steal(&b);
}

char *kp_rpm_version(const char *version)
{
	struct kp_buf b = KP_BUF_INIT;

	for (; *version; version++) {
		if (*version == '-')
			kp_buf_addc(&b, '_');
		else if (is_letter(*version) || is_digit(*version) ||
			 (strchr(".+~^", *version) && !looks_escaped(version)))
			kp_buf_addc(&b, *version);
		else
			add_hex(&b, *version);
	}
	return kp_buf_steal(&b);
}
