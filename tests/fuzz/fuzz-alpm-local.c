// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A text of pacman's local database, desc or files, and the identity in a description; behind
 * each NUL of the input a module and a pkgbase, whose names must not be confused.
 */
#include <assert.h>
#include <stdint.h>

#include "../../plugins/alpm/identity.c"
#include "../../plugins/alpm/local.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where the pkgbase begins in a name, as pacman.h says it. */
static const char *find_split(const char *name)
{
	for (const char *p = name; (p = strchr(p, '-')); p++)
		if (kp_str_starts(p + 1, "linux") || is_digit(p[1]) || p[1] == '@')
			return p;
	return NULL;
}

static char *unescape(const char *s, size_t len)
{
	struct kp_buf b = KP_BUF_INIT;

	for (size_t i = 0; i < len; i++)
		if (s[i] == '@') {
			assert(i + 2 < len);
			kp_buf_addc(&b, (char)(hex(s[i + 1]) * 16 + hex(s[i + 2])));
			i += 2;
		} else {
			kp_buf_addc(&b, s[i]);
		}
	return kp_buf_steal(&b);
}

static void check_name(const char *module, const char *pkgbase)
{
	_cleanup_free_ char *name = NULL, *m = NULL, *p = NULL;
	const char *split_at, *rest;

	if (!*module || !*pkgbase)
		return;
	name = kp_alpm_name(module, pkgbase);
	rest = name + strlen(PREFIX);
	assert(!rest[strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789+_.@-")]);
	split_at = find_split(rest);
	assert(split_at);
	m = unescape(rest, (size_t)(split_at - rest));
	p = unescape(split_at + 1, strlen(split_at + 1));
	assert(!strcmp(m, module) && !strcmp(p, pkgbase));
}

/* What is read as ours comes back the same when it is written. */
static void check_identity(const char *text)
{
	_cleanup_free_ char *name = kp_desc_get(text, "NAME"),
			    *desc = kp_desc_get(text, "DESC"), *again = NULL;
	struct kp_alpm_identity a, b;

	if (!name || !desc || kp_alpm_desc_parse(name, desc, &a) < 0)
		return;
	if (kp_alpm_desc_make("", &a, &again, NULL) == 0) {
		assert(kp_alpm_desc_parse(name, again, &b) == 0);
		assert(!strcmp(a.id.module, b.id.module) &&
		       !strcmp(a.id.version, b.id.version) &&
		       !strcmp(a.id.kernel, b.id.kernel) && !strcmp(a.id.key, b.id.key) &&
		       kp_str_eq(a.id.source_package, b.id.source_package));
		kp_alpm_identity_clear(&b);
	}
	kp_alpm_identity_clear(&a);
}

static void check_files(const char *text)
{
	const char *p = kp_desc_find(text, "FILES"), *line;
	size_t len;

	while (p && kp_desc_next(&p, &line, &len)) {
		assert(len && line >= text && line + len <= text + strlen(text));
		assert(!memchr(line, '\n', len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = kp_malloc(size + 1);
	char *module, *pkgbase;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_identity(text);
	check_files(text);
	module = text + strlen(text) + (strlen(text) < size);
	pkgbase = module + strlen(module) + (module + strlen(module) < text + size);
	check_name(module, pkgbase);
	return 0;
}
