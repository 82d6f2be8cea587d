// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From published builds to packages: the steps of sync that need our lock.
 *
 * Every change goes through the queue (queue.h), whether or not it can be committed at
 * once: the entry is the note that survives a crash. Where the native database can be
 * written, kp_drain_locked() commits at once; where it cannot, files are placed first, so that
 * the rest of the transaction (its initramfs, a modprobe) finds them.
 */
#pragma once

#include "lib/sync.h"

/* Queue the package of a row whose published build is to be installed. PRE_INSTALL is run
 * first. -EEXIST with words: another package owns one of the paths; -ECHILD: PRE_INSTALL
 * refused. */
int kp_install_row(struct kp_ctx *ctx, struct kp_world *w, const struct kp_plan_row *row,
		   struct kp_err *err);
/* Does another package own one of these paths? Then -EEXIST with words. */
int kp_place_check(struct kp_ctx *ctx, const struct kp_world *w, const char *module,
		   char *const *paths, struct kp_err *err);
/* Copy FROM to PATH, mode 0644, durably: whole or not at all. */
int kp_place_file(struct kp_ctx *ctx, const char *from, const char *path,
		  struct kp_err *err);
/* Does PATH hold the bytes of F, with its mode? */
bool kp_place_is_there(struct kp_ctx *ctx, const char *path,
		       const struct kp_record_file *f);
/* Are the files as the commit of E will have them? Also no, where that cannot be told. */
bool kp_place_is_done(struct kp_ctx *ctx, const struct kp_queue_entry *e);
/* Was all that E adds there when index and initramfs were made (DKMS's modules, when they are
 * adopted), and is none of the N packages in LIST upgraded to it? Then its commit changes no file, and
 * there is nothing to settle. */
bool kp_place_is_as_it_was(struct kp_ctx *ctx, const struct kp_pkg_installed *list,
			   size_t n, const struct kp_queue_entry *e);
/* The files of E's kernel that its commit changes, a string vector: its own, and those of the package in LIST
 * that it replaces. */
char **kp_place_changes(const struct kp_pkg_installed *list, size_t n,
			const struct kp_queue_entry *e);
/* Put the files of queued packages in place that are not yet, out of the published builds
 * (what is not published any more waits for the commit). *ret_kernels: those that the packages
 * are for, a string vector. What fails with one package is said
 * and counted in RET; a disk that is full or read-only is an error. */
int kp_place_queue(struct kp_ctx *ctx, const struct kp_world *w, char ***ret_kernels,
		   struct kp_sync_result *ret, struct kp_err *err);
/* Remove what a process that died while it placed files left beside PATHS. Needs our lock. */
void kp_place_sweep(struct kp_ctx *ctx, char *const *paths);
/* Files that we placed at PATHS and that the database does not get, or not any more, must not
 * stay behind, nor the directories that were made for them. What a package owns stays. */
void kp_place_remove(struct kp_ctx *ctx, const struct kp_pkg_id *id, char *const *paths);
/* Queue the removal of a row's package. */
int kp_erase_row(struct kp_ctx *ctx, struct kp_world *w, const struct kp_plan_row *row,
		 struct kp_err *err);

enum kp_drain_flags {
	KP_DRAIN_NO_INITRAMFS = 1 << 0, /* of the kernels that it is done for */
	KP_DRAIN_ONCE = 1 << 1, /* pass over kernels that could not be settled before */
};

/* Commit the queue in one go, run the scripts that follow, settle every kernel that is
 * marked. Our lock is held. -EBUSY: the native lock is taken, nothing was changed. KERNELS: what it is done
 * for, NULL: all. W (may be NULL): loaded under the same lock, for the confs that it has. RET (may be NULL) gets what was
 * done. */
int kp_drain_locked(struct kp_ctx *ctx, unsigned int flags, char *const *kernels,
		    const struct kp_world *w, struct kp_sync_result *ret,
		    struct kp_err *err);

/* <dkms_tree>/MODULE/kernel-K-ARCH -> VERSION/K/ARCH: a view for other tools, never read as
 * truth. VERSION NULL removes it. */
int kp_view_set(struct kp_ctx *ctx, const char *module, const char *kernel,
		const char *version, struct kp_err *err);
/* Does the view say that something was installed there? Only good for a message. */
bool kp_view_has(struct kp_ctx *ctx, const char *module, const char *kernel);

/* Run one of the conf's install scripts, the only code of a source that runs as root; looked up
 * in /etc/dkms/MODULE/ first. 0 also when there is none, it is not executable or the
 * configuration does not allow it (a warning). -ECHILD: it failed; *ret_exit (may be NULL) is its
 * exit code, or 128 and the signal that ended it. */
int kp_script_run(struct kp_ctx *ctx, const struct kp_source *s,
		  const struct kp_conf *conf, enum kp_conf_script which,
		  const char *kernel, int *ret_exit, struct kp_err *err);
/* Does the configuration allow all install scripts, whatever confs have? */
bool kp_script_all_allowed(const struct kp_ctx *ctx);
/* Which of a conf's install scripts the configuration does not allow, and by which setting: a
 * line, to be freed; NULL: there are none. */
char *kp_script_refusal(const struct kp_ctx *ctx, const struct kp_source *s,
			const struct kp_conf *conf);
/* The same for each source of W: a vector. */
char **kp_script_refusals(const struct kp_ctx *ctx, const struct kp_world *w);
