// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a package file says that it is. Reads only files in the form that write.c gives
 * them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "deb822.h"
#include "dpkg.h"

#define MAX_MEMBER (1024 * 1024) /* bytes; a control.tar of ours has a few KiB */

/* ar(5) */
struct member {
	char name[16], mtime[12], uid[6], gid[6], mode[8], size[10], end[2];
};

/* The start of tar(5)'s. */
struct entry {
	char name[100], mode[8], uid[8], gid[8], size[12];
};

#define TAR_BLOCK 512

/* A number in a field of N bytes, with blanks or NUL behind it; -1: it is none, or above MAX_MEMBER. */
static int64_t parse_size(const char *field, size_t n, int base)
{
	_cleanup_free_ char *text = kp_strndup(field, n);
	char *end;
	unsigned long long size = strtoull(text, &end, base);

	return end == text || end[strspn(end, " ")] || size > MAX_MEMBER ? -1
									 : (int64_t)size;
}

static bool is_called(const char *field, size_t n, const char *name)
{
	size_t len = strlen(name);

	return !memcmp(field, name, len) && (field[len] == ' ' || field[len] == '\0') &&
	       len < n;
}

/* What the package file begins with: the members up to the end of control.tar. */
static int read_control_tar(int fd, char **ret, size_t *ret_len)
{
	off_t at = 8;

	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *data = NULL;
		struct member m;
		int64_t size;

		if (pread(fd, &m, sizeof(m), at) != sizeof(m))
			return -EINVAL;
		size = parse_size(m.size, sizeof(m.size), 10);
		if (size < 0 || memcmp(m.end, "`\n", 2) != 0)
			return -EINVAL;
		at += (off_t)sizeof(m);
		if (is_called(m.name, sizeof(m.name), "control.tar")) {
			data = kp_malloc((size_t)size + 1);
			if (pread(fd, data, (size_t)size, at) != size)
				return -EINVAL;
			*ret = kp_steal(&data);
			*ret_len = (size_t)size;
			return 0;
		}
		at += size + size % 2;
	}
	return -EINVAL;
}

/* The text of "./control" in TAR. */
static int find_control(const char *tar, size_t len, char **ret, size_t *ret_len)
{
	for (size_t at = 0; len - at >= TAR_BLOCK;) {
		const struct entry *e = (const void *)(tar + at);
		int64_t size = parse_size(e->size, sizeof(e->size), 8);

		at += TAR_BLOCK;
		if (size < 0 || (size_t)size > len - at)
			return -EINVAL;
		if (is_called(e->name, sizeof(e->name), "./control")) {
			*ret = kp_strndup(tar + at, (size_t)size);
			*ret_len = strlen(*ret);
			return 0;
		}
		size += (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
		if ((size_t)size > len - at)
			return -EINVAL;
		at += (size_t)size;
	}
	return -EINVAL;
}

static int read_control(int root_fd, const char *file, char **ret, size_t *ret_len,
			struct kp_err *err)
{
	_cleanup_free_ char *tar = NULL;
	_cleanup_close_ int fd = kp_open_in(root_fd, file, O_RDONLY, 0);
	size_t len = 0;
	int rc;

	if (fd < 0)
		return kp_err_sys(err, fd, "open");
	rc = read_control_tar(fd, &tar, &len);
	if (!rc)
		rc = find_control(tar, len, ret, ret_len);
	return rc < 0 ? kp_err_set(err, rc, "damaged, or none of ours") : 0;
}

void kp_dpkg_identity_clear(struct kp_dpkg_identity *id)
{
	free(id->name);
	free(id->version);
	free(id->key);
	free(id->content);
	*id = (struct kp_dpkg_identity){ 0 };
}

static void take_identity(struct kp_dpkg_identity *id, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **to;
	} wanted[] = {
		{ "Package", &id->name },
		{ "Version", &id->version },
		{ kp_dpkg_field_names[KP_DPKG_KEY], &id->key },
		{ kp_dpkg_field_names[KP_DPKG_CONTENT], &id->content },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(wanted); i++)
		if (!strcmp(name, wanted[i].name) && !*wanted[i].to)
			*wanted[i].to = kp_strdup(value);
}

int kp_dpkg_identity_load(int root_fd, const char *file, struct kp_dpkg_identity *ret,
			  struct kp_err *err)
{
	_cleanup_(kp_dpkg_identity_clear) struct kp_dpkg_identity id = { 0 };
	_cleanup_free_ char *control = NULL;
	struct kp_deb822 d;
	char *name, *value;
	size_t len = 0;
	int rc;

	rc = read_control(root_fd, file, &control, &len, err);
	if (rc < 0) {
		kp_err_prefix(err, "package file '%s'", file);
		return rc;
	}
	kp_deb822_init(&d, control, len, file);
	kp_deb822_stanza(&d);
	while ((rc = kp_deb822_field(&d, &name, &value, err)) > 0)
		take_identity(&id, name, value);
	if (rc < 0)
		return rc;
	if (!id.name || !id.version)
		return kp_err_set(err, -EINVAL,
				  "package file '%s' does not say what it is", file);
	*ret = id;
	id = (struct kp_dpkg_identity){ 0 };
	return 0;
}
