// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/cli.h"
#include "cli/work.h"
#include "lib/backend.h"
#include "lib/removal.h"

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "if-backend", required_argument, NULL, 'B' },
		{ "nested", no_argument, NULL, 'N' },
		{ NULL, 0, NULL, 0 },
	};
	struct kp_sync_opts all = { 0 };
	const char *backend = NULL;
	bool decide;
	int c, rc;

	while ((c = cli_getopt(cli, argc, argv, "", opts, &rc)) >= 0) {
		if (c == 'N')
			cli->nested = true;
		else
			backend = optarg;
	}
	if (c == CLI_OPT_END)
		return rc;
	if (optind < argc)
		return cli_usage(cli, "it takes no argument");
	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	/* Only one that is nested comes when all that the transaction brings is there. */
	decide = cli->nested && kp_removal_is_pending(cli->ctx);
	/* Most transactions leave nothing to do: then no package manager's library is loaded. */
	if (!decide && !kp_drain_is_due(cli->ctx))
		return CLI_OK;
	rc = cli_open_backend(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	if (backend && !kp_backend_is(cli->ctx, backend))
		return CLI_OK;
	return decide ? cli_sync_all(cli, &all) : kp_drain(cli->ctx, &cli->err);
}

const struct cli_cmd cmd_drain = {
	.name = "drain",
	.args = "[--if-backend NAME] [--nested]",
	.summary =
		"Commit queued packages and settle: what the end of a transaction runs",
	.options =
		"      --if-backend NAME  do nothing unless NAME is this root's backend\n"
		"      --nested           the running transaction lets us commit inside of it\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_ENTERS_ROOT | CLI_MUTATES | CLI_HIDDEN,
};
