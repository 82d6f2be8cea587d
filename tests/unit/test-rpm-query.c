// SPDX-License-Identifier: GPL-2.0-or-later
/* list(), owner(), probe(), suggest_headers(): what the database says. */
#include "rpm-system.h"

static struct kp_owner owner;

static void owner_free(struct kp_owner *o)
{
	free(o->package);
	free(o->version);
	free(o->path);
	*o = (struct kp_owner){ 0 };
}

static void check_in(struct kp_pkgdb *db, const char *path, const char *package,
		     const char *literal)
{
	owner_free(&owner);
	assert_int_equal(ops->owner(db, &path, 1, &owner, NULL), 0);
	if (!kp_str_eq(owner.package, package) || !kp_str_eq(owner.path, literal))
		fail_msg("%s: %s has %s", path, owner.package ?: "nobody",
			 owner.path ?: "it");
}

static void check(const char *path, const char *package, const char *literal)
{
	check_in(sys.db, path, package, literal);
}

static void test_list_hostile_names(void **state)
{
	static const char *const names[] = {
		"hello",
		"a(b)c",
		")",
		"a-)",
		"%{x}",
		"a b",
		"kmodpkg(package)",
		"=",
		"<1",
		"\xc3\xa9",
		"a\\b\"c'",
		"*",
		"(a if b)",
		"-",
		"/",
	};
	struct kp_change changes[KP_ARRAY_SIZE(names)] = { 0 };
	char *files[KP_ARRAY_SIZE(names)];
	struct kp_pkg_installed *list;
	size_t n;

	test_system(state);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_package_ struct package p;
		_cleanup_free_ char *path = kp_strf(DIR1 "%zu.ko", i);
		_cleanup_free_ char *dir = kp_strf("/out/%zu", i);

		package_init(&p, names[i], names[i], K1);
		package_add(&p, path, "x");
		if (i % 2)
			p.pkg.id.source_package = kp_strdup(names[i]);
		TEST_TRY(write_into(&p, dir, &files[i], NULL, err));
		changes[i].file = files[i];
	}
	install_other("not-ours", "/usr/share/x", "x", "Provides: kmodpkg-module(hello)");
	assert_int_equal(commit(changes, KP_ARRAY_SIZE(names)), 0);
	assert_int_equal(ops->list(sys.db, &list, &n, NULL), 0);
	assert_int_equal(n, KP_ARRAY_SIZE(names));
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_strf(DIR1 "%zu.ko", i);
		size_t j = 0;

		if (changes[i].result != KP_CHANGE_DONE)
			fail_msg("%s: %s", names[i], changes[i].err.text);
		while (j < n && strcmp(list[j].id.module, names[i]))
			j++;
		if (j == n)
			fail_msg("%s is not listed", names[i]);
		assert_string_equal(list[j].id.version, names[i]);
		assert_string_equal(list[j].id.kernel, K1);
		assert_string_equal(list[j].id.arch, "x86_64");
		assert_string_equal(list[j].id.key, "aaaa");
		assert_string_equal(list[j].id.content, "bbbb");
		assert_true(
			kp_str_eq(list[j].id.source_package, i % 2 ? names[i] : NULL));
		assert_int_equal(kp_strv_len(list[j].files), 1);
		assert_string_equal(list[j].files[0], path);
		check(path, list[j].name, path);
		free(files[i]);
	}
	for (size_t i = 0; i < n; i++) {
		struct kp_change c = { .kind = KP_CHANGE_ERASE, .name = list[i].name };

		assert_int_equal(commit(&c, 1), 0);
		assert_int_equal(c.result, KP_CHANGE_DONE);
		kp_pkg_installed_clear(&list[i]);
	}
	free(list);
	assert_int_equal(ops->list(sys.db, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	free(list);
}

static void test_owner(void **state)
{
	static const char *const paths[] = { "/usr/share/a/x",
					     "/usr/share/a",
					     "/usr/share/a/",
					     "/usr/share/a/y",
					     "/",
					     "" };
	struct kp_owner owners[KP_ARRAY_SIZE(paths)] = { 0 };

	test_system(state);
	install_other("pkg", "/usr/share/a/x", "x", "Epoch: 3");
	install_other("dir", "/usr/share/a", NULL, NULL);
	assert_int_equal(ops->owner(sys.db, paths, KP_ARRAY_SIZE(paths), owners, NULL),
			 0);
	assert_string_equal(owners[0].package, "pkg");
	assert_string_equal(owners[0].version, "3:1-1");
	assert_string_equal(owners[0].path, "/usr/share/a/x");
	assert_string_equal(owners[1].package, "dir");
	assert_string_equal(owners[2].package, "dir");
	for (size_t i = 3; i < KP_ARRAY_SIZE(paths); i++)
		assert_null(owners[i].package);
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++)
		owner_free(&owners[i]);
}

static void test_directory_links(void **state)
{
	test_system(state);
	install_other("old", "/lib/modules/6.1/a.ko", "x", NULL);
	install_other("new", "/usr/lib/modules/6.2/a.ko", "x", NULL);
	check("/lib/modules/6.1/a.ko", "old", "/lib/modules/6.1/a.ko");
	check("/usr/lib/modules/6.1/a.ko", "old", "/lib/modules/6.1/a.ko");
	check("/lib/modules/6.2/a.ko", "new", "/usr/lib/modules/6.2/a.ko");
	/* also when it is missing with its directory */
	TEST_TRY(kp_rm_rf_in(sys.s->root.fd, "/usr/lib/modules/6.1", err));
	check("/usr/lib/modules/6.1/a.ko", "old", "/lib/modules/6.1/a.ko");
}

static void test_directories_prefer_others_to_us(void **state)
{
	_cleanup_free_ char *ours = NULL;

	test_system(state);
	ours = make_package("a", "1", K1, DIR1 "a.ko", "x");
	commit_add(ours);
	check("/lib/modules/" K1, "kmod-a-" K1, "/lib/modules/" K1);
	install_other("z-kernel", "/lib/modules/" K1, NULL, NULL);
	install_other("y-kernel", "/lib/modules/" K1, NULL, NULL);
	check("/lib/modules/" K1, "y-kernel", "/lib/modules/" K1);
	check(DIR1 "a.ko", "kmod-a-" K1, DIR1 "a.ko");
}

static void test_another_root(void **state)
{
	_cleanup_free_ char *ours = NULL;
	struct kp_pkg_installed *list;
	enum kp_lock_state lock;
	struct kp_pkgdb *db;
	struct stat st;
	size_t n;
	int fd;

	test_system(state);
	ours = make_package("a", "1", K1, DIR1 "a.ko", "x");
	commit_add(ours);
	install_other("kernel", "/lib/modules/" K1 "/kernel", NULL, NULL);
	install_other("new", "/usr/lib/modules/6.2/kernel", NULL, NULL);
	/* Where openSUSE and Fedora have it, behind links that lead out when followed from here. */
	TEST_TRY(kp_mkdir_in(sys.s->root.fd, "/mnt/usr/lib/sysimage", 0755, err));
	TEST_TRY(kp_mkdir_in(sys.s->root.fd, "/mnt/var/lib", 0755, err));
	TEST_TRY(kp_symlink_in(sys.s->root.fd, "/usr/lib/sysimage/rpm",
			       "/mnt/var/lib/rpm", err));
	TEST_TRY(kp_symlink_in(sys.s->root.fd, "usr/lib", "/mnt/lib", err));
	DO("/bin/cp", "-a", RPM_DB, "/mnt/usr/lib/sysimage/");
	DO("/bin/mkdir", "-p", "/mnt/lib/modules/" K1 "/kernel");
	TEST_TRY(kp_rm_rf_in(sys.s->root.fd, RPM_DB, err));
	fd = open("/mnt", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ops->probe(sys.s->root.fd), 0);
	assert_int_equal(ops->probe(fd), 2);
	TEST_TRY(ops->open(fd, 0, &db, err));
	TEST_TRY(ops->list(db, &list, &n, err));
	assert_int_equal(n, 1);
	assert_string_equal(list[0].name, "kmod-a-" K1);
	kp_pkg_list_free(list, n);
	check_in(db, DIR1 "a.ko", "kmod-a-" K1, DIR1 "a.ko");
	check_in(db, "/usr" DIR1 "a.ko", "kmod-a-" K1, DIR1 "a.ko");
	check_in(db, "/lib/modules/6.2/kernel", "new", "/usr/lib/modules/6.2/kernel");
	check_in(db, "/lib/modules/6.2/kernel/", "new", "/usr/lib/modules/6.2/kernel");
	check_in(db, "/lib/modules/6.3/kernel", NULL, NULL);
	assert_int_equal(ops->state(db, &lock, NULL, NULL), 0);
	assert_int_equal(lock, KP_LOCK_FREE);
	ops->close(db);
	close(fd);
	assert_int_equal(stat(RPM_DB, &st), -1);
}

static void test_probe(void **state)
{
	test_system(state);
	/* kernels of nobody, that the fixture put there */
	assert_int_equal(ops->probe(sys.s->root.fd), 1);
	install_other("kernel-core", "/lib/modules/" K1 "/modules.builtin", "x", NULL);
	assert_int_equal(ops->probe(sys.s->root.fd), 2);
	TEST_TRY(kp_rm_rf_in(sys.s->root.fd, RPM_DB, err));
	assert_int_equal(ops->probe(sys.s->root.fd), 0);
	assert_false(test_exists(sys.s, RPM_DB));
}

static void suggest(const char *kernel, const char *want)
{
	_cleanup_free_ char *text = NULL;
	int rc = ops->suggest_headers(sys.db, kernel, &text, NULL);

	assert_int_equal(rc, want ? 0 : -ENOENT);
	assert_true(kp_str_eq(text, want));
}

static void test_suggest_headers(void **state)
{
	test_system(state);
	kp_unlink_in(sys.s->root.fd, "/usr/bin/dnf");
	kp_unlink_in(sys.s->root.fd, "/usr/bin/zypper");
	install_other("kernel-rt-core", "/lib/modules/6.2/modules.builtin", "x", NULL);
	install_other("kernel-default", "/lib/modules/6.3/modules.builtin", "x", NULL);
	suggest("6.2", NULL);
	test_put(&sys.s->root, "/usr/bin/zypper", "");
	suggest("6.3", "zypper install kernel-default-devel=1-1");
	test_put(&sys.s->root, "/usr/bin/dnf", "");
	suggest("6.2", "dnf install kernel-rt-devel-1-1");
	suggest("6.4", NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RPM_TEST(test_list_hostile_names),
		RPM_TEST(test_owner),
		RPM_TEST(test_directory_links),
		RPM_TEST(test_directories_prefer_others_to_us),
		RPM_TEST(test_another_root),
		RPM_TEST(test_probe),
		RPM_TEST(test_suggest_headers),
	};
	int rc;

	if (!rpm_load_backend())
		return 0;
	test_system_prepare(argc, argv);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	owner_free(&owner);
	return rc;
}
