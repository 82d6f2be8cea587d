// SPDX-License-Identifier: GPL-2.0-or-later
/* A sync that may commit: from published builds to packages, and away again. */
#include "system.h"

static void commits_when_free(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, "hello", "extra", NULL);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_BUILT, NULL);
	test_sync(s);
	assert_int_equal(s->result.installed, 2);
	assert_int_equal(s->result.failed + s->result.queued + s->result.built, 0);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
	/* One transaction for both, then the flags. */
	test_assert_fake_log(s, "begin\nadd kmod-hello-" K1 "\nadd kmod-hello-" K2
				"\nend\nsettle kmod-hello-" K1 "\nsettle kmod-hello-" K2
				"\n");
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED, NULL);
	assert_string_equal(test_row(s, "hello", "1.0", K1)->package, "kmod-hello-" K1);
}

static void second_run_does_nothing(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	test_fake(s, "log", "");
	test_sync(s);
	assert_int_equal(s->result.installed + s->result.erased + s->result.queued, 0);
	test_assert_fake_log(s, "");
	assert_null(s->log.s && *s->log.s ? s->log.s : NULL);
}

static void inside_a_safe_point(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", "can-commit");
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

/* What depmod cannot do is said, stays to be done, and is done as soon as it can be. */
static void without_depmod(void **state)
{
	struct test_system *s = test_system(state);
	static const char *const names[] = { "/usr/sbin/depmod", "/usr/bin/depmod",
					     "/sbin/depmod", "/bin/depmod" };

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *away = kp_strf("%s.away", names[i]);

		(void)rename(names[i], away);
	}
	assert_int_equal(test_sync_rc(s, NULL), -ENOPKG);
	assert_non_null(strstr(s->err.text, "install the package kmod"));
	assert_int_equal(s->result.installed, 2);
	assert_false(test_exists(s, "/var/lib/kmodpkg/queue"));
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K1));
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K2));
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *away = kp_strf("%s.away", names[i]);

		(void)rename(away, names[i]);
	}
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void upgrade_in_one_commit(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, "hello", "old", NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	test_assert_state(s, "hello", "2.0", K1, KP_STATE_STALE,
			  "2.0 takes the place of 1.0");
	test_sync(s);
	test_assert_installed(s, "hello", "2.0", K1);
	test_assert_installed(s, "hello", "2.0", K2);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/old.ko"));
	test_assert_settled(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_BUILT,
			  "2.0 is the version for this kernel");
}

static void pin_of_an_older_version(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	test_say(s, "hello", "1.0", K1, KP_INTENT_PIN);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "2.0", K2);
	test_say(s, "hello", "1.0", K1, KP_INTENT_NONE);
	test_sync(s);
	test_assert_installed(s, "hello", "2.0", K1);
	test_say(s, "hello", "1.0", K1, KP_INTENT_PIN);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void installed(struct test_system *s)
{
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
}

static void hold_erases_and_keeps_away(void **state)
{
	struct test_system *s = test_system(state);

	installed(s);
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	test_sync(s);
	assert_int_equal(s->result.erased, 1);
	test_assert_said(s, "removed kmod-hello-" K1 ": uninstalled by hand");
	test_assert_absent(s, "hello", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
	test_sync(s);
	assert_int_equal(s->result.installed + s->result.erased, 0);
	test_assert_absent(s, "hello", K1);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_HELD, "uninstalled by hand");
}

static void vanished_package_is_restored(void **state)
{
	struct test_system *s = test_system(state);

	installed(s);
	test_assert_not_said(s, "uninstall");
	/* What `dpkg -r` does. */
	test_fake(s, "packages/kmod-hello-" K1, NULL);
	assert_int_equal(
		kp_unlink_in(s->root.fd, "/lib/modules/" K1 "/updates/dkms/hello.ko"), 0);
	test_sync(s);
	test_assert_said(s, "kmodpkg uninstall hello/1.0 -k " K1);
	test_assert_not_said(s, "kmodpkg uninstall hello/1.0 -k " K2);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

/* A path that is taken: one line, nothing of it placed, the rest handled. */
static void path_of_another_package(void **state)
{
	struct test_system *s = test_system(state);
	static const char foreign[] = "/lib/modules/" K1 "/updates/dkms/hello.ko";
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	test_register(s, "other", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, "extra", "hello", NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_publish(s, "other", "1.0", K1, NULL);
	test_publish(s, "other", "1.0", K2, NULL);
	test_put(&s->root, foreign, "foreign");
	test_own(s, "nvidia-modules", foreign);
	test_sync(s);
	assert_int_equal(s->result.installed, 3);
	assert_int_equal(s->result.failed, 1);
	assert_int_equal(kp_strv_len(s->result.failures), 1);
	assert_string_equal(s->result.failures[0],
			    "hello/1.0, kernel " K1 ": /lib/modules/" K1
			    "/updates/dkms/hello.ko belongs to package nvidia-modules; "
			    "remove that package or uninstall hello");
	test_assert_said(s, "hello/1.0 for " K1 ": /lib/modules/" K1
			    "/updates/dkms/hello.ko belongs to package nvidia-modules");
	text = test_get(&s->root, foreign);
	assert_string_equal(text, "foreign");
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_installed(s, "other", "1.0", K1);
	test_assert_settled(s);
}

/* The same, where the queue is all there can be. */
static void path_of_another_package_when_deferred(void **state)
{
	struct test_system *s = test_system(state);
	static const char foreign[] = "/lib/modules/" K1 "/updates/dkms/hello.ko";
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, "extra", "hello", NULL);
	test_put(&s->root, foreign, "foreign");
	test_own(s, "nvidia-modules", foreign);
	test_fake(s, "lock", "must-defer");
	test_remove_kernel(s, K2);
	test_sync(s);
	assert_int_equal(s->result.queued, 0);
	assert_int_equal(s->result.failed, 1);
	text = test_get(&s->root, foreign);
	assert_string_equal(text, "foreign");
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	assert_false(test_exists(s, "/var/lib/kmodpkg/queue"));
}

/* A package of ours in name only: what the backend refuses to write. */
static void package_name_is_taken(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_own(s, "kmod-hello-" K1, "/usr/share/doc/kmod-hello");
	test_sync(s);
	assert_int_equal(s->result.failed, 1);
	assert_string_equal(s->result.failures[0],
			    "hello/1.0, kernel " K1 ": package kmod-hello-" K1
			    " is not ours");
	test_assert_absent(s, "hello", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

static void files_that_dkms_left_are_taken_over(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_put(&s->root, "/lib/modules/" K1 "/updates/dkms/hello.ko", "of dkms");
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void refused_change(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_register(s, "other", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "other", "1.0", K1, NULL);
	test_remove_kernel(s, K2);
	test_fake(s, "refuse", "kmod-hello-" K1 " conflicts with hello-modules");
	test_sync(s);
	assert_int_equal(s->result.failed, 1);
	assert_int_equal(s->result.installed, 1);
	assert_string_equal(s->result.failures[0],
			    "hello/1.0, kernel " K1 ": conflicts with hello-modules");
	test_assert_absent(s, "hello", K1);
	test_assert_installed(s, "other", "1.0", K1);
	test_assert_settled(s);
	test_fake(s, "refuse", NULL);
	test_sync(s);
	test_assert_not_said(s, "is missing, restoring");
	test_assert_installed(s, "hello", "1.0", K1);
}

static void broken_database_changes_nothing(void **state)
{
	struct test_system *s = test_system(state);

	installed(s);
	test_remove_kernel(s, K1);
	test_fake(s, "broken", "");
	test_fake(s, "log", "");
	assert_int_equal(test_sync_rc(s, NULL), -EIO);
	assert_string_equal(s->err.text, "fakedb is broken");
	test_assert_fake_log(s, "");
	test_fake(s, "broken", NULL);
	test_sync(s);
	test_assert_absent(s, "hello", K1);
}

static void only_what_is_named(void **state)
{
	struct test_system *s = test_system(state);
	char *modules[] = { (char *)"hello", NULL }, *kernels[] = { (char *)K2, NULL };
	struct kp_sync_opts opts = { .modules = modules, .kernels = kernels };

	test_register(s, "hello", "1.0", NULL);
	test_register(s, "other", "1.0", NULL);
	for (int i = 0; i < 2; i++) {
		test_publish(s, "hello", "1.0", i ? K1 : K2, NULL);
		test_publish(s, "other", "1.0", i ? K1 : K2, NULL);
	}
	assert_int_equal(test_sync_rc(s, &opts), 0);
	test_assert_absent(s, "hello", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_absent(s, "other", K2);
}

/* A source that has no kernel at all has a row without one: -k must not stumble over it. */
static void a_kernel_that_is_not_there(void **state)
{
	struct test_system *s = test_system(state);
	char *kernels[] = { (char *)"9.9.9-none", NULL };
	struct kp_sync_opts opts = { .kernels = kernels };

	test_remove_kernel(s, K1);
	test_remove_kernel(s, K2);
	test_register(s, "hello", "1.0", NULL);
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_int_equal(s->result.installed + s->result.failed, 0);
}

static void build_only_installs_nothing(void **state)
{
	struct test_system *s = test_system(state);
	/* It need not wait for a package manager that it does not need. */
	struct kp_sync_opts opts = { .requested = true, .build_only = true };

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_add_source(s, "owned", "1.0", "AUTOINSTALL=no\n");
	test_own(s, "owned-dkms", "/usr/src/owned-1.0/dkms.conf");
	test_fake(s, "lock", "busy apt");
	assert_int_equal(test_sync_rc(s, &opts), 0);
	test_assert_not_said(s, "waiting");
	test_assert_absent(s, "hello", K1);
	test_assert_settled(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(commits_when_free),
		SYSTEM_TEST(second_run_does_nothing),
		SYSTEM_TEST(inside_a_safe_point),
		SYSTEM_TEST(without_depmod),
		SYSTEM_TEST(upgrade_in_one_commit),
		SYSTEM_TEST(pin_of_an_older_version),
		SYSTEM_TEST(hold_erases_and_keeps_away),
		SYSTEM_TEST(vanished_package_is_restored),
		SYSTEM_TEST(path_of_another_package),
		SYSTEM_TEST(path_of_another_package_when_deferred),
		SYSTEM_TEST(package_name_is_taken),
		SYSTEM_TEST(files_that_dkms_left_are_taken_over),
		SYSTEM_TEST(refused_change),
		SYSTEM_TEST(broken_database_changes_nothing),
		SYSTEM_TEST(only_what_is_named),
		SYSTEM_TEST(a_kernel_that_is_not_there),
		SYSTEM_TEST(build_only_installs_nothing),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
