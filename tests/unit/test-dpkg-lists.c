// SPDX-License-Identifier: GPL-2.0-or-later
/* owner() and probe(): who has a path, out of dpkg's file lists. */
#include "dpkg-root.h"

#define MAX_PATHS 8

static struct kp_owner owners[MAX_PATHS];

static int find(struct root *r, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < MAX_PATHS; i++)
		kp_owner_clear(&owners[i]);
	return r ? ops->owner(r->db, paths, n, owners, NULL) : 0;
}

static void check(struct root *r, const char *path, const char *package,
		  const char *literal)
{
	assert_int_equal(find(r, &path, 1), 0);
	if (!kp_str_eq(owners[0].package, package) || !kp_str_eq(owners[0].path, literal))
		fail_msg("%s: %s has %s", path, owners[0].package ?: "nobody",
			 owners[0].path ?: "it");
}

static void add_package(struct root *r, const char *name, const char *fields,
			const char *list)
{
	_cleanup_free_ char *old = NULL, *text = NULL, *path = NULL;
	size_t len;

	assert_int_equal(kp_read_in(r->fd, "/var/lib/dpkg/status", 0, &old, &len), 0);
	text = kp_strf(
		"%sPackage: %s\nStatus: install ok installed\nArchitecture: amd64\n"
		"Version: 1.%s\n%s\n",
		old, name, name, fields);
	put(r, "/var/lib/dpkg/status", text);
	path = kp_strf("/var/lib/dpkg/info/%s%s.list", name,
		       strstr(fields, "Multi-Arch: same") ? ":amd64" : "");
	put(r, path, list);
}

static void test_literal(void **state)
{
	static const char *const paths[] = { "/usr/bin/dpk", "/usr/bin/dpkg",
					     "/usr/bin/dpkg2", "/usr/bin", "/nothing" };

	assert_int_equal(find(*state, paths, KP_ARRAY_SIZE(paths)), 0);
	assert_null(owners[0].package);
	assert_string_equal(owners[1].package, "dpkg");
	assert_string_equal(owners[1].version, "1.21.22");
	assert_string_equal(owners[1].path, "/usr/bin/dpkg");
	assert_null(owners[2].package);
	assert_string_equal(owners[3].package, "dpkg");
	assert_null(owners[4].package);
}

static void test_merged_usr(void **state)
{
	struct root *r = *state;

	add_package(r, "linux-image-6.1", "",
		    "/.\n/lib\n/lib/modules\n/lib/modules/6.1\n");
	add_package(r, "linux-image-6.12", "",
		    "/.\n/usr\n/usr/lib\n/usr/lib/modules\n/usr/lib/modules/6.12\n");
	check(r, "/lib/modules/6.1", "linux-image-6.1", "/lib/modules/6.1");
	check(r, "/usr/lib/modules/6.1", NULL, NULL);
	check(r, "/lib/modules/6.12", NULL, NULL);

	assert_int_equal(kp_symlink_in(r->fd, "usr/lib", "/lib", NULL), 0);
	check(r, "/usr/lib/modules/6.1", "linux-image-6.1", "/lib/modules/6.1");
	check(r, "/lib/modules/6.12", "linux-image-6.12", "/usr/lib/modules/6.12");
	check(r, "/usr/lib/modules/6.12", "linux-image-6.12", "/usr/lib/modules/6.12");

	assert_int_equal(kp_symlink_in(r->fd, "/usr/lib", "/lib", NULL), 0);
	check(r, "/usr/lib/modules/6.1", "linux-image-6.1", "/lib/modules/6.1");

	/* a link of another kind is no other name */
	assert_int_equal(kp_symlink_in(r->fd, "usr/lib64", "/lib", NULL), 0);
	check(r, "/usr/lib/modules/6.1", NULL, NULL);
}

static void test_diversions(void **state)
{
	struct root *r = *state;

	add_package(r, "linux-image-6.1", "",
		    "/lib/modules/6.1/a.ko\n/lib/modules/6.1/b.ko\n");
	add_package(r, "vendor", "", "/lib/modules/6.1/a.ko\n");
	put(r, "/var/lib/dpkg/diversions",
	    "/lib/modules/6.1/a.ko\n/lib/modules/6.1/a.ko.distrib\nvendor\n"
	    "/lib/modules/6.1/b.ko\n/lib/modules/6.1/b.ko.orig\n:\n");
	check(r, "/lib/modules/6.1/a.ko", "vendor", "/lib/modules/6.1/a.ko");
	check(r, "/lib/modules/6.1/a.ko.distrib", "linux-image-6.1",
	      "/lib/modules/6.1/a.ko");
	check(r, "/lib/modules/6.1/b.ko", NULL, NULL);
	check(r, "/lib/modules/6.1/b.ko.orig", "linux-image-6.1",
	      "/lib/modules/6.1/b.ko");
}

static void test_multiarch_names(void **state)
{
	add_package(*state, "libx", "Multi-Arch: same\n",
		    "/usr/lib/x86_64-linux-gnu/libx.so\n");
	check(*state, "/usr/lib/x86_64-linux-gnu/libx.so", "libx:amd64",
	      "/usr/lib/x86_64-linux-gnu/libx.so");
}

static void test_directories_prefer_others_to_us(void **state)
{
	static const char ours[] =
		"Kmodpkg-Module: a\nKmodpkg-Version: 1\nKmodpkg-Kernel: 6.1\n";

	add_package(*state, "a-modules-6.1", ours,
		    "/lib/modules/6.1\n/lib/modules/6.1/a.ko\n");
	check(*state, "/lib/modules/6.1", "a-modules-6.1", "/lib/modules/6.1");
	add_package(*state, "z-image-6.1", "", "/lib/modules/6.1\n");
	add_package(*state, "y-image-6.1", "", "/lib/modules/6.1\n");
	check(*state, "/lib/modules/6.1", "y-image-6.1", "/lib/modules/6.1");
	check(*state, "/lib/modules/6.1/a.ko", "a-modules-6.1", "/lib/modules/6.1/a.ko");
}

static void test_what_is_left_of_a_package_owns_nothing(void **state)
{
	put(*state, "/var/lib/dpkg/status",
	    DPKG_STANZA "Package: linux-image-6.1\nStatus: deinstall ok config-files\n"
			"Architecture: amd64\nVersion: 1\n");
	put(*state, "/var/lib/dpkg/info/linux-image-6.1.list", "/lib/modules/6.1\n");
	check(*state, "/lib/modules/6.1", NULL, NULL);
}

static void test_unreadable_list(void **state)
{
	static const char *const path = "/usr/bin/dpkg";

	put(*state, "/var/lib/dpkg/info/dpkg.list", "/.\n/usr/bin/dpkg");
	assert_int_equal(find(*state, &path, 1), -EIO);
}

static void test_list_behind_a_link_stays_in_the_root(void **state)
{
	struct root *r = *state;

	put(r, "/elsewhere", "/usr/bin/dpkg\n");
	assert_int_equal(kp_symlink_in(r->fd, "/elsewhere",
				       "/var/lib/dpkg/info/dpkg.list", NULL),
			 0);
	check(r, "/usr/bin/dpkg", "dpkg", "/usr/bin/dpkg");
}

static void test_probe(void **state)
{
	struct root *r = *state;

	assert_int_equal(ops->probe(r->fd), 1);
	add_package(r, "not-a-kernel", "",
		    "/lib/modules/6.1/updates/x.ko\n/boot/vmlinux\n");
	assert_int_equal(ops->probe(r->fd), 1);
	add_package(r, "linux-image", "", "/boot/vmlinuz-6.1\n");
	assert_int_equal(ops->probe(r->fd), 2);
	put(r, "/var/lib/dpkg/info/linux-image.list", "/usr/lib/modules/6.1/kernel\n");
	assert_int_equal(ops->probe(r->fd), 2);
	put(r, "/var/lib/dpkg/info/linux-image.list",
	    "/usr/lib/modules/6.1/kernel/fs/x.ko\n");
	assert_int_equal(ops->probe(r->fd), 2);
	assert_int_equal(kp_unlink_in(r->fd, "/var/lib/dpkg/status"), 0);
	assert_int_equal(ops->probe(r->fd), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, root_setup, root_teardown)

static int free_owners(void **state)
{
	(void)state;
	find(NULL, NULL, 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_literal),
		TEST(test_merged_usr),
		TEST(test_diversions),
		TEST(test_multiarch_names),
		TEST(test_directories_prefer_others_to_us),
		TEST(test_what_is_left_of_a_package_owns_nothing),
		TEST(test_unreadable_list),
		TEST(test_list_behind_a_link_stays_in_the_root),
		TEST(test_probe),
	};

	if (!backend_load("dpkg"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, free_owners);
}
