// SPDX-License-Identifier: GPL-2.0-or-later
/* What a sync makes of what a package database says of our packages. */
#include <sys/mount.h>

#include "lib/install.h"

#include "system.h"

#define PACKAGE(k) TEST_FAKEDB "/packages/kmod-hello-" k
#define PACKAGE_FILE(k) "/lib/modules/" k "/updates/dkms/hello.ko"

/* hello 1.0, installed for both kernels. */
static struct test_system *installed(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	assert_int_equal(s->result.installed, 2);
	return s;
}

/* One of which the database does not say what it was made from. */
static void package_without_keys_goes(void **state)
{
	struct test_system *s = installed(state);

	test_fake(s, "packages/kmod-hello-" K1,
		  "module=hello\nversion=1.0\nkernel=" K1
		  "\narch=x86_64\nkey=\ncontent=\n"
		  "name=kmod-hello-" K1 "\npkg_version=1.0\nfile=" PACKAGE_FILE(K1) "\n");
	test_remove_kernel(s, K1);
	test_sync(s);
	assert_int_equal(s->result.failed, 0);
	assert_false(test_exists(s, PACKAGE(K1)));
	test_assert_settled(s);
}

/* What other tools look at: with a disk that fails it is made by the next run, and erased by it. */
static void view_that_cannot_be_changed(void **state)
{
	static const char dir[] = "/var/lib/dkms/hello";
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	for (int i = 0; i < 2; i++) {
		test_say(s, "hello", "1.0", K1, i ? KP_INTENT_HOLD : KP_INTENT_NONE);
		assert_int_equal(mount(dir, dir, NULL, MS_BIND, NULL), 0);
		assert_int_equal(mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY,
				       NULL),
				 0);
		assert_int_equal(test_sync_rc(s, NULL), -EROFS);
		assert_int_equal(kp_unsettled_get(s->ctx, K1), KP_MARK_NONE);
		assert_int_equal(umount(dir), 0);
		test_sync(s);
		assert_int_equal(kp_view_has(s->ctx, "hello", K1), !i);
		test_assert_settled(s);
	}
}

/* What is odd there stays. */
static void view_that_is_none(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *file =
		kp_strf("/var/lib/dkms/hello/kernel-" K1 "-%s/file", s->ctx->arch);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_put(&s->root, file, "");
	test_sync(s);
	test_assert_said(s, "warning: ");
	test_assert_settled(s);
	assert_true(test_exists(s, file));
}

/* What a database says of packages becomes paths. */
static void packages_that_mean_no_good(void **state)
{
	static const char *const fields[] = {
		"module=../../etc\nversion=1.0\nkernel=" K1 "\nfile=" PACKAGE_FILE(K1),
		"module=evil\nversion=..\nkernel=" K1 "\nfile=" PACKAGE_FILE(K1),
		"module=evil\nversion=1.0\nkernel=5.10/../" K1 "\nfile=" PACKAGE_FILE(K1),
		"module=evil\nversion=1.0\nkernel=gone\nfile=/etc/precious",
		"module=evil\nversion=1.0\nkernel=gone\n"
		"file=/lib/modules/../../etc/precious",
	};
	struct test_system *s = installed(state);

	test_put(&s->root, "/etc/precious", "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(fields); i++) {
		_cleanup_free_ char *text = kp_strf(
			"name=kmod-evil\npkg_version=1\narch=a\nkey=k\ncontent=c\n%s\n",
			fields[i]);

		test_fake(s, "packages/kmod-evil", text);
		test_sync(s);
		assert_int_equal(s->result.erased, 0);
		test_assert_said(s, "warning: package kmod-evil: ");
		kp_buf_reset(&s->log);
		assert_true(test_exists(s, "/etc/precious"));
		assert_true(test_exists(s, TEST_FAKEDB "/packages/kmod-evil"));
		test_assert_installed(s, "hello", "1.0", K1);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(package_without_keys_goes),
		SYSTEM_TEST(view_that_cannot_be_changed),
		SYSTEM_TEST(view_that_is_none),
		SYSTEM_TEST(packages_that_mean_no_good),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
