// SPDX-License-Identifier: GPL-2.0-or-later
/* The keys of kernels: who owns what a build reads, or how it looks. */
#include "key-fixture.h"

struct owned {
	const char *path, *package, *version; /* of all below path */
};

static const struct owned *owned;
static size_t n_owned, owner_calls;

static int owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err)
{
	(void)db;
	(void)err;
	owner_calls++;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		for (size_t j = 0; j < n_owned; j++)
			if (kp_str_starts(paths[i], owned[j].path))
				ret[i] = (struct kp_owner){ kp_strdup(owned[j].package),
							    kp_strdup(owned[j].version),
							    kp_strdup(paths[i]) };
	}
	return 0;
}

static const struct kp_pkgdb_ops ops = { .owner = owner };
static struct kp_backend backend = { .ops = &ops };

#define KBUILD "/usr/lib/linux-kbuild-6.1"

/* Headers as Debian has them, for kernel 6.1-N-amd64. */
static void put_debian(struct fixture *f, int n)
{
	_cleanup_free_ char *own = kp_strf("/usr/src/linux-headers-6.1-%d-amd64", n);
	_cleanup_free_ char *common = kp_strf("/usr/src/linux-headers-6.1-%d-common", n);
	_cleanup_free_ char *moddir = kp_strf("/usr/lib/modules/6.1-%d-amd64", n);
	_cleanup_free_ char *build = kp_path_join(moddir, "build");
	_cleanup_free_ char *include = kp_strf("include %s/Makefile\n", common);
	const struct {
		const char *dir, *file, *text;
	} files[] = {
		{ own, "Makefile", include },
		{ own, ".config", "CONFIG_MODULES=y\n" },
		{ own, "include/generated/utsrelease.h", "" },
		{ common, "Makefile",
		  "VERSION = 6\ninclude $(srctree)/scripts/Kbuild.include\n" },
		{ common, "include/linux/module.h", "" },
		{ KBUILD, "scripts/mod/modpost", "" },
		{ KBUILD, "tools/objtool/objtool", "" },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = kp_path_join(files[i].dir, files[i].file);

		test_put(&f->root, path, files[i].text);
	}
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *scripts = kp_path_join(i ? own : common, "scripts");
		_cleanup_free_ char *tools = kp_path_join(i ? own : common, "tools");

		kp_symlink_in(f->root.fd, "../../lib/linux-kbuild-6.1/scripts", scripts,
			      NULL);
		kp_symlink_in(f->root.fd, KBUILD "/tools", tools, NULL);
	}
	assert_int_equal(kp_mkdir_in(f->root.fd, moddir, 0755, NULL), 0);
	kp_symlink_in(f->root.fd, own, build, NULL);
}

/* The key of the kernel whose headers are there; NULL if it gets none; to be freed. */
static char *headers_key(struct fixture *f, const char *headers)
{
	struct kp_kernel k = { .release = (char *)"K", .headers = (char *)headers };
	struct kp_kernels kernels = { &k, 1 };
	struct kp_err err = KP_ERR_INIT;

	if (kp_key_kernels(f->ctx, &kernels, &err) < 0)
		fail_msg("%s", err.text);
	kp_strv_free(k.trees);
	return k.headers_key;
}

#define OWN "/usr/src/linux-headers-6.1-1-amd64"

static void owners_of_every_tree_are_the_key(void **state)
{
	struct owned packages[] = {
		{ "/usr/src/linux-headers-6.1-1-amd64", "linux-headers-6.1-1-amd64",
		  "1" },
		{ "/usr/src/linux-headers-6.1-1-common", "linux-headers-6.1-1-common",
		  "1" },
		{ KBUILD, "linux-kbuild-6.1", "1" },
	};
	struct fixture *f = *state;
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *again = NULL, *touched = NULL;

	put_debian(f, 1);
	f->ctx->backend = &backend;
	owned = packages;
	n_owned = KP_ARRAY_SIZE(packages);
	kp_strv_take(&seen, headers_key(f, OWN));
	for (size_t i = 0; i < n_owned; i++) {
		char *key;

		packages[i].version = "2";
		key = headers_key(f, OWN);
		if (kp_strv_has(seen, key))
			fail_msg("%s is not in the key", packages[i].package);
		kp_strv_take(&seen, key);
		packages[i].version = "1";
	}
	again = headers_key(f, OWN);
	assert_string_equal(again, seen[0]);
	/* Files of packages are not looked at. */
	test_put(&f->root, OWN "/include/linux/new.h", "x");
	touched = headers_key(f, OWN);
	assert_string_equal(touched, seen[0]);
}

static void all_kernels_by_one_query_in_any_order(void **state)
{
	static const struct owned packages[] = {
		{ "/usr/src/linux-headers-6.1-1", "h1", "1" },
		{ "/usr/src/linux-headers-6.1-2", "h2", "1" },
		{ KBUILD, "linux-kbuild-6.1", "1" },
	};
	struct fixture *f = *state;
	struct kp_kernel list[3] = {
		{ .release = (char *)"a", .headers = (char *)OWN },
		{ .release = (char *)"b" },
		{ .release = (char *)"c",
		  .headers = (char *)"/usr/src/linux-headers-6.1-2-amd64" },
	};
	struct kp_kernel swapped[2] = { list[2], list[0] };
	struct kp_kernels all = { list, 3 }, two = { swapped, 2 };

	put_debian(f, 1);
	put_debian(f, 2);
	f->ctx->backend = &backend;
	owned = packages;
	n_owned = KP_ARRAY_SIZE(packages);
	owner_calls = 0;
	assert_int_equal(kp_key_kernels(f->ctx, &all, NULL), 0);
	assert_int_equal(owner_calls, 1);
	assert_int_equal(kp_key_kernels(f->ctx, &two, NULL), 0);
	assert_null(list[1].headers_key);
	assert_string_equal(list[0].headers_key, swapped[1].headers_key);
	assert_string_equal(list[2].headers_key, swapped[0].headers_key);
	assert_string_not_equal(list[0].headers_key, list[2].headers_key);
	for (size_t i = 0; i < 3; i++) {
		free(list[i].headers_key);
		kp_strv_free(list[i].trees);
	}
	for (size_t i = 0; i < 2; i++) {
		free(swapped[i].headers_key);
		kp_strv_free(swapped[i].trees);
	}
}

static void unowned_trees_are_walked(void **state)
{
	static const char *const changes[] = {
		OWN "/.config",
		OWN "/include/config/auto.conf",
		OWN "/include/config/kernel.release",
		"/usr/src/linux-headers-6.1-1-common/include/linux/module.h",
		KBUILD "/scripts/mod/modpost",
		KBUILD "/tools/objtool/objtool",
	};
	struct fixture *f = *state;
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *again = NULL;

	put_debian(f, 1);
	kp_strv_take(&seen, headers_key(f, OWN));
	again = headers_key(f, OWN);
	assert_string_equal(again, seen[0]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(changes); i++) {
		char *key;

		test_put(&f->root, changes[i], "changed");
		key = headers_key(f, OWN);
		if (kp_strv_has(seen, key))
			fail_msg("%s is not in the key", changes[i]);
		kp_strv_take(&seen, key);
	}
	/* kbuild's own, of which there are thousands. */
	test_put(&f->root, OWN "/include/config/MODULES", "");
	test_put(&f->root, OWN "/include/config/modules/sig.h", "");
	free(again);
	again = headers_key(f, OWN);
	assert_string_equal(again, seen[kp_strv_len(seen) - 1]);
}

/* A package put the sources there, a person configured and built them. */
static void configured_sources_of_a_package_are_walked(void **state)
{
	static const struct owned packages[] = { { OWN "/Makefile", "linux-source",
						   "1" } };
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *b = NULL;

	put_debian(f, 1);
	f->ctx->backend = &backend;
	owned = packages;
	n_owned = KP_ARRAY_SIZE(packages);
	a = headers_key(f, OWN);
	test_put(&f->root, OWN "/.config", "CONFIG_MODULES=y\nCONFIG_MORE=y\n");
	b = headers_key(f, OWN);
	assert_string_not_equal(a, b);
}

/* What of /src is in the key of a build tree /obj whose Makefile is TEXT? */
static bool reaches_src(struct fixture *f, const char *text)
{
	_cleanup_free_ char *a = NULL, *b = NULL;

	test_put(&f->root, "/obj/Makefile", text);
	test_put(&f->root, "/src/Makefile", "VERSION = 6\n");
	test_put(&f->root, "/src/include/linux/module.h", "x");
	a = headers_key(f, "/obj");
	test_put(&f->root, "/src/include/linux/module.h", "longer");
	b = headers_key(f, "/obj");
	return strcmp(a, b) != 0;
}

static void makefiles_lead_to_the_source(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct kp_buf big = KP_BUF_INIT;

	assert_true(reaches_src(f, "include /src/Makefile\n"));
	assert_true(reaches_src(f, "KBUILD_OUTPUT=/obj\n-include /src/Makefile"));
	assert_true(reaches_src(f, "MAKEARGS := -C /src\nMAKEARGS += O=/obj\n"));
	assert_true(reaches_src(f, "export KBUILD_SRC := \"/src/\"\n"));
	assert_false(reaches_src(f, "# made from /src\nSHELL := /bin/sh\n"));
	assert_false(reaches_src(f, "include $(srctree)/src/Makefile /srcx/Makefile\n"));
	/* The kernel's own Makefile has paths of all kinds. */
	for (int i = 0; i < 500; i++)
		kp_buf_addf(&big, "VARIABLE%d = x\n", i);
	kp_buf_adds(&big, "OTHER = /src\n");
	assert_false(reaches_src(f, big.s));
	kp_buf_adds(&big, "include /src/Makefile\n");
	assert_true(reaches_src(f, big.s));
	/* The link of a build with O=. */
	assert_false(reaches_src(f, "\n"));
	kp_symlink_in(f->root.fd, "/src", "/obj/source", NULL);
	assert_true(reaches_src(f, "\n"));
}

/* Ubuntu's tree is made of links, also one level down. */
static void links_one_level_down(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;

	test_put(&f->root, "/usr/src/generic/.config", "");
	test_put(&f->root, "/usr/src/common/Makefile", "");
	test_put(&f->root, "/usr/src/common/include/acpi/a.h", "");
	kp_mkdir_in(f->root.fd, "/usr/src/generic/include", 0755, NULL);
	kp_symlink_in(f->root.fd, "../common/Makefile", "/usr/src/generic/Makefile",
		      NULL);
	kp_symlink_in(f->root.fd, "../../common/include/acpi",
		      "/usr/src/generic/include/acpi", NULL);
	/* Neither dangling links nor one to the root do harm. */
	kp_symlink_in(f->root.fd, "/none", "/usr/src/generic/include/gone", NULL);
	kp_symlink_in(f->root.fd, "/", "/usr/src/generic/include/all", NULL);
	a = headers_key(f, "/usr/src/generic");
	test_put(&f->root, "/usr/src/common/include/acpi/a.h", "x");
	b = headers_key(f, "/usr/src/generic");
	assert_string_not_equal(a, b);
	test_put(&f->root, "/usr/src/common/Makefile", "x");
	c = headers_key(f, "/usr/src/generic");
	assert_string_not_equal(b, c);
}

static void unreadable_headers_leave_the_kernel_out(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct kp_buf deep = KP_BUF_INIT;

	kp_buf_adds(&deep, "/obj");
	for (int i = 0; i < 150; i++)
		kp_buf_adds(&deep, "/d");
	kp_mkdir_in(f->root.fd, deep.s, 0755, NULL);
	assert_null(headers_key(f, "/obj"));
	assert_true(kp_str_starts(f->log.s,
				  "warning: headers of kernel K: reading /obj/d/d/"));
	assert_null(headers_key(f, "/none"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(owners_of_every_tree_are_the_key),
		TEST(all_kernels_by_one_query_in_any_order),
		TEST(unowned_trees_are_walked),
		TEST(configured_sources_of_a_package_are_walked),
		TEST(makefiles_lead_to_the_source),
		TEST(links_one_level_down),
		TEST(unreadable_headers_leave_the_kernel_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
