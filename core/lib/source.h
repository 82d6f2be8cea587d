// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Registered module sources: /var/lib/dkms/MODULE/VERSION/source -> /usr/src/MODULE-VERSION.
 *
 * The link is the registration; nothing else is read to decide it. A link that dangles is
 * a source that is registered and not there ("missing"): its packages stay.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "lib/ctx.h"

struct kp_source {
	char *module, *version;
	char *dir;     /* where the link points, absolute, as written in the link */
	bool missing;  /* no directory with a dkms.conf there; `problem` says why */
	char *problem; /* unreadable, not a directory, unsafe name...; NULL: none */
	char *package; /* who owns <dir>/dkms.conf; NULL: nobody */
	/* key.h; NULL until kp_key_sources() and kp_key_source(), and where the tree cannot be read */
	char *tree_looks; /* its names, sizes and times */
	bool tree_fresh;  /* it may look the same with another content */
	char *tree_key;	  /* its content */
};

struct kp_sources {
	struct kp_source *list; /* by module, then version ascending (kp_version_cmp) */
	size_t n;
};

/* Registered sources. Entries of the tree that are no sources are ignored; unsafe names give
 * a warning. Asks the backend once (ctx->backend may be NULL) for the owners. */
int kp_sources_load(struct kp_ctx *ctx, struct kp_sources *ret, struct kp_err *err);
void kp_sources_clear(struct kp_sources *s);
struct kp_source *kp_sources_find(const struct kp_sources *s, const char *module,
				  const char *version); /* version NULL: the highest */

/* Trees below source_tree named MODULE-VERSION with a dkms.conf that are not registered.
 * MODULE and VERSION are taken from the name where it is unambiguous for the conf's PACKAGE_NAME
 * (plain evaluation, no shell), else from the conf. */
int kp_sources_unregistered(struct kp_ctx *ctx, const struct kp_sources *known,
			    struct kp_sources *ret, struct kp_err *err);

/* The package that owns the tree DIR, to be freed; NULL: none does. */
int kp_source_owner(struct kp_ctx *ctx, const char *dir, char **ret, struct kp_err *err);

/* Make / drop the registration (directory and link). Adding what is there is 0; a link to
 * another tree is replaced. Dropping removes the empty directories it leaves, the build
 * products below MODULE/VERSION, and the records and logs of its builds. */
int kp_source_register(struct kp_ctx *ctx, const char *module, const char *version,
		       const char *dir, struct kp_err *err);
int kp_source_unregister(struct kp_ctx *ctx, const char *module, const char *version,
			 struct kp_err *err);
