// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From a built .ko to the file that is packaged: strip, check, sign, compress.
 *
 * strip, the check and the compressor read what an untrusted build wrote, so they run in
 * the sandbox of the pair's slot; only signing is done as root.
 */
#pragma once

#include <stdbool.h>

#include "lib/ctx.h"
#include "lib/kernel.h"
#include "lib/sandbox.h"

/* What `modinfo` knows of a module file, by libkmod. Members are NULL when absent. */
struct kp_modinfo {
	char *name, *vermagic, *version, *srcversion, *depends, *signer;
};
int kp_modinfo_read(const char *path, struct kp_modinfo *ret, struct kp_err *err);
void kp_modinfo_clear(struct kp_modinfo *m);

/* Could this kernel load the file? ELF relocatable, machine right, vermagic's release and
 * name as expected, every undefined symbol known to Module.symvers of the kernel or one of
 * SYMVERS. -ENOEXEC with the reason. */
int kp_artifact_check(struct kp_ctx *ctx, const char *ko, const char *name,
		      const struct kp_kernel *kernel, char *const *symvers,
		      struct kp_err *err);

/* strip -g (llvm-strip for clang kernels) in place. LOG_FD gets the tool's output. */
int kp_artifact_strip(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
		      const struct kp_kernel_build *kb, int log_fd, struct kp_err *err);

/* Sign in place. *ret_signed says whether it was; with KP_SIGN_AUTO a system that has no
 * way to sign is no error and *ret_why (to be freed) says why. Keys: config, else the
 * distribution's MOK, else <dkms_tree>/mok.{key,pub}, generated when absent (never in a chroot or
 * image build unless asked). */
int kp_artifact_sign(struct kp_ctx *ctx, const char *ko, const struct kp_kernel *kernel,
		     const struct kp_kernel_build *kb, int log_fd, bool *ret_signed,
		     char **ret_why, struct kp_err *err);

/* Compress KO (an absolute path) the way the kernel compresses its own modules; the file is
 * replaced by KO + suffix, whose path comes back, to be freed. Same input, same bytes. */
int kp_artifact_compress(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
			 enum kp_compression how, int log_fd, char **ret_path,
			 struct kp_err *err);
