// SPDX-License-Identifier: GPL-2.0-or-later
/* strip and compression: the real tools, in the sandbox. */
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "ko.h"

/* Output of ARGV, to be freed. */
static char *output(const char *const *argv, size_t *ret_len)
{
	struct kp_proc proc = { .argv = argv };
	struct kp_err err = KP_ERR_INIT;
	char *out = NULL;

	if (kp_proc_capture(&proc, 1 << 20, &out, ret_len, &err) < 0)
		fail_msg("%s", err.text);
	return out;
}

static int n_files(struct art *a)
{
	_cleanup_strv_ char **names = NULL;

	assert_int_equal(kp_list_in(a->root.fd, "/", &names), 0);
	return (int)kp_strv_len(names);
}

static void compress(struct art *a, enum kp_compression how, char **ret_path)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_artifact_compress(&a->ctx, &a->sb, a->ko, how, 2, ret_path, &err) < 0)
		fail_msg("%s", err.text);
}

/* ARGV is what kbuild runs on a file (scripts/Makefile.modinst), with its output to
 * stdout. */
static void round_trip(struct art *a, enum kp_compression how, const char *const *argv,
		       const char *const *back)
{
	size_t len, want_len, got_len, plain_len;
	_cleanup_free_ char *bytes = test_bytes(a->ko, &len);
	_cleanup_free_ char *want = output(argv, &want_len), *path = NULL;
	_cleanup_free_ char *got = NULL, *plain = NULL, *expect = NULL;
	struct stat st;
	int before = n_files(a);

	/* The caller's environment must not change what comes out. */
	setenv("XZ_OPT", "-0", 1);
	setenv("XZ_DEFAULTS", "-0", 1);
	setenv("ZSTD_CLEVEL", "1", 1);
	setenv("GZIP", "-1", 1);
	compress(a, how, &path);
	expect = kp_strf("%s%s", a->ko, kp_compression_suffix(how));
	assert_string_equal(path, expect);
	assert_int_equal(access(a->ko, F_OK), -1);
	assert_int_equal(n_files(a), before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_gid, getegid());
	got = test_bytes(path, &got_len);
	assert_int_equal(got_len, want_len);
	assert_memory_equal(got, want, want_len);
	plain = output(back, &plain_len);
	assert_int_equal(plain_len, len);
	assert_memory_equal(plain, bytes, len);
}

static void xz(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *to = kp_strf("%s.xz", a->ko);
	const char *argv[] = { "/usr/bin/xz",	    "-c",  "--check=crc32",
			       "--lzma2=dict=1MiB", a->ko, NULL };
	const char *back[] = { "/usr/bin/xz", "-dc", to, NULL };

	round_trip(a, KP_COMPRESS_XZ, argv, back);
}

static void zstd(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *to = kp_strf("%s.zst", a->ko);
	const char *argv[] = { "/usr/bin/zstd", "-q", "-c", a->ko, NULL };
	const char *back[] = { "/usr/bin/zstd", "-q", "-dc", to, NULL };

	round_trip(a, KP_COMPRESS_ZST, argv, back);
}

static void gzip(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *to = kp_strf("%s.gz", a->ko);
	const char *argv[] = { "/usr/bin/gzip", "-n", "-c", a->ko, NULL };
	const char *back[] = { "/usr/bin/gzip", "-dc", to, NULL };

	round_trip(a, KP_COMPRESS_GZ, argv, back);
}

static void none(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *path = NULL;

	compress(a, KP_COMPRESS_NONE, &path);
	assert_string_equal(path, a->ko);
	assert_int_equal(access(path, R_OK), 0);
}

static void missing_tool(void **state)
{
	struct art *a = *state;
	struct kp_err err = KP_ERR_INIT;
	char *path = NULL;

	a->ctx.root_fd = a->root.fd;
	assert_int_equal(kp_artifact_compress(&a->ctx, &a->sb, "/hello.ko",
					      KP_COMPRESS_ZST, 2, &path, &err),
			 -ENOPKG);
	assert_non_null(strstr(err.text, "install the package zstd"));
	assert_int_equal(kp_artifact_strip(&a->ctx, &a->sb, "/hello.ko", &a->kb, 2, &err),
			 -ENOPKG);
	assert_non_null(strstr(err.text, "install the package binutils"));
	a->ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool has_debug(struct art *a)
{
	size_t len;
	_cleanup_free_ char *bytes = test_bytes(a->ko, &len);

	return memmem(bytes, len, ".debug_info", 11) != NULL;
}

static void strip_with(struct art *a, bool clang)
{
	size_t len1, len2;
	_cleanup_free_ char *first = NULL, *second = NULL;
	struct kp_err err = KP_ERR_INIT;
	int before = n_files(a);
	const struct kp_artifact_look look = {
		.ko = a->ko, .name = "hello", .kernel = &a->kernel, .kb = &a->kb
	};
	struct kp_artifact_facts facts = { 0 };
	struct stat st;

	a->kb.clang = clang;
	assert_true(has_debug(a));
	if (kp_artifact_strip(&a->ctx, &a->sb, a->ko, &a->kb, 2, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(has_debug(a));
	assert_int_equal(stat(a->ko, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(n_files(a), before);
	/* Still a module. */
	assert_int_equal(kp_artifact_check(&a->ctx, &a->sb, &look, &facts, NULL), 0);
	assert_null(facts.note);
	first = test_bytes(a->ko, &len1);
	assert_int_equal(kp_artifact_strip(&a->ctx, &a->sb, a->ko, &a->kb, 2, NULL), 0);
	second = test_bytes(a->ko, &len2);
	assert_int_equal(len1, len2);
	assert_memory_equal(first, second, len1);
}

static void strip_gnu(void **state)
{
	strip_with(*state, false);
}

static void strip_llvm(void **state)
{
	struct art *a = *state;

	if (access("/usr/bin/llvm-strip", X_OK) < 0)
		skip();
	strip_with(a, true);
}

static void strip_fails(void **state)
{
	struct art *a = *state;
	_cleanup_close_ int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct kp_err err = KP_ERR_INIT;
	int before = n_files(a);

	test_put(&a->root, "/hello.ko", "no module");
	assert_int_equal(kp_artifact_strip(&a->ctx, &a->sb, a->ko, &a->kb, log, &err),
			 -ECHILD);
	text = test_get(&a->root, "/hello.ko");
	assert_string_equal(text, "no module");
	assert_int_equal(n_files(a), before);
}

/* In the place of the tool, in the way that it is called. */
static int run_in_place(struct art *a, const char *tool)
{
	_cleanup_free_ char *script = art_path(a, "script"), *path = NULL;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(script, tool, NULL, MS_BIND, NULL) < 0)
		return 77;
	if (kp_str_ends(tool, "/strip"))
		return kp_artifact_strip(&a->ctx, &a->sb, a->ko, &a->kb, 2, NULL) != 0;
	return kp_artifact_compress(&a->ctx, &a->sb, a->ko, KP_COMPRESS_XZ, 2, &path,
				    NULL) != 0 ||
	       rename(path, a->ko) < 0;
}

/* They read what an untrusted build wrote. */
static void as_nobody_of_importance(void **state)
{
	static const char *const tools[] = { "/usr/bin/strip", "/usr/bin/xz" };
	struct art *a = *state;
	_cleanup_free_ char *expect = kp_strf("%u\nCapEff:\t0000000000000000\n"
					      "NoNewPrivs:\t1\n",
					      kp_sandbox_uid(a->sb.slot));
	_cleanup_free_ char *script = art_path(a, "script");
	int status;

	if (geteuid() || !kp_sandbox_has_own_user())
		skip();
	test_put(&a->root, "/script",
		 "#!/bin/sh\nid -u\ngrep -E '^(CapEff|NoNewPrivs):' /proc/self/status\n");
	assert_int_equal(chmod(script, 0755), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(tools); i++) {
		_cleanup_free_ char *made = NULL;
		pid_t pid = fork();

		if (!pid)
			_exit(run_in_place(a, tools[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(status, 0);
		made = test_get(&a->root, "/hello.ko");
		assert_string_equal(made, expect);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, art_setup, art_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(xz),	  TEST(zstd),	      TEST(gzip),
		TEST(none),	  TEST(missing_tool), TEST(strip_gnu),
		TEST(strip_llvm), TEST(strip_fails),  TEST(as_nobody_of_importance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
