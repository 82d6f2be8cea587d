// SPDX-License-Identifier: GPL-2.0-or-later
/* The certificate of a signing key, PEM or DER. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/secureboot.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *bytes = kp_malloc(size + 1);
	_cleanup_buf_ struct kp_buf der = KP_BUF_INIT;
	bool pem;

	if (size)
		memcpy(bytes, data, size);
	bytes[size] = '\0';
	pem = find_certificate(bytes, size, &der);
	assert(pem ? der.len <= size / 4 * 3 : der.len == size);
	assert(pem || !size || !memcmp(der.s, data, size));
	return 0;
}
