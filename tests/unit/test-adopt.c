// SPDX-License-Identifier: GPL-2.0-or-later
/* What DKMS left, in all states of neglect. */
#include <elf.h>
#include <sys/time.h>

#include "adopt-fixture.h"

/* One line per item: "KIND MODULE[/VERSION] KERNEL[: WHY]". */
static char *found(struct test_system *s)
{
	_cleanup_(kp_adopt_clear) struct kp_adopt a = { 0 };
	struct kp_buf b = KP_BUF_INIT;

	TEST_TRY(kp_adopt_find(s->ctx, &a, err));
	for (size_t i = 0; i < a.n; i++) {
		const struct kp_adopt_item *x = &a.list[i];

		kp_buf_addf(&b, "%s %s%s%s %s%s%s%s\n", kp_adopt_name(x->kind), x->module,
			    x->version ? "/" : "", x->version ? x->version : "",
			    x->kernel ? x->kernel : "-", x->pin ? " pinned" : "",
			    x->why ? ": " : "", x->why ? x->why : "");
	}
	return kp_buf_steal(&b);
}

static void assert_found(struct test_system *s, const char *text)
{
	_cleanup_free_ char *is = found(s);

	assert_string_equal(is, text);
}

static void what_is_installed_becomes_a_package(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *before = NULL, *after = NULL, *log = NULL;

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	dkms_all(s, "hello", "1.0", K2);
	before = test_get(&s->root, SIBLING);
	assert_found(s, "adopt hello/1.0 " K1 "\nadopt hello/1.0 " K2 "\n");
	adopt(s);
	assert_int_equal(s->result.built, 0);
	assert_int_equal(s->result.installed, 2);
	test_assert_not_said(s, "is missing");
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
	log = test_get(&s->root, "/var/log/kmodpkg/hello/1.0/" K1 "-x86_64.log");
	assert_string_equal(log, "DKMS make.log\n");
	after = test_get(&s->root, SIBLING);
	assert_string_equal(before, after);
	assert_found(s, "");
	test_sync(s);
	assert_int_equal(s->result.built + s->result.installed, 0);
	/* Like any other from here on. */
	test_put(&s->root, "/usr/src/hello-1.0/new.h", "");
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "its source or the kernel headers changed");
}

static void nothing_is_nothing(void **state)
{
	struct test_system *s = test_system(state);

	assert_found(s, "");
	adopt(s);
	test_register(s, "hello", "1.0", NULL);
	assert_found(s, "");
}

static void inside_of_a_transaction_it_is_queued(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	dkms_all(s, "hello", "1.0", K2);
	test_fake(s, "lock", "must-defer");
	adopt(s);
	assert_int_equal(s->result.built, 0);
	assert_int_equal(test_queue_length(s), 2);
	assert_found(s, "");
	test_fake(s, "lock", "free");
	test_drain(s);
	test_assert_installed(s, "hello", "1.0", K1);
}

static void what_is_not_as_the_tree_says_is_left(void **state)
{
	struct test_system *s = test_system(state);
	struct timeval old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	_cleanup_free_ char *built = NULL;

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	test_put(&s->root, SIBLING, "signed by somebody else");
	assert_found(s, "leave hello/1.0 " K1 ": " SIBLING " is not what DKMS built\n");
	assert_int_equal(kp_unlink_in(s->root.fd, SIBLING), 0);
	assert_found(s, "leave hello/1.0 " K1
			": hello.ko is not installed, though DKMS has it as installed\n");
	dkms_install(s, "hello", "1.0", K1);
	test_own(s, "kmod-hello", SIBLING);
	assert_found(s, "leave hello/1.0 " K1 ": " SIBLING
			" belongs to package kmod-hello\n");
	test_disown(s, "kmod-hello");
	dkms_build(s, "hello", "1.0", K1, K2);
	dkms_install(s, "hello", "1.0", K1);
	assert_found(s, "leave hello/1.0 " K1
			": module 'hello.ko' was built for kernel " K2 ", not " K1 "\n");
	dkms_all(s, "hello", "1.0", K1);
	built = tree_file(s, "hello", "1.0", K1, "hello.ko");
	assert_int_equal(utimes(built, old), 0);
	assert_found(s, "leave hello/1.0 " K1
			": /usr/src/hello-1.0 changed after it was built\n");
	/* The sync makes good what could not be adopted. */
	adopt(s);
	assert_int_equal(s->result.built, 2);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_found(s, "");
}

/* The library that reads modules ends its process over this one: not ours. */
static void a_damaged_module_is_built_anew(void **state)
{
	const Elf64_Half none = 0xff00;
	struct test_system *s = test_system(state);
	_cleanup_free_ char *built = NULL;
	int fd;

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	dkms_all(s, "hello", "1.0", K2);
	built = tree_file(s, "hello", "1.0", K1, "hello.ko");
	fd = kp_open_in(s->root.fd, built, O_WRONLY, 0);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &none, sizeof(none),
				sizeof(long) == 8 ? offsetof(Elf64_Ehdr, e_shstrndx)
						  : offsetof(Elf32_Ehdr, e_shstrndx)),
			 sizeof(none));
	close(fd);
	copy_file(s, built, SIBLING);
	assert_found(s, "leave hello/1.0 " K1 ": module 'hello.ko' is damaged: reading "
			"it ends in signal 6\nadopt hello/1.0 " K2 "\n");
	adopt(s);
	assert_int_equal(s->result.built, 1);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "1.0", K2);
}

static void a_conf_that_changed(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *extra = NULL;

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	extra = tree_file(s, "hello", "1.0", K1, "extra.ko.xz");
	test_put(&s->root, extra, "");
	assert_found(s, "leave hello/1.0 " K1 ": /var/lib/dkms/hello/1.0/" K1
			"/x86_64/module has extra.ko.xz, which dkms.conf does not "
			"name\n");
	assert_int_equal(kp_unlink_in(s->root.fd, extra), 0);
	test_add_source(s, "hello", "1.0", "BUILD_EXCLUSIVE_KERNEL=^5\n");
	assert_found(s, "leave hello/1.0 " K1 ": kernel " K1
			" does not match BUILD_EXCLUSIVE_KERNEL '^5'\n");
	assert_int_equal(kp_unlink_in(s->root.fd, "/usr/src/hello-1.0/dkms.conf"), 0);
	assert_found(s, "leave hello/1.0 " K1 ": /usr/src/hello-1.0 has no dkms.conf\n");
	assert_int_equal(kp_unlink_in(s->root.fd, "/var/lib/dkms/hello/1.0/source"), 0);
	assert_found(s, "leave hello/1.0 " K1 ": its source is not registered\n");
}

/* The headers know a symbol by another version than the one the module was built for. */
static void other_symbol_versions(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, "/usr/src/hello-1.0/hello.c",
		 "static const char a[] __attribute__((used, section(\".modinfo\"), "
		 "aligned(1))) = \"vermagic=\" RELEASE \" SMP \";\n"
		 "struct { unsigned long crc; char name[56]; } versions[] "
		 "__attribute__((used, section(\"__versions\"))) = "
		 "{ { 0x11223344, \"printk_it\" } };\n"
		 "extern int printk_it(void);\n"
		 "int init_module(void) { return printk_it(); }\n");
	dkms_all(s, "hello", "1.0", K1);
	test_put(&s->root, "/usr/src/linux-headers-" K1 "/Module.symvers",
		 "0x11223344\tprintk_it\tvmlinux\tEXPORT_SYMBOL\n");
	assert_found(s, "adopt hello/1.0 " K1 "\n");
	test_put(&s->root, "/usr/src/linux-headers-" K1 "/Module.symvers",
		 "0x55667788\tprintk_it\tvmlinux\tEXPORT_SYMBOL\n");
	assert_found(s, "leave hello/1.0 " K1
			": module 'hello.ko' was built against another version of the "
			"symbol 'printk_it' than the kernel's Module.symvers has\n");
}

/* A kernel that lost its headers keeps its modules, owned. */
static void without_headers(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	dkms_all(s, "hello", "1.0", K2);
	assert_int_equal(rename("/usr/src/linux-headers-" K1, "/usr/src/away"), 0);
	adopt(s);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED,
			  "kernel headers are not installed, so it cannot be rebuilt");
	assert_found(s, "");
	test_sync(s);
	assert_int_equal(s->result.installed, 0);
	/* What it was built from nobody knows. */
	assert_int_equal(rename("/usr/src/away", "/usr/src/linux-headers-" K1), 0);
	test_sync(s);
	assert_int_equal(s->result.built, 1);
}

static void another_version_than_we_would_choose(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_register(s, "hello", "2.0", NULL);
	test_register(s, "manual", "1.0", "AUTOINSTALL=no\n");
	dkms_all(s, "hello", "1.0", K1);
	dkms_all(s, "hello", "2.0", K2);
	dkms_build(s, "hello", "2.0", K1, K1);
	dkms_all(s, "manual", "1.0", K1);
	assert_found(s,
		     "adopt hello/1.0 " K1 " pinned\nadopt hello/2.0 " K2
		     "\nadopt-build hello/2.0 " K1 "\nadopt manual/1.0 " K1 " pinned\n");
	adopt(s);
	assert_int_equal(s->result.built, 0);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "2.0", K2);
	test_assert_installed(s, "manual", "1.0", K1);
	test_assert_absent(s, "manual", K2);
}

/* Our state was purged, and with it the pin; the package is there. */
static void the_installed_version_stays(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	test_register(s, "hello", "1.1", NULL);
	dkms_build(s, "hello", "1.1", K1, K1);
	TEST_TRY(kp_rm_rf_in(s->root.fd, "/var/lib/kmodpkg", err));
	assert_found(s, "pin hello/1.0 " K1 " pinned: it is installed, 1.1 is only "
			"built\nadopt-build hello/1.1 " K1 "\n");
	adopt(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED, "pinned");
	assert_int_equal(s->result.erased, 0);
	assert_found(s, "");
}

static void modules_that_depend_on_others(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *symvers = NULL;

	test_register(s, "base", "1.0", NULL);
	test_register(s, "user", "1.0", "BUILD_DEPENDS=base\n");
	dkms_all(s, "base", "1.0", K1);
	dkms_all(s, "base", "1.0", K2);
	dkms_all(s, "user", "1.0", K1);
	dkms_all(s, "user", "1.0", K2);
	symvers = tree_file(s, "base", "1.0", K1, "Module.symvers");
	test_put(&s->root, symvers, "0x1\tx\tbase\tEXPORT_SYMBOL\n");
	adopt(s);
	assert_int_equal(s->result.built, 0);
	assert_int_equal(s->result.installed, 4);
	test_assert_state(s, "user", "1.0", K1, KP_STATE_INSTALLED, NULL);
	assert_true(test_exists(s, symvers));
}

static void held_modules_stay_away(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	assert_found(s, "leave hello/1.0 " K1 ": uninstalled by hand\n");
}

static void a_dead_kernel_is_cleared_away(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	dkms_all(s, "hello", "1.0", K2);
	test_remove_kernel(s, K1);
	assert_found(s, "remove hello/1.0 " K1 ": the kernel is gone\nadopt hello/1.0 " K2
			"\n");
	adopt(s);
	assert_false(test_exists(s, "/lib/modules/" K1));
	assert_false(test_exists(s, "/var/lib/dkms/hello/1.0/" K1));
	test_assert_installed(s, "hello", "1.0", K2);
	assert_found(s, "");
}

/* Files that are not DKMS's are not taken with a dead kernel. */
static void a_dead_kernel_with_something_else(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	test_put(&s->root, SIBLING, "a person's");
	test_remove_kernel(s, K1);
	adopt(s);
	assert_true(test_exists(s, SIBLING));
	assert_false(test_exists(s, "/var/lib/dkms/hello/1.0/" K1));
}

#define INTREE "/lib/modules/" K1 "/kernel/net/hello.ko"
#define ARCHIVE "/var/lib/dkms/hello/original_module/" K1 "/x86_64/hello.ko"

static void in_tree_modules_go_back(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *text = NULL;
	struct stat before, after;

	test_register(s, "hello", "1.0", NULL);
	dkms_all(s, "hello", "1.0", K1);
	test_own(s, "linux-image-" K1, INTREE);
	test_put(&s->root, ARCHIVE, "the kernel's");
	test_put(&s->root, ARCHIVE ".origin", INTREE "\n");
	assert_int_equal(kp_lstat_in(s->root.fd, ARCHIVE, &before), 0);
	assert_found(s, "adopt hello/1.0 " K1 "\nput-back hello " K1 "\n");
	adopt(s);
	text = test_get(&s->root, INTREE);
	assert_string_equal(text, "the kernel's");
	assert_int_equal(kp_lstat_in(s->root.fd, INTREE, &after), 0);
	assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(after.st_mode & 07777, 0644);
	assert_false(test_exists(s, "/var/lib/dkms/hello/original_module"));
	assert_found(s, "");
}

static void in_tree_modules_that_are_back_already(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	test_own(s, "linux-image-" K1, INTREE);
	test_put(&s->root, INTREE, "the newer kernel's");
	test_put(&s->root, ARCHIVE, "the kernel's");
	test_put(&s->root, ARCHIVE ".origin", INTREE "\n");
	assert_found(s, "remove hello " K1 ": " INTREE " is there again\n");
	adopt(s);
	text = test_get(&s->root, INTREE);
	assert_string_equal(text, "the newer kernel's");
	assert_false(test_exists(s, ARCHIVE));
}

/* DKMS moved a package's module away and put its own under the same name. */
static void in_tree_modules_that_dkms_wrote_over(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *built = tree_file(s, "hello", "1.0", K1, "hello.ko");
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	dkms_build(s, "hello", "1.0", K1, K1);
	copy_file(s, built, INTREE);
	TEST_TRY(kp_view_set(s->ctx, "hello", K1, "1.0", err));
	test_own(s, "kmod-hello", INTREE);
	test_put(&s->root, ARCHIVE, "the package's");
	test_put(&s->root, ARCHIVE ".origin", INTREE "\n");
	assert_found(s, "leave hello/1.0 " K1 ": hello.ko is not installed, though DKMS "
			"has it as installed\n"
			"leave hello " K1 ": DKMS's module lies in the place of " INTREE
			", which is kept as " ARCHIVE "\n");
	adopt(s);
	text = test_get(&s->root, ARCHIVE);
	assert_string_equal(text, "the package's");
}

#define NOT_KNOWN                                                                        \
	"leave hello " K1 ": where " ARCHIVE " comes from is not known; move it to its " \
	"place below /lib/modules/" K1                                                   \
	", or delete it if it is of no use, and run depmod " K1 "\n"

/* Older ones of DKMS left no note of the place. */
static void in_tree_modules_without_a_note(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, ARCHIVE, "the kernel's");
	test_put(&s->root, "/lib/modules/" K1 "/kernel/net/other.ko", "");
	assert_found(s, NOT_KNOWN);
	test_own(s, "linux-image-" K1, INTREE);
	assert_found(s, "put-back hello " K1 "\n");
	/* Not when something lies there. */
	test_put(&s->root, INTREE, "somebody's");
	assert_found(s, NOT_KNOWN);
	assert_int_equal(kp_unlink_in(s->root.fd, INTREE), 0);
	/* Which of them? */
	test_own(s, "linux-image-" K1, "/lib/modules/" K1 "/kernel/hello.ko");
	assert_found(s, NOT_KNOWN);
	test_disown(s, "linux-image-" K1);
	test_own(s, "linux-image-" K1, INTREE);
	adopt(s);
	text = test_get(&s->root, INTREE);
	assert_string_equal(text, "the kernel's");
	assert_false(test_exists(s, "/var/lib/dkms/hello/original_module"));
	assert_found(s, "");
}

static void archived_modules_that_are_nobodys(void **state)
{
	struct test_system *s = test_system(state);
	static const char *const bad[] = {
		"",
		"/etc/passwd\n",
		"/lib/modules/" K2 "/kernel/x.ko\n",
		"/lib/modules/" K1 "/../../../etc/x.ko\n",
		"/lib/modules/" K1 "/\n",
	};

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, ARCHIVE, "a person's");
	test_put(&s->root, ARCHIVE ".origin", SIBLING "\n");
	assert_found(s, "leave hello " K1 ": " SIBLING
			" was there before DKMS and belonged to no package; it is kept "
			"as " ARCHIVE "\n");
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		test_put(&s->root, ARCHIVE ".origin", bad[i]);
		assert_found(s, NOT_KNOWN);
	}
	adopt(s);
	assert_true(test_exists(s, ARCHIVE));
}

static void scratch_of_builds_goes(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, "/var/lib/dkms/hello/1.0/build/make.log", "failed");
	assert_found(s, "remove hello/1.0 -: left by a build of DKMS\n");
	adopt(s);
	assert_false(test_exists(s, "/var/lib/dkms/hello/1.0/build"));
	/* Ours from here on. */
	test_put(&s->root, "/var/lib/dkms/hello/1.0/build/make.log", "running");
	assert_found(s, "");
}

static void names_that_are_none(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	dkms_build(s, "hello", "1.0", K1, K1);
	test_put(&s->root, "/var/lib/dkms/he llo/1.0/" K1 "/x86_64/module/x.ko", "");
	test_put(&s->root, "/var/lib/dkms/hello/1.0/6.1 x/x86_64/module/x.ko", "");
	test_put(&s->root, "/var/lib/dkms/mok.key", "");
	TEST_TRY(kp_symlink_in(s->root.fd, "../../../etc/" K1 "/x86_64",
			       "/var/lib/dkms/hello/kernel-" K1 "-x86_64", err));
	TEST_TRY(kp_symlink_in(s->root.fd, "1.0/" K1 "/riscv64",
			       "/var/lib/dkms/hello/kernel-" K1 "-riscv64", err));
	assert_found(s, "adopt-build hello/1.0 " K1 "\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(what_is_installed_becomes_a_package),
		SYSTEM_TEST(nothing_is_nothing),
		SYSTEM_TEST(inside_of_a_transaction_it_is_queued),
		SYSTEM_TEST(what_is_not_as_the_tree_says_is_left),
		SYSTEM_TEST(a_damaged_module_is_built_anew),
		SYSTEM_TEST(a_conf_that_changed),
		SYSTEM_TEST(other_symbol_versions),
		SYSTEM_TEST(without_headers),
		SYSTEM_TEST(another_version_than_we_would_choose),
		SYSTEM_TEST(the_installed_version_stays),
		SYSTEM_TEST(modules_that_depend_on_others),
		SYSTEM_TEST(held_modules_stay_away),
		SYSTEM_TEST(a_dead_kernel_is_cleared_away),
		SYSTEM_TEST(a_dead_kernel_with_something_else),
		SYSTEM_TEST(in_tree_modules_go_back),
		SYSTEM_TEST(in_tree_modules_that_are_back_already),
		SYSTEM_TEST(in_tree_modules_that_dkms_wrote_over),
		SYSTEM_TEST(in_tree_modules_without_a_note),
		SYSTEM_TEST(archived_modules_that_are_nobodys),
		SYSTEM_TEST(scratch_of_builds_goes),
		SYSTEM_TEST(names_that_are_none),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
