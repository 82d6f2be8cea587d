// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/dkms.h"
#include "lib/artifact.h"
#include "lib/backend.h"

#ifndef KP_VERSION
#define KP_VERSION "unknown"
#endif

/* In the order of --help. */
static const struct cli_cmd *const cmds[] = {
	&cmd_status,	&cmd_sync,   &cmd_add,	 &cmd_build, &cmd_install,
	&cmd_uninstall, &cmd_remove, &cmd_owner, &cmd_log,   &cmd_conf,
	&cmd_doctor,	&cmd_adopt,  &cmd_drain,
};

static void print_usage(FILE *f)
{
	fputs("Usage: kmodpkg [--root DIR] [-q|-v] VERB [OPTION]... [ARGUMENT]...\n"
	      "Build kernel modules from source and keep them as packages.\n\n",
	      f);
	for (size_t i = 0; i < KP_ARRAY_SIZE(cmds); i++) {
		if (!(cmds[i]->flags & CLI_HIDDEN))
			fprintf(f, "  %-10s %s\n", cmds[i]->name, cmds[i]->summary);
	}
	fputs("\n"
	      "      --root DIR  work on the system below DIR\n"
	      "  -q, --quiet     say nothing but warnings and errors\n"
	      "  -v, --verbose   say more\n"
	      "      --version   print the version\n"
	      "  -h, --help      print this, or with a verb what the verb takes; so does help\n\n"
	      "The manual is kmodpkg(8).\n",
	      f);
}

static const struct cli_cmd *find_verb(const char *name)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(cmds); i++) {
		if (kp_str_eq(cmds[i]->name, name))
			return cmds[i];
	}
	return NULL;
}

/* Is our stderr the journal? systemd names its device and inode (systemd.exec(5)). */
static bool logs_to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
	       st.st_ino == inode;
}

/* The link that makes this the DKMS-compatible command. */
static bool is_dkms(const char *name)
{
	return name && (kp_str_eq(name, "dkms") || kp_str_ends(name, "/dkms"));
}

static int finish(struct cli *cli, int rc)
{
	int status = cli_conclude(cli, rc);

	if (cli->ctx)
		kp_backend_close(cli->ctx);
	kp_ctx_close(cli->ctx);
	kp_strv_free(cli->warnings);
	return status;
}

/* "help" and "help VERB": what --help is. */
static int help(struct cli *cli, int argc, char **argv)
{
	char *words[] = { NULL, (char *)"--help", NULL };

	if (argc < 2) {
		print_usage(stdout);
		return cli_conclude(cli, CLI_OK);
	}
	cli->cmd = find_verb(argv[1]);
	if (!cli->cmd)
		return cli_conclude(cli, cli_usage(cli, "unknown verb '%s'", argv[1]));
	words[0] = argv[1];
	optind = 0; /* getopt starts anew */
	return cli_conclude(cli, cli->cmd->run(cli, 2, words));
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct cli cli = { .err = KP_ERR_INIT };
	int c, status;

	/* A package manager may start us with closed descriptors (dpkg --status-fd 1). */
	kp_proc_open_std_fds();
	/* What we make is for everybody to read (modules, logs), whoever runs us. */
	umask(022);
	kp_log_set_syslog_prefix(logs_to_journal());
	if (is_dkms(argv[0]))
		return finish(&cli, dkms_main(&cli, argc, argv));
	while ((c = cli_getopt(&cli, argc, argv, "+", opts, &status)) >= 0) {
		if (c == 'V')
			printf("kmodpkg %s\n", KP_VERSION);
		else
			print_usage(stdout);
		return cli_conclude(&cli, CLI_OK);
	}
	if (c == CLI_OPT_END)
		return cli_conclude(&cli, status);
	if (optind == argc) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	if (kp_str_eq(argv[optind], "help"))
		return help(&cli, argc - optind, argv + optind);
	cli.cmd = find_verb(argv[optind]);
	if (!cli.cmd)
		return cli_conclude(&cli,
				    cli_usage(&cli, "unknown verb '%s'", argv[optind]));
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt starts anew */
	return finish(&cli, cli.cmd->run(&cli, argc, argv));
}
