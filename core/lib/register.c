// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/install.h"
#include "lib/register.h"

/*
 * A source whose tree a package brought has a file <state_dir>/registered/MODULE/VERSION, with the name
 * of the package. It is there before the registration and goes after it, so that whatever a
 * crash leaves half done is found by it.
 */
static char *registered_dir(struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, "registered");
}

static char *note_path(struct kp_ctx *ctx, const char *module, const char *version)
{
	return kp_strf("%s/registered/%s/%s", ctx->state_dir, module, version);
}

/* A tree that is to be registered. */
static bool came(const struct kp_world *w, const struct kp_source *s, char *const *failed)
{
	return kp_world_registers(w, s) && !kp_strv_has(failed, s->dir);
}

static bool comes_back(const struct kp_world *w, const char *module, const char *version)
{
	for (size_t i = 0; i < w->unregistered.n; i++) {
		const struct kp_source *s = &w->unregistered.list[i];

		if (kp_world_registers(w, s) && kp_str_eq(s->module, module) &&
		    kp_str_eq(s->version, version))
			return true;
	}
	return false;
}

/* Is a source that registered itself to be forgotten: its tree went together with its package,
 * or it is unregistered, though perhaps not to the end? */
static bool went(struct kp_ctx *ctx, const struct kp_world *w, const char *module,
		 const char *version, char *const *failed)
{
	_cleanup_free_ char *note = note_path(ctx, module, version);
	const struct kp_source *s = NULL;

	if (!kp_name_ok(module) || !kp_name_ok(version) || kp_strv_has(failed, note))
		return false;
	for (size_t i = 0; !s && i < w->sources.n; i++)
		if (kp_str_eq(w->sources.list[i].module, module) &&
		    kp_str_eq(w->sources.list[i].version, version))
			s = &w->sources.list[i];
	if (!s)
		return !comes_back(w, module, version);
	return s->missing && !s->package && kp_world_has_gone(ctx, s->dir);
}

/* Whatever the script says, the source is registered, as with dkms add. A conf that cannot be read
 * is the plan's to tell of. */
static void run_post_add(struct kp_ctx *ctx, const struct kp_source *s)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = { .module = s->module,
				   .version = s->version,
				   .arch = ctx->arch,
				   .source_dir = s->dir };
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (kp_conf_load(ctx, &env, &conf, NULL) < 0)
		return;
	r = kp_script_run(ctx, s, conf, KP_SCRIPT_POST_ADD, NULL, NULL, &err);
	if (r < 0)
		kp_warn("%s/%s: %s", s->module, s->version, kp_err_text(&err, r));
}

static int write_note(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *package, struct kp_err *err)
{
	_cleanup_free_ char *note = note_path(ctx, module, version);
	_cleanup_free_ char *dir = kp_path_dir(note);
	int r = kp_mkdir_durably_in(ctx->root_fd, dir, err);

	return r < 0 ? r
		     : kp_write_in(ctx->root_fd, note, package, strlen(package), 0644,
				   err);
}

int kp_register_note(struct kp_ctx *ctx, const char *module, const char *version,
		     const char *dir, struct kp_err *err)
{
	_cleanup_free_ char *package = NULL;
	int r = kp_source_owner(ctx, dir, &package, err);

	return r < 0 || !package ? r : write_note(ctx, module, version, package, err);
}

static int add(struct kp_ctx *ctx, const struct kp_source *s, struct kp_err *err)
{
	int r = write_note(ctx, s->module, s->version, s->package, err);

	if (r == 0)
		r = kp_source_register(ctx, s->module, s->version, s->dir, err);
	if (r < 0)
		return r;
	kp_info("registered %s/%s (package %s)", s->module, s->version, s->package);
	run_post_add(ctx, s);
	return 0;
}

static int drop(struct kp_ctx *ctx, const struct kp_world *w, const char *module,
		const char *version, struct kp_err *err)
{
	_cleanup_free_ char *note = note_path(ctx, module, version);
	_cleanup_free_ char *dir = kp_path_dir(note), *all = registered_dir(ctx);
	int r;

	if (kp_sources_find(&w->sources, module, version))
		kp_info("%s/%s is gone with its package", module, version);
	r = kp_source_unregister(ctx, module, version, err);
	if (r < 0)
		return r;
	r = kp_unlink_in(ctx->root_fd, note);
	if (r < 0)
		return kp_err_sys(err, r, "remove '%s'", note);
	/* Empty directories do no harm. */
	(void)kp_rmdir_in(ctx->root_fd, dir);
	(void)kp_rmdir_in(ctx->root_fd, all);
	return 0;
}

/* Call FN for each source that registered itself until it gives something but 0. */
static int each_note(struct kp_ctx *ctx,
		     int (*fn)(void *data, const char *module, const char *version),
		     void *data)
{
	_cleanup_free_ char *all = registered_dir(ctx);
	_cleanup_strv_ char **modules = NULL;
	int r = 0;

	(void)kp_list_in(ctx->root_fd, all, &modules);
	kp_strv_foreach(module, modules) {
		_cleanup_free_ char *dir = kp_path_join(all, *module);
		_cleanup_strv_ char **versions = NULL;

		(void)kp_list_in(ctx->root_fd, dir, &versions);
		kp_strv_foreach(version, versions) {
			r = fn(data, *module, *version);
			if (r)
				return r;
		}
	}
	return 0;
}

struct update {
	struct kp_ctx *ctx;
	const struct kp_world *w;
	char ***failed;
	struct kp_err *err;
};

/* What CODE means for the rest. WHAT goes into *failed. */
static int judge(struct update *u, int code, const struct kp_err *one, const char *module,
		 const char *version, const char *what)
{
	if (kp_err_is_disk(code))
		return kp_err_set(u->err, code, "%s/%s: %s", module, version,
				  kp_err_text(one, code));
	if (code < 0) {
		kp_warn("%s/%s: %s, skipping this source", module, version,
			kp_err_text(one, code));
		kp_strv_add(u->failed, what);
	}
	return 0;
}

static int is_due(void *data, const char *module, const char *version)
{
	struct update *u = data;

	return went(u->ctx, u->w, module, version, *u->failed);
}

static int drop_if_due(void *data, const char *module, const char *version)
{
	struct update *u = data;
	_cleanup_free_ char *note = note_path(u->ctx, module, version);
	struct kp_err one = KP_ERR_INIT;

	if (!is_due(data, module, version))
		return 0;
	return judge(u, drop(u->ctx, u->w, module, version, &one), &one, module, version,
		     note);
}

bool kp_register_due(struct kp_ctx *ctx, const struct kp_world *w, char *const *failed)
{
	struct update u = { .ctx = ctx, .w = w, .failed = (char ***)&failed };

	for (size_t i = 0; i < w->unregistered.n; i++)
		if (came(w, &w->unregistered.list[i], failed))
			return true;
	return each_note(ctx, is_due, &u);
}

int kp_register_update(struct kp_ctx *ctx, const struct kp_world *w, char ***failed,
		       struct kp_err *err)
{
	struct update u = { .ctx = ctx, .w = w, .failed = failed, .err = err };

	for (size_t i = 0; i < w->unregistered.n; i++) {
		const struct kp_source *s = &w->unregistered.list[i];
		struct kp_err one = KP_ERR_INIT;
		int r;

		if (!came(w, s, *failed))
			continue;
		r = judge(&u, add(ctx, s, &one), &one, s->module, s->version, s->dir);
		if (r < 0)
			return r;
	}
	return each_note(ctx, drop_if_due, &u);
}
