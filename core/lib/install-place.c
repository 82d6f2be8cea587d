// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Place now, own later: the files of queued packages where the database will have them.
 *
 * They come out of the published build, by rename. That a file is there says nothing, since
 * the version that it replaces has the same name; its bytes do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/install.h"
#include "lib/settle.h"

int kp_place_check(struct kp_ctx *ctx, const struct kp_world *w, const char *module,
		   char *const *paths, struct kp_err *err)
{
	size_t n = kp_strv_len(paths);
	struct kp_owner *owners;
	int r;

	r = kp_backend_owners(ctx, paths, &owners, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		bool ours = false;

		for (size_t j = 0; j < w->n_packages; j++)
			ours |= kp_str_eq(w->packages[j].name, owners[i].package) &&
				kp_str_eq(w->packages[j].id.module, module);
		if (r == 0 && owners[i].package && !ours)
			r = kp_err_set(err, -EEXIST,
				       "%s belongs to package %s; remove that package or "
				       "uninstall %s",
				       paths[i], owners[i].package, module);
	}
	kp_owners_free(owners, n);
	return r;
}

#define NEW_SUFFIX ".kmodpkg-new"

void kp_place_sweep(struct kp_ctx *ctx, char *const *paths)
{
	_cleanup_strv_ char **dirs = NULL;

	kp_strv_foreach(p, paths) {
		_cleanup_free_ char *dir = kp_path_dir(*p);
		_cleanup_strv_ char **names = NULL;

		if (kp_strv_has(dirs, dir))
			continue;
		kp_strv_add(&dirs, dir);
		(void)kp_list_in(ctx->root_fd, dir, &names);
		kp_strv_foreach(name, names) {
			_cleanup_free_ char *path = kp_path_join(dir, *name);

			if (kp_str_ends(*name, NEW_SUFFIX))
				(void)kp_unlink_in(ctx->root_fd, path);
		}
	}
}

bool kp_place_is_there(struct kp_ctx *ctx, const char *path,
		       const struct kp_record_file *f)
{
	_cleanup_close_ int fd = -1;
	char hex[KP_HASH_HEX];
	struct stat st;

	if (kp_lstat_in(ctx->root_fd, path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != f->size || (st.st_mode & 07777) != 0644)
		return false;
	fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_NOFOLLOW, 0);
	return fd >= 0 && kp_hash_fd(fd, hex, NULL) == 0 && kp_str_eq(hex, f->sha256);
}

static int copy(struct kp_ctx *ctx, const char *from, const char *to, struct kp_err *err)
{
	_cleanup_close_ int in = kp_open_in(ctx->root_fd, from, O_RDONLY | O_NOFOLLOW, 0);
	_cleanup_close_ int out = -1;
	int r;

	if (in < 0)
		return kp_err_sys(err, in, "open '%s'", from);
	out = kp_open_in(ctx->root_fd, to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
			 0644);
	if (out < 0)
		return kp_err_sys(err, out, "create '%s'", to);
	r = kp_copy_fd(in, out, err);
	if (r == 0 && (fchmod(out, 0644) < 0 || fsync(out) < 0))
		r = kp_err_sys(err, -errno, "write '%s'", to);
	return r < 0 ? kp_err_prefix(err, "%s", to) : 0;
}

int kp_place_file(struct kp_ctx *ctx, const char *from, const char *path,
		  struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_dir(path),
			    *tmp = kp_strf("%s" NEW_SUFFIX, path);
	int r;

	r = kp_mkdir_in(ctx->root_fd, dir, 0755, err);
	if (r < 0)
		return r;
	r = copy(ctx, from, tmp, err);
	if (r == 0) {
		r = kp_rename_in(ctx->root_fd, tmp, path);
		if (r < 0)
			kp_err_sys(err, r, "rename '%s'", tmp);
	}
	if (r < 0)
		(void)kp_unlink_in(ctx->root_fd, tmp);
	return r;
}

/* The record of the build that an entry was made of, NULL if that is not published any more. */
static struct kp_record *record_of(struct kp_ctx *ctx, const struct kp_queue_entry *e)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;

	if (kp_record_load(ctx, e->id.module, e->id.version, e->id.kernel, &rec, NULL) <
		    0 ||
	    !kp_str_eq(rec->content, e->id.content) ||
	    rec->n_files != kp_strv_len(e->paths))
		return NULL;
	return kp_steal(&rec);
}

bool kp_place_is_done(struct kp_ctx *ctx, const struct kp_queue_entry *e)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	struct stat st;

	if (e->kind == KP_CHANGE_ERASE) {
		kp_strv_foreach(path, e->paths)
			if (kp_lstat_in(ctx->root_fd, *path, &st) == 0)
				return false;
		return true;
	}
	rec = record_of(ctx, e);
	for (size_t i = 0; rec && i < rec->n_files; i++)
		if (!kp_place_is_there(ctx, e->paths[i], &rec->files[i]))
			return false;
	return rec;
}

bool kp_place_is_as_it_was(struct kp_ctx *ctx, const struct kp_pkg_installed *list,
			   size_t n, const struct kp_queue_entry *e)
{
	for (size_t i = 0; i < n; i++)
		if (kp_str_eq(list[i].name, e->name))
			return false;
	return e->kind == KP_CHANGE_ADD &&
	       kp_is_settled_since(ctx, e->id.kernel, e->paths) &&
	       kp_place_is_done(ctx, e);
}

char **kp_place_changes(const struct kp_pkg_installed *list, size_t n,
			const struct kp_queue_entry *e)
{
	char **paths = kp_strv_dup(e->paths);

	for (size_t i = 0; i < n; i++)
		if (kp_str_eq(list[i].name, e->name) &&
		    kp_str_eq(list[i].id.kernel, e->id.kernel))
			kp_strv_foreach(file, list[i].files)
				kp_strv_add(&paths, *file);
	return paths;
}

static int place_entry(struct kp_ctx *ctx, const struct kp_world *w,
		       const struct kp_queue_entry *e, struct kp_err *err)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = record_of(ctx, e);
	_cleanup_free_ char *published = NULL;
	const struct kp_pkg_id *id = &e->id;
	bool checked = false;
	int r = 0;

	if (!rec) {
		kp_debug("%s is not published any more, not placed before the commit",
			 e->name);
		return 0;
	}
	published = kp_record_dir(ctx, id->module, id->version, id->kernel);
	for (size_t i = 0; i < rec->n_files; i++) {
		_cleanup_free_ char *from =
			kp_strf("%s/module/%s", published, rec->files[i].name);

		if (kp_place_is_there(ctx, e->paths[i], &rec->files[i]))
			continue;
		if (!checked)
			r = kp_place_check(ctx, w, id->module, e->paths, err);
		/* Who began with it may have been killed, and an initramfs made since. */
		if (r == 0 && !checked)
			r = kp_unsettled_keep(ctx, id->kernel, e->paths, err);
		checked = true;
		if (r == 0)
			r = kp_place_file(ctx, from, e->paths[i], err);
		if (r < 0)
			return r;
	}
	return kp_view_set(ctx, id->module, id->kernel, id->version, err);
}

int kp_place_queue(struct kp_ctx *ctx, const struct kp_world *w, char ***ret_kernels,
		   struct kp_sync_result *ret, struct kp_err *err)
{
	_cleanup_(kp_queue_clear) struct kp_queue q = { 0 };
	int r;

	r = kp_queue_load(ctx, &q, err);
	for (size_t i = 0; r == 0 && i < q.n; i++) {
		const struct kp_queue_entry *e = &q.list[i];
		struct kp_err one = KP_ERR_INIT;
		const char *why;

		if (e->kind != KP_CHANGE_ADD)
			continue;
		if (!kp_strv_has(*ret_kernels, e->id.kernel))
			kp_strv_add(ret_kernels, e->id.kernel);
		r = place_entry(ctx, w, e, &one);
		if (r == 0)
			continue;
		why = kp_err_text(&one, r);
		if (kp_err_is_disk(r))
			return kp_err_set(err, r, "%s: %s", e->name, why);
		kp_log(KP_LOG_ERR, "%s: %s", e->name, why);
		kp_strv_addf(&ret->failures, "%s/%s, kernel %s: %s", e->id.module,
			     e->id.version, e->id.kernel, why);
		ret->failed++;
		r = 0;
	}
	return r;
}

/* Remove those of PATHS that no package owns. *RET (may be NULL) gets the removed ones. */
static void remove_unowned(struct kp_ctx *ctx, char *const *paths,
			   int (*removal)(int root_fd, const char *path), char ***ret)
{
	size_t n = kp_strv_len(paths);
	struct kp_owner *owners;

	if (!n || kp_backend_owners(ctx, paths, &owners, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!owners[i].package && removal(ctx->root_fd, paths[i]) == 0 && ret)
			kp_strv_add(ret, paths[i]);
	kp_owners_free(owners, n);
}

void kp_place_remove(struct kp_ctx *ctx, const struct kp_pkg_id *id, char *const *paths)
{
	_cleanup_strv_ char **gone = NULL, **dirs = NULL;

	kp_place_sweep(ctx, paths);
	remove_unowned(ctx, paths, kp_unlink_in, &gone);
	kp_strv_foreach(p, gone) {
		/* Below the kernel's own directory, the deepest first. */
		for (char *dir = kp_path_dir(*p), *up; dir; dir = up) {
			up = kp_str_eq(strrchr(dir, '/') + 1, id->kernel) ||
					     !strcmp(dir, "/")
				     ? NULL
				     : kp_path_dir(dir);
			if (up && !kp_strv_has(dirs, dir))
				kp_strv_add(&dirs, dir);
			free(dir);
		}
	}
	remove_unowned(ctx, dirs, kp_rmdir_in, NULL);
}
