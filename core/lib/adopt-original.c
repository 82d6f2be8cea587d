// SPDX-License-Identifier: GPL-2.0-or-later
/* Modules of the kernels that DKMS moved away, for its own ones to be found. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/adopt-parts.h"
#include "lib/backend.h"

#define ORIGIN_MAX 4096
/* Deeper than any kernel's tree. */
#define DEPTH_MAX 16

/* Where the archived FILE comes from, below the kernel's directory; to be freed, NULL: not to
 * be known. */
static char *read_origin(const struct kp_adopt_finder *f, const char *file,
			 const char *kernel)
{
	_cleanup_free_ char *path = kp_strf("%s.origin", file), *text = NULL;
	static const char *const trees[] = { "/lib/modules/", "/usr/lib/modules/" };
	char *origin;
	size_t len;

	if (kp_read_in(f->ctx->root_fd, path, ORIGIN_MAX, &text, &len) < 0 ||
	    strlen(text) != len)
		return NULL;
	origin = kp_str_strip(text);
	for (size_t i = 0; i < KP_ARRAY_SIZE(trees); i++) {
		_cleanup_free_ char *prefix = kp_strf("%s%s/", trees[i], kernel);

		if (kp_str_starts(origin, prefix) &&
		    kp_relpath_ok(origin + strlen(prefix)))
			return kp_strdup(origin);
	}
	return NULL;
}

/* NAME in DIR and in each directory below. */
static void add_places(struct kp_ctx *ctx, const char *dir, const char *name, int depth,
		       char ***places)
{
	_cleanup_strv_ char **names = NULL;
	struct stat st;

	if (depth > DEPTH_MAX || kp_list_in(ctx->root_fd, dir, &names) < 0)
		return;
	kp_strv_take(places, kp_path_join(dir, name));
	kp_strv_foreach(n, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *n);

		if (kp_lstat_in(ctx->root_fd, path, &st) == 0 && S_ISDIR(st.st_mode))
			add_places(ctx, path, name, depth + 1, places);
	}
}

/* Without a note of DKMS's: the one place in the kernel's tree where a package has a module of
 * that name, and none lies, or the same. NULL: there is none, or there are several. */
static int search_origin(const struct kp_adopt_finder *f, const char *file,
			 const struct kp_kernel *k, char **ret, struct kp_err *err)
{
	_cleanup_free_ char *top = kp_path_join(k->moddir, "kernel");
	_cleanup_strv_ char **places = NULL;
	struct kp_owner *owners;
	char *found = NULL;
	size_t n, n_owned = 0;
	struct stat st;
	int r;

	add_places(f->ctx, top, strrchr(file, '/') + 1, 0, &places);
	n = kp_strv_len(places);
	if (!n)
		return 0;
	r = kp_backend_owners(f->ctx, places, &owners, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (owners[i].package) {
			found = places[i];
			n_owned++;
		}
	kp_owners_free(owners, n);
	if (n_owned == 1 && (kp_lstat_in(f->ctx->root_fd, found, &st) == -ENOENT ||
			     kp_adopt_same(f->ctx, found, file)))
		*ret = kp_strdup(found);
	return 0;
}

/* Is what lies at ORIGIN the build that DKMS has installed? */
static bool is_build(const struct kp_adopt_finder *f, const char *module,
		     const char *kernel, const char *origin)
{
	_cleanup_free_ char *built =
		kp_strf("%s/%s/kernel-%s-%s/module/%s", f->ctx->dkms_tree, module, kernel,
			f->ctx->arch, strrchr(origin, '/') + 1);

	return kp_adopt_same(f->ctx, origin, built);
}

static int look_original(struct kp_adopt_finder *f, const char *module,
			 const char *kernel, const char *file, struct kp_err *err)
{
	_cleanup_free_ char *origin = read_origin(f, file, kernel);
	const struct kp_kernel *k = kp_kernels_find(&f->w.kernels, kernel);
	char *paths[] = { NULL, NULL };
	struct kp_adopt_item *x;
	struct kp_owner *owners;
	struct stat st;
	bool owned, there;
	int r;

	if (kp_adopt_is_dead(k)) {
		x = kp_adopt_add(f, KP_ADOPT_REMOVE, module, NULL, kernel);
		x->path = kp_strdup(file);
		x->why = kp_strdup("the kernel is gone");
		return 0;
	}
	if (!origin) {
		r = search_origin(f, file, k, &origin, err);
		if (r < 0)
			return r;
	}
	if (!origin) {
		x = kp_adopt_add(f, KP_ADOPT_NOT, module, NULL, kernel);
		x->why = kp_strf("where %s comes from is not known; move it to its place "
				 "below %s, or delete it if it is of no use, and run "
				 "depmod %s",
				 file, k->moddir, kernel);
		kp_str_printable(x->why);
		return 0;
	}
	paths[0] = origin;
	r = kp_backend_owners(f->ctx, paths, &owners, err);
	if (r < 0)
		return r;
	owned = owners[0].package;
	kp_owners_free(owners, 1);
	there = kp_lstat_in(f->ctx->root_fd, origin, &st) == 0;
	if (!owned && !(there && kp_adopt_same(f->ctx, origin, file))) {
		x = kp_adopt_add(f, KP_ADOPT_NOT, module, NULL, kernel);
		x->why = kp_strf("%s was there before DKMS and belonged to no package; "
				 "it is kept as %s",
				 origin, file);
	} else if (there && !kp_adopt_same(f->ctx, origin, file) &&
		   is_build(f, module, kernel, origin)) {
		x = kp_adopt_add(f, KP_ADOPT_NOT, module, NULL, kernel);
		x->why = kp_strf("DKMS's module lies in the place of %s, which is kept "
				 "as %s",
				 origin, file);
	} else if (there) {
		x = kp_adopt_add(f, KP_ADOPT_REMOVE, module, NULL, kernel);
		x->path = kp_strdup(file);
		x->why = kp_strf("%s is there again", origin);
	} else {
		x = kp_adopt_add(f, KP_ADOPT_PUT_BACK, module, NULL, kernel);
		x->path = kp_steal(&origin);
		x->archive = kp_strdup(file);
	}
	return 0;
}

int kp_adopt_originals(struct kp_adopt_finder *f, const char *module, struct kp_err *err)
{
	_cleanup_free_ char *top =
		kp_strf("%s/%s/original_module", f->ctx->dkms_tree, module);
	_cleanup_strv_ char **kernels = NULL;
	int r;

	(void)kp_list_in(f->ctx->root_fd, top, &kernels);
	kp_strv_foreach(kernel, kernels) {
		_cleanup_free_ char *dir =
			kp_strf("%s/%s/%s", top, *kernel, f->ctx->arch);
		_cleanup_strv_ char **names = NULL;
		enum kp_compression how;

		if (!kp_name_ok(*kernel))
			continue;
		(void)kp_list_in(f->ctx->root_fd, dir, &names);
		kp_strv_foreach(name, names) {
			_cleanup_free_ char *file = kp_path_join(dir, *name);

			if (!kp_name_ok(*name) || kp_compression_of_name(*name, &how) < 0)
				continue;
			r = look_original(f, module, *kernel, file, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
