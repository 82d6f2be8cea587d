// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "inside/cpio.h"
#include "lib/image-parts.h"

/* cpio(5): a magic number and 13 fields of 8 hexadecimal digits. */
#define MAGIC_LEN 6
#define FIELDS 13
#define HEAD_LEN (MAGIC_LEN + FIELDS * 8)
enum { MODE = 1, SIZE = 6, NAME_SIZE = 11 };

#define TRAILER "TRAILER!!!"

/* File systems in a file: where what they begin with lies. */
#define SQUASHFS_MAGIC "hsqs"
#define EROFS_AT 1024
#define EROFS_MAGIC "\xe2\xe1\xf5\xe0"
#define SUPER_LEN (EROFS_AT + 4)

void kp_members_clear(struct kp_members *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->modules[i]);
	free(m->modules);
	*m = (struct kp_members){ 0 };
}

/* Put at least one byte at hand, as more() has it. */
static int fill(struct kp_stream *s, struct kp_err *err)
{
	return s->left ? 1 : s->more(s, err);
}

static void advance(struct kp_stream *s, size_t n)
{
	s->p += n;
	s->left -= n;
	s->pos += n;
}

static int cut_off(struct kp_err *err)
{
	return kp_err_set(err, -EINVAL, "it is cut off within a cpio archive");
}

static int damaged(struct kp_err *err)
{
	return kp_err_set(err, -EINVAL, "a cpio archive in it is damaged");
}

static int take(struct kp_stream *s, char *buf, size_t len, struct kp_err *err)
{
	while (len) {
		int r = fill(s, err);
		size_t n;

		if (r <= 0)
			return r < 0 ? r : cut_off(err);
		n = s->left < len ? s->left : len;
		memcpy(buf, s->p, n);
		advance(s, n);
		buf += n;
		len -= n;
	}
	return 0;
}

static int skip(struct kp_stream *s, uint64_t len, struct kp_err *err)
{
	while (len) {
		size_t n = s->left < len ? s->left : (size_t)len;
		int r;

		advance(s, n);
		len -= n;
		if (len && s->jump)
			len -= s->jump(s, len);
		r = len ? fill(s, err) : 1;
		if (r <= 0)
			return r < 0 ? r : cut_off(err);
	}
	return 0;
}

/* To a multiple of four. */
static int skip_padding(struct kp_stream *s, struct kp_err *err)
{
	return skip(s, -s->pos & 3, err);
}

static int parse_field(const char *head, size_t which, uint32_t *ret)
{
	uint32_t value = 0;

	head += MAGIC_LEN + which * 8;
	for (int i = 0; i < 8; i++) {
		static const char digits[] = "0123456789abcdef0123456789ABCDEF";
		const char *d = memchr(digits, head[i], sizeof(digits) - 1);

		if (!d)
			return -EINVAL;
		value = value << 4 | (uint32_t)((d - digits) & 0xf);
	}
	*ret = value;
	return 0;
}

/* Does the directory part of PATH, up to BASE, have a component of that name? */
static bool is_below(const char *path, const char *base, const char *name)
{
	size_t len = strlen(name);

	while (path < base) {
		size_t n = strcspn(path, "/");

		if (n == len && !memcmp(path, name, n))
			return true;
		path += n + 1;
	}
	return false;
}

char *kp_cpio_module(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *ko = kp_image_ko(base);
	char *name;

	if (!ko || !is_below(path, base, "modules"))
		return NULL;
	name = kp_strndup(base, (size_t)(ko - base));
	for (char *p = name; (p = strchr(p, '-'));)
		*p = '_';
	return name;
}

static int add_module(struct kp_members *m, const char *path, struct kp_err *err)
{
	_cleanup_free_ char *name = kp_cpio_module(path);

	if (!name)
		return 0;
	if (!kp_name_ok(name))
		return kp_err_set(err, -EINVAL, "it holds a module with an odd name");
	if (m->n == KP_IMAGE_MODULES)
		return kp_err_set(err, -EFBIG, "it holds more than %d modules",
				  KP_IMAGE_MODULES);
	KP_GROW(m->modules, m->n, m->alloc);
	m->modules[m->n++] = kp_steal(&name);
	return 0;
}

/* Pass over the content of a regular file. One that is a file system may hold modules, too. */
static int skip_file(struct kp_stream *s, uint32_t size, const char *path,
		     struct kp_err *err)
{
	char super[SUPER_LEN];
	int r;

	if (size < sizeof(super))
		return skip(s, size, err);
	r = take(s, super, sizeof(super), err);
	if (r < 0)
		return r;
	if (!memcmp(super, SQUASHFS_MAGIC, 4) ||
	    !memcmp(super + EROFS_AT, EROFS_MAGIC, 4))
		return kp_err_set(err, -EINVAL, "it holds another file system, %.200s",
				  path);
	return skip(s, size - sizeof(super), err);
}

/* 0, or 1: it was the archive's last. */
static int read_member(struct kp_stream *s, struct kp_members *m, struct kp_err *err)
{
	char head[HEAD_LEN], name[PATH_MAX];
	uint32_t mode, size, name_size;
	const char *path = name;
	int r;

	r = take(s, head, sizeof(head), err);
	if (r < 0)
		return r;
	if ((memcmp(head, "070701", MAGIC_LEN) && memcmp(head, "070702", MAGIC_LEN)) ||
	    parse_field(head, MODE, &mode) < 0 || parse_field(head, SIZE, &size) < 0 ||
	    parse_field(head, NAME_SIZE, &name_size) < 0 || !name_size ||
	    name_size > sizeof(name))
		return damaged(err);
	r = take(s, name, name_size, err);
	if (r < 0)
		return r;
	/* There may be more than one NUL, so that the content is aligned. */
	if (name[name_size - 1])
		return damaged(err);
	r = skip_padding(s, err);
	if (r < 0)
		return r;
	if (!strcmp(name, TRAILER))
		return skip(s, size, err) ?: 1;
	path += *path == '.' && path[1] == '/';
	path += strspn(path, "/");
	if (!S_ISDIR(mode)) {
		m->init |= !strcmp(path, "init");
		r = add_module(m, path, err);
	}
	if (!r)
		r = S_ISREG(mode) ? skip_file(s, size, path, err) : skip(s, size, err);
	return r ?: skip_padding(s, err);
}

int kp_cpio_read(struct kp_stream *s, struct kp_members *m, struct kp_err *err)
{
	int r;

	while ((r = fill(s, err)) > 0) {
		if (!*s->p) {
			advance(s, 1);
			continue;
		}
		/* The kernel looks for one at multiples of four only. */
		if (*s->p != '0' || s->pos & 3)
			return 1;
		do
			r = read_member(s, m, err);
		while (!r);
		if (r < 0)
			return r;
	}
	return r;
}
