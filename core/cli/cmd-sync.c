// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/work.h"
#include "lib/backend.h"
#include "lib/settle.h"

struct request {
	struct kp_sync_opts opts;
	char **modules, **kernels; /* owned; opts points to them */
	const char *if_backend;
};

static void request_clear(struct request *r)
{
	kp_strv_free(r->modules);
	kp_strv_free(r->kernels);
}

static void add_row(struct cli_table *t, const char *action, const char *module,
		    const char *version, const char *kernel, const char *state,
		    const char *note)
{
	cli_table_add(t, action);
	cli_table_add(t, module);
	cli_table_add(t, version);
	cli_table_add(t, kernel);
	cli_table_add(t, state);
	cli_table_add(t, note);
}

static void add_plan_row(struct cli_table *t, const struct kp_plan_row *row)
{
	const char *action = kp_action_name(row->action);

	if (row->action == KP_ACTION_NONE)
		action = row->state == KP_STATE_FAILED ? "leave" : "keep";
	add_row(t, action, row->module, row->version, row->kernel,
		kp_state_name(row->state), row->note);
}

/* What a drain does, which is the last part of a sync. Count of rows. */
static int add_due_rows(struct cli *cli, struct cli_table *t, const struct kp_world *w)
{
	_cleanup_strv_ char **marked = NULL;
	int n = (int)w->queue.n;
	int rc = kp_unsettled_list(cli->ctx, &marked, &cli->err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < w->queue.n; i++) {
		const struct kp_queue_entry *e = &w->queue.list[i];

		add_row(t, "commit", e->id.module, e->id.version, e->id.kernel,
			kp_state_name(KP_STATE_QUEUED), e->reason);
	}
	kp_strv_foreach(k, marked) {
		add_row(t, "settle", NULL, NULL, *k, NULL,
			kp_mark_text(kp_unsettled_get(cli->ctx, *k)));
		n++;
	}
	return n;
}

/* What a sync would do, and what it does not try; with -v also what stays as it is. */
static int print_plan(struct cli *cli, const struct kp_sync_opts *opts)
{
	_cleanup_(cli_table_clear) struct cli_table t = { .n_columns = 6 };
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	int rc;

	rc = kp_world_load(cli->ctx, opts, &w, &cli->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < w.plan.n_rows; i++) {
		const struct kp_plan_row *row = &w.plan.rows[i];

		if (row->action != KP_ACTION_NONE || cli->verbose ||
		    (row->state == KP_STATE_FAILED && kp_sync_selects(opts, row)))
			add_plan_row(&t, row);
	}
	rc = add_due_rows(cli, &t, &w);
	if (rc < 0)
		return rc;
	cli_table_print(&t, stdout, 0);
	if (!w.plan.n_actions && !rc)
		kp_info("nothing to do");
	return CLI_OK;
}

static void add_count(struct kp_buf *b, const char *what, size_t n)
{
	if (n)
		kp_buf_addf(b, "%s%s %zu", b->len ? ", " : "", what, n);
}

static void tell_remembered(const struct kp_sync_result *r)
{
	_cleanup_free_ char *names = kp_strv_join(r->remembered_names, ", ");

	kp_warn("%zu %s before and nothing changed since (%s); kmodpkg status says why, "
		"kmodpkg build tries again",
		r->remembered, r->remembered == 1 ? "build failed" : "builds failed",
		names);
}

static void summarize(struct cli *cli, const struct kp_sync_result *r)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	add_count(&b, "built", r->built - r->cached);
	add_count(&b, "taken from the cache", r->cached);
	add_count(&b, "installed", r->installed);
	add_count(&b, "queued", r->queued - r->queued_erases);
	add_count(&b, "to be erased", r->queued_erases);
	add_count(&b, "erased", r->erased);
	add_count(&b, "blocked", r->blocked);
	add_count(&b, "failed", r->failed);
	if (b.len)
		kp_info("%s", b.s);
	else if (r->settled && !cli_in_transaction(cli))
		kp_info("did depmod and initramfs, as far as due, for %zu %s", r->settled,
			r->settled == 1 ? "kernel" : "kernels");
	else if (!r->remembered && !cli_in_transaction(cli))
		kp_info("nothing to do");
	/* Several syncs see to one transaction: a failure of an earlier one was told by it. The one
	 * that brings something tells of the others. */
	if (r->remembered && (!cli_in_transaction(cli) || r->built || r->installed))
		tell_remembered(r);
}

/* A kernel without headers gets no modules, silently with DKMS. In a transaction that is said
 * when it is news: of a kernel that is named, since it is being installed, when a source
 * came, and by those hooks that come only when modules are concerned, once; elsewhere to a
 * person at a terminal. Where to get headers is a slow question, so it is not asked at boot. */
static void tell_no_headers(struct cli *cli, const struct kp_sync_opts *opts,
			    const struct kp_sync_result *r)
{
	const struct kp_backend *b = cli->ctx->backend;

	bool news = opts->kernels || r->registered;

	/* One that erases nothing is followed by one that does. */
	if (cli->nested ? opts->no_erase
			: !news && (!isatty(STDERR_FILENO) || cli_in_transaction(cli)))
		return;
	kp_strv_foreach(k, r->no_headers) {
		_cleanup_free_ char *command = NULL;

		if (b->ops->suggest_headers && !opts->boot)
			(void)b->ops->suggest_headers(b->db, *k, &command, NULL);
		kp_warn("modules for kernel %s cannot be built, its headers are not "
			"installed%s%s",
			*k, command ? "; get them with: " : "", command ? command : "");
	}
}

/* A name that was mistyped must not look like work done. */
static int check_names(struct cli *cli, const struct request *r)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	int rc;

	if (!r->modules)
		return 0;
	rc = kp_sources_load(cli->ctx, &sources, &cli->err);
	if (rc < 0)
		return rc;
	kp_strv_foreach(p, r->modules) {
		_cleanup_strv_ char **words = kp_strv_split(*p, "/");

		if (!kp_sources_find(&sources, words[0], words[1]))
			return cli_fail(cli, CLI_NOT_REGISTERED,
					"%s is not registered; kmodpkg status lists what "
					"is, kmodpkg add registers a source",
					*p);
	}
	return 0;
}

static int sync_all(struct cli *cli, struct kp_sync_opts *opts)
{
	_cleanup_(kp_sync_result_clear) struct kp_sync_result result = { 0 };
	int rc;

	rc = cli_sync(cli, opts, &result);
	if (rc == -EROFS) {
		/* An image is as it was made; that is no failure of what runs at its boot. */
		kp_info("%s", kp_err_text(&cli->err, rc));
		return CLI_OK;
	}
	if (rc < 0)
		return rc;
	if (!kp_sync_is_nested())
		summarize(cli, &result);
	tell_no_headers(cli, opts, &result);
	if (!result.failed && !result.remembered)
		return CLI_OK;
	return cli_in_transaction(cli) ? CLI_OK : CLI_SYNC_FAILED;
}

static int run_request(struct cli *cli, struct request *r)
{
	struct kp_sync_opts *opts = &r->opts;
	unsigned int flags = cli->cmd->flags;
	int rc;

	cli->unattended = opts->boot || r->if_backend;
	if (opts->boot) {
		/* In a container or a chroot no kernel of this root runs. */
		if (!kp_kernel_running())
			return CLI_OK;
		kp_strv_add(&r->kernels, kp_kernel_running());
	}
	opts->modules = r->modules;
	opts->kernels = r->kernels;
	/* A plan is only read, from any root and by anyone. */
	if (opts->dry_run)
		flags &= ~(unsigned int)(CLI_ENTERS_ROOT | CLI_MUTATES);
	rc = cli_open(cli, flags);
	if (rc < 0)
		return rc;
	if (r->if_backend && !kp_backend_is(cli->ctx, r->if_backend))
		return CLI_OK;
	rc = check_names(cli, r);
	if (rc)
		return rc;
	return opts->dry_run ? print_plan(cli, opts) : sync_all(cli, opts);
}

static int parse_operands(struct cli *cli, int argc, char **argv, struct request *r)
{
	int rc;

	for (; optind < argc; optind++) {
		_cleanup_free_ char *module = NULL, *version = NULL;

		rc = cli_parse_module(cli, argv[optind], &module, &version);
		if (rc)
			return rc;
		kp_strv_add(&r->modules, argv[optind]);
	}
	if (r->opts.boot && r->kernels)
		return cli_usage(cli, "--boot and -k exclude each other");
	if (r->opts.force && !r->modules)
		return cli_usage(cli, "--force needs the modules by name");
	r->opts.requested = r->opts.force;
	return 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "force", no_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "boot", no_argument, NULL, 'B' },
		{ "no-initramfs", no_argument, NULL, 'I' },
		{ "if-backend", required_argument, NULL, 'b' },
		{ "nested", no_argument, NULL, 'N' },
		{ "no-erase", no_argument, NULL, 'E' },
		{ "last", no_argument, NULL, 'L' },
		{ NULL, 0, NULL, 0 },
	};
	_cleanup_(request_clear) struct request r = { 0 };
	int c, rc = 0;

	while ((c = cli_getopt(cli, argc, argv, "k:nfj:", longs, &rc)) >= 0) {
		rc = 0;
		switch (c) {
		case 'k':
			rc = cli_parse_kernel(cli, optarg, &r.kernels);
			break;
		case 'n':
			r.opts.dry_run = true;
			break;
		case 'f':
			r.opts.force = true;
			break;
		case 'j':
			rc = cli_parse_int(cli, "jobs", optarg, 1, 4096, &r.opts.jobs);
			break;
		case 'B':
			r.opts.boot = true;
			break;
		case 'I':
			r.opts.no_initramfs = true;
			break;
		case 'N':
			cli->nested = true;
			break;
		case 'E':
			r.opts.no_erase = true;
			break;
		case 'L':
			r.opts.last = true;
			break;
		default:
			r.if_backend = optarg;
			break;
		}
		if (rc)
			return rc;
	}
	if (c == CLI_OPT_END)
		return rc;
	rc = parse_operands(cli, argc, argv, &r);
	return rc ? rc : run_request(cli, &r);
}

const struct cli_cmd cmd_sync = {
	.name = "sync",
	.args = "[-k K]... [-n] [-f] [-j N] [--boot] [--no-initramfs] [M[/V]]...",
	.summary = "Build, install and erase until the system is as it should be",
	.options =
		"  -k, --kernel K      only for this kernel (may be repeated)\n"
		"  -n, --dry-run       print what would be done; with -v also what stays, and why\n"
		"  -f, --force         build the named modules even if nothing changed\n"
		"  -j, --jobs N        run N jobs at once (default: one per processor)\n"
		"      --boot          only what the running kernel lacks\n"
		"      --no-initramfs  leave the initramfs as it is\n"
		"      --no-erase      erase nothing: the next sync does\n"
		"      --last          only carry out removals: kmodpkg itself is going\n"
		"      --if-backend B  do nothing unless B is this root's backend (for hooks)\n"
		"      --nested        the running transaction lets us commit in it (for hooks)\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_ENTERS_ROOT | CLI_MUTATES,
};
