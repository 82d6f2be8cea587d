// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/jsonfile.h"
#include "lib/leftover.h"
#include "lib/queue.h"

#define NUMBER_DIGITS 8
#define NUMBER_MAX 99999999u
#define NEW_PREFIX ".new-" /* .new-PID-N: not an entry yet, or no longer */

void kp_queue_entry_clear(struct kp_queue_entry *entry)
{
	free(entry->dir);
	kp_pkg_id_clear(&entry->id);
	free(entry->name);
	free(entry->file);
	kp_strv_free(entry->paths);
	free(entry->reason);
	*entry = (struct kp_queue_entry){ 0 };
}

bool kp_queue_has(const struct kp_queue *q, const char *module, const char *kernel)
{
	for (size_t i = 0; i < q->n; i++)
		if (kp_str_eq(q->list[i].id.module, module) &&
		    kp_str_eq(q->list[i].id.kernel, kernel))
			return true;
	return false;
}

void kp_queue_clear(struct kp_queue *q)
{
	for (size_t i = 0; i < q->n; i++)
		kp_queue_entry_clear(&q->list[i]);
	free(q->list);
	*q = (struct kp_queue){ 0 };
}

static char *queue_dir(struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, "queue");
}

/* What an entry may hold, read or to be written; FILE is its bare name. NULL: all is
 * well. */
static const char *entry_fault(const struct kp_queue_entry *e, const char *file)
{
	const char *fault = kp_pkg_fault(&e->id, e->paths);

	if (fault)
		return fault;
	if (!e->name || !kp_name_ok(e->name))
		return "expected a package name in \"name\"";
	if (e->kind == KP_CHANGE_ADD ? !file || !kp_name_ok(file) : !!file)
		return "expected the name of the package file of an add in \"file\"";
	if (e->reason && !kp_str_is_printable(e->reason))
		return "expected one line of text in \"reason\"";
	return NULL;
}

static int parse_object(json_t *object, const char *file, struct kp_queue_entry *e,
			struct kp_err *err)
{
	const char *kind, *module, *version, *kernel, *name, *arch = NULL, *key = NULL;
	const char *content = NULL, *package = NULL, *pkg_file = NULL, *reason = NULL;
	const char *fault;
	json_t *paths;
	int schema, r;

	r = kp_json_unpack(
		object, file, err,
		"{s:i, s:s, s:s, s:s, s:s, s:s, s?s, s?s, s?s, s?s, s?s, s?s, s:o}",
		"schema", &schema, "kind", &kind, "module", &module, "version", &version,
		"kernel", &kernel, "name", &name, "arch", &arch, "key", &key, "content",
		&content, "source_package", &package, "file", &pkg_file, "reason",
		&reason, "paths", &paths);
	if (r < 0)
		return r;
	if (strcmp(kind, "add") != 0 && strcmp(kind, "erase") != 0)
		return kp_err_set(err, -EINVAL, "%s: expected add or erase in \"kind\"",
				  file);
	e->kind = strcmp(kind, "add") ? KP_CHANGE_ERASE : KP_CHANGE_ADD;
	e->id = (struct kp_pkg_id){
		.module = kp_strdup(module),
		.version = kp_strdup(version),
		.kernel = kp_strdup(kernel),
		.arch = kp_strdup(arch),
		.key = kp_strdup(key),
		.content = kp_strdup(content),
		.source_package = kp_strdup(package),
	};
	e->name = kp_strdup(name);
	e->file = kp_strdup(pkg_file);
	e->reason = kp_strdup(reason);
	r = kp_json_to_strings(paths, file, "paths", &e->paths, err);
	if (r < 0)
		return r;
	fault = entry_fault(e, e->file);
	return fault ? kp_err_set(err, -EINVAL, "%s: %s", file, fault) : 0;
}

static int from_json(json_t *object, const char *file, struct kp_queue_entry *ret,
		     struct kp_err *err)
{
	_cleanup_(kp_queue_entry_clear) struct kp_queue_entry e = { 0 };
	int r;

	r = parse_object(object, file, &e, err);
	if (r < 0)
		return r;
	*ret = e;
	e = (struct kp_queue_entry){ 0 };
	return 0;
}

int kp_queue_entry_parse(const char *text, size_t len, const char *file,
			 struct kp_queue_entry *ret, struct kp_err *err)
{
	_cleanup_json_ json_t *object = NULL;
	int r;

	r = kp_json_parse(text, len, file, &object, err);
	return r < 0 ? r : from_json(object, file, ret, err);
}

/* Is NAME that of an entry? */
static bool is_entry_name(const char *name)
{
	return strlen(name) == NUMBER_DIGITS &&
	       strspn(name, "0123456789") == NUMBER_DIGITS;
}

/* -ENOENT: the directory is gone. -EINVAL, -ENOTSUP: it is there, but no entry. */
static int load_entry(struct kp_ctx *ctx, const char *dir, struct kp_queue_entry *ret,
		      struct kp_err *err)
{
	_cleanup_(kp_queue_entry_clear) struct kp_queue_entry e = { 0 };
	_cleanup_free_ char *file = kp_path_join(dir, "entry.json");
	_cleanup_json_ json_t *object = NULL;
	struct stat st;
	int r;

	r = kp_json_load(ctx->root_fd, file, &object, err);
	if (!r)
		r = from_json(object, file, &e, err);
	if (!r && e.file) {
		char *path = kp_path_join(dir, e.file);

		free(e.file);
		e.file = path;
		r = kp_lstat_in(ctx->root_fd, path, &st);
		if (!r && !S_ISREG(st.st_mode))
			r = kp_err_set(err, -EINVAL, "%s is not a regular file", path);
		else if (r < 0)
			kp_err_sys(err, r, "%s", path);
	}
	/* Entries go by a rename, so something missing inside of one that is still there
	 * has been missing before. */
	if ((r == -ENOENT || r == -ENOTDIR) && kp_lstat_in(ctx->root_fd, dir, &st) == 0)
		return kp_err_set(err, -EINVAL, "%s is not whole", dir);
	if (r < 0)
		return r;
	e.dir = kp_strdup(dir);
	*ret = e;
	e = (struct kp_queue_entry){ 0 };
	return 0;
}

int kp_queue_load(struct kp_ctx *ctx, struct kp_queue *ret, struct kp_err *err)
{
	_cleanup_(kp_queue_clear) struct kp_queue q = { 0 };
	_cleanup_free_ char *queue = queue_dir(ctx);
	_cleanup_strv_ char **names = NULL;
	int r;

	r = kp_list_in(ctx->root_fd, queue, &names);
	if (r < 0 && r != -ENOENT)
		return kp_err_sys(err, r, "reading %s", queue);
	q.list = kp_calloc(kp_strv_len(names), sizeof(*q.list));
	kp_strv_foreach(p, names) {
		_cleanup_free_ char *dir = kp_path_join(queue, *p);
		struct kp_err why = KP_ERR_INIT;

		if (!is_entry_name(*p))
			continue;
		r = load_entry(ctx, dir, &q.list[q.n], &why);
		if (!r)
			q.n++;
		else if (r == -EINVAL || r == -ENOTSUP)
			kp_warn_once("%s, skipping this entry of the queue",
				     kp_err_text(&why, r));
		else if (r != -ENOENT)
			return kp_err_set(err, r, "%s", kp_err_text(&why, r));
	}
	*ret = q;
	q = (struct kp_queue){ 0 };
	return 0;
}

/* A name in QUEUE that nobody has. A number per process, so that one can hold several. */
static char *new_dir(const char *queue)
{
	static unsigned int n;

	return kp_strf("%s/%s%d-%u", queue, NEW_PREFIX, (int)getpid(), n++);
}

/* Remove an entry's directory so that a crash leaves either all of it or a leftover. */
static int remove_entry(struct kp_ctx *ctx, const char *queue, const char *dir,
			struct kp_err *err)
{
	_cleanup_free_ char *away = new_dir(queue);
	int r;

	r = kp_rename_in(ctx->root_fd, dir, away);
	if (r == -ENOENT)
		return 0;
	if (!r)
		r = kp_sync_dir_in(ctx->root_fd, queue);
	if (r < 0)
		return kp_err_sys(err, r, "removing %s", dir);
	return kp_rm_rf_in(ctx->root_fd, away, err);
}

/* Remove leftovers and, with BROKEN, what cannot be parsed; then the directory if it is
 * empty. */
static int sweep(struct kp_ctx *ctx, bool broken, struct kp_err *err)
{
	_cleanup_free_ char *queue = queue_dir(ctx);
	_cleanup_strv_ char **names = NULL;
	int r;

	r = kp_list_in(ctx->root_fd, queue, &names);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return kp_err_sys(err, r, "reading %s", queue);
	kp_strv_foreach(p, names) {
		_cleanup_(kp_queue_entry_clear) struct kp_queue_entry e = { 0 };
		_cleanup_free_ char *dir = kp_path_join(queue, *p);

		r = 0;
		if (kp_str_starts(*p, NEW_PREFIX) &&
		    kp_is_leftover(ctx, dir, *p + strlen(NEW_PREFIX)))
			r = kp_rm_rf_in(ctx->root_fd, dir, err);
		else if (broken && is_entry_name(*p) &&
			 load_entry(ctx, dir, &e, NULL) == -EINVAL)
			r = remove_entry(ctx, queue, dir, err);
		if (r < 0)
			return r;
	}
	r = kp_rmdir_in(ctx->root_fd, queue);
	return r < 0 ? kp_err_sys(err, r, "removing %s", queue) : 0;
}

int kp_queue_sweep(struct kp_ctx *ctx, struct kp_err *err)
{
	return sweep(ctx, true, err);
}

int kp_queue_begin(struct kp_ctx *ctx, char **ret_dir, int *ret_dir_fd,
		   struct kp_err *err)
{
	_cleanup_free_ char *queue = queue_dir(ctx), *dir = new_dir(queue);
	int fd, r;

	r = sweep(ctx, false, err);
	if (!r)
		r = kp_mkdir_durably_in(ctx->root_fd, queue, err);
	if (!r)
		r = kp_mkdir_in(ctx->root_fd, dir, 0755, err);
	if (r < 0)
		return r;
	fd = kp_open_in(ctx->root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return kp_err_sys(err, fd, "opening %s", dir);
	*ret_dir = kp_steal(&dir);
	*ret_dir_fd = fd;
	return 0;
}

static json_t *to_json(const struct kp_queue_entry *e, const char *file)
{
	_cleanup_json_ json_t *paths = kp_json_strings(e->paths);

	if (!paths)
		return NULL;
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s, s:s*, s:o*, s:O}",
		"kind", e->kind == KP_CHANGE_ADD ? "add" : "erase", "module",
		e->id.module, "version", e->id.version, "kernel", e->id.kernel, "arch",
		e->id.arch, "key", e->id.key, "content", e->id.content, "source_package",
		e->id.source_package, "name", e->name, "file", file, "reason",
		kp_json_text(e->reason), "paths", paths);
}

/* Make the reserved directory whole and durable. */
static int write_entry(struct kp_ctx *ctx, const struct kp_queue_entry *e,
		       const char *file, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(e->dir, "entry.json");
	struct kp_queue_entry checked = *e;
	_cleanup_json_ json_t *object = NULL;
	const char *fault;

	checked.reason = NULL; /* made fit by to_json() */
	fault = entry_fault(&checked, file);
	if (!fault)
		object = to_json(e, file);
	if (!object)
		return kp_err_set(err, -EINVAL, "queue entry for %s not written: %s",
				  e->name, fault ? fault : "a name is no UTF-8");
	if (file) {
		_cleanup_free_ char *pkg = kp_path_join(e->dir, file);
		_cleanup_close_ int fd =
			kp_open_in(ctx->root_fd, pkg, O_RDONLY | O_NOFOLLOW, 0);

		if (fd < 0)
			return kp_err_sys(err, fd, "%s", pkg);
		if (fsync(fd) < 0)
			return kp_err_sys(err, -errno, "writing %s", pkg);
	}
	return kp_json_save(ctx->root_fd, path, object, err);
}

/* Drop the entries for PACKAGE but the one in DIR; maybe only those of erases. */
static int drop_older(struct kp_ctx *ctx, const char *queue, const char *package,
		      const char *dir, bool only_erases, struct kp_err *err)
{
	_cleanup_(kp_queue_clear) struct kp_queue q = { 0 };
	int r;

	r = kp_queue_load(ctx, &q, err);
	for (size_t i = 0; !r && i < q.n; i++)
		if (!strcmp(q.list[i].name, package) && strcmp(q.list[i].dir, dir) != 0 &&
		    (!only_erases || q.list[i].kind == KP_CHANGE_ERASE))
			r = remove_entry(ctx, queue, q.list[i].dir, err);
	return r;
}

/* Path of the next entry: above all that are there. */
static int next_entry(struct kp_ctx *ctx, const char *queue, char **ret,
		      struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	unsigned long last = 0;
	int r;

	r = kp_list_in(ctx->root_fd, queue, &names);
	if (r < 0)
		return kp_err_sys(err, r, "reading %s", queue);
	kp_strv_foreach(p, names)
		if (is_entry_name(*p))
			last = strtoul(*p, NULL, 10);
	if (last >= NUMBER_MAX)
		return kp_err_set(err, -EOVERFLOW, "%s is full: run `kmodpkg sync`",
				  queue);
	*ret = kp_strf("%s/%0*lu", queue, NUMBER_DIGITS, last + 1);
	return 0;
}

int kp_queue_commit_entry(struct kp_ctx *ctx, struct kp_queue_entry *entry,
			  struct kp_err *err)
{
	_cleanup_free_ char *queue = queue_dir(ctx), *dir = NULL, *file = NULL;
	const char *slash = entry->file ? strrchr(entry->file, '/') : NULL;
	const char *name = slash ? slash + 1 : entry->file;
	int r;

	r = write_entry(ctx, entry, name, err);
	/* A commit adds, then erases: with both in the queue, should we be killed here, what
	 * was to come would go. An erase that is lost is planned again if it is still due;
	 * an add must not be, since its files may be in place. */
	if (!r && entry->kind == KP_CHANGE_ADD)
		r = drop_older(ctx, queue, entry->name, entry->dir, true, err);
	if (!r)
		r = next_entry(ctx, queue, &dir, err);
	if (r < 0)
		return r;
	r = kp_rename_in(ctx->root_fd, entry->dir, dir);
	if (!r)
		r = kp_sync_dir_in(ctx->root_fd, queue);
	if (r < 0)
		return kp_err_sys(err, r, "renaming %s to %s", entry->dir, dir);
	file = name ? kp_path_join(dir, name) : NULL;
	free(entry->file);
	free(entry->dir);
	entry->file = kp_steal(&file);
	entry->dir = kp_steal(&dir);
	return drop_older(ctx, queue, entry->name, entry->dir, false, err);
}

int kp_queue_drop(struct kp_ctx *ctx, const struct kp_queue_entry *entry,
		  struct kp_err *err)
{
	_cleanup_free_ char *queue = queue_dir(ctx);
	int r;

	r = remove_entry(ctx, queue, entry->dir, err);
	return r < 0 ? r : sweep(ctx, false, err);
}
