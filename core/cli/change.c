// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What build, install, uninstall and remove do, for kmodpkg's verbs and the dkms command:
 * change what is intended, run a sync, judge what came out.
 */
#include <stdint.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/target.h"
#include "cli/work.h"
#include "lib/record.h"
#include "lib/removal.h"

static void pin(struct kp_intent *in, const char *module, const char *version,
		const char *kernel, bool present)
{
	kp_intent_set(in, module, version, kernel, KP_INTENT_PIN);
	kp_intent_set_headers_only(in, module, version, kernel, !present);
}

/* Forget what was said of the module for these kernels; a version that was named is
 * pinned. */
static void say_wanted(const struct cli_target *t, const struct kp_kernels *kernels,
		       struct kp_intent *in)
{
	kp_strv_foreach(k, t->kernels) {
		const struct kp_kernel *kernel = kp_kernels_find(kernels, *k);

		kp_intent_set(in, t->module, "", *k, KP_INTENT_NONE);
		if (t->version)
			pin(in, t->module, t->version, *k, kernel && kernel->present);
	}
}

/* No version was named: what would not be installed without being asked for (AUTOINSTALL
 * is not set, or only the headers of the kernel are here) is pinned to stay so. */
static void pin_chosen(const struct kp_world *w, const struct cli_target *t,
		       struct kp_intent *in)
{
	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];
		const struct kp_plan_pair *x;
		bool present;

		if (!row->wanted || !kp_str_eq(row->module, t->module) ||
		    !kp_strv_has(t->kernels, row->kernel))
			continue;
		x = &w->input.pairs[row->pair];
		present = w->input.kernels[x->kernel].present;
		if (!x->autoinstall || !present)
			pin(in, row->module, row->version, row->kernel, present);
	}
}

static int change_intent(struct cli *cli, const struct cli_target *t,
			 const struct kp_sync_opts *opts)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_(kp_kernels_clear) struct kp_kernels kernels = { 0 };
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	int rc;

	rc = cli_intent_open(cli, &i);
	if (rc == 0)
		rc = kp_kernels_load(cli->ctx, t->kernels, &kernels, &cli->err);
	if (rc < 0)
		return rc;
	say_wanted(t, &kernels, i.in);
	rc = cli_intent_save(cli, &i);
	if (rc < 0 || t->version)
		return rc;
	rc = kp_world_load(cli->ctx, opts, &w, &cli->err);
	if (rc < 0)
		return rc;
	pin_chosen(&w, t, i.in);
	return cli_intent_save(cli, &i);
}

/* Remember what it is to be built with, for later syncs as well; to be built anew without
 * anything means to forget it. */
static int say_with(struct cli *cli, const struct cli_target *t, bool anew)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	bool any = false;
	int rc;

	if (!t->version || (!t->with && !anew))
		return 0;
	rc = cli_intent_open(cli, &i);
	if (rc < 0)
		return rc;
	kp_strv_foreach(k, t->kernels) {
		any |= t->with || kp_intent_with(i.in, t->module, t->version, *k);
		kp_intent_set_with(i.in, t->module, t->version, *k, t->with);
	}
	return any ? cli_intent_save(cli, &i) : 0;
}

int cli_make(struct cli *cli, struct cli_target *t, bool install)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	_cleanup_strv_ char **words = cli_target_words(t);
	struct kp_sync_opts opts = {
		.modules = words,
		.requested = true,
		.force = t->force && !install,
		.reinstall = t->force && install,
		.anyway = t->anyway,
		.build_only = !install,
		.jobs = t->jobs,
		.no_initramfs = t->no_initramfs,
	};
	int rc;

	rc = cli_target_source(cli, t, true);
	if (rc)
		return rc;
	rc = cli_target_kernels(cli, t);
	if (rc)
		return rc;
	opts.kernels = t->kernels;
	rc = say_with(cli, t, opts.force);
	if (rc == 0 && install)
		rc = change_intent(cli, t, &opts);
	if (rc < 0)
		return rc;
	rc = cli_sync(cli, &opts, &result);
	if (rc < 0)
		return rc;
	return cli_target_outcome(cli, t, &opts, &result);
}

/* Is there such a source or package? */
static bool is_known(const struct cli_target *t, const struct kp_world *w)
{
	for (size_t i = 0; i < w->sources.n; i++)
		if (cli_target_is(t, w->sources.list[i].module,
				  w->sources.list[i].version))
			return true;
	for (size_t i = 0; i < w->input.n_packages; i++)
		if (cli_target_is(t, w->input.packages[i].module,
				  w->input.packages[i].version))
			return true;
	return false;
}

/* Hold the version that was named, or the module whatever its version. */
static int hold_target(struct cli *cli, const struct cli_target *t)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts look = { 0 };
	int rc;

	rc = cli_intent_open(cli, &i);
	if (rc < 0)
		return rc;
	rc = kp_world_load(cli->ctx, &look, &w, &cli->err);
	if (rc < 0)
		return rc;
	if (!is_known(t, &w))
		return cli_target_unknown(cli, t);
	kp_strv_foreach(k, t->kernels)
		kp_intent_set(i.in, t->module, t->version ? t->version : "", *k,
			      KP_INTENT_HOLD);
	return cli_intent_save(cli, &i);
}

int cli_uninstall(struct cli *cli, struct cli_target *t)
{
	_cleanup_strv_ char **words = cli_target_words(t);
	struct kp_sync_opts opts = { .modules = words, .no_initramfs = t->no_initramfs };
	int rc;

	rc = cli_target_kernels(cli, t);
	if (rc)
		return rc;
	rc = hold_target(cli, t);
	if (rc)
		return rc;
	kp_strv_foreach(k, t->kernels)
		kp_info("holding %s for %s", words[0], *k);
	if (t->version)
		kp_info("another version of %s that comes later is installed; kmodpkg "
			"uninstall %s holds them all",
			t->module, t->module);
	else
		kp_info("a kernel that comes later gets %s; kmodpkg remove %s takes it "
			"from all",
			t->module, t->module);
	opts.kernels = t->kernels;
	return cli_sync_all(cli, &opts);
}

/* The one version that MODULE has, registered or installed. */
static int find_version(struct cli *cli, const struct kp_world *w, struct cli_target *t)
{
	_cleanup_strv_ char **versions = NULL;
	_cleanup_free_ char *all = NULL;

	for (size_t i = 0; i < w->sources.n; i++) {
		const struct kp_source *s = &w->sources.list[i];

		if (cli_target_is(t, s->module, s->version) &&
		    !kp_strv_has(versions, s->version))
			kp_strv_add(&versions, s->version);
	}
	for (size_t i = 0; i < w->input.n_packages; i++) {
		const struct kp_plan_package *p = &w->input.packages[i];

		if (cli_target_is(t, p->module, p->version) &&
		    !kp_strv_has(versions, p->version))
			kp_strv_add(&versions, p->version);
	}
	if (!versions)
		return cli_target_unknown(cli, t);
	if (!t->version && kp_strv_len(versions) > 1) {
		all = kp_strv_join(versions, ", ");
		return cli_fail(cli, CLI_FAILED, "%s has several versions (%s); name one",
				t->module, all);
	}
	if (!t->version)
		t->version = kp_strdup(versions[0]);
	return 0;
}

/* What a person may take for gone. */
static void tell_tree(struct cli *cli, const struct cli_target *t,
		      const struct kp_world *w)
{
	const struct kp_source *s = kp_sources_find(&w->sources, t->module, t->version);

	if (!s || !s->dir || !kp_is_dir_in(cli->ctx->root_fd, s->dir))
		return;
	if (s->package)
		kp_info("its tree %s stays, it is of the package %s: kmodpkg add %s/%s "
			"brings the module back, removing the package is for good",
			s->dir, s->package, t->module, t->version);
	else
		kp_info("its tree %s stays: kmodpkg add %s/%s brings the module back, "
			"deleting the tree is for good",
			s->dir, t->module, t->version);
}

/* Unregister, and remember that a person did, lest a sync registers it again. */
static int forget_source(struct cli *cli, struct cli_target *t)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts look = { 0 };
	int rc;

	rc = cli_intent_open(cli, &i);
	if (rc < 0)
		return rc;
	rc = kp_world_load(cli->ctx, &look, &w, &cli->err);
	if (rc < 0)
		return rc;
	rc = find_version(cli, &w, t);
	if (rc)
		return rc;
	kp_removal_note(&w, i.in, t->module, t->version);
	kp_intent_drop_pending(i.in, t->module, t->version);
	/* In this order a crash in between leaves a tombstone, which the next remove and
	 * the next add both deal with, and no source that comes back by itself. */
	rc = cli_intent_save(cli, &i);
	if (rc < 0)
		return rc;
	rc = kp_source_unregister(cli->ctx, t->module, t->version, &cli->err);
	if (rc < 0)
		return rc;
	kp_info("unregistered %s/%s", t->module, t->version);
	tell_tree(cli, t, &w);
	return 0;
}

static int drop_builds(struct cli *cli, const struct cli_target *t)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	int rc;

	rc = cli_intent_open(cli, &i);
	if (rc == 0)
		rc = kp_sources_load(cli->ctx, &sources, &cli->err);
	if (rc < 0)
		return rc;
	for (size_t n = 0; n < sources.n; n++) {
		const struct kp_source *s = &sources.list[n];

		if (!cli_target_is(t, s->module, s->version))
			continue;
		kp_strv_foreach(k, t->kernels) {
			rc = kp_record_drop(cli->ctx, s->module, s->version, *k,
					    &cli->err);
			if (rc < 0)
				return rc;
			kp_intent_set_with(i.in, s->module, s->version, *k, NULL);
		}
	}
	return cli_intent_save(cli, &i);
}

int cli_remove(struct cli *cli, struct cli_target *t)
{
	_cleanup_strv_ char **words = NULL;
	struct kp_sync_opts opts = { .no_initramfs = t->no_initramfs };
	int rc;

	rc = t->kernels ? hold_target(cli, t) : forget_source(cli, t);
	if (rc)
		return rc;
	/* All versions: another one may take the place of what was removed. */
	kp_strv_add(&words, t->module);
	opts.modules = words;
	opts.kernels = t->kernels;
	/* Without a package database there is nothing to erase. */
	rc = cli->ctx->backend ? cli_sync_all(cli, &opts) : 0;
	if (rc || !t->kernels)
		return rc;
	return drop_builds(cli, t);
}
