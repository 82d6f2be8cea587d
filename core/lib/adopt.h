// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking over what DKMS left: its builds become ours and, where they are installed,
 * packages, without being built again.
 *
 * DKMS's tree (as of 3.0 to 3.4) is read as it is: MODULE/VERSION/KERNEL/ARCH/module/NAME.ko[.xz],
 * links MODULE/kernel-KERNEL-ARCH -> VERSION/KERNEL/ARCH for what is installed, and
 * MODULE/original_module/KERNEL/ARCH/FILE with FILE.origin (not by older ones: then the package
 * database may know the place) for in-tree modules that it moved away. A build is taken over when it is what its conf says, lies installed byte by byte, was
 * made after the source last changed, and fits the kernel's headers (release, symbol versions). It
 * then gets a record with the key of today, so that from here on it is rebuilt for the same
 * reasons as any other. What cannot be taken over stays, with the reason; where it is wanted a
 * sync builds it anew. What has a record or a package is not looked at again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/record.h"
#include "lib/sync.h"

enum kp_adopt_kind {
	KP_ADOPT_PACKAGE,  /* an installed build becomes a package */
	KP_ADOPT_BUILD,	   /* a build that is not installed becomes a published one */
	KP_ADOPT_NOT,	   /* cannot be taken over */
	KP_ADOPT_PUT_BACK, /* an in-tree module goes back to its place */
	KP_ADOPT_REMOVE,   /* left over */
	KP_ADOPT_PIN,	   /* our package of this version stays the installed one */
};

struct kp_adopt_item {
	enum kp_adopt_kind kind;
	char *module, *version, *kernel; /* version, kernel: NULL where it is of none */
	char *path; /* PUT_BACK: of the in-tree module; REMOVE: what goes; else NULL */
	char *why;  /* NOT, REMOVE, PIN: one line */

	/* For kp_adopt_apply(). */
	struct kp_record *record; /* PACKAGE, BUILD */
	bool pin;		  /* it is not the version that a sync would choose */
	bool direct;   /* PACKAGE: without headers, so that no plan would install it */
	char *archive; /* PUT_BACK: where it lies now */
	char **files;  /* REMOVE: installed files of a build for a kernel that is gone */
};

struct kp_adopt {
	struct kp_adopt_item *list;
	size_t n, alloc;
};

/* What there is to take over. Reads only. The root has been entered, the backend is open. */
int kp_adopt_find(struct kp_ctx *ctx, struct kp_adopt *ret, struct kp_err *err);
/* Do it, but for the packages that a sync makes of the records then. Needs our lock. What fails
 * with one item is an error of the whole, and can be run again. */
int kp_adopt_apply(struct kp_ctx *ctx, const struct kp_adopt *a, struct kp_err *err);
void kp_adopt_clear(struct kp_adopt *a);
const char *kp_adopt_name(enum kp_adopt_kind kind); /* "put back" */

/* Take over the build of one pair as it lies in the tree, which came together with its source (an
 * archive): its age says nothing. -ENOENT: the kernel is not known here, so nothing can be said
 * of it; -ENOEXEC: as kp_adopt_record(). */
int kp_adopt_build(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, struct kp_err *err);

/* The record of DKMS's build of one pair, to be freed; -ENOEXEC with the reason when it is not to
 * be taken over. INSTALLED: its files have to lie below the kernel's directory. ANY_AGE: it may
 * be older than its source. KEY is put into it. */
int kp_adopt_record(struct kp_ctx *ctx, const struct kp_source *source,
		    const struct kp_conf *conf, const struct kp_kernel *kernel,
		    bool installed, bool any_age, const char *key, struct kp_record **ret,
		    struct kp_err *err);
/* Have these two regular files the same bytes? False also when one cannot be read. */
bool kp_adopt_same(struct kp_ctx *ctx, const char *a, const char *b);
