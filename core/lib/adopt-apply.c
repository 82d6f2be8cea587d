// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/adopt.h"
#include "lib/build.h"
#include "lib/forget.h"
#include "lib/install.h"
#include "lib/settle.h"

/* To where logs are looked for. */
static int copy_log(struct kp_ctx *ctx, const struct kp_adopt_item *x, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_record_dir(ctx, x->module, x->version, x->kernel);
	_cleanup_free_ char *from = kp_path_join(dir, "log/make.log");
	_cleanup_free_ char *to =
		kp_build_log_path(ctx, x->module, x->version, x->kernel);
	_cleanup_free_ char *parent = kp_path_dir(to), *text = NULL;
	size_t len;
	int r;

	if (kp_read_in(ctx->root_fd, from, 0, &text, &len) < 0)
		return 0;
	r = kp_mkdir_in(ctx->root_fd, parent, 0755, err);
	if (r == 0)
		r = kp_write_in(ctx->root_fd, to, text, len, 0644, err);
	if (r == 0)
		x->record->log = kp_steal(&to);
	return r;
}

static int take_build(struct kp_ctx *ctx, const struct kp_adopt_item *x,
		      struct kp_err *err)
{
	int r = copy_log(ctx, x, err);

	if (r == 0)
		r = kp_record_save(ctx, x->module, x->version, x->kernel, x->record, err);
	return r;
}

static int take_builds(struct kp_ctx *ctx, const struct kp_adopt *a, struct kp_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->n; i++) {
		const struct kp_adopt_item *x = &a->list[i];

		if (!x->record)
			continue;
		r = take_build(ctx, x, err);
		/* Or the sync would take it for a package that went missing. It comes back
		 * when the package is there. */
		if (r == 0 && x->kind == KP_ADOPT_PACKAGE)
			r = kp_view_set(ctx, x->module, x->kernel, NULL, err);
	}
	return r;
}

static int pin(struct kp_ctx *ctx, const struct kp_adopt *a, struct kp_err *err)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;
	bool any = false;
	int r;

	r = kp_intent_load(ctx, &in, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < a->n; i++) {
		const struct kp_adopt_item *x = &a->list[i];

		if (!x->pin)
			continue;
		kp_intent_set(in, x->module, x->version, x->kernel, KP_INTENT_PIN);
		any = true;
	}
	return any ? kp_intent_save(ctx, in, err) : 0;
}

/* Remove the directories that hold the archived FILE as far as they are empty. */
static void tidy(struct kp_ctx *ctx, const char *file)
{
	_cleanup_free_ char *arch = kp_path_dir(file), *kernel = kp_path_dir(arch),
			    *top = kp_path_dir(kernel), *module = kp_path_dir(top);
	const char *const dirs[] = { arch, kernel, top, module };

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++)
		(void)kp_rmdir_in(ctx->root_fd, dirs[i]);
}

static int drop_archive(struct kp_ctx *ctx, const char *file, struct kp_err *err)
{
	_cleanup_free_ char *origin = kp_strf("%s.origin", file);
	int r = kp_unlink_in(ctx->root_fd, file);

	/* The note last: the file alone could not be placed. */
	if (r == 0)
		r = kp_unlink_in(ctx->root_fd, origin);
	if (r < 0)
		return kp_err_sys(err, r, "remove '%s'", file);
	tidy(ctx, file);
	return 0;
}

/* As it was, with its time, which some databases verify. */
static int copy_back(struct kp_ctx *ctx, const char *from, const char *to,
		     struct kp_err *err)
{
	_cleanup_close_ int in = kp_open_in(ctx->root_fd, from, O_RDONLY | O_NOFOLLOW, 0);
	_cleanup_close_ int out = -1;
	struct timespec times[2];
	struct stat st;
	int r;

	if (in < 0)
		return kp_err_sys(err, in, "open '%s'", from);
	if (fstat(in, &st) < 0)
		return kp_err_sys(err, -errno, "stat '%s'", from);
	(void)kp_unlink_in(ctx->root_fd, to);
	out = kp_open_in(ctx->root_fd, to, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (out < 0)
		return kp_err_sys(err, out, "create '%s'", to);
	r = kp_copy_fd(in, out, err);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (r == 0 && (fchmod(out, st.st_mode & 0777) < 0 || futimens(out, times) < 0 ||
		       fsync(out) < 0))
		r = kp_err_sys(err, -errno, "write '%s'", to);
	return r;
}

static int put_back(struct kp_ctx *ctx, const struct kp_adopt_item *x, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_dir(x->path),
			    *tmp = kp_strf("%s.kmodpkg-new", x->path);
	char *const paths[] = { x->path, NULL };
	int r;

	r = kp_unsettled_mark(ctx, x->kernel, paths, err);
	if (r == 0)
		r = kp_mkdir_in(ctx->root_fd, dir, 0755, err);
	if (r == 0)
		r = copy_back(ctx, x->archive, tmp, err);
	if (r == 0) {
		r = kp_rename_in(ctx->root_fd, tmp, x->path);
		/* Before the other copy goes. */
		if (r == 0)
			r = kp_sync_dir_in(ctx->root_fd, dir);
		if (r < 0)
			kp_err_sys(err, r, "rename '%s'", tmp);
	}
	if (r < 0) {
		(void)kp_unlink_in(ctx->root_fd, tmp);
		return r;
	}
	return drop_archive(ctx, x->archive, err);
}

static int remove_dead(struct kp_ctx *ctx, const struct kp_adopt_item *x,
		       struct kp_err *err)
{
	int r = kp_unsettled_mark(ctx, x->kernel, x->files, err);

	kp_strv_foreach(file, x->files) {
		if (r == 0)
			r = kp_unlink_in(ctx->root_fd, *file);
		if (r < 0)
			return kp_err_sys(err, r, "remove '%s'", *file);
	}
	if (r == 0)
		r = kp_view_set(ctx, x->module, x->kernel, NULL, err);
	if (r == 0)
		kp_forget_build(ctx, x->module, x->version, x->kernel);
	return r;
}

static int remove_item(struct kp_ctx *ctx, const struct kp_adopt_item *x,
		       struct kp_err *err)
{
	if (!x->version)
		return drop_archive(ctx, x->path, err);
	if (x->kernel)
		return remove_dead(ctx, x, err);
	return kp_rm_rf_in(ctx->root_fd, x->path, err);
}

/* A plan installs nothing that it could not build; these files lie in place already. */
static int queue_direct(struct kp_ctx *ctx, const struct kp_adopt *a, struct kp_err *err)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts opts = { 0 };
	bool any = false;
	int r;

	for (size_t i = 0; i < a->n; i++)
		any |= a->list[i].direct;
	r = any ? kp_world_load(ctx, &opts, &w, err) : 0;
	for (size_t i = 0; r == 0 && i < a->n; i++) {
		const struct kp_adopt_item *x = &a->list[i];

		for (size_t j = 0; r == 0 && x->direct && j < w.plan.n_rows; j++) {
			struct kp_plan_row row = w.plan.rows[j];

			if (row.pair == SIZE_MAX || !kp_str_eq(row.module, x->module) ||
			    !kp_str_eq(row.version, x->version) ||
			    !kp_str_eq(row.kernel, x->kernel))
				continue;
			row.key = x->record->key;
			r = kp_install_row(ctx, &w, &row, err);
		}
	}
	return r;
}

int kp_adopt_build(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, struct kp_err *err)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	char *const modules[] = { (char *)module, NULL };
	char *const kernels[] = { (char *)kernel, NULL };
	struct kp_sync_opts opts = { .modules = modules,
				     .kernels = kernels,
				     .requested = true };
	struct kp_adopt_item x = { .module = (char *)module,
				   .version = (char *)version,
				   .kernel = (char *)kernel };
	int r = kp_world_load(ctx, &opts, &w, err);

	for (size_t i = 0; r == 0 && i < w.plan.n_rows; i++) {
		const struct kp_plan_row *row = &w.plan.rows[i];
		const struct kp_plan_pair *p;

		if (row->pair == SIZE_MAX || !kp_str_eq(row->module, module) ||
		    !kp_str_eq(row->version, version) || !kp_str_eq(row->kernel, kernel))
			continue;
		if (!w.pairs[row->pair].conf || !row->key)
			break;
		p = &w.input.pairs[row->pair];
		r = kp_adopt_record(ctx, &w.sources.list[p->source],
				    w.pairs[row->pair].conf, &w.kernels.list[p->kernel],
				    false, true, row->key, &x.record, err);
		if (r == 0)
			r = take_build(ctx, &x, err);
		kp_record_free(x.record);
		return r;
	}
	return r < 0 ? r
		     : kp_err_set(err, -ENOENT, "kernel %s is not known here", kernel);
}

int kp_adopt_apply(struct kp_ctx *ctx, const struct kp_adopt *a, struct kp_err *err)
{
	int r;

	r = pin(ctx, a, err);
	if (r == 0)
		r = take_builds(ctx, a, err);
	for (size_t i = 0; r == 0 && i < a->n; i++) {
		if (a->list[i].kind == KP_ADOPT_PUT_BACK)
			r = put_back(ctx, &a->list[i], err);
		else if (a->list[i].kind == KP_ADOPT_REMOVE)
			r = remove_item(ctx, &a->list[i], err);
	}
	return r < 0 ? r : queue_direct(ctx, a, err);
}
