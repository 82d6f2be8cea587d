// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dkms status: a line for each version of a module and each kernel that it is built for.
 *
 * What is built is what lies in the tree; what is installed the package database says, or
 * where there is none for this tree, the tree's own links. No conf is looked at.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "cli/dkms.h"
#include "lib/backend.h"
#include "lib/kernel.h"
#include "lib/queue.h"
#include "lib/record.h"

/* Something that is installed. */
struct installed {
	const char *module, *version, *kernel, *arch;
	char *const *files; /* absolute */
};

struct state {
	struct dkms *d;
	bool from_database;
	struct kp_queue queue;
	struct kp_pkg_installed *packages;
	size_t n_packages;
	struct installed *list; /* of what packages and the queue hold */
	size_t n;
};

static void state_clear(struct state *s)
{
	kp_pkg_list_free(s->packages, s->n_packages);
	free(s->list);
	kp_queue_clear(&s->queue);
}

static void add_installed(struct state *s, const struct kp_pkg_id *id, char *const *files)
{
	s->list = kp_reallocarray(s->list, s->n + 1, sizeof(*s->list));
	s->list[s->n++] = (struct installed){
		.module = id->module,
		.version = id->version,
		.kernel = id->kernel,
		.arch = id->arch,
		.files = files,
	};
}

/* A queued change is in place already, or is about to be. */
static bool is_queued(const struct state *s, const char *name)
{
	for (size_t i = 0; i < s->queue.n; i++)
		if (kp_str_eq(s->queue.list[i].name, name))
			return true;
	return false;
}

static int load_installed(struct state *s)
{
	struct cli *cli = s->d->cli;
	const struct kp_backend *b = cli->ctx->backend;
	int rc;

	if (!b)
		return 0;
	s->from_database = true;
	rc = kp_queue_load(cli->ctx, &s->queue, &cli->err);
	if (rc == 0)
		rc = kp_backend_list(cli->ctx, &s->packages, &s->n_packages, &cli->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n_packages; i++)
		if (!is_queued(s, s->packages[i].name))
			add_installed(s, &s->packages[i].id, s->packages[i].files);
	for (size_t i = 0; i < s->queue.n; i++)
		if (s->queue.list[i].kind == KP_CHANGE_ADD)
			add_installed(s, &s->queue.list[i].id, s->queue.list[i].paths);
	return 0;
}

/* ---- one line ---- */

static char *tree_path(const struct state *s, const char *module, const char *rest)
{
	return kp_strf("%s/%s/%s", s->d->cli->ctx->dkms_tree, module, rest);
}

/* The link kernel-K-A leads to V/K/A. */
static bool view_says(const struct state *s, const char *module, const char *version,
		      const char *kernel, const char *arch)
{
	_cleanup_free_ char *name = kp_strf("kernel-%s-%s", kernel, arch);
	_cleanup_free_ char *link = tree_path(s, module, name), *text = NULL;
	_cleanup_free_ char *target = kp_strf("%s/%s/%s", version, kernel, arch);

	return kp_readlink_in(s->d->cli->ctx->root_fd, link, &text) == 0 &&
	       kp_str_eq(text, target);
}

/* The files of a build as they are to be installed, by its record; a string vector. */
static char **recorded_files(const struct state *s, const char *module,
			     const char *version, const char *kernel)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	struct kp_ctx *ctx = s->d->cli->ctx;
	char **files = NULL;

	if (kp_record_load(ctx, module, version, kernel, &rec, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < rec->n_files; i++)
		kp_strv_addf(&files, "%s/%s/%s", ctx->install_tree, kernel,
			     rec->files[i].dest);
	return files;
}

/* -1: there is no such file. */
static int hash_file(struct kp_ctx *ctx, const char *path, char hex[KP_HASH_HEX])
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_NONBLOCK, 0);

	return fd < 0 || kp_hash_fd(fd, hex, NULL) < 0 ? -1 : 0;
}

static const char *compare(const struct state *s, const char *built, char *const *files)
{
	struct kp_ctx *ctx = s->d->cli->ctx;
	bool differ = false;

	kp_strv_foreach(f, files) {
		_cleanup_free_ char *ours =
			kp_strf("%s/module/%s", built, strrchr(*f, '/') + 1);
		char a[KP_HASH_HEX], b[KP_HASH_HEX];

		if (!kp_exists_in(ctx->root_fd, *f))
			return " (Built modules are missing in the kernel modules folder)";
		if (hash_file(ctx, ours, a) == 0 && hash_file(ctx, *f, b) == 0)
			differ |= !kp_str_eq(a, b);
	}
	return differ ? " (Differences between built and installed modules)" : "";
}

static const struct installed *find_installed(const struct state *s, const char *module,
					      const char *version, const char *kernel,
					      const char *arch)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct installed *p = &s->list[i];

		if (kp_str_eq(p->module, module) && kp_str_eq(p->version, version) &&
		    kp_str_eq(p->kernel, kernel) && kp_str_eq(p->arch, arch))
			return p;
	}
	return NULL;
}

static bool is_installed(const struct state *s, const char *module, const char *version,
			 const char *kernel, const char *arch)
{
	return s->from_database ? find_installed(s, module, version, kernel, arch) != NULL
				: view_says(s, module, version, kernel, arch);
}

static void print_line(const struct state *s, const char *module, const char *version,
		       const char *kernel, const char *arch)
{
	const struct installed *p = find_installed(s, module, version, kernel, arch);
	bool installed = is_installed(s, module, version, kernel, arch);
	_cleanup_free_ char *rest = kp_strf("%s/%s/%s", version, kernel, arch);
	_cleanup_free_ char *built = tree_path(s, module, rest);
	_cleanup_free_ char *moved = kp_strf("original_module/%s/%s", kernel, arch);
	_cleanup_free_ char *original = tree_path(s, module, moved);
	_cleanup_strv_ char **recorded = NULL;

	if (installed && !p)
		recorded = recorded_files(s, module, version, kernel);
	printf("%s/%s, %s, %s: %s%s%s\n", module, version, kernel, arch,
	       installed ? "installed" : "built",
	       kp_is_dir_in(s->d->cli->ctx->root_fd, original)
		       ? " (Original modules exist)"
		       : "",
	       installed ? compare(s, built, p ? p->files : recorded) : "");
}

/* ---- what there is ---- */

static bool is_wanted(const struct dkms *d, const char *kernel, const char *arch)
{
	if (!d->n_pairs)
		return !d->arch || kp_str_eq(d->arch, arch);
	for (size_t i = 0; i < d->n_pairs; i++)
		if (kp_str_eq(d->pairs[i].kernel, kernel) &&
		    (!d->pairs[i].arch || kp_str_eq(d->pairs[i].arch, arch)))
			return true;
	return false;
}

/* "K A" of what is built or installed of a version, sorted. */
static char **find_pairs(const struct state *s, const char *module, const char *version)
{
	struct kp_ctx *ctx = s->d->cli->ctx;
	_cleanup_free_ char *at = tree_path(s, module, version);
	_cleanup_strv_ char **kernels = NULL;
	char **pairs = NULL;

	(void)kp_list_in(ctx->root_fd, at, &kernels);
	kp_strv_foreach(k, kernels) {
		_cleanup_free_ char *dir = kp_path_join(at, *k);
		_cleanup_strv_ char **arches = NULL;

		if (!kp_kernel_is_release(*k))
			continue;
		(void)kp_list_in(ctx->root_fd, dir, &arches);
		kp_strv_foreach(a, arches) {
			_cleanup_free_ char *built = kp_strf("%s/%s/module", dir, *a);

			if (**a != '.' && kp_is_dir_in(ctx->root_fd, built))
				kp_strv_addf(&pairs, "%s %s", *k, *a);
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		_cleanup_free_ char *pair =
			kp_strf("%s %s", s->list[i].kernel, s->list[i].arch);

		if (kp_str_eq(s->list[i].module, module) &&
		    kp_str_eq(s->list[i].version, version) && !kp_strv_has(pairs, pair))
			kp_strv_add(&pairs, pair);
	}
	kp_strv_sort(pairs);
	return pairs;
}

enum dkms_registration dkms_registration(struct kp_ctx *ctx, const char *module,
					 const char *version)
{
	_cleanup_free_ char *link =
		kp_strf("%s/%s/%s/source", ctx->dkms_tree, module, version);
	_cleanup_free_ char *conf = kp_path_join(link, "dkms.conf");
	_cleanup_free_ char *source =
		kp_strf("%s/%s-%s", ctx->source_tree, module, version);
	_cleanup_free_ char *at = kp_path_dir(link);
	_cleanup_free_ char *text = NULL;

	if (kp_readlink_in(ctx->root_fd, link, &text) == 0)
		return kp_exists_in(ctx->root_fd, link) ? DKMS_IS_ADDED : DKMS_IS_BROKEN;
	return kp_is_dir_in(ctx->root_fd, at) && kp_is_dir_in(ctx->root_fd, source)
		       ? DKMS_IS_BROKEN
		       : DKMS_IS_UNKNOWN;
}

static void print_version(const struct state *s, const char *module, const char *version)
{
	enum dkms_registration reg = dkms_registration(s->d->cli->ctx, module, version);
	_cleanup_strv_ char **pairs = NULL;
	bool any = false;

	if (reg == DKMS_IS_UNKNOWN)
		return;
	if (reg == DKMS_IS_BROKEN) {
		printf("%s/%s: broken\n", module, version);
		fflush(stdout);
		kp_warn("%s/%s: its source tree is not there; put it back to %s/%s-%s, or "
			"unregister it: kmodpkg remove %s/%s",
			module, version, s->d->cli->ctx->source_tree, module, version,
			module, version);
		return;
	}
	pairs = find_pairs(s, module, version);
	kp_strv_foreach(p, pairs) {
		char *arch = strchr(*p, ' ');

		*arch++ = '\0';
		if (!is_wanted(s->d, *p, arch))
			continue;
		print_line(s, module, version, *p, arch);
		any = true;
	}
	if (!any)
		printf("%s/%s: added\n", module, version);
}

static void print_module(const struct state *s, const char *module)
{
	_cleanup_free_ char *dir = kp_path_join(s->d->cli->ctx->dkms_tree, module);
	_cleanup_strv_ char **versions = NULL;
	struct stat st;

	if (!kp_name_ok(module) ||
	    kp_list_in(s->d->cli->ctx->root_fd, dir, &versions) < 0)
		return;
	kp_strv_foreach(v, versions) {
		_cleanup_free_ char *at = kp_path_join(dir, *v);

		/* Beside the versions lie links, and what DKMS moved away. */
		if (!kp_name_ok(*v) || kp_str_eq(*v, "original_module") ||
		    (s->d->version && !kp_str_eq(*v, s->d->version)) ||
		    kp_lstat_in(s->d->cli->ctx->root_fd, at, &st) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		print_version(s, module, *v);
	}
}

int dkms_find_built(struct dkms *d, bool installed, char ***ret)
{
	_cleanup_(state_clear) struct state s = { .d = d };
	_cleanup_strv_ char **pairs = NULL;
	int rc;

	rc = load_installed(&s);
	if (rc < 0)
		return rc;
	pairs = find_pairs(&s, d->module, d->version);
	*ret = NULL;
	kp_strv_foreach(p, pairs) {
		_cleanup_strv_ char **words = kp_strv_split(*p, " ");

		if (!installed ||
		    is_installed(&s, d->module, d->version, words[0], words[1]))
			kp_strv_add(ret, *p);
	}
	return 0;
}

int dkms_status(struct dkms *d)
{
	_cleanup_(state_clear) struct state s = { .d = d };
	_cleanup_strv_ char **modules = NULL;
	int rc;

	rc = load_installed(&s);
	if (rc < 0)
		return rc;
	if (d->module) {
		print_module(&s, d->module);
		return DKMS_OK;
	}
	(void)kp_list_in(d->cli->ctx->root_fd, d->cli->ctx->dkms_tree, &modules);
	kp_strv_foreach(m, modules)
		print_module(&s, *m);
	return DKMS_OK;
}
