// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dkms add, build, install, uninstall, unbuild, remove: DKMS's conditions and exit codes
 * around the steps of kmodpkg's verbs (add.c, change.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/dkms.h"
#include "cli/target.h"
#include "cli/work.h"
#include "lib/backend.h"
#include "lib/conf.h"
#include "lib/install-tree.h"
#include "lib/install.h"

/* ---- add ---- */

/* What the conf of d->tree says that it is. */
static int name_tree(struct dkms *d)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = { .source_dir = d->tree, .conf_file = d->conf_file };
	struct cli *cli = d->cli;
	int rc;

	rc = kp_conf_load(cli->ctx, &env, &conf, &cli->err);
	if (kp_conf_is_bad(rc))
		return cli_fail(cli, DKMS_BAD_CONF, "%s", cli->err.text);
	if (rc < 0)
		return rc;
	free(d->module);
	free(d->version);
	d->module = kp_strdup(conf->name);
	d->version = kp_strdup(conf->version);
	return 0;
}

static int already_added(struct dkms *d)
{
	/* A script of a package is not to fail because a sync was faster. */
	if (cli_in_transaction(d->cli)) {
		kp_info("%s/%s is in the tree already", d->module, d->version);
		return cli_keep_source(d->cli, d->module, d->version);
	}
	return cli_fail(d->cli, DKMS_UNKNOWN, "%s/%s is in the tree already", d->module,
			d->version);
}

static int add_tree(struct dkms *d)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int from = cli_open_tree(d->tree, &name);
	struct cli *cli = d->cli;

	if (geteuid())
		return cli_fail(cli, DKMS_USAGE, "only root can add a directory");
	if (from < 0)
		return cli_fail(cli, DKMS_NO_CONF, "%s has no dkms.conf", d->tree);
	if (!d->force && cli_is_registered(cli, d->module, d->version))
		return already_added(d);
	return cli_add_tree(cli, from, name, d->force ? CLI_ADD_REPLACE : CLI_ADD_MERGE);
}

static int add_named(struct dkms *d)
{
	_cleanup_free_ char *name = kp_strf("%s-%s", d->module, d->version);
	struct kp_ctx *ctx = d->cli->ctx;
	_cleanup_free_ char *dir = kp_path_join(ctx->source_tree, name);
	_cleanup_free_ char *conf = kp_path_join(dir, "dkms.conf");

	if (cli_is_registered(d->cli, d->module, d->version) && !d->force)
		return already_added(d);
	if (!kp_is_dir_in(ctx->root_fd, dir))
		return cli_fail(d->cli, DKMS_NO_TREE, "%s is not there", dir);
	if (!d->conf_file && !kp_exists_in(ctx->root_fd, conf))
		return cli_fail(d->cli, DKMS_NO_CONF, "%s is not there", conf);
	return cli_register(d->cli, d->module, d->version);
}

static int need_version(struct dkms *d)
{
	if (d->module && d->version)
		return 0;
	return cli_fail(d->cli, DKMS_USAGE,
			"name a module with its version: dkms %s MODULE/VERSION",
			d->action->name);
}

int dkms_add(struct dkms *d)
{
	int rc;

	if (d->archive && !d->tree)
		return dkms_ldtarball(d);
	rc = d->tree ? name_tree(d) : need_version(d);
	if (rc)
		return rc;
	return d->tree ? add_tree(d) : add_named(d);
}

/* ---- build, install ---- */

/* What is not in the tree is added first. */
static int ensure_added(struct dkms *d)
{
	int rc = d->tree ? name_tree(d) : need_version(d);

	if (rc)
		return rc;
	switch (dkms_registration(d->cli->ctx, d->module, d->version)) {
	case DKMS_IS_ADDED:
		/* It may be another tree by now, or brought anew by the transaction that
		 * removed it. */
		if (d->tree)
			return add_tree(d);
		return cli_in_transaction(d->cli)
			       ? cli_keep_source(d->cli, d->module, d->version)
			       : 0;
	case DKMS_IS_BROKEN:
		return dkms_broken(d);
	default:
		return d->tree ? add_tree(d) : add_named(d);
	}
}

int dkms_each_arch(struct dkms *d, int (*fn)(struct dkms *d, char **kernels, void *data),
		   void *data)
{
	struct kp_ctx *ctx = d->cli->ctx;
	_cleanup_strv_ char **done = NULL;
	char *own = ctx->arch;
	int status = DKMS_OK;

	for (size_t i = 0; i < d->n_pairs; i++) {
		_cleanup_strv_ char **kernels = NULL;
		int rc;

		if (kp_strv_has(done, d->pairs[i].arch))
			continue;
		kp_strv_add(&done, d->pairs[i].arch);
		for (size_t j = i; j < d->n_pairs; j++)
			if (kp_str_eq(d->pairs[j].arch, d->pairs[i].arch) &&
			    !kp_strv_has(kernels, d->pairs[j].kernel))
				kp_strv_add(&kernels, d->pairs[j].kernel);
		ctx->arch = d->pairs[i].arch;
		rc = fn(d, kernels, data);
		/* The status of the first that failed. */
		if (status == DKMS_OK)
			status = rc;
	}
	ctx->arch = own;
	return status;
}

static int install_foreign(struct dkms *d, const char *kernel)
{
	int rc = kp_tree_install(d->cli->ctx, d->module, d->version, kernel, d->force,
				 &d->cli->err);

	return rc == -ECHILD ? DKMS_PRE_INSTALL : rc;
}

/* A person who holds the module (kmodpkg uninstall M) is not overruled by the script of a package
 * that brings a version of it. The kernels of KERNELS that are left, to be freed. */
static int leave_held(struct dkms *d, char **kernels, char ***ret)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;
	int rc = kp_intent_load(d->cli->ctx, &in, &d->cli->err);

	if (rc < 0)
		return rc;
	kp_strv_foreach(k, kernels)
		if (kp_intent_holds_module(in, d->module, *k))
			kp_info("%s is held for kernel %s; kmodpkg install %s lifts that",
				d->module, *k, d->module);
		else
			kp_strv_add(ret, *k);
	return 0;
}

static int make(struct dkms *d, char **kernels, void *data)
{
	_cleanup_strv_ char **free_kernels = NULL;
	const bool *install = data;
	bool named =
		d->conf_file || d->kernel_source_dir || d->kernel_config || d->directives;
	const struct kp_build_with with = {
		.conf_file = d->conf_file,
		.kernel_source_dir = d->kernel_source_dir,
		.kernel_config = d->kernel_config,
		.directives = d->directives,
	};
	struct cli_target t = {
		.module = d->module,
		.version = d->version,
		.kernels = kernels,
		.force = d->force,
		.anyway = d->force,
		.jobs = d->jobs,
		.with = named ? &with : NULL,
	};

	int rc = 0;

	if (*install && cli_in_transaction(d->cli)) {
		rc = leave_held(d, kernels, &free_kernels);
		if (rc < 0 || !free_kernels)
			return rc;
		t.kernels = free_kernels;
	}
	rc = cli_make(d->cli, &t, *install && !d->foreign);
	kp_strv_foreach(k, *install && d->foreign ? kernels : NULL)
		if (rc == 0)
			rc = install_foreign(d, *k);
	return rc;
}

int dkms_build(struct dkms *d)
{
	bool install = false;
	int rc = ensure_added(d);

	return rc ? rc : dkms_each_arch(d, make, &install);
}

int dkms_install(struct dkms *d)
{
	bool install = true;
	int rc = ensure_added(d);

	for (size_t i = 0; rc == 0 && d->kernel_source_dir && i < d->n_pairs; i++) {
		_cleanup_free_ char *dir =
			kp_path_join(d->cli->ctx->install_tree, d->pairs[i].kernel);

		if (!kp_is_dir_in(d->cli->ctx->root_fd, dir))
			rc = cli_fail(d->cli, DKMS_NO_KERNEL,
				      "%s is not there: kernel %s is not installed", dir,
				      d->pairs[i].kernel);
	}
	if (rc == 0)
		rc = dkms_each_arch(d, make, &install);
	if (rc == 0 && (d->modprobe_on_install || d->cli->ctx->config.probe_devices))
		dkms_probe_devices(d);
	return rc;
}

/* ---- uninstall, unbuild, remove ---- */

int dkms_broken(struct dkms *d)
{
	return cli_fail(d->cli, DKMS_BROKEN,
			"the source tree of %s/%s is not where it was; put it back, or "
			"unregister it: kmodpkg remove %s/%s",
			d->module, d->version, d->module, d->version);
}

static bool has_link(const struct dkms *d)
{
	const struct kp_ctx *ctx = d->cli->ctx;
	_cleanup_free_ char *link =
		kp_strf("%s/%s/%s/source", ctx->dkms_tree, d->module, d->version);
	struct stat st;

	return kp_lstat_in(ctx->root_fd, link, &st) == 0;
}

static int check_added(struct dkms *d)
{
	int rc = need_version(d);

	if (rc)
		return rc;
	switch (dkms_registration(d->cli->ctx, d->module, d->version)) {
	case DKMS_IS_ADDED:
		return 0;
	case DKMS_IS_BROKEN:
		/* A package whose tree was deleted has to be removable. */
		return cli_in_transaction(d->cli) && has_link(d) ? 0 : dkms_broken(d);
	default:
		return cli_fail(d->cli, DKMS_UNKNOWN, "%s/%s is not in the tree",
				d->module, d->version);
	}
}

int dkms_take_all(struct dkms *d, bool installed)
{
	_cleanup_strv_ char **there = NULL;
	int rc = dkms_find_built(d, installed, &there);

	if (rc < 0)
		return rc;
	dkms_drop_pairs(d, 0);
	free(d->pairs);
	d->pairs = kp_calloc(kp_strv_len(there), sizeof(*d->pairs));
	kp_strv_foreach(p, there) {
		_cleanup_strv_ char **words = kp_strv_split(*p, " ");

		d->pairs[d->n_pairs].kernel = kp_strdup(words[0]);
		d->pairs[d->n_pairs++].arch = kp_strdup(words[1]);
	}
	return 0;
}

/* Nobody named a kernel, and the one that runs was upgraded or is another system's. */
static void tell_where(struct dkms *d, bool installed, char *const *there)
{
	_cleanup_strv_ char **kernels = NULL;
	_cleanup_free_ char *all = NULL;

	kp_strv_foreach(p, there) {
		_cleanup_strv_ char **words = kp_strv_split(*p, " ");

		if (!kp_strv_has(kernels, words[0]))
			kp_strv_add(&kernels, words[0]);
	}
	all = kp_strv_join(kernels, ", ");
	kp_info("%s/%s is %s for %s; say which with -k, or --all", d->module, d->version,
		installed ? "installed" : "built", all);
}

/* With --all the pairs that are there; else those of the named that are. */
static int choose(struct dkms *d, bool installed)
{
	_cleanup_strv_ char **there = NULL;
	size_t n = 0;
	int rc;

	if (d->all_kernels)
		return dkms_take_all(d, installed);
	rc = dkms_find_built(d, installed, &there);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < d->n_pairs; i++) {
		struct dkms_pair pair = d->pairs[i];
		_cleanup_free_ char *name = kp_strf("%s %s", pair.kernel, pair.arch);

		if (kp_strv_has(there, name)) {
			/* Swapped, so that each is freed once. */
			d->pairs[i] = d->pairs[n];
			d->pairs[n++] = pair;
			continue;
		}
		kp_info("%s/%s is not %s for kernel %s (%s), skipping", d->module,
			d->version, installed ? "installed" : "built", pair.kernel,
			pair.arch);
	}
	if (!n && there)
		tell_where(d, installed, there);
	dkms_drop_pairs(d, n);
	return 0;
}

/* From a tree without a package database. */
static int take_out_of_place(struct dkms *d, char **kernels)
{
	_cleanup_strv_ char **there = NULL;
	int rc = dkms_find_built(d, true, &there);

	kp_strv_foreach(k, kernels) {
		_cleanup_free_ char *pair = kp_strf("%s %s", *k, d->cli->ctx->arch);

		/* Another version may be the one that is installed. */
		if (rc == 0 && kp_strv_has(there, pair))
			rc = kp_tree_uninstall(d->cli->ctx, d->module, d->version, *k,
					       &d->cli->err);
	}
	return rc;
}

static int take_away(struct dkms *d, char **kernels, void *data)
{
	const bool *build_too = data;
	struct cli_target t = {
		.module = d->module,
		.version = d->version,
		.kernels = kernels,
	};
	int rc = d->foreign ? take_out_of_place(d, kernels) : 0;

	if (rc < 0 || (d->foreign && !*build_too))
		return rc;
	return *build_too ? cli_remove(d->cli, &t) : cli_uninstall(d->cli, &t);
}

/* The package may have nothing else that makes the transaction's end run a sync. */
static void have_decided(struct cli *cli)
{
	const struct kp_backend *b = cli->ctx->backend;
	struct kp_err err = KP_ERR_INIT;
	int rc = b->ops->sync_at_end ? b->ops->sync_at_end(b->db, &err) : 0;

	if (rc < 0)
		kp_warn("%s; kmodpkg sync does it", kp_err_text(&err, rc));
}

/* Its end shows whether it is meant. */
static int leave_to_transaction(struct dkms *d, enum kp_intent_kind kind)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	int rc = cli_intent_open(d->cli, &i);

	if (rc < 0)
		return rc;
	if (d->all_kernels && kind == KP_INTENT_REMOVE)
		kp_intent_set_pending(i.in, d->module, d->version, "", kind);
	for (size_t n = 0; n < d->n_pairs; n++)
		kp_intent_set_pending(i.in, d->module, d->version, d->pairs[n].kernel,
				      kind);
	kp_debug("%s/%s goes at the end of the transaction, unless a package brings it",
		 d->module, d->version);
	rc = cli_intent_save(d->cli, &i);
	if (rc == 0)
		have_decided(d->cli);
	return rc;
}

int dkms_uninstall(struct dkms *d)
{
	bool build_too = false;
	int rc = check_added(d);

	if (rc == 0)
		rc = choose(d, true);
	if (rc == 0 && d->n_pairs && cli_in_transaction(d->cli))
		return leave_to_transaction(d, KP_INTENT_UNINSTALL);
	return rc ? rc : dkms_each_arch(d, take_away, &build_too);
}

int dkms_unbuild(struct dkms *d)
{
	bool build_too = true;
	int rc = check_added(d);

	if (rc == 0)
		rc = choose(d, false);
	if (rc == 0 && d->n_pairs && cli_in_transaction(d->cli))
		return leave_to_transaction(d, KP_INTENT_REMOVE);
	return rc ? rc : dkms_each_arch(d, take_away, &build_too);
}

int dkms_remove(struct dkms *d)
{
	struct cli_target all = { .module = d->module, .version = d->version };
	_cleanup_strv_ char **left = NULL;
	int rc = check_added(d);

	if (rc == 0 && cli_in_transaction(d->cli))
		return leave_to_transaction(d, KP_INTENT_REMOVE);
	if (rc == 0 && (d->foreign || !d->all_kernels))
		rc = dkms_unbuild(d);
	if (rc == 0 && !d->all_kernels)
		rc = dkms_find_built(d, false, &left);
	/* With its last build the source goes out of the tree. */
	return rc || left ? rc : cli_remove(d->cli, &all);
}
