// SPDX-License-Identifier: GPL-2.0-or-later
/* Which changes of modules concern an initramfs. Images are cpio archives as tools write them; the real
 * tools run in the end-to-end tests. */
#include "settle-fixture.h"

/* ---- names ---- */

static void names_of_files(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{ "/lib/modules/6.1/updates/dkms/a-b.ko.xz", "a_b" },
		{ "/x/hello.ko", "hello" },
		{ "hello.ko.zst", "hello" },
		{ "/x/a.kobj.ko", "a.kobj" },
		{ "/x/hello", "hello" },
		{ KP_ANY_MODULE, KP_ANY_MODULE },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = kp_initramfs_module(cases[i].path);

		assert_string_equal(name, cases[i].name);
	}
}

static void texts(void **state)
{
	static char *const modules[] = { (char *)"a_b", (char *)"zfs", NULL };
	static const struct {
		const char *text, *name;
	} cases[] = {
		{ "zfs", "zfs" },
		{ "spl\nzfs\n", "zfs" },
		{ "MODULES=(ext4 a-b)\n", "a_b" },
		{ "add_drivers+=\" a_b \"", "a_b" },
		{ "force_drivers+=\"zfs\"", "zfs" },
		{ "copy_file x /lib/modules/6.1/extra/zfs.ko", "zfs" },
		{ "manual_add_modules zfs # as root", "zfs" },
		{ "# zfs\n", NULL },
		{ "\t # a-b\nspl\n", NULL },
		{ "omit_drivers+=\" zfs \"\n", NULL },
		{ " omit_drivers=\"zfs\"\nadd_drivers+=\"a-b\"\n", "a_b" },
		{ "omit_drivers+=\" spl \"; add_drivers+=\" zfs \"\n", "zfs" },
		{ "omit_drivers+=\" spl \" add_drivers+=\" zfs \"\n", "zfs" },
		{ "zfsx xzfs zfs_ -zfs a b\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		const char *name = NULL;
		bool names = kp_initramfs_text_names(cases[i].text, strlen(cases[i].text),
						     modules, &name);

		assert_int_equal(names, cases[i].name != NULL);
		if (names)
			assert_string_equal(name, cases[i].name);
	}
}

/* ---- marks ---- */

static bool mark_names(struct fixture *f, const char *path)
{
	char *const paths[] = { (char *)path, NULL };

	return kp_unsettled_names(&f->ctx, K, paths);
}

static void mark_for(struct fixture *f, const char *path)
{
	char *const paths[] = { (char *)path, NULL };
	struct kp_err err = KP_ERR_INIT;

	if (kp_unsettled_mark(&f->ctx, K, path ? paths : NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void marks_name_modules(void **state)
{
	char *const paths[] = { (char *)"/x/c.ko", NULL };
	struct fixture *f = *state;

	assert_false(mark_names(f, "/x/a.ko"));
	mark_for(f, "/x/a-b.ko");
	assert_true(mark_names(f, "/y/a_b.ko.xz"));
	assert_false(mark_names(f, "/x/a.ko"));
	/* Another mark knows those of the first, whatever it is for. */
	mark_for(f, "/x/a.ko");
	mark_for(f, NULL);
	assert_true(mark_names(f, "/x/a-b.ko"));
	assert_true(mark_names(f, "/x/a.ko"));
	/* One that is kept gets what it lacks. */
	assert_int_equal(kp_unsettled_keep(&f->ctx, K, paths, NULL), 0);
	assert_true(mark_names(f, "/x/c.ko"));
	assert_true(mark_names(f, "/x/a.ko"));
}

#define MARK "/var/lib/kmodpkg/unsettled/" K

static void other_marks_stand_for_any(void **state)
{
	static const char *const texts[] = { "", "depmod and initramfs are to be done\n",
					     "something else\na\n" };
	struct fixture *f = *state;

	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		put(f, MARK, texts[i]);
		assert_true(mark_names(f, KP_ANY_MODULE));
		mark_for(f, "/x/a.ko");
		assert_true(mark_names(f, KP_ANY_MODULE));
	}
}

/* ---- images ---- */

static void add_member(struct kp_buf *b, const char *name, mode_t mode)
{
	static const char zeros[4];

	kp_buf_addf(b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1,
		    mode, 0, 0, 1, 0, 0, 0, 0, 0, 0, (unsigned int)strlen(name) + 1, 0);
	kp_buf_add(b, name, strlen(name) + 1);
	kp_buf_add(b, zeros, -b->len % 4);
}

/* An old image that holds the module NAME of some kernel, if not NULL. */
static void put_holding(struct fixture *f, const char *path, const char *name)
{
	const struct timespec old[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	_cleanup_free_ char *member =
		kp_strf("usr/lib/modules/6.1/kernel/%s", name ? name : "");

	add_member(&b, "init", S_IFREG | 0755);
	if (name)
		add_member(&b, member, S_IFREG | 0644);
	add_member(&b, "TRAILER!!!", 0);
	put(f, path, "");
	assert_int_equal(kp_write_in(f->ctx.root_fd, path, b.s, b.len, 0600, NULL), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
}

/* What is said when a_b changed, which is settled then; NULL: the image was left as it is. */
static char *settle_change(struct fixture *f)
{
	char *modules[] = { (char *)"a_b", NULL };
	char *why = kp_initramfs_why(&f->ctx, K, modules);

	unlink("/noted");
	mark(f, K);
	settle(f, K);
	assert_false(is_marked(f, K));
	assert_noted(f, why ? "update-initramfs -u -k " K "\n" : "");
	return why;
}

static void assert_left(struct fixture *f)
{
	_cleanup_free_ char *why = settle_change(f);

	if (why)
		fail_msg("%s", why);
}

static void assert_made(struct fixture *f, const char *because)
{
	_cleanup_free_ char *why = settle_change(f);

	assert_non_null(why);
	if (!strstr(why, because))
		fail_msg("\"%s\", not for \"%s\"", why, because);
}

static void what_images_hold(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_holding(f, INITRD, NULL);
	assert_left(f);
	put_holding(f, INITRD, "drivers/a.ko");
	assert_left(f);
	put_holding(f, INITRD, "drivers/a-b.ko.zst");
	assert_made(f, "a_b is in " INITRD);
	put_holding(f, INITRD, NULL);
	put(f, OTHER_TREE "/kernel/a.ko", "");
	put_holding(f, OTHER_INITRD, NULL);
	assert_left(f);
	put_holding(f, OTHER_INITRD, "a_b.ko");
	assert_made(f, "a_b is in " OTHER_INITRD);
	put_holding(f, OTHER_INITRD, NULL);
	assert_left(f);
	put_image(f, INITRD, true);
	assert_made(f, "as it cannot be told what one holds: '" INITRD);
}

static void what_tools_are_told(void **state)
{
	static const struct {
		const char *path, *text;
	} files[] = {
		{ "/etc/initramfs-tools/modules", "a_b\n" },
		{ "/etc/initramfs-tools/hooks/x", "manual_add_modules a_b\n" },
		{ "/usr/share/initramfs-tools/modules.d/x", "a-b\n" },
		{ "/etc/dracut.conf", "add_drivers+=\" a_b \"\n" },
		{ "/etc/dracut.conf.d/x.conf", "drivers=a_b\n" },
		{ "/usr/lib/dracut/modules.d/90x/module-setup.sh", "instmods a-b\n" },
		{ "/etc/mkinitcpio.conf", "MODULES=(a_b)\n" },
		{ "/etc/mkinitcpio-x.conf", "MODULES=(a_b)\n" },
		{ "/etc/mkinitcpio.conf.d/x.conf", "MODULES=(a_b)\n" },
		{ "/etc/initcpio/install/x", "add_module a_b\n" },
		{ "/usr/lib/initcpio/install/x", "add_module a_b\n" },
	};
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_holding(f, INITRD, NULL);
	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++) {
		put(f, files[i].path, "# a_b\n");
		assert_left(f);
		put(f, files[i].path, files[i].text);
		assert_made(f, files[i].path);
		assert_int_equal(unlink(files[i].path), 0);
	}
	/* A word of udev's. */
	put(f, "/usr/lib/dracut/modules.d/95x/60-x.rules", "ENV{ID}==\"a_b\"\n");
	assert_left(f);
	assert_int_equal(unlink("/usr/lib/dracut/modules.d/95x/60-x.rules"), 0);
	/* By another name. */
	put(f, "/etc/initramfs-tools/modules", "other-name\n");
	put(f, "/etc/modprobe.d/x.conf", "options other_name x=1\nalias other_name c\n");
	assert_left(f);
	put(f, "/etc/modprobe.d/x.conf", "alias other_name a-b\n");
	assert_made(f, "/etc/initramfs-tools/modules names other_name");
	assert_int_equal(unlink("/etc/modprobe.d/x.conf"), 0);
	assert_left(f);
	assert_int_equal(unlink("/etc/initramfs-tools/modules"), 0);
	/* Only dracut reads these. */
	put(f, "/etc/modules-load.d/x.conf", "a_b\n");
	assert_left(f);
	put(f, "/usr/bin/dracut", NOTE("dracut"));
	assert_int_equal(chmod("/usr/bin/dracut", 0755), 0);
	assert_made(f, "/etc/modules-load.d/x.conf");
	assert_int_equal(unlink("/etc/modules-load.d/x.conf"), 0);
}

/* What cannot be read may name anything; what no tool reads does not. */
static void what_cannot_be_searched(void **state)
{
	struct fixture *f = *state;
	char name[sizeof("/etc/initcpio/many/") + 16];

	OVERLAY_ONLY();
	put_holding(f, INITRD, NULL);
	put(f, "/etc/initcpio/many/x", "");
	assert_int_equal(symlink("nowhere", "/etc/initcpio/many/dangling"), 0);
	assert_int_equal(symlink("loop", "/etc/initcpio/many/loop"), 0);
	assert_int_equal(symlink(".", "/etc/initcpio/many/self"), 0);
	assert_int_equal(mkfifo("/etc/initcpio/many/fifo", 0600), 0);
	put(f, "/etc/initcpio/many/large", "a_b\n");
	assert_int_equal(truncate("/etc/initcpio/many/large", 2 << 20), 0);
	assert_left(f);
	/* Each is seen three times. */
	for (int i = 0; i < 1400; i++) {
		snprintf(name, sizeof(name), "/etc/initcpio/many/%d", i);
		put(f, name, "");
	}
	assert_made(f, "cannot tell what its tool is told: '/etc/initcpio");
	assert_int_equal(kp_rm_rf_in(f->ctx.root_fd, "/etc/initcpio/many", NULL), 0);
	assert_left(f);
}

static void what_the_configuration_says(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_holding(f, INITRD, NULL);
	f->ctx.config.initramfs = KP_REFRESH_YES;
	assert_made(f, "as configured");
	f->ctx.config.initramfs = KP_REFRESH_NO;
	put_holding(f, INITRD, "a_b.ko");
	unlink("/noted");
	mark(f, K);
	settle(f, K);
	assert_noted(f, "");
}

static void what_a_source_asks_for(void **state)
{
	struct fixture *f = *state;

	OVERLAY_ONLY();
	put_holding(f, INITRD, NULL);
	mark_for(f, KP_ANY_MODULE);
	mark(f, K);
	settle(f, K);
	assert_noted(f, "update-initramfs -u -k " K "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_files), cmocka_unit_test(texts),
		TEST(marks_name_modules),	  TEST(other_marks_stand_for_any),
		LIVE(what_images_hold),		  LIVE(what_tools_are_told),
		LIVE(what_cannot_be_searched),	  LIVE(what_the_configuration_says),
		LIVE(what_a_source_asks_for),
	};

	in_overlay = enter_overlay();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
