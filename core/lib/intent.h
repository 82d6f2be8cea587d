// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a person said: pins, holds, and the tombstones of removed sources.
 *
 * Written only by a person's verbs (install, uninstall, add, remove), one JSON file
 * (<state_dir>/intent.json), replaced as a whole under our lock. A file that is absent says
 * nothing; one that cannot be parsed is an error, so that no intent is lost unnoticed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "lib/ctx.h"

enum kp_intent_kind { KP_INTENT_NONE, KP_INTENT_PIN, KP_INTENT_HOLD };

struct kp_intent;

int kp_intent_load(struct kp_ctx *ctx, struct kp_intent **ret, struct kp_err *err);
/* The text of the file; FILE is for messages. Pure; fuzzed. */
int kp_intent_parse(const char *text, size_t len, const char *file,
		    struct kp_intent **ret, struct kp_err *err);
int kp_intent_save(struct kp_ctx *ctx, const struct kp_intent *in, struct kp_err *err);
struct kp_intent *kp_intent_new(void);
void kp_intent_free(struct kp_intent *in);
KP_DEFINE_CLEANUP(struct kp_intent *, kp_intent_free);

enum kp_intent_kind kp_intent_get(const struct kp_intent *in, const char *module,
				  const char *version, const char *kernel);
/* KP_INTENT_NONE forgets it. A pin drops the pins of the module's other versions there. */
void kp_intent_set(struct kp_intent *in, const char *module, const char *version,
		   const char *kernel, enum kp_intent_kind kind);
/* Forget all that was said of a source. */
void kp_intent_forget(struct kp_intent *in, const char *module, const char *version);
bool kp_intent_removed(const struct kp_intent *in, const char *module,
		       const char *version);
void kp_intent_set_removed(struct kp_intent *in, const char *module, const char *version,
			   bool removed);
/* Call FN for each pin and hold, by module, version, kernel. */
void kp_intent_foreach(const struct kp_intent *in,
		       void (*fn)(const char *module, const char *version,
				  const char *kernel, enum kp_intent_kind kind,
				  void *data),
		       void *data);
