// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/target.h"

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kafjI", &t, &rc) < 0)
		return rc;
	rc = cli_open(cli, cli->cmd->flags);
	return rc < 0 ? rc : cli_make(cli, &t, true);
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
		"  -f, --force         install even if it is installed\n"
		"  -j, --jobs N        run N jobs at once (default: one per processor)\n"
		"      --no-initramfs  leave the initramfs as it is\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
