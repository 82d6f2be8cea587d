// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>

#include "base/str.h"
#include "cli/target.h"
#include "cli/work.h"

/* Forget what was said of the module for these kernels; a version that was named is
 * pinned. */
static void say_wanted(const struct cli_target *t, const struct kp_sources *sources,
		       struct kp_intent *in)
{
	kp_strv_foreach(k, t->kernels) {
		for (size_t i = 0; i < sources->n; i++) {
			const struct kp_source *s = &sources->list[i];

			if (kp_str_eq(s->module, t->module))
				kp_intent_set(in, s->module, s->version, *k,
					      KP_INTENT_NONE);
		}
		if (t->version)
			kp_intent_set(in, t->module, t->version, *k, KP_INTENT_PIN);
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

		if (!row->wanted || !kp_str_eq(row->module, t->module) ||
		    !kp_strv_has(t->kernels, row->kernel))
			continue;
		x = &w->input.pairs[row->pair];
		if (!x->autoinstall || !w->input.kernels[x->kernel].present)
			kp_intent_set(in, row->module, row->version, row->kernel,
				      KP_INTENT_PIN);
	}
}

static int change_intent(struct cli *cli, const struct cli_target *t,
			 const struct kp_sync_opts *opts)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	int rc;

	rc = cli_intent_open(cli, &i);
	if (rc < 0)
		return rc;
	rc = kp_sources_load(cli->ctx, &sources, &cli->err);
	if (rc < 0)
		return rc;
	say_wanted(t, &sources, i.in);
	rc = cli_intent_save(cli, &i);
	if (rc < 0 || t->version)
		return rc;
	rc = kp_world_load(cli->ctx, opts, &w, &cli->err);
	if (rc < 0)
		return rc;
	pin_chosen(&w, t, i.in);
	return cli_intent_save(cli, &i);
}

static int install(struct cli *cli, struct cli_target *t)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	_cleanup_strv_ char **words = cli_target_words(t);
	struct kp_sync_opts opts = {
		.modules = words,
		.requested = true,
		.force = t->force,
		.jobs = t->jobs,
		.no_initramfs = t->no_initramfs,
	};
	int rc;

	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	rc = cli_target_source(cli, t, true);
	if (rc)
		return rc;
	rc = cli_target_kernels(cli, t);
	if (rc)
		return rc;
	opts.kernels = t->kernels;
	rc = change_intent(cli, t, &opts);
	if (rc < 0)
		return rc;
	rc = cli_sync(cli, &opts, &result);
	if (rc < 0)
		return rc;
	return cli_target_outcome(cli, t, &opts, &result);
}

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kafjI", &t, &rc) < 0)
		return rc;
	return install(cli, &t);
}

const struct cli_cmd cmd_install = {
	.name = "install",
	.args = "[-k K]... [--all] [-f] [-j N] [--no-initramfs] M[/V]",
	.summary = "Build a module and install its package; M/V pins that version",
	.options =
		"  -k, --kernel K      for this kernel (may be repeated); without it for\n"
		"                      the running one, or for all where that is not "
		"installed\n"
		"  -a, --all           for all installed kernels\n"
		"  -f, --force         build even if nothing changed\n"
		"  -j, --jobs N        run N jobs at once (default: one per processor)\n"
		"      --no-initramfs  leave the initramfs as it is\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
