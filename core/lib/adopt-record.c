// SPDX-License-Identifier: GPL-2.0-or-later
/* Is a build of DKMS's what its tree and its conf say, and still good? Then it gets a record. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/adopt.h"
#include "lib/artifact.h"
#include "lib/backend.h"
#include "lib/tree-hash.h"

struct look {
	struct kp_ctx *ctx;
	const struct kp_source *source;
	const struct kp_conf *conf;
	const struct kp_kernel *kernel;
	bool installed;
	char *dir; /* MODULE/VERSION/KERNEL/ARCH/module */
	struct kp_record *rec;
};

static void look_clear(struct look *l)
{
	free(l->dir);
	kp_record_free(l->rec);
}

static int hash_file(struct kp_ctx *ctx, const char *path, char ret[KP_HASH_HEX],
		     struct stat *ret_st, struct kp_err *err)
{
	_cleanup_close_ int fd = -1;
	int r = kp_stat_in(ctx->root_fd, path, ret_st);

	/* Looked at before it is opened: opening a device may have effects. */
	if (r == 0 && !S_ISREG(ret_st->st_mode))
		r = -EINVAL;
	if (r == 0)
		r = fd = kp_open_in(ctx->root_fd, path, O_RDONLY, 0);
	if (r < 0)
		return kp_err_sys(err, r, "%s", path);
	return kp_hash_fd(fd, ret, err);
}

bool kp_adopt_same(struct kp_ctx *ctx, const char *a, const char *b)
{
	char hash_a[KP_HASH_HEX], hash_b[KP_HASH_HEX];
	struct stat st;

	return hash_file(ctx, a, hash_a, &st, NULL) == 0 &&
	       hash_file(ctx, b, hash_b, &st, NULL) == 0 && !strcmp(hash_a, hash_b);
}

/* Where DKMS puts a module below the kernel's directory: the distribution's place, else its
 * conf's. FILE is the name below module/. To be freed; NULL: it is at neither. */
static char *find_dest(const struct look *l, const struct kp_conf_module *m,
		       const char *file)
{
	const char *const dirs[] = { kp_kernel_dest(l->ctx), m->dest_location };

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *dest = NULL, *path = NULL;

		if (!dirs[i])
			continue;
		dest = kp_path_join(dirs[i] + strspn(dirs[i], "/"), file);
		path = kp_path_join(l->kernel->moddir, dest);
		if (!l->installed || kp_exists_in(l->ctx->root_fd, path))
			return kp_steal(&dest);
	}
	return NULL;
}

/* Name of the module NAME below module/, compressed or not; to be freed, NULL: not there. */
static char *find_file(const struct look *l, const char *name)
{
	static const char *const ends[] = { ".ko", ".ko.gz", ".ko.xz", ".ko.zst" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(ends); i++) {
		_cleanup_free_ char *file = kp_strf("%s%s", name, ends[i]);
		_cleanup_free_ char *path = kp_path_join(l->dir, file);

		if (kp_exists_in(l->ctx->root_fd, path))
			return kp_steal(&file);
	}
	return NULL;
}

/* Could the kernel load it? DKMS had root build it, of somebody's source: it is read where
 * ours are. */
static int check_module(struct look *l, const char *path, const char *file,
			struct kp_err *err)
{
	_cleanup_(kp_artifact_facts_clear) struct kp_artifact_facts facts = { 0 };
	const struct kp_sandbox sb = { .timeout_s = 60 };
	const struct kp_artifact_look look = {
		.ko = path,
		.name = file,
		.kernel = l->kernel,
	};
	int r;

	r = kp_artifact_check(l->ctx, &sb, &look, &facts, err);
	if (r < 0)
		return r;
	l->rec->is_signed = l->rec->is_signed && facts.is_signed;
	if (facts.license && !kp_strv_has(l->rec->licenses, facts.license))
		kp_strv_add(&l->rec->licenses, facts.license);
	return 0;
}

static int check_installed(const struct look *l, const char *path, const char *hash,
			   struct kp_err *err)
{
	char *const paths[] = { (char *)path, NULL };
	char other[KP_HASH_HEX];
	struct kp_owner *owners;
	struct stat st;
	int r;

	r = hash_file(l->ctx, path, other, &st, err);
	if (r < 0)
		return r;
	if (strcmp(hash, other) != 0)
		return kp_err_set(err, -ENOEXEC, "%s is not what DKMS built", path);
	r = kp_backend_owners(l->ctx, paths, &owners, err);
	if (r < 0)
		return r;
	if (owners[0].package)
		r = kp_err_set(err, -ENOEXEC, "%s belongs to package %s", path,
			       owners[0].package);
	kp_owners_free(owners, 1);
	return r;
}

static int add_module(struct look *l, const struct kp_conf_module *m, struct kp_err *err)
{
	struct kp_record_file *f = &l->rec->files[l->rec->n_files];
	_cleanup_free_ char *file = find_file(l, m->dest_name), *path = NULL,
			    *dest = NULL, *target = NULL;
	char hash[KP_HASH_HEX];
	struct stat st;
	int r;

	if (!file)
		return kp_err_set(err, -ENOEXEC, "%s has no %s.ko", l->dir, m->dest_name);
	path = kp_path_join(l->dir, file);
	dest = find_dest(l, m, file);
	if (!dest)
		return kp_err_set(err, -ENOEXEC,
				  "%s is not installed, though DKMS has "
				  "it as installed",
				  file);
	r = hash_file(l->ctx, path, hash, &st, err);
	if (r < 0)
		return r;
	if (l->installed) {
		target = kp_path_join(l->kernel->moddir, dest);
		r = check_installed(l, target, hash, err);
		if (r < 0)
			return r;
	}
	r = check_module(l, path, file, err);
	if (r < 0)
		return r;
	*f = (struct kp_record_file){
		.name = kp_steal(&file),
		.dest = kp_steal(&dest),
		.sha256 = kp_strdup(hash),
		.size = (uint64_t)st.st_size,
	};
	l->rec->n_files++;
	/* The oldest counts: what changed since then may not be in it. */
	if (!l->rec->time || st.st_mtim.tv_sec < l->rec->time)
		l->rec->time = st.st_mtim.tv_sec;
	return 0;
}

/* A module that the conf does not name (any more) would be left behind. */
static int check_complete(const struct look *l, struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	enum kp_compression how;

	(void)kp_list_in(l->ctx->root_fd, l->dir, &names);
	kp_strv_foreach(name, names) {
		bool known = kp_compression_of_name(*name, &how) == -EINVAL;

		for (size_t i = 0; i < l->rec->n_files; i++)
			known |= !strcmp(l->rec->files[i].name, *name);
		if (!known)
			return kp_err_set(err, -ENOEXEC,
					  "%s has %s, which dkms.conf does not name",
					  l->dir, *name);
	}
	return 0;
}

/* Status changes, not modifications: what a package or an archive brings is as old as its
 * maker says. One that is too new for another reason only costs a build. */
static int check_age(const struct look *l, struct kp_err *err)
{
	struct kp_tree_hash tree;
	struct stat st;
	int r;

	r = kp_tree_hash(l->ctx->root_fd, l->source->dir, KP_TREE_STAT, &tree, err);
	if (r < 0)
		return r;
	if (tree.newest_s > l->rec->time)
		return kp_err_set(err, -ENOEXEC, "%s changed after it was built",
				  l->source->dir);
	kp_strv_foreach(file, l->conf->files)
		if (kp_stat_in(l->ctx->root_fd, *file, &st) == 0 &&
		    st.st_ctim.tv_sec > l->rec->time)
			return kp_err_set(err, -ENOEXEC, "%s changed after it was built",
					  *file);
	return 0;
}

int kp_adopt_record(struct kp_ctx *ctx, const struct kp_source *source,
		    const struct kp_conf *conf, const struct kp_kernel *kernel,
		    bool installed, bool any_age, const char *key, struct kp_record **ret,
		    struct kp_err *err)
{
	_cleanup_(look_clear) struct look l = { .ctx = ctx,
						.source = source,
						.conf = conf,
						.kernel = kernel,
						.installed = installed };
	_cleanup_free_ char *at =
		kp_record_dir(ctx, source->module, source->version, kernel->release);
	int r;

	l.dir = kp_path_join(at, "module");
	l.rec = kp_calloc(1, sizeof(*l.rec));
	l.rec->result = KP_BUILD_OK;
	l.rec->key = kp_strdup(key);
	l.rec->files = kp_calloc(conf->n_modules + 1, sizeof(*l.rec->files));
	l.rec->is_signed = true;
	for (size_t i = 0; i < conf->n_modules; i++) {
		if (conf->modules[i].excluded)
			continue;
		r = add_module(&l, &conf->modules[i], err);
		if (r < 0)
			return r;
	}
	if (!l.rec->n_files)
		return kp_err_set(err, -ENOEXEC, "its dkms.conf names no modules");
	r = check_complete(&l, err);
	if (r == 0 && !any_age)
		r = check_age(&l, err);
	if (r < 0)
		return r;
	kp_record_set_content(l.rec);
	*ret = kp_steal(&l.rec);
	return 0;
}
