// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/hash.h"

void kp_hash_init(struct kp_hash *h)
{
	SHA256Init(&h->ctx);
}

void kp_hash_add(struct kp_hash *h, const void *p, size_t len)
{
	if (len)
		SHA256Update(&h->ctx, p, len);
}

static void add_counted(struct kp_hash *h, const char *s)
{
	char count[32];
	size_t len = s ? strlen(s) : 0;

	kp_hash_add(h, count, (size_t)snprintf(count, sizeof(count), "%zu:", len));
	kp_hash_add(h, s, len);
}

void kp_hash_field(struct kp_hash *h, const char *name, const char *value)
{
	add_counted(h, name);
	add_counted(h, value);
}

void kp_hash_hex(struct kp_hash *h, char ret[KP_HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum[SHA256_DIGEST_LENGTH];

	SHA256Final(sum, &h->ctx);
	for (size_t i = 0; i < sizeof(sum); i++) {
		ret[2 * i] = digits[sum[i] >> 4];
		ret[2 * i + 1] = digits[sum[i] & 15];
	}
	ret[2 * sizeof(sum)] = '\0';
}

int kp_hash_fd(int fd, char ret[KP_HASH_HEX], struct kp_err *err)
{
	unsigned char block[65536];
	struct kp_hash h;
	struct stat st;
	off_t at = 0;

	if (fstat(fd, &st) < 0)
		return kp_err_sys(err, -errno, "hash a file");
	if (!S_ISREG(st.st_mode))
		return kp_err_set(err, -EINVAL, "hash a file: not a regular file");
	kp_hash_init(&h);
	for (;;) {
		ssize_t n = pread(fd, block, sizeof(block), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kp_err_sys(err, -errno, "hash a file");
		if (!n)
			break;
		kp_hash_add(&h, block, (size_t)n);
		at += n;
	}
	kp_hash_hex(&h, ret);
	return 0;
}
