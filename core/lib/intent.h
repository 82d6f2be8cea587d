// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a person said: pins, holds, and the tombstones of removed sources; and what a
 * package's script said within a transaction, which its end has to show (removal.h).
 *
 * Written by a person's verbs (install, uninstall, add, remove) and where pending removals
 * are decided, one JSON file (<state_dir>/intent.json), replaced as a whole under our lock. A
 * file that is absent says nothing; one that cannot be parsed is an error, so that no intent is
 * lost unnoticed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "lib/ctx.h"

enum kp_intent_kind {
	KP_INTENT_NONE,
	KP_INTENT_PIN,
	KP_INTENT_HOLD,
	/* Pending. */
	KP_INTENT_UNINSTALL,
	KP_INTENT_REMOVE,
};

struct kp_intent;

/* What a person named for the builds of a source for a kernel in place of what the system has.
 * Paths are absolute; NULL: not named. */
struct kp_build_with {
	char *conf_file;	 /* instead of the source's dkms.conf */
	char *kernel_source_dir; /* instead of the kernel's build/ */
	char *kernel_config;
	char **directives; /* NAME=VALUE */
};

int kp_intent_load(struct kp_ctx *ctx, struct kp_intent **ret, struct kp_err *err);
/* The text of the file; FILE is for messages. Pure; fuzzed. */
int kp_intent_parse(const char *text, size_t len, const char *file,
		    struct kp_intent **ret, struct kp_err *err);
int kp_intent_save(struct kp_ctx *ctx, const struct kp_intent *in, struct kp_err *err);
struct kp_intent *kp_intent_new(void);
void kp_intent_free(struct kp_intent *in);
KP_DEFINE_CLEANUP(struct kp_intent *, kp_intent_free);

/* A hold of the whole module is one of each version. */
enum kp_intent_kind kp_intent_get(const struct kp_intent *in, const char *module,
				  const char *version, const char *kernel);
/* KP_INTENT_NONE forgets it. VERSION "": the module whatever its version, which can be held, not
 * pinned; what was said of its versions there is dropped. A pin drops such a hold, and the pins
 * of the module's other versions. */
void kp_intent_set(struct kp_intent *in, const char *module, const char *version,
		   const char *kernel, enum kp_intent_kind kind);
/* A pin that was made while there was no kernel, its headers at most: it does not wait for one.
 * Where there is no pin nothing is marked; a new pin is not. */
void kp_intent_set_headers_only(struct kp_intent *in, const char *module,
				const char *version, const char *kernel,
				bool headers_only);
bool kp_intent_headers_only(const struct kp_intent *in, const char *module,
			    const char *version, const char *kernel);
/* Is the module held, whatever its version? */
bool kp_intent_holds_module(const struct kp_intent *in, const char *module,
			    const char *kernel);
/* Forget all that was said of a source, but for what is pending. VERSION "": of the module as
 * such. */
void kp_intent_forget(struct kp_intent *in, const char *module, const char *version);
bool kp_intent_removed(const struct kp_intent *in, const char *module,
		       const char *version);
void kp_intent_set_removed(struct kp_intent *in, const char *module, const char *version,
			   bool removed);
/* Call FN for each pin and hold, by module, version ("": all of them), kernel. */
void kp_intent_foreach(const struct kp_intent *in,
		       void (*fn)(const char *module, const char *version,
				  const char *kernel, enum kp_intent_kind kind,
				  void *data),
		       void *data);

/* WITH NULL forgets it; else a copy is kept. */
void kp_intent_set_with(struct kp_intent *in, const char *module, const char *version,
			const char *kernel, const struct kp_build_with *with);
/* NULL: nothing was named. */
const struct kp_build_with *kp_intent_with(const struct kp_intent *in, const char *module,
					   const char *version, const char *kernel);
/* The I-th that was named. False: there are not so many. */
bool kp_intent_nth_with(const struct kp_intent *in, size_t i, const char **ret_module,
			const char **ret_version, const char **ret_kernel,
			const struct kp_build_with **ret);

/* A removal that is pending: KP_INTENT_UNINSTALL or KP_INTENT_REMOVE for one kernel, or
 * KP_INTENT_REMOVE of the whole source (KERNEL ""), which includes the others. KP_INTENT_NONE
 * drops this one. */
void kp_intent_set_pending(struct kp_intent *in, const char *module, const char *version,
			   const char *kernel, enum kp_intent_kind kind);
/* Drop what is pending of a source. True: there was something. */
bool kp_intent_drop_pending(struct kp_intent *in, const char *module,
			    const char *version);
/* Is the removal of the whole source pending? */
bool kp_intent_removes(const struct kp_intent *in, const char *module,
		       const char *version);
/* The I-th of what is pending, by module, version, kernel. False: there are not so many. */
bool kp_intent_pending(const struct kp_intent *in, size_t i, const char **ret_module,
		       const char **ret_version, const char **ret_kernel,
		       enum kp_intent_kind *ret_kind);
/* The I-th source that was removed. False: there are not so many. */
bool kp_intent_nth_removed(const struct kp_intent *in, size_t i, const char **ret_module,
			   const char **ret_version);
