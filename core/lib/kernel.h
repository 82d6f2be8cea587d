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
	char *moddir; /* "/lib/modules/K" or "/usr/lib/modules/K": the literal prefix that
			  * the kernel's own package uses; see kp_kernels_load */
	/* Both false for one that the database says another has taken the place of. */
	bool present; /* <moddir>/kernel or an image (/boot/vmlinuz-K, <moddir>/vmlinuz) */
	bool in_database; /* a package owns the module tree or image, on disk or not */
	char *headers; /* real path of <moddir>/build where it has Makefile and include/;
			  * NULL: no headers */
	char **trees;  /* those that headers_key is of, NULL without; real paths */
	char *headers_key; /* identity of every tree the build reads (key.h); NULL until
			    * kp_key_kernels(), or without headers */
};

/* What a build needs to know of the headers; read only for kernels that are built. */
struct kp_kernel_build {
	char *config_path; /* first of <headers>/.config, <headers>/include/config/auto.conf,
			    * /boot/config-K, <moddir>/config; NULL: none, nothing is known */
	char *cc; /* word to pass as CC, NULL: leave alone (facts of CC_VERSION_TEXT) */
	char *ld;
	bool clang;	 /* LLVM=1 is to be added */
	bool module_sig; /* CONFIG_MODULE_SIG=y */
	char *sig_hash;	 /* CONFIG_MODULE_SIG_HASH, NULL */
	/* As the kernel's own modules are, else as .config says. */
	enum kp_compression compression;
	bool btf; /* modules get BTF: vmlinux is in the headers and the config asks */
	/* EM_x that the configuration's architecture means; 0: unknown. */
	unsigned int elf_machine;
	bool elf_64; /* CONFIG_64BIT=y */
};

struct kp_kernels {
	struct kp_kernel *list; /* by version, ascending */
	size_t n;
};

/* The directories that hold kernels' module trees: ctx->install_tree and, when that is one of
 * /lib/modules and /usr/lib/modules and both are there as different directories, the
 * other; a string vector. */
char **kp_kernel_trees(const struct kp_ctx *ctx);
/* Does a directory of this name, of those that lie beside kernels', belong to one: does it begin
 * with a version? Not that it is safe as a path: kp_name_ok(). */
bool kp_kernel_is_release(const char *name);
/* The predicate behind kp_kernel.present, for one release: the directory <tree>/K/kernel, or an
 * image /boot/vmlinuz-K or <tree>/K/vmlinuz. RELEASE passed kp_name_ok(). */
bool kp_kernel_is_present(const struct kp_ctx *ctx, const char *release);

/* Look at the disk below ctx's root and ask the backend (ctx->backend, may be NULL) who owns
 * what, in one query. Releases whose name is not a safe path component are skipped with a
 * warning. EXTRA (may be NULL): releases to add even when nothing of them is on disk (those that
 * installed packages name). */
int kp_kernels_load(struct kp_ctx *ctx, char *const *extra, struct kp_kernels *ret,
		    struct kp_err *err);
void kp_kernels_clear(struct kp_kernels *k);
struct kp_kernel *kp_kernels_find(const struct kp_kernels *k, const char *release);

/* KERNEL must have headers. -ENODATA: its modules or configuration name something that we do not
 * know (a way of compression); err names the file. */
int kp_kernel_build_load(struct kp_ctx *ctx, const struct kp_kernel *k,
			 struct kp_kernel_build *ret, struct kp_err *err);
void kp_kernel_build_clear(struct kp_kernel_build *b);

/* Value of NAME ("CONFIG_x", as the file has it) in a kernel configuration text (.config or
 * auto.conf, Documentation/kbuild/kconfig.rst): "y", "m", a number, a string without its
 * quotes and escapes, or NULL when not set; to be freed. Of several the last counts, as for
 * make. Fuzzed. */
char *kp_kconfig_get(const char *text, const char *name);

const char *kp_compression_suffix(enum kp_compression c); /* "", ".gz", ".xz", ".zst" */
/* Of a file name: what it is compressed with, judged by its end ("x.ko.xz"). -EINVAL: not a
 * module's name; -ENOTSUP: a module with a suffix that we do not know. */
int kp_compression_of_name(const char *file, enum kp_compression *ret);
/* Release of the running kernel (uname), or NULL when this process is in a chroot: the running
 * kernel is not that system's. Knows nothing of ctx->root_fd: do not ask when that is not "/". */
const char *kp_kernel_running(void);
/* Is this the system that the machine booted: no chroot, no container, /proc there? */
bool kp_kernel_booted_us(void);
/* Where the distribution wants modules that were built outside of the tree, below
 * moddir: "updates/dkms", "extra", "updates"; NULL: as the conf says. */
const char *kp_kernel_dest(const struct kp_ctx *ctx);
