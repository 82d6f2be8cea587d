// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/kernel.h"
#include "lib/secureboot.h"
#include "lib/tool.h"

#define EFIVARS "/sys/firmware/efi/efivars/"
#define MOK_VARIABLES "/sys/firmware/efi/mok-variables/"
#define GLOBAL_GUID "8be4df61-93ca-11d2-aa0d-00e098032b8c" /* EFI_GLOBAL_VARIABLE */
#define SHIM_GUID "605dab50-e046-4300-abb6-3dd810dd8b23"   /* SHIM_LOCK_GUID */
/* EFI_IMAGE_SECURITY_DATABASE_GUID */
#define DATABASE_GUID "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
#define ATTRIBUTES 4
#define VARIABLE_MAX (1024 * 1024)
/* Shorter than any certificate; what is that short proves nothing. */
#define CERT_MIN 64

/* A flag of one byte; false where the variable is absent. */
static bool flag_is_set(const struct kp_ctx *ctx, const char *path)
{
	_cleanup_free_ char *value = NULL;
	size_t len;

	return kp_read_in(ctx->root_fd, path, VARIABLE_MAX, &value, &len) == 0 &&
	       len == ATTRIBUTES + 1 && value[ATTRIBUTES] == 1;
}

bool kp_secure_boot_is_on(const struct kp_ctx *ctx)
{
	return flag_is_set(ctx, EFIVARS "SecureBoot-" GLOBAL_GUID) &&
	       !flag_is_set(ctx, EFIVARS "MokSBStateRT-" SHIM_GUID);
}

/* A list of certificates holds each as it is, so that looking for its bytes is enough. */
static bool holds(const struct kp_ctx *ctx, const char *path, const char *cert,
		  size_t cert_len)
{
	_cleanup_free_ char *list = NULL;
	size_t len;

	return kp_read_in(ctx->root_fd, path, VARIABLE_MAX, &list, &len) == 0 &&
	       memmem(list, len, cert, cert_len);
}

enum kp_enrolment kp_secure_boot_knows(const struct kp_ctx *ctx, const char *cert)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_strv_ char **names = NULL;
	size_t len;

	if (kp_read_in(ctx->root_fd, cert, VARIABLE_MAX, &bytes, &len) < 0 ||
	    len < CERT_MIN)
		return KP_ENROLLED_NO;
	/* The firmware's own list: who has keys of his own there needs no shim. The kernels of
	 * distributions take it into the keyring that modules are verified with, too. */
	if (holds(ctx, EFIVARS "db-" DATABASE_GUID, bytes, len) ||
	    holds(ctx, MOK_VARIABLES "MokListRT", bytes, len))
		return KP_ENROLLED_YES;
	/* One that is too long for a variable goes on in MokListRT1 and so forth. */
	(void)kp_list_in(ctx->root_fd, EFIVARS, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(EFIVARS, *name);

		if (kp_str_starts(*name, "MokListRT") &&
		    kp_str_ends(*name, "-" SHIM_GUID) && holds(ctx, path, bytes, len))
			return KP_ENROLLED_YES;
	}
	return holds(ctx, EFIVARS "MokNew-" SHIM_GUID, bytes, len) ? KP_ENROLLED_PENDING
								   : KP_ENROLLED_NO;
}

char *kp_secure_boot_command(const struct kp_ctx *ctx, const char *cert)
{
	_cleanup_free_ char *mokutil = kp_tool_find(ctx, "mokutil");

	return kp_strf("mokutil --import %s%s", cert,
		       mokutil ? "" : " (of the package mokutil)");
}

char *kp_secure_boot_hint(struct kp_ctx *ctx)
{
	_cleanup_free_ char *key = NULL, *cert = NULL, *command = NULL;

	if (ctx->config.sign == KP_SIGN_NO || !kp_kernel_booted_us() ||
	    !kp_secure_boot_is_on(ctx) ||
	    kp_sign_key(ctx, kp_kernel_running(), &key, &cert, NULL) < 0)
		return NULL;
	switch (kp_secure_boot_knows(ctx, cert)) {
	case KP_ENROLLED_YES:
		return NULL;
	case KP_ENROLLED_PENDING:
		return kp_strf(
			"Secure Boot is on, and the key '%s' is to be confirmed at "
			"the next boot; until then modules signed with it cannot be "
			"loaded",
			key);
	default:
		command = kp_secure_boot_command(ctx, cert);
		return kp_strf("Secure Boot is on and does not know the key '%s' that "
			       "modules are signed with; they cannot be loaded until it "
			       "is enrolled: %s, then reboot",
			       key, command);
	}
}
