// SPDX-License-Identifier: GPL-2.0-or-later
#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cli/target.h"
#include "cli/work.h"
#include "lib/record.h"

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
	kp_intent_forget(i.in, t->module, t->version);
	kp_intent_set_removed(i.in, t->module, t->version, true);
	/* In this order a crash in between leaves a tombstone, which the next remove and
	 * the next add both deal with, and no source that comes back by itself. */
	rc = cli_intent_save(cli, &i);
	if (rc < 0)
		return rc;
	return kp_source_unregister(cli->ctx, t->module, t->version, &cli->err);
}

static int drop_builds(struct cli *cli, const struct cli_target *t)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	int rc;

	rc = kp_sources_load(cli->ctx, &sources, &cli->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sources.n; i++) {
		const struct kp_source *s = &sources.list[i];

		if (!cli_target_is(t, s->module, s->version))
			continue;
		kp_strv_foreach(k, t->kernels) {
			rc = kp_record_drop(cli->ctx, s->module, s->version, *k,
					    &cli->err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int remove_target(struct cli *cli, struct cli_target *t)
{
	_cleanup_strv_ char **words = NULL;
	struct kp_sync_opts opts = { .no_initramfs = t->no_initramfs };
	int rc;

	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	rc = t->kernels ? cli_target_hold(cli, t) : forget_source(cli, t);
	if (rc)
		return rc;
	if (!t->kernels)
		kp_info("unregistered %s/%s", t->module, t->version);
	/* All versions: another one may take the place of what was removed. */
	kp_strv_add(&words, t->module);
	opts.modules = words;
	opts.kernels = t->kernels;
	rc = cli_sync_all(cli, &opts);
	if (rc || !t->kernels)
		return rc;
	return drop_builds(cli, t);
}

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kaI", &t, &rc) < 0)
		return rc;
	return remove_target(cli, &t);
}

const struct cli_cmd cmd_remove = {
	.name = "remove",
	.args = "[-k K]... [--all] [--no-initramfs] M[/V]",
	.summary = "Unregister a module source, and erase its packages",
	.options =
		"  -k, --kernel K      only for this kernel (may be repeated): uninstall "
		"it\n"
		"                      and drop its build; the source stays registered\n"
		"  -a, --all           for all kernels, as without -k\n"
		"      --no-initramfs  leave the initramfs as it is\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
