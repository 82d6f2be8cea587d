// SPDX-License-Identifier: GPL-2.0-or-later
/* write(): package files, judged by pacman itself. */
#include "alpm-root.h"

static void test_pacman_installs_it(void **state)
{
	_cleanup_free_ char *long_name = kp_strf(DIR "%0150d.ko", 1), *name = NULL;
	_cleanup_free_ char *path = NULL, *full = NULL, *ko = NULL, *in_root = NULL;
	_cleanup_package_ struct package p;
	struct root *r = *state;

	package_init(&p, "hello", "1.0", KERNEL);
	p.pkg.id.source_package = kp_strdup("hello-dkms");
	package_add(&p, DIR "hello.ko", "some bytes\n");
	package_add(&p, long_name, "x");
	package_add(&p, DIR "empty.ko", "");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	assert_string_equal(name, "kmod-hello-linux");
	assert_true(kp_str_ends(path, ".pkg.tar.zst"));

	full = kp_strf("%s%s", r->dir.path, path);
	ASSERT_PACMAN(r, "", "-U", full);
	ASSERT_PACMAN(r, "kmod-hello-linux 1.0_6.1.0_arch1_1-1", "-Q");
	ASSERT_PACMAN(r, "9 total files, 0 altered files", "-Qkk");
	ASSERT_PACMAN(r, "No database errors", "-Dk");
	in_root = kp_strf("%s" DIR "hello.ko", r->dir.path);
	ASSERT_PACMAN(r, "is owned by kmod-hello-linux", "-Qo", in_root);
	ASSERT_PACMAN(r, "hello kernel modules [kmodpkg: module=hello version=1.0 ",
		      "-Qi");
	ASSERT_PACMAN(r, "Explicitly installed", "-Qi");
	ASSERT_PACMAN(r, "Dual MIT/GPL", "-Qi");
	ko = test_get(&r->dir, DIR "hello.ko");
	assert_string_equal(ko, "some bytes\n");
}

static void test_comes_back_by_list(void **state)
{
	static const char strange[] = "1.0~rc [1] %%/\xc3\xa9=";
	_cleanup_free_ char *path = NULL, *full = NULL, *name = NULL;
	_cleanup_package_ struct package p;
	struct kp_pkg_installed *list;
	struct root *r = *state;
	size_t n;

	package_init(&p, "he@llo-2", strange, KERNEL);
	p.pkg.id.source_package = kp_strdup("hello dkms");
	p.pkg.summary = "a [kmodpkg: module=x] to mislead ]";
	package_add(&p, DIR "hello.ko", "some bytes\n");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	assert_string_equal(name, "kmod-he@40llo@2d2-linux");
	full = kp_strf("%s%s", r->dir.path, path);
	ASSERT_PACMAN(r, "", "-U", full);

	assert_int_equal(ops->list(r->db, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].id.module, "he@llo-2");
	assert_string_equal(list[0].id.version, strange);
	assert_string_equal(list[0].id.kernel, KERNEL);
	assert_string_equal(list[0].id.arch, "x86_64");
	assert_string_equal(list[0].id.key, "aaaa");
	assert_string_equal(list[0].id.content, "bbbb");
	assert_string_equal(list[0].id.source_package, "hello dkms");
	assert_string_equal(list[0].name, name);
	assert_int_equal(kp_strv_len(list[0].files), 1);
	assert_string_equal(list[0].files[0], DIR "hello.ko");
	kp_pkg_list_free(list, n);

	/* pacman writes the description anew from what it has read itself */
	ASSERT_PACMAN(r, "", "-D", "--asdeps", name);
	assert_int_equal(ops->list(r->db, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].id.content, "bbbb");
	kp_pkg_list_free(list, n);
}

static char *bytes_of(struct root *r, const char *path)
{
	char *data, *hex;
	size_t len;

	assert_int_equal(kp_read_in(r->fd, path, 0, &data, &len), 0);
	hex = kp_calloc(2 * len + 1, 1);
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned char)data[i]);
	free(data);
	return hex;
}

static void test_same_input_same_bytes(void **state)
{
	_cleanup_free_ char *a = NULL, *b = NULL, *name_a = NULL, *name_b = NULL;
	_cleanup_free_ char *bytes_a = NULL, *bytes_b = NULL;
	_cleanup_package_ struct package p, q;
	struct root *r = *state;

	package_init(&p, "hello", "1.0", KERNEL);
	package_add(&p, DIR "a.ko", "a");
	package_add(&p, DIR "b.ko", "b");
	package_init(&q, "hello", "1.0", KERNEL);
	package_add(&q, DIR "b.ko", "b");
	package_add(&q, DIR "a.ko", "a");
	assert_int_equal(write_into(r, &p, "/a", &a, &name_a, NULL), 0);
	bytes_a = bytes_of(r, a);
	/* the gzip in it must not say when it was made: that has seconds */
	usleep(1100 * 1000);
	assert_int_equal(write_into(r, &q, "/b", &b, &name_b, NULL), 0);
	bytes_b = bytes_of(r, b);
	assert_string_equal(bytes_a, bytes_b);
}

static void test_name_of_others(void **state)
{
	_cleanup_free_ char *path = NULL, *name = NULL;
	_cleanup_package_ struct package p;
	struct kp_err err = KP_ERR_INIT;
	struct root *r = *state;

	package_init(&p, "hello", "1.0", KERNEL);
	package_add(&p, DIR "a.ko", "a");
	put_package(r, "kmod-hello-linux", "5-1", "not from us", "usr/\n");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, &err), -EEXIST);
	assert_non_null(strstr(err.text, "kmod-hello-linux 5-1"));
	/* what a killed pacman leaves is nobody's */
	put(r, LOCAL "kmod-hello-linux-5-1/desc", "");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, &err), 0);
}

static char *name_for(struct root *r, const char *module, const char *kernel)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_package_ struct package p;
	char *name = NULL;

	package_init(&p, module, "1", kernel);
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	return name;
}

static void test_names(void **state)
{
	static const struct {
		const char *module, *pkgbase, *name;
	} cases[] = {
		{ "hello", "linux", "kmod-hello-linux" },
		{ "hello", "linux-lts", "kmod-hello-linux-lts" },
		{ "nvidia-open", "linux-zen", "kmod-nvidia-open-linux-zen" },
		{ "linux-apfs-rw", "linux", "kmod-linux-apfs-rw-linux" },
		{ "a", "linux-linux", "kmod-a-linux-linux" },
		{ "a-linux", "linux", "kmod-a@2dlinux-linux" },
		{ "a--linux", "linux", "kmod-a@2d@2dlinux-linux" },
		{ "a-", "linux", "kmod-a@2d-linux" },
		{ "a", "my-kernel", "kmod-a-@6dy-kernel" },
		{ "a-my", "kernel", "kmod-a-my-@6bernel" },
		{ "a", "-linux", "kmod-a-@2dlinux" },
		{ "a", "@", "kmod-a-@40" },
	};
	struct root *r = *state;

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = NULL;

		put(r, MODULES KERNEL "/pkgbase", cases[i].pkgbase);
		name = name_for(r, cases[i].module, KERNEL);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_no_pkgbase(void **state)
{
	_cleanup_free_ char *first = NULL, *path = NULL, *full = NULL, *then = NULL;
	struct root *r = *state;

	first = name_for(r, "hello", "6.6.1-custom");
	assert_string_equal(first, "kmod-hello-6.6.1-custom");

	/* What has a name keeps it when the file goes (with linux, while linux-headers stay). */
	path = simple_package(r, "hello", "1.0", KERNEL, "x");
	full = kp_strf("%s%s", r->dir.path, path);
	ASSERT_PACMAN(r, "", "-U", full);
	kp_unlink_in(r->fd, MODULES KERNEL "/pkgbase");
	then = name_for(r, "hello", KERNEL);
	assert_string_equal(then, "kmod-hello-linux");
}

static void test_too_long(void **state)
{
	_cleanup_free_ char *module = kp_strf("%0200d", 1),
			    *version = kp_strf("%0200d", 1);
	_cleanup_free_ char *path = NULL, *name = NULL;
	_cleanup_package_ struct package p;
	struct kp_err err = KP_ERR_INIT;

	package_init(&p, module, version, KERNEL);
	package_add(&p, DIR "a.ko", "a");
	assert_int_equal(write_into(*state, &p, "/out", &path, &name, &err),
			 -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pacman_installs_it),
		TEST(test_comes_back_by_list),
		TEST(test_same_input_same_bytes),
		TEST(test_name_of_others),
		TEST(test_names),
		TEST(test_no_pkgbase),
		TEST(test_too_long),
	};

	if (!backend_load("alpm"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
