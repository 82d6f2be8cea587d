// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

#include "pacman.h"

#define PREFIX "kmod-"
#define INTRO " [kmodpkg:"
/* libalpm 13's be_local.c reads lines into 1024 bytes. */
#define MAX_DESC 1000

/* <ctype.h> asks the locale; pacman's own checks are about ASCII. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_letter(char c)
{
	return is_alnum(c) && !is_digit(c);
}

static bool begins_pkgbase(const char *s)
{
	return kp_str_starts(s, "linux") || is_digit(*s);
}

/* Can this '-' of a module's name be taken for the one before the pkgbase, or does an escape
 * follow it? */
static bool is_ambiguous(const char *s)
{
	return begins_pkgbase(s + 1) ||
	       !(is_letter(s[1]) || (s[1] && strchr("+_.", s[1])));
}

static void add_escaped(struct kp_buf *b, char c)
{
	kp_buf_addf(b, "@%02x", (unsigned char)c);
}

static void add_name(struct kp_buf *b, const char *s, bool is_module)
{
	for (; *s; s++)
		if (*s == '-' ? is_module && is_ambiguous(s)
			      : !is_alnum(*s) && !strchr("+_.", *s))
			add_escaped(b, *s);
		else
			kp_buf_addc(b, *s);
}

char *kp_alpm_name(const char *module, const char *pkgbase)
{
	struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, PREFIX);
	add_name(&b, module, true);
	kp_buf_addc(&b, '-');
	if (*pkgbase && !begins_pkgbase(pkgbase))
		add_escaped(&b, *pkgbase++);
	add_name(&b, pkgbase, false);
	return kp_buf_steal(&b);
}

static void add_version(struct kp_buf *b, const char *s)
{
	for (; *s; s++) {
		bool ok = is_alnum(*s) || *s == '+' || *s == '_' || (*s == '.' && b->len);

		kp_buf_addc(b, ok ? *s : '_');
	}
}

char *kp_alpm_version(const char *version, const char *kernel)
{
	struct kp_buf b = KP_BUF_INIT;

	add_version(&b, version);
	kp_buf_addc(&b, '_');
	add_version(&b, kernel);
	kp_buf_adds(&b, "-1");
	return kp_buf_steal(&b);
}

/* The parts of an identity, as the description has them. */
struct part {
	const char *key;
	char **value;
	bool optional;
};
#define N_PARTS 8

static void list_parts(struct kp_alpm_identity *i, struct part ret[N_PARTS])
{
	const struct part parts[N_PARTS] = {
		{ "module", &i->id.module, false },
		{ "version", &i->id.version, false },
		{ "kernel", &i->id.kernel, false },
		{ "pkgbase", &i->pkgbase, false },
		{ "arch", &i->id.arch, false },
		{ "key", &i->id.key, true },
		{ "content", &i->id.content, true },
		{ "source", &i->id.source_package, true },
	};

	memcpy(ret, parts, sizeof(parts));
}

static void add_value(struct kp_buf *b, const char *s)
{
	for (; *s; s++)
		if (is_alnum(*s) || strchr("+_.-~:@", *s))
			kp_buf_addc(b, *s);
		else
			kp_buf_addf(b, "%%%02x", (unsigned char)*s);
}

int kp_alpm_desc_make(const char *summary, const struct kp_alpm_identity *identity,
		      char **ret, struct kp_err *err)
{
	struct kp_alpm_identity same = *identity;
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	struct part parts[N_PARTS];

	list_parts(&same, parts);
	kp_buf_addf(&b, "%s" INTRO, summary);
	for (int i = 0; i < N_PARTS; i++) {
		if (!*parts[i].value)
			continue;
		kp_buf_addf(&b, " %s=", parts[i].key);
		add_value(&b, *parts[i].value);
	}
	kp_buf_addc(&b, ']');
	if (b.len > MAX_DESC)
		return kp_err_set(err, -ENAMETOOLONG,
				  "the names of %s/%s for %s are too long for pacman",
				  identity->id.module, identity->id.version,
				  identity->id.kernel);
	*ret = kp_buf_steal(&b);
	return 0;
}

static int hex(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. */
static bool decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s != '%') {
			*to++ = *s;
			continue;
		}
		if (hex(s[1]) < 0 || hex(s[2]) < 0 || (s[1] == '0' && s[2] == '0'))
			return false;
		*to++ = (char)(hex(s[1]) * 16 + hex(s[2]));
		s += 2;
	}
	*to = '\0';
	return true;
}

static bool take_part(struct part *parts, char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		return false;
	*value++ = '\0';
	for (int i = 0; i < N_PARTS; i++) {
		if (strcmp(parts[i].key, word) != 0)
			continue;
		if (*parts[i].value || !decode(value) || !kp_str_is_printable(value))
			return false;
		*parts[i].value = kp_strdup(value);
		return true;
	}
	return true; /* of a later version of this program */
}

void kp_alpm_identity_clear(struct kp_alpm_identity *identity)
{
	kp_pkg_id_clear(&identity->id);
	free(identity->pkgbase);
	identity->pkgbase = NULL;
}

static const char *find_last(const char *text, const char *what)
{
	const char *found = NULL;

	for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
		found = p;
	return found;
}

int kp_alpm_desc_parse(const char *name, const char *desc, struct kp_alpm_identity *ret)
{
	_cleanup_(kp_alpm_identity_clear) struct kp_alpm_identity found = { 0 };
	const char *intro = find_last(desc, INTRO);
	_cleanup_free_ char *text = NULL, *own_name = NULL;
	_cleanup_strv_ char **words = NULL;
	struct part parts[N_PARTS];

	if (!intro || !kp_str_ends(intro, "]"))
		return -ENOENT;
	text = kp_strndup(intro + strlen(INTRO), strlen(intro + strlen(INTRO)) - 1);
	words = kp_strv_split(text, " ");
	list_parts(&found, parts);
	kp_strv_foreach(word, words)
		if (!take_part(parts, *word))
			return -ENOENT;
	for (int i = 0; i < N_PARTS; i++)
		if (!parts[i].optional && kp_str_empty(*parts[i].value))
			return -ENOENT;
	own_name = kp_alpm_name(found.id.module, found.pkgbase);
	if (strcmp(own_name, name) != 0)
		return -ENOENT;
	if (!found.id.key)
		found.id.key = kp_strdup("");
	if (!found.id.content)
		found.id.content = kp_strdup("");
	*ret = found;
	found = (struct kp_alpm_identity){ 0 };
	return 0;
}

int kp_alpm_identity_load(const struct kp_local *local, const struct kp_local_pkg *pkg,
			  struct kp_alpm_identity *ret, struct kp_err *err)
{
	_cleanup_free_ char *text = NULL, *name = NULL, *desc = NULL;
	int rc;

	if (!kp_str_starts(pkg->name, PREFIX))
		return -ENOENT;
	rc = kp_local_read(local, pkg, "desc", &text, NULL, err);
	if (rc < 0)
		return rc == -ENOENT ? -EBADMSG : rc;
	name = kp_desc_get(text, "NAME");
	desc = kp_desc_get(text, "DESC");
	if (!kp_str_eq(name, pkg->name))
		return -EBADMSG;
	return desc ? kp_alpm_desc_parse(name, desc, ret) : -ENOENT;
}
