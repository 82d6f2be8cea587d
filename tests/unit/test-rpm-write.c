// SPDX-License-Identifier: GPL-2.0-or-later
/* write(): package files, judged by rpm itself. */
#include "rpm-system.h"

static void test_rpm_reads_it(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL, *name = NULL, *provides = NULL,
			    *requires = NULL;
	_cleanup_free_ char *list = NULL, *check = NULL, *info = NULL, *cpio = NULL;
	_cleanup_free_ char *empty = NULL;

	test_system(state);
	package_init(&p, "hello", "1.0-rc1", K1);
	p.pkg.id.source_package = kp_strdup("hello-dkms");
	package_add(&p, DIR1 "sub/hello.ko", "some bytes\n");
	package_add(&p, DIR1 "empty.ko", "");
	TEST_TRY(write_into(&p, "/out", &path, &name, err));
	assert_string_equal(name, "kmod-hello-" K1);
	assert_string_equal(path, "/out/kmod-hello-" K1 "-1.0_rc1-1.x86_64.rpm");

	check = RUN("/usr/bin/rpm", "-K", path);
	assert_non_null(strstr(check, ": digests OK\n"));
	provides = RUN("/usr/bin/rpm", "-qp", "--provides", path);
	assert_string_equal(provides, "hello-kmod = 1.0_rc1-1\n"
				      "kernel-modules-for-kernel = " K1 "\n"
				      "kmod-hello-" K1 " = 1.0_rc1-1\n"
				      "kmodpkg(package)\n"
				      "kmodpkg-arch(x86_64)\n"
				      "kmodpkg-content(bbbb)\n"
				      "kmodpkg-kernel(" K1 ")\n"
				      "kmodpkg-key(aaaa)\n"
				      "kmodpkg-module(hello)\n"
				      "kmodpkg-source-package(hello-dkms)\n"
				      "kmodpkg-version(1.0-rc1)\n");
	requires = RUN("/usr/bin/rpm", "-qp", "--requires", path);
	assert_string_equal(requires, "rpmlib(CompressedFileNames) <= 3.0.4-1\n"
				      "rpmlib(FileDigests) <= 4.6.0-1\n"
				      "rpmlib(PayloadFilesHavePrefix) <= 4.0-1\n"
				      "rpmlib(PayloadIsZstd) <= 5.4.18-1\n");
	list = RUN("/usr/bin/rpm", "-qp", "--qf",
		   "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILESIZES} "
		   "%{FILEMTIMES} %{FILENAMES}\n]%{BUILDTIME} %{SIZE}\n",
		   path);
	assert_string_equal(list,
			    "drwxr-xr-x root:root 0 1699963200 /lib/modules/" K1 "\n"
			    "drwxr-xr-x root:root 0 1699963200 /lib/modules/" K1
			    "/updates\n"
			    "-rw-r--r-- root:root 0 1699963200 " DIR1 "empty.ko\n"
			    "drwxr-xr-x root:root 0 1699963200 " DIR1 "sub\n"
			    "-rw-r--r-- root:root 11 1699963200 " DIR1 "sub/hello.ko\n"
			    "1699963200 11\n");
	info = RUN("/usr/bin/rpm", "-qip", path);
	assert_null(strstr(info, "Source RPM  : (none)"));
	assert_non_null(strstr(info, "for the kernel " K1 "."));
	assert_non_null(strstr(info, "License     : Dual MIT/GPL\n"));
	empty = RUN("/usr/bin/rpm", "-qp", "--scripts", "--triggers", "--conflicts",
		    "--obsoletes", path);
	assert_string_equal(empty, "");

	DO("/bin/sh", "-c", "mkdir /x && cd /x && rpm2cpio \"$1\" | cpio -id 2>/dev/null",
	   "sh", path);
	cpio = test_get(&sys.s->root, "/x" DIR1 "sub/hello.ko");
	assert_string_equal(cpio, "some bytes\n");
}

static void test_same_input_same_bytes(void **state)
{
	_cleanup_package_ struct package p, q;
	_cleanup_free_ char *a = NULL, *b = NULL;

	test_system(state);
	package_init(&p, "hello", "1.0", K1);
	package_add(&p, DIR1 "a.ko", "1");
	package_add(&p, DIR1 "b.ko", "22");
	package_init(&q, "hello", "1.0", K1);
	package_add(&q, DIR1 "b.ko", "22");
	package_add(&q, DIR1 "a.ko", "1");
	TEST_TRY(write_into(&p, "/one", &a, NULL, err));
	TEST_TRY(write_into(&q, "/two", &b, NULL, err));
	DO("/usr/bin/cmp", a, b);
}

static void test_names(void **state)
{
	static const struct {
		const char *module, *kernel, *name;
	} cases[] = {
		{ "hello", "6.8.5-301.fc40.x86_64", "kmod-hello-6.8.5-301.fc40.x86_64" },
		{ "acpi_call", "6.1", "kmod-acpi_call-6.1" },
		{ "acpi-call", "6.1", "kmod-acpi-call-6.1" },
		{ "rtl8812AU", "6.1+debug", "kmod-rtl8812AU-6.1+debug" },
		{ "foo-2", "6.1", "kmod-foo+x2d2-6.1" },
		{ "foo", "2-6.1", "kmod-foo-2-6.1" },
		{ "foo", "next-1", "kmod-foo-+x6eext-1" },
		{ "foo-next", "1", "kmod-foo-next-1" },
		{ "foo-", "1", "kmod-foo--1" },
		{ "foo-%", "1", "kmod-foo+x2d+x25-1" },
		{ "foo", "%-1", "kmod-foo-+x25-1" },
		{ "a+x25", "1", "kmod-a+x2bx25-1" },
		{ "a-+x6e", "1", "kmod-a+x2d+x2bx6e-1" },
		{ "a", "nx-1", "kmod-a-+x6ex-1" },
		{ "\xc3\xa9", "6.1~a", "kmod-+xc3+xa9-6.1+x7ea" },
		{ "a(b)*?[c]'\"$;&|<>\\", "1",
		  "kmod-a+x28b+x29+x2a+x3f+x5bc+x5d+x27+x22+x24+x3b+x26+x7c+x3c+x3e+x5c-1" },
	};

	test_system(state);
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_package_ struct package p;
		_cleanup_free_ char *path = NULL, *name = NULL, *read = NULL;

		package_init(&p, cases[i].module, "1", cases[i].kernel);
		TEST_TRY(write_into(&p, "/out", &path, &name, err));
		assert_string_equal(name, cases[i].name);
		read = RUN("/usr/bin/rpm", "-qp", "--qf", "%{NAME}", path);
		assert_string_equal(read, name);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(name, cases[j].name);
	}
}

static void test_versions(void **state)
{
	static const struct {
		const char *version, *mapped;
	} cases[] = {
		{ "1.0", "1.0" },
		{ "2.3.1-rc1", "2.3.1_rc1" },
		{ "2.3.1_rc1", "2.3.1+x5frc1" },
		{ "2.3.1~rc1^a+git", "2.3.1~rc1^a+git" },
		{ "1+x5f", "1+x2bx5f" },
		{ "1:2", "1+x3a2" },
		{ "v1", "v1" },
		{ "%{x}", "+x25+x7bx+x7d" },
		{ "-", "_" },
		{ "_", "+x5f" },
	};

	test_system(state);
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_package_ struct package p;
		_cleanup_free_ char *path = NULL, *read = NULL;

		package_init(&p, "hello", cases[i].version, K1);
		TEST_TRY(write_into(&p, "/out", &path, NULL, err));
		read = RUN("/usr/bin/rpm", "-qp", "--qf", "%{VERSION}", path);
		assert_string_equal(read, cases[i].mapped);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(read, cases[j].mapped);
	}
}

static void test_foreign_package_of_that_name(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL;
	struct kp_err err = KP_ERR_INIT;

	test_system(state);
	install_other("kmod-hello-" K1, "/usr/share/akmod", "x", NULL);
	package_init(&p, "hello", "1.0", K1);
	assert_int_equal(write_into(&p, "/out", &path, NULL, &err), -EEXIST);
	assert_non_null(strstr(err.text, "kmod-hello-" K1 " 1-1 is installed"));
}

static void test_dependency_on_the_kernel(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL, *path2 = NULL, *before = NULL, *after = NULL;

	test_system(state);
	package_init(&p, "hello", "1.0", "6.1-1.x");
	p.pkg.depend_on_kernel = true;
	TEST_TRY(write_into(&p, "/out", &path, NULL, err));
	before = RUN("/usr/bin/rpm", "-qp", "--requires", path);
	assert_null(strstr(before, "kernel-uname-r"));

	install_other("kernel-core", "/boot/vmlinuz-6.1-1.x", "x",
		      "Provides: kernel-uname-r = 6.1-1.x");
	TEST_TRY(write_into(&p, "/out", &path2, NULL, err));
	after = RUN("/usr/bin/rpm", "-qp", "--requires", path);
	assert_non_null(strstr(after, "kernel-uname-r = 6.1-1.x\n"));
	commit_add(path2);
	free(RUN_FAIL("/usr/bin/rpm", "-e", "kernel-core"));
}

static void test_bad_paths(void **state)
{
	static const char *const bad[] = { "lib/x", "/lib/../x", "/lib//x", "/lib/\nx",
					   "/" };
	_cleanup_free_ char *path = NULL;

	test_system(state);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_package_ struct package p;

		package_init(&p, "hello", "1.0", K1);
		package_add(&p, bad[i], "x");
		assert_int_equal(write_into(&p, "/out", &path, NULL, NULL), -EINVAL);
	}
	{
		_cleanup_package_ struct package p;

		package_init(&p, "hello", "1.0", K1);
		package_add(&p, DIR1 "x.ko", "x");
		package_add(&p, DIR1 "x.ko", "x");
		assert_int_equal(write_into(&p, "/out", &path, NULL, NULL), -EINVAL);
	}
}

static void test_file_of_another_size(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *path = NULL;

	test_system(state);
	package_init(&p, "hello", "1.0", K1);
	package_add(&p, DIR1 "hello.ko", "some bytes");
	p.files[0].size++;
	assert_int_equal(write_into(&p, "/out", &path, NULL, NULL), -EIO);
	p.files[0].size -= 2;
	assert_int_equal(write_into(&p, "/out", &path, NULL, NULL), -EIO);
	/* and nothing is left of the attempts */
	assert_int_equal(kp_list_in(sys.s->root.fd, "/out", &names), 0);
	assert_int_equal(kp_strv_len(names), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RPM_TEST(test_rpm_reads_it),
		RPM_TEST(test_same_input_same_bytes),
		RPM_TEST(test_names),
		RPM_TEST(test_versions),
		RPM_TEST(test_foreign_package_of_that_name),
		RPM_TEST(test_dependency_on_the_kernel),
		RPM_TEST(test_bad_paths),
		RPM_TEST(test_file_of_another_size),
	};

	if (!rpm_load_backend())
		return 0;
	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
