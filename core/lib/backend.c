// SPDX-License-Identifier: GPL-2.0-or-later
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/owner-memo.h"
#include "lib/package-memo.h"

/* The backends there are, and the words of os-release by which a system hints at its own.
 */
static const struct {
	const char *name, *distros;
} known[] = {
	{ "dpkg", "debian ubuntu" },
	{ "rpm", "fedora rhel centos suse opensuse mageia openmandriva" },
	{ "alpm", "arch archlinux" },
};
#define N_KNOWN KP_ARRAY_SIZE(known)

static void backend_free(struct kp_backend *b)
{
	if (b->db)
		b->ops->close(b->db);
	if (b->handle)
		dlclose(b->handle);
	free(b);
}
KP_DEFINE_CLEANUP(struct kp_backend *, backend_free);
#define _cleanup_backend_ _cleanup_(backend_freep)

static const char *plugin_dir(void)
{
	const char *dir = secure_getenv("KMODPKG_PLUGIN_DIR");

	return kp_str_empty(dir) ? KP_PLUGIN_DIR : dir;
}

/* Read only `abi` and `size` before they are known to be right. */
static int check_ops(const struct kp_pkgdb_ops *ops, const char *name, const char *path,
		     struct kp_err *err)
{
	if (!ops)
		return kp_err_set(err, -ELIBBAD,
				  "'%s' is no backend of kmodpkg (it has no %s)", path,
				  KP_PKGDB_SYMBOL);
	if (ops->abi != KP_PKGDB_ABI || ops->size != sizeof(*ops))
		return kp_err_set(
			err, -ELIBBAD,
			"'%s' belongs to another version of kmodpkg (interface %u, "
			"this one has %u); install both from one package",
			path, ops->abi, KP_PKGDB_ABI);
	if (!kp_str_eq(ops->name, name))
		return kp_err_set(err, -ELIBBAD, "'%s' calls itself '%s'", path,
				  ops->name ?: "");
	return 0;
}

/* -ENOENT: it is not on disk. */
static int load(const char *name, struct kp_backend **ret, struct kp_err *err)
{
	_cleanup_backend_ struct kp_backend *b = kp_calloc(1, sizeof(*b));
	_cleanup_free_ char *path = kp_strf("%s/%s.so", plugin_dir(), name);
	int rc;

	/* The path of a file of our own program, not of the managed system. */
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return kp_err_set(err, -ENOENT, "backend '%s' is not installed (no '%s')",
				  name, path);
	b->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!b->handle)
		return kp_err_set(err, -ELIBACC, "load backend: %s", dlerror());
	b->ops = dlsym(b->handle, KP_PKGDB_SYMBOL);
	rc = check_ops(b->ops, name, path, err);
	if (rc < 0)
		return rc;
	*ret = kp_steal(&b);
	return 0;
}

static char *record_path(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, "backend");
}

/* The choice that an earlier run wrote down; *ret NULL: none. */
static int read_record(const struct kp_ctx *ctx, char **ret, struct kp_err *err)
{
	_cleanup_free_ char *path = record_path(ctx), *text = NULL;
	const char *name;
	size_t len;
	int rc;

	rc = kp_read_in(ctx->root_fd, path, 4096, &text, &len);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return kp_err_sys(err, rc, "read '%s'", path);
	name = kp_str_strip(text);
	if (!kp_name_ok(name))
		return kp_err_set(err, -EINVAL,
				  "'%s' does not name a backend; remove it to have it "
				  "chosen anew",
				  path);
	*ret = kp_strdup(name);
	return 0;
}

static int write_record(const struct kp_ctx *ctx, const char *name, struct kp_err *err)
{
	_cleanup_free_ char *path = record_path(ctx), *text = kp_strf("%s\n", name);
	int rc = kp_mkdir_in(ctx->root_fd, ctx->state_dir, 0755, err);

	if (rc < 0)
		return rc;
	return kp_write_in(ctx->root_fd, path, text, strlen(text), 0644, err);
}

/* Whose database owns this system's kernels; where that leaves a choice, the one that
 * os-release hints at. -ENOENT: no database is there, or several and no hint. */
static int choose(struct kp_ctx *ctx, struct kp_backend **ret, struct kp_err *err)
{
	_cleanup_backend_ struct kp_backend *best = NULL;
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *list = NULL;
	size_t n_installed = 0;
	int best_score = 0;
	bool tie = false;

	for (size_t i = 0; i < N_KNOWN; i++) {
		_cleanup_backend_ struct kp_backend *b = NULL;
		struct kp_err why = KP_ERR_INIT;
		int rc = load(known[i].name, &b, &why), score;

		if (rc == -ENOENT)
			continue;
		if (rc < 0)
			return kp_err_set(err, rc, "%s", why.text);
		n_installed++;
		score = b->ops->probe(ctx->root_fd);
		if (score <= 0)
			continue;
		kp_strv_add(&names, known[i].name);
		score = 2 * score + kp_ctx_distro_is(ctx, known[i].distros);
		tie = score == best_score;
		if (score <= best_score)
			continue;
		if (best)
			backend_free(kp_steal(&best));
		best = kp_steal(&b);
		best_score = score;
	}
	if (!n_installed)
		return kp_err_set(err, -ENOENT,
				  "no backend for a package manager is installed in "
				  "'%s'",
				  plugin_dir());
	if (!best)
		return kp_err_set(err, -ENOENT,
				  "no package database that a backend knows is in %s",
				  ctx->root);
	if (tie) {
		list = kp_strv_join(names, ", ");
		return kp_err_set(err, -ENOENT,
				  "cannot tell whose kernels these are (%s); write "
				  "\"backend = NAME\" into the configuration",
				  list);
	}
	*ret = kp_steal(&best);
	return 0;
}

/* The recorded one, or the one that is chosen. */
static int load_default(struct kp_ctx *ctx, struct kp_backend **b, bool *ret_recorded,
			struct kp_err *err)
{
	_cleanup_free_ char *name = NULL;
	int rc = read_record(ctx, &name, err);

	*ret_recorded = name;
	if (!rc)
		rc = name ? load(name, b, err) : choose(ctx, b, err);
	/* Not a system without a package manager, but half of one. */
	return rc == -ENOENT && name ? -ELIBACC : rc;
}

int kp_backend_open(struct kp_ctx *ctx, bool record, struct kp_err *err)
{
	_cleanup_backend_ struct kp_backend *b = NULL;
	struct kp_err missing = KP_ERR_INIT;
	bool named = ctx->config.backend;
	int rc = named ? load(ctx->config.backend, &b, &missing) : 0;

	if (rc == -ENOENT)
		kp_config_no_backend(&ctx->config, missing.text);
	else if (rc < 0)
		return kp_err_set(err, rc, "%s", missing.text);
	rc = b ? 0 : load_default(ctx, &b, &named, err);
	if (rc == -ENOENT && missing.code)
		rc = kp_err_set(err, -ELIBACC, "%s", missing.text);
	if (!rc)
		rc = b->ops->open(ctx->root_fd, ctx->nested ? KP_OPEN_NESTED : 0, &b->db,
				  err);
	if (!rc && record && !named) {
		rc = write_record(ctx, b->ops->name, err);
		/* Then the choice is made again, as long as it stays so. */
		if (rc == -EROFS)
			rc = 0;
	}
	if (rc < 0)
		return rc;
	ctx->backend = kp_steal(&b);
	return 0;
}

void kp_backend_close(struct kp_ctx *ctx)
{
	if (ctx->backend) {
		kp_owner_memo_close(ctx);
		backend_free(ctx->backend);
	}
	ctx->backend = NULL;
}

bool kp_backend_is(const struct kp_ctx *ctx, const char *name)
{
	return ctx->backend && kp_str_eq(ctx->backend->ops->name, name);
}

/* ops->list(), or what it said of this database before. */
static int list_packages(const struct kp_ctx *ctx, struct kp_pkg_installed **ret,
			 size_t *ret_n, struct kp_err *err)
{
	const struct kp_pkgdb_ops *ops = ctx->backend->ops;
	_cleanup_free_ char *before = NULL, *after = NULL;
	bool fresh;
	int r;

	before = ops->stamps_list ? kp_owner_memo_stamp(ctx, &fresh) : NULL;
	if (before && kp_package_memo_load(ctx, before, ret, ret_n))
		return 0;
	r = ops->list(ctx->backend->db, ret, ret_n, err);
	if (r < 0 || !before)
		return r;
	/* What was read while it changed is not remembered. */
	after = kp_owner_memo_stamp(ctx, &fresh);
	if (!fresh && kp_str_eq(before, after))
		kp_package_memo_save(ctx, after, *ret, *ret_n);
	return 0;
}

int kp_backend_list(const struct kp_ctx *ctx, struct kp_pkg_installed **ret,
		    size_t *ret_n, struct kp_err *err)
{
	struct kp_pkg_installed *list = NULL;
	size_t n = 0, kept = 0;
	int r = 0;

	if (ctx->backend)
		r = list_packages(ctx, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		const char *fault = kp_pkg_fault(&list[i].id, list[i].files);

		if (fault) {
			kp_warn_once("package %s: %s, taking it for somebody else's",
				     list[i].name, fault);
			kp_pkg_installed_clear(&list[i]);
		} else {
			list[kept++] = list[i];
		}
	}
	*ret = list;
	*ret_n = kept;
	return 0;
}

/* Those that OWNERS has no answer for (HAVE is false). */
static int ask(const struct kp_ctx *ctx, char *const *paths, const bool *have, size_t n,
	       struct kp_owner *owners, struct kp_err *err)
{
	_cleanup_free_ const char **missing = kp_calloc(n + 1, sizeof(*missing));
	struct kp_owner *found = kp_calloc(n, sizeof(*found));
	size_t n_missing = 0, at = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		if (!have[i])
			missing[n_missing++] = paths[i];
	if (n_missing)
		r = ctx->backend->ops->owner(ctx->backend->db, missing, n_missing, found,
					     err);
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (!have[i])
			owners[i] = found[at++];
	free(found);
	return r;
}

int kp_backend_owners(const struct kp_ctx *ctx, char *const *paths, struct kp_owner **ret,
		      struct kp_err *err)
{
	size_t n = kp_strv_len(paths);
	struct kp_owner *owners = kp_calloc(n, sizeof(*owners));
	_cleanup_free_ bool *have = kp_calloc(n, sizeof(*have));
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct kp_owner_memo *memo = NULL;
	bool fresh;
	int r = 0;

	if (ctx->backend && n)
		memo = kp_owner_memo_get(ctx, &before, &fresh);
	for (size_t i = 0; i < n; i++)
		have[i] = kp_owner_memo_find(memo, paths[i], &owners[i]);
	if (ctx->backend && n)
		r = ask(ctx, paths, have, n, owners, err);
	if (r < 0) {
		kp_owners_free(owners, n);
		return r;
	}
	/* What was asked while it changed is not remembered. */
	if (memo)
		memo = kp_owner_memo_get(ctx, &after, &fresh);
	for (size_t i = 0; memo && !fresh && kp_str_eq(before, after) && i < n; i++)
		if (!have[i])
			kp_owner_memo_add(memo, paths[i], &owners[i]);
	*ret = owners;
	return 0;
}
