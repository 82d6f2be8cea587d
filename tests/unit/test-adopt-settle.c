// SPDX-License-Identifier: GPL-2.0-or-later
/* depmod and initramfs, when modules become packages as they are. */
#include "adopt-fixture.h"

static void run_depmod(const char *kernel)
{
	const char *argv[] = { "/sbin/depmod", kernel, NULL };
	struct kp_proc proc = { .argv = argv };

	TEST_TRY(kp_proc_run(&proc, NULL, err));
}

#define INDEX "/lib/modules/" K1 "/modules.dep"
#define INITRD "/boot/initrd.img-" K1

static const struct timespec long_ago[2] = { { .tv_sec = 1000000 },
					     { .tv_sec = 1000000 } };

#define NOTE "# not made again\n"

static void note_index(struct test_system *s)
{
	_cleanup_free_ char *index = test_get(&s->root, INDEX);
	_cleanup_free_ char *noted = kp_strf("%s" NOTE, index);

	test_put(&s->root, INDEX, noted);
}

/* A module of DKMS's for K1, then depmod, then the initramfs. */
static void dkms_left_all_in_order(struct test_system *s)
{
	test_put(&s->root, "/usr/sbin/update-initramfs", "#!/bin/sh\n: >/refreshed\n");
	assert_int_equal(chmod("/usr/sbin/update-initramfs", 0755), 0);
	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
	run_depmod(K1);
	note_index(s);
	test_let_tick();
	test_put(&s->root, INITRD, "");
	test_let_tick();
}

static void assert_index(struct test_system *s, bool noted)
{
	_cleanup_free_ char *index = test_get(&s->root, INDEX);

	assert_int_equal(strstr(index, NOTE) != NULL, noted);
}

static void assert_left_in_order(struct test_system *s, bool left)
{
	test_assert_settled(s);
	assert_index(s, left);
	assert_int_equal(test_exists(s, "/refreshed"), !left);
}

/* Not a byte of a module changes: neither depmod nor the initramfs has anything new to see. */
static void what_is_adopted_is_not_settled(void **state)
{
	struct test_system *s = test_system(state);

	dkms_left_all_in_order(s);
	adopt(s);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_left_in_order(s, true);
}

static void nor_is_what_the_database_gets_later(void **state)
{
	struct test_system *s = test_system(state);

	dkms_left_all_in_order(s);
	test_fake(s, "lock", "must-defer");
	adopt(s);
	assert_int_equal(test_queue_length(s), 1);
	test_fake(s, "lock", NULL);
	test_drain(s);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_left_in_order(s, true);
}

/* DKMS was killed before depmod. */
static void what_depmod_does_not_know_is_settled(void **state)
{
	struct test_system *s = test_system(state);

	dkms_left_all_in_order(s);
	assert_int_equal(utimensat(AT_FDCWD, INDEX, long_ago, 0), 0);
	adopt(s);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_left_in_order(s, false);
}

/* The module came later. */
static void what_the_initramfs_lacks_is_settled(void **state)
{
	struct test_system *s = test_system(state);

	dkms_left_all_in_order(s);
	assert_int_equal(utimensat(AT_FDCWD, INITRD, long_ago, 0), 0);
	adopt(s);
	assert_left_in_order(s, false);
}

/* The package would have changed nothing; that it is refused does. */
static void what_is_refused_is_settled(void **state)
{
	struct test_system *s = test_system(state);

	dkms_left_all_in_order(s);
	test_fake(s, "refuse", "kmod-hello-" K1 " no such luck");
	adopt(s);
	assert_int_equal(s->result.failed, 1);
	test_assert_absent(s, "hello", K1);
	assert_left_in_order(s, false);
}

/* A module is lost while its entry waits. Whoever puts it in place marks the kernel. */
static void what_is_lost_is_settled(void **state)
{
	struct test_system *s = test_system(state);

	for (int placed = 0; placed < 2; placed++) {
		test_fake(s, "lock", "must-defer");
		dkms_left_all_in_order(s);
		adopt(s);
		assert_int_equal(unlink(SIBLING), 0);
		if (placed)
			test_sync(s);
		assert_int_equal(test_exists(s, "/var/lib/kmodpkg/unsettled"), placed);
		test_fake(s, "lock", NULL);
		test_drain(s);
		test_assert_installed(s, "hello", "1.0", K1);
		assert_left_in_order(s, false);
		TEST_TRY(kp_rm_rf_in(s->root.fd, "/var/lib/dkms/hello", err));
		assert_int_equal(unlink("/refreshed"), 0);
	}
}

/* An older package had a file that goes with it. */
static void what_an_older_package_had_is_settled(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
	test_publish(s, "hello", "1.0", K1, "hello", "more", NULL);
	test_sync(s);
	note_index(s);
	test_put(&s->root, "/usr/src/hello-1.0/new.h", "");
	test_publish(s, "hello", "1.0", K1, "hello", NULL);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_index(s, false);
}

/* The same of one that never got beyond the queue, and had been as it was. */
static void what_a_queued_package_had_is_settled(void **state)
{
	static const char more[] = "/lib/modules/" K1 "/updates/dkms/more.ko";
	struct test_system *s = test_system(state);
	_cleanup_free_ char *hello = tree_file(s, "hello", "1.0", K1, "hello.ko");
	_cleanup_free_ char *other = tree_file(s, "hello", "1.0", K1, "more.ko");

	test_register(s, "hello", "1.0", NULL);
	test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
	test_publish(s, "hello", "1.0", K1, "hello", "more", NULL);
	copy_file(s, hello, SIBLING);
	copy_file(s, other, more);
	run_depmod(K1);
	note_index(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_false(test_exists(s, "/var/lib/kmodpkg/unsettled"));
	test_put(&s->root, "/usr/src/hello-1.0/new.h", "");
	test_publish(s, "hello", "1.0", K1, "hello", NULL);
	test_sync(s);
	assert_false(test_exists(s, more));
	test_fake(s, "lock", NULL);
	test_drain(s);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_index(s, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(what_is_adopted_is_not_settled),
		SYSTEM_TEST(nor_is_what_the_database_gets_later),
		SYSTEM_TEST(what_depmod_does_not_know_is_settled),
		SYSTEM_TEST(what_the_initramfs_lacks_is_settled),
		SYSTEM_TEST(what_is_refused_is_settled),
		SYSTEM_TEST(what_is_lost_is_settled),
		SYSTEM_TEST(what_an_older_package_had_is_settled),
		SYSTEM_TEST(what_a_queued_package_had_is_settled),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
