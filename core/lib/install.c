// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/initramfs.h"
#include "lib/install.h"
#include "lib/settle.h"

static void pkg_clear(struct kp_pkg *pkg)
{
	kp_pkg_id_clear(&pkg->id);
	free((char *)pkg->summary);
	free((char *)pkg->license);
	for (size_t i = 0; i < pkg->n_files; i++) {
		free(pkg->files[i].path);
		if (pkg->files[i].fd >= 0)
			close(pkg->files[i].fd);
	}
	free(pkg->files);
}

/* Reproducible packages need a time that the same input always gives. */
static int64_t package_time(struct kp_ctx *ctx, const struct kp_source *s)
{
	_cleanup_free_ char *conf = kp_path_join(s->dir, "dkms.conf");
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct stat st;

	if (epoch && *epoch)
		return strtoll(epoch, NULL, 10);
	if (kp_stat_in(ctx->root_fd, conf, &st) < 0)
		return 0;
	return st.st_mtim.tv_sec;
}

/* Nobody has read it since it was published. */
static int check_file(int fd, const char *path, const struct kp_source *s,
		      const struct kp_kernel *k, const struct kp_record_file *f,
		      struct kp_err *err)
{
	char hash[KP_HASH_HEX];
	int r = kp_hash_fd(fd, hash, err);

	if (r < 0 || !strcmp(hash, f->sha256))
		return r;
	return kp_err_set(err, -EBADMSG,
			  "'%s' is not as it was built: kmodpkg build --force %s/%s -k "
			  "%s builds it anew",
			  path, s->module, s->version, k->release);
}

static int open_files(struct kp_ctx *ctx, const struct kp_source *s,
		      const struct kp_kernel *k, const struct kp_record *rec,
		      struct kp_pkg *pkg, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_record_dir(ctx, s->module, s->version, k->release);

	pkg->files = kp_calloc(rec->n_files, sizeof(*pkg->files));
	for (size_t i = 0; i < rec->n_files; i++) {
		_cleanup_free_ char *path =
			kp_strf("%s/module/%s", dir, rec->files[i].name);
		struct kp_pkg_file *f = &pkg->files[i];
		struct stat st;
		int r;

		f->path = kp_path_join(k->moddir, rec->files[i].dest);
		f->mode = 0644;
		f->fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_NOFOLLOW, 0);
		pkg->n_files++;
		if (f->fd < 0)
			return kp_err_sys(err, f->fd, "open '%s'", path);
		if (fstat(f->fd, &st) < 0)
			return kp_err_sys(err, -errno, "stat '%s'", path);
		f->size = (uint64_t)st.st_size;
		r = check_file(f->fd, path, s, k, &rec->files[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int fill_package(struct kp_ctx *ctx, const struct kp_world *w,
			const struct kp_plan_row *row, struct kp_pkg *pkg,
			struct kp_err *err)
{
	const struct kp_plan_pair *x = &w->input.pairs[row->pair];
	const struct kp_source *s = &w->sources.list[x->source];
	const struct kp_kernel *k = &w->kernels.list[x->kernel];
	const struct kp_record *rec = w->pairs[row->pair].record;

	pkg->id = (struct kp_pkg_id){
		.module = kp_strdup(s->module),
		.version = kp_strdup(s->version),
		.kernel = kp_strdup(k->release),
		.arch = kp_strdup(ctx->arch),
		.key = kp_strdup(row->key),
		.content = kp_strdup(rec->content),
		.source_package = kp_strdup(s->package),
	};
	pkg->summary = kp_strf("%s %s kernel modules for Linux %s", s->module, s->version,
			       k->release);
	if (rec->licenses)
		pkg->license = kp_strv_join(rec->licenses, " and ");
	pkg->mtime = package_time(ctx, s);
	pkg->depend_on_kernel = ctx->config.depend_on_kernel;
	return open_files(ctx, s, k, rec, pkg, err);
}

/* It may forbid the installation, unless a person wants it anyway. */
static int pre_install(struct kp_ctx *ctx, const struct kp_world *w,
		       const struct kp_plan_row *row, struct kp_err *err)
{
	const struct kp_plan_pair *x = &w->input.pairs[row->pair];
	struct kp_err why = KP_ERR_INIT;
	int r;

	r = kp_script_run(ctx, &w->sources.list[x->source], w->pairs[row->pair].conf,
			  KP_SCRIPT_PRE_INSTALL, row->kernel, NULL, &why);
	if (r == -ECHILD && w->input.anyway && x->requested) {
		kp_warn("%s/%s, kernel %s: %s, installing it anyway", row->module,
			row->version, row->kernel, kp_err_text(&why, r));
		return 0;
	}
	return r < 0 ? kp_err_set(err, r, "%s", kp_err_text(&why, r)) : 0;
}

/* An entry of the same name never gets into the database once this one is queued: it may be for
 * another kernel, or have other files. Before that, so that a crash leaves the older one whole. */
static int remove_replaced(struct kp_ctx *ctx, const struct kp_world *w,
			   const struct kp_queue_entry *e, struct kp_err *err)
{
	for (size_t i = 0; i < w->queue.n; i++) {
		const struct kp_queue_entry *old = &w->queue.list[i];
		_cleanup_strv_ char **paths = NULL;
		int r;

		if (old->kind != KP_CHANGE_ADD || !kp_str_eq(old->name, e->name))
			continue;
		kp_strv_foreach(path, old->paths)
			if (!kp_strv_has(e->paths, *path))
				kp_strv_add(&paths, *path);
		if (!paths)
			continue;
		r = kp_unsettled_keep(ctx, old->id.kernel, paths, err);
		if (r < 0)
			return r;
		kp_place_remove(ctx, &old->id, paths);
	}
	return 0;
}

static int mark_added(struct kp_ctx *ctx, const struct kp_world *w,
		      const struct kp_plan_row *row, const struct kp_queue_entry *e,
		      struct kp_err *err)
{
	_cleanup_strv_ char **paths = kp_place_changes(w->packages, w->n_packages, e);

	if (w->pairs[row->pair].conf->remake_initrd)
		kp_strv_add(&paths, KP_ANY_MODULE);
	return kp_unsettled_mark(ctx, row->kernel, paths, err);
}

int kp_install_row(struct kp_ctx *ctx, struct kp_world *w, const struct kp_plan_row *row,
		   struct kp_err *err)
{
	_cleanup_(pkg_clear) struct kp_pkg pkg = { 0 };
	_cleanup_(
		kp_queue_entry_clear) struct kp_queue_entry e = { .kind = KP_CHANGE_ADD };
	_cleanup_free_ char *file = NULL;
	_cleanup_close_ int dir_fd = -1;
	int r;

	r = fill_package(ctx, w, row, &pkg, err);
	for (size_t i = 0; r == 0 && i < pkg.n_files; i++)
		kp_strv_add(&e.paths, pkg.files[i].path);
	if (r == 0)
		r = kp_place_check(ctx, w, row->module, e.paths, err);
	if (r == 0)
		r = pre_install(ctx, w, row, err);
	if (r == 0)
		r = kp_queue_begin(ctx, &e.dir, &dir_fd, err);
	if (r < 0)
		return r;
	r = ctx->backend->ops->write(ctx->backend->db, &pkg, dir_fd, &file, &e.name, err);
	if (r == 0) {
		e.file = kp_path_join(e.dir, file);
		kp_pkg_id_copy(&e.id, &pkg.id);
		if (!kp_place_is_as_it_was(ctx, w->packages, w->n_packages, &e))
			r = mark_added(ctx, w, row, &e, err);
		if (r == 0)
			r = remove_replaced(ctx, w, &e, err);
		if (r == 0)
			r = kp_queue_commit_entry(ctx, &e, err);
	}
	/* What is not an entry now only takes room. */
	if (r < 0)
		(void)kp_queue_drop(ctx, &e, NULL);
	return r;
}

/* What is there of a row's package: in the database or, where it never got beyond the
 * queue, there. */
static void find_package(const struct kp_world *w, const struct kp_plan_row *row,
			 struct kp_queue_entry *e)
{
	for (size_t i = 0; i < w->n_packages; i++) {
		const struct kp_pkg_installed *p = &w->packages[i];

		if (!kp_str_eq(p->name, row->package) ||
		    !kp_str_eq(p->id.kernel, row->kernel))
			continue;
		kp_pkg_id_copy(&e->id, &p->id);
		e->paths = kp_strv_dup(p->files);
		return;
	}
	for (size_t i = 0; i < w->queue.n; i++) {
		const struct kp_queue_entry *q = &w->queue.list[i];

		if (!kp_str_eq(q->name, row->package))
			continue;
		kp_pkg_id_copy(&e->id, &q->id);
		e->paths = kp_strv_dup(q->paths);
		return;
	}
}

int kp_erase_row(struct kp_ctx *ctx, struct kp_world *w, const struct kp_plan_row *row,
		 struct kp_err *err)
{
	_cleanup_(kp_queue_entry_clear) struct kp_queue_entry e = {
		.kind = KP_CHANGE_ERASE,
		.name = kp_strdup(row->package),
		.reason = kp_strdup(row->note),
	};
	_cleanup_close_ int dir_fd = -1;
	int r;

	find_package(w, row, &e);
	r = kp_unsettled_mark(ctx, row->kernel, e.paths, err);
	if (r == 0)
		r = kp_queue_begin(ctx, &e.dir, &dir_fd, err);
	if (r < 0)
		return r;
	r = kp_queue_commit_entry(ctx, &e, err);
	if (r < 0)
		(void)kp_queue_drop(ctx, &e, NULL);
	return r;
}
