// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/target.h"

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kaI", &t, &rc) < 0)
		return rc;
	rc = cli_open(cli, cli->cmd->flags);
	return rc < 0 ? rc : cli_remove(cli, &t);
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
