// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The command line: what main.c and the verbs (cmd-VERB.c) share.
 *
 * A verb is one file, cmd-VERB.c, that ends with its descriptor (struct cli_cmd). main
 * parses the global options and calls run() with argv[0] = the verb's name; the verb
 * parses its own options with cli_getopt(), validates its operands, then calls
 * cli_open(), which does what the descriptor's flags say (--help and usage errors need no
 * system). What run() returns:
 *
 *   >= 0  the exit status; when it is not 0, cli->err is printed first if it was set
 *   < 0   a negative errno: cli->err (or the words for the errno) is printed, status 1
 *
 * main prints that one line, "kmodpkg VERB: text"; verbs print no errors themselves.
 * Results go to stdout with stdio (main checks that they could be written), messages to
 * the log (kmodpkg/log.h).
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include <kmodpkg/err.h>

#include "lib/ctx.h"

/* Exit statuses, documented in kmodpkg(8). Those of a single module are DKMS's. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_REGISTERED = 3, /* or registered already */
	CLI_BAD_CONF = 8,
	CLI_SYNC_FAILED = 11, /* sync: some module failed */
	CLI_BLOCKED = 13,
	CLI_NO_HEADERS = 21,
	CLI_EXCLUDED = 77,
};

/* What cli_open() does for a verb. */
enum cli_flags {
	CLI_NEEDS_CTX = 1 << 0,
	CLI_NEEDS_BACKEND = 1 << 1, /* none found is an error */
	CLI_ENTERS_ROOT = 1 << 2,   /* chroot: builds, commits, or runs programs */
	CLI_MUTATES = 1 << 3,	    /* needs to be root (uid 0) */
	CLI_HIDDEN = 1 << 4,	    /* not in the help: for hooks and for ourselves */
	CLI_REPORTS = 1 << 5,	    /* says itself what is wrong; with -v more of that */
	CLI_CHECKS_LATER = 1 << 6,  /* calls cli_check_configuration() itself */
};

struct cli_cmd;

struct cli {
	const char *program; /* in front of errors; NULL: "kmodpkg" */
	const struct cli_cmd *cmd;
	const char *root; /* --root, NULL: "/" */
	bool quiet, verbose;
	bool nested;	 /* --nested: a hook that may commit inside of its transaction */
	bool unattended; /* a hook or the boot service, in no transaction maybe */
	bool elsewhere;	 /* the transaction around us works on another root */
	struct kp_ctx *ctx; /* NULL until cli_open() */
	char **warnings;    /* of opening it */
	struct kp_err err;
};

struct cli_cmd {
	const char *name;
	const char *args;    /* "[M[/V]]... [-k K]..." */
	const char *summary; /* one line, no full stop */
	const char *options; /* lines of --help below the summary, or NULL */
	int (*run)(struct cli *cli, int argc, char **argv);
	unsigned int flags; /* enum cli_flags */
};

/*
 * getopt_long() with the global options added to the verb's own. LONGOPTS may be NULL.
 * Returns an option of the verb (operands may stand between options), -1 at the end
 * (operands start at argv[optind]), or CLI_OPT_END when the verb is to return
 * *ret_status: help was printed, or the usage was wrong (words are in cli->err).
 */
#define CLI_OPT_END (-2)
int cli_getopt(struct cli *cli, int argc, char **argv, const char *shortopts,
	       const struct option *longopts, int *ret_status);

/* Open the context as FLAGS say (usually cli->cmd->flags); 0 or a negative errno. What would
 * change something below a transaction on another root ends here, with status 0. */
int cli_open(struct cli *cli, unsigned int flags);
/* The part of it that CLI_NEEDS_BACKEND asks for, for a verb that may find nothing to do first. */
int cli_open_backend(struct cli *cli, unsigned int flags);
/* Say what is wrong with the configuration. An error where a person can mend it before something
 * is changed. */
int cli_check_configuration(struct cli *cli, unsigned int flags);

/* Print what went wrong, once, and make the exit status of what a verb returned. */
int cli_conclude(struct cli *cli, int rc);

/* Set the words of cli->err and return STATUS. */
int cli_fail(struct cli *cli, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a wrong command line: status 2, and --help is named. */
int cli_usage(struct cli *cli, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Split an operand "M" or "M/V" and check both names. *ret_version is NULL without one;
 * both to be freed. 0, or CLI_USAGE with words. */
int cli_parse_module(struct cli *cli, const char *arg, char **ret_module,
		     char **ret_version);
/* Append a kernel release to the vector KERNELS. 0, or CLI_USAGE with words. */
int cli_parse_kernel(struct cli *cli, const char *arg, char ***kernels);
/* A number from MIN to MAX. 0, or CLI_USAGE with words that name WHAT. */
int cli_parse_int(struct cli *cli, const char *what, const char *arg, int min, int max,
		  int *ret);

/* Each verb's file ends with its descriptor; main.c lists them in the order of --help. */
extern const struct cli_cmd cmd_status, cmd_sync, cmd_add, cmd_build, cmd_install,
	cmd_uninstall, cmd_remove, cmd_owner, cmd_log, cmd_conf, cmd_doctor, cmd_adopt,
	cmd_drain;
