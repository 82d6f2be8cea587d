// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For tests of keys: a context with a root of its own, messages captured, one source tree.
 */
#pragma once

#include "test.h"

#include "lib/backend.h"
#include "lib/key.h"

#define KEY_A "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct fixture {
	struct test_root root;
	struct kp_ctx *ctx;
	struct kp_buf log;
};

static inline int key_setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	struct kp_err err = KP_ERR_INIT;

	f->root = test_root_new();
	if (kp_ctx_open(f->root.path, &f->ctx, &err) < 0)
		fail_msg("%s", err.text);
	kp_buf_adds(&f->log, "");
	kp_log_set_sink(test_sink, &f->log);
	*state = f;
	return 0;
}

static inline int key_teardown(void **state)
{
	struct fixture *f = *state;

	kp_log_set_sink(NULL, NULL);
	kp_buf_free(&f->log);
	f->ctx->backend = NULL;
	kp_ctx_close(f->ctx);
	test_root_free(&f->root);
	free(f);
	return 0;
}

/* The hash of /usr/src/m-1, to be freed. */
static inline char *tree(struct fixture *f)
{
	char hex[KP_HASH_HEX];
	struct kp_err err = KP_ERR_INIT;

	if (kp_key_tree(f->ctx, "/usr/src/m-1", hex, &err) < 0)
		fail_msg("%s", err.text);
	return kp_strdup(hex);
}

static inline void put_tree(struct fixture *f)
{
	test_put(&f->root, "/usr/src/m-1/dkms.conf", "PACKAGE_NAME=m\n");
	test_put(&f->root, "/usr/src/m-1/src/m.c", "int m;\n");
	kp_symlink_in(f->root.fd, "m.c", "/usr/src/m-1/src/link.c", NULL);
	kp_mkdir_in(f->root.fd, "/usr/src/m-1/empty", 0755, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, key_setup, key_teardown)
