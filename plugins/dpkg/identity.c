// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a package file says that it is. Reads only files in the form that write.c gives
 * them.
 */
#include <fcntl.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "../archive-util.h"
#include "deb822.h"
#include "dpkg.h"

#define MAX_MEMBER (1024 * 1024) /* bytes; a control.tar of ours has a few KiB */

/* Go to a member of an archive and read it as a whole; *ret is NUL-terminated. */
static int read_member(struct archive *a, const char *member, char **ret, size_t *ret_len,
		       struct kp_err *err)
{
	struct archive_entry *e;
	int rc;

	while ((rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
		const char *path = archive_entry_pathname(e);
		la_int64_t size = archive_entry_size(e);
		_cleanup_free_ char *data = NULL;

		if (!path || strcmp(path, member))
			continue;
		if (size < 0 || size > MAX_MEMBER)
			return kp_err_set(err, -EFBIG, "%s is too long", member);
		data = kp_malloc((size_t)size + 1);
		if (archive_read_data(a, data, (size_t)size) != size)
			return archive_err(a, err, member);
		data[size] = '\0';
		*ret = kp_steal(&data);
		*ret_len = (size_t)size;
		return 0;
	}
	if (rc != ARCHIVE_EOF)
		return archive_err(a, err, member);
	return kp_err_set(err, -EINVAL, "no %s in it", member);
}

static int read_control(int root_fd, const char *file, char **ret, size_t *ret_len,
			struct kp_err *err)
{
	_cleanup_archive_ struct archive *ar = archive_read_new(),
					 *tar = archive_read_new();
	_cleanup_free_ char *control_tar = NULL;
	_cleanup_close_ int fd = kp_open_in(root_fd, file, O_RDONLY, 0);
	size_t len;
	int rc;

	if (fd < 0)
		return kp_err_sys(err, fd, "open");
	if (archive_read_support_format_ar(ar) != ARCHIVE_OK ||
	    archive_read_open_fd(ar, fd, 64 * 1024) != ARCHIVE_OK)
		return archive_err(ar, err, "open");
	rc = read_member(ar, "control.tar", &control_tar, &len, err);
	if (rc < 0)
		return rc;
	if (archive_read_support_format_tar(tar) != ARCHIVE_OK ||
	    archive_read_open_memory(tar, control_tar, len) != ARCHIVE_OK)
		return archive_err(tar, err, "control.tar");
	return read_member(tar, "./control", ret, ret_len, err);
}

void kp_dpkg_identity_clear(struct kp_dpkg_identity *id)
{
	free(id->name);
	free(id->version);
	free(id->key);
	free(id->content);
	*id = (struct kp_dpkg_identity){ 0 };
}

static void take_field(struct kp_dpkg_identity *id, const char *name, const char *value)
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
	size_t len;
	int rc;

	rc = read_control(root_fd, file, &control, &len, err);
	if (rc < 0) {
		kp_err_prefix(err, "package file '%s'", file);
		return rc;
	}
	kp_deb822_init(&d, control, len, file);
	kp_deb822_stanza(&d);
	while ((rc = kp_deb822_field(&d, &name, &value, err)) > 0)
		take_field(&id, name, value);
	if (rc < 0)
		return rc;
	if (!id.name || !id.version)
		return kp_err_set(err, -EINVAL,
				  "package file '%s' does not say what it is", file);
	*ret = id;
	id = (struct kp_dpkg_identity){ 0 };
	return 0;
}
