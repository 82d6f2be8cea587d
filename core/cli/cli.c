// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/work.h"
#include "lib/backend.h"

enum { OPT_ROOT = 0x1000 };

/* Valid in front of the verb and behind it. */
static const struct option global_opts[] = {
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void print_help(const struct cli_cmd *cmd)
{
	printf("Usage: kmodpkg %s%s%s\n%s.\n", cmd->name, cmd->args[0] ? " " : "",
	       cmd->args, cmd->summary);
	if (cmd->options)
		printf("\n%s", cmd->options);
	printf("\nGlobal options: --root DIR, -q/--quiet, -v/--verbose, -h/--help; "
	       "see kmodpkg(8).\n");
}

/* getopt's own words are not one line of ours; make them from what it leaves behind. */
static int wrong_option(struct cli *cli, int c, char **argv)
{
	const char *last = argv[optind - 1];

	if (c == ':' && kp_str_starts(last, "--"))
		return cli_usage(cli, "option '%s' needs an argument", last);
	if (c == ':')
		return cli_usage(cli, "option '-%c' needs an argument", optopt);
	if (kp_str_starts(last, "--") && (!optopt || strchr(last, '=')))
		return cli_usage(cli,
				 strchr(last, '=') && optopt
					 ? "option '%s' takes no argument"
					 : "unknown or ambiguous option '%s'",
				 last);
	return cli_usage(cli, "unknown option '-%c'", isgraph(optopt) ? optopt : '?');
}

int cli_getopt(struct cli *cli, int argc, char **argv, const char *shortopts,
	       const struct option *longopts, int *ret_status)
{
	_cleanup_free_ struct option *all = NULL;
	_cleanup_free_ char *shorts = NULL;
	size_t n = 0;
	int c;

	while (longopts && longopts[n].name)
		n++;
	all = kp_calloc(n + KP_ARRAY_SIZE(global_opts), sizeof(*all));
	if (n)
		memcpy(all, longopts, n * sizeof(*all));
	memcpy(all + n, global_opts, sizeof(global_opts));
	/* '+', when wanted, has to stay in front of ':'. */
	shorts = *shortopts == '+' ? kp_strf("+:%shqv", shortopts + 1)
				   : kp_strf(":%shqv", shortopts);
	opterr = 0;
	for (;;) {
		c = getopt_long(argc, argv, shorts, all, NULL);
		switch (c) {
		case OPT_ROOT:
			cli->root = optarg;
			break;
		case 'q':
			cli->quiet = true;
			break;
		case 'v':
			cli->verbose = true;
			break;
		case 'h':
			if (!cli->cmd)
				return c;
			print_help(cli->cmd);
			*ret_status = CLI_OK;
			return CLI_OPT_END;
		case '?':
		case ':':
			*ret_status = wrong_option(cli, c, argv);
			return CLI_OPT_END;
		default:
			return c;
		}
	}
}

/* A package manager that works on another root runs scripts and hooks here, which mean that
 * root's modules. */
static int check_transaction(struct cli *cli)
{
	const struct kp_backend *b = cli->ctx->backend;
	struct kp_err err = KP_ERR_INIT;
	enum kp_lock_state state;

	if (!b || b->ops->state(b->db, &state, NULL, &err) != -EXDEV)
		return 0;
	cli->elsewhere = true;
	cli->err = err;
	return -EXDEV;
}

/* Something that DKMS would do and we do not: better said than missed. In a transaction, which has
 * many of our processes, by the one that takes DKMS's place. */
static void tell_ignored(struct cli *cli)
{
	if (cli->cmd != &cmd_adopt && cli_in_transaction(cli))
		return;
	kp_strv_foreach(name, cli->ctx->ignored)
		kp_warn_once(
			"/etc/dkms/framework.conf: %s has no effect here, see dkms(8)",
			*name);
}

int cli_open_backend(struct cli *cli, unsigned int flags)
{
	int rc = kp_backend_open(cli->ctx, (flags & CLI_MUTATES) != 0, &cli->err);

	if (rc < 0 || !(flags & CLI_MUTATES))
		return rc;
	rc = check_transaction(cli);
	if (rc == 0)
		tell_ignored(cli);
	return rc;
}

static void keep_warning(enum kp_log_level level, const char *line, void *data)
{
	if (level == KP_LOG_WARNING) {
		kp_strv_add(data, line + strlen("warning: "));
		return;
	}
	kp_log_set_sink(NULL, NULL);
	kp_log(level, "%s", line);
	kp_log_set_sink(keep_warning, data);
}

static int open_ctx(struct cli *cli)
{
	int rc;

	kp_log_set_sink(keep_warning, &cli->warnings);
	rc = kp_ctx_open(cli->root, &cli->ctx, &cli->err);
	kp_log_set_sink(NULL, NULL);
	return rc;
}

/* Also where the database is none of the command's business. */
static bool is_in_transaction(struct cli *cli)
{
	bool ours = !cli->ctx->backend && kp_backend_open(cli->ctx, false, NULL) == 0;
	bool inside = cli_in_transaction(cli);

	if (ours)
		kp_backend_close(cli->ctx);
	return inside;
}

/* A transaction runs us for each kernel, and for what triggers ask for: they say it once, until
 * it is something else or the system boots. */
static bool told_before(struct cli *cli, char *const *lines)
{
	_cleanup_free_ char *path = kp_path_join(cli->ctx->run_dir, "warned");
	_cleanup_free_ char *text = kp_strv_join(lines, "\n"), *before = NULL;
	size_t len;

	if (!is_in_transaction(cli) || geteuid() != 0)
		return false;
	if (kp_read_in(cli->ctx->root_fd, path, 0, &before, &len) == 0 &&
	    !strcmp(before, text))
		return true;
	if (kp_mkdir_in(cli->ctx->root_fd, cli->ctx->run_dir, 0755, NULL) == 0)
		(void)kp_write_in(cli->ctx->root_fd, path, text, strlen(text), 0644,
				  NULL);
	return false;
}

static void tell_configuration(struct cli *cli, unsigned int flags)
{
	_cleanup_strv_ char **lines = kp_strv_dup(cli->warnings);

	/* Of what ends a transaction, the commands before it have said it. */
	if (flags & CLI_HIDDEN)
		return;
	kp_strv_foreach(line, flags & CLI_REPORTS ? NULL : cli->ctx->config.problems)
		kp_strv_add(&lines, *line);
	if (lines && !told_before(cli, lines))
		kp_strv_foreach(line, lines)
			kp_warn_once("%s", *line);
}

int cli_check_configuration(struct cli *cli, unsigned int flags)
{
	const struct kp_err *wrong = &cli->ctx->config.wrong;

	if (wrong->code && (flags & CLI_MUTATES) && !(flags & CLI_HIDDEN) &&
	    !cli->nested && !cli->unattended && !is_in_transaction(cli)) {
		size_t more = kp_strv_len(cli->ctx->config.problems) - 1;

		return more ? kp_err_set(&cli->err, wrong->code,
					 "%s; and %zu more: kmodpkg doctor", wrong->text,
					 more)
			    : kp_err_set(&cli->err, wrong->code, "%s", wrong->text);
	}
	tell_configuration(cli, flags);
	return 0;
}

static int open_root(struct cli *cli, unsigned int flags)
{
	cli->ctx->nested = cli->nested;
	if (flags & CLI_ENTERS_ROOT) {
		int rc = kp_ctx_enter_root(cli->ctx, &cli->err);

		if (rc < 0)
			return rc;
	}
	return flags & CLI_NEEDS_BACKEND ? cli_open_backend(cli, flags) : 0;
}

int cli_open(struct cli *cli, unsigned int flags)
{
	int rc;

	if (cli->quiet)
		kp_log_set_level(KP_LOG_WARNING);
	else if (cli->verbose && !(flags & CLI_REPORTS))
		kp_log_set_level(KP_LOG_DEBUG);
	if ((flags & CLI_MUTATES) && geteuid() != 0)
		return kp_err_set(&cli->err, -EPERM, "only root can do this");
	/* A reader of our output that went away must not end us between two commits. */
	if (flags & CLI_MUTATES)
		signal(SIGPIPE, SIG_IGN);
	rc = open_ctx(cli);
	if (rc < 0)
		return rc;
	rc = open_root(cli, flags);
	if (rc < 0)
		tell_configuration(cli, flags);
	if (rc < 0 || (flags & CLI_CHECKS_LATER))
		return rc;
	return cli_check_configuration(cli, flags);
}

int cli_conclude(struct cli *cli, int rc)
{
	const char *program = cli->program ? cli->program : "kmodpkg";

	if (cli->elsewhere) {
		kp_info("%s; nothing is done", cli->err.text);
		return CLI_OK;
	}
	if (rc < 0 || (rc > 0 && cli->err.text[0]))
		fprintf(stderr, "%s%s%s: %s\n", program, cli->cmd ? " " : "",
			cli->cmd ? cli->cmd->name : "", kp_err_text(&cli->err, rc));
	if (rc < 0)
		rc = CLI_FAILED;
	/* A table that did not reach the disk it was sent to is no success. */
	if ((fflush(stdout) || ferror(stdout)) && rc == CLI_OK) {
		fprintf(stderr, "%s: writing the output: %s\n", program, strerror(errno));
		rc = CLI_FAILED;
	}
	return rc;
}

int cli_fail(struct cli *cli, int status, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = kp_vstrf(fmt, ap);
	va_end(ap);
	kp_err_set(&cli->err, -EINVAL, "%s", text);
	return status;
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = kp_vstrf(fmt, ap);
	va_end(ap);
	return cli_fail(cli, CLI_USAGE, "%s; see kmodpkg %s%s--help", text,
			cli->cmd ? cli->cmd->name : "", cli->cmd ? " " : "");
}

int cli_parse_module(struct cli *cli, const char *arg, char **ret_module,
		     char **ret_version)
{
	const char *slash = strchr(arg, '/');
	_cleanup_free_ char *module = NULL, *version = NULL;

	module = slash ? kp_strndup(arg, (size_t)(slash - arg)) : kp_strdup(arg);
	version = slash ? kp_strdup(slash + 1) : NULL;
	if (!kp_name_ok(module) || (version && !kp_name_ok(version)))
		return cli_usage(cli, "'%s' is not MODULE or MODULE/VERSION", arg);
	*ret_module = kp_steal(&module);
	*ret_version = kp_steal(&version);
	return 0;
}

int cli_parse_kernel(struct cli *cli, const char *arg, char ***kernels)
{
	if (!kp_name_ok(arg))
		return cli_usage(cli, "'%s' is not a kernel release", arg);
	if (!kp_strv_has(*kernels, arg))
		kp_strv_add(kernels, arg);
	return 0;
}

int cli_parse_int(struct cli *cli, const char *what, const char *arg, int min, int max,
		  int *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(arg, &end, 10);
	if (!isdigit(*arg) || *end || errno || n < min || n > max)
		return cli_usage(cli, "'%s' is not a number of %s (%d to %d)", arg, what,
				 min, max);
	*ret = (int)n;
	return 0;
}
