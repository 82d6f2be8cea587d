// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/target.h"
#include "lib/build.h"

struct wanted {
	char *module, *version;
	char **kernels;
};

static void wanted_clear(struct wanted *w)
{
	free(w->module);
	free(w->version);
	kp_strv_free(w->kernels);
}

/* Keep PATH in *best if it is a newer file than what is there. */
static void consider(struct cli *cli, const char *path, char **best,
		     struct timespec *when)
{
	struct stat st;

	if (kp_stat_in(cli->ctx->root_fd, path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (*best &&
	    (st.st_mtim.tv_sec < when->tv_sec ||
	     (st.st_mtim.tv_sec == when->tv_sec && st.st_mtim.tv_nsec <= when->tv_nsec)))
		return;
	free(*best);
	*best = kp_strdup(path);
	*when = st.st_mtim;
}

/* The newest log of the version, or of all versions. */
static char *find_newest(struct cli *cli, const struct wanted *w)
{
	_cleanup_free_ char *dir = kp_path_join(cli->ctx->log_dir, w->module);
	_cleanup_strv_ char **versions = NULL;
	struct timespec when = { 0 };
	char *best = NULL;

	(void)kp_list_in(cli->ctx->root_fd, dir, &versions);
	kp_strv_foreach(v, versions) {
		_cleanup_free_ char *at = kp_path_join(dir, *v);
		_cleanup_strv_ char **names = NULL;

		if (w->version && !kp_str_eq(*v, w->version))
			continue;
		(void)kp_list_in(cli->ctx->root_fd, at, &names);
		kp_strv_foreach(n, names) {
			_cleanup_free_ char *path = kp_path_join(at, *n);

			if (kp_str_ends(*n, ".log"))
				consider(cli, path, &best, &when);
		}
	}
	return best;
}

static char *find_for_kernel(struct cli *cli, const struct wanted *w, const char *kernel)
{
	_cleanup_free_ char *dir = kp_path_join(cli->ctx->log_dir, w->module);
	_cleanup_strv_ char **versions = NULL;
	struct timespec when = { 0 };
	char *best = NULL;

	if (w->version)
		kp_strv_add(&versions, w->version);
	else
		(void)kp_list_in(cli->ctx->root_fd, dir, &versions);
	kp_strv_foreach(v, versions) {
		_cleanup_free_ char *path =
			kp_build_log_path(cli->ctx, w->module, *v, kernel);

		consider(cli, path, &best, &when);
	}
	return best;
}

/* What an untrusted build wrote must not command the terminal of the one who reads it. */
static void tame(char *text, size_t len)
{
	char *next;

	/* Line by line, column by column. */
	for (char *p = text; p < text + len; p = next + 1) {
		char c;

		next = p + strcspn(p, "\n\t");
		c = *next;
		*next = '\0';
		kp_str_printable(p);
		*next = next < text + len && !c ? '?' : c;
	}
}

static int print_log(struct cli *cli, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int rc;

	rc = kp_read_in(cli->ctx->root_fd, path, 0, &text, &len);
	if (rc < 0)
		return kp_err_sys(&cli->err, rc, "reading %s", path);
	if (isatty(STDOUT_FILENO))
		tame(text, len);
	fwrite(text, 1, len, stdout);
	return 0;
}

static int print_one(struct cli *cli, const struct wanted *w, const char *kernel,
		     bool only_path)
{
	_cleanup_free_ char *path =
		kernel ? find_for_kernel(cli, w, kernel) : find_newest(cli, w);

	if (!path) {
		/* A log outlives its source, so only here. */
		const struct cli_target t = { .module = w->module,
					      .version = w->version };
		int rc = cli_target_source(cli, &t, false);

		if (rc)
			return rc;
		return cli_fail(cli, CLI_FAILED, "no log of %s%s%s%s%s is kept",
				w->module, w->version ? "/" : "",
				w->version ? w->version : "",
				kernel ? " for kernel " : "", kernel ? kernel : "");
	}
	if (!only_path)
		return print_log(cli, path);
	printf("%s\n", path);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "path", no_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	_cleanup_(wanted_clear) struct wanted w = { 0 };
	bool only_path = false;
	int c, rc;

	while ((c = cli_getopt(cli, argc, argv, "k:", opts, &rc)) >= 0) {
		if (c == 'p') {
			only_path = true;
			continue;
		}
		rc = cli_parse_kernel(cli, optarg, &w.kernels);
		if (rc)
			return rc;
	}
	if (c == CLI_OPT_END)
		return rc;
	if (argc - optind != 1)
		return cli_usage(cli, argc == optind ? "no module is named"
						     : "one module at a time");
	rc = cli_parse_module(cli, argv[optind], &w.module, &w.version);
	if (rc)
		return rc;
	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	if (!w.kernels)
		return print_one(cli, &w, NULL, only_path);
	kp_strv_foreach(k, w.kernels) {
		rc = print_one(cli, &w, *k, only_path);
		if (rc)
			return rc;
	}
	return CLI_OK;
}

const struct cli_cmd cmd_log = {
	.name = "log",
	.args = "[-k K]... [--path] M[/V]",
	.summary = "Print the log of a module's last build",
	.options =
		"  -k, --kernel K  for this kernel (may be repeated); without it the newest\n"
		"      --path      print only where the log is\n",
	.run = run,
	.flags = CLI_NEEDS_CTX,
};
