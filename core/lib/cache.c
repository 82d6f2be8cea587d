// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/cache.h"
#include "lib/jsonfile.h"

#define ENTRY "entry.json"
#define NEW ".new-"
/* What is not complete after that is of a process that died. */
#define NEW_MAX_S (60 * 60)
#define DEPTH_MAX 8

void kp_cache_entry_clear(struct kp_cache_entry *e)
{
	for (size_t i = 0; i < e->n_inputs; i++)
		free(e->inputs[i].path);
	free(e->inputs);
	kp_strv_free(e->licenses);
	*e = (struct kp_cache_entry){ 0 };
}

/* Nobody but us may have put anything there. */
static bool is_ours(const struct kp_ctx *ctx)
{
	struct stat st;
	int r = kp_lstat_in(ctx->root_fd, ctx->cache_dir, &st);

	if (r < 0)
		return r == -ENOENT;
	if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077))
		return true;
	kp_warn_once(
		"%s is not used: it has to be a directory of root's that is closed to "
		"others (chmod 700)",
		ctx->cache_dir);
	return false;
}

bool kp_cache_is_on(struct kp_ctx *ctx)
{
	return ctx->cache_dir && ctx->config.cache_mib > 0 && geteuid() == 0 &&
	       is_ours(ctx);
}

static char *entry_dir(const struct kp_ctx *ctx, const char *key)
{
	return kp_path_join(ctx->cache_dir, key);
}

static void drop(struct kp_ctx *ctx, const char *dir, const char *why)
{
	kp_debug("%s: %s, dropping it", dir, why);
	kp_rm_rf_in(ctx->root_fd, dir, NULL);
}

/* ---- inputs */

static bool before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

int kp_cache_add_input(struct kp_cache_entry *e, const char *path,
		       const struct timespec *since, struct kp_file_hashes *hashes,
		       struct kp_err *err)
{
	struct kp_cache_input in = { 0 };
	struct timespec changed;
	int r;

	r = kp_file_hash(hashes, path, in.sha256, &changed, err);
	if (r < 0)
		return r;
	if (!before(&changed, since))
		return kp_err_set(err, -ESTALE, "'%s' changed meanwhile", path);
	in.path = kp_strdup(path);
	KP_GROW(e->inputs, e->n_inputs, e->alloc);
	e->inputs[e->n_inputs++] = in;
	return 0;
}

/* Is the file what it was? */
static bool input_holds(struct kp_file_hashes *hashes, const struct kp_cache_input *in)
{
	char sha256[KP_HASH_HEX];
	struct timespec changed;

	return kp_file_hash(hashes, in->path, sha256, &changed, NULL) == 0 &&
	       !strcmp(sha256, in->sha256);
}

/* ---- entry.json */

/* A file of an entry: {"path": "module/x.ko", "sha256": ...}. */
struct file {
	char *path, *sha256;
};

struct files {
	struct file *list;
	size_t n, alloc;
};

static void files_clear(struct files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].path);
		free(f->list[i].sha256);
	}
	free(f->list);
}

static int save(struct kp_ctx *ctx, const char *dir, const char *key,
		const struct kp_cache_entry *e, const struct files *f, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(dir, ENTRY);
	_cleanup_json_ json_t *object = NULL;
	json_t *inputs = json_array(), *files = json_array();

	for (size_t i = 0; i < e->n_inputs; i++)
		json_array_append_new(inputs, json_pack("[s, s]", e->inputs[i].path,
							e->inputs[i].sha256));
	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(files, json_pack("[s, s]", f->list[i].path,
						       f->list[i].sha256));
	object = json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "key", key, "time",
			   (json_int_t)e->time, "elapsed_ms", (json_int_t)e->elapsed_ms,
			   "inputs", inputs, "files", files, "licenses",
			   kp_json_strings(e->licenses));
	if (!object || json_array_size(inputs) != e->n_inputs ||
	    json_array_size(files) != f->n)
		return kp_err_set(err, -EINVAL, "%s: a name is no UTF-8", path);
	return kp_json_save(ctx->root_fd, path, object, err);
}

static bool parse_inputs(json_t *array, struct kp_cache_entry *e)
{
	size_t i;
	json_t *item;

	json_array_foreach(array, i, item)
	{
		const char *path, *sha256;
		struct kp_cache_input in = { 0 };

		if (json_unpack(item, "[s, s!]", &path, &sha256) || !kp_path_ok(path) ||
		    !kp_json_is_sha256(sha256))
			return false;
		memcpy(in.sha256, sha256, KP_HASH_HEX);
		in.path = kp_strdup(path);
		KP_GROW(e->inputs, e->n_inputs, e->alloc);
		e->inputs[e->n_inputs++] = in;
	}
	return json_is_array(array);
}

static bool parse_files(json_t *array, struct files *f)
{
	size_t i;
	json_t *item;

	json_array_foreach(array, i, item)
	{
		const char *path, *sha256;

		if (json_unpack(item, "[s, s!]", &path, &sha256) ||
		    !kp_relpath_ok(path) || !kp_json_is_sha256(sha256))
			return false;
		KP_GROW(f->list, f->n, f->alloc);
		f->list[f->n++] = (struct file){ kp_strdup(path), kp_strdup(sha256) };
	}
	return json_is_array(array) && f->n;
}

static int from_json(json_t *object, const char *path, const char *key,
		     struct kp_cache_entry *e, struct files *f)
{
	const char *its_key;
	json_int_t when, elapsed;
	json_t *inputs, *files, *licenses;
	int schema, r;

	r = kp_json_unpack(object, path, NULL, "{s:i, s:s, s:I, s:I, s:o, s:o, s:o}",
			   "schema", &schema, "key", &its_key, "time", &when,
			   "elapsed_ms", &elapsed, "inputs", &inputs, "files", &files,
			   "licenses", &licenses);
	if (r < 0 || strcmp(its_key, key) != 0 || !parse_inputs(inputs, e) ||
	    !parse_files(files, f) ||
	    kp_json_to_strings(licenses, path, "licenses", &e->licenses, NULL) < 0)
		return -EINVAL;
	e->time = when;
	e->elapsed_ms = elapsed;
	return 0;
}

/* -ENOENT: there is none; -EINVAL: it is good for nothing. */
static int load(struct kp_ctx *ctx, const char *dir, const char *key,
		struct kp_cache_entry *e, struct files *f)
{
	_cleanup_free_ char *path = kp_path_join(dir, ENTRY);
	_cleanup_json_ json_t *object = NULL;
	int r = kp_json_load(ctx->root_fd, path, &object, NULL);

	if (r < 0)
		return r == -ENOENT && !kp_exists_in(ctx->root_fd, dir) ? -ENOENT
									: -EINVAL;
	return from_json(object, path, key, e, f);
}

/* ---- taking out */

/* Copy a file and compare the copy, which is what will be used. */
static int take_file(struct kp_ctx *ctx, const char *from_dir, const char *to_dir,
		     const struct file *f)
{
	_cleanup_free_ char *from = kp_path_join(from_dir, f->path);
	_cleanup_free_ char *to = kp_path_join(to_dir, f->path);
	_cleanup_free_ char *parent = kp_path_dir(to);
	_cleanup_close_ int in = kp_open_in(ctx->root_fd, from, O_RDONLY | O_NOFOLLOW, 0);
	_cleanup_close_ int out = -1;
	char sha256[KP_HASH_HEX];
	int r = in < 0 ? in : kp_mkdir_in(ctx->root_fd, parent, 0755, NULL);

	if (r < 0)
		return r;
	out = kp_open_in(ctx->root_fd, to, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
	r = out < 0 ? out : kp_copy_fd(in, out, NULL);
	if (!r && lseek(out, 0, SEEK_SET) < 0)
		r = -errno;
	if (!r)
		r = kp_hash_fd(out, sha256, NULL);
	return r < 0 ? r : strcmp(sha256, f->sha256) ? -EBADMSG : 0;
}

static void touch(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_close_ int fd =
		kp_open_in(ctx->root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd >= 0)
		(void)!futimens(fd, NULL);
}

int kp_cache_get(struct kp_ctx *ctx, const char *key, const char *dir,
		 struct kp_file_hashes *hashes, struct kp_cache_entry *ret)
{
	_cleanup_(kp_cache_entry_clear) struct kp_cache_entry e = { 0 };
	_cleanup_(files_clear) struct files f = { 0 };
	_cleanup_free_ char *from = entry_dir(ctx, key);
	int r = load(ctx, from, key, &e, &f);

	if (r < 0) {
		if (r != -ENOENT)
			drop(ctx, from, "it cannot be read");
		return 0;
	}
	for (size_t i = 0; i < e.n_inputs; i++)
		if (!input_holds(hashes, &e.inputs[i])) {
			kp_debug("%s: %s is another one now", from, e.inputs[i].path);
			return 0;
		}
	for (size_t i = 0; i < f.n; i++) {
		r = take_file(ctx, from, dir, &f.list[i]);
		if (r < 0) {
			drop(ctx, from, "a file is damaged");
			return 0;
		}
	}
	touch(ctx, from);
	*ret = e;
	e = (struct kp_cache_entry){ 0 };
	return 1;
}

/* ---- putting in */

/* Regular files below DIR; REL is that below the top. */
static int list_files(struct kp_ctx *ctx, const char *dir, const char *rel, int depth,
		      struct files *f)
{
	_cleanup_strv_ char **names = NULL;
	int r = depth > DEPTH_MAX ? -ELOOP : kp_list_in(ctx->root_fd, dir, &names);

	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		_cleanup_free_ char *below =
			kp_strf("%s%s%s", rel, *rel ? "/" : "", *name);
		struct stat st;

		if (r < 0)
			break;
		r = kp_lstat_in(ctx->root_fd, path, &st);
		if (!r && S_ISDIR(st.st_mode)) {
			r = list_files(ctx, path, below, depth + 1, f);
		} else if (!r && S_ISREG(st.st_mode)) {
			KP_GROW(f->list, f->n, f->alloc);
			f->list[f->n++] = (struct file){ .path = kp_steal(&below) };
		}
	}
	return r;
}

static int hash_files(struct kp_ctx *ctx, const char *dir, struct files *f,
		      struct kp_err *err)
{
	int r = list_files(ctx, dir, "", 0, f);

	if (r < 0)
		return kp_err_sys(err, r, "list '%s'", dir);
	for (size_t i = 0; i < f->n; i++) {
		_cleanup_free_ char *path = kp_path_join(dir, f->list[i].path);
		_cleanup_close_ int fd =
			kp_open_in(ctx->root_fd, path, O_RDONLY | O_NOFOLLOW, 0);
		char sha256[KP_HASH_HEX];

		r = fd < 0 ? kp_err_sys(err, fd, "open '%s'", path)
			   : kp_hash_fd(fd, sha256, err);
		if (r < 0)
			return r;
		f->list[i].sha256 = kp_strdup(sha256);
	}
	return 0;
}

static int fill(struct kp_ctx *ctx, const char *temp, const char *key, const char *dir,
		const struct kp_cache_entry *e, struct kp_err *err)
{
	_cleanup_(files_clear) struct files f = { 0 };
	_cleanup_close_ int to = -1;
	int r;

	to = kp_open_in(ctx->root_fd, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (to < 0)
		return kp_err_sys(err, to, "open '%s'", temp);
	r = kp_copy_tree(ctx->root_fd, dir, to, (uid_t)-1, (gid_t)-1, err);
	if (!r)
		r = hash_files(ctx, temp, &f, err);
	return r < 0 ? r : save(ctx, temp, key, e, &f, err);
}

/* ---- its size */

struct kept {
	char *path;
	bool complete;
	uint64_t bytes;
	struct timespec used;
};

struct all {
	struct kept *list;
	size_t n, alloc;
	uint64_t bytes;
};

static void all_clear(struct all *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->list[i].path);
	free(a->list);
}

static uint64_t count_bytes(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_(files_clear) struct files f = { 0 };
	uint64_t bytes = 0;

	(void)list_files(ctx, dir, "", 0, &f);
	for (size_t i = 0; i < f.n; i++) {
		_cleanup_free_ char *path = kp_path_join(dir, f.list[i].path);
		struct stat st;

		if (!kp_lstat_in(ctx->root_fd, path, &st))
			bytes += (uint64_t)st.st_size;
	}
	return bytes;
}

static int look(struct kp_ctx *ctx, struct all *a)
{
	_cleanup_strv_ char **names = NULL;
	int r = kp_list_in(ctx->root_fd, ctx->cache_dir, &names);

	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(ctx->cache_dir, *name);
		bool complete = kp_json_is_sha256(*name);
		struct stat st;

		if ((!complete && !kp_str_starts(*name, NEW) &&
		     !kp_str_starts(*name, KP_TEMP_PREFIX)) ||
		    kp_lstat_in(ctx->root_fd, path, &st))
			continue;
		KP_GROW(a->list, a->n, a->alloc);
		a->list[a->n] = (struct kept){ .path = kp_steal(&path),
					       .complete = complete,
					       .used = st.st_mtim };
		a->list[a->n].bytes = count_bytes(ctx, a->list[a->n].path);
		a->bytes += a->list[a->n++].bytes;
	}
	return r;
}

int kp_cache_usage(struct kp_ctx *ctx, size_t *ret_n, uint64_t *ret_bytes)
{
	_cleanup_(all_clear) struct all a = { 0 };
	int r = ctx->cache_dir ? look(ctx, &a) : -ENOENT;

	if (r < 0)
		return r;
	*ret_n = 0;
	for (size_t i = 0; i < a.n; i++)
		*ret_n += a.list[i].complete;
	*ret_bytes = a.bytes;
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return before(&x->used, &y->used) ? -1 : before(&y->used, &x->used);
}

static uint64_t limit(const struct kp_ctx *ctx)
{
	return (uint64_t)ctx->config.cache_mib << 20;
}

/* Make room for so many bytes, and remove what others left unfinished. */
static void evict(struct kp_ctx *ctx, uint64_t room)
{
	_cleanup_(all_clear) struct all a = { 0 };
	time_t now = time(NULL);

	(void)look(ctx, &a);
	if (a.n)
		qsort(a.list, a.n, sizeof(*a.list), by_use);
	for (size_t i = 0; i < a.n; i++) {
		const struct kept *k = &a.list[i];

		if (k->complete ? a.bytes + room <= limit(ctx)
				: k->used.tv_sec + NEW_MAX_S > now)
			continue;
		kp_rm_rf_in(ctx->root_fd, k->path, NULL);
		a.bytes -= k->bytes;
	}
}

int kp_cache_put(struct kp_ctx *ctx, const char *key, const char *dir,
		 const struct kp_cache_entry *e, struct kp_err *err)
{
	_cleanup_free_ char *to = entry_dir(ctx, key);
	_cleanup_free_ char *temp =
		kp_strf("%s/" NEW "%s.%d", ctx->cache_dir, key, (int)getpid());
	_cleanup_free_ char *old = kp_strf("%s.old", temp);
	uint64_t bytes = count_bytes(ctx, dir);
	int r;

	if (bytes > limit(ctx))
		return kp_err_set(err, -EFBIG, "it is larger than the cache");
	r = kp_mkdir_in(ctx->root_fd, ctx->cache_dir, 0700, err);
	/* Of a dead process with our number. */
	if (!r)
		r = kp_rm_rf_in(ctx->root_fd, temp, err);
	if (!r)
		r = kp_mkdir_in(ctx->root_fd, temp, 0700, err);
	if (r < 0)
		return r;
	evict(ctx, bytes);
	r = fill(ctx, temp, key, dir, e, err);
	if (!r) {
		(void)kp_rename_in(ctx->root_fd, to, old);
		r = kp_rename_in(ctx->root_fd, temp, to);
		/* Somebody was faster, with the same. */
		if (r == -EEXIST || r == -ENOTEMPTY)
			r = 0;
		else if (r < 0)
			kp_err_sys(err, r, "rename '%s'", temp);
	}
	kp_rm_rf_in(ctx->root_fd, old, NULL);
	kp_rm_rf_in(ctx->root_fd, temp, NULL);
	return r;
}
