// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Changes that the package database is still to get.
 *
 * Place-now-own-later: under a lock that cannot be had, an entry is written, then the files
 * are placed, then (here or at the next drain) the change is committed and the entry dropped.
 * <state_dir>/queue/ exists exactly while there are entries, so a hook's test for it costs
 * nothing. An entry is one directory NNNNNNNN/ renamed into place when it is whole:
 * entry.json and, for an add, the package file.
 *
 * All functions but the load need our lock (sync.h).
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "lib/ctx.h"
#include <kmodpkg/pkg.h>
#include <kmodpkg/pkgdb.h>

struct kp_queue_entry {
	char *dir; /* absolute */
	enum kp_change_kind kind;
	struct kp_pkg_id id;
	char *name;   /* package name */
	char *file;   /* ADD: absolute path of the package file */
	char **paths; /* ADD: literal paths of its files; ERASE: of those to vanish */
	char *reason; /* ERASE: why, one line */
};

struct kp_queue {
	struct kp_queue_entry *list; /* oldest first */
	size_t n;
};

/* Entries that vanish meanwhile are left out; one that cannot be parsed is skipped with a
 * warning (kp_queue_sweep() removes it: what it asked for is planned again). */
int kp_queue_load(struct kp_ctx *ctx, struct kp_queue *ret, struct kp_err *err);
/* Is there any change of MODULE for KERNEL? */
bool kp_queue_has(const struct kp_queue *q, const char *module, const char *kernel);
void kp_queue_clear(struct kp_queue *q);
void kp_queue_entry_clear(struct kp_queue_entry *entry);
/* Reserve a directory below <state_dir>/queue for a new entry and open it: the backend writes
 * the package file into it. Not an entry until kp_queue_commit_entry(). */
int kp_queue_begin(struct kp_ctx *ctx, char **ret_dir, int *ret_dir_fd,
		   struct kp_err *err);
/* Write entry.json into the reserved directory, fsync, rename: now it is an entry. entry->dir
 * comes as kp_queue_begin() gave it, entry->file as a path in it; both are changed to where they
 * are now. Older entries of the same package name are dropped. */
int kp_queue_commit_entry(struct kp_ctx *ctx, struct kp_queue_entry *entry,
			  struct kp_err *err);
/* Remove an entry (and, with the last, the queue directory). Leftovers of kp_queue_begin()
 * by dead processes go too. */
int kp_queue_drop(struct kp_ctx *ctx, const struct kp_queue_entry *entry,
		  struct kp_err *err);
/* Remove leftovers of dead processes, what cannot be parsed, and the queue directory when it
 * is empty. For a drain, whatever the load gave. */
int kp_queue_sweep(struct kp_ctx *ctx, struct kp_err *err);

/* The text of entry.json, without `dir`, and `file` as a bare name. FILE is for messages. Pure;
 * fuzzed. */
int kp_queue_entry_parse(const char *text, size_t len, const char *file,
			 struct kp_queue_entry *ret, struct kp_err *err);
