// SPDX-License-Identifier: GPL-2.0-or-later
#include <kmodpkg/log.h>

#include "base/str.h"
#include "cli/target.h"
#include "cli/work.h"
#include "lib/backend.h"

/* Hold every version of the module that is registered or installed, or the one that was
 * named. False: there is none. */
static bool hold_all(const struct cli_target *t, const struct kp_world *w,
		     struct kp_intent *in)
{
	bool any = false;

	kp_strv_foreach(k, t->kernels) {
		for (size_t i = 0; i < w->sources.n; i++) {
			const struct kp_source *s = &w->sources.list[i];

			if (!cli_target_is(t, s->module, s->version))
				continue;
			kp_intent_set(in, s->module, s->version, *k, KP_INTENT_HOLD);
			any = true;
		}
		for (size_t i = 0; i < w->input.n_packages; i++) {
			const struct kp_plan_package *p = &w->input.packages[i];

			if (!cli_target_is(t, p->module, p->version))
				continue;
			any = true;
			if (kp_str_eq(p->kernel, *k))
				kp_intent_set(in, p->module, p->version, *k,
					      KP_INTENT_HOLD);
		}
	}
	return any;
}

int cli_target_hold(struct cli *cli, const struct cli_target *t)
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
	if (!hold_all(t, &w, i.in))
		return cli_target_unknown(cli, t);
	return cli_intent_save(cli, &i);
}

static int uninstall(struct cli *cli, struct cli_target *t)
{
	_cleanup_strv_ char **words = cli_target_words(t);
	struct kp_sync_opts opts = { .modules = words, .no_initramfs = t->no_initramfs };
	int rc;

	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	rc = cli_target_kernels(cli, t);
	if (rc)
		return rc;
	rc = cli_target_hold(cli, t);
	if (rc)
		return rc;
	kp_strv_foreach(k, t->kernels)
		kp_info("holding %s for %s", words[0], *k);
	opts.kernels = t->kernels;
	return cli_sync_all(cli, &opts);
}

static int run(struct cli *cli, int argc, char **argv)
{
	_cleanup_(cli_target_clear) struct cli_target t = { 0 };
	int rc;

	if (cli_target_parse(cli, argc, argv, "kaI", &t, &rc) < 0)
		return rc;
	return uninstall(cli, &t);
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
		"      --no-initramfs  leave the initramfs as it is\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
