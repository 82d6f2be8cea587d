// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/str.h"
#include "cli/target.h"
#include "cli/work.h"

static int build(struct cli *cli, struct cli_target *t)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	_cleanup_strv_ char **words = cli_target_words(t);
	struct kp_sync_opts opts = {
		.modules = words,
		.requested = true,
		.force = t->force,
		.build_only = true,
		.jobs = t->jobs,
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
	rc = cli_sync(cli, &opts, &result);
	if (rc < 0)
		return rc;
	return cli_target_outcome(cli, t, &opts, &result);
}

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kafj", &t, &rc) < 0)
		return rc;
	return build(cli, &t);
}

const struct cli_cmd cmd_build = {
	.name = "build",
	.args = "[-k K]... [--all] [-f] [-j N] M[/V]",
	.summary = "Build a module without installing it",
	.options =
		"  -k, --kernel K  for this kernel (may be repeated); without it for the\n"
		"                  running one, or for all where that is not installed\n"
		"  -a, --all       for all installed kernels\n"
		"  -f, --force     build even if nothing changed\n"
		"  -j, --jobs N    run N jobs at once (default: one per processor)\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
