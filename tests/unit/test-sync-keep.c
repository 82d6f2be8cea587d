// SPDX-License-Identifier: GPL-2.0-or-later
/* What a sync erases, and what it keeps because nothing says for certain that it is to go. */
#include <sys/mount.h>

#include "lib/build.h"
#include "lib/install.h"
#include "system.h"

#define PACKAGE(k) "/var/lib/fakedb/packages/kmod-hello-" k

/* hello 1.0, of the package hello-dkms, installed for both kernels. */
static struct test_system *installed(void **state)
{
	struct test_system *s = test_system(state);

	test_add_source(s, "hello", "1.0", NULL);
	test_own(s, "hello-dkms", "/usr/src/hello-1.0/dkms.conf");
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	assert_int_equal(s->result.installed, 2);
	return s;
}

static void assert_kept(struct test_system *s)
{
	test_sync(s);
	assert_int_equal(s->result.erased, 0);
	assert_true(test_exists(s, PACKAGE(K1)));
	assert_true(test_exists(s, PACKAGE(K2)));
	assert_true(test_exists(s, "/lib/modules/" K1 "/updates/dkms/hello.ko"));
}

static void remove_tree(struct test_system *s, const char *path)
{
	assert_int_equal(kp_rm_rf_in(s->root.fd, path, NULL), 0);
}

static void kernel_gone(void **state)
{
	struct test_system *s = installed(state);

	test_remove_kernel(s, K1);
	test_sync(s);
	test_assert_said(s, "removed kmod-hello-" K1 ": kernel " K1 " is gone");
	assert_int_equal(s->result.erased, 1);
	test_assert_absent(s, "hello", K1);
	/* No directory, no modules.dep of it. */
	assert_false(test_exists(s, "/lib/modules/" K1));
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

/* Inside of the transaction that removes it. */
static void kernel_gone_deferred(void **state)
{
	struct test_system *s = installed(state);

	test_remove_kernel(s, K1);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_int_equal(s->result.queued, 1);
	assert_true(test_exists(s, PACKAGE(K1)));
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	assert_false(test_exists(s, "/lib/modules/" K1));
	test_assert_settled(s);
}

/* The package manager takes the generated package along (apt autoremove): nothing of ours is
 * erased, and what depmod and builds left is to go nevertheless. */
static void package_goes_with_its_kernel(void **state)
{
	static const char *const left[] = {
		"/lib/modules/" K1,
		"/var/lib/dkms/hello/1.0/" K1,
		"/var/log/kmodpkg/hello/1.0",
	};
	struct test_system *s = installed(state);
	_cleanup_free_ char *log = kp_build_log_path(s->ctx, "hello", "1.0", K1);

	test_put(&s->root, log, "");
	test_remove_kernel(s, K1);
	test_fake(s, "packages/kmod-hello-" K1, NULL);
	remove_tree(s, "/lib/modules/" K1 "/updates");
	assert_true(test_exists(s, "/lib/modules/" K1 "/modules.dep"));
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	for (size_t i = 0; i < KP_ARRAY_SIZE(left); i++)
		if (test_exists(s, left[i]))
			fail_msg("%s is left", left[i]);
	assert_false(kp_view_has(s->ctx, "hello", K1));
	test_assert_settled(s);
	test_fake(s, "lock", NULL);
	test_assert_installed(s, "hello", "1.0", K2);
}

/* A kernel that cannot be seen now, or of which the headers are here, keeps its builds. */
static void builds_of_hidden_kernels_stay(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	remove_tree(s, "/lib/modules/" K1); /* the package is there */
	remove_tree(s, "/boot/vmlinuz-" K1);
	remove_tree(s, "/lib/modules/" K2 "/kernel");
	remove_tree(s, "/boot/vmlinuz-" K2);
	test_disown(s, "linux-image-" K2);
	test_sync(s);
	assert_true(test_exists(s, "/var/lib/dkms/hello/1.0/" K1));
	assert_true(test_exists(s, "/var/lib/dkms/hello/1.0/" K2));
}

/* A kernel goes that waits in the queue for its first package. */
/* A hook of the package manager's ran depmod for a kernel that was just removed. */
static void litter_of_depmod(void **state)
{
	static const char old[] = "/lib/modules/5.10.0-1-test";
	struct test_system *s = test_system(state);

	test_put(&s->root, "/lib/modules/5.10.0-1-test/modules.dep", "");
	test_put(&s->root, "/lib/modules/5.10.0-1-test/modules.alias.bin", "");
	/* As long as somebody owns something there, it is not ours to judge. */
	test_put(&s->root, "/lib/modules/5.10.0-1-test/notes", "");
	test_own(s, "notes", "/lib/modules/5.10.0-1-test/notes");
	test_sync(s);
	assert_true(test_exists(s, "/lib/modules/5.10.0-1-test/modules.dep"));
	test_disown(s, "notes");
	assert_int_equal(unlink("/lib/modules/5.10.0-1-test/notes"), 0);
	test_sync(s);
	assert_false(test_exists(s, old));
	test_assert_settled(s);
	assert_true(test_exists(s, "/lib/modules/" K1 "/modules.order"));
}

static void kernel_gone_while_queued(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_remove_kernel(s, K1);
	test_sync(s);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/lib/modules/" K1));
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

/* Its files are not there, as on a /boot and /lib that are not mounted. */
static void kernel_in_the_database_only(void **state)
{
	struct test_system *s = installed(state);

	remove_tree(s, "/lib/modules/" K1 "/kernel");
	remove_tree(s, "/boot/vmlinuz-" K1);
	assert_kept(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "the kernel's files are not there");
}

static void headers_gone(void **state)
{
	struct test_system *s = installed(state);

	remove_tree(s, "/usr/src/linux-headers-" K1);
	remove_tree(s, "/lib/modules/" K1 "/build");
	assert_kept(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED,
			  "kernel headers are not installed, so it cannot be rebuilt");
}

static void source_gone_with_its_package(void **state)
{
	struct test_system *s = test_system(state);

	/* Registered by itself. */
	test_add_source(s, "hello", "1.0", NULL);
	test_own(s, "hello-dkms", "/usr/src/hello-1.0/dkms.conf");
	test_fake(s, "lock", "must-defer");
	test_put(&s->root, "/etc/dkms/no-autoinstall", "");
	test_sync(s);
	test_assert_said(s, "registered hello/1.0 (package hello-dkms)");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", NULL);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);

	remove_tree(s, "/usr/src/hello-1.0");
	test_disown(s, "hello-dkms");
	test_sync(s);
	test_assert_said(s, "hello/1.0 is gone with its package");
	test_assert_said(s, "its source went with the package that owned it");
	assert_int_equal(s->result.erased, 2);
	test_assert_absent(s, "hello", K1);
	test_assert_absent(s, "hello", K2);
	test_assert_settled(s);
	assert_false(test_exists(s, "/var/lib/dkms/hello"));
	assert_false(test_exists(s, "/var/lib/kmodpkg/builds/hello"));
}

/* A person or a maintainer script registered it; the packages go all the same. */
static void registered_source_gone_with_its_package(void **state)
{
	struct test_system *s = installed(state);

	remove_tree(s, "/usr/src/hello-1.0");
	test_disown(s, "hello-dkms");
	test_sync(s);
	assert_int_equal(s->result.erased, 2);
	test_assert_absent(s, "hello", K1);
	test_assert_settled(s);
}

static void source_of_nobody_gone(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	remove_tree(s, "/usr/src/hello-1.0");
	assert_kept(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "/usr/src/hello-1.0 is not there");
}

static void usr_src_not_mounted(void **state)
{
	struct test_system *s = installed(state);

	assert_int_equal(mount("none", "/usr/src", "tmpfs", 0, NULL), 0);
	assert_kept(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "/usr/src/hello-1.0 is not there");
	assert_int_equal(umount("/usr/src"), 0);
	test_sync(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED, NULL);
}

/* The package has its tree elsewhere, and a link in /usr/src. */
static void usr_src_with_a_link_not_mounted(void **state)
{
	struct test_system *s = test_system(state);

	test_add_source(s, "hello", "1.0", NULL);
	assert_int_equal(rename("/usr/src/hello-1.0", "/usr/share/hello"), 0);
	assert_int_equal(symlink("/usr/share/hello", "/usr/src/hello-1.0"), 0);
	test_own(s, "hello-dkms", "/usr/share/hello/dkms.conf");
	test_own(s, "hello-dkms", "/usr/src/hello-1.0");
	test_put(&s->root, "/etc/dkms/no-autoinstall", "");
	test_sync(s);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	assert_int_equal(s->result.installed, 2);
	assert_int_equal(mount("none", "/usr/src", "tmpfs", 0, NULL), 0);
	assert_kept(s);
	assert_true(test_exists(s, "/var/lib/dkms/hello/1.0/source"));
	assert_int_equal(umount("/usr/src"), 0);
	remove_tree(s, "/usr/src/hello-1.0");
	remove_tree(s, "/usr/share/hello");
	test_disown(s, "hello-dkms");
	test_sync(s);
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/var/lib/dkms/hello"));
}

static void conf_cannot_be_read(void **state)
{
	struct test_system *s = installed(state);

	/* Not even by root. */
	remove_tree(s, "/usr/src/hello-1.0/dkms.conf");
	assert_int_equal(symlink("dkms.conf", "/usr/src/hello-1.0/dkms.conf"), 0);
	test_disown(s, "hello-dkms");
	assert_kept(s);
	assert_int_equal(test_row(s, "hello", "1.0", K1)->state, KP_STATE_STALE);
}

static void malformed_conf(void **state)
{
	struct test_system *s = installed(state);

	test_put(&s->root, "/usr/src/hello-1.0/dkms.conf", "PACKAGE_NAME=(\n");
	assert_kept(s);
	assert_int_equal(test_row(s, "hello", "1.0", K1)->state, KP_STATE_STALE);
}

static void empty_var_lib_kmodpkg(void **state)
{
	struct test_system *s = installed(state);

	remove_tree(s, "/var/lib/kmodpkg");
	assert_kept(s);
	assert_int_equal(s->result.installed + s->result.built, 0);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED, NULL);
}

static void empty_var_lib_dkms(void **state)
{
	struct test_system *s = installed(state);

	remove_tree(s, "/var/lib/dkms");
	assert_kept(s);
	/* A tree that a package owns is back by itself. */
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED, NULL);
}

static void empty_var_lib_dkms_of_nobody(void **state)
{
	struct test_system *s = installed(state);

	test_disown(s, "hello-dkms");
	remove_tree(s, "/var/lib/dkms");
	remove_tree(s, "/var/lib/kmodpkg");
	assert_kept(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "its source is not registered");
}

static void tombstone(void **state)
{
	struct test_system *s = installed(state);

	/* What `kmodpkg remove` does. The tree stays, for its package does. */
	test_bury(s, "hello", "1.0");
	assert_int_equal(kp_source_unregister(s->ctx, "hello", "1.0", NULL), 0);
	test_sync(s);
	assert_int_equal(s->result.erased, 2);
	test_assert_absent(s, "hello", K1);
	test_assert_settled(s);
	assert_false(test_exists(s, "/var/lib/dkms/hello"));
	test_sync(s);
	assert_int_equal(s->result.installed, 0);
	assert_false(test_exists(s, "/var/lib/dkms/hello"));
}

/* A fork of a module instead of it, whose files are called the same. */
static struct test_system *replaced(void **state)
{
	struct test_system *s = installed(state);

	test_register(s, "fork", "1.0", NULL);
	test_publish(s, "fork", "1.0", K1, "hello", NULL);
	test_publish(s, "fork", "1.0", K2, "hello", NULL);
	test_bury(s, "hello", "1.0");
	assert_int_equal(kp_source_unregister(s->ctx, "hello", "1.0", NULL), 0);
	return s;
}

static void file_of_what_goes(void **state)
{
	struct test_system *s = replaced(state);

	test_sync(s);
	assert_int_equal(s->result.failed, 0);
	assert_int_equal(s->result.erased, 2);
	assert_int_equal(s->result.installed, 2);
	assert_true(test_exists(s, "/lib/modules/" K1 "/updates/dkms/hello.ko"));
	assert_true(test_exists(s, "/var/lib/fakedb/packages/kmod-fork-" K1));
	test_assert_settled(s);
}

/* Where it cannot go now, that is said once. */
static void file_of_what_goes_deferred(void **state)
{
	struct test_system *s = replaced(state);

	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_int_equal(s->result.failed, 2);
	assert_non_null(strstr(s->result.failures[0], "belongs to package kmod-hello-"));
	test_fake(s, "lock", "can-commit");
	test_sync(s);
	assert_int_equal(s->result.failed, 0);
	assert_true(test_exists(s, "/lib/modules/" K1 "/updates/dkms/hello.ko"));
	test_assert_settled(s);
}

static void excluded(void **state)
{
	struct test_system *s = installed(state);

	test_add_source(s, "hello", "1.0", "BUILD_EXCLUSIVE_KERNEL=\"-2-\"\n");
	test_sync(s);
	test_assert_absent(s, "hello", K1);
	assert_true(test_exists(s, PACKAGE(K2)));
	assert_int_equal(test_row(s, "hello", "1.0", K1)->state, KP_STATE_EXCLUDED);
}

static void autoinstall_taken_back(void **state)
{
	struct test_system *s = installed(state);

	test_add_source(s, "hello", "1.0", "AUTOINSTALL=\n");
	assert_kept(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED,
			  "AUTOINSTALL is not set");
}

/* It stops builds, and nothing else. */
static void no_autoinstall(void **state)
{
	struct test_system *s = installed(state);

	test_put(&s->root, "/etc/dkms/no-autoinstall", "");
	test_register(s, "other", "1.0", NULL);
	assert_kept(s);
	test_assert_state(s, "other", "1.0", K1, KP_STATE_ADDED,
			  "not built: no-autoinstall is set");
	test_publish(s, "other", "1.0", K1, NULL);
	test_sync(s);
	test_assert_installed(s, "other", "1.0", K1);
	test_remove_kernel(s, K1);
	test_sync(s);
	test_assert_absent(s, "hello", K1);
}

/* The image of a kernel goes, its headers stay. */
static void leave_headers(struct test_system *s, const char *kernel)
{
	_cleanup_free_ char *modules = kp_strf("/lib/modules/%s/kernel", kernel);
	_cleanup_free_ char *image = kp_strf("/boot/vmlinuz-%s", kernel);
	_cleanup_free_ char *package = kp_strf("linux-image-%s", kernel);

	remove_tree(s, modules);
	remove_tree(s, image);
	test_disown(s, package);
}

static void pin_headers(struct test_system *s, const char *version, const char *kernel)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;

	TEST_TRY(kp_intent_load(s->ctx, &in, err));
	kp_intent_set(in, "hello", version, kernel, KP_INTENT_PIN);
	kp_intent_set_headers_only(in, "hello", version, kernel, true);
	TEST_TRY(kp_intent_save(s->ctx, in, err));
}

static enum kp_intent_kind intent(struct test_system *s, const char *kernel)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;

	TEST_TRY(kp_intent_load(s->ctx, &in, err));
	return kp_intent_get(in, "hello", "1.0", kernel);
}

/* Pinned, with its kernel there: it goes with the kernel, though the headers stay. */
static void pinned_kernel_gone(void **state)
{
	struct test_system *s = installed(state);

	test_say(s, "hello", "1.0", K1, KP_INTENT_PIN);
	test_say(s, "hello", "1.0", K2, KP_INTENT_PIN);
	leave_headers(s, K1);
	test_sync(s);
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/var/lib/dkms/hello/1.0/" K1));
	assert_false(kp_view_has(s->ctx, "hello", K1));
	assert_int_equal(intent(s, K1), KP_INTENT_NONE);
	assert_int_equal(intent(s, K2), KP_INTENT_PIN);
	test_assert_settled(s);
	test_assert_installed(s, "hello", "1.0", K2);
}

/* The kernel goes, all of it: nothing stays of a version that was only built either. */
static void builds_go_with_the_kernel(void **state)
{
	struct test_system *s = installed(state);

	test_register(s, "hello", "1.1", NULL);
	test_publish(s, "hello", "1.1", K1, NULL);
	test_say(s, "hello", "1.0", K1, KP_INTENT_PIN);
	test_say(s, "hello", "1.0", K2, KP_INTENT_PIN);
	test_remove_kernel(s, K1);
	test_sync(s);
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/var/lib/dkms/hello/1.0/" K1));
	assert_false(test_exists(s, "/var/lib/dkms/hello/1.1/" K1));
	assert_int_equal(intent(s, K1), KP_INTENT_NONE);
	test_assert_settled(s);
}

/* Pinned for the headers alone; then the kernel came, and went. */
static void headers_only_until_the_kernel_comes(void **state)
{
	struct test_system *s = installed(state);

	pin_headers(s, "1.0", K1);
	test_sync(s);
	leave_headers(s, K1);
	test_sync(s);
	test_assert_absent(s, "hello", K1);
}

static void headers_only_kernel(void **state)
{
	struct test_system *s = test_system(state);
	char *kernels[] = { (char *)K1, NULL };
	struct kp_sync_opts opts = { .requested = true };

	leave_headers(s, K1);
	test_remove_kernel(s, K2);
	test_register(s, "hello", "1.0", NULL);
	/* Whoever asks for all kernels does not mean it. */
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_int_equal(s->result.installed + s->result.built + s->result.failed, 0);
	opts.kernels = kernels;
	pin_headers(s, "1.0", K1);
	test_publish(s, "hello", "1.0", K1, NULL);
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_true(test_exists(s, PACKAGE(K1)));
	test_sync(s);
	assert_int_equal(s->result.erased, 0);
	assert_true(test_exists(s, PACKAGE(K1)));
	test_assert_settled(s);
}

static void unreadable_intent_changes_nothing(void **state)
{
	struct test_system *s = installed(state);

	test_remove_kernel(s, K1);
	test_put(&s->root, "/var/lib/kmodpkg/intent.json", "{");
	assert_int_equal(test_sync_rc(s, NULL), -EINVAL);
	assert_non_null(strstr(s->err.text, "/var/lib/kmodpkg/intent.json"));
	assert_true(test_exists(s, PACKAGE(K1)));
}

static void unreadable_queue_entry_is_planned_again(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_put(&s->root, "/var/lib/kmodpkg/queue/00000001/entry.json", "{");
	test_fake(s, "lock", NULL);
	test_sync(s);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(kernel_gone),
		SYSTEM_TEST(kernel_gone_deferred),
		SYSTEM_TEST(package_goes_with_its_kernel),
		SYSTEM_TEST(builds_of_hidden_kernels_stay),
		SYSTEM_TEST(litter_of_depmod),
		SYSTEM_TEST(kernel_gone_while_queued),
		SYSTEM_TEST(kernel_in_the_database_only),
		SYSTEM_TEST(headers_gone),
		SYSTEM_TEST(source_gone_with_its_package),
		SYSTEM_TEST(registered_source_gone_with_its_package),
		SYSTEM_TEST(source_of_nobody_gone),
		SYSTEM_TEST(usr_src_not_mounted),
		SYSTEM_TEST(usr_src_with_a_link_not_mounted),
		SYSTEM_TEST(conf_cannot_be_read),
		SYSTEM_TEST(malformed_conf),
		SYSTEM_TEST(empty_var_lib_kmodpkg),
		SYSTEM_TEST(empty_var_lib_dkms),
		SYSTEM_TEST(empty_var_lib_dkms_of_nobody),
		SYSTEM_TEST(tombstone),
		SYSTEM_TEST(file_of_what_goes),
		SYSTEM_TEST(file_of_what_goes_deferred),
		SYSTEM_TEST(excluded),
		SYSTEM_TEST(autoinstall_taken_back),
		SYSTEM_TEST(no_autoinstall),
		SYSTEM_TEST(pinned_kernel_gone),
		SYSTEM_TEST(builds_go_with_the_kernel),
		SYSTEM_TEST(headers_only_until_the_kernel_comes),
		SYSTEM_TEST(headers_only_kernel),
		SYSTEM_TEST(unreadable_intent_changes_nothing),
		SYSTEM_TEST(unreadable_queue_entry_is_planned_again),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
