// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A kernel K whose marks are settled, for the tests of settle.h and initramfs.h. Each program
 * includes this once.
 *
 * TEST(t): in an empty root. LIVE(t): what starts programs runs in a copy of this system, an
 * overlay that main() enters before the tests, with the real depmod; the tools that make an
 * initramfs are scripts that note their arguments. Without the right to mount those tests are
 * skipped (OVERLAY_ONLY()).
 */
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <kmodpkg/proc.h>

#include "lib/backend.h"
#include "lib/initramfs.h"
#include "lib/settle.h"
#include "test.h"

#define K "6.1.0-9-test"
#define TREE "/lib/modules/" K
#define INITRD "/boot/initrd.img-" K
/* A kernel beside it, for which nothing is marked. */
#define OTHER "6.1.0-8-test"
#define OTHER_TREE "/lib/modules/" OTHER
#define OTHER_INITRD "/boot/initrd.img-" OTHER

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

static bool superseded;

static int is_superseded(struct kp_pkgdb *db, const char *kernel, struct kp_err *err)
{
	(void)db;
	(void)kernel;
	(void)err;
	return superseded;
}

static const struct kp_pkgdb_ops ops = { .name = "table",
					 .owner = owner,
					 .superseded = is_superseded };

static struct fixture *make_fixture(void)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));

	f->backend.ops = &ops;
	f->ctx = (struct kp_ctx){ .root_fd = -1,
				  .install_tree = (char *)"/lib/modules",
				  .state_dir = (char *)"/var/lib/kmodpkg",
				  .backend = &f->backend };
	owned = NULL;
	owner_rc = 0;
	superseded = false;
	return f;
}

KP_UNUSED static int setup(void **state)
{
	struct fixture *f = make_fixture();

	f->root = test_root_new();
	f->ctx.root_fd = f->root.fd;
	*state = f;
	return 0;
}

KP_UNUSED static int teardown(void **state)
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

static char *const changed[] = { (char *)TREE "/updates/dkms/a-b.ko.xz", NULL };

static void mark(struct fixture *f, const char *kernel)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_unsettled_mark(&f->ctx, kernel, changed, &err) < 0)
		fail_msg("%s", err.text);
}

static void settle(struct fixture *f, const char *kernel)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_settle(&f->ctx, kernel, KP_INITRAMFS_NOW, &err) < 0)
		fail_msg("%s", err.text);
}

KP_UNUSED static bool is_marked(struct fixture *f, const char *kernel)
{
	_cleanup_strv_ char **marks = NULL;

	assert_int_equal(kp_unsettled_list(&f->ctx, &marks, NULL), 0);
	return kp_strv_has(marks, kernel);
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
					    "/usr/bin/dracut",
					    "/usr/bin/mkinitcpio",
					    "/usr/bin/kernel-install",
					    "/etc/mkinitcpio.d",
					    "/etc/kernel/entry-token",
					    "/efi",
					    "/boot/EFI",
					    "/boot/efi",
					    "/boot/other.img",
					    "/boot/initramfs-linux-test.img",
					    "/boot/initrd-" K,
					    OTHER_TREE,
					    OTHER_INITRD };
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
