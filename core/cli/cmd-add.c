// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "cli/work.h"

/* Neither a module by name nor a tree: WORD is a path. */
static int no_tree(struct cli *cli, const char *word)
{
	struct stat st;

	if (stat(word, &st) < 0)
		return cli_fail(cli, CLI_FAILED, "%s: %s", word, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return cli_fail(cli, CLI_FAILED,
				"%s has no dkms.conf, so it is no module source", word);
	return cli_fail(cli, CLI_FAILED,
			"%s is not a directory: name the one that has the dkms.conf; "
			"archives are for dkms ldtarball",
			word);
}

static int add_version(struct cli *cli, const char *module, const char *version,
		       bool force)
{
	_cleanup_free_ char *name = NULL, *dir = NULL;
	int rc;

	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	if (cli_is_registered(cli, module, version) && !force)
		return cli_fail(cli, CLI_NOT_REGISTERED, "%s/%s is registered already",
				module, version);
	name = kp_strf("%s-%s", module, version);
	dir = kp_path_join(cli->ctx->source_tree, name);
	if (!kp_is_dir_in(cli->ctx->root_fd, dir))
		return cli_fail(cli, CLI_FAILED, "%s is not there", dir);
	return cli_register(cli, module, version);
}

static int add_named(struct cli *cli, const char *word, bool force)
{
	_cleanup_free_ char *module = NULL, *version = NULL;
	int rc;

	if (*word == '/' || *word == '.')
		return no_tree(cli, word);
	rc = cli_parse_module(cli, word, &module, &version);
	if (rc == 0 && version)
		return add_version(cli, module, version, force);
	if (access(word, F_OK) == 0)
		return no_tree(cli, word);
	return rc ? rc
		  : cli_usage(cli, "'%s' is neither MODULE/VERSION nor a directory",
			      word);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "force", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int tree = -1;
	bool force = false;
	int c, rc;

	while ((c = cli_getopt(cli, argc, argv, "f", opts, &rc)) >= 0)
		force = true;
	if (c == CLI_OPT_END)
		return rc;
	if (argc - optind != 1)
		return cli_usage(cli, argc == optind ? "no source is named"
						     : "one source at a time");
	tree = cli_open_tree(argv[optind], &name);
	if (tree < 0)
		return add_named(cli, argv[optind], force);
	rc = cli_open(cli, cli->cmd->flags);
	return rc < 0 ? rc
		      : cli_add_tree(cli, tree, name,
				     force ? CLI_ADD_REPLACE : CLI_ADD_NEW);
}

const struct cli_cmd cmd_add = {
	.name = "add",
	.args = "[-f] M/V | DIR",
	.summary = "Register a module source, of /usr/src or copied from a directory",
	.options =
		"  M/V          register /usr/src/M-V\n"
		"  DIR          copy the tree with this dkms.conf to /usr/src and register it\n"
		"  -f, --force  replace a tree and a registration that are there\n\n"
		"The next kmodpkg sync builds it.\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
