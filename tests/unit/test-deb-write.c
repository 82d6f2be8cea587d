// SPDX-License-Identifier: GPL-2.0-or-later
/* write(): package files, judged by dpkg-deb and dpkg themselves. */
#include "dpkg-root.h"

#include <kmodpkg/proc.h>

/* What reads them again is not among a backend's functions. */
#include "../../plugins/dpkg/deb822.c"
#include "../../plugins/dpkg/identity.c"
#include "../../plugins/dpkg/status.c"

#define KERNEL "6.1.0-56-amd64"
#define DIR "/lib/modules/" KERNEL "/updates/dkms/"

/* *ret_path: as the tools are to see it. */
static int write_into(struct root *r, const struct package *p, const char *dir,
		      char **ret_path, char **ret_name, struct kp_err *err)
{
	_cleanup_free_ char *path = NULL;
	int rc = package_write(r->db, r->fd, p, dir, &path, ret_name, err);

	if (rc == 0)
		*ret_path = kp_strf("%s%s", r->dir.path, path);
	return rc;
}

static char *run(const char *const *argv)
{
	struct kp_proc proc = { .argv = argv };
	struct kp_err err = KP_ERR_INIT;
	char *out = NULL;
	size_t len;

	if (kp_proc_capture(&proc, 1024 * 1024, &out, &len, &err) < 0)
		fail_msg("%s", err.text);
	return out;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static void test_dpkg_deb_reads_it(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL, *name = NULL, *fields = NULL, *contents = NULL;
	_cleanup_free_ char *long_name = kp_strf(DIR "%0150d.ko", 1), *md5sums = NULL;
	_cleanup_free_ char *tree = NULL, *ko = NULL, *data = NULL;
	struct root *r = *state;
	size_t len;

	package_init(&p, "hello", "1.0", KERNEL);
	p.pkg.id.source_package = kp_strdup("hello-dkms");
	package_add(&p, DIR "hello.ko", "some bytes\n");
	package_add(&p, long_name, "x");
	package_add(&p, DIR "empty.ko", "");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	assert_string_equal(name, "hello-modules-" KERNEL);
	assert_true(kp_str_ends(path, "/out/hello-modules-" KERNEL "_1.0_amd64.deb"));

	fields = RUN("/usr/bin/dpkg-deb", "-f", path);
	assert_string_equal(
		fields,
		"Package: hello-modules-" KERNEL "\nVersion: 1.0\nArchitecture: amd64\n"
		"Maintainer: kmodpkg on this machine <root@localhost>\nInstalled-Size: 7\n"
		"Section: kernel\nPriority: optional\n"
		"Kmodpkg-Module: hello\nKmodpkg-Version: 1.0\nKmodpkg-Kernel: " KERNEL
		"\n"
		"Kmodpkg-Architecture: x86_64\nKmodpkg-Key: aaaa\nKmodpkg-Content: bbbb\n"
		"Kmodpkg-Source-Package: hello-dkms\n"
		"Description: hello kernel modules\n"
		" Built on this machine by kmodpkg from the module source hello 1.0\n"
		" for the kernel " KERNEL ". It comes and goes with them; to do without\n"
		" it, use \"kmodpkg uninstall\".\n");

	contents = RUN("/usr/bin/dpkg-deb", "-c", path);
	assert_non_null(strstr(contents, "drwxr-xr-x root/root         0 2023-11-14"));
	assert_non_null(strstr(contents, " ./lib/modules/" KERNEL "/updates/\n"));
	assert_non_null(strstr(contents, "-rw-r--r-- root/root        11 2023-11-14"));
	assert_non_null(strstr(contents, "00001.ko\n"));

	md5sums = RUN("/usr/bin/dpkg-deb", "--info", path, "md5sums");
	assert_non_null(
		strstr(md5sums, "d41d8cd98f00b204e9800998ecf8427e  lib/modules/"));
	assert_non_null(strstr(md5sums,
			       "7fcc44450ba67380e51b7993d21980d2  lib/modules/" KERNEL
			       "/updates/dkms/hello.ko\n"));

	tree = kp_strf("%s/tree", r->dir.path);
	free(RUN("/usr/bin/dpkg-deb", "-x", path, tree));
	ko = kp_path_join("/tree", DIR "hello.ko");
	assert_int_equal(kp_read_in(r->fd, ko, 0, &data, &len), 0);
	assert_string_equal(data, "some bytes\n");
}

/* What is committed later says what it is; damaged, it says nothing. */
static void test_identity(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL, *name = NULL;
	static const off_t ends[] = { 0, 7, 100, 140, 700, 1300 };
	struct kp_dpkg_identity id = { 0 };
	struct kp_err err = KP_ERR_INIT;
	struct root *r = *state;

	package_init(&p, "hello", "1.0", KERNEL);
	package_add(&p, DIR "hello.ko", "some bytes\n");
	assert_int_equal(package_write(r->db, r->fd, &p, "/out", &path, &name, NULL), 0);
	if (kp_dpkg_identity_load(r->fd, path, &id, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(id.name, "hello-modules-" KERNEL);
	assert_string_equal(id.version, "1.0");
	assert_string_equal(id.key, "aaaa");
	assert_string_equal(id.content, "bbbb");
	kp_dpkg_identity_clear(&id);
	for (size_t i = KP_ARRAY_SIZE(ends); i--;) {
		_cleanup_close_ int fd = kp_open_in(r->fd, path, O_WRONLY, 0);

		assert_int_equal(ftruncate(fd, ends[i]), 0);
		assert_int_equal(kp_dpkg_identity_load(r->fd, path, &id, &err), -EINVAL);
		assert_non_null(strstr(err.text, path));
	}
}

static void test_same_input_same_bytes(void **state)
{
	_cleanup_package_ struct package p, q;
	_cleanup_free_ char *a = NULL, *b = NULL, *name = NULL, *name2 = NULL;

	package_init(&p, "hello", "1.0", KERNEL);
	package_add(&p, DIR "a.ko", "1");
	package_add(&p, DIR "b.ko", "22");
	package_init(&q, "hello", "1.0", KERNEL);
	package_add(&q, DIR "b.ko", "22");
	package_add(&q, DIR "a.ko", "1");
	assert_int_equal(write_into(*state, &p, "/one", &a, &name, NULL), 0);
	assert_int_equal(write_into(*state, &q, "/two", &b, &name2, NULL), 0);
	free(RUN("/usr/bin/cmp", a, b));
}

static char *name_of(struct root *r, const char *module, const char *version,
		     const char *kernel, char **ret_version)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL;
	const char *file;
	char *name;

	package_init(&p, module, version, kernel);
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	/* NAME_VERSION_ARCH.deb, without a further '_' by the rules of all three */
	file = strrchr(path, '/') + 1;
	assert_true(kp_str_starts(file, name));
	file += strlen(name) + 1;
	*ret_version = kp_strndup(file, strcspn(file, "_"));
	return name;
}

static void test_names(void **state)
{
	static const struct {
		const char *module, *kernel, *name;
	} cases[] = {
		{ "hello", "6.1.0-56-amd64", "hello-modules-6.1.0-56-amd64" },
		{ "hello", "6.12.107+deb13-amd64", "hello-modules-6.12.107+deb13-amd64" },
		{ "acpi_call", "6.1", "acpi+x5fcall-modules-6.1" },
		{ "acpi-call", "6.1", "acpi-call-modules-6.1" },
		{ "rtl8812AU", "6.1", "rtl8812+x41+x55-modules-6.1" },
		{ "VirtualBox", "6.1", "0+xx56irtual+x42ox-modules-6.1" },
		{ "0_irtual", "6.1", "0+x5firtual-modules-6.1" },
		{ "a-modules", "b", "a+x2dmodules-modules-b" },
		{ "a", "modules-b", "a-modules-modules-b" },
		{ "a-modules-b", "c", "a+x2dmodules-b-modules-c" },
		{ "a", "b-modules-c", "a-modules-b-modules-c" },
		{ "a+x5fb", "6.1", "a+x2bx5fb-modules-6.1" },
		{ "a_b", "6.1", "a+x5fb-modules-6.1" },
		{ "hello", "6.1-WSL_2~a", "hello-modules-6.1-+x57+x53+x4c+x5f2+x7ea" },
		{ "\xc3\xa9", "6.1", "0+xxc3+xa9-modules-6.1" },
		{ "x", "6", "x-modules-6" },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = NULL, *version = NULL;

		name = name_of(*state, cases[i].module, "1", cases[i].kernel, &version);
		assert_string_equal(name, cases[i].name);
		free(RUN("/usr/bin/dpkg", "--validate-pkgname", name));
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
		{ "2.3.1-rc1~x+git", "2.3.1-rc1~x+git" },
		{ "v1.2", "0~v1.2" },
		{ "0~v1.2", "0+x7ev1.2" },
		{ "0+x7ev1.2", "0+x2bx7ev1.2" },
		{ "1:2", "1+x3a2" },
		{ "1_2", "1+x5f2" },
		{ "1.0-", "1.0+x2d" },
		{ "1.0--", "1.0-+x2d" },
		{ "git-20240101", "0~git-20240101" },
		{ "-", "0~+x2d" },
		{ "~1", "0~~1" },
		{ "R2024A", "0~R2024A" },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = NULL, *version = NULL;

		name = name_of(*state, "hello", cases[i].version, "6.1", &version);
		assert_string_equal(version, cases[i].mapped);
		free(RUN("/usr/bin/dpkg", "--validate-version", version));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(version, cases[j].mapped);
	}
}

static int write_err(struct root *r, struct package *p, struct kp_err *err)
{
	_cleanup_free_ char *path = NULL, *name = NULL;

	*err = (struct kp_err)KP_ERR_INIT;
	return write_into(r, p, "/out", &path, &name, err);
}

static void test_foreign_package_of_that_name(void **state)
{
	_cleanup_package_ struct package p;
	struct kp_err err;

	package_init(&p, "hello", "1.0", KERNEL);
	put(*state, "/var/lib/dpkg/status",
	    DPKG_STANZA "Package: hello-modules-" KERNEL
			"\nStatus: install ok installed\n"
			"Architecture: amd64\nVersion: 7\n");
	assert_int_equal(write_err(*state, &p, &err), -EEXIST);
	assert_non_null(strstr(err.text, "hello-modules-" KERNEL " 7 "));

	put(*state, "/var/lib/dpkg/status",
	    DPKG_STANZA "Package: hello-modules-" KERNEL
			"\nStatus: install ok installed\n"
			"Architecture: amd64\nVersion: 7\nKmodpkg-Module: hello\n"
			"Kmodpkg-Version: 7\nKmodpkg-Kernel: " KERNEL "\n");
	assert_int_equal(write_err(*state, &p, &err), 0);
}

static void test_bad_paths(void **state)
{
	static const char *const bad[] = { "lib/x", "/lib/../x", "/lib//x", "/lib/\nx",
					   "/" };
	struct kp_err err;

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_package_ struct package p;

		package_init(&p, "hello", "1.0", KERNEL);
		package_add(&p, bad[i], "x");
		assert_int_equal(write_err(*state, &p, &err), -EINVAL);
	}
	{
		_cleanup_package_ struct package p;

		package_init(&p, "hello", "1.0", KERNEL);
		package_add(&p, DIR "x.ko", "x");
		package_add(&p, DIR "x.ko", "x");
		assert_int_equal(write_err(*state, &p, &err), -EINVAL);
	}
}

static void test_metadata_cannot_add_fields(void **state)
{
	static const char *const bad[] = { "1\nEssential: yes", " 1", "1 ", "" };
	struct kp_err err;

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_package_ struct package p;

		package_init(&p, "hello", bad[i], KERNEL);
		assert_int_equal(write_err(*state, &p, &err), -EINVAL);
	}
}

static void test_file_of_another_size(void **state)
{
	_cleanup_package_ struct package p;
	_cleanup_strv_ char **names = NULL;
	struct root *r = *state;
	struct kp_err err;

	package_init(&p, "hello", "1.0", KERNEL);
	package_add(&p, DIR "hello.ko", "some bytes");
	p.files[0].size++;
	assert_int_equal(write_err(r, &p, &err), -EIO);
	p.files[0].size -= 2;
	assert_int_equal(write_err(r, &p, &err), -EIO);
	/* and nothing is left of the attempts */
	assert_int_equal(kp_list_in(r->fd, "/out", &names), 0);
	assert_int_equal(kp_strv_len(names), 0);
}

static void test_unknown_architecture(void **state)
{
	_cleanup_package_ struct package p;
	struct kp_err err;

	package_init(&p, "hello", "1.0", KERNEL);
	put(*state, "/var/lib/dpkg/status", "");
	assert_int_equal(write_err(*state, &p, &err), -EIO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, root_setup, root_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dpkg_deb_reads_it),
		TEST(test_identity),
		TEST(test_same_input_same_bytes),
		TEST(test_names),
		TEST(test_versions),
		TEST(test_foreign_package_of_that_name),
		TEST(test_bad_paths),
		TEST(test_metadata_cannot_add_fields),
		TEST(test_file_of_another_size),
		TEST(test_unknown_architecture),
	};

	if (!backend_load("dpkg") || access("/usr/bin/dpkg-deb", X_OK) < 0)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
