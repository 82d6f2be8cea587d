// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * SHA-256 (libmd), incremental, hexadecimal result.
 *
 * kp_hash_field() adds a length before the bytes, so that ("ab","c") and ("a","bc")
 * differ; keys are made only with it.
 */
#pragma once

#include <stddef.h>
#include <sha2.h>

#include <kmodpkg/err.h>

#define KP_HASH_HEX 65

struct kp_hash {
	SHA2_CTX ctx;
};

void kp_hash_init(struct kp_hash *h);
void kp_hash_add(struct kp_hash *h, const void *p, size_t len);
void kp_hash_field(struct kp_hash *h, const char *name, const char *value); /* NULL: "" */
void kp_hash_hex(struct kp_hash *h, char ret[KP_HASH_HEX]);		    /* ends it */
/* All bytes of an open regular file. */
int kp_hash_fd(int fd, char ret[KP_HASH_HEX], struct kp_err *err);
