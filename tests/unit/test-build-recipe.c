// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Builds by what the recipe does: patches, scripts, make, and each way to fail.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/statvfs.h>

#include <cmocka.h>

#include "base/lock.h"

#include "build-fixture.h"

static void test_patches(void **state)
{
	static const char *const good = "--- a/hello.c\n+++ b/hello.c\n@@ -1 +1,2 @@\n"
					" #define NAME \"hello\"\n+#define PATCHED 1\n";
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	kp_strv_add(&f->confs[0].patches, "one.diff");
	build(f);
	assert_failed(job, KP_EXIT_PATCH_MISSING, false, "'one.diff'");
	write_file(f, "src/hello-1/patches/one.diff", good);
	build(f);
	assert_built(f, job);
	kp_strv_add(&f->confs[0].patches, "two.diff");
	write_file(f, "src/hello-1/patches/two.diff",
		   "--- a/hello.c\n+++ b/hello.c\n@@ -1 +1 @@\n-no such line\n+x\n");
	job->key = "2";
	build(f);
	assert_failed(job, KP_EXIT_PATCH, false, "patch 'two.diff' does not apply");
	free(f->confs[0].patches[1]);
	f->confs[0].patches[1] = kp_strdup("../../x");
	build(f);
	assert_failed(job, KP_EXIT_PATCH_MISSING, false, "'../../x'");
	assert_clean(f);
}

static void test_scripts(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *seen = NULL, *log = NULL;

	write_mode(f, "src/hello-1/sub/pre.sh",
		   "#!/bin/sh\necho $1 $2 $kernelver $module/$module_version >here\n",
		   0755);
	write_mode(f, "src/hello-1/post.sh",
		   "#!/bin/sh\nmv here $dkms_tree/hello/1/$kernelver/$arch/seen\n"
		   "rm hello.ko\n",
		   0755);
	f->confs[0].scripts[KP_SCRIPT_PRE_BUILD] = "./sub/pre.sh \"a  b\" x://y//";
	f->confs[0].scripts[KP_SCRIPT_POST_BUILD] = "post.sh";
	build(f);
	/* Collected before POST_BUILD, which may clean up. */
	assert_built(f, job);
	seen = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/seen");
	assert_string_equal(seen, "a b x://y// 6.6.1-kp hello/1\n");

	write_mode(f, "src/hello-1/post.sh", "#!/bin/sh\nexit 9\n", 0755);
	job->key = "2";
	build(f);
	assert_failed(job, 9, false,
		      "POST_BUILD script 'post.sh' failed with exit code 9");
	write_mode(f, "src/hello-1/sub/pre.sh", "#!/bin/sh\nexit 3\n", 0755);
	build(f);
	assert_failed(job, 3, false, "PRE_BUILD script './sub/pre.sh' failed");
	write_mode(f, "src/hello-1/sub/pre.sh", "#!/bin/sh\nexit 3\n", 0644);
	write_mode(f, "src/hello-1/post.sh", "", 0644);
	build(f);
	assert_built(f, job);
	log = log_of(f, job);
	assert_non_null(
		strstr(log, "PRE_BUILD ./sub/pre.sh is not executable, skipping"));
	assert_clean(f);
}

/* Nothing of a source runs as root: who a step is goes to a file that the last one looks at. */
static void test_unprivileged(void **state)
{
	static const char who[] =
		"#!/bin/sh\n"
		"echo $(id -u) $(sed -n 's/^\\(CapEff\\|NoNewPrivs\\)://p' /proc/self/status) "
		">>$dkms_tree/hello/1/$kernelver/$arch/who\n";
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *line = kp_strf("%u 0000000000000000 1\n", kp_sandbox_uid(1));
	_cleanup_free_ char *expect = kp_strf("%s%s%s", line, line, line), *seen = NULL;

	if (kp_sandbox_uid(1) == geteuid())
		skip();
	write_mode(f, "src/hello-1/who", who, 0755);
	/* What patch wrote is its own. */
	write_file(f, "src/hello-1/patches/one.diff",
		   "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n");
	kp_strv_add(&f->confs[0].patches, "one.diff");
	f->confs[0].scripts[KP_SCRIPT_PRE_BUILD] = "who";
	f->confs[0].scripts[KP_SCRIPT_POST_BUILD] = "who";
	f->confs[0].make = "./who && [ $(stat -c %u new) = $(id -u) ] && "
			   "make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$PWD";
	build(f);
	assert_built(f, job);
	seen = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/who");
	assert_string_equal(seen, expect);
	assert_clean(f);
}

static void test_failures(void **state)
{
	static const struct {
		const char *make;
		int exit_code;
		bool machine;
		const char *words;
	} cases[] = {
		{ "exit 4", KP_EXIT_MAKE, false, "make failed with exit code 4; see " },
		{ "true", KP_EXIT_NO_PRODUCT, false, "'hello.ko' is not there" },
		{ "ln -s /etc/shadow hello.ko", KP_EXIT_NO_PRODUCT, false,
		  "symbolic link" },
		{ "echo x >a; ln a hello.ko", KP_EXIT_NO_PRODUCT, false, "hard links" },
		{ "mkfifo hello.ko", KP_EXIT_NO_PRODUCT, false, "not a regular file" },
		{ "echo x >hello.ko", KP_EXIT_MAKE, false, "hello" },
		{ "make -C $kernel_source_dir M=$PWD KERNELRELEASE=5", KP_EXIT_MAKE,
		  false, "5" },
		{ "kill -9 $$", KP_EXIT_MAKE, true, "killed by signal 9" },
		{ "echo 'cc1: error: No space left on device'; exit 1", KP_EXIT_MAKE,
		  true, "exit code 1" },
		{ "echo \"gcc: fatal error: cannot execute 'cc1'\"; exit 1", KP_EXIT_MAKE,
		  true, "exit code 1" },
	};
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		f->confs[0].make = (char *)cases[i].make;
		f->modules[0].strip = false;
		build(f);
		assert_failed(job, cases[i].exit_code, cases[i].machine, cases[i].words);
		assert_clean(f);
	}
}

/* Its own fault, as long as the limit is that. */
static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	f->ctx.config.limits.disk = 8 << 20;
	f->confs[0].make =
		(char *)"for i in {1..200}; do head -c 1000000 /dev/zero >$i; done; sleep 1000";
	build(f);
	assert_failed(job, KP_EXIT_MAKE, false,
		      "met limit_disk (8 MiB); raise limit_disk in ");
	assert_false(kp_record_limits_raised(job->record, &f->ctx.config));
	f->ctx.config.limits.disk = 9 << 20;
	assert_true(kp_record_limits_raised(job->record, &f->ctx.config));
}

/* Holes are none in a copy: what is taken is counted by its size, before it is copied. */
static void test_holes(void **state)
{
	static const char *const cases[][2] = {
		{ "1", "truncate -s 5M hello.ko" },
		{ "2", "truncate -s 7M Module.symvers" },
		{ "3",
		  "for i in 1 2 3; do mkdir $i; truncate -s 3M $i/Module.symvers; done" },
		{ "4", "truncate -s 3M $dkms_tree/hello/1/$kernelver/$arch/{1,2,3}" },
	};
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	f->modules[0].strip = false;
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *line = kp_strf(
			"make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$PWD && "
			"%s && truncate -s 3M $dkms_tree/hello/1/$kernelver/$arch/0",
			cases[i][1]);

		f->confs[0].make = line;
		job->key = cases[i][0];
		f->ctx.config.limits.disk = 7 << 20;
		build(f);
		assert_failed(job, KP_EXIT_MAKE, false,
			      "met limit_disk (7 MiB); raise limit_disk in ");
		assert_false(kp_record_limits_raised(job->record, &f->ctx.config));
		f->ctx.config.limits.disk = 20 << 20;
		assert_true(kp_record_limits_raised(job->record, &f->ctx.config));
		build(f);
		assert_built(f, job);
		assert_clean(f);
	}
}

/* Nothing is written where there is no room for all of it: that can be made. */
static void test_no_room(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *tree = below(f, "dkms/hello/1");
	_cleanup_free_ char *line = NULL;
	struct statvfs st;

	assert_int_equal(statvfs(tree, &st), 0);
	line = kp_strf("make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$PWD && "
		       "truncate -s %ju $dkms_tree/hello/1/$kernelver/$arch/0",
		       (uintmax_t)st.f_bavail * st.f_frsize);
	f->confs[0].make = line;
	f->ctx.config.limits.keep_free = 256 << 20;
	build(f);
	assert_failed(job, KP_EXIT_MAKE, true, "make room there");
	f->confs[0].make =
		(char *)"make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$PWD && "
			"touch $dkms_tree/hello/1/$kernelver/$arch/{1..1001}";
	job->key = "2";
	build(f);
	assert_failed(job, KP_EXIT_OTHER, false, "it left more than 1000 files in '");
	assert_clean(f);
}

/* Leave a number of slots to others that are not known here: the kernel counts processes by user. */
static void take_slots(struct fixture *f, int fds[64])
{
	unsigned char random;

	assert_int_equal(getrandom(&random, 1, 0), 1);
	for (int i = 0; i < 64; i++) {
		_cleanup_free_ char *path =
			kp_strf("%s/build/slot-%d.lock", f->ctx.run_dir, i + 1);

		fds[i] = -1;
		if (i < random % 64)
			assert_int_equal(kp_lock_take(f->ctx.root_fd, path, "test",
						      KP_LOCK_TRY, &fds[i], NULL),
					 0);
	}
}

/* A program that is refused more says so in words that may also be those of a machine at its end. */
static void test_limit_of_one(void **state)
{
	static const char *const until_refused =
		"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
		"#include <unistd.h>\n"
		"int main(void) { char *p = calloc(1, 1 << 20);\n"
		"while (MORE) ; perror(\"more\"); return 1; }\n";
	static const struct {
		const char *before, *more, *reason;
	} cases[] = {
		{ "", "fork() >= 0", "limit_processes (64)" },
#ifndef __SANITIZE_ADDRESS__ /* then it is not limited */
		{ "", "(p = malloc(1 << 20)) && memset(p, 1, 1 << 20)",
		  "limit_memory (200 MiB)" },
#endif
		{ "", "write(1, p, 1 << 20) > 0", "limit_disk (2 MiB)" },
		{ "trap \"\" XFSZ;", "write(1, p, 1 << 20) > 0", "limit_disk (2 MiB)" },
	};
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	int slots[64];

	take_slots(f, slots);
	f->ctx.config.limits = (struct kp_limits){ 64, 200 << 20, 2 << 20, 0 };
	write_file(f, "src/hello-1/more.c", until_refused);
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		const struct kp_config higher = {
			.timeout_minutes = 5, .limits = { 65, 220 << 20, 3 << 20, 0 }
		};
		_cleanup_free_ char *line = kp_strf(
			"gcc '-DMORE=%s' -o more more.c && %s ./more >out; exit $?",
			cases[i].more, cases[i].before);

		f->confs[0].make = line;
		build(f);
		assert_failed(job, KP_EXIT_MAKE, false, cases[i].reason);
		assert_false(kp_record_limits_raised(job->record, &f->ctx.config));
		assert_true(kp_record_limits_raised(job->record, &higher));
	}
	f->confs[0].make = (char *)"echo Resource temporarily unavailable; exit 1";
	build(f);
	assert_failed(job, KP_EXIT_MAKE, true, "make failed with exit code 1; see");
	f->confs[0].make = (char *)"echo x: Cannot allocate memory; exit 1";
	build(f);
	assert_failed(job, KP_EXIT_MAKE, true, "make failed with exit code 1; see");
	for (size_t i = 0; i < KP_ARRAY_SIZE(slots); i++)
		if (slots[i] >= 0)
			close(slots[i]);
}

/* A symbol that the recipe's other directory exports is no undefined one. */
static void test_symvers(void **state)
{
	static const char *const kernel_symvers =
		"0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n";
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *text =
		kp_strf("#define NAME \"hello\"\n%sint other(void);\n"
			"int f(void);\nint f(void) { return other(); }\n",
			module_source);

	write_file(f, "modules/6.6.1-kp/build/Module.symvers", kernel_symvers);
	write_file(f, "src/hello-1/hello.c", text);
	build(f);
	assert_failed(job, KP_EXIT_MAKE, false, "'other'");
	write_file(f, "src/hello-1/a/b/Module.symvers",
		   "0x00000002\tother\ta/b/other\tEXPORT_SYMBOL\t\n");
	build(f);
	assert_built(f, job);
	assert_clean(f);
}

/* Debug information is neither made nor kept, or both. */
static void test_debug_info(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	static const char *const kept[] = { "the flags are '-g0'", "the flags are ''" };

	f->confs[0].make =
		(char *)"echo \"the flags are '$KCFLAGS'\"; make KCFLAGS= "
			"-C $kernel_source_dir M=$PWD && "
			"gcc -g $KCFLAGS -DRELEASE='\"6.6.1-kp\"' -c -o hello.ko hello.c";
	for (int keep = 0; keep < 2; keep++) {
		_cleanup_free_ char *log = NULL;
		char *argv[] = { (char *)"/usr/bin/readelf", (char *)"-SW", NULL, NULL };
		const struct kp_proc proc = { .argv = (const char *const *)argv };
		_cleanup_free_ char *ko =
			below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");
		_cleanup_free_ char *sections = NULL;

		f->ctx.config.debug_info = keep;
		job->key = keep ? "0123" : "4567";
		build(f);
		assert_built(f, job);
		log = log_of(f, job);
		assert_non_null(strstr(log, kept[keep]));
		argv[2] = ko;
		assert_int_equal(kp_proc_capture(&proc, 65536, &sections, NULL, NULL), 0);
		assert_int_equal(!!strstr(sections, ".debug_info"), keep);
	}
}

/* What names the place of the source may write there; the source does not see it. */
static void test_works_on_source(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *dir = below(f, "src/hello-1"), *line = NULL;
	_cleanup_strv_ char **names = NULL;

	if (!kp_sandbox_has_mounts())
		skip();
	line = kp_strf(
		"echo x >%s/mark && make -C $kernel_source_dir "
		"KERNELRELEASE=$kernelver M=%s && find %s -name '*.ko' -exec mv {} $PWD \\;",
		dir, dir, dir);
	f->confs[0].make = line;
	build(f);
	assert_built(f, job);
	kp_list_in(f->ctx.root_fd, dir, &names);
	assert_int_equal(kp_strv_len(names), 2);
	assert_clean(f);
}

static void test_no_source(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *file = below(f, "src/hello-1/hello.c");

	assert_int_equal(unlink(file), 0);
	build(f);
	assert_failed(job, KP_EXIT_NO_SOURCE, false, "holds no module source");
}

static void test_headers_unreadable(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	if (kp_sandbox_uid(1) == geteuid())
		skip();
	assert_int_equal(chmod(f->kernels[0].headers, 0700), 0);
	build(f);
	assert_failed(job, KP_EXIT_OTHER, true, "chmod -R a+rX");
	assert_int_equal(chmod(f->kernels[0].headers, 0755), 0);
	build(f);
	assert_built(f, job);
}

static void test_excluded(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	f->modules[0].excluded = "not for this kernel";
	build(f);
	assert_int_equal(job->rc, -EOPNOTSUPP);
	assert_int_equal(job->record->result, KP_BUILD_EXCLUDED);
	assert_int_equal(job->record->exit_code, KP_EXIT_EXCLUDED);
}

static void test_make_line(void **state)
{
	static const char *const cases[][2] = {
		{ "make", "make KERNELRELEASE=6.6.1-kp" },
		{ "make -j4 x && make y", "make KERNELRELEASE=6.6.1-kp -j4 x && make y" },
		{ "make; x", "make KERNELRELEASE=6.6.1-kp; x" },
		{ "'make' -j4", "'make' -j4" },
		{ "makeit", "makeit" },
		{ "./x; make", "./x; make" },
	};
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	struct kp_build_work w = { .ctx = &f->ctx, .job = job, .seen = "/seen" };

	for (size_t i = 0; i < 2 * KP_ARRAY_SIZE(cases); i++) {
		const char *const *c = cases[i / 2];
		_cleanup_free_ char *line = NULL, *expect = NULL;

		w.kb.clang = i % 2;
		f->confs[0].make = (char *)c[0];
		line = kp_recipe_make_line(&w, NULL);
		expect = kp_strf("%s%s", c[1], w.kb.clang ? " LLVM=1" : "");
		assert_string_equal(line, expect);
	}
	_cleanup_strv_ char **argv = NULL;
	f->confs[0].make = NULL;
	assert_null(kp_recipe_make_line(&w, &argv));
	_cleanup_free_ char *text = kp_strv_join(argv, " ");
	_cleanup_free_ char *expect = kp_strf(
		"KERNELRELEASE=6.6.1-kp -C %s M=/seen LLVM=1", f->kernels[0].headers);
	assert_string_equal(text, expect);
}

static char *excerpt(struct fixture *f, const char *make)
{
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *log =
		kp_build_log_path(&f->ctx, "hello", "1", job->kernel->release);

	f->confs[0].make = (char *)make;
	build(f);
	return kp_build_log_excerpt(&f->ctx, log, 4);
}

static void test_log_excerpt(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *tail = NULL, *none = NULL;

	tail = excerpt(f,
		       "for i in 1 2 3 4 5; do printf 'line\\t\\033[1m%s\\n' $i; done; "
		       "echo 'make[1]: Leaving directory x'; false");
	assert_string_equal(tail, "line ?[1m2\nline ?[1m3\nline ?[1m4\nline ?[1m5\n");
	none = kp_build_log_excerpt(&f->ctx, "/nonexistent", 4);
	assert_string_equal(none, "");
}

static void test_log_excerpt_error(void **state)
{
	_cleanup_free_ char *text =
		excerpt(*state,
			"printf '%s\\n' 1 2 'x.c: In function f:' "
			"'x.c:1:2: error: no' 3 4 'x.c:9:9: error: yes' 5 6; false");

	assert_string_equal(text, "2\nx.c: In function f:\nx.c:1:2: error: no\n3\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_patches),
		TEST(test_scripts),
		TEST(test_unprivileged),
		TEST(test_failures),
		TEST(test_symvers),
		TEST(test_no_source),
		TEST(test_excluded),
		TEST(test_make_line),
		TEST(test_log_excerpt),
		TEST(test_log_excerpt_error),
		TEST(test_headers_unreadable),
		TEST(test_works_on_source),
		TEST(test_debug_info),
		TEST(test_limit),
		TEST(test_holes),
		TEST(test_no_room),
		TEST(test_limit_of_one),
	};

	return cmocka_run_group_tests_name("build-recipe", tests, NULL, NULL);
}
