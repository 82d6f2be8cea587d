// SPDX-License-Identifier: GPL-2.0-or-later
/* What a build read: what is found, what makes it one that is not kept, and where nobody looks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>

#include <cmocka.h>

#include "cache-fixture.h"

/* One whose compiler says that it read PATH. */
static void put_reader(struct fixture *f, const char *path)
{
	_cleanup_free_ char *line = kp_strf("  %s \\'; echo '  k.h", path);

	put_kbuild(f, "  k.h", line);
}

/* Make PATH a link, or another one. */
static void put_link(struct fixture *f, const char *path, const char *text)
{
	_cleanup_free_ char *at = below(f, path);

	unlink(at);
	assert_int_equal(symlink(text, at), 0);
}

static void test_open_recipe(void **state)
{
	struct fixture *f = *state;
	struct kp_conf *conf = &f->confs[0];

	add(f, "hello", 0);
	conf->make = "make -C $kernel_source_dir M=$PWD; :";
	assert_not_kept(f,
			"not kept in the cache: its MAKE is more than a call of make\n");
	conf->make = "make -C $kernel_source_dir M=$PWD";
	conf->scripts[KP_SCRIPT_PRE_BUILD] = "pre.sh";
	assert_not_kept(f, "not kept in the cache: it has PRE_BUILD or POST_BUILD\n");
	conf->scripts[KP_SCRIPT_PRE_BUILD] = NULL;
	write_file(f, "src/hello-1/sub/Makefile", "X := $(shell pkg-config x)\n");
	assert_not_kept(f, "not kept in the cache: its Makefile runs 'pkg-config'\n");
	/* Where our uname is not installed. */
	write_file(f, "src/hello-1/sub/Makefile", "X := $(shell uname -r)\n");
	if (access(KP_LIBEXEC_DIR "/uname", X_OK))
		assert_not_kept(f, "its Makefile asks for the running kernel\n");
	conf->make = "make -C $kernel_source_dir other";
	forget(f, &f->jobs[0]);
	build(f);
	assert_failed(&f->jobs[0], KP_EXIT_MAKE, false, "exit code 2");
	assert_entries(f, 0);
}

/* Modules that are moved behind make, and make files by names of their own. */
static void test_moved(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *seen = kp_strf("%s/hello/1/build", f->ctx.dkms_tree);
	_cleanup_free_ char *make =
		kp_strf("make -C $kernel_source_dir M=%s TOP=%s; find %s -maxdepth 1 "
			"-name '*.ko' -exec mv {} %s/out \\;",
			seen, seen, seen, seen);

	f->confs[0].make = make;
	f->modules[0].built_location = "out/";
	write_file(f, "src/hello-1/out/empty", "");
	write_file(f, "src/hello-1/sub/settings.one", "-include $(TOP)/more\n");
	write_file(f, "src/hello-1/more", "X := $(shell pkg-config x)\n");
	write_file(f, "src/hello-1/Kbuild", "");
	build_again(f);
	assert_entries(f, 1);
	write_file(f, "src/hello-1/Kbuild", "include $(TOP)/sub/settings.*\n");
	kp_rm_rf_in(f->ctx.root_fd, f->ctx.cache_dir, NULL);
	assert_not_kept(f, "not kept in the cache: its more runs 'pkg-config'\n");
	write_file(f, "src/hello-1/more", "X := y\n-include $(obj)/.*.cmd\n");
	build_again(f);
	assert_entries(f, 1);
	build_again(f);
	assert_kept(f, job, true);
}

/* What the compiler read, by its own word. */
static void test_reads(void **state)
{
	struct fixture *f = *state;

	add(f, "hello", 0);
	put_reader(f, "/etc/passwd");
	assert_not_kept(f, "not kept in the cache: it reads '/etc/passwd'\n");
	put_reader(f, "$(M)/gone.h");
	assert_not_kept(f, "/dkms/hello/1/build/gone.h'\n");
	put_kbuild(f, "echo '  k.h \\'; ", "printf '  %05000d \\\\\\n' 1; ");
	assert_not_kept(f, "not kept in the cache: it reads '000000");
	/* Not by its own name, so that nobody knows what is behind it. */
	put_kbuild(f, ":= gcc -Wp", ":= env gcc -Wp");
	assert_not_kept(f, "its compiler 'env' is not one that is known\n");
	put_kbuild(f, ":= gcc -Wp,-MMD,x", ":= RUST_MODFILE=x rustc");
	assert_not_kept(f, "not kept in the cache: its compiler is rustc\n");
	/* A module that somebody else made. */
	write_file(f, BUILD "Makefile",
		   "all: ; gcc -DRELEASE='\"$(KERNELRELEASE)\"' -c $(M)/hello.c "
		   "-o $(M)/hello.ko\n");
	assert_not_kept(f, "not kept in the cache: kbuild did not make hello.ko\n");
}

/* Has FD, which watches files, seen that one was opened? */
static bool was_opened(int fd)
{
	char buf[4096];

	return read(fd, buf, sizeof(buf)) > 0;
}

/* Whatever a path looks like, what is not of the system is not even opened. */
static void test_led_astray(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *secret = below(f, "etc/secret"),
			    *pipe = below(f, BUILD "pipe");
	_cleanup_close_ int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	_cleanup_(kp_file_hashes_closep) struct kp_file_hashes *hashes =
		kp_file_hashes_open(&f->ctx);
	struct kp_cache_entry e = { 0 };
	struct timespec now = { .tv_sec = INT32_MAX };
	static const char *const paths[] = {
		"$(CURDIR)/../../../etc/secret",
		"../../../etc/secret",
		"$(M)/../../../../etc/secret",
		"$(CURDIR)/link.h",
		"link.h",
		"$(CURDIR)/dir/secret",
	};

	add(f, "hello", 0);
	write_file(f, "etc/secret", "x");
	put_link(f, BUILD "link.h", "../../../etc/secret");
	put_link(f, BUILD "dir", "../../../etc");
	assert_true(inotify_add_watch(watch, secret, IN_OPEN) >= 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++) {
		put_reader(f, paths[i]);
		assert_not_kept(f, "not kept in the cache: it reads '");
		assert_false(was_opened(watch));
	}
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_true(inotify_add_watch(watch, pipe, IN_OPEN) >= 0);
	assert_int_equal(kp_cache_add_input(&e, pipe, &now, hashes, NULL), -EINVAL);
	assert_false(was_opened(watch));
}

/* What is behind a link of the source is in no key. */
static void test_links(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *v = below(f, "v.h"), *makefiles = below(f, "m");
	static const char *const bad[] = { "../../v.h", "sub/../v.h", "/etc/passwd" };

	write_file(f, "v.h", "");
	write_file(f, "src/hello-1/sub/v.h", "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		put_link(f, "src/hello-1/v.h", bad[i]);
		assert_not_kept(f, "its 'v.h' is a link that leads out of it\n");
	}
	put_link(f, "src/hello-1/v.h", v);
	put_reader(f, "$(M)/v.h");
	assert_not_kept(f, "its 'v.h' is a link that leads out of it\n");
	put_link(f, "src/hello-1/v.h", "sub/v.h");
	write_file(f, "m/Makefile", "x:\n");
	put_link(f, "src/hello-1/other", makefiles);
	assert_not_kept(f, "its 'other' is a link that leads out of it\n");
	put_link(f, "src/hello-1/other", "./sub");
	put_link(f, "src/hello-1/sub/up.h", "../v.h");
	build_again(f);
	assert_kept(f, job, false);
	build_again(f);
	assert_kept(f, job, true);
}

/* Make files anywhere are looked at, or the build is not kept. */
static void test_deep(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_buf_ struct kp_buf path = KP_BUF_INIT;
	_cleanup_free_ char *other = below(f, "src/hello-1/d");

	kp_buf_adds(&path, "src/hello-1/");
	for (int i = 0; i < 16; i++)
		kp_buf_adds(&path, "d/");
	kp_buf_adds(&path, "Makefile");
	write_file(f, path.s, "");
	build_again(f);
	assert_entries(f, 1);
	write_file(f, path.s, "X := $(shell pkg-config x)\n");
	build_again(f);
	assert_kept(f, job, false);
	assert_entries(f, 1);
	path.len = strlen("src/hello-1/");
	for (int i = 0; i < 17; i++)
		kp_buf_adds(&path, "e/");
	kp_buf_adds(&path, "Makefile");
	write_file(f, path.s, "");
	kp_rm_rf_in(f->ctx.root_fd, f->ctx.cache_dir, NULL);
	kp_rm_rf_in(f->ctx.root_fd, other, NULL);
	assert_not_kept(f, "its directories are nested too deeply\n");
}

/* It is how many files that counts, not how often they are named. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	put_kbuild(f, "echo '  k.h \\'; ", "yes '  k.h \\' | head -n 100000; ");
	build_again(f);
	assert_entries(f, 1);
	build_again(f);
	assert_kept(f, job, true);
	kp_rm_rf_in(f->ctx.root_fd, f->ctx.cache_dir, NULL);
	put_kbuild(f, "echo '  k.h \\'; ", "seq -f '  x%g.h \\' 1 50000; ");
	assert_not_kept(f, "not kept in the cache: it reads too many files\n");
}

/* gcc's own translator is another file, of another package. */
static void test_compiler(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *dir = NULL, *json = NULL, *text = NULL;

	add(f, "hello", 0);
	build_again(f);
	dir = entry(f);
	json = kp_path_join(dir, "entry.json");
	assert_int_equal(kp_read_in(f->ctx.root_fd, json, 0, &text, NULL), 0);
	assert_non_null(strstr(text, "/cc1\""));
	assert_non_null(strstr(text, "\"/usr/bin/gcc\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads),	TEST(test_led_astray), TEST(test_links),
		TEST(test_deep),	TEST(test_many),       TEST(test_compiler),
		TEST(test_open_recipe), TEST(test_moved),
	};

	return cmocka_run_group_tests_name("build-reads", tests, NULL, NULL);
}
