// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "lib/backend.h"
#include "lib/install.h"
#include "lib/settle.h"
#include "lib/sync.h"

/* The number of the schema that kmodpkg(8) describes. A new key does not change it. */
#define SCHEMA 1

struct filter {
	struct {
		char *module, *version;
	} * modules;
	size_t n_modules;
	char **kernels;
};

static void filter_clear(struct filter *f)
{
	for (size_t i = 0; i < f->n_modules; i++) {
		free(f->modules[i].module);
		free(f->modules[i].version);
	}
	free(f->modules);
	kp_strv_free(f->kernels);
}

static bool matches(const struct filter *f, const struct kp_plan_row *row)
{
	if (f->kernels && row->kernel && !kp_strv_has(f->kernels, row->kernel))
		return false;
	for (size_t i = 0; i < f->n_modules; i++) {
		if (kp_str_eq(f->modules[i].module, row->module) &&
		    (!f->modules[i].version ||
		     kp_str_eq(f->modules[i].version, row->version)))
			return true;
	}
	return !f->n_modules;
}

/* A name that was mistyped must not look like a module without problems. */
static int check_names(struct cli *cli, const struct kp_world *w, const struct filter *f)
{
	_cleanup_strv_ char **unknown = NULL;
	_cleanup_free_ char *all = NULL;

	for (size_t i = 0; i < f->n_modules; i++) {
		const char *module = f->modules[i].module;
		const char *version = f->modules[i].version;
		bool known = false;

		for (size_t j = 0; !known && j < w->plan.n_rows; j++)
			known = kp_str_eq(w->plan.rows[j].module, module) &&
				(!version || kp_str_eq(w->plan.rows[j].version, version));
		if (!known)
			kp_strv_addf(&unknown, "%s%s%s", module, version ? "/" : "",
				     version ? version : "");
	}
	if (!unknown)
		return CLI_OK;
	all = kp_strv_join(unknown, ", ");
	return cli_fail(cli, CLI_NOT_REGISTERED, "%s: not registered", all);
}

/* What is wrong with the system as a whole, or with something that has no row. */
static int find_problems(struct cli *cli, const struct kp_world *w, char ***ret)
{
	_cleanup_strv_ char **unsettled = NULL, **problems = NULL, **refusals = NULL;
	int rc;

	rc = kp_unsettled_list(cli->ctx, &unsettled, &cli->err);
	if (rc < 0)
		return rc;
	kp_strv_foreach(k, unsettled)
		kp_strv_addf(&problems,
			     "kernel %s: depmod or its initramfs is not up to date; "
			     "kmodpkg sync finishes it",
			     *k);
	if (w->queue.n)
		kp_strv_addf(&problems,
			     "%zu %s for the package manager; kmodpkg sync finishes it",
			     w->queue.n,
			     w->queue.n == 1 ? "package change waits"
					     : "package changes wait");
	for (size_t i = 0; i < w->unregistered.n; i++) {
		const struct kp_source *s = &w->unregistered.list[i];

		if (s->problem)
			kp_strv_addf(&problems, "%s: %s", s->dir, s->problem);
		else if (kp_world_registers(w, s))
			kp_strv_addf(&problems,
				     "%s is not registered yet; kmodpkg sync does it",
				     s->dir);
	}
	if (w->input.no_autoinstall)
		kp_strv_add(&problems,
			    "/etc/dkms/no-autoinstall: nothing is built unless "
			    "asked for");
	refusals = kp_script_refusals(cli->ctx, w);
	kp_strv_foreach(line, refusals)
		kp_strv_add(&problems, *line);
	kp_strv_foreach(line, cli->ctx->config.problems)
		kp_strv_add(&problems, *line);
	*ret = kp_steal(&problems);
	return 0;
}

static const struct kp_pkg_installed *find_package(const struct kp_world *w,
						   const struct kp_plan_row *row)
{
	for (size_t i = 0; i < w->n_packages; i++) {
		if (row->package && kp_str_eq(w->packages[i].name, row->package) &&
		    kp_str_eq(w->packages[i].id.kernel, row->kernel))
			return &w->packages[i];
	}
	return NULL;
}

static json_t *row_json(struct cli *cli, const struct kp_world *w,
			const struct kp_plan_row *row)
{
	const struct kp_world_pair *pair = NULL;
	const struct kp_record *record = NULL;
	const struct kp_pkg_installed *pkg = find_package(w, row);
	const struct kp_source *source =
		kp_sources_find(&w->sources, row->module, row->version);
	const char *action = kp_action_name(row->action);
	json_t *o = json_object();

	if (row->pair != SIZE_MAX)
		pair = &w->pairs[row->pair];
	if (pair)
		record = pair->record;
	cli_json_set(o, "module", cli_json_text(row->module));
	cli_json_set(o, "version", cli_json_text(row->version));
	cli_json_set(o, "kernel", cli_json_text(row->kernel));
	cli_json_set(o, "arch", cli_json_text(cli->ctx->arch));
	cli_json_set(o, "state", cli_json_text(kp_state_name(row->state)));
	cli_json_set(o, "action", cli_json_text(*action ? action : NULL));
	cli_json_set(o, "note", cli_json_text(row->note));
	cli_json_set(o, "package", cli_json_text(row->package));
	cli_json_set(o, "package_version", cli_json_text(pkg ? pkg->pkg_version : NULL));
	cli_json_set(o, "source", cli_json_text(source ? source->dir : NULL));
	cli_json_set(o, "source_package", cli_json_text(source ? source->package : NULL));
	cli_json_set(o, "key", cli_json_text(row->key));
	cli_json_set(o, "built_key", cli_json_text(record ? record->key : NULL));
	cli_json_set(o, "log", cli_json_text(record ? record->log : NULL));
	cli_json_set(o, "build_time", record ? json_integer(record->time) : json_null());
	cli_json_set(o, "build_ms",
		     record ? json_integer(record->elapsed_ms) : json_null());
	cli_json_set(o, "signed",
		     record && record->result == KP_BUILD_OK
			     ? json_boolean(record->is_signed)
			     : json_null());
	cli_json_set(o, "cached",
		     record && record->result == KP_BUILD_OK
			     ? json_boolean(record->cached)
			     : json_null());
	return o;
}

static void print_json(struct cli *cli, const struct kp_world *w, const struct filter *f,
		       char *const *problems)
{
	json_t *root = json_object(), *modules = json_array();

	cli_json_set(root, "schema", json_integer(SCHEMA));
	cli_json_set(root, "root", cli_json_text(cli->ctx->root));
	cli_json_set(root, "backend", cli_json_text(cli->ctx->backend->ops->name));
	cli_json_set(root, "running_kernel", cli_json_text(kp_kernel_running()));
	for (size_t i = 0; i < w->plan.n_rows; i++) {
		if (matches(f, &w->plan.rows[i]))
			json_array_append_new(modules,
					      row_json(cli, w, &w->plan.rows[i]));
	}
	cli_json_set(root, "modules", modules);
	cli_json_set(root, "problems", cli_json_texts(problems));
	cli_json_print(root);
}

static void print_table(struct cli *cli, const struct kp_world *w, const struct filter *f)
{
	_cleanup_(cli_table_clear) struct cli_table t = { .n_columns = 6 };
	static const char *const head[] = { "MODULE", "VERSION", "KERNEL",
					    "STATE",  "PACKAGE", "NOTE" };
	struct winsize ws = { 0 };
	size_t width = 0;

	for (size_t i = 0; i < KP_ARRAY_SIZE(head); i++)
		cli_table_add(&t, head[i]);
	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];

		if (!matches(f, row))
			continue;
		cli_table_add(&t, row->module);
		cli_table_add(&t, row->version);
		cli_table_add(&t, row->kernel);
		cli_table_add(&t, kp_state_name(row->state));
		cli_table_add(&t, row->package);
		cli_table_add(&t, row->note);
	}
	if (t.n_cells == t.n_columns) {
		if (f->n_modules && !f->kernels)
			return; /* check_names() says it */
		kp_info(w->plan.n_rows ? "no module matches"
				       : "no module source is registered");
		return;
	}
	if (!cli->verbose && isatty(STDOUT_FILENO) &&
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
		width = ws.ws_col;
	cli_table_print(&t, stdout, width);
}

/* How to come by the headers that are missing. Slow, so only for a person who looks. */
static void suggest_headers(struct cli *cli, const struct kp_world *w,
			    const struct filter *f)
{
	const struct kp_backend *b = cli->ctx->backend;
	_cleanup_strv_ char **seen = NULL;

	if (!b->ops->suggest_headers || cli->quiet ||
	    !(cli->verbose || isatty(STDOUT_FILENO)))
		return;
	for (size_t i = 0; i < w->plan.n_rows; i++) {
		const struct kp_plan_row *row = &w->plan.rows[i];
		_cleanup_free_ char *command = NULL;

		if (row->state != KP_STATE_NO_HEADERS || !matches(f, row) ||
		    kp_strv_has(seen, row->kernel))
			continue;
		kp_strv_add(&seen, row->kernel);
		if (b->ops->suggest_headers(b->db, row->kernel, &command, NULL) == 0)
			kp_info("headers of kernel %s: %s", row->kernel, command);
	}
}

static int status(struct cli *cli, const struct filter *f, bool json)
{
	_cleanup_(kp_world_clear) struct kp_world world = { 0 };
	_cleanup_strv_ char **problems = NULL;
	struct kp_sync_opts opts = { 0 };
	int rc;

	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	/* JSON has more of a record than the plan; and which scripts are refused is in the confs. */
	opts.brief = !json && kp_script_all_allowed(cli->ctx);
	rc = kp_world_load(cli->ctx, &opts, &world, &cli->err);
	if (rc < 0)
		return rc;
	rc = find_problems(cli, &world, &problems);
	if (rc < 0)
		return rc;
	if (json) {
		print_json(cli, &world, f, problems);
		return check_names(cli, &world, f);
	}
	print_table(cli, &world, f);
	/* The table before what follows on stderr. */
	if (fflush(stdout))
		return kp_err_sys(&cli->err, -errno, "writing the output");
	kp_strv_foreach(p, problems)
		kp_warn("%s", *p);
	suggest_headers(cli, &world, f);
	return check_names(cli, &world, f);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'J' },
		{ NULL, 0, NULL, 0 },
	};
	_cleanup_(filter_clear) struct filter f = { 0 };
	bool json = false;
	int c, rc;

	while ((c = cli_getopt(cli, argc, argv, "k:", opts, &rc)) >= 0) {
		if (c == 'J') {
			json = true;
			continue;
		}
		rc = cli_parse_kernel(cli, optarg, &f.kernels);
		if (rc)
			return rc;
	}
	if (c == CLI_OPT_END)
		return rc;
	f.modules = kp_calloc((size_t)(argc - optind), sizeof(*f.modules));
	for (; optind < argc; optind++, f.n_modules++) {
		rc = cli_parse_module(cli, argv[optind], &f.modules[f.n_modules].module,
				      &f.modules[f.n_modules].version);
		if (rc)
			return rc;
	}
	return status(cli, &f, json);
}

const struct cli_cmd cmd_status = {
	.name = "status",
	.args = "[-k K]... [--json] [M[/V]]...",
	.summary = "Show each module's state, package and what is wrong",
	.options = "  -k, --kernel K  only this kernel (may be repeated)\n"
		   "      --json      for programs: JSON; kmodpkg(8) describes it\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_REPORTS,
};
