// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Marks, depmod, initramfs, and what is cleaned up after a kernel that is gone.
 *
 * What starts programs runs in a copy of this system: an overlay that main() enters
 * before the tests, with the real depmod. The tools that make an initramfs are scripts
 * that note their arguments; the real ones run in the end-to-end tests. Without the right
 * to mount, those tests are skipped.
 */
#include <sched.h>
#include <sys/mount.h>

#include <kmodpkg/proc.h>

#include "lib/backend.h"
#include "lib/settle.h"
#include "test.h"

#define K "6.1.0-9-test"
#define TREE "/lib/modules/" K
#define INITRD "/boot/initrd.img-" K

static bool in_overlay;

struct fixture {
	struct test_root root; /* a directory, or the overlay's "/" */
	struct kp_ctx ctx;
	struct kp_backend backend;
};

static char *const *owned; /* paths that a package owns */
static int owner_rc;

static int owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err)
{
	(void)db;
	if (owner_rc < 0)
		return kp_err_set(err, owner_rc, "database is broken");
	for (size_t i = 0; i < n; i++)
		if (kp_strv_has(owned, paths[i]))
			ret[i].package = kp_strdup("somebody");
	return 0;
}

static const struct kp_pkgdb_ops ops = { .name = "table", .owner = owner };

static struct fixture *make_fixture(void)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));

	f->backend.ops = &ops;
	f->ctx = (struct kp_ctx){ .root_fd = -1,
				  .install_tree = (char *)"/lib/modules",
				  .state_dir = (char *)"/var/lib/kmodpkg",
				  .config = { .initramfs = true },
				  .backend = &f->backend };
	owned = NULL;
	owner_rc = 0;
	return f;
}

static int setup(void **state)
{
	struct fixture *f = make_fixture();

	f->root = test_root_new();
	f->ctx.root_fd = f->root.fd;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	test_root_free(&f->root);
	free(f);
	return 0;
}

static void put(struct fixture *f, const char *path, const char *text)
{
	test_put(&f->root, path, text);
}

static bool exists(struct fixture *f, const char *path)
{
	struct stat st;

	return !kp_lstat_in(f->ctx.root_fd, path, &st);
}

static void mark(struct fixture *f, const char *kernel)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_unsettled_mark(&f->ctx, kernel, &err) < 0)
		fail_msg("%s", err.text);
}

static void settle(struct fixture *f, const char *kernel)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_settle(&f->ctx, kernel, &err) < 0)
		fail_msg("%s", err.text);
}

static bool is_marked(struct fixture *f, const char *kernel)
{
	_cleanup_strv_ char **marks = NULL;

	assert_int_equal(kp_unsettled_list(&f->ctx, &marks, NULL), 0);
	return kp_strv_has(marks, kernel);
}

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

	assert_int_equal(kp_unsettled_mark(&f->ctx, "../x", &err), -EINVAL);
	assert_int_equal(kp_unsettled_mark(&f->ctx, "", &err), -EINVAL);
	assert_int_equal(kp_settle(&f->ctx, "..", &err), -EINVAL);
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
	assert_int_equal(kp_settle(&f->ctx, K, &err), -EIO);
	assert_true(exists(f, TREE "/modules.dep"));
	assert_true(is_marked(f, K));
	f->ctx.backend = NULL;
	settle(f, K);
	assert_true(exists(f, TREE "/modules.dep"));
}

/* ---- in the overlay ---- */

/* Notes its arguments; ends as the file /fail says, where there is one. */
#define NOTE(name) "#!/bin/sh\necho " name " \"$@\" >>/noted\n[ ! -e /fail ] || exit 5\n"

/* An object that depmod can read. */
static void put_module(struct fixture *f, const char *path)
{
	const char *argv[] = { "/usr/bin/cc", "-c", "-x",	 "c",
			       "-o",	      path, "/dev/null", NULL };
	struct kp_proc proc = { .argv = argv };
	struct kp_err err = KP_ERR_INIT;

	put(f, path, "");
	if (kp_proc_run(&proc, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static int live_setup(void **state)
{
	struct fixture *f = make_fixture();

	f->root = (struct test_root){ .path = kp_strdup("/"),
				      .fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) };
	f->ctx.root_fd = f->root.fd;
	*state = f;
	if (!in_overlay)
		return 0;
	put_module(f, TREE "/kernel/a.ko");
	put(f, TREE "/modules.order", "kernel/a.ko\n");
	put(f, TREE "/modules.builtin", "");
	put(f, TREE "/modules.builtin.modinfo", "");
	put(f, "/usr/sbin/update-initramfs", NOTE("update-initramfs"));
	assert_int_equal(chmod("/usr/sbin/update-initramfs", 0755), 0);
	return 0;
}

static int live_teardown(void **state)
{
	static const char *const made[] = { TREE,
					    INITRD,
					    "/boot/initramfs-" K ".img",
					    "/noted",
					    "/fail",
					    "/var/lib/kmodpkg",
					    "/usr/sbin/update-initramfs",
					    "/usr/sbin/dracut",
					    "/boot/initrd-" K };
	struct fixture *f = *state;

	for (size_t i = 0; in_overlay && i < KP_ARRAY_SIZE(made); i++)
		kp_rm_rf_in(f->ctx.root_fd, made[i], NULL);
	close(f->root.fd);
	free(f->root.path);
	free(f);
	return 0;
}

static void assert_noted(struct fixture *f, const char *expect)
{
	_cleanup_free_ char *text =
		exists(f, "/noted") ? test_get(&f->root, "/noted") : kp_strdup("");

	assert_string_equal(text, expect);
}

/* An image of a given age: older than every mark, or younger. */
static void put_image(struct fixture *f, const char *path, bool old)
{
	const struct timespec times[2] = { { .tv_sec = old ? 1000000 : 4000000000 },
					   { .tv_sec = old ? 1000000 : 4000000000 } };

	put(f, path, "image");
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

#define OVERLAY_ONLY()                                                                   \
	do {                                                                             \
		if (!in_overlay)                                                         \
			skip();                                                          \
	} while (0)

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
	f->ctx.config.initramfs = false;
	put_image(f, INITRD, true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
	assert_true(exists(f, TREE "/modules.dep"));
	assert_false(is_marked(f, K));
}

static void dracut(void **state)
{
	static const char *const images[] = { INITRD, "/boot/initramfs-" K ".img",
					      "/boot/initrd-" K };
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put(f, "/usr/sbin/dracut", NOTE("dracut"));
	assert_int_equal(chmod("/usr/sbin/dracut", 0755), 0);
	/* Where the distribution has an update-initramfs, that is what is used. */
	put_image(f, INITRD, true);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "update-initramfs -u -k " K "\n");
	assert_int_equal(unlink("/usr/sbin/update-initramfs"), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(images); i++) {
		_cleanup_free_ char *expect =
			kp_strf("dracut -q --force %s " K "\n", images[i]);

		unlink("/noted");
		put_image(f, images[i], true);
		mark(f, K);
		settle(f, K);
		assert_noted(f, expect);
		assert_int_equal(unlink(images[i]), 0);
	}
}

static void initramfs_fails(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	OVERLAY_ONLY();
	put_image(f, INITRD, true);
	put(f, "/fail", "");
	mark(f, K);
	assert_int_equal(kp_settle(&f->ctx, K, &err), -ECHILD);
	assert_non_null(strstr(err.text, INITRD));
	assert_non_null(strstr(err.text, "exit code 5"));
	assert_true(is_marked(f, K));
	assert_true(kp_unsettled_failed(&f->ctx, K));
	mark(f, K);
	assert_false(kp_unsettled_failed(&f->ctx, K));
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
	assert_int_equal(kp_settle(&f->ctx, K, &err), -ECHILD);
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

/* Enter an overlay of the whole system, in mounts of our own; all of it is gone when we
 * end. */
static bool enter_overlay(void)
{
	if (geteuid() || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 || mkdir("/tmp/u", 0755) < 0 ||
	    mkdir("/tmp/w", 0755) < 0 || mkdir("/tmp/m", 0755) < 0 ||
	    mount("overlay", "/tmp/m", "overlay", 0,
		  "lowerdir=/,upperdir=/tmp/u,workdir=/tmp/w") < 0 ||
	    mount("/dev", "/tmp/m/dev", NULL, MS_BIND, NULL) < 0 ||
	    mount("/proc", "/tmp/m/proc", NULL, MS_BIND, NULL) < 0)
		return false;
	return !chroot("/tmp/m") && !chdir("/") && !chmod("/tmp", 01777);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
#define LIVE(t) cmocka_unit_test_setup_teardown(t, live_setup, live_teardown)

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
		LIVE(dracut),
		LIVE(initramfs_fails),
		LIVE(depmod_fails),
		LIVE(no_depmod_for_the_dead),
		LIVE(image_without_a_tree),
	};

	in_overlay = enter_overlay();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
