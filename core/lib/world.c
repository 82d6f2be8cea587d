// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/key.h"
#include "lib/pair-memo.h"
#include "lib/sandbox.h"
#include "lib/source.h"
#include "lib/sync.h"

/* What kp_plan_input points to lives in the world; its arrays are ours to change. */
struct loader {
	struct kp_ctx *ctx;
	const struct kp_sync_opts *opts;
	struct kp_world *w;
	struct kp_plan_source *sources;
	struct kp_plan_kernel *kernels;
	struct kp_plan_pair *pairs;
	struct kp_plan_package *packages;
	size_t n_packages;
	struct kp_pair_memo *memo;
};

static bool is_requested(const struct kp_sync_opts *opts, const char *module,
			 const char *version, const char *kernel)
{
	return opts->requested && kp_plan_names(opts->modules, module, version) &&
	       (!opts->kernels || kp_strv_has(opts->kernels, kernel));
}

/* Trees that a package owns register themselves, unless a person removed them. */
bool kp_world_registers(const struct kp_world *w, const struct kp_source *s)
{
	return s->module && s->package && !s->problem &&
	       !kp_intent_removed(w->intent, s->module, s->version);
}

static void add_name(void *data, const char *kernel)
{
	char ***names = data;

	if (!kp_strv_has(*names, kernel))
		kp_strv_add(names, kernel);
}

static void add_pinned(const char *module, const char *version, const char *kernel,
		       enum kp_intent_kind kind, void *data)
{
	(void)module;
	(void)version;
	if (kind == KP_INTENT_PIN)
		add_name(data, kernel);
}

/* Has DIR what a build needs? Its real path, to be freed; NULL: no. */
static char *usable_headers(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_free_ char *makefile = kp_path_join(dir, "Makefile");
	_cleanup_free_ char *include = kp_path_join(dir, "include");
	char *real = NULL;

	if (kp_exists_in(ctx->root_fd, makefile) && kp_is_dir_in(ctx->root_fd, include))
		(void)kp_realpath_in(ctx->root_fd, dir, &real);
	return real;
}

/* Where a person said that a kernel's headers are: for a kernel that has none of its own, and for
 * the module that it was said of when that is asked for. */
static void use_named_headers(struct loader *l)
{
	const char *module, *version, *kernel;
	const struct kp_build_with *with;

	for (size_t i = 0;
	     kp_intent_nth_with(l->w->intent, i, &module, &version, &kernel, &with);
	     i++) {
		struct kp_kernel *k = kp_kernels_find(&l->w->kernels, kernel);

		if (!k || !with->kernel_source_dir ||
		    (k->headers && !is_requested(l->opts, module, version, kernel)))
			continue;
		free(k->headers);
		k->headers = usable_headers(l->ctx, with->kernel_source_dir);
	}
}

static void leave_kernel(struct kp_kernel *k)
{
	if (!k)
		return;
	k->present = k->in_database = false;
	free(k->headers);
	k->headers = NULL;
}

static int load_kernels(struct loader *l, struct kp_err *err)
{
	_cleanup_strv_ char **extra = NULL;
	int r;

	for (size_t i = 0; i < l->w->n_packages; i++)
		add_name(&extra, l->w->packages[i].id.kernel);
	for (size_t i = 0; i < l->w->queue.n; i++)
		add_name(&extra, l->w->queue.list[i].id.kernel);
	/* Kernels that are gone and left something of their builds. */
	for (size_t i = 0; i < l->w->sources.n; i++) {
		const struct kp_source *s = &l->w->sources.list[i];
		_cleanup_strv_ char **built =
			kp_record_kernels(l->ctx, s->module, s->version);

		kp_strv_foreach(k, built)
			add_name(&extra, *k);
	}
	kp_strv_foreach(k, l->opts->kernels)
		add_name(&extra, *k);
	kp_intent_foreach(l->w->intent, add_pinned, &extra);

	r = kp_kernels_load(l->ctx, extra, &l->w->kernels, err);
	if (r < 0)
		return r;
	use_named_headers(l);
	kp_strv_foreach(name, l->opts->leave ? l->opts->kernels : NULL)
		leave_kernel(kp_kernels_find(&l->w->kernels, *name));
	r = kp_key_kernels(l->ctx, &l->w->kernels, err);
	if (r < 0)
		return r;
	l->kernels = kp_calloc(l->w->kernels.n, sizeof(*l->kernels));
	for (size_t i = 0; i < l->w->kernels.n; i++) {
		const struct kp_kernel *k = &l->w->kernels.list[i];

		l->kernels[i] = (struct kp_plan_kernel){
			.release = k->release,
			.present = k->present,
			.in_database = k->in_database,
			.headers = k->headers != NULL,
		};
	}
	return 0;
}

static void load_conf(struct loader *l, const struct kp_source *s,
		      const struct kp_kernel *k, struct kp_plan_pair *x,
		      struct kp_world_pair *wp)
{
	_cleanup_free_ char *build = kp_path_join(k->moddir, "build");
	struct kp_conf_env env = {
		.module = s->module,
		.version = s->version,
		.kernelver = k->release,
		.arch = l->ctx->arch,
		.kernel_source_dir = build,
		.source_dir = s->dir,
		.anew = l->opts->force,
	};
	const struct kp_build_with *with =
		kp_intent_with(l->w->intent, s->module, s->version, k->release);
	_cleanup_free_ char *basis = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (s->tree_key)
		basis = kp_strf("%s %s", s->tree_key,
				k->headers_key ? k->headers_key : "-");
	env.basis = basis;
	if (with) {
		env.conf_file = with->conf_file;
		env.kernel_config = with->kernel_config;
		env.directives = with->directives;
		if (with->kernel_source_dir)
			env.kernel_source_dir = with->kernel_source_dir;
	}
	r = kp_conf_load(l->ctx, &env, &wp->conf, &err);
	if (r < 0) {
		wp->problem = kp_strdup(kp_err_text(&err, r));
		x->conf = KP_PLAN_CONF_BAD;
		x->conf_reason = wp->problem;
		return;
	}
	x->autoinstall = wp->conf->autoinstall;
	x->depends = (const char *const *)wp->conf->build_depends;
	if (wp->conf->excluded) {
		x->conf = KP_PLAN_CONF_EXCLUDED;
		x->conf_reason = wp->conf->excluded;
	}
}

/* May it succeed where it failed, with nothing of it changed? */
static bool may_go_otherwise(const struct loader *l, const struct kp_record *rec)
{
	/* One may need a user of its own, or mounts. Only root can tell what a build would have. */
	return rec->machine || kp_record_limits_raised(rec, &l->ctx->config) ||
	       (rec->unprotected && geteuid() == 0 &&
		!kp_str_eq(rec->unprotected, kp_sandbox_missing()));
}

static void load_record(struct loader *l, const struct kp_source *s,
			const struct kp_kernel *k, struct kp_plan_pair *x,
			struct kp_world_pair *wp)
{
	struct kp_record *rec;

	if (kp_record_load(l->ctx, s->module, s->version, k->release, &wp->record, NULL) <
	    0)
		return;
	rec = wp->record;
	if (rec->result == KP_BUILD_OK) {
		if (kp_record_intact(l->ctx, s->module, s->version, k->release, rec)) {
			x->built_key = rec->key;
			x->built_content = rec->content;
		}
	} else if (rec->result == KP_BUILD_FAILED) {
		x->failed_key = rec->key;
		x->failed_reason = rec->reason;
		x->failed_otherwise = may_go_otherwise(l, rec);
	}
}

static void look_at_pair(struct loader *l, struct kp_source *s, const struct kp_kernel *k,
			 struct kp_plan_pair *x, struct kp_world_pair *wp)
{
	struct kp_err err = KP_ERR_INIT;
	char key[KP_HASH_HEX];

	if (!s->missing) {
		kp_key_source(l->ctx, s);
		load_conf(l, s, k, x, wp);
		if (x->conf == KP_PLAN_CONF_OK && k->headers_key) {
			if (kp_key_pair(l->ctx, s, wp->conf, k, key, &err) == 0) {
				wp->key = kp_strdup(key);
				x->key = wp->key;
			} else {
				wp->problem = kp_strdup(kp_err_text(&err, -EIO));
			}
		}
	}
	load_record(l, s, k, x, wp);
	if (!x->key && wp->problem && !x->failed_reason)
		x->failed_reason = wp->problem;
}

static void load_pair(struct loader *l, size_t source, size_t kernel)
{
	struct kp_source *s = &l->w->sources.list[source];
	const struct kp_kernel *k = &l->w->kernels.list[kernel];
	struct kp_plan_pair x = { .source = source, .kernel = kernel };
	struct kp_world_pair wp = { 0 };
	struct kp_pair_memo *memo = NULL;
	size_t n = l->w->input.n_pairs;

	x.intent = kp_intent_get(l->w->intent, s->module, s->version, k->release);
	x.headers_only =
		kp_intent_headers_only(l->w->intent, s->module, s->version, k->release);
	x.requested = is_requested(l->opts, s->module, s->version, k->release);
	/* One of which only the headers are here has to be named. */
	if (!k->present && !x.headers_only && !(x.requested && l->opts->kernels))
		return;
	/* What a person said of its build would be one thing more to compare. */
	if (!s->missing &&
	    !kp_intent_with(l->w->intent, s->module, s->version, k->release))
		memo = l->memo;
	if (memo && kp_pair_memo_find(memo, &x, &wp.depends)) {
		l->w->memo = memo;
	} else {
		look_at_pair(l, s, k, &x, &wp);
		if (memo)
			kp_pair_memo_add(memo, &x, &wp);
	}
	l->pairs = kp_reallocarray(l->pairs, n + 1, sizeof(*l->pairs));
	l->pairs[n] = x;
	l->w->pairs = kp_reallocarray(l->w->pairs, n + 1, sizeof(*l->w->pairs));
	l->w->pairs[n] = wp;
	l->w->input.n_pairs++;
}

static void load_pairs(struct loader *l)
{
	const struct kp_sync_opts *o = l->opts;

	if (o->brief && !o->force && !o->requested && !o->kernels)
		l->memo = kp_pair_memo_open(l->ctx, &l->w->sources, &l->w->kernels);
	l->sources = kp_calloc(l->w->sources.n, sizeof(*l->sources));
	for (size_t i = 0; i < l->w->sources.n; i++) {
		const struct kp_source *s = &l->w->sources.list[i];

		l->sources[i] = (struct kp_plan_source){
			.module = s->module,
			.version = s->version,
			.missing = s->missing,
			.problem = s->problem,
		};
		for (size_t j = 0; j < l->w->kernels.n; j++)
			load_pair(l, i, j);
	}
	if (l->memo)
		kp_pair_memo_save(l->memo);
	if (!l->w->memo)
		kp_pair_memo_free(l->memo);
}

/* Does the queue erase it, or put the package for another kernel in its place? */
static bool goes_by_queue(const struct kp_world *w, const struct kp_pkg_installed *pkg)
{
	for (size_t i = 0; i < w->queue.n; i++) {
		const struct kp_queue_entry *e = &w->queue.list[i];

		if (kp_str_eq(e->name, pkg->name) &&
		    (e->kind == KP_CHANGE_ERASE ||
		     !kp_str_eq(e->id.kernel, pkg->id.kernel)))
			return true;
	}
	return false;
}

bool kp_sync_selects(const struct kp_sync_opts *opts, const struct kp_plan_row *row)
{
	return (!opts->kernels ||
		(row->kernel && kp_strv_has(opts->kernels, row->kernel))) &&
	       kp_plan_names(opts->modules, row->module, row->version);
}

bool kp_world_lacks_headers(const struct kp_world *w, const struct kp_plan_row *row)
{
	return row->wanted && row->pair != SIZE_MAX &&
	       !w->kernels.list[w->input.pairs[row->pair].kernel].headers;
}

/* /usr/src not being mounted leaves the tree in the database; where it is a link, as that. */
bool kp_world_has_gone(struct kp_ctx *ctx, const char *dir)
{
	const struct kp_backend *b = ctx->backend;
	_cleanup_free_ char *conf = kp_path_join(dir, "dkms.conf");
	const char *const paths[] = { dir, conf };
	struct kp_owner owners[KP_ARRAY_SIZE(paths)] = { 0 };
	bool gone;
	struct stat st;

	/* Not merely something that cannot be read. */
	if (!b || kp_lstat_in(ctx->root_fd, conf, &st) != -ENOENT)
		return false;
	gone = b->ops->owner(b->db, paths, KP_ARRAY_SIZE(paths), owners, NULL) == 0;
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++) {
		gone = gone && !owners[i].package;
		kp_owner_clear(&owners[i]);
	}
	return gone;
}

/* Was the source of a package owned by a package, and is now gone? */
static bool source_has_gone(struct loader *l, const struct kp_pkg_id *id)
{
	const struct kp_source *s;
	_cleanup_free_ char *dir = NULL;

	if (!id->source_package)
		return false;
	s = kp_sources_find(&l->w->sources, id->module, id->version);
	if (s && !s->missing)
		return false;
	dir = s ? kp_strdup(s->dir)
		: kp_strf("%s/%s-%s", l->ctx->source_tree, id->module, id->version);
	return kp_world_has_gone(l->ctx, dir);
}

static void add_package(struct loader *l, const struct kp_pkg_id *id, const char *name,
			bool queued)
{
	struct kp_plan_package *p;

	l->packages = kp_reallocarray(l->packages, l->n_packages + 1, sizeof(*p));
	p = &l->packages[l->n_packages++];
	*p = (struct kp_plan_package){
		.module = id->module,
		.version = id->version,
		.kernel = id->kernel,
		.key = id->key,
		.name = name,
		.content = id->content,
		.queued = queued,
		.source_gone = source_has_gone(l, id),
		.removed = kp_intent_removed(l->w->intent, id->module, id->version),
		.intent =
			kp_intent_get(l->w->intent, id->module, id->version, id->kernel),
		.headers_only = kp_intent_headers_only(l->w->intent, id->module,
						       id->version, id->kernel),
	};
}

static bool has_lost_files(struct kp_ctx *ctx, const struct kp_pkg_installed *pkg)
{
	struct stat st;

	kp_strv_foreach(path, pkg->files)
		if (kp_lstat_in(ctx->root_fd, *path, &st) == -ENOENT)
			return true;
	return false;
}

static void load_packages(struct loader *l)
{
	struct kp_world *w = l->w;

	for (size_t i = 0; i < w->n_packages; i++) {
		if (goes_by_queue(w, &w->packages[i]))
			continue;
		add_package(l, &w->packages[i].id, w->packages[i].name, false);
		l->packages[l->n_packages - 1].incomplete =
			has_lost_files(l->ctx, &w->packages[i]);
	}
	for (size_t i = 0; i < w->queue.n; i++) {
		if (w->queue.list[i].kind != KP_CHANGE_ADD)
			continue;
		add_package(l, &w->queue.list[i].id, w->queue.list[i].name, true);
	}
}

/* For a plan that is only shown: what a sync would register first. */
static void assume_registered(struct kp_world *w)
{
	struct kp_sources *all = &w->sources;

	for (size_t i = 0; i < w->unregistered.n; i++) {
		struct kp_source *s = &w->unregistered.list[i];

		if (!kp_world_registers(w, s))
			continue;
		all->list = kp_reallocarray(all->list, all->n + 1, sizeof(*all->list));
		all->list[all->n++] = *s;
		*s = (struct kp_source){ 0 };
	}
}

static int load(struct loader *l, struct kp_err *err)
{
	struct kp_world *w = l->w;
	int r;

	r = kp_intent_load(l->ctx, &w->intent, err);
	if (r < 0)
		return r;
	/* The queue before the database: an entry that is committed in between is then seen
	 * in both, rather than in none. */
	r = kp_queue_load(l->ctx, &w->queue, err);
	if (r < 0)
		return r;
	r = kp_backend_list(l->ctx, &w->packages, &w->n_packages, err);
	if (r < 0)
		return r;
	r = kp_sources_load(l->ctx, &w->sources, err);
	if (r < 0)
		return r;
	r = kp_sources_unregistered(l->ctx, &w->sources, &w->unregistered, err);
	if (r < 0)
		return r;
	if (l->opts->dry_run)
		assume_registered(w);
	kp_key_sources(l->ctx, &w->sources);
	r = load_kernels(l, err);
	if (r < 0)
		return r;
	load_pairs(l);
	load_packages(l);
	return 0;
}

int kp_world_load(struct kp_ctx *ctx, const struct kp_sync_opts *opts,
		  struct kp_world *ret, struct kp_err *err)
{
	struct kp_world w = { 0 };
	struct loader l = { .ctx = ctx, .opts = opts, .w = &w };
	int r;

	r = load(&l, err);
	w.input.sources = l.sources;
	w.input.n_sources = w.sources.n;
	w.input.kernels = l.kernels;
	w.input.n_kernels = w.kernels.n;
	w.input.pairs = l.pairs;
	w.input.packages = l.packages;
	w.input.n_packages = l.n_packages;
	if (r < 0) {
		kp_world_clear(&w);
		return r;
	}
	w.input.no_autoinstall = kp_exists_in(ctx->root_fd, "/etc/dkms/no-autoinstall");
	w.input.only_modules = opts->modules;
	w.input.only_kernels = opts->kernels;
	w.input.force = opts->force;
	w.input.reinstall = opts->reinstall;
	w.input.build_only = opts->build_only;
	w.input.anyway = opts->anyway;
	kp_plan_make(&w.input, &w.plan);
	*ret = w;
	return 0;
}

void kp_world_clear(struct kp_world *w)
{
	kp_plan_clear(&w->plan);
	free((void *)w->input.sources);
	free((void *)w->input.kernels);
	free((void *)w->input.pairs);
	free((void *)w->input.packages);
	for (size_t i = 0; i < w->input.n_pairs; i++) {
		kp_conf_free(w->pairs[i].conf);
		kp_record_free(w->pairs[i].record);
		free(w->pairs[i].problem);
		free(w->pairs[i].key);
		kp_strv_free(w->pairs[i].depends);
	}
	free(w->pairs);
	kp_pair_memo_free(w->memo);
	kp_pkg_list_free(w->packages, w->n_packages);
	kp_queue_clear(&w->queue);
	kp_intent_free(w->intent);
	kp_kernels_clear(&w->kernels);
	kp_sources_clear(&w->sources);
	kp_sources_clear(&w->unregistered);
	*w = (struct kp_world){ 0 };
}
