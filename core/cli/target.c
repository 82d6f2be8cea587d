// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdint.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/target.h"
#include "cli/work.h"
#include "lib/backend.h"

void cli_target_clear(struct cli_target *t)
{
	free(t->module);
	free(t->version);
	kp_strv_free(t->kernels);
	*t = (struct cli_target){ 0 };
}

static int take_option(struct cli *cli, int c, struct cli_target *t)
{
	switch (c) {
	case 'k':
		return cli_parse_kernel(cli, optarg, &t->kernels);
	case 'j':
		return cli_parse_int(cli, "jobs", optarg, 1, 4096, &t->jobs);
	case 'a':
		t->all_kernels = true;
		return 0;
	case 'f':
		t->force = true;
		return 0;
	default:
		t->no_initramfs = true;
		return 0;
	}
}

int cli_target_parse(struct cli *cli, int argc, char **argv, const char *letters,
		     struct cli_target *ret, int *ret_status)
{
	static const struct option known[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "all", no_argument, NULL, 'a' },
		{ "force", no_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "no-initramfs", no_argument, NULL, 'I' },
	};
	struct option longs[KP_ARRAY_SIZE(known) + 1] = { 0 };
	_cleanup_buf_ struct kp_buf shorts = KP_BUF_INIT;
	size_t n = 0;
	int c;

	kp_buf_adds(&shorts, "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(known); i++) {
		if (!strchr(letters, known[i].val))
			continue;
		longs[n++] = known[i];
		if (known[i].val != 'I')
			kp_buf_addf(&shorts, "%c%s", known[i].val,
				    known[i].has_arg ? ":" : "");
	}
	while ((c = cli_getopt(cli, argc, argv, shorts.s, longs, ret_status)) >= 0) {
		*ret_status = take_option(cli, c, ret);
		if (*ret_status)
			return CLI_OPT_END;
	}
	if (c == CLI_OPT_END)
		return c;
	if (argc - optind != 1)
		*ret_status = cli_usage(cli, argc == optind ? "no module is named"
							    : "one module at a time");
	else if (ret->kernels && ret->all_kernels)
		*ret_status = cli_usage(cli, "-k and --all exclude each other");
	else
		*ret_status =
			cli_parse_module(cli, argv[optind], &ret->module, &ret->version);
	return *ret_status ? CLI_OPT_END : 0;
}

char **cli_target_words(const struct cli_target *t)
{
	char **v = NULL;

	if (t->version)
		kp_strv_addf(&v, "%s/%s", t->module, t->version);
	else
		kp_strv_add(&v, t->module);
	return v;
}

bool cli_target_is(const struct cli_target *t, const char *module, const char *version)
{
	return kp_str_eq(t->module, module) &&
	       (!t->version || kp_str_eq(t->version, version));
}

int cli_target_unknown(struct cli *cli, const struct cli_target *t)
{
	return cli_fail(cli, CLI_NOT_REGISTERED, "%s%s%s is not registered", t->module,
			t->version ? "/" : "", t->version ? t->version : "");
}

int cli_target_source(struct cli *cli, const struct cli_target *t, bool reg)
{
	_cleanup_(kp_sources_clear) struct kp_sources known = { 0 }, others = { 0 };
	const struct kp_source *s;
	int rc;

	rc = kp_sources_load(cli->ctx, &known, &cli->err);
	if (rc < 0)
		return rc;
	if (kp_sources_find(&known, t->module, t->version))
		return 0;
	if (!reg)
		return cli_target_unknown(cli, t);
	rc = kp_sources_unregistered(cli->ctx, &known, &others, &cli->err);
	if (rc < 0)
		return rc;
	s = kp_sources_find(&others, t->module, t->version);
	if (!s)
		return cli_target_unknown(cli, t);
	return cli_register(cli, s->module, s->version);
}

int cli_target_kernels(struct cli *cli, struct cli_target *t)
{
	_cleanup_(kp_kernels_clear) struct kp_kernels kernels = { 0 };
	const char *running = kp_kernel_running();
	const struct kp_kernel *k;
	int rc;

	if (t->kernels)
		return 0;
	rc = kp_kernels_load(cli->ctx, NULL, &kernels, &cli->err);
	if (rc < 0)
		return rc;
	k = running && !t->all_kernels ? kp_kernels_find(&kernels, running) : NULL;
	if (k && k->present) {
		kp_strv_add(&t->kernels, running);
		return 0;
	}
	for (size_t i = 0; i < kernels.n; i++) {
		if (kernels.list[i].present)
			kp_strv_add(&t->kernels, kernels.list[i].release);
	}
	if (!t->kernels)
		return cli_fail(cli, CLI_FAILED,
				"no kernel is installed here; name one with -k");
	return 0;
}

/* The row that tells of KERNEL: of the version that was named, else of the wanted one. */
static const struct kp_plan_row *find_row(const struct kp_world *w,
					  const struct cli_target *t, const char *kernel)
{
	const struct kp_plan_row *found = NULL;

	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];

		if (!kp_str_eq(row->module, t->module) || row->pair == SIZE_MAX ||
		    !kp_str_eq(row->kernel, kernel))
			continue;
		if (t->version) {
			if (kp_str_eq(row->version, t->version))
				return row;
		} else if (!found || row->wanted) {
			found = row;
			if (row->wanted)
				break;
		}
	}
	return found;
}

/* The kernels that are installed, in words, to be freed; NULL: none. */
static char *name_installed(struct cli *cli)
{
	_cleanup_(kp_kernels_clear) struct kp_kernels kernels = { 0 };
	_cleanup_strv_ char **names = NULL;

	if (kp_kernels_load(cli->ctx, NULL, &kernels, NULL) < 0)
		return NULL;
	for (size_t i = 0; i < kernels.n; i++)
		if (kernels.list[i].present)
			kp_strv_add(&names, kernels.list[i].release);
	return names ? kp_strv_join(names, ", ") : NULL;
}

int cli_no_headers(struct cli *cli, const char *kernel)
{
	const struct kp_backend *b = cli->ctx->backend;
	_cleanup_free_ char *command = NULL, *installed = NULL;

	/* Mistyped; or the one that runs, which is not this root's or was upgraded. */
	if (!kp_kernel_is_present(cli->ctx, kernel))
		installed = name_installed(cli);
	if (installed)
		return cli_fail(cli, CLI_NO_HEADERS,
				"no kernel %s is installed here, nor are its headers; name "
				"one that is with -k: %s",
				kernel, installed);
	if (b && b->ops->suggest_headers &&
	    b->ops->suggest_headers(b->db, kernel, &command, NULL))
		command = NULL;
	if (command)
		return cli_fail(cli, CLI_NO_HEADERS,
				"the headers of kernel %s are not installed: %s", kernel,
				command);
	return cli_fail(cli, CLI_NO_HEADERS, "the headers of kernel %s are not installed",
			kernel);
}

static int row_outcome(struct cli *cli, const struct kp_world *w,
		       const struct kp_plan_row *row, bool build_only)
{
	const struct kp_plan_pair *x = &w->input.pairs[row->pair];
	const struct kp_world_pair *wp = &w->pairs[row->pair];
	const char *note = row->note ? row->note : kp_state_name(row->state);

	if (x->conf == KP_PLAN_CONF_BAD)
		return cli_fail(cli, CLI_BAD_CONF, "%s", wp->problem);
	if (x->conf == KP_PLAN_CONF_EXCLUDED)
		return cli_fail(cli, CLI_EXCLUDED, "%s/%s is excluded for kernel %s: %s",
				row->module, row->version, row->kernel, x->conf_reason);
	if (!w->input.kernels[x->kernel].headers)
		return cli_no_headers(cli, row->kernel);
	if (build_only && row->key && kp_str_eq(x->built_key, row->key))
		return CLI_OK;
	if (!build_only &&
	    (row->state == KP_STATE_INSTALLED || row->state == KP_STATE_QUEUED))
		return CLI_OK;
	if (row->state == KP_STATE_BLOCKED)
		return cli_fail(cli, CLI_BLOCKED, "%s/%s is blocked for kernel %s: %s",
				row->module, row->version, row->kernel, note);
	/* The failed build itself was reported when it happened. */
	if (row->key && kp_str_eq(x->failed_key, row->key))
		return wp->record->exit_code > 0 ? wp->record->exit_code : CLI_FAILED;
	return cli_fail(cli, CLI_FAILED, "%s/%s is not %s for kernel %s: %s", row->module,
			row->version, build_only ? "built" : "installed", row->kernel,
			note);
}

int cli_target_outcome(struct cli *cli, const struct cli_target *t,
		       const struct kp_sync_opts *opts,
		       const struct kp_sync_result *result)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts look = *opts;
	bool queued = false;
	int rc, status = CLI_OK;

	if (kp_sync_is_nested())
		return CLI_OK; /* the outer sync does it and reports */
	look.force = look.reinstall = false;
	rc = kp_world_load(cli->ctx, &look, &w, &cli->err);
	if (rc < 0)
		return rc;
	kp_strv_foreach(k, t->kernels) {
		const struct kp_plan_row *row = find_row(&w, t, *k);

		queued |= row && row->state == KP_STATE_QUEUED;
		/* The words and the status of the first that failed. */
		if (status == CLI_OK)
			status = row ? row_outcome(cli, &w, row, opts->build_only)
				     : cli_no_headers(cli, *k);
	}
	if (status == CLI_FAILED && result->exit_code)
		status = result->exit_code;
	if (status == CLI_OK && cli_did_nothing(result) && !queued)
		kp_info("%s is %s already", opts->modules[0],
			opts->build_only ? "built" : "installed");
	if (status == CLI_OK || !cli_in_transaction(cli))
		return status;
	if (cli->err.text[0])
		kp_warn("%s", cli->err.text);
	cli->err = (struct kp_err)KP_ERR_INIT;
	return CLI_OK;
}
