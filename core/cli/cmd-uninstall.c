// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/target.h"

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kaI", &t, &rc) < 0)
		return rc;
	rc = cli_open(cli, cli->cmd->flags);
	return rc < 0 ? rc : cli_uninstall(cli, &t);
}

const struct cli_cmd cmd_uninstall = {
	.name = "uninstall",
	.args = "[-k K]... [--all] [--no-initramfs] M[/V]",
	.summary = "Erase a module's package and keep it away (hold)",
	.options =
		"  -k, --kernel K      for this kernel (may be repeated); without it for\n"
		"                      the running one, or for all where that is not "
		"installed\n"
		"  -a, --all           for all installed kernels\n"
		"      --no-initramfs  leave the initramfs as it is\n\n"
		"M is held whatever its version; with M/V another version that comes\n"
		"later is installed. kmodpkg install lifts it.\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
