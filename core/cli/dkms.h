// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The DKMS-compatible command: argv[0] "dkms" of this program. dkms(8) says what it does
 * and where it differs; DKMS 3.4.3 is the reference for the command line, the text of
 * status, the layout of the tree and the exit codes.
 *
 * A thin front. dkms-args.c reads the command line into struct dkms; dkms.c checks what
 * the action's flags say, opens the context with the trees that were named, and calls the
 * action, which does its work by the same functions as kmodpkg's verbs (work.h, target.h,
 * lib/). What an action returns is what a verb's run() returns (cli.h): an exit status,
 * with words in d->cli->err when it is not 0, or a negative errno. Messages go to the log
 * (kmodpkg/log.h), results to stdout.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cli/cli.h"

/* Exit statuses. One number has several meanings with DKMS, so has it here. */
enum dkms_exit {
	DKMS_OK = 0,
	DKMS_USAGE = 1, /* a missing argument, not root, kernels and arches do not pair */
	DKMS_OPTION = 2,  /* unknown option or action; -k with --all */
	DKMS_NO_TREE = 2, /* add: no source tree */
	DKMS_NO_ARCHIVE = 2,
	DKMS_UNKNOWN = 3, /* not in the tree; add: there already; -a with --all */
	DKMS_ARCHIVE_NO_CONF = 3,
	DKMS_NO_CONF = 4, /* add: no dkms.conf; two actions; several kernels; broken */
	DKMS_BROKEN = 4,
	DKMS_NOT_ALL = 5,   /* this action takes no --all */
	DKMS_NO_KERNEL = 6, /* no directory of the kernel; mktarball: not built */
	DKMS_NOT_BUILT = 6,
	DKMS_BAD_ARCHIVE = 7,
	DKMS_BAD_CONF = 8,
	DKMS_ARCHIVE_ADDED = 8, /* ldtarball: M/V is there already; both *-only options */
	DKMS_NOT_WRITABLE = 9,
	DKMS_AUTOINSTALL = 11,
	DKMS_KERNEL_HOOK = 14, /* kernel_preinst, kernel_prerm */
	DKMS_NO_HEADERS = 21,
	DKMS_EXCLUDED = 77,
	DKMS_PRE_INSTALL = 101,
};

struct dkms_pair {
	char *kernel; /* passed kp_name_ok() */
	char *arch; /* as uname -m has it; passed kp_name_ok(); with the flag DKMS_MUTATES never NULL */
};

struct dkms;

enum dkms_action_flags {
	DKMS_ROOT = 1 << 0,    /* uid 0, whatever trees are named */
	DKMS_MUTATES = 1 << 1, /* needs a tree that can be written; refused below a
				* transaction on another root */
	DKMS_KERNEL =
		1 << 2, /* without -k: the running kernel, in a chroot all installed */
	DKMS_RUNNING = 1 << 3,	  /* without -k: the running kernel */
	DKMS_ONE_KERNEL = 1 << 4, /* exactly one kernel (exit 4) */
	DKMS_ALL = 1 << 5,	  /* --all may be given */
	DKMS_DATABASE = 1 << 6,	  /* not without a package database */
	DKMS_FOREIGN = 1 << 7,	  /* but for trees that are not the system's */
};

struct dkms_action {
	const char *name;
	int (*run)(struct dkms *d);
	unsigned int flags; /* enum dkms_action_flags */
};

/* What was asked for. Strings are owned; NULL: not given. */
struct dkms {
	struct cli *cli; /* err; ctx with the trees that are meant; backend or NULL */
	const struct dkms_action *action;

	char *module, *version;	 /* passed kp_name_ok() */
	struct dkms_pair *pairs; /* -k with -a; none: none was named */
	size_t n_pairs;
	char *arch;	  /* the one that was named; pairs have it too */
	bool all_kernels; /* --all */

	char *tree; /* operand: a directory with a dkms.conf, as typed */
	char *archive; /* --archive or operand: as typed, relative to the caller's directory */
	char *conf_file;			      /* -c; absolute */
	char *kernel_config;			      /* --config; absolute */
	char *kernel_source_dir;		      /* --kernelsourcedir; absolute */
	char *dkms_tree, *source_tree, *install_tree; /* absolute; ctx has them too */
	/* Not all of them are the system's: there is no database, install-tree.h serves. */
	bool foreign;
	char *template_kernel;
	char **directives; /* NAME=VALUE */
	int jobs;	   /* 0: default; -j 0, "unlimited", too */

	bool force, force_version_override;
	bool no_depmod, modprobe_on_install, symlink_modules, safe_upgrade;
	bool source_only, binaries_only;
	bool verbose, quiet, debug;
	bool help, show_version; /* asked for: nothing else is done */
};

/* NULL: WORD is no action. */
const struct dkms_action *dkms_find_action(const char *word);
/* Fill *D from the command line. 0, or what an action returns. */
int dkms_parse(struct dkms *d, int argc, char **argv);
void dkms_clear(struct dkms *d);

/* The command as a whole, for main(). What an action returns. */
int dkms_main(struct cli *cli, int argc, char **argv);

enum dkms_registration {
	DKMS_IS_UNKNOWN, /* not in the tree */
	DKMS_IS_ADDED,
	DKMS_IS_BROKEN, /* in the tree, and its source is not where it was */
};
enum dkms_registration dkms_registration(struct kp_ctx *ctx, const char *module,
					 const char *version);

/* dkms-status.c */
int dkms_status(struct dkms *d);
/* What of d->module, d->version is built or (INSTALLED) installed: "KERNEL ARCH", a string
 * vector; NULL: nothing. */
int dkms_find_built(struct dkms *d, bool installed, char ***ret);

/* dkms-change.c. Adding fills d->module and d->version when a directory was named. */
int dkms_add(struct dkms *d);
int dkms_build(struct dkms *d);
int dkms_install(struct dkms *d);
int dkms_uninstall(struct dkms *d);
int dkms_unbuild(struct dkms *d);
int dkms_remove(struct dkms *d);
/* Say so: DKMS_BROKEN. */
int dkms_broken(struct dkms *d);
/* Call FN for the kernels of each arch, which ctx->arch then is. The first status that is
 * not 0. */
int dkms_each_arch(struct dkms *d, int (*fn)(struct dkms *d, char **kernels, void *data),
		   void *data);
/* Keep the first KEEP of d->pairs. */
void dkms_drop_pairs(struct dkms *d, size_t keep);

/* Make d->pairs all that is built or (INSTALLED) installed. */
int dkms_take_all(struct dkms *d, bool installed);

/* dkms-probe.c: load modules for the devices that are there, if the running kernel is among
 * d->pairs. What fails is a warning. */
void dkms_probe_devices(struct dkms *d);

/* dkms-kernel.c */
int dkms_autoinstall(struct dkms *d);
int dkms_match(struct dkms *d);
int dkms_kernel_preinst(struct dkms *d);
int dkms_kernel_postinst(struct dkms *d);
int dkms_kernel_prerm(struct dkms *d);

/* dkms-tarball.c: no backend is open; d->archive is NULL where none was named. */
int dkms_mktarball(struct dkms *d);
int dkms_ldtarball(struct dkms *d);
int dkms_generate_mok(struct dkms *d);
