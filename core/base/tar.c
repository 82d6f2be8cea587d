// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "base/tar.h"

#define BLOCK 512
#define SIZE_MAX_OCTAL 077777777777 /* of eleven digits */

/* tar(5); numbers are octal digits with a NUL behind. */
struct head {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
	char link[100], magic[8], user[32], group[32], major[8], minor[8], rest[167];
};

_Static_assert(sizeof(struct head) == BLOCK, "a tar header is one block");

static const char zeros[2 * BLOCK];

static void put_number(char *field, size_t size, uint64_t number)
{
	for (size_t i = size - 1; i--; number >>= 3)
		field[i] = (char)('0' + (number & 7));
}

/* A name that fills its field has no NUL. */
static int put_head(kp_tar_sink *sink, void *data, char type, const char *name,
		    unsigned int mode, uint64_t size, int64_t mtime, const char *text,
		    struct kp_err *err)
{
	struct head h = { .magic = "ustar  ", .user = "root", .group = "root" };
	unsigned int sum = 0;

	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	memcpy(h.link, text, strnlen(text, sizeof(h.link)));
	h.type = type;
	put_number(h.mode, sizeof(h.mode), mode);
	put_number(h.uid, sizeof(h.uid), 0);
	put_number(h.gid, sizeof(h.gid), 0);
	put_number(h.size, sizeof(h.size), size);
	put_number(h.mtime, sizeof(h.mtime), mtime < 0 ? 0 : (uint64_t)mtime);
	memset(h.sum, ' ', sizeof(h.sum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const unsigned char *)&h)[i];
	h.sum[6] = '\0';
	put_number(h.sum, 7, sum);
	return sink(data, &h, sizeof(h), err);
}

/* An entry of its own before one whose name or link has no room in its head. */
static int put_long(kp_tar_sink *sink, void *data, char type, const char *name,
		    struct kp_err *err)
{
	size_t size = strlen(name) + 1;
	int rc;

	if (size <= sizeof(((struct head *)NULL)->name))
		return 0;
	rc = put_head(sink, data, type, "././@LongLink", 0, size, 0, "", err);
	if (!rc)
		rc = sink(data, name, size, err);
	return rc ? rc : kp_tar_pad(sink, data, size, err);
}

int kp_tar_head(kp_tar_sink *sink, void *data, const char *path, mode_t mode,
		uint64_t size, int64_t mtime, const char *text, struct kp_err *err)
{
	_cleanup_free_ char *dir =
		S_ISDIR(mode) && !kp_str_ends(path, "/") ? kp_strf("%s/", path) : NULL;
	const char *name = dir ? dir : path;
	char type = S_ISDIR(mode) ? '5' : S_ISLNK(mode) ? '2' : '0';
	int rc;

	if (size > SIZE_MAX_OCTAL || mtime > SIZE_MAX_OCTAL)
		return kp_err_set(err, -EFBIG, "'%s' is too large for an archive", path);
	rc = put_long(sink, data, 'L', name, err);
	if (!rc && text)
		rc = put_long(sink, data, 'K', text, err);
	return rc ? rc
		  : put_head(sink, data, type, name, mode & 07777, size, mtime,
			     text ? text : "", err);
}

int kp_tar_pad(kp_tar_sink *sink, void *data, uint64_t size, struct kp_err *err)
{
	size_t rest = (size_t)(size % BLOCK);

	return rest ? sink(data, zeros, BLOCK - rest, err) : 0;
}

int kp_tar_end(kp_tar_sink *sink, void *data, struct kp_err *err)
{
	return sink(data, zeros, sizeof(zeros), err);
}
