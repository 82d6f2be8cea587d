// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

static void __attribute__((noreturn)) out_of_memory(void)
{
	static const char text[] = "kmodpkg: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *kp_malloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *kp_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *kp_reallocarray(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n ? n : 1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *kp_memdup(const void *p, size_t size)
{
	void *d = kp_malloc(size);

	if (size)
		memcpy(d, p, size);
	return d;
}

char *kp_strdup(const char *s)
{
	return s ? kp_memdup(s, strlen(s) + 1) : NULL;
}

char *kp_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *d = kp_malloc(len + 1);

	memcpy(d, s, len);
	d[len] = '\0';
	return d;
}

char *kp_vstrf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	return s;
}

char *kp_strf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = kp_vstrf(fmt, ap);
	va_end(ap);
	return s;
}
