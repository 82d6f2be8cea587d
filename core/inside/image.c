// SPDX-License-Identifier: GPL-2.0-or-later
#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "inside/image.h"
#include "lib/image-parts.h"

/* A part of the file: all of it, or a section. */
struct part {
	int fd;
	uint64_t start, size;
};

/* Read at AT, from the start of the part. Less than LEN bytes: its end. */
static ssize_t read_part(const struct part *part, void *buf, size_t len, uint64_t at,
			 struct kp_err *err)
{
	size_t done = 0;

	if (at >= part->size)
		return 0;
	if (len > part->size - at)
		len = (size_t)(part->size - at);
	while (done < len) {
		ssize_t n = pread(part->fd, (char *)buf + done, len - done,
				  (off_t)(part->start + at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kp_err_sys(err, -errno, "cannot be read");
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* ---- what is not compressed */

/* A member's header and name, and what tells whether it is a file system; the rest is passed over. */
#define WINDOW 2048

struct plain {
	struct kp_stream stream;
	const struct part *part;
	char window[WINDOW];
};

static int more_plain(struct kp_stream *s, struct kp_err *err)
{
	struct plain *plain = (struct plain *)s;
	ssize_t n = read_part(plain->part, plain->window, WINDOW, s->pos, err);

	if (n <= 0)
		return (int)n;
	s->p = plain->window;
	s->left = (size_t)n;
	return 1;
}

static uint64_t jump_plain(struct kp_stream *s, uint64_t n)
{
	uint64_t size = ((struct plain *)s)->part->size;
	uint64_t room = s->pos < size ? size - s->pos : 0;

	n = n < room ? n : room;
	s->pos += n;
	return n;
}

/* ---- what is compressed */

/* What it begins with, as the kernel tells them apart; and lz4 of today, which it does not know. */
static const struct method {
	char magic[4];
	size_t len;
	int filter;
} methods[] = {
	{ "\x1f\x8b", 2, ARCHIVE_FILTER_GZIP },
	{ "BZ", 2, ARCHIVE_FILTER_BZIP2 },
	{ "\x5d\0", 2, ARCHIVE_FILTER_LZMA },
	{ "\xfd\x37", 2, ARCHIVE_FILTER_XZ },
	{ "\x02\x21", 2, ARCHIVE_FILTER_LZ4 },
	{ "\x04\x22\x4d\x18", 4, ARCHIVE_FILTER_LZ4 },
	{ "\x28\xb5", 2, ARCHIVE_FILTER_ZSTD },
};

struct packed {
	struct kp_stream stream;
	const struct part *part;
	uint64_t at; /* in the part, of what libarchive reads next */
	struct archive *a;
	bool begun;
	char piece[65536];
};

static la_ssize_t feed(struct archive *a KP_UNUSED, void *data, const void **ret)
{
	struct packed *packed = data;
	ssize_t n = read_part(packed->part, packed->piece, sizeof(packed->piece),
			      packed->at, NULL);

	if (n < 0)
		return -1;
	packed->at += (uint64_t)n;
	*ret = packed->piece;
	return n;
}

/* libarchive's own words are about its formats, mostly. */
static int fail(struct kp_err *err)
{
	return kp_err_set(err, -EINVAL, "what is compressed in it cannot be read");
}

/* Warnings are no less than errors here: a list in part counts as wrong. */
static int more_packed(struct kp_stream *s, struct kp_err *err)
{
	struct packed *packed = (struct packed *)s;
	int r = ARCHIVE_OK;

	if (!packed->begun) {
		struct archive_entry *e;

		r = archive_read_next_header(packed->a, &e);
		packed->begun = true;
	}
	while (r == ARCHIVE_OK && !s->left) {
		const void *p;
		la_int64_t offset;

		r = archive_read_data_block(packed->a, &p, &s->left, &offset);
		s->p = p;
	}
	if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
		return fail(err);
	if (!s->left)
		return 0;
	if (s->pos + s->left > KP_IMAGE_BYTES)
		return kp_err_set(err, -EFBIG, "it is too large");
	return 1;
}

static void packed_free(struct packed *packed)
{
	archive_read_free(packed->a);
	free(packed);
}
KP_DEFINE_CLEANUP(struct packed *, packed_free);

static const struct method *find_method(const char *magic, size_t len)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(methods); i++)
		if (len >= methods[i].len &&
		    !memcmp(magic, methods[i].magic, methods[i].len))
			return &methods[i];
	return NULL;
}

/* The compressed stream at *at of the part; that becomes where it ends. */
static int unpack(const struct part *part, uint64_t *at, struct kp_members *m,
		  struct kp_err *err)
{
	_cleanup_(packed_freep) struct packed *packed = kp_calloc(1, sizeof(*packed));
	const struct method *method;
	la_int64_t used;
	char magic[4];
	ssize_t n;
	int r;

	packed->stream.more = more_packed;
	packed->part = part;
	packed->at = *at;
	packed->a = archive_read_new();
	n = read_part(part, magic, sizeof(magic), *at, err);
	if (n < 0)
		return (int)n;
	method = find_method(magic, (size_t)n);
	if (!method)
		return kp_err_set(err, -EINVAL, "it is in no known format");
	/* This filter and no other: it calls no program, and nothing is compressed twice. */
	if (archive_read_support_format_raw(packed->a) != ARCHIVE_OK ||
	    archive_read_append_filter(packed->a, method->filter) != ARCHIVE_OK ||
	    archive_read_open(packed->a, packed, NULL, feed, NULL) != ARCHIVE_OK)
		return fail(err);
	r = kp_cpio_read(&packed->stream, m, err);
	if (r > 0)
		return kp_err_set(err, -EINVAL,
				  "there is something else behind a cpio archive");
	if (r < 0)
		return r;
	used = archive_filter_bytes(packed->a, -1);
	if (used <= 0)
		return fail(err);
	*at += (uint64_t)used;
	return 0;
}

/* Of the zero bytes that the part ends in, as many as are looked at. */
static size_t count_padding(const struct part *part)
{
	char end[512];
	uint64_t at = part->size > sizeof(end) ? part->size - sizeof(end) : 0;
	ssize_t n = read_part(part, end, sizeof(end), at, NULL);
	size_t zeros = 0;

	while (n > 0 && !end[--n])
		zeros++;
	return zeros;
}

/* Some filters take for another stream what is behind theirs. Zero bytes are behind the last one in images that were joined, each
 * to a multiple of four, in a unified kernel image. */
static int read_packed(const struct part *part, uint64_t *at, struct kp_members *m,
		       struct kp_err *err)
{
	struct part less = *part;
	int r = unpack(part, at, m, err);

	if (r != -EINVAL)
		return r;
	less.size -= count_padding(part);
	return less.size < part->size ? unpack(&less, at, m, err) : r;
}

/* ---- all of it */

static int read_image(const struct part *part, struct kp_members *m, struct kp_err *err)
{
	struct plain plain = { .stream = { .more = more_plain, .jump = jump_plain },
			       .part = part };
	struct kp_stream *s = &plain.stream;
	int r;

	while ((r = kp_cpio_read(s, m, err)) > 0) {
		uint64_t at = s->pos;

		r = read_packed(part, &at, m, err);
		if (r < 0)
			return r;
		s->pos = at;
		s->left = 0;
	}
	return r;
}

/* The sections of a unified kernel image; see Microsoft's "PE Format". */
#define DOS_PE_AT 0x3c
#define COFF_LEN 24 /* with the signature */
#define SECTION_LEN 40
#define SECTION_NAME ".initrd"

static uint16_t get16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static int read_exactly(const struct part *part, void *buf, size_t len, uint64_t at,
			struct kp_err *err)
{
	ssize_t n = read_part(part, buf, len, at, err);

	if (n < 0)
		return (int)n;
	return (size_t)n == len
		       ? 0
		       : kp_err_set(err, -EINVAL,
				    "it is a PE file that is cut off or damaged");
}

static int read_section(const struct part *file, const char *head, struct kp_members *m,
			struct kp_err *err)
{
	uint32_t size = get32(head + 8), raw_size = get32(head + 16);
	struct part part = { .fd = file->fd,
			     .start = get32(head + 20),
			     .size = raw_size };

	if (memcmp(head, SECTION_NAME, sizeof(SECTION_NAME)) != 0)
		return 0;
	if (part.start > file->size || part.size > file->size - part.start)
		return kp_err_set(err, -EINVAL,
				  "it is a PE file that is cut off or damaged");
	/* In the file it is padded. */
	if (size && size < raw_size)
		part.size = size;
	return read_image(&part, m, err);
}

static int read_pe(const struct part *file, struct kp_members *m, struct kp_err *err)
{
	char at[4], coff[COFF_LEN], head[SECTION_LEN];
	uint64_t pe, sections;
	int r;

	r = read_exactly(file, at, sizeof(at), DOS_PE_AT, err);
	if (r < 0)
		return r;
	pe = get32(at);
	r = read_exactly(file, coff, sizeof(coff), pe, err);
	if (r < 0)
		return r;
	if (memcmp(coff, "PE\0", 4) != 0)
		return kp_err_set(err, -EINVAL, "it is in no known format");
	sections = pe + COFF_LEN + get16(coff + 20);
	for (uint16_t i = 0; i < get16(coff + 6); i++) {
		r = read_exactly(file, head, sizeof(head), sections + i * SECTION_LEN,
				 err);
		if (!r)
			r = read_section(file, head, m, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int kp_image_read(int fd, struct kp_members *m, struct kp_err *err)
{
	struct part file = { .fd = fd };
	struct stat st;
	char magic[2];
	ssize_t n;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return kp_err_set(err, -EINVAL, "it is not a file");
	file.size = (uint64_t)st.st_size;
	n = read_part(&file, magic, sizeof(magic), 0, err);
	if (n < 0)
		return (int)n;
	r = n == 2 && !memcmp(magic, "MZ", 2) ? read_pe(&file, m, err)
					      : read_image(&file, m, err);
	if (r < 0)
		return r;
	/* Where it is cut off between two archives, nothing else tells. */
	if (!m->init)
		return kp_err_set(err, -EINVAL,
				  "it has no /init: it is cut off, or no initramfs");
	return 0;
}
