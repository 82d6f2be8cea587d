// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"

void kp_buf_free(struct kp_buf *b)
{
	free(b->s);
	*b = (struct kp_buf)KP_BUF_INIT;
}

static void reserve(struct kp_buf *b, size_t more)
{
	size_t want = b->len + more + 1;

	if (want <= b->alloc)
		return;
	if (want < b->alloc * 2)
		want = b->alloc * 2;
	if (want < 64)
		want = 64;
	b->s = kp_reallocarray(b->s, want, 1);
	b->alloc = want;
}

void kp_buf_add(struct kp_buf *b, const void *p, size_t len)
{
	reserve(b, len);
	if (len)
		memcpy(b->s + b->len, p, len);
	b->len += len;
	b->s[b->len] = '\0';
}

void kp_buf_addc(struct kp_buf *b, char c)
{
	kp_buf_add(b, &c, 1);
}

void kp_buf_adds(struct kp_buf *b, const char *s)
{
	kp_buf_add(b, s, strlen(s));
}

void kp_buf_addf(struct kp_buf *b, const char *fmt, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = kp_vstrf(fmt, ap);
	va_end(ap);
	kp_buf_adds(b, s);
}

void kp_buf_reset(struct kp_buf *b)
{
	b->len = 0;
	if (b->s)
		b->s[0] = '\0';
}

char *kp_buf_steal(struct kp_buf *b)
{
	char *s = b->s ? b->s : kp_strdup("");

	*b = (struct kp_buf)KP_BUF_INIT;
	return s;
}

void kp_strv_free(char **v)
{
	kp_strv_foreach(p, v)
		free(*p);
	free(v);
}

size_t kp_strv_len(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

void kp_strv_take(char ***v, char *s)
{
	size_t n = kp_strv_len(*v);

	*v = kp_reallocarray(*v, n + 2, sizeof(**v));
	(*v)[n] = s;
	(*v)[n + 1] = NULL;
}

void kp_strv_add(char ***v, const char *s)
{
	kp_strv_take(v, kp_strdup(s));
}

void kp_strv_addf(char ***v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	kp_strv_take(v, kp_vstrf(fmt, ap));
	va_end(ap);
}

bool kp_strv_has(char *const *v, const char *s)
{
	kp_strv_foreach(p, v)
		if (!strcmp(*p, s))
			return true;
	return false;
}

char **kp_strv_dup(char *const *v)
{
	char **d = NULL;

	kp_strv_foreach(p, v)
		kp_strv_add(&d, *p);
	return d;
}

char **kp_strv_split(const char *s, const char *separators)
{
	size_t n = 0, alloc = 0;
	char **v = NULL;

	/* Not by kp_strv_add(), which counts them each time: these may be many. */
	while (s && *(s += strspn(s, separators))) {
		size_t len = strcspn(s, separators);

		if (n + 1 >= alloc) {
			alloc = alloc ? alloc * 2 : 8;
			v = kp_reallocarray(v, alloc, sizeof(*v));
		}
		v[n++] = kp_strndup(s, len);
		v[n] = NULL;
		s += len;
	}
	return v;
}

char *kp_strv_join(char *const *v, const char *separator)
{
	struct kp_buf b = KP_BUF_INIT;

	kp_strv_foreach(p, v) {
		if (p != v)
			kp_buf_adds(&b, separator);
		kp_buf_adds(&b, *p);
	}
	return kp_buf_steal(&b);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void kp_strv_sort(char **v)
{
	if (v)
		qsort(v, kp_strv_len(v), sizeof(*v), by_bytes);
}

bool kp_str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool kp_str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !memcmp(s + n - m, suffix, m);
}

bool kp_str_empty(const char *s)
{
	return !s || !*s;
}

/* Length of the UTF-8 character at S, 0 when it is none or a control character, those of
 * U+0080 to U+009F included: some terminals obey them. */
static size_t printable_char(const unsigned char *s)
{
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int c;
	size_t len;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] < 0xc0 || s[0] >= 0xf8)
		return 0;
	len = 2 + (s[0] >= 0xe0) + (s[0] >= 0xf0);
	c = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c < 0xa0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

bool kp_str_is_printable(const char *s)
{
	while (*s) {
		size_t n = printable_char((const unsigned char *)s);

		if (!n)
			return false;
		s += n;
	}
	return true;
}

void kp_str_printable(char *s)
{
	while (*s) {
		size_t n = printable_char((unsigned char *)s);

		if (!n)
			*s = '?';
		s += n ? n : 1;
	}
}

char *kp_str_strip(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

int kp_version_cmp(const char *a, const char *b)
{
	while (*a || *b) {
		if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
			size_t n, m;
			int c;

			while (*a == '0')
				a++;
			while (*b == '0')
				b++;
			n = strspn(a, "0123456789");
			m = strspn(b, "0123456789");
			if (n != m)
				return n < m ? -1 : 1;
			c = strncmp(a, b, n);
			if (c)
				return c;
			a += n;
			b += m;
			continue;
		}
		if (*a != *b)
			return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
		a++;
		b++;
	}
	return 0;
}
