// SPDX-License-Identifier: GPL-2.0-or-later
#include <time.h>

#include "test.h"

#include "lib/backend.h"
#include "lib/key.h"
#include "lib/tree-hash.h"

#define KEY_A "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct fixture {
	struct test_root root;
	struct kp_ctx *ctx;
	struct kp_buf log;
};

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	struct kp_err err = KP_ERR_INIT;

	f->root = test_root_new();
	if (kp_ctx_open(f->root.path, &f->ctx, &err) < 0)
		fail_msg("%s", err.text);
	kp_buf_adds(&f->log, "");
	kp_log_set_sink(test_sink, &f->log);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_log_set_sink(NULL, NULL);
	kp_buf_free(&f->log);
	f->ctx->backend = NULL;
	kp_ctx_close(f->ctx);
	test_root_free(&f->root);
	free(f);
	return 0;
}

/* ---- trees */

/* The hash of /usr/src/m-1, to be freed. */
static char *tree(struct fixture *f)
{
	char hex[KP_HASH_HEX];
	struct kp_err err = KP_ERR_INIT;

	if (kp_key_tree(f->ctx, "/usr/src/m-1", hex, &err) < 0)
		fail_msg("%s", err.text);
	return kp_strdup(hex);
}

/* Where kp_key_tree() remembers, if it does; to be freed. */
static char *cache_file(struct fixture *f)
{
	_cleanup_strv_ char **names = NULL;

	if (kp_list_in(f->root.fd, "/var/lib/kmodpkg/trees", &names) < 0)
		return NULL;
	assert_int_equal(kp_strv_len(names), 1);
	return kp_path_join("/var/lib/kmodpkg/trees", names[0]);
}

static void put_tree(struct fixture *f)
{
	test_put(&f->root, "/usr/src/m-1/dkms.conf", "PACKAGE_NAME=m\n");
	test_put(&f->root, "/usr/src/m-1/src/m.c", "int m;\n");
	kp_symlink_in(f->root.fd, "m.c", "/usr/src/m-1/src/link.c", NULL);
	kp_mkdir_in(f->root.fd, "/usr/src/m-1/empty", 0755, NULL);
}

static void same_content_same_hash(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *b = NULL;

	put_tree(f);
	a = tree(f);
	/* Other times and inodes. */
	kp_rm_rf_in(f->root.fd, "/usr/src", NULL);
	put_tree(f);
	b = tree(f);
	assert_string_equal(a, b);
	/* git is no source. */
	test_put(&f->root, "/usr/src/m-1/.git/index", "x");
	free(kp_steal(&b));
	b = tree(f);
	assert_string_equal(a, b);
}

static void every_change_changes_the_hash(void **state)
{
	struct fixture *f = *state;
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *file = kp_path_join(f->root.path, "usr/src/m-1/src/m.c");

	for (int i = 0; i < 9; i++) {
		char *hash;

		switch (i) {
		case 0:
			put_tree(f);
			break;
		case 1:
			test_put(&f->root, "/usr/src/m-1/src/m.c", "int n;\n");
			break;
		case 2:
			assert_int_equal(chmod(file, 0755), 0);
			break;
		case 3:
			kp_symlink_in(f->root.fd, "n.c", "/usr/src/m-1/src/link.c", NULL);
			break;
		case 4:
			kp_rename_in(f->root.fd, "/usr/src/m-1/src/m.c",
				     "/usr/src/m-1/src/n.c");
			break;
		case 5:
			kp_rename_in(f->root.fd, "/usr/src/m-1/src/n.c",
				     "/usr/src/m-1/n.c");
			break;
		case 6:
			kp_rmdir_in(f->root.fd, "/usr/src/m-1/empty");
			break;
		case 7:
			test_put(&f->root, "/usr/src/m-1/empty", "");
			break;
		case 8:
			kp_unlink_in(f->root.fd, "/usr/src/m-1/src/link.c");
			kp_symlink_in(f->root.fd, "n.c", "/usr/src/m-1/src/dkms", NULL);
			break;
		}
		hash = tree(f);
		if (kp_strv_has(seen, hash))
			fail_msg("step %d did not change the hash", i);
		kp_strv_take(&seen, hash);
	}
}

static void fresh_trees_are_not_remembered(void **state)
{
	struct fixture *f = *state;

	put_tree(f);
	free(tree(f));
	assert_null(cache_file(f));
}

/* Status change times cannot be set: wait until the clock has moved on from the tree's.
 */
static void let_it_rest(struct fixture *f)
{
	struct timespec until = { 0 };
	struct kp_tree_hash h;

	assert_int_equal(kp_tree_hash(f->root.fd, "/usr/src/m-1", KP_TREE_STAT, &h, NULL),
			 0);
	until.tv_sec = h.newest_s + 3;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

/* Torn and hostile caches, which would answer KEY_A for the tree whose stat hash is STAT.
 */
static void assert_bad_caches_are_ignored(struct fixture *f, const char *file,
					  const char *right)
{
	static const char *const bad[] = {
		"",
		"{\"schema\":1",
		"{\"schema\":1,\"dir\":\"/usr/src/m-1\",\"stat\":\"%s\",\"content\":\"evil\"}",
		"{\"schema\":2,\"dir\":\"/usr/src/m-1\",\"stat\":\"%s\",\"content\":\"" KEY_A
		"\"}",
		"{\"schema\":1,\"dir\":\"/usr/src/n-1\",\"stat\":\"%s\",\"content\":\"" KEY_A
		"\"}",
		"{\"schema\":1,\"dir\":\"/usr/src/m-1\",\"stat\":\"" KEY_A
		"\",\"content\":\"" KEY_A "\"}",
	};
	struct kp_tree_hash h;

	assert_int_equal(kp_tree_hash(f->root.fd, "/usr/src/m-1", KP_TREE_STAT, &h, NULL),
			 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		const char *at = strstr(bad[i], "%s");
		_cleanup_free_ char *text = at ? kp_strf("%.*s%s%s", (int)(at - bad[i]),
							 bad[i], h.stat, at + 2)
					       : kp_strdup(bad[i]);
		_cleanup_free_ char *hash = NULL;

		test_put(&f->root, file, text);
		hash = tree(f);
		assert_string_equal(hash, right);
	}
}

static void rested_trees_are_remembered(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *file = NULL, *text = NULL;
	_cleanup_free_ char *path = kp_path_join(f->root.path, "usr/src/m-1/src/m.c");
	struct stat st;
	char *content;

	put_tree(f);
	let_it_rest(f);
	a = tree(f);
	file = cache_file(f);
	assert_non_null(file);
	assert_bad_caches_are_ignored(f, file, a);
	/* What is remembered is what is given, as long as nothing changed... */
	text = test_get(&f->root, file);
	content = strstr(text, a);
	assert_non_null(content);
	memcpy(content, KEY_A, strlen(KEY_A));
	test_put(&f->root, file, text);
	b = tree(f);
	assert_string_equal(b, KEY_A);
	/* ... and no longer, though size and modification time may be forged. */
	assert_int_equal(stat(path, &st), 0);
	test_put(&f->root, "/usr/src/m-1/src/m.c", "int o;\n");
	assert_int_equal(utimensat(AT_FDCWD, path,
				   (struct timespec[]){ st.st_atim, st.st_mtim }, 0),
			 0);
	c = tree(f);
	assert_string_not_equal(c, KEY_A);
	assert_string_not_equal(c, a);
	kp_key_tree_forget(f->ctx, "/usr/src/m-1");
	assert_false(kp_exists_in(f->root.fd, file));
}

static void unreadable_trees_are_errors(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	_cleanup_buf_ struct kp_buf deep = KP_BUF_INIT;
	char hex[KP_HASH_HEX];

	assert_int_equal(kp_key_tree(f->ctx, "/usr/src/none", hex, &err), -ENOENT);
	assert_string_equal(err.text, "reading /usr/src/none: No such file or directory");
	kp_buf_adds(&deep, "/usr/src/deep");
	for (int i = 0; i < 150; i++)
		kp_buf_adds(&deep, "/d");
	kp_mkdir_in(f->root.fd, deep.s, 0755, NULL);
	assert_int_equal(kp_key_tree(f->ctx, "/usr/src/deep", hex, &err), -ELOOP);
}

static void pipes_and_links_are_not_opened(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *fifo = kp_path_join(f->root.path, "usr/src/m-1/fifo");
	_cleanup_free_ char *a = NULL, *b = NULL;

	put_tree(f);
	a = tree(f);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	kp_symlink_in(f->root.fd, "/usr/src/m-1", "/usr/src/m-1/self", NULL);
	b = tree(f); /* would wait for a writer, or not end */
	assert_string_not_equal(a, b);
}

/* ---- headers */

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
	for (size_t i = 0; i < 3; i++)
		free(list[i].headers_key);
	free(swapped[0].headers_key);
	free(swapped[1].headers_key);
}

static void unowned_trees_are_walked(void **state)
{
	static const char *const changes[] = {
		OWN "/.config",
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

/* ---- pairs */

struct pair {
	struct kp_source source;
	struct kp_conf_module module;
	struct kp_conf conf;
	struct kp_kernel kernel;
};

static struct pair a_pair(void)
{
	return (struct pair){
		.source = { .module = (char *)"m",
			    .version = (char *)"1",
			    .dir = (char *)"/usr/src/m-1" },
		.module = { .built_name = (char *)"m",
			    .built_location = (char *)"",
			    .dest_name = (char *)"m",
			    .dest_location = (char *)"/extra",
			    .strip = true },
		.conf = { .name = (char *)"m", .version = (char *)"1", .n_modules = 1 },
		.kernel = { .release = (char *)"6.1", .headers_key = (char *)KEY_A },
	};
}

static char *pair_key(struct fixture *f, struct pair *p)
{
	char hex[KP_HASH_HEX];
	struct kp_err err = KP_ERR_INIT;

	p->conf.modules = &p->module;
	if (kp_key_pair(f->ctx, &p->source, &p->conf, &p->kernel, hex, &err) < 0)
		fail_msg("%s", err.text);
	return kp_strdup(hex);
}

static void pair_covers_what_a_build_depends_on(void **state)
{
	static char *patches[] = { (char *)"fix.patch", NULL };
	static char *files[] = { (char *)"/usr/src/m-1/dkms.conf",
				 (char *)"/etc/dkms/m.conf", NULL };
	struct fixture *f = *state;
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *again = NULL;
	struct pair p = a_pair();

	put_tree(f);
	for (int i = 0; i < 19; i++) {
		char *key;

		switch (i) {
		case 1:
			test_put(&f->root, "/usr/src/m-1/src/m.c", "int changed;\n");
			break;
		case 2:
			p.kernel.headers_key = (char *)"another";
			break;
		case 3:
			p.kernel.release = (char *)"6.2";
			break;
		case 4:
			free(f->ctx->arch);
			f->ctx->arch = kp_strdup("riscv64");
			break;
		case 5:
			p.conf.make = (char *)"make all";
			break;
		case 6:
			p.conf.patches = patches;
			break;
		case 7:
			p.conf.scripts[KP_SCRIPT_PRE_BUILD] = (char *)"configure";
			break;
		case 8:
			p.conf.scripts[KP_SCRIPT_POST_BUILD] = (char *)"configure";
			break;
		case 9:
			p.module.built_name = (char *)"n";
			break;
		case 10:
			p.module.built_location = (char *)"src/";
			break;
		case 11:
			p.module.dest_name = (char *)"n";
			break;
		case 12:
			p.module.dest_location = (char *)"/updates";
			break;
		case 13:
			p.module.strip = false;
			break;
		case 14:
			p.module.excluded = (char *)"too old";
			break;
		case 15:
			test_put(&f->root, "/etc/dkms/m.conf", "MAKE=x\n");
			p.conf.files = files;
			break;
		case 16:
			test_put(&f->root, "/etc/dkms/m.conf", "MAKE=y\n");
			break;
		case 17:
			test_put(&f->root, "/etc/dkms/m/patches/fix.patch", "--- a\n");
			break;
		case 18:
			test_put(&f->root, "/etc/dkms/m/patches/fix.patch", "--- b\n");
			break;
		}
		key = pair_key(f, &p);
		if (kp_strv_has(seen, key))
			fail_msg("step %d is not in the key", i);
		kp_strv_take(&seen, key);
	}
	again = pair_key(f, &p);
	assert_string_equal(again, seen[18]);
}

static void pair_leaves_out_what_changes_nothing(void **state)
{
	static const char *const makes[] = {
		"make -j8 all",	     "make -j all", "make -j 8 all",
		"make --jobs=2 all", "make  all",   "make --jobs all",
	};
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *other = NULL;
	struct pair p = a_pair();

	put_tree(f);
	p.conf.make = (char *)"make all";
	a = pair_key(f, &p);
	for (size_t i = 0; i < KP_ARRAY_SIZE(makes); i++) {
		_cleanup_free_ char *b = NULL;

		p.conf.make = (char *)makes[i];
		b = pair_key(f, &p);
		if (strcmp(a, b) != 0)
			fail_msg("%s", makes[i]);
	}
	p.conf.scripts[KP_SCRIPT_POST_INSTALL] = (char *)"notify";
	p.conf.autoinstall = true;
	other = pair_key(f, &p);
	assert_string_equal(a, other);
	free(kp_steal(&other));
	p.conf.make = (char *)"make -C job-joint --jobserver-style=fifo all";
	other = pair_key(f, &p);
	assert_string_not_equal(a, other);
}

static void trees_of_all_sources_at_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *alone = NULL, *with = NULL, *hash = NULL;
	struct pair p = a_pair();
	struct kp_source list[] = { p.source, p.source, p.source };
	struct kp_sources sources = { list, 3 };

	put_tree(f);
	list[1].missing = true;
	list[2].dir = (char *)"/usr/src/none";
	kp_key_sources(f->ctx, &sources);
	hash = tree(f);
	assert_string_equal(list[0].tree_key, hash);
	assert_null(list[1].tree_key);
	assert_null(list[2].tree_key);
	alone = pair_key(f, &p);
	p.source.tree_key = list[0].tree_key;
	with = pair_key(f, &p);
	assert_string_equal(alone, with);
	free(list[0].tree_key);
}

static void pair_needs_headers_and_a_tree(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct pair p = a_pair();
	char hex[KP_HASH_HEX];

	assert_int_equal(kp_key_pair(f->ctx, &p.source, &p.conf, &p.kernel, hex, &err),
			 -ENOENT);
	p.kernel.headers_key = NULL;
	assert_int_equal(kp_key_pair(f->ctx, &p.source, &p.conf, &p.kernel, hex, &err),
			 -ENODATA);
}

static void keys_of_dependencies(void **state)
{
	static const char *const deps[] = { "b", "c" }, *const merged[] = { "bc", "" };
	char none[KP_HASH_HEX], one[KP_HASH_HEX], two[KP_HASH_HEX], other[KP_HASH_HEX];

	(void)state;
	kp_key_with_deps(KEY_A, NULL, 0, none);
	assert_string_equal(none, KEY_A);
	kp_key_with_deps(KEY_A, deps, 1, one);
	kp_key_with_deps(KEY_A, deps, 2, two);
	kp_key_with_deps(KEY_A, merged, 2, other);
	assert_string_not_equal(one, none);
	assert_string_not_equal(one, two);
	assert_string_not_equal(two, other);
	assert_int_equal(strlen(two), KP_HASH_HEX - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(same_content_same_hash),
		TEST(every_change_changes_the_hash),
		TEST(fresh_trees_are_not_remembered),
		TEST(rested_trees_are_remembered),
		TEST(unreadable_trees_are_errors),
		TEST(pipes_and_links_are_not_opened),
		TEST(owners_of_every_tree_are_the_key),
		TEST(all_kernels_by_one_query_in_any_order),
		TEST(unowned_trees_are_walked),
		TEST(configured_sources_of_a_package_are_walked),
		TEST(makefiles_lead_to_the_source),
		TEST(links_one_level_down),
		TEST(unreadable_headers_leave_the_kernel_out),
		TEST(pair_covers_what_a_build_depends_on),
		TEST(pair_leaves_out_what_changes_nothing),
		TEST(trees_of_all_sources_at_once),
		TEST(pair_needs_headers_and_a_tree),
		TEST(keys_of_dependencies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
