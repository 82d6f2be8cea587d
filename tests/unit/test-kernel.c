// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Installed kernels and what their headers say, in trees made for it. Who owns what is
 * given by a table in place of a package database.
 */
#include <elf.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/backend.h"
#include "lib/kernel.h"
#include "test.h"

struct fixture {
	struct test_root root;
	struct kp_ctx ctx;
	struct kp_backend backend;
	struct kp_kernels k;
	struct kp_buf log;
};

/* "path=package" words; a path is found under /lib and /usr/lib alike, as backends do it.
 */
static char *const *owned;
static int n_queries, owner_rc;

static int owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err)
{
	(void)db;
	n_queries++;
	if (owner_rc < 0)
		return kp_err_set(err, owner_rc, "database is broken");
	for (size_t i = 0; i < n; i++) {
		const char *path = paths[i];

		if (kp_str_starts(path, "/usr"))
			path += 4;
		kp_strv_foreach(o, owned) {
			size_t len = strcspn(*o, "=");
			const char *literal = kp_str_starts(*o, "/usr") ? *o + 4 : *o;
			size_t literal_len = len - (size_t)(literal - *o);

			if (strlen(path) != literal_len ||
			    memcmp(path, literal, literal_len))
				continue;
			ret[i].package = kp_strdup(*o + len + 1);
			ret[i].path = kp_strndup(*o, len);
		}
	}
	return 0;
}

static const struct kp_pkgdb_ops ops = { .name = "table", .owner = owner };

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));

	f->root = test_root_new();
	f->backend.ops = &ops;
	f->ctx = (struct kp_ctx){ .root_fd = f->root.fd,
				  .install_tree = kp_strdup("/lib/modules"),
				  .distro_like = kp_strdup("debian"),
				  .distro = kp_strdup("debian"),
				  .backend = &f->backend };
	owned = NULL;
	n_queries = owner_rc = 0;
	kp_log_set_sink(test_sink, &f->log);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_log_set_sink(NULL, NULL);
	kp_kernels_clear(&f->k);
	kp_buf_free(&f->log);
	free(f->ctx.install_tree);
	free(f->ctx.distro);
	free(f->ctx.distro_like);
	test_root_free(&f->root);
	free(f);
	return 0;
}

static void dir(struct fixture *f, const char *path)
{
	assert_int_equal(kp_mkdir_in(f->root.fd, path, 0755, NULL), 0);
}

static void slink(struct fixture *f, const char *target, const char *path)
{
	assert_int_equal(kp_symlink_in(f->root.fd, target, path, NULL), 0);
}

static void load(struct fixture *f, char *const *extra)
{
	struct kp_err err = KP_ERR_INIT;

	kp_kernels_clear(&f->k);
	if (kp_kernels_load(&f->ctx, extra, &f->k, &err) < 0)
		fail_msg("%s", err.text);
}

static const struct kp_kernel *find(struct fixture *f, const char *release)
{
	const struct kp_kernel *k = kp_kernels_find(&f->k, release);

	if (!k)
		fail_msg("no kernel %s", release);
	return k;
}

static void presence(void **state)
{
	struct fixture *f = *state;

	dir(f, "/lib/modules/6.1.0-9/kernel");
	dir(f, "/lib/modules/6.1.0-10/updates/dkms");
	test_put(&f->root, "/lib/modules/6.1.0-10/modules.dep", "");
	test_put(&f->root, "/lib/modules/6.1.0-10/modules.order", "");
	test_put(&f->root, "/lib/modules/6.9.1/vmlinuz", "");
	dir(f, "/lib/modules/6.10.1");
	test_put(&f->root, "/boot/vmlinuz-6.10.1", "");
	test_put(&f->root, "/lib/modules/6.11.1", "a file");
	dir(f, "/lib/modules/extramodules-6.12");
	dir(f, "/lib/modules/6.12 evil/kernel");
	load(f, NULL);
	assert_int_equal(f->k.n, 4);
	assert_string_equal(f->k.list[0].release, "6.1.0-9");
	assert_string_equal(f->k.list[1].release, "6.1.0-10");
	assert_string_equal(f->k.list[2].release, "6.9.1");
	assert_string_equal(f->k.list[3].release, "6.10.1");
	assert_true(f->k.list[0].present);
	assert_false(f->k.list[1].present);
	assert_true(f->k.list[2].present);
	assert_true(f->k.list[3].present);
	assert_false(f->k.list[0].in_database);
	assert_null(f->k.list[0].headers);
	assert_string_equal(f->k.list[0].moddir, "/lib/modules/6.1.0-9");
	assert_non_null(strstr(f->log.s, "'/lib/modules/6.12 evil'"));
	assert_int_equal(n_queries, 1);
	assert_true(kp_kernel_is_present(&f->ctx, "6.1.0-9"));
	assert_false(kp_kernel_is_present(&f->ctx, "6.1.0-10"));
	assert_true(kp_kernel_is_present(&f->ctx, "6.10.1"));
	assert_false(kp_kernel_is_present(&f->ctx, "6.99"));
}

/* Packages of a kernel that is gone are erased: a disk that gives errors is no proof. */
static void unreadable_is_not_gone(void **state)
{
	static const int codes[] = { EIO, EACCES };
	struct fixture *f = *state;

	for (size_t i = 0; i < KP_ARRAY_SIZE(codes); i++) {
		int status;
		pid_t pid;

		assert_false(kp_kernel_is_present(&f->ctx, "6.1.0-1"));
		pid = fork();
		if (!pid)
			_exit(test_forbid_syscall(SYS_openat2, codes[i]) < 0 ||
			      !kp_kernel_is_present(&f->ctx, "6.1.0-1"));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static void nothing_there(void **state)
{
	struct fixture *f = *state;

	load(f, NULL);
	assert_int_equal(f->k.n, 0);
	f->ctx.backend = NULL;
	dir(f, "/lib/modules/6.1.0-9/kernel");
	load(f, NULL);
	assert_true(find(f, "6.1.0-9")->present);
}

static void headers(void **state)
{
	struct fixture *f = *state;

	test_put(&f->root, "/usr/src/linux-headers-6.1/Makefile", "");
	dir(f, "/usr/src/linux-headers-6.1/include");
	dir(f, "/lib/modules/6.1/kernel");
	slink(f, "/usr/src/linux-headers-6.1", "/lib/modules/6.1/build");
	dir(f, "/lib/modules/6.2");
	slink(f, "/usr/src/linux-headers-6.2", "/lib/modules/6.2/build");
	test_put(&f->root, "/usr/src/linux-headers-6.3/Makefile", "");
	dir(f, "/lib/modules/6.3");
	slink(f, "../../../usr/src/linux-headers-6.3", "/lib/modules/6.3/build");
	test_put(&f->root, "/lib/modules/6.4/build/Makefile", "");
	dir(f, "/lib/modules/6.4/build/include");
	load(f, NULL);
	assert_string_equal(find(f, "6.1")->headers, "/usr/src/linux-headers-6.1");
	assert_null(find(f, "6.2")->headers);
	assert_null(find(f, "6.3")->headers); /* no include/ */
	assert_string_equal(find(f, "6.4")->headers, "/lib/modules/6.4/build");
	assert_false(find(f, "6.4")->present);
}

static void prefixes(void **state)
{
	struct fixture *f = *state;
	char *words[] = { (char *)"/lib/modules/6.1/kernel=linux-image-6.1",
			  (char *)"/lib/modules/6.1/build=linux-headers-6.1",
			  (char *)"/usr/lib/modules/6.2/kernel=linux-modules-6.2",
			  (char *)"/lib/modules/6.2/build=odd",
			  (char *)"/usr/lib/modules/6.3/vmlinuz=linux",
			  (char *)"/lib/modules/6.4/build=linux-headers-6.4",
			  (char *)"/boot/vmlinuz-6.5=linux-image-6.5",
			  NULL };
	char *extra[] = { (char *)"6.5", (char *)"6.1", (char *)"6.7", (char *)"../x",
			  NULL };

	dir(f, "/usr/lib/modules/6.1/kernel");
	dir(f, "/usr/lib/modules/6.2/kernel");
	dir(f, "/usr/lib/modules/6.3");
	dir(f, "/usr/lib/modules/6.4");
	dir(f, "/usr/lib/modules/6.6/kernel");
	slink(f, "usr/lib", "/lib");
	owned = words;
	load(f, extra);
	assert_int_equal(f->k.n, 7);
	assert_string_equal(find(f, "6.1")->moddir, "/lib/modules/6.1");
	assert_true(find(f, "6.1")->in_database);
	assert_string_equal(find(f, "6.2")->moddir, "/usr/lib/modules/6.2");
	assert_string_equal(find(f, "6.3")->moddir, "/usr/lib/modules/6.3");
	assert_true(find(f, "6.3")->in_database);
	assert_false(find(f, "6.3")->present); /* in the database, not on disk */
	assert_string_equal(find(f, "6.4")->moddir, "/lib/modules/6.4");
	assert_false(find(f, "6.4")->in_database); /* headers only */
	assert_true(find(f, "6.5")->in_database);
	assert_false(find(f, "6.5")->present);
	assert_string_equal(find(f, "6.5")->moddir, "/usr/lib/modules/6.5");
	assert_string_equal(find(f, "6.6")->moddir, "/usr/lib/modules/6.6");
	assert_false(find(f, "6.6")->in_database);
	assert_false(find(f, "6.7")->in_database);
	assert_non_null(strstr(f->log.s, "'../x'"));
	assert_int_equal(n_queries, 1);
}

static void two_trees(void **state)
{
	struct fixture *f = *state;

	dir(f, "/lib/modules/6.1/kernel");
	dir(f, "/usr/lib/modules/6.1/extra");
	dir(f, "/lib/modules/6.2/updates");
	dir(f, "/usr/lib/modules/6.2/kernel");
	dir(f, "/usr/lib/modules/6.3/kernel");
	load(f, NULL);
	assert_int_equal(f->k.n, 3);
	assert_string_equal(find(f, "6.1")->moddir, "/lib/modules/6.1");
	assert_string_equal(find(f, "6.2")->moddir, "/usr/lib/modules/6.2");
	assert_true(find(f, "6.2")->present);
	assert_string_equal(find(f, "6.3")->moddir, "/usr/lib/modules/6.3");
	/* A tree of the user's own is the only one. */
	free(f->ctx.install_tree);
	f->ctx.install_tree = kp_strdup("/srv/modules");
	dir(f, "/srv/modules/6.4/kernel");
	load(f, NULL);
	assert_int_equal(f->k.n, 1);
	assert_string_equal(find(f, "6.4")->moddir, "/srv/modules/6.4");
}

static void broken_database(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;

	dir(f, "/lib/modules/6.1/kernel");
	owner_rc = -EIO;
	assert_int_equal(kp_kernels_load(&f->ctx, NULL, &f->k, &err), -EIO);
	assert_string_equal(err.text, "database is broken");
	assert_int_equal(f->k.n, 0);
}

static void dest(void **state)
{
	static const struct {
		const char *like, *dest;
	} cases[] = {
		{ "debian", "updates/dkms" },
		{ "linuxmint ubuntu debian", "updates/dkms" },
		{ "arch", "updates/dkms" },
		{ "fedora", "extra" },
		{ "almalinux rhel centos fedora", "extra" },
		{ "opensuse-tumbleweed opensuse suse", "updates" },
		{ "void", NULL },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		free(f->ctx.distro_like);
		f->ctx.distro_like = kp_strdup(cases[i].like);
		if (!kp_str_eq(kp_kernel_dest(&f->ctx), cases[i].dest))
			fail_msg("%s", cases[i].like);
	}
}

/* ---- the build's view ---- */

static struct kp_kernel with_headers(struct fixture *f)
{
	dir(f, "/h/include/config");
	return (struct kp_kernel){ .release = (char *)"6.1",
				   .moddir = (char *)"/lib/modules/6.1",
				   .headers = (char *)"/h" };
}

static void load_build(struct fixture *f, struct kp_kernel_build *kb)
{
	struct kp_kernel k = with_headers(f);
	struct kp_err err = KP_ERR_INIT;

	kp_kernel_build_clear(kb);
	if (kp_kernel_build_load(&f->ctx, &k, kb, &err) < 0)
		fail_msg("%s", err.text);
}

static void config_files(void **state)
{
	static const char *const order[] = { "/lib/modules/6.1/config",
					     "/boot/config-6.1",
					     "/h/include/config/auto.conf",
					     "/h/.config" };
	struct fixture *f = *state;
	struct kp_kernel_build kb = { 0 };

	load_build(f, &kb);
	assert_null(kb.config_path);
	assert_null(kb.cc);
	assert_false(kb.module_sig);
	assert_int_equal(kb.elf_machine, 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(order); i++) {
		test_put(&f->root, order[i], "CONFIG_X=y\n");
		load_build(f, &kb);
		assert_string_equal(kb.config_path, order[i]);
	}
	kp_kernel_build_clear(&kb);
}

static void what_a_config_says(void **state)
{
	struct fixture *f = *state;
	struct kp_kernel_build kb = { 0 };

	test_put(
		&f->root, "/h/.config",
		"CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-12 (Debian 12.2.0) 12.2.0\"\n"
		"CONFIG_CC_IS_GCC=y\nCONFIG_X86_64=y\nCONFIG_64BIT=y\n"
		"CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH=\"sha512\"\n"
		"CONFIG_DEBUG_INFO_BTF_MODULES=y\n");
	load_build(f, &kb);
	assert_null(kb.cc); /* not installed */
	assert_null(kb.ld);
	assert_false(kb.clang);
	assert_true(kb.module_sig);
	assert_string_equal(kb.sig_hash, "sha512");
	assert_int_equal(kb.elf_machine, EM_X86_64);
	assert_true(kb.elf_64);
	assert_false(kb.btf); /* no vmlinux */

	test_put(&f->root, "/usr/bin/x86_64-linux-gnu-gcc-12", "");
	load_build(f, &kb);
	assert_null(kb.cc); /* not a program */
	assert_int_equal(fchmodat(f->root.fd, "usr/bin/x86_64-linux-gnu-gcc-12", 0755, 0),
			 0);
	test_put(&f->root, "/h/vmlinux", "");
	load_build(f, &kb);
	assert_string_equal(kb.cc, "x86_64-linux-gnu-gcc-12");
	assert_true(kb.btf);

	test_put(&f->root, "/h/.config",
		 "CONFIG_CC_VERSION_TEXT=\"Debian clang version 14.0.6\"\n"
		 "CONFIG_CC_IS_CLANG=y\nCONFIG_LD_IS_LLD=y\nCONFIG_ARM=y\n");
	load_build(f, &kb);
	assert_string_equal(kb.cc, "clang");
	assert_string_equal(kb.ld, "ld.lld");
	assert_true(kb.clang);
	assert_int_equal(kb.elf_machine, EM_ARM);
	assert_false(kb.elf_64);

	/* A word that is a path is never taken for a program of the system. */
	test_put(&f->root, "/h/.config",
		 "CONFIG_CC_VERSION_TEXT=\"../bin/x86_64-linux-gnu-gcc-12 1\"\n");
	load_build(f, &kb);
	assert_null(kb.cc);
	kp_kernel_build_clear(&kb);
}

static void compression_by_config(void **state)
{
	static const struct {
		const char *config;
		enum kp_compression c;
	} cases[] = {
		{ "", KP_COMPRESS_NONE },
		{ "CONFIG_MODULE_COMPRESS_NONE=y\n", KP_COMPRESS_NONE },
		/* 5.13 to 6.11 */
		{ "CONFIG_MODULE_COMPRESS_XZ=y\n", KP_COMPRESS_XZ },
		{ "CONFIG_MODULE_COMPRESS_ZSTD=y\n", KP_COMPRESS_ZST },
		/* before 5.13 */
		{ "CONFIG_MODULE_COMPRESS=y\nCONFIG_MODULE_COMPRESS_GZIP=y\n",
		  KP_COMPRESS_GZ },
		/* since 6.12 */
		{ "CONFIG_MODULE_COMPRESS=y\nCONFIG_MODULE_COMPRESS_XZ=y\n"
		  "CONFIG_MODULE_COMPRESS_ALL=y\n",
		  KP_COMPRESS_XZ },
		{ "CONFIG_MODULE_COMPRESS=y\nCONFIG_MODULE_COMPRESS_XZ=y\n"
		  "# CONFIG_MODULE_COMPRESS_ALL is not set\n",
		  KP_COMPRESS_NONE },
	};
	struct fixture *f = *state;
	struct kp_kernel k = with_headers(f);
	struct kp_kernel_build kb = { 0 };
	struct kp_err err = KP_ERR_INIT;

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		test_put(&f->root, "/h/.config", cases[i].config);
		load_build(f, &kb);
		if (kb.compression != cases[i].c)
			fail_msg("%s", cases[i].config);
	}
	kp_kernel_build_clear(&kb);
	test_put(&f->root, "/h/.config",
		 "CONFIG_MODULE_COMPRESS=y\nCONFIG_MODULE_COMPRESS_LZ4=y\n");
	assert_int_equal(kp_kernel_build_load(&f->ctx, &k, &kb, &err), -ENODATA);
	assert_non_null(strstr(err.text, "/h/.config: "));
}

static void compression_by_modules(void **state)
{
	struct fixture *f = *state;
	struct kp_kernel k = with_headers(f);
	struct kp_kernel_build kb = { 0 };
	struct kp_err err = KP_ERR_INIT;

	/* What the kernel package really did counts, not the configuration. */
	test_put(&f->root, "/h/.config", "CONFIG_MODULE_COMPRESS_ZSTD=y\n");
	test_put(&f->root, "/lib/modules/6.1/kernel/drivers/net/x.ko.xz", "");
	dir(f, "/lib/modules/6.1/kernel/arch/empty");
	slink(f, "..", "/lib/modules/6.1/kernel/arch/loop");
	/* Ours do not count. */
	test_put(&f->root, "/lib/modules/6.1/extra/ours.ko.gz", "");
	load_build(f, &kb);
	assert_int_equal(kb.compression, KP_COMPRESS_XZ);
	test_put(&f->root, "/lib/modules/6.1/kernel/arch/a.ko", "");
	load_build(f, &kb);
	assert_int_equal(kb.compression, KP_COMPRESS_NONE);
	kp_kernel_build_clear(&kb);
	test_put(&f->root, "/lib/modules/6.1/kernel/a/a.ko.lz4", "");
	assert_int_equal(kp_kernel_build_load(&f->ctx, &k, &kb, &err), -ENODATA);
	assert_non_null(strstr(err.text, "/lib/modules/6.1/kernel/a/a.ko.lz4: "));
}

static void unreadable_config(void **state)
{
	struct fixture *f = *state;
	struct kp_kernel k = with_headers(f);
	struct kp_kernel_build kb = { 0 };
	struct kp_err err = KP_ERR_INIT;

	dir(f, "/h/.config");
	assert_true(kp_kernel_build_load(&f->ctx, &k, &kb, &err) < 0);
	assert_non_null(strstr(err.text, "/h/.config"));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(presence),
		TEST(unreadable_is_not_gone),
		TEST(nothing_there),
		TEST(headers),
		TEST(prefixes),
		TEST(two_trees),
		TEST(broken_database),
		TEST(dest),
		TEST(config_files),
		TEST(what_a_config_says),
		TEST(compression_by_config),
		TEST(compression_by_modules),
		TEST(unreadable_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
