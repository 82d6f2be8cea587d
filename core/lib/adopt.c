// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/adopt-parts.h"
#include "lib/backend.h"

/* Key of a build that cannot have a right one without headers; once they come, it is built
 * anew. */
#define KEY_UNKNOWN "adopted"

const char *kp_adopt_name(enum kp_adopt_kind kind)
{
	static const char *const names[] = {
		[KP_ADOPT_PACKAGE] = "adopt", [KP_ADOPT_BUILD] = "adopt-build",
		[KP_ADOPT_NOT] = "leave",     [KP_ADOPT_PUT_BACK] = "put-back",
		[KP_ADOPT_REMOVE] = "remove", [KP_ADOPT_PIN] = "pin",
	};

	return names[kind];
}

void kp_adopt_clear(struct kp_adopt *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct kp_adopt_item *x = &a->list[i];

		free(x->module);
		free(x->version);
		free(x->kernel);
		free(x->path);
		free(x->why);
		free(x->archive);
		kp_record_free(x->record);
		kp_strv_free(x->files);
	}
	free(a->list);
	*a = (struct kp_adopt){ 0 };
}

struct kp_adopt_item *kp_adopt_add(struct kp_adopt_finder *f, enum kp_adopt_kind kind,
				   const char *module, const char *version,
				   const char *kernel)
{
	struct kp_adopt *a = f->found;

	KP_GROW(a->list, a->n, a->alloc);
	a->list[a->n] = (struct kp_adopt_item){
		.kind = kind,
		.module = kp_strdup(module),
		.version = kp_strdup(version),
		.kernel = kp_strdup(kernel),
	};
	return &a->list[a->n++];
}

static void add_not(struct kp_adopt_finder *f, const char *module, const char *version,
		    const char *kernel, const char *why)
{
	struct kp_adopt_item *x = kp_adopt_add(f, KP_ADOPT_NOT, module, version, kernel);

	x->why = kp_strdup(why);
	kp_str_printable(x->why);
}

/* ---- the world's view of one build */

static bool has_package(const struct kp_adopt_finder *f, const char *module,
			const char *kernel)
{
	for (size_t i = 0; i < f->w.input.n_packages; i++)
		if (kp_str_eq(f->w.input.packages[i].module, module) &&
		    kp_str_eq(f->w.input.packages[i].kernel, kernel))
			return true;
	return false;
}

static bool has_record(const struct kp_adopt_finder *f, const char *module,
		       const char *version, const char *kernel)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;

	/* A failure of ours says nothing against a build of DKMS's. */
	return kp_record_load(f->ctx, module, version, kernel, &rec, NULL) == 0 &&
	       rec->result == KP_BUILD_OK;
}

static const struct kp_plan_row *find_row(const struct kp_adopt_finder *f,
					  const char *module, const char *version,
					  const char *kernel)
{
	for (size_t i = 0; i < f->w.plan.n_rows; i++) {
		const struct kp_plan_row *row = &f->w.plan.rows[i];

		if (row->pair != SIZE_MAX && kp_str_eq(row->module, module) &&
		    kp_str_eq(row->version, version) && kp_str_eq(row->kernel, kernel))
			return row;
	}
	return NULL;
}

bool kp_adopt_is_dead(const struct kp_kernel *k)
{
	return !k || (!k->present && !k->in_database && !k->headers);
}

/* ---- builds */

/* The installed files of a build for a kernel that is gone: those that are as in the tree and
 * that no package owns. */
static char **dead_files(const struct kp_adopt_finder *f, const char *dir,
			 const char *kernel)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(f->ctx), **names = NULL,
			    **paths = NULL;
	const char *const places[] = { "updates/dkms", "extra", "updates" };
	struct kp_owner *owners;
	char **files = NULL;

	(void)kp_list_in(f->ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *built = kp_path_join(dir, *name);

		for (size_t i = 0; i < KP_ARRAY_SIZE(places); i++)
			kp_strv_foreach(tree, trees) {
				_cleanup_free_ char *path = kp_strf(
					"%s/%s/%s/%s", *tree, kernel, places[i], *name);

				if (kp_adopt_same(f->ctx, built, path))
					kp_strv_take(&paths, kp_steal(&path));
			}
	}
	if (kp_backend_owners(f->ctx, paths, &owners, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < kp_strv_len(paths); i++)
		if (!owners[i].package)
			kp_strv_add(&files, paths[i]);
	kp_owners_free(owners, kp_strv_len(paths));
	return files;
}

static void look_dead(struct kp_adopt_finder *f, const char *module, const char *version,
		      const char *kernel)
{
	_cleanup_free_ char *dir = kp_record_dir(f->ctx, module, version, kernel);
	_cleanup_free_ char *modules = kp_path_join(dir, "module");
	struct kp_adopt_item *x =
		kp_adopt_add(f, KP_ADOPT_REMOVE, module, version, kernel);

	x->files = dead_files(f, modules, kernel);
	x->path = kp_steal(&dir);
	x->why = kp_strdup("the kernel is gone");
}

/* Why a build of a source that is there is not even looked at; NULL: it is. */
static const char *unusable(const struct kp_plan_pair *x, const struct kp_kernel *k)
{
	if (!k->present)
		return "the kernel is not installed";
	if (!x)
		return "its source is not registered";
	if (x->intent == KP_INTENT_HOLD)
		return "uninstalled by hand";
	if (x->conf != KP_PLAN_CONF_OK)
		return x->conf_reason;
	return NULL;
}

static int take_build(struct kp_adopt_finder *f, const struct kp_plan_row *row,
		      bool installed, struct kp_err *err)
{
	const struct kp_plan_pair *x = &f->w.input.pairs[row->pair];
	const struct kp_source *s = &f->w.sources.list[x->source];
	const struct kp_kernel *k = &f->w.kernels.list[x->kernel];
	const char *key = row->key;
	struct kp_record *rec = NULL;
	struct kp_adopt_item *item;
	struct kp_err why = KP_ERR_INIT;
	int r;

	/* A version that is not the wanted one has no key with its dependencies. */
	if (!key && (!x->depends || !*x->depends))
		key = x->key;
	if (!key && k->headers)
		r = kp_err_set(&why, -ENOEXEC, "%s",
			       row->note ? row->note : "its dependencies are not known");
	else
		r = kp_adopt_record(f->ctx, s, f->w.pairs[row->pair].conf, k, installed,
				    false, key ? key : KEY_UNKNOWN, &rec, &why);
	if (kp_err_is_disk(r))
		return kp_err_set(err, r, "%s", why.text);
	if (r < 0 && !installed)
		return 0;
	item = kp_adopt_add(f,
			    r < 0	? KP_ADOPT_NOT
			    : installed ? KP_ADOPT_PACKAGE
					: KP_ADOPT_BUILD,
			    s->module, s->version, k->release);
	item->record = rec;
	item->pin = installed && !row->wanted && x->intent == KP_INTENT_NONE;
	item->direct = r == 0 && installed && !key;
	if (r < 0) {
		item->why = kp_strdup(kp_err_text(&why, r));
		kp_str_printable(item->why);
	}
	return 0;
}

/* A build that is not installed, of which we know nothing: where a package of ours has another
 * version, that one was wanted (our state was purged, and the pin with it). */
static void keep_installed(struct kp_adopt_finder *f, const char *module,
			   const char *version, const struct kp_kernel *k)
{
	for (size_t i = 0; i < f->found->n; i++) {
		const struct kp_adopt_item *x = &f->found->list[i];

		if (x->kind == KP_ADOPT_PIN && kp_str_eq(x->module, module) &&
		    kp_str_eq(x->kernel, k->release))
			return;
	}
	for (size_t i = 0; i < f->w.input.n_packages; i++) {
		const struct kp_plan_package *p = &f->w.input.packages[i];
		const struct kp_plan_row *row;
		struct kp_adopt_item *item;

		if (!kp_str_eq(p->module, module) || !kp_str_eq(p->kernel, k->release) ||
		    kp_str_eq(p->version, version))
			continue;
		row = find_row(f, module, p->version, k->release);
		if (!row || row->wanted || unusable(&f->w.input.pairs[row->pair], k) ||
		    f->w.input.pairs[row->pair].intent != KP_INTENT_NONE)
			continue;
		item = kp_adopt_add(f, KP_ADOPT_PIN, module, p->version, k->release);
		item->pin = true;
		item->why = kp_strf("it is installed, %s is only built", version);
		return;
	}
}

static int look_build(struct kp_adopt_finder *f, const char *module, const char *version,
		      const char *kernel, bool installed, struct kp_err *err)
{
	const struct kp_kernel *k = kp_kernels_find(&f->w.kernels, kernel);
	const struct kp_source *s = kp_sources_find(&f->w.sources, module, version);
	const struct kp_plan_row *row = find_row(f, module, version, kernel);
	const struct kp_plan_pair *x = row ? &f->w.input.pairs[row->pair] : NULL;
	const char *why;

	if (has_record(f, module, version, kernel) ||
	    (installed && has_package(f, module, kernel)))
		return 0;
	if (kp_adopt_is_dead(k)) {
		look_dead(f, module, version, kernel);
		return 0;
	}
	why = !s	   ? "its source is not registered"
	      : s->missing ? s->problem
			   : unusable(x, k);
	if (!why && !installed)
		keep_installed(f, module, version, k);
	if (!why)
		return take_build(f, row, installed, err);
	if (installed)
		add_not(f, module, version, kernel, why);
	return 0;
}

/* The link MODULE/kernel-KERNEL-ARCH is -> VERSION/KERNEL/ARCH. */
static char **read_view(const struct kp_adopt_finder *f, const char *module,
			const char *name)
{
	_cleanup_free_ char *path = kp_strf("%s/%s/%s", f->ctx->dkms_tree, module, name);
	_cleanup_free_ char *text = NULL, *expected = NULL;
	_cleanup_strv_ char **parts = NULL;

	if (!kp_str_starts(name, "kernel-") ||
	    kp_readlink_in(f->ctx->root_fd, path, &text) < 0)
		return NULL;
	parts = kp_strv_split(text, "/");
	if (kp_strv_len(parts) != 3 || strcmp(parts[2], f->ctx->arch) != 0 ||
	    !kp_name_ok(parts[0]) || !kp_name_ok(parts[1]))
		return NULL;
	expected = kp_strf("kernel-%s-%s", parts[1], parts[2]);
	return strcmp(name, expected) ? NULL : kp_steal(&parts);
}

/* The kernels of MODULE/VERSION that have something built for this machine. */
static char **built_kernels(const struct kp_adopt_finder *f, const char *module,
			    const char *version)
{
	_cleanup_free_ char *dir =
		kp_strf("%s/%s/%s", f->ctx->dkms_tree, module, version);
	_cleanup_strv_ char **names = NULL;
	struct stat st;
	char **kernels = NULL;

	/* A link beside the versions is a view. */
	if (kp_lstat_in(f->ctx->root_fd, dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return NULL;
	(void)kp_list_in(f->ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *module_dir =
			kp_strf("%s/%s/%s/module", dir, *name, f->ctx->arch);

		if (isdigit(**name) && kp_name_ok(*name) &&
		    kp_is_dir_in(f->ctx->root_fd, module_dir))
			kp_strv_add(&kernels, *name);
	}
	return kernels;
}

static int look_builds(struct kp_adopt_finder *f, const char *module, char *const *names,
		       struct kp_err *err)
{
	_cleanup_strv_ char **seen = NULL;
	int r = 0;

	kp_strv_foreach(name, names) {
		_cleanup_strv_ char **view = read_view(f, module, *name);

		if (!view)
			continue;
		kp_strv_addf(&seen, "%s %s", view[0], view[1]);
		r = look_build(f, module, view[0], view[1], true, err);
		if (r < 0)
			return r;
	}
	kp_strv_foreach(name, names) {
		_cleanup_strv_ char **kernels =
			kp_name_ok(*name) ? built_kernels(f, module, *name) : NULL;

		kp_strv_foreach(k, kernels) {
			_cleanup_free_ char *pair = kp_strf("%s %s", *name, *k);

			if (kp_strv_has(seen, pair))
				continue;
			r = look_build(f, module, *name, *k, false, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- the tree */

/* What DKMS needed while it built, and left. A source that we have built is left alone. */
static void look_scratch(struct kp_adopt_finder *f, const char *module,
			 char *const *names)
{
	kp_strv_foreach(name, names) {
		_cleanup_strv_ char **ours = NULL;
		_cleanup_free_ char *build = NULL;
		struct kp_adopt_item *x;
		struct stat st;

		if (!kp_name_ok(*name) || !kp_sources_find(&f->w.sources, module, *name))
			continue;
		ours = kp_record_kernels(f->ctx, module, *name);
		build = kp_strf("%s/%s/%s/build", f->ctx->dkms_tree, module, *name);
		if (ours || kp_lstat_in(f->ctx->root_fd, build, &st) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		x = kp_adopt_add(f, KP_ADOPT_REMOVE, module, *name, NULL);
		x->path = kp_steal(&build);
		x->why = kp_strdup("left by a build of DKMS");
	}
}

static void add_kernel(struct kp_adopt_finder *f, const char *kernel)
{
	if (!kp_strv_has(f->kernels, kernel))
		kp_strv_add(&f->kernels, kernel);
}

/* The world has to tell of every kernel that the tree names, or none of them could be known
 * to be gone. */
static void collect_kernels(struct kp_adopt_finder *f, const char *module,
			    char *const *names)
{
	_cleanup_free_ char *top =
		kp_strf("%s/%s/original_module", f->ctx->dkms_tree, module);
	_cleanup_strv_ char **moved = NULL;

	kp_strv_foreach(name, names) {
		_cleanup_strv_ char **view = read_view(f, module, *name);
		_cleanup_strv_ char **built =
			kp_name_ok(*name) ? built_kernels(f, module, *name) : NULL;

		if (view)
			add_kernel(f, view[1]);
		kp_strv_foreach(k, built)
			add_kernel(f, *k);
	}
	(void)kp_list_in(f->ctx->root_fd, top, &moved);
	kp_strv_foreach(k, moved)
		if (kp_name_ok(*k))
			add_kernel(f, *k);
}

static int find(struct kp_adopt_finder *f, struct kp_err *err)
{
	_cleanup_strv_ char **modules = NULL;
	struct kp_sync_opts opts = { 0 };
	int r;

	r = kp_list_in(f->ctx->root_fd, f->ctx->dkms_tree, &modules);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return kp_err_sys(err, r, "reading %s", f->ctx->dkms_tree);
	/* First the kernels, then with the world that knows them all else. */
	for (int pass = 0; pass < 2; pass++) {
		if (pass) {
			opts.kernels = f->kernels;
			r = kp_world_load(f->ctx, &opts, &f->w, err);
		}
		kp_strv_foreach(m, modules) {
			_cleanup_free_ char *dir = kp_path_join(f->ctx->dkms_tree, *m);
			_cleanup_strv_ char **names = NULL;

			if (r < 0)
				return r;
			if (!kp_name_ok(*m) || !kp_is_dir_in(f->ctx->root_fd, dir) ||
			    kp_list_in(f->ctx->root_fd, dir, &names) < 0)
				continue;
			if (!pass) {
				collect_kernels(f, *m, names);
				continue;
			}
			r = look_builds(f, *m, names, err);
			if (r == 0)
				r = kp_adopt_originals(f, *m, err);
			look_scratch(f, *m, names);
		}
	}
	return r;
}

int kp_adopt_find(struct kp_ctx *ctx, struct kp_adopt *ret, struct kp_err *err)
{
	_cleanup_(kp_adopt_clear) struct kp_adopt found = { 0 };
	struct kp_adopt_finder f = { .ctx = ctx, .found = &found };
	int r = find(&f, err);

	kp_world_clear(&f.w);
	kp_strv_free(f.kernels);
	if (r < 0)
		return r;
	*ret = found;
	found = (struct kp_adopt){ 0 };
	return 0;
}
