// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The work that verbs have in common: changing intent, running a sync in front of a
 * person, and what it means to run inside of a package transaction.
 */
#pragma once

#include <stdbool.h>

#include "cli/cli.h"
#include "lib/intent.h"
#include "lib/sync.h"

/* Our lock and the intent read under it. */
struct cli_intent {
	int lock; /* -1: an ancestor of ours holds it and waits for us */
	struct kp_intent *in;
};

int cli_intent_open(struct cli *cli, struct cli_intent *ret);
int cli_intent_save(struct cli *cli, const struct cli_intent *i);
void cli_intent_close(struct cli_intent *i); /* without saving */

/* A source that is wanted (again) within a transaction is not to be removed at its end. */
int cli_keep_source(struct cli *cli, const char *module, const char *version);

/* kp_sync() with the progress display; says so when modules were built and signed with a key that
 * Secure Boot does not know, and when changes are left in the queue. */
int cli_sync(struct cli *cli, struct kp_sync_opts *opts, struct kp_sync_result *ret);

bool cli_did_nothing(const struct kp_sync_result *r);

/* The same for a verb that wants nothing but success: a failure that was reported already
 * only makes the exit status; 0 under a package transaction. */
int cli_sync_all(struct cli *cli, struct kp_sync_opts *opts);

/* Are we a child of a running package transaction? Then a module that fails is reported,
 * but the command must not fail: its maintainer script would leave packages
 * half-configured. */
bool cli_in_transaction(struct cli *cli);

/* Register the tree <source_tree>/MODULE-VERSION, forget that it was removed, run its
 * POST_ADD. 0, or what a verb's run() returns. */
int cli_register(struct cli *cli, const char *module, const char *version);
/* Registered, and not to be removed when the transaction ends. */
bool cli_is_registered(struct cli *cli, const char *module, const char *version);
/* Open the directory that WORD means, itself or its dkms.conf, as the caller sees it; its name
 * comes back, to be freed. -1: there is none with a dkms.conf. */
int cli_open_tree(const char *word, char **ret_name);
/* What adding a tree does to one that is in its place and to a registration. */
enum cli_add_how {
	CLI_ADD_NEW,	 /* both are errors */
	CLI_ADD_MERGE,	 /* files are put over the tree; a registration is an error */
	CLI_ADD_REPLACE, /* both are replaced */
};
/* Copy the tree open at FROM, which errors call NAME, to source_tree and register it as what its
 * conf says. */
int cli_add_tree(struct cli *cli, int from, const char *name, enum cli_add_how how);
/* Call DIR, a place of ours that is gone when the words are read, NAME in the error. */
void cli_name_tree(struct cli *cli, const char *dir, const char *name);
