// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"
#include "lib/backend.h"

/* Operands as absolute paths; relative ones mean the caller's directory, which says
 * nothing about another root. */
static int make_absolute(struct cli *cli, char *const *files, char ***ret)
{
	_cleanup_strv_ char **paths = NULL;
	_cleanup_free_ char *cwd = NULL;

	kp_strv_foreach(f, files) {
		if (**f == '/') {
			kp_strv_take(&paths, kp_path_join(*f, ""));
			continue;
		}
		if (cli->root)
			return cli_usage(cli, "%s: with --root a path has to be absolute",
					 *f);
		if (!cwd && !(cwd = getcwd(NULL, 0)))
			return kp_err_sys(&cli->err, -errno, "the current directory");
		kp_strv_take(&paths, kp_path_join(cwd, *f));
	}
	*ret = kp_steal(&paths);
	return 0;
}

static int print_owners(struct cli *cli, char *const *files, char *const *paths)
{
	size_t n = kp_strv_len(paths);
	struct kp_owner *owners;
	struct stat st;
	int rc, status = CLI_OK;

	rc = kp_backend_owners(cli->ctx, paths, &owners, &cli->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		if (owners[i].package) {
			printf("%s: %s %s\n", files[i], owners[i].package,
			       owners[i].version ? owners[i].version : "");
			continue;
		}
		kp_log(KP_LOG_ERR, "%s: %s", files[i],
		       kp_lstat_in(cli->ctx->root_fd, paths[i], &st) == -ENOENT
			       ? "no such file, and no package has it"
			       : "owned by no package");
		status = CLI_FAILED;
	}
	kp_owners_free(owners, n);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_strv_ char **paths = NULL;
	int c, rc;

	while ((c = cli_getopt(cli, argc, argv, "", NULL, &rc)) >= 0)
		;
	if (c == CLI_OPT_END)
		return rc;
	if (optind == argc)
		return cli_usage(cli, "no file is named");
	rc = make_absolute(cli, argv + optind, &paths);
	if (rc)
		return rc;
	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	return print_owners(cli, argv + optind, paths);
}

const struct cli_cmd cmd_owner = {
	.name = "owner",
	.args = "FILE...",
	.summary = "Print the package, with its version, that owns a file",
	.options =
		"A line for each file: \"FILE: PACKAGE VERSION\". Exit status 1 when one of them\n"
		"is owned by no package, which is said of each. For a module by name:\n"
		"kmodpkg owner $(modinfo -n NAME)\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND,
};
