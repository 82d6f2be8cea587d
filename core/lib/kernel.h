// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Installed kernels: one directory below /lib/modules each.
 *
 * "Its image or module tree is there" (present) and "its headers are there" (headers) are
 * different questions: modules are wanted for present kernels, and can be built for those
 * with headers. Nothing here looks at the running kernel but kp_kernel_running().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "lib/ctx.h"

enum kp_compression { KP_COMPRESS_NONE, KP_COMPRESS_GZ, KP_COMPRESS_XZ, KP_COMPRESS_ZST };

struct kp_kernel {
	char *release;
	char *moddir;    /* "/lib/modules/K" or "/usr/lib/modules/K": the literal prefix that
			  * the kernel's own package uses; see kp_kernels_load */
	bool present;    /* <moddir>/kernel or an image (/boot/vmlinuz-K, <moddir>/vmlinuz) */
	bool in_database; /* a package owns the module tree or image, on disk or not */
	char *headers;   /* real path of <moddir>/build where it has Makefile and include/;
			  * NULL: no headers */
	char *headers_key; /* identity of every tree the build reads (key.h); NULL until
			    * kp_kernel_load_key(), or without headers */
};

/* What a build needs to know of the headers; read only for kernels that are built. */
struct kp_kernel_build {
	char *config_path; /* <headers>/.config or include/config/auto.conf or /boot/config-K */
	char *cc;          /* word to pass as CC, NULL: leave alone (facts of CC_VERSION_TEXT) */
	char *ld;
	bool clang;        /* LLVM=1 is to be added */
	bool module_sig;   /* CONFIG_MODULE_SIG=y */
	char *sig_hash;    /* CONFIG_MODULE_SIG_HASH, NULL */
	enum kp_compression compression; /* as the kernel's own modules are, else as .config says */
	bool btf;          /* modules get BTF: vmlinux is in the headers and the config asks */
};

struct kp_kernels {
	struct kp_kernel *list; /* by version, ascending */
	size_t n;
};

/* Look at the disk below ctx's root and ask the backend (ctx->backend, may be NULL) who owns
 * what, in one query. Releases whose name is not a safe path component are skipped with a
 * warning. EXTRA (may be NULL): releases to add even when nothing of them is on disk (those that
 * installed packages name). */
int kp_kernels_load(struct kp_ctx *ctx, char *const *extra, struct kp_kernels *ret,
		    struct kp_err *err);
void kp_kernels_clear(struct kp_kernels *k);
struct kp_kernel *kp_kernels_find(const struct kp_kernels *k, const char *release);

/* -ENODATA: a configuration that says something impossible; err names the file. */
int kp_kernel_build_load(struct kp_ctx *ctx, const struct kp_kernel *k,
			 struct kp_kernel_build *ret, struct kp_err *err);
void kp_kernel_build_clear(struct kp_kernel_build *b);

/* Value of CONFIG_x in a kernel configuration text: "y", "m", a string without its
 * quotes, or NULL; to be freed. */
char *kp_kconfig_get(const char *text, const char *name);

const char *kp_compression_suffix(enum kp_compression c); /* "", ".gz", ".xz", ".zst" */
/* Release of the running kernel (uname), or NULL in a foreign root. */
const char *kp_kernel_running(void);
/* Where the distribution wants modules that were built outside of the tree, below
 * moddir: "updates/dkms", "extra", "updates"; NULL: as the conf says. */
const char *kp_kernel_dest(const struct kp_ctx *ctx);
