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
/* Linux' Documentation/admin-guide/{LSM/,kernel-parameters}: lockdown, module.sig_enforce */
#define LOCKDOWN "/sys/kernel/security/lockdown"
#define SIG_ENFORCE "/sys/module/module/parameters/sig_enforce"
#define ATTRIBUTES 4
#define VARIABLE_MAX (1024 * 1024)
/* Shorter than any certificate; what is that short proves nothing. */
#define CERT_MIN 64

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

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

bool kp_secure_boot_enforces(const struct kp_ctx *ctx)
{
	_cleanup_free_ char *lockdown = NULL, *enforce = NULL;

	/* "none [integrity] confidentiality" */
	if (kp_read_in(ctx->root_fd, LOCKDOWN, VARIABLE_MAX, &lockdown, NULL) == 0 &&
	    strchr(lockdown, '[') && !strstr(lockdown, "[none]"))
		return true;
	return kp_read_in(ctx->root_fd, SIG_ENFORCE, VARIABLE_MAX, &enforce, NULL) == 0 &&
	       *enforce == 'Y';
}

/* What base64 (RFC 4648) up to END stands for; other characters, line ends, are passed over. */
static void decode_base64(const char *text, const char *end, struct kp_buf *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789+/";
	unsigned int bits = 0, n = 0;

	for (; text < end && *text != '='; text++) {
		const char *digit = *text ? strchr(digits, *text) : NULL;

		if (!digit)
			continue;
		bits = (bits << 6 | (unsigned int)(digit - digits)) & 0xffff;
		n += 6;
		if (n < 8)
			continue;
		n -= 8;
		kp_buf_addc(ret, (char)(bits >> n));
	}
}

/* The first certificate of a file's BYTES (a NUL behind them), as DER, whatever form it has
 * there. True: it was PEM. */
static bool find_certificate(const char *bytes, size_t len, struct kp_buf *ret)
{
	const char *begin = memmem(bytes, len, PEM_BEGIN, strlen(PEM_BEGIN));
	const char *end = begin ? strstr(begin, PEM_END) : NULL;

	if (end)
		decode_base64(begin + strlen(PEM_BEGIN), end, ret);
	else
		kp_buf_add(ret, bytes, len);
	return end;
}

/* 1: it was PEM. */
static int read_certificate(const struct kp_ctx *ctx, const char *path,
			    struct kp_buf *ret)
{
	_cleanup_free_ char *bytes = NULL;
	size_t len;
	int r = kp_read_in(ctx->root_fd, path, VARIABLE_MAX, &bytes, &len);

	return r < 0 ? r : find_certificate(bytes, len, ret);
}

/* Where shim shows its lists, a string vector; NULL: the machine was booted without shim. One that
 * is too long for a variable goes on in MokListRT1 and so forth. */
static char **find_shim_lists(const struct kp_ctx *ctx)
{
	_cleanup_strv_ char **names = NULL;
	char **lists = NULL;

	if (kp_exists_in(ctx->root_fd, MOK_VARIABLES "MokListRT"))
		kp_strv_add(&lists, MOK_VARIABLES "MokListRT");
	(void)kp_list_in(ctx->root_fd, EFIVARS, &names);
	kp_strv_foreach(name, names)
		if (kp_str_starts(*name, "MokListRT") &&
		    kp_str_ends(*name, "-" SHIM_GUID))
			kp_strv_addf(&lists, EFIVARS "%s", *name);
	return lists;
}

/* A list of certificates holds each as it is, so that looking for its bytes is enough. */
static bool holds(const struct kp_ctx *ctx, const char *path, const struct kp_buf *cert)
{
	_cleanup_free_ char *list = NULL;
	size_t len;

	return kp_read_in(ctx->root_fd, path, VARIABLE_MAX, &list, &len) == 0 &&
	       memmem(list, len, cert->s, cert->len);
}

enum kp_enrolment kp_secure_boot_knows(const struct kp_ctx *ctx, const char *cert)
{
	_cleanup_buf_ struct kp_buf der = KP_BUF_INIT;
	_cleanup_strv_ char **lists = NULL;

	if (read_certificate(ctx, cert, &der) < 0 || der.len < CERT_MIN)
		return KP_ENROLLED_NO;
	/* The firmware's own list: who has keys of his own there needs no shim. The kernels of
	 * distributions take it into the keyring that modules are verified with, too. */
	if (holds(ctx, EFIVARS "db-" DATABASE_GUID, &der))
		return KP_ENROLLED_YES;
	lists = find_shim_lists(ctx);
	kp_strv_foreach(list, lists)
		if (holds(ctx, *list, &der))
			return KP_ENROLLED_YES;
	return holds(ctx, EFIVARS "MokNew-" SHIM_GUID, &der) ? KP_ENROLLED_PENDING
							     : KP_ENROLLED_NO;
}

char *kp_secure_boot_command(const struct kp_ctx *ctx, const char *cert)
{
	_cleanup_free_ char *mokutil = kp_tool_find(ctx, "mokutil");
	const char *where = mokutil ? "" : " (of the package mokutil)";
	_cleanup_buf_ struct kp_buf der = KP_BUF_INIT;
	_cleanup_strv_ char **lists = find_shim_lists(ctx);

	if (!lists)
		return NULL;
	/* It takes DER only. */
	if (read_certificate(ctx, cert, &der) > 0)
		return kp_strf("openssl x509 -in %s -outform DER -out %s.der && "
			       "mokutil --import %s.der%s",
			       cert, cert, cert, where);
	return kp_strf("mokutil --import %s%s", cert, where);
}

char *kp_secure_boot_hint(struct kp_ctx *ctx)
{
	_cleanup_free_ char *key = NULL, *cert = NULL, *command = NULL;

	if (ctx->config.sign == KP_SIGN_NO || !kp_kernel_booted_us() ||
	    !kp_secure_boot_is_on(ctx) || !kp_secure_boot_enforces(ctx) ||
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
		if (!command)
			return kp_strf("Secure Boot is on and does not know the key '%s' "
				       "that modules are signed with; they cannot be "
				       "loaded until its certificate '%s' is in the "
				       "firmware's list (db)",
				       key, cert);
		return kp_strf("Secure Boot is on and does not know the key '%s' that "
			       "modules are signed with; they cannot be loaded until it "
			       "is enrolled: %s, then reboot",
			       key, command);
	}
}
