// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A system to run a sync on: a copy of this one (overlay, so depmod, make, bash are real)
 * without its kernels and sources, with the fake backend as its package database. A new
 * one for each test, entered by the test's process; needs root and mounts, else the tests
 * are skipped.
 */
#pragma once

#include "lib/backend.h"
#include "lib/queue.h"
#include "lib/settle.h"
#include "lib/sync.h"
#include "test.h"

#define K1 "6.1.0-1-test" /* both kernels have an image, modules and headers */
#define K2 "6.1.0-2-test"

#define TEST_FAKEDB "/var/lib/fakedb"

/* CALL uses a variable `err` that is there for it, and must not fail. */
#define TEST_TRY(call)                                                                   \
	do {                                                                             \
		struct kp_err why_ = KP_ERR_INIT, *err = &why_;                          \
		int rc_ = (call);                                                        \
		if (rc_ < 0)                                                             \
			fail_msg("%s: %s", #call, kp_err_text(err, rc_));                \
	} while (0)

struct test_system {
	struct test_root root; /* "/" */
	struct kp_ctx *ctx;
	struct kp_buf log;	      /* lines of messages */
	struct kp_sync_result result; /* of the last sync */
	struct kp_err err;
	struct kp_world world; /* of the last test_row() */
	int outside;	       /* the real root */
	char *mount;
};

/* For main(), once: a mount namespace, the backend, a module file. False: cannot be. Does not
 * return when this program was started to check a module, or as the command of
 * test_copy_self(). */
bool test_system_prepare(int argc, char **argv);
/* For cmocka_unit_test_setup_teardown(); two kernels are there, no source. */
int test_system_setup(void **state);
int test_system_teardown(void **state);
/* A test's first line; ends it as skipped where there is no system. */
struct test_system *test_system(void **state);
#define SYSTEM_TEST(t)                                                                   \
	cmocka_unit_test_setup_teardown(t, test_system_setup, test_system_teardown)

/* ---- making it as the test wants it */

/* Kernel files, that a package linux-image-K owns. */
void test_add_kernel(struct test_system *s, const char *kernel);
void test_remove_kernel(struct test_system *s, const char *kernel);
/* /usr/src/MODULE-VERSION, which builds in no time; MORE (may be NULL): further lines of its conf. */
void test_add_source(struct test_system *s, const char *module, const char *version,
		     const char *more);
/* The same, registered. */
void test_register(struct test_system *s, const char *module, const char *version,
		   const char *more);
/* PACKAGE owns this path / nobody of that name does any more. */
void test_own(struct test_system *s, const char *package, const char *path);
void test_disown(struct test_system *s, const char *package);
/* A finished build of a registered source, of modules with the names that follow
 * (none: MODULE), up to NULL. */
void test_publish(struct test_system *s, const char *module, const char *version,
		  const char *kernel, ...) __attribute__((sentinel));
/* The record of a failed build with the key that is right now. */
void test_fail(struct test_system *s, const char *module, const char *version,
	       const char *kernel, const char *reason, bool machine);
/* A file of the fake database (fake-backend.c); TEXT NULL removes it. */
void test_fake(struct test_system *s, const char *file, const char *text);
void test_say(struct test_system *s, const char *module, const char *version,
	      const char *kernel, enum kp_intent_kind kind);
void test_bury(struct test_system *s, const char *module, const char *version);

/* ---- running */

/* kp_sync() with messages and result kept; what it returns. OPTS NULL: plain. */
int test_sync_rc(struct test_system *s, const struct kp_sync_opts *opts);
/* The same, and it has to work. */
void test_sync(struct test_system *s);
/* kp_drain(), and it has to work. */
void test_drain(struct test_system *s);
/* Run FN in a child; its wait status. */
int test_child(struct test_system *s, void (*fn)(struct test_system *s));

/* This program inside, under this name: "PATH nested" is a sync by a command of its own, which
 * fails if it is not below another one. */
void test_copy_self(struct test_system *s, const char *path);

/* ---- looking at it */

bool test_exists(struct test_system *s, const char *path);
/* Is this package in the database, its files on disk as published, and found by depmod? */
void test_assert_installed(struct test_system *s, const char *module, const char *version,
			   const char *kernel);
/* Nothing of the module's is there for this kernel: no package, no file. */
void test_assert_absent(struct test_system *s, const char *module, const char *kernel);
/* The published files lie in place, mode 0644. */
void test_assert_placed(struct test_system *s, const char *module, const char *version,
			const char *kernel);
/* Nothing is left to do: no queue, no mark, no file that nobody owns below updates/. */
void test_assert_settled(struct test_system *s);
void test_assert_fake_log(struct test_system *s, const char *text);
void test_assert_said(struct test_system *s, const char *words);
void test_assert_not_said(struct test_system *s, const char *words);
/* The row of `status`, valid until the next call; fails when there is none. */
const struct kp_plan_row *test_row(struct test_system *s, const char *module,
				   const char *version, const char *kernel);
void test_assert_state(struct test_system *s, const char *module, const char *version,
		       const char *kernel, enum kp_state state, const char *note);
size_t test_queue_length(struct test_system *s);
