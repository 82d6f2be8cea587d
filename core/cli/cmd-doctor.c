// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>

#include <kmodpkg/log.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "lib/backend.h"
#include "lib/cache.h"
#include "lib/doctor.h"

#define SCHEMA 1
/* Of each kind, on one screen; with -v all. */
#define SHOWN 4

static json_t *signing_json(const struct kp_doctor_signing *s)
{
	static const char *const words[] = {
		[KP_ENROLLED_NO] = "no",
		[KP_ENROLLED_YES] = "yes",
		[KP_ENROLLED_PENDING] = "pending",
	};
	json_t *o = json_object();

	cli_json_set(o, "wanted", json_boolean(s->wanted));
	cli_json_set(o, "key", cli_json_text(s->key));
	cli_json_set(o, "certificate", cli_json_text(s->certificate));
	cli_json_set(o, "secure_boot",
		     s->booted ? json_boolean(s->secure_boot) : json_null());
	cli_json_set(o, "enrolled",
		     cli_json_text(s->booted && s->certificate ? words[s->enrolled]
							       : NULL));
	return o;
}

/* NULL bytes: it is root's to look at. */
static json_t *cache_json(struct cli *cli)
{
	json_t *o = json_object();
	uint64_t bytes = 0;
	size_t n = 0;
	int r = kp_cache_usage(cli->ctx, &n, &bytes);
	bool known = r == 0 || r == -ENOENT;

	cli_json_set(o, "builds", known ? json_integer((json_int_t)n) : json_null());
	cli_json_set(o, "bytes", known ? json_integer((json_int_t)bytes) : json_null());
	cli_json_set(o, "limit",
		     json_integer((json_int_t)cli->ctx->config.cache_mib << 20));
	return o;
}

static void print_cache(struct cli *cli)
{
	uint64_t bytes;
	size_t n;

	if (kp_cache_usage(cli->ctx, &n, &bytes) == 0)
		printf("cache: %zu build%s, %.1f of %d MiB, in %s\n", n,
		       n == 1 ? "" : "s", (double)bytes / (1 << 20),
		       cli->ctx->config.cache_mib, cli->ctx->cache_dir);
}

static void print_json(struct cli *cli, const struct kp_doctor *d)
{
	json_t *root = json_object(), *findings = json_array();

	for (size_t i = 0; i < d->n; i++) {
		json_t *o = json_object();

		cli_json_set(o, "area", cli_json_text(d->list[i].area));
		cli_json_set(o, "what", cli_json_text(d->list[i].what));
		cli_json_set(o, "command", cli_json_text(d->list[i].mend));
		cli_json_set(o, "chosen", json_boolean(d->list[i].chosen));
		json_array_append_new(findings, o);
	}
	cli_json_set(root, "schema", json_integer(SCHEMA));
	cli_json_set(root, "backend", cli_json_text(cli->ctx->backend->ops->name));
	cli_json_set(root, "findings", findings);
	cli_json_set(root, "cache", cache_json(cli));
	cli_json_set(root, "signing", signing_json(&d->signing));
	cli_json_print(root);
}

static bool is_well(const struct kp_doctor *d)
{
	bool well = true;

	for (size_t i = 0; i < d->n; i++)
		well &= d->list[i].chosen;
	return well;
}

static void print_text(struct cli *cli, const struct kp_doctor *d)
{
	const size_t most = cli->verbose ? d->n : SHOWN;

	for (size_t i = 0, next; i < d->n; i = next) {
		const char *area = d->list[i].area;
		size_t end;

		for (next = i; next < d->n && kp_str_eq(d->list[next].area, area);)
			next++;
		end = next - i > most ? i + most : next;
		for (size_t j = i; j < end; j++) {
			const struct kp_finding *f = &d->list[j];

			printf("%s: %s\n", area, f->what);
			/* What mends the next one, too, is said there. */
			if (f->mend &&
			    (j + 1 == end || !kp_str_eq(f->mend, d->list[j + 1].mend)))
				printf("    %s\n", f->mend);
		}
		if (end < next)
			printf("%s: and %zu more, see kmodpkg doctor -v\n", area,
			       next - end);
	}
	if (is_well(d) && !cli->quiet)
		printf("nothing is wrong\n");
	if (cli->verbose)
		print_cache(cli);
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'J' },
		{ NULL, 0, NULL, 0 },
	};
	_cleanup_(kp_doctor_clear) struct kp_doctor d = { 0 };
	bool json = false;
	int c, rc = 0;

	while ((c = cli_getopt(cli, argc, argv, "", longs, &rc)) >= 0)
		json = true;
	if (c == CLI_OPT_END)
		return rc;
	if (optind < argc)
		return cli_usage(cli, "doctor takes no argument");
	rc = cli_open(cli, cli->cmd->flags);
	if (rc == 0)
		rc = kp_doctor_look(cli->ctx, &d, &cli->err);
	if (rc < 0)
		return rc;
	if (json)
		print_json(cli, &d);
	else
		print_text(cli, &d);
	return is_well(&d) ? CLI_OK : CLI_FAILED;
}

const struct cli_cmd cmd_doctor = {
	.name = "doctor",
	.args = "[--json]",
	.summary = "Say what is wrong, and the command that mends it",
	.options = "      --json  for programs: JSON; kmodpkg(8) describes it\n",
	.run = run,
	.flags = CLI_NEEDS_CTX | CLI_NEEDS_BACKEND | CLI_REPORTS,
};
