// SPDX-License-Identifier: GPL-2.0-or-later
/* What sign.c, which finds tool and key, shares with sign-run.c, and nobody else. */
#pragma once

#include "lib/ctx.h"

/* What sign-file and kmodsign take alike. */
struct kp_signer {
	char *tool;
	char *key; /* file or pkcs11: URI */
	char *cert;
};

/* Sign KO with a PIN or passphrase where the key has one. The tool has no terminal to ask
 * anybody at, and a limited time. */
int kp_signer_run(struct kp_ctx *ctx, const struct kp_signer *s, const char *hash,
		  const char *ko, int log_fd, struct kp_err *err);

/* Is what that needs besides the key there? */
int kp_signer_check(struct kp_ctx *ctx, const struct kp_signer *s, struct kp_err *err);

/* The file (absolute) that a pkcs11: URI names in pin-source (RFC 7512); to be freed. NULL: none. */
char *kp_sign_pin_source(const char *uri);
