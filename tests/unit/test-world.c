// SPDX-License-Identifier: GPL-2.0-or-later
/* What is registered by itself, names that nobody should have, and the rows of `status`. */
#include <sys/mount.h>

#include "system.h"

static bool registered(struct test_system *s, const char *module, const char *version)
{
	_cleanup_free_ char *link =
		kp_strf("/var/lib/dkms/%s/%s/source", module, version);

	return test_exists(s, link);
}

/* No builds, which are not what is tested here. */
static struct test_system *quiet(void **state)
{
	struct test_system *s = test_system(state);

	test_put(&s->root, "/etc/dkms/no-autoinstall", "");
	return s;
}

static void only_what_a_package_owns(void **state)
{
	struct test_system *s = quiet(state);

	test_add_source(s, "mine", "1.0", NULL);
	test_add_source(s, "theirs", "1.0", NULL);
	test_own(s, "theirs-dkms", "/usr/src/theirs-1.0/dkms.conf");
	test_add_source(s, "gone", "1.0", NULL);
	test_own(s, "gone-dkms", "/usr/src/gone-1.0/dkms.conf");
	test_bury(s, "gone", "1.0");
	test_sync(s);
	assert_false(registered(s, "mine", "1.0"));
	assert_true(registered(s, "theirs", "1.0"));
	assert_false(registered(s, "gone", "1.0"));
	test_assert_said(s, "registered theirs/1.0 (package theirs-dkms)");
	/* Another version is another source. */
	test_add_source(s, "gone", "1.1", NULL);
	test_own(s, "gone-dkms", "/usr/src/gone-1.1/dkms.conf");
	test_sync(s);
	assert_true(registered(s, "gone", "1.1"));
}

/* Registering goes on while the package manager is busy, and waits for nobody. */
static void registered_within_a_transaction(void **state)
{
	struct test_system *s = quiet(state);

	test_add_source(s, "theirs", "1.0", NULL);
	test_own(s, "theirs-dkms", "/usr/src/theirs-1.0/dkms.conf");
	test_fake(s, "lock", "busy apt");
	test_sync(s);
	test_assert_not_said(s, "waiting");
	assert_true(registered(s, "theirs", "1.0"));
	test_assert_settled(s);
}

static void source_upgraded(void **state)
{
	struct test_system *s = quiet(state);

	test_add_source(s, "hello", "1.0", NULL);
	test_own(s, "hello-dkms", "/usr/src/hello-1.0/dkms.conf");
	test_sync(s);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	/* The package manager has put the new one in the place of the old. */
	assert_int_equal(kp_rm_rf_in(s->root.fd, "/usr/src/hello-1.0", NULL), 0);
	test_disown(s, "hello-dkms");
	test_add_source(s, "hello", "2.0", NULL);
	test_own(s, "hello-dkms", "/usr/src/hello-2.0/dkms.conf");
	test_fake(s, "log", "");
	test_sync(s);
	assert_false(registered(s, "hello", "1.0"));
	assert_true(registered(s, "hello", "2.0"));
	/* No replacement was built: this one is certain to go, though. */
	assert_int_equal(s->result.erased, 0);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	test_sync(s);
	test_assert_installed(s, "hello", "2.0", K1);
	test_assert_settled(s);
	/* In one transaction, without an erase. */
	test_assert_fake_log(s, "begin\nadd kmod-hello-" K1 "\nadd kmod-hello-" K2
				"\nend\nsettle kmod-hello-" K1 "\nsettle kmod-hello-" K2
				"\n");
}

static void one_that_cannot_be_registered(void **state)
{
	struct test_system *s = quiet(state);

	test_add_source(s, "hello", "1.0", NULL);
	test_own(s, "hello-dkms", "/usr/src/hello-1.0/dkms.conf");
	test_add_source(s, "other", "1.0", NULL);
	test_own(s, "other-dkms", "/usr/src/other-1.0/dkms.conf");
	test_register(s, "third", "1.0", NULL);
	test_publish(s, "third", "1.0", K1, NULL);
	test_put(&s->root, "/var/lib/dkms/hello", "a file");
	test_sync(s);
	test_assert_said(s, "hello/1.0: ");
	test_assert_said(s, "Not a directory, skipping this source");
	test_assert_not_said(s, "kept changing");
	assert_true(registered(s, "other", "1.0"));
	test_assert_installed(s, "third", "1.0", K1);
}

static void malformed_conf_stops_nobody(void **state)
{
	struct test_system *s = quiet(state);

	test_register(s, "bad", "1.0", "MAKE[0]=\"$(\n");
	test_register(s, "worse", "1.0", NULL);
	test_put(&s->root, "/usr/src/worse-1.0/dkms.conf", "");
	test_add_source(s, "worst", "1.0", NULL);
	test_put(&s->root, "/usr/src/worst-1.0/dkms.conf", "PACKAGE_NAME='");
	test_own(s, "worst-dkms", "/usr/src/worst-1.0/dkms.conf");
	test_register(s, "good", "1.0", NULL);
	test_publish(s, "good", "1.0", K1, NULL);
	test_sync(s);
	test_assert_installed(s, "good", "1.0", K1);
	assert_false(registered(s, "worst", "1.0"));
	test_assert_state(s, "worse", "1.0", K1, KP_STATE_FAILED,
			  "/usr/src/worse-1.0/dkms.conf: PACKAGE_NAME is not set");
	assert_true(kp_str_starts(test_row(s, "bad", "1.0", K1)->note,
				  "/usr/src/bad-1.0/dkms.conf: "));
	/* What has no row shows up among the problems. */
	for (size_t i = 0; i < s->world.unregistered.n; i++) {
		const struct kp_source *u = &s->world.unregistered.list[i];

		if (kp_str_eq(u->dir, "/usr/src/worst-1.0")) {
			assert_non_null(u->problem);
			return;
		}
	}
	fail_msg("nothing says that /usr/src/worst-1.0 is bad");
}

/* A source that is registered and cannot be used is a failure that every sync tells, once. */
static void unusable_source_is_told(void **state)
{
	struct test_system *s = quiet(state);

	test_register(s, "good", "1.0", NULL);
	test_publish(s, "good", "1.0", K1, NULL);
	test_register(s, "bad", "1.0", NULL);
	test_put(&s->root, "/usr/src/bad-1.0/dkms.conf", "PACKAGE_VERSION=1.0\n");
	test_sync(s);
	test_assert_installed(s, "good", "1.0", K1);
	assert_int_equal(s->result.failed, 1);
	test_assert_said(s, "bad/1.0: /usr/src/bad-1.0/dkms.conf: PACKAGE_NAME");
	test_sync(s);
	assert_int_equal(s->result.failed, 1);
}

static void hostile_names(void **state)
{
	struct test_system *s = quiet(state);
	static const char *const names[] = { "a b-1.0",	  "x\ny-1.0", "..-1.0",
					     "-1.0",	  "hello-",   "dash",
					     "t\tab-1.0", "\xff-1.0", "...",
					     "$(id)-1.0" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *conf = kp_strf("/usr/src/%s/dkms.conf", names[i]);
		_cleanup_free_ char *module = kp_strf("/var/lib/dkms/%s/1.0", names[i]);
		_cleanup_free_ char *version = kp_strf("/var/lib/dkms/m/%s", names[i]);
		_cleanup_free_ char *one = kp_path_join(module, "source");
		_cleanup_free_ char *two = kp_path_join(version, "source");

		test_put(&s->root, conf, "PACKAGE_NAME=../../x\nPACKAGE_VERSION=1.0\n");
		assert_int_equal(kp_mkdir_in(s->root.fd, module, 0755, NULL), 0);
		assert_int_equal(kp_mkdir_in(s->root.fd, version, 0755, NULL), 0);
		assert_int_equal(kp_symlink_in(s->root.fd, "/etc", one, NULL), 0);
		assert_int_equal(kp_symlink_in(s->root.fd, "../..", two, NULL), 0);
		test_own(s, "evil", "/usr/src");
	}
	/* Links that lead outside, nowhere and to themselves. */
	assert_int_equal(symlink("/etc", "/usr/src/out-1.0"), 0);
	assert_int_equal(symlink("loop-1.0", "/usr/src/loop-1.0"), 0);
	assert_int_equal(symlink("/nowhere", "/usr/src/nowhere-1.0"), 0);
	test_register(s, "good", "1.0", NULL);
	test_publish(s, "good", "1.0", K1, NULL);
	test_sync(s);
	test_assert_installed(s, "good", "1.0", K1);
	test_assert_said(s, "/usr/src/a b-1.0: unsafe name of a module source, skipping");
	test_assert_said(s, "/usr/src/x?y-1.0: unsafe name of a module source, skipping");
	test_assert_said(s, "/var/lib/dkms/x?y-1.0: unsafe name of a module, skipping");
	test_assert_said(s,
			 "/var/lib/dkms/m/a b-1.0: unsafe name of a version, skipping");
	assert_null(strstr(strstr(s->log.s, "/usr/src/a b") + 1, "/usr/src/a b"));
	/* Odd, but safe to use as names; what they point to is no source, and that is told. */
	assert_int_equal(s->result.failed, 12);
	test_assert_said(s, "$(id)-1.0/1.0: ");
	kp_strv_foreach(p, s->result.failures)
		assert_false(kp_str_starts(*p, "good/"));
	test_row(s, "good", "1.0", K1);
	for (size_t i = 0; i < s->world.plan.n_rows; i++)
		assert_true(kp_name_ok(s->world.plan.rows[i].module) &&
			    kp_name_ok(s->world.plan.rows[i].version));
	test_assert_settled(s);
}

static void odd_kernels(void **state)
{
	struct test_system *s = quiet(state);
	static const char *const names[] = { "6.1.0 evil", "6.1\n0", "extramodules",
					     ".hidden",	   "6",	     "6.1.0-\xff",
					     "lost+found" };

	test_register(s, "hello", "1.0", NULL);
	test_add_kernel(s, "6.1.0-rc1+~a:b");
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *dir = kp_strf("/lib/modules/%s/kernel/x", names[i]);

		test_put(&s->root, dir, "");
	}
	assert_int_equal(symlink("/etc", "/lib/modules/6.9-link"), 0);
	test_publish(s, "hello", "1.0", "6.1.0-rc1+~a:b", NULL);
	test_sync(s);
	assert_int_equal(s->result.failed, 0);
	test_assert_installed(s, "hello", "1.0", "6.1.0-rc1+~a:b");
	test_assert_said(s,
			 "/lib/modules/6.1.0 evil': not usable as the name of a kernel");
	for (size_t i = 0; i < s->world.plan.n_rows; i++)
		assert_true(kp_name_ok(s->world.plan.rows[i].kernel));
	test_assert_settled(s);
}

/* A package that claims a kernel that cannot be one. */
static void odd_kernel_in_the_database(void **state)
{
	struct test_system *s = quiet(state);

	test_fake(
		s, "packages/evil",
		"name=evil\nmodule=hello\nversion=1.0\nkernel=../../etc\narch=x\nkey=k\n"
		"content=c\nfile=/etc/passwd\n");
	test_register(s, "good", "1.0", NULL);
	test_publish(s, "good", "1.0", K1, NULL);
	test_sync(s);
	test_assert_installed(s, "good", "1.0", K1);
	assert_true(test_exists(s, "/etc/passwd"));
	assert_false(test_exists(s, "/var/lib/kmodpkg/queue"));
}

static void remembered_failures(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_fail(s, "hello", "1.0", K1, "make ended with exit code 2", false);
	test_fail(s, "hello", "1.0", K2, "make ended with exit code 2", false);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_FAILED,
			  "make ended with exit code 2");
	assert_int_equal(test_row(s, "hello", "1.0", K1)->action, KP_ACTION_NONE);
	test_sync(s);
	assert_int_equal(s->result.built + s->result.failed, 0);
	assert_int_equal(s->result.remembered, 2);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_FAILED,
			  "make ended with exit code 2");
	/* The machine's fault, or another key: tried again. */
	test_fail(s, "hello", "1.0", K1, "No space left on device", true);
	assert_int_equal(test_row(s, "hello", "1.0", K1)->action, KP_ACTION_BUILD);
	test_put(&s->root, "/usr/src/hello-1.0/new.c", "");
	assert_int_equal(test_row(s, "hello", "1.0", K2)->action, KP_ACTION_BUILD);
}

static void a_failed_rebuild_keeps_the_package(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	test_put(&s->root, "/usr/src/hello-1.0/new.c", "");
	test_fail(s, "hello", "1.0", K1, "make ended with exit code 2", false);
	test_fail(s, "hello", "1.0", K2, "make ended with exit code 2", false);
	test_sync(s);
	assert_int_equal(s->result.erased + s->result.installed, 0);
	assert_int_equal(s->result.remembered, 2);
	assert_true(test_exists(s, "/lib/modules/" K1 "/updates/dkms/hello.ko"));
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "make ended with exit code 2");
	assert_string_equal(test_row(s, "hello", "1.0", K1)->package, "kmod-hello-" K1);
}

static void read_only_image(void **state)
{
	struct test_system *s = quiet(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	/* /usr first, then all of it. */
	assert_int_equal(mount("/usr", "/usr", NULL, MS_BIND | MS_REC, NULL), 0);
	assert_int_equal(
		mount(NULL, "/usr", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(test_sync_rc(s, NULL), -EROFS);
	assert_string_equal(s->err.text,
			    "/lib/modules is on a read-only file system, nothing "
			    "is changed");
	assert_int_equal(test_queue_length(s), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(test_sync_rc(s, NULL), -EROFS);
	assert_string_equal(s->err.text,
			    "/var/lib/kmodpkg is on a read-only file system, "
			    "nothing is changed");
	assert_int_equal(s->log.len, 0);
	/* Reading works. */
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_BUILT, NULL);
	assert_int_equal(mount(NULL, "/", NULL, MS_REMOUNT, NULL), 0);
	assert_int_equal(umount("/usr"), 0);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
}

static void read_only_with_nothing_to_do(void **state)
{
	struct test_system *s = quiet(state);

	test_register(s, "hello", "1.0", NULL);
	assert_int_equal(mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	test_sync(s);
	assert_int_equal(s->log.len, 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REMOUNT, NULL), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(only_what_a_package_owns),
		SYSTEM_TEST(registered_within_a_transaction),
		SYSTEM_TEST(source_upgraded),
		SYSTEM_TEST(one_that_cannot_be_registered),
		SYSTEM_TEST(malformed_conf_stops_nobody),
		SYSTEM_TEST(unusable_source_is_told),
		SYSTEM_TEST(hostile_names),
		SYSTEM_TEST(odd_kernels),
		SYSTEM_TEST(odd_kernel_in_the_database),
		SYSTEM_TEST(remembered_failures),
		SYSTEM_TEST(a_failed_rebuild_keeps_the_package),
		SYSTEM_TEST(read_only_image),
		SYSTEM_TEST(read_only_with_nothing_to_do),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
