// SPDX-License-Identifier: GPL-2.0-or-later
/* A database that names packages by the kind of kernel: those of the next release of it take the
 * place of those that are there. */
#include "system.h"

static struct test_system *start(void **state)
{
	struct test_system *s = test_system(state);

	test_fake(s, "kinds", K1 " test\n" K2 " test\n");
	test_remove_kernel(s, K2);
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	test_assert_fake_log(s,
			     "begin\nadd kmod-hello-test\nend\nsettle kmod-hello-test\n");
	return s;
}

/* As a transaction with the next kernel does. */
static void upgrade(struct test_system *s)
{
	test_add_kernel(s, K2);
	test_remove_kernel(s, K1);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "log", NULL);
}

static void assert_upgraded(struct test_system *s)
{
	test_assert_fake_log(s,
			     "begin\nadd kmod-hello-test\nend\nsettle kmod-hello-test\n");
	test_assert_state(s, "hello", "1.0", K2, KP_STATE_INSTALLED, NULL);
	test_assert_settled(s);
	assert_false(test_exists(s, "/lib/modules/" K1));
}

static void upgraded_in_place(void **state)
{
	struct test_system *s = start(state);

	upgrade(s);
	test_sync(s);
	assert_upgraded(s);
}

static void the_place_is_taken_in_the_queue(void **state)
{
	struct test_system *s = start(state);

	upgrade(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_int_equal(test_queue_length(s), 1);
	test_assert_placed(s, "hello", "1.0", K2);
	/* Seen again before it is committed: what goes with the upgrade is not to be erased. */
	test_sync(s);
	assert_int_equal(test_queue_length(s), 1);
	test_assert_state(s, "hello", "1.0", K2, KP_STATE_QUEUED, NULL);
	test_fake(s, "lock", NULL);
	test_sync(s);
	assert_upgraded(s);
}

/* The transaction made it with what was placed; what goes with the commit is another kernel's. */
static void its_initramfs_is_not_made_twice(void **state)
{
	struct test_system *s = start(state);

	test_put(&s->root, "/usr/sbin/update-initramfs", "#!/bin/sh\n: >/refreshed\n");
	assert_int_equal(chmod("/usr/sbin/update-initramfs", 0755), 0);
	upgrade(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_let_tick();
	test_put(&s->root, "/boot/initrd.img-" K2, "");
	test_fake(s, "lock", NULL);
	test_drain(s);
	test_assert_state(s, "hello", "1.0", K2, KP_STATE_INSTALLED, NULL);
	test_assert_settled(s);
	assert_false(test_exists(s, "/refreshed"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(upgraded_in_place),
		SYSTEM_TEST(the_place_is_taken_in_the_queue),
		SYSTEM_TEST(its_initramfs_is_not_made_twice),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
