// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/file-hash.h"
#include "lib/jsonfile.h"

#define FILE_NAME "hashes.json"
#define SIZE_MAX_ONE (1 << 30)
/* Of some ten kernels. When there are more, those of kernels that are gone have to go. */
#define FILES_MAX 10000

struct kp_file_hashes {
	struct kp_ctx *ctx;
	json_t *known; /* path: "HASH LOOKS"; NULL: not needed yet */
	json_t *used;  /* likewise, what was asked for */
	bool is_new;   /* known has not all that used has */
};

static char *file_path(const struct kp_file_hashes *h)
{
	return kp_path_join(h->ctx->cache_dir, FILE_NAME);
}

static json_t *load(const struct kp_file_hashes *h)
{
	_cleanup_free_ char *path = file_path(h);
	_cleanup_json_ json_t *object = NULL;
	json_t *files;
	int schema;

	if (kp_json_load(h->ctx->root_fd, path, &object, NULL) < 0 ||
	    kp_json_unpack(object, path, NULL, "{s:i, s:o}", "schema", &schema, "files",
			   &files) < 0 ||
	    !json_is_object(files))
		return json_object();
	return json_incref(files);
}

struct kp_file_hashes *kp_file_hashes_open(struct kp_ctx *ctx)
{
	struct kp_file_hashes *h = kp_calloc(1, sizeof(*h));

	h->ctx = ctx;
	h->used = json_object();
	return h;
}

static void save(struct kp_file_hashes *h)
{
	_cleanup_free_ char *path = file_path(h);
	_cleanup_json_ json_t *all = load(h), *object = NULL;

	if (json_object_size(all) > FILES_MAX)
		json_object_clear(all);
	json_object_update(all, h->used);
	object = json_pack("{s:O}", "files", all);
	/* Closed to builds, as cache.c wants it. */
	if (object && !kp_mkdir_in(h->ctx->root_fd, h->ctx->cache_dir, 0700, NULL))
		(void)kp_json_save(h->ctx->root_fd, path, object, NULL);
}

void kp_file_hashes_close(struct kp_file_hashes *h)
{
	if (!h)
		return;
	if (h->is_new)
		save(h);
	json_decref(h->known);
	json_decref(h->used);
	free(h);
}

/* What tells a file that was not touched. To be freed; NULL: it was a moment ago, so nothing does. */
static char *looks_of(const struct stat *st)
{
	return st->st_ctim.tv_sec + KP_RACY_S < time(NULL) ? kp_looks(st) : NULL;
}

static bool find(struct kp_file_hashes *h, const char *path, const char *text,
		 char ret[KP_HASH_HEX])
{
	json_t *item;
	const char *value;

	if (!h->known)
		h->known = load(h);
	item = json_object_get(h->known, path);
	value = json_string_value(item);
	if (!text || !value || strlen(value) < KP_HASH_HEX ||
	    strcmp(value + KP_HASH_HEX, text) != 0)
		return false;
	memcpy(ret, value, KP_HASH_HEX - 1);
	ret[KP_HASH_HEX - 1] = '\0';
	if (!kp_json_is_sha256(ret))
		return false;
	json_object_set(h->used, path, item);
	return true;
}

static void remember(struct kp_file_hashes *h, const char *path, const char *text,
		     const char *hash)
{
	_cleanup_free_ char *value = text ? kp_strf("%s %s", hash, text) : NULL;

	/* A name that is no UTF-8 is not. */
	if (value && json_object_set_new(h->used, path, json_string(value)) == 0)
		h->is_new = true;
}

int kp_file_hash(struct kp_file_hashes *h, const char *path, char ret[KP_HASH_HEX],
		 struct timespec *ret_changed, struct kp_err *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	struct stat st;
	int r = kp_stat_in(h->ctx->root_fd, path, &st);

	/* Of a device already the opening may do something. */
	if (r < 0)
		return kp_err_sys(err, r, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return kp_err_set(err, -EINVAL, "'%s' is not a regular file", path);
	if (st.st_size > SIZE_MAX_ONE)
		return kp_err_set(err, -EFBIG, "'%s' is too large", path);
	*ret_changed = st.st_ctim;
	text = looks_of(&st);
	if (find(h, path, text, ret))
		return 0;
	fd = kp_open_in(h->ctx->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	/* Of the file before it is read. */
	if (fstat(fd, &st))
		return kp_err_sys(err, -errno, "stat '%s'", path);
	*ret_changed = st.st_ctim;
	free(text);
	text = looks_of(&st);
	r = kp_hash_fd(fd, ret, err);
	if (!r)
		remember(h, path, text, ret);
	return r;
}
