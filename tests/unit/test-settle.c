// SPDX-License-Identifier: GPL-2.0-or-later
/* Marks, depmod, initramfs, and what is cleaned up after a kernel that is gone. */
#include "settle-fixture.h"

static void marks(void **state)
{
	struct fixture *f = *state;
	_cleanup_strv_ char **list = NULL;
	struct stat first, second;

	assert_int_equal(kp_unsettled_list(&f->ctx, &list, NULL), 0);
	assert_null(list);
	mark(f, "6.2");
	mark(f, "6.1");
	assert_int_equal(
		kp_lstat_in(f->root.fd, "/var/lib/kmodpkg/unsettled/6.2", &first), 0);
	/* Not a mark: what a writer that died left, and what nobody can have written. */
	put(f, "/var/lib/kmodpkg/unsettled/.tmp-1", "");
	put(f, "/var/lib/kmodpkg/unsettled/a b", "");
	assert_int_equal(
		kp_mkdir_in(f->root.fd, "/var/lib/kmodpkg/unsettled/d", 0755, NULL), 0);
	assert_int_equal(kp_unsettled_list(&f->ctx, &list, NULL), 0);
	assert_int_equal(kp_strv_len(list), 2);
	assert_string_equal(list[0], "6.1");
	assert_string_equal(list[1], "6.2");
	/* A second mark is a new one. */
	mark(f, "6.2");
	assert_int_equal(
		kp_lstat_in(f->root.fd, "/var/lib/kmodpkg/unsettled/6.2", &second), 0);
	assert_true(second.st_mtim.tv_sec > first.st_mtim.tv_sec ||
		    (second.st_mtim.tv_sec == first.st_mtim.tv_sec &&
		     second.st_mtim.tv_nsec >= first.st_mtim.tv_nsec));
	assert_int_not_equal(second.st_ino, first.st_ino);
}

static void directory_only_while_marked(void **state)
{
	struct fixture *f = *state;

	mark(f, "6.1");
	mark(f, "6.2");
	put(f, "/var/lib/kmodpkg/unsettled/.left-behind", "");
	settle(f, "6.1");
	assert_false(is_marked(f, "6.1"));
	assert_true(is_marked(f, "6.2"));
	assert_true(exists(f, "/var/lib/kmodpkg/unsettled"));
	settle(f, "6.2");
	assert_false(exists(f, "/var/lib/kmodpkg/unsettled"));
	settle(f, "6.2");
	assert_false(exists(f, "/var/lib/kmodpkg/unsettled"));
}

static void bad_names(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(kp_unsettled_mark(&f->ctx, "../x", NULL, &err), -EINVAL);
	assert_int_equal(kp_unsettled_mark(&f->ctx, "", NULL, &err), -EINVAL);
	assert_int_equal(kp_settle(&f->ctx, "..", KP_INITRAMFS_NOW, &err), -EINVAL);
	assert_int_equal(kp_settle_depmod(&f->ctx, "-a /", &err), -EINVAL);
}

static void put_outputs(struct fixture *f)
{
	static const char *const names[] = {
		"modules.dep",	       "modules.dep.bin",	    "modules.alias",
		"modules.alias.bin",   "modules.symbols",	    "modules.symbols.bin",
		"modules.softdep",     "modules.weakdep",	    "modules.devname",
		"modules.builtin.bin", "modules.builtin.alias.bin",
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_path_join(TREE, names[i]);

		put(f, path, "");
	}
	assert_int_equal(kp_mkdir_in(f->root.fd, TREE "/updates/dkms", 0755, NULL), 0);
	assert_int_equal(kp_mkdir_in(f->root.fd, TREE "/extra", 0755, NULL), 0);
}

static void dead_kernel_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	put_outputs(f);
	mark(f, K);
	settle(f, K);
	assert_false(exists(f, TREE));
	assert_true(exists(f, "/lib/modules"));
	assert_false(is_marked(f, K));
}

static void dead_kernel_with_owned_files(void **state)
{
	struct fixture *f = *state;
	char *paths[] = { (char *)TREE "/build", NULL };

	put_outputs(f);
	assert_int_equal(kp_symlink_in(f->root.fd, "/usr/src/x", TREE "/build", NULL), 0);
	owned = paths;
	mark(f, K);
	settle(f, K);
	assert_true(exists(f, TREE "/modules.dep"));
	assert_true(exists(f, TREE "/updates/dkms"));
	assert_false(is_marked(f, K));
}

static void dead_kernel_with_files_of_a_person(void **state)
{
	struct fixture *f = *state;

	put_outputs(f);
	put(f, TREE "/extra/mine.ko", "");
	put(f, TREE "/modules.order", "");
	mark(f, K);
	settle(f, K);
	assert_false(exists(f, TREE "/modules.dep"));
	assert_false(exists(f, TREE "/updates"));
	assert_true(exists(f, TREE "/extra/mine.ko"));
	assert_true(exists(f, TREE "/modules.order"));
}

static void dead_kernel_unknown_owner(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	put_outputs(f);
	mark(f, K);
	owner_rc = -EIO;
	assert_int_equal(kp_settle(&f->ctx, K, KP_INITRAMFS_NOW, &err), -EIO);
	assert_true(exists(f, TREE "/modules.dep"));
	assert_true(is_marked(f, K));
	f->ctx.backend = NULL;
	settle(f, K);
	assert_true(exists(f, TREE "/modules.dep"));
}

static void live_kernel(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *dep = NULL;

	OVERLAY_ONLY();
	put_module(f, TREE "/updates/dkms/hello.ko");
	put_image(f, INITRD, true);
	mark(f, K);
	settle(f, K);
	dep = test_get(&f->root, TREE "/modules.dep");
	assert_non_null(strstr(dep, "updates/dkms/hello.ko:"));
	assert_noted(f, "update-initramfs -u -k " K "\n");
	assert_false(is_marked(f, K));
	settle(f, K);
	assert_noted(f, "update-initramfs -u -k " K "\n");
}

static void young_image(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_image(f, INITRD, false);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	assert_true(exists(f, TREE "/modules.dep"));
	assert_false(is_marked(f, K));
}

static void no_image(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_image(f, INITRD "-other", true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	assert_int_equal(kp_unlink_in(f->ctx.root_fd, INITRD "-other"), 0);
}

static void switched_off(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	f->ctx.config.initramfs = KP_REFRESH_NO;
	put_image(f, INITRD, true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	assert_true(exists(f, TREE "/modules.dep"));
	assert_false(is_marked(f, K));
}

static void settle_later(struct fixture *f)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_settle(&f->ctx, K, KP_INITRAMFS_LATER, &err) < 0)
		fail_msg("%s", err.text);
}

static void initramfs_is_left_to_others(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_image(f, INITRD, true);
	mark(f, K);
	settle_later(f);
	assert_noted(f, "");
	assert_true(exists(f, TREE "/modules.dep"));
	assert_int_equal(kp_unsettled_get(&f->ctx, K), KP_MARK_INITRAMFS);
	/* Nobody made it. depmod is not done twice. */
	assert_int_equal(kp_unlink_in(f->ctx.root_fd, TREE "/modules.dep"), 0);
	settle(f, K);
	assert_noted(f, "update-initramfs -u -k " K "\n");
	assert_false(exists(f, TREE "/modules.dep"));
	assert_false(is_marked(f, K));
	/* Somebody did. */
	put_image(f, INITRD, true);
	mark(f, K);
	settle_later(f);
	put_image(f, INITRD, false);
	settle(f, K);
	assert_noted(f, "update-initramfs -u -k " K "\n");
	assert_false(is_marked(f, K));
}

static void no_initramfs_to_leave(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	OVERLAY_ONLY();
	mark(f, K);
	settle_later(f);
	assert_false(is_marked(f, K));
	put_image(f, INITRD, true);
	mark(f, K);
	assert_int_equal(kp_settle(&f->ctx, K, KP_INITRAMFS_NEVER, &err), 0);
	assert_false(is_marked(f, K));
	f->ctx.config.initramfs = KP_REFRESH_NO;
	mark(f, K);
	settle_later(f);
	assert_false(is_marked(f, K));
	assert_noted(f, "");
}

static void initramfs_fails(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	OVERLAY_ONLY();
	put_image(f, INITRD, true);
	put(f, "/fail", "");
	mark(f, K);
	assert_int_equal(kp_settle(&f->ctx, K, KP_INITRAMFS_NOW, &err), -ECHILD);
	assert_non_null(strstr(err.text, INITRD));
	assert_non_null(strstr(err.text, "exit code 5"));
	assert_true(is_marked(f, K));
	assert_int_equal(kp_unsettled_get(&f->ctx, K), KP_MARK_FAILED);
	mark(f, K);
	assert_int_equal(kp_unsettled_get(&f->ctx, K), KP_MARK_DUE);
	assert_int_equal(unlink("/fail"), 0);
	settle(f, K);
	assert_false(is_marked(f, K));
}

static void depmod_fails(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	OVERLAY_ONLY();
	/* A directory where depmod wants to write a file. */
	put(f, TREE "/modules.dep/x", "");
	put_image(f, INITRD, true);
	mark(f, K);
	assert_int_equal(kp_settle(&f->ctx, K, KP_INITRAMFS_NOW, &err), -ECHILD);
	assert_non_null(strstr(err.text, "depmod"));
	assert_noted(f, "");
	assert_true(is_marked(f, K));
}

static void no_depmod_for_the_dead(void **state)
{
	struct fixture *f = *state;
	char *paths[] = { (char *)TREE "/updates/dkms/other.ko", NULL };

	OVERLAY_ONLY();
	assert_int_equal(kp_rm_rf_in(f->ctx.root_fd, TREE "/kernel", NULL), 0);
	put(f, TREE "/updates/dkms/other.ko", "");
	owned = paths;
	assert_int_equal(kp_settle_depmod(&f->ctx, K, NULL), 0);
	mark(f, K);
	settle(f, K);
	assert_false(exists(f, TREE "/modules.dep"));
	assert_true(exists(f, TREE "/updates/dkms/other.ko"));
}

static void image_without_a_tree(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	assert_int_equal(kp_rm_rf_in(f->ctx.root_fd, TREE, NULL), 0);
	put(f, "/boot/vmlinuz-" K, "");
	mark(f, K);
	settle(f, K);
	assert_false(is_marked(f, K));
	assert_int_equal(unlink("/boot/vmlinuz-" K), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(marks),
		TEST(directory_only_while_marked),
		TEST(bad_names),
		TEST(dead_kernel_leaves_nothing),
		TEST(dead_kernel_with_owned_files),
		TEST(dead_kernel_with_files_of_a_person),
		TEST(dead_kernel_unknown_owner),
		LIVE(live_kernel),
		LIVE(young_image),
		LIVE(no_image),
		LIVE(switched_off),
		LIVE(initramfs_is_left_to_others),
		LIVE(no_initramfs_to_leave),
		LIVE(initramfs_fails),
		LIVE(depmod_fails),
		LIVE(no_depmod_for_the_dead),
		LIVE(image_without_a_tree),
	};

	in_overlay = enter_overlay();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
