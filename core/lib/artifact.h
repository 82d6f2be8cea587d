// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From a built .ko to the file that is packaged: strip, check, sign, compress.
 *
 * KO is always the absolute path (below ctx->root_fd) of a regular file that is ours and that
 * everybody may read, in a directory that only we may write to: a build's product after it
 * was collected, not the file in the build directory.
 *
 * strip, the check and the compressor read what an untrusted build wrote, so they run in
 * the sandbox. They get the module as standard input and a new file of ours as standard
 * output (the check: a place for its verdict), so they need no access to any directory: of
 * struct kp_sandbox only the slot and the time limit are used. Only signing is done as root. What is written is not synced: that is the publisher's.
 */
#pragma once

#include <stdbool.h>

#include "lib/ctx.h"
#include "lib/kernel.h"
#include "lib/sandbox.h"

/* A module file and what it is held against. */
struct kp_artifact_look {
	const char *ko;
	const char *name; /* as it was built, '-' and '_' are the same; in messages */
	const struct kp_kernel *kernel;
	const struct kp_kernel_build *kb; /* NULL: it is adopted, see below */
	char *const *
		symvers; /* absolute paths, NULL: none: the build's own Module.symvers and
			       * those of its dependencies */
	const char *log; /* absolute path of the build's log, NULL: none */
};

#define KP_LICENSE_MAX 64 /* of one module, longer than any that the kernel knows */

/* What a good module says of itself. All is printable. */
struct kp_artifact_facts {
	char *license;	/* in its own words, at most KP_LICENSE_MAX; NULL: none */
	bool is_signed; /* it says so: no signature was verified */
	char *note;	/* one line for the log, NULL: none */
};
void kp_artifact_facts_clear(struct kp_artifact_facts *f);

/*
 * Could this kernel load the file? ELF relocatable of the kernel's machine; vermagic's
 * release and modinfo's name as expected;
 * every undefined symbol that is not weak exported by the kernel's Module.symvers or one of
 * look->symvers, with the same CRC where both have one. A kernel without Module.symvers exports
 * we cannot know: symbols are not looked at then, nor could modpost.
 * A symbol that none of them exports is a fault if modpost complained about it too, by the log,
 * or did not run: a recipe may have told it
 * of trees that we do not know (KBUILD_EXTRA_SYMBOLS). Else the note names it.
 * Of a module that is adopted others than we chose the name, the dependencies and maybe
 * compression: it is held against the kernel's release and the CRCs of its symbols.
 * -ENOEXEC with the reason: this module could not be loaded. Other errors: the check itself
 * could not be done.
 */
int kp_artifact_check(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		      const struct kp_artifact_look *look, struct kp_artifact_facts *ret,
		      struct kp_err *err);

/* strip -g (llvm-strip for clang kernels) in place. LOG_FD gets the tool's output. -ENOPKG:
 * the tool is not installed; err names the package. */
int kp_artifact_strip(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
		      const struct kp_kernel_build *kb, int log_fd, struct kp_err *err);

/*
 * Sign in place. *ret_signed says whether it was; with KP_SIGN_AUTO a system that has no
 * way to sign is no error and *ret_why (to be freed) says why; NULL when signed. A signing tool
 * that fails is an error always.
 * Tool: config.sign_tool, else Ubuntu's kmodsign, else sign-file of the kernel's headers. Key and
 * certificate: the configuration's (the key may be a pkcs11: URI), else on Ubuntu the machine
 * owner key of shim-signed, else <dkms_tree>/mok.{key,pub}. A PIN or passphrase comes from the
 * file that the configuration names, else from KBUILD_SIGN_PIN, as sign-file knows it. When mok.key is absent, both are
 * generated; with KP_SIGN_AUTO only in a system that was booted (kp_kernel_booted_us), never in
 * a chroot or container: an image must not come with a key that all its copies share.
 */
int kp_artifact_sign(struct kp_ctx *ctx, const char *ko, const struct kp_kernel *kernel,
		     const struct kp_kernel_build *kb, int log_fd, bool *ret_signed,
		     char **ret_why, struct kp_err *err);
/* Would that fail, as far as can be told without doing it? What the configuration names is there, and
 * the kernel's headers bring what it does not. */
int kp_sign_check(struct kp_ctx *ctx, const struct kp_kernel *kernel,
		  const struct kp_kernel_build *kb, struct kp_err *err);
/* Key and certificate that modules for this kernel are signed with, to be freed. -ENOKEY: none
 * was made yet. */
int kp_sign_key(struct kp_ctx *ctx, const char *release, char **ret_key, char **ret_cert,
		struct kp_err *err);
/* Add what of all that is for root alone to *PATHS. RELEASE: the kernel whose key it is, where the
 * configuration has one for each; NULL: of none. */
void kp_sign_secrets(const struct kp_ctx *ctx, const char *release, char ***paths);
/* Does the file (not compressed) end in the kernel's signature marker? A file that cannot be
 * read has none. */
bool kp_artifact_is_signed(struct kp_ctx *ctx, const char *ko);
/* Make <dkms_tree>/mok.key (RSA-2048, 0600) and mok.pub (self-signed, DER) unless mok.key is
 * there. -ENOPKG: no openssl. */
int kp_mok_generate(struct kp_ctx *ctx, int log_fd, struct kp_err *err);

/* Compress KO the way the kernel compresses its own modules; the file is replaced by KO +
 * suffix, whose path comes back, to be freed. Same input, same bytes. -ENOPKG: the tool is
 * not installed; err names the package. */
int kp_artifact_compress(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
			 enum kp_compression how, int log_fd, char **ret_path,
			 struct kp_err *err);
