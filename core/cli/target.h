// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One module source and the kernels it is meant for: the operand and the options of
 * build, install, uninstall and remove.
 */
#pragma once

#include <stdbool.h>

#include "cli/cli.h"
#include "lib/kernel.h"
#include "lib/sync.h"

struct cli_target {
	char *module;
	char *version;	/* NULL: none was named */
	char **kernels; /* of -k; after cli_target_kernels(): all that are meant */
	bool all_kernels;
	bool force;
	bool anyway; /* see struct kp_sync_opts */
	bool no_initramfs;
	int jobs;
	const struct kp_build_with *with; /* the caller's; NULL: nothing was named */
};

/* Options a verb takes of these, as letters: k(ernel) a(ll) f(orce) j(obs) I
 * (no-initramfs). */
int cli_target_parse(struct cli *cli, int argc, char **argv, const char *letters,
		     struct cli_target *ret, int *ret_status);
void cli_target_clear(struct cli_target *t);

/* Make sure that the source is registered; a tree in source_tree is registered when
 * REGISTER. 0, or what run() returns (CLI_NOT_REGISTERED). */
int cli_target_source(struct cli *cli, const struct cli_target *t, bool reg);
/* Without -k: the running kernel if it is one of this root, else all that are present.
 * With --all: all that are present. */
int cli_target_kernels(struct cli *cli, struct cli_target *t);

/* Say that KERNEL has no headers and how to come by them, or that there is no such kernel and which
 * there are: CLI_NO_HEADERS with words. */
int cli_no_headers(struct cli *cli, const char *kernel);

/* Is MODULE, VERSION what was named? */
bool cli_target_is(const struct cli_target *t, const char *module, const char *version);
/* Say that it is not registered: CLI_NOT_REGISTERED with words. */
int cli_target_unknown(struct cli *cli, const struct cli_target *t);
/* "M" or "M/V", as a vector for struct kp_sync_opts, to be freed. */
char **cli_target_words(const struct cli_target *t);

/* After a build or install that did RESULT: is each kernel's module built (BUILD_ONLY) or
 * installed? The exit status as DKMS has it; 0 under a package transaction, with a
 * warning. Says so when it was already. */
int cli_target_outcome(struct cli *cli, const struct cli_target *t,
		       const struct kp_sync_opts *opts,
		       const struct kp_sync_result *result);

/* change.c: what the verbs do once the system is open. All return what run() returns. */
/* Build it for the kernels that are meant, and INSTALL: with its package. Registers a tree in
 * source_tree. */
int cli_make(struct cli *cli, struct cli_target *t, bool install);
/* Erase its packages for the kernels that are meant and hold it there: the version that was
 * named, or all that are there or come. */
int cli_uninstall(struct cli *cli, struct cli_target *t);
/* The same for t->kernels, and drop the builds; without kernels: unregister it. */
int cli_remove(struct cli *cli, struct cli_target *t);
