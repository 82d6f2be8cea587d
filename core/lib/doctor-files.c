// SPDX-License-Identifier: GPL-2.0-or-later
/* Files that nobody owns below /lib/modules, where they come from, and kernels that left
 * something behind. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/doctor.h"
#include "lib/install.h"

/* Deeper than any kernel's tree. */
#define DEPTH_MAX 16

struct tree {
	char *dir; /* <tree>/KERNEL */
	char *kernel;
	char **modules; /* absolute paths */
	char **others;	/* the rest but directories and what depmod writes */
};

static void tree_clear(struct tree *t)
{
	free(t->dir);
	free(t->kernel);
	kp_strv_free(t->modules);
	kp_strv_free(t->others);
}

static void walk(struct kp_ctx *ctx, const char *dir, int depth, struct tree *t)
{
	_cleanup_strv_ char **names = NULL;

	if (depth > DEPTH_MAX || kp_list_in(ctx->root_fd, dir, &names) < 0)
		return;
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		enum kp_compression how;
		struct stat st;

		if (kp_lstat_in(ctx->root_fd, path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			walk(ctx, path, depth + 1, t);
		else if (kp_compression_of_name(*name, &how) != -EINVAL)
			kp_strv_take(&t->modules, kp_steal(&path));
		else if (depth || !kp_str_starts(*name, "modules."))
			kp_strv_take(&t->others, kp_steal(&path));
	}
}

/* Those of PATHS that no package owns; *RET_OWNED: how many are owned. Nothing where the
 * database cannot tell. */
static char **unowned(struct kp_ctx *ctx, char *const *paths, size_t *ret_owned)
{
	struct kp_owner *owners;
	char **found = NULL;
	size_t n = kp_strv_len(paths);

	*ret_owned = n;
	if (!n || kp_backend_owners(ctx, paths, &owners, NULL) < 0)
		return NULL;
	*ret_owned = 0;
	for (size_t i = 0; i < n; i++) {
		if (owners[i].package)
			++*ret_owned;
		else
			kp_strv_add(&found, paths[i]);
	}
	kp_owners_free(owners, n);
	return found;
}

static bool is_queued(const struct kp_world *w, const char *path)
{
	for (size_t i = 0; i < w->queue.n; i++)
		if (kp_strv_has(w->queue.list[i].paths, path))
			return true;
	return false;
}

/* Has DKMS's tree, for this kernel, a module of this name? */
static bool dkms_has(struct kp_ctx *ctx, const char *kernel, const char *path)
{
	_cleanup_strv_ char **modules = NULL;
	const char *name = strrchr(path, '/') + 1;

	(void)kp_list_in(ctx->root_fd, ctx->dkms_tree, &modules);
	kp_strv_foreach(m, modules) {
		_cleanup_free_ char *file =
			kp_strf("%s/%s/kernel-%s-%s/module/%s", ctx->dkms_tree, *m,
				kernel, ctx->arch, name);

		if (kp_exists_in(ctx->root_fd, file))
			return true;
	}
	return false;
}

/* "one.ko" or "3 modules, one.ko among them". */
static char *count_words(char *const *paths)
{
	size_t n = kp_strv_len(paths);

	return n == 1 ? kp_strdup(*paths) : kp_strf("%zu modules (%s ...)", n, *paths);
}

static void look_at_unowned(struct kp_ctx *ctx, const struct kp_world *w,
			    const struct tree *t, struct kp_doctor *d)
{
	_cleanup_strv_ char **nobodys = NULL, **dkms = NULL, **others = NULL;
	_cleanup_free_ char *words = NULL;
	size_t owned;

	nobodys = unowned(ctx, t->modules, &owned);
	/* A kernel that a person built and installed by make is that person's. */
	if (!owned)
		return;
	kp_strv_foreach(path, nobodys) {
		if (is_queued(w, *path))
			continue;
		kp_strv_add(dkms_has(ctx, t->kernel, *path) ? &dkms : &others, *path);
	}
	if (dkms) {
		words = count_words(dkms);
		kp_doctor_add(d, "files",
			      kp_strf("kernel %s: built by DKMS, owned by no package: %s",
				      t->kernel, words),
			      kp_strdup("kmodpkg adopt"));
		free(kp_steal(&words));
	}
	if (others) {
		words = count_words(others);
		kp_doctor_add(d, "files",
			      kp_strf("kernel %s: owned by no package, from \"make "
				      "modules_install\" or copied by hand: %s",
				      t->kernel, words),
			      NULL);
	}
}

/* The kernel's own modules that DKMS moved away. */
static void look_at_moved(struct kp_ctx *ctx, const struct tree *t, struct kp_doctor *d)
{
	_cleanup_strv_ char **modules = NULL, **moved = NULL;
	_cleanup_free_ char *words = NULL;

	(void)kp_list_in(ctx->root_fd, ctx->dkms_tree, &modules);
	kp_strv_foreach(m, modules) {
		_cleanup_free_ char *dir =
			kp_strf("%s/%s/original_module/%s/%s", ctx->dkms_tree, *m,
				t->kernel, ctx->arch);
		_cleanup_strv_ char **names = NULL;
		enum kp_compression how;

		(void)kp_list_in(ctx->root_fd, dir, &names);
		kp_strv_foreach(name, names)
			if (kp_compression_of_name(*name, &how) != -EINVAL)
				kp_strv_take(&moved, kp_path_join(dir, *name));
	}
	if (!moved)
		return;
	words = count_words(moved);
	kp_doctor_add(d, "files",
		      kp_strf("kernel %s: moved out of its place by DKMS: %s", t->kernel,
			      words),
		      kp_strdup("kmodpkg adopt"));
}

/* A directory of a kernel of which nothing else is there, on disk or in the database. */
static void look_at_dead(struct kp_ctx *ctx, const struct tree *t, struct kp_doctor *d)
{
	_cleanup_strv_ char **files = kp_strv_dup(t->modules), **nobodys = NULL;
	size_t owned, n = kp_strv_len(t->modules);

	kp_strv_foreach(other, t->others)
		kp_strv_add(&files, *other);
	nobodys = unowned(ctx, files, &owned);
	/* Its package, or the database that cannot be read, has to do with it. */
	if (owned)
		return;
	kp_doctor_add(d, "files",
		      kp_strf("%s is left of a kernel that is gone, with %zu module%s",
			      t->dir, n, n == 1 ? "" : "s"),
		      kp_strf("rm -r %s", t->dir));
}

void kp_doctor_files(struct kp_ctx *ctx, const struct kp_world *w, struct kp_doctor *d)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);

	kp_strv_foreach(top, trees) {
		_cleanup_strv_ char **kernels = NULL;

		(void)kp_list_in(ctx->root_fd, *top, &kernels);
		kp_strv_foreach(name, kernels) {
			_cleanup_(tree_clear) struct tree t = {
				.dir = kp_path_join(*top, *name),
				.kernel = kp_strdup(*name)
			};
			const struct kp_kernel *k = kp_kernels_find(&w->kernels, *name);

			if (!k || !kp_is_dir_in(ctx->root_fd, t.dir))
				continue;
			walk(ctx, t.dir, 0, &t);
			if (k->present) {
				look_at_unowned(ctx, w, &t, d);
				look_at_moved(ctx, &t, d);
			} else if (!k->in_database && !k->headers) {
				look_at_dead(ctx, &t, d);
			}
		}
	}
}
