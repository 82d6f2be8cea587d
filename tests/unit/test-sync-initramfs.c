// SPDX-License-Identifier: GPL-2.0-or-later
/* When the initramfs is made anew: now, by the end of the transaction, or by nobody. */
#include "system.h"

static void set_initramfs_tool(struct test_system *s, const char *exit_code)
{
	_cleanup_free_ char *text =
		kp_strf("#!/bin/sh\necho \"$@\" >>/noted\nexit %s\n", exit_code);

	test_put(&s->root, "/usr/sbin/update-initramfs", text);
	assert_int_equal(chmod("/usr/sbin/update-initramfs", 0755), 0);
}

static void assert_noted(struct test_system *s, const char *text)
{
	_cleanup_free_ char *noted = test_get(&s->root, "/noted");

	assert_string_equal(noted, text);
}

/* A drain comes after every call of dpkg: what failed is not tried, and told of, each time. */
static void a_drain_settles_in_vain_once(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1, call[] = "-u -k " K1 "\n";
	const struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_put(&s->root, initrd, "");
	assert_int_equal(utimensat(AT_FDCWD, initrd, old, 0), 0);
	set_initramfs_tool(s, "1");
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_fake(s, "lock", "can-commit");
	assert_int_equal(kp_drain(s->ctx, &s->err), -ECHILD);
	assert_noted(s, call);
	test_drain(s);
	assert_noted(s, call);
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K1));
	/* A sync tries, and so does a drain after another change. */
	set_initramfs_tool(s, "0");
	test_sync(s);
	assert_noted(s, "-u -k " K1 "\n-u -k " K1 "\n");
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

/* The manager's own hook makes the initramfs after ours; the end of the transaction looks. */
static void initramfs_of_the_transaction(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1, call[] = "-u -k " K1 "\n";
	const struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	const struct kp_sync_opts opts = { .no_initramfs = true };
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_put(&s->root, "/noted", "");
	set_initramfs_tool(s, "0");
	test_put(&s->root, initrd, "");
	assert_int_equal(utimensat(AT_FDCWD, initrd, old, 0), 0);
	test_fake(s, "lock", "can-commit");
	s->ctx->nested = true;
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_noted(s, "");
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K1));
	assert_false(test_exists(s, "/var/lib/kmodpkg/unsettled/" K2));
	test_drain(s);
	assert_noted(s, call);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
	/* A person who wants none is told by no later transaction. */
	s->ctx->nested = false;
	assert_int_equal(utimensat(AT_FDCWD, initrd, old, 0), 0);
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	assert_int_equal(test_sync_rc(s, &opts), 0);
	test_assert_settled(s);
	assert_noted(s, call);
}

/* It was killed: nobody comes after us any more. */
static void the_transaction_is_gone(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1;
	const struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	const struct kp_sync_opts opts = { .no_initramfs = true };
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	set_initramfs_tool(s, "0");
	test_put(&s->root, initrd, "");
	assert_int_equal(utimensat(AT_FDCWD, initrd, old, 0), 0);
	s->ctx->nested = true;
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_noted(s, "-u -k " K1 "\n");
	test_assert_settled(s);
}

/* kernel-install makes that of one kernel, and knows nothing of what is due for another. */
static void that_of_another_kernel_stays_due(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1, call[] = "-u -k " K1 "\n";
	const struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	char *const kernels[] = { (char *)K2, NULL };
	const struct kp_sync_opts opts = { .kernels = kernels, .no_initramfs = true };
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	set_initramfs_tool(s, "1");
	test_put(&s->root, initrd, "");
	assert_int_equal(utimensat(AT_FDCWD, initrd, old, 0), 0);
	assert_int_equal(test_sync_rc(s, NULL), -ECHILD);
	assert_noted(s, call);
	set_initramfs_tool(s, "0");
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_noted(s, call);
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K1));
	test_sync(s);
	assert_noted(s, "-u -k " K1 "\n-u -k " K1 "\n");
	test_assert_settled(s);
}

/* Whoever was to place the modules was killed, the transaction made its initramfs, and the modules come
 * only now: by another sync in it, or with the commit at its end. */
static void an_initramfs_came_too_early(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1;
	static const char ko[] = "/lib/modules/" K1 "/updates/dkms/hello.ko";
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	set_initramfs_tool(s, "0");
	for (int again = 0; again < 2; again++) {
		test_put(&s->root, "/noted", "");
		test_fake(s, "lock", "must-defer");
		test_sync(s);
		assert_int_equal(unlink(ko), 0);
		assert_int_equal(kp_unlink_in(s->root.fd, initrd), 0);
		test_put(&s->root, initrd, "");
		if (again)
			test_sync(s);
		test_fake(s, "lock", "can-commit");
		test_drain(s);
		assert_noted(s, "-u -k " K1 "\n");
		test_assert_installed(s, "hello", "1.0", K1);
		test_fake(s, "lock", NULL);
		test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
		test_sync(s);
		test_say(s, "hello", "1.0", K1, KP_INTENT_NONE);
	}
}

/* The transaction made it when the module was still there. */
static void an_initramfs_has_what_is_erased(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1;
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	set_initramfs_tool(s, "0");
	test_put(&s->root, "/noted", "");
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_put(&s->root, initrd, "");
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_absent(s, "hello", K1);
	assert_noted(s, "-u -k " K1 "\n");
}

/* The transaction made it when the module was placed, and only then its package is refused. */
static void an_initramfs_has_what_is_refused(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1;
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
	set_initramfs_tool(s, "0");
	test_put(&s->root, "/noted", "");
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_put(&s->root, initrd, "");
	test_fake(s, "refuse", "kmod-hello-" K1 " no such luck");
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_absent(s, "hello", K1);
	assert_noted(s, "-u -k " K1 "\n");
}

/* It has the new package's modules, and one of the old package's that goes with the commit. */
static void an_initramfs_has_what_is_dropped(void **state)
{
	static const char initrd[] = "/boot/initrd.img-" K1;
	static const char more[] = "/lib/modules/" K1 "/updates/dkms/more.ko";
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, "hello", "more", NULL);
	test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
	test_sync(s);
	set_initramfs_tool(s, "0");
	test_put(&s->root, "/noted", "");
	test_put(&s->root, "/usr/src/hello-1.0/new.h", "");
	test_publish(s, "hello", "1.0", K1, "hello", NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_true(test_exists(s, more));
	test_put(&s->root, initrd, "");
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	assert_false(test_exists(s, more));
	assert_noted(s, "-u -k " K1 "\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(a_drain_settles_in_vain_once),
		SYSTEM_TEST(initramfs_of_the_transaction),
		SYSTEM_TEST(the_transaction_is_gone),
		SYSTEM_TEST(that_of_another_kernel_stays_due),
		SYSTEM_TEST(an_initramfs_came_too_early),
		SYSTEM_TEST(an_initramfs_has_what_is_erased),
		SYSTEM_TEST(an_initramfs_has_what_is_refused),
		SYSTEM_TEST(an_initramfs_has_what_is_dropped),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
