// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/work.h"
#include "lib/adopt.h"
#include "lib/backend.h"

/* What a sync does not hold for long: packages are committed, an initramfs is made. */
#define LOCK_TIMEOUT_MS (5 * 60 * 1000)

static int print_found(struct cli *cli, const struct kp_adopt *a)
{
	_cleanup_(cli_table_clear) struct cli_table t = { .n_columns = 5 };

	for (size_t i = 0; i < a->n; i++) {
		const struct kp_adopt_item *x = &a->list[i];
		_cleanup_free_ char *note = NULL;

		if (x->path && x->why)
			note = kp_strf("%s: %s", x->path, x->why);
		cli_table_add(&t, kp_adopt_name(x->kind));
		cli_table_add(&t, x->module);
		cli_table_add(&t, x->version);
		cli_table_add(&t, x->kernel);
		cli_table_add(&t, note ? note : x->why ? x->why : x->path);
	}
	cli_table_print(&t, stdout, 0);
	if (!a->n && !cli->quiet)
		kp_info("nothing to adopt");
	return CLI_OK;
}

/* Said before it is done, so that an error has something to refer to. */
static size_t tell(const struct kp_adopt *a)
{
	size_t left = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct kp_adopt_item *x = &a->list[i];

		switch (x->kind) {
		case KP_ADOPT_PACKAGE:
		case KP_ADOPT_BUILD:
			kp_info("adopting the build of %s/%s for %s", x->module,
				x->version, x->kernel);
			break;
		case KP_ADOPT_PIN:
			kp_info("pinning %s/%s for %s: %s", x->module, x->version,
				x->kernel, x->why);
			break;
		case KP_ADOPT_PUT_BACK:
			kp_info("putting back %s", x->path);
			break;
		case KP_ADOPT_REMOVE:
			kp_info("removing %s: %s", x->path, x->why);
			break;
		case KP_ADOPT_NOT:
			kp_warn("not adopted: %s%s%s, kernel %s: %s", x->module,
				x->version ? "/" : "", x->version ? x->version : "",
				x->kernel, x->why);
			left++;
			break;
		}
	}
	return left;
}

static int adopt(struct cli *cli, size_t *ret_left)
{
	_cleanup_(kp_adopt_clear) struct kp_adopt a = { 0 };
	_cleanup_close_ int lock = -1;
	int rc;

	rc = kp_lock_main(cli->ctx, "adopt", LOCK_TIMEOUT_MS, &lock, &cli->err);
	if (rc == 0)
		rc = kp_adopt_find(cli->ctx, &a, &cli->err);
	if (rc < 0)
		return rc;
	*ret_left = tell(&a);
	if (!a.n && !cli_in_transaction(cli))
		kp_info("nothing to adopt");
	return kp_adopt_apply(cli->ctx, &a, &cli->err);
}

static int run_adopt(struct cli *cli, struct kp_sync_opts *opts, const char *if_backend)
{
	_cleanup_(kp_adopt_clear) struct kp_adopt a = { 0 };
	unsigned int flags = cli->cmd->flags;
	size_t left = 0;
	int rc;

	if (opts->dry_run)
		flags &= ~(unsigned int)CLI_MUTATES;
	rc = cli_open(cli, flags);
	if (rc < 0 || (if_backend && !kp_backend_is(cli->ctx, if_backend)))
		return rc;
	if (opts->dry_run) {
		rc = kp_adopt_find(cli->ctx, &a, &cli->err);
		return rc < 0 ? rc : print_found(cli, &a);
	}
	/* Below a running sync a request is all that may be left; the next adopt finds the rest. */
	if (!kp_sync_is_nested()) {
		rc = adopt(cli, &left);
		if (rc < 0)
			return rc;
	}
	rc = cli_sync_all(cli, opts);
	if (rc)
		return rc;
	return left && !cli_in_transaction(cli) ? CLI_FAILED : CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "dry-run", no_argument, NULL, 'n' },
		{ "no-initramfs", no_argument, NULL, 'I' },
		{ "if-backend", required_argument, NULL, 'b' },
		{ "nested", no_argument, NULL, 'N' },
		{ NULL, 0, NULL, 0 },
	};
	const char *if_backend = NULL;
	struct kp_sync_opts opts = { 0 };
	int c, rc = 0;

	while ((c = cli_getopt(cli, argc, argv, "n", longs, &rc)) >= 0) {
		if (c == 'n')
			opts.dry_run = true;
		else if (c == 'I')
			opts.no_initramfs = true;
		else if (c == 'N')
			cli->nested = true;
		else
			if_backend = optarg;
		cli->unattended = if_backend;
	}
	if (c == CLI_OPT_END)
		return rc;
	if (optind < argc)
		return cli_usage(cli, "adopt takes no argument");
	return run_adopt(cli, &opts, if_backend);
}

const struct cli_cmd cmd_adopt = {
	.name = "adopt",
	.args = "[-n]",
	.summary = "Take over what DKMS built and installed, without building it again",
	.options =
		"  -n, --dry-run       print what would be done, and what cannot be\n"
		"      --no-initramfs  leave the initramfs as it is\n"
		"      --if-backend B  do nothing unless B is this root's backend (for hooks)\n"
		"      --nested        the running transaction lets us commit in it (for hooks)\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
