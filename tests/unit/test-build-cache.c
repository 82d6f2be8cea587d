// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The cache of builds: what is taken from it, what is not, and what becomes of an entry that is
 * not what it was.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <kmodpkg/log.h>

#include "cache-fixture.h"

static void test_hit(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "hello", 0), *b = add(f, "hello", 1);
	_cleanup_free_ char *symvers = NULL, *again = NULL, *content = NULL;
	struct stat st;

	build_again(f);
	assert_kept(f, a, false);
	assert_kept(f, b, false);
	assert_int_equal(entries(f), 2);
	assert_int_equal(stat(f->ctx.cache_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	content = kp_strdup(a->record->content);
	symvers = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/module/Module.symvers");
	build_again(f);
	assert_kept(f, a, true);
	assert_kept(f, b, true);
	assert_string_equal(a->record->content, content);
	again = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/module/Module.symvers");
	assert_string_equal(symvers, again);
	assert_clean(f);
	/* Who asks for a build gets one. */
	a->force = true;
	build(f);
	assert_built(f, a);
	assert_kept(f, a, false);
	assert_string_equal(a->record->content, content);
	assert_int_equal(entries(f), 2);
}

/* Each changes something that a build depends on. */
static void test_miss(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *table = below(f, "x.symvers"),
			    *header = below(f, BUILD "k.h");
	struct timespec times[2];
	struct stat st;
	char *list[] = { table, NULL };

	build_again(f);
	write_file(f, "src/hello-1/hello.h", ""); /* the planner has not seen it yet */
	build_again(f);
	assert_kept(f, job, false);
	job->key = "another"; /* conf, patches, version of the headers */
	build_again(f);
	assert_kept(f, job, false);
	job->key = "0123";
	build_again(f);
	assert_kept(f, job, true);
	/* A header with the same size and time. */
	assert_int_equal(stat(header, &st), 0);
	write_file(f, BUILD "k.h", "#define K 2\n");
	times[0] = times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, header, times, 0), 0);
	build_again(f);
	assert_kept(f, job, false);
	/* kbuild itself. */
	write_file(f, BUILD "Module.symvers", "");
	write_file(f, BUILD "Makefile", makefile);
	build_again(f);
	assert_kept(f, job, true);
	write_file(f, BUILD ".config", "CONFIG_MODULES=y\nCONFIG_X=y\n");
	build_again(f);
	assert_kept(f, job, false);
	/* Our flags. */
	setenv("KCFLAGS", "-DX", 1);
	build_again(f);
	unsetenv("KCFLAGS");
	assert_kept(f, job, false);
	build_again(f);
	assert_kept(f, job, true);
	/* What it depends on. */
	write_file(f, "x.symvers", "0x00000001\tx\ty\tEXPORT_SYMBOL\t\n");
	job->symvers = list;
	build_again(f);
	assert_kept(f, job, false);
	build_again(f);
	assert_kept(f, job, true);
	write_file(f, "x.symvers", "0x00000002\tx\ty\tEXPORT_SYMBOL\t\n");
	build_again(f);
	assert_kept(f, job, false);
}

/* Files that were written again, as by a package that is installed again, are what they were. */
static void test_reinstalled(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	build_again(f);
	write_file(f, BUILD "k.h", "#define K 1\n");
	write_file(f, BUILD "Makefile", makefile);
	build_again(f);
	assert_kept(f, job, true);
}

/* What it depends on is built anew while it is built itself. */
static void test_key_changes(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *table = below(f, "x.symvers"), *pipe = below(f, "pipe");
	_cleanup_free_ char *wait = kp_strf("\tcat %s\n\techo 'symbols", pipe);
	char *list[] = { table, NULL };
	int status;
	pid_t pid;

	write_file(f, "x.symvers", "0x00000001\tx\ty\tEXPORT_SYMBOL\t\n");
	job->symvers = list;
	assert_int_equal(mkfifo(pipe, 0644), 0);
	pid = fork();
	if (!pid) {
		/* As soon as the build reads. */
		int fd = open(pipe, O_WRONLY | O_CLOEXEC);

		write_file(f, "x.symvers", "0x00000002\tx\ty\tEXPORT_SYMBOL\t\n");
		close(fd);
		_exit(0);
	}
	put_kbuild(f, "\techo 'symbols", wait);
	assert_not_kept(f, "what it was built of or with changed meanwhile\n");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A file that changed since the build began is not what it read, perhaps. */
static void test_changes_meanwhile(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = below(f, BUILD "k.h");
	struct kp_cache_entry e = { 0 };
	_cleanup_(kp_file_hashes_closep) struct kp_file_hashes *hashes =
		kp_file_hashes_open(&f->ctx);
	struct kp_err err = KP_ERR_INIT;
	struct timespec since;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(kp_cache_add_input(&e, path, &st.st_ctim, hashes, &err),
			 -ESTALE);
	assert_int_equal(e.n_inputs, 0);
	since = st.st_ctim;
	since.tv_nsec++;
	assert_int_equal(kp_cache_add_input(&e, path, &since, hashes, &err), 0);
	assert_int_equal(e.n_inputs, 1);
	kp_cache_entry_clear(&e);
}

/* Whatever happens to an entry, the build comes out right. */
static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *content = NULL;
	static const struct {
		const char *file;
		off_t size; /* cut to that; -1: a byte is changed; -2: removed */
	} cases[] = {
		{ "module/hello.ko", 100 }, { "module/hello.ko", -1 },
		{ "module/hello.ko", -2 },  { "module/Module.symvers", 0 },
		{ "entry.json", 0 },	    { "entry.json", 200 },
		{ "entry.json", -2 },
	};

	build_again(f);
	content = kp_strdup(job->record->content);
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *dir = entry(f);
		_cleanup_free_ char *path = kp_path_join(dir, cases[i].file);
		int fd;

		if (cases[i].size >= 0) {
			assert_int_equal(truncate(path, cases[i].size), 0);
		} else if (cases[i].size == -2) {
			assert_int_equal(unlink(path), 0);
		} else {
			fd = open(path, O_WRONLY | O_CLOEXEC);
			assert_int_equal(pwrite(fd, "!", 1, 300), 1);
			close(fd);
		}
		build_again(f);
		assert_kept(f, job, false);
		assert_string_equal(job->record->content, content);
		build_again(f);
		assert_kept(f, job, true);
		assert_string_equal(job->record->content, content);
	}
	assert_clean(f);
}

/* A build can neither see nor change what is kept. */
static void test_hidden(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *make = NULL, *dir = NULL, *module = NULL, *result = NULL;

	add(f, "hello", 0);
	build_again(f);
	dir = entry(f);
	module = kp_path_join(dir, "module/hello.ko");
	make = kp_strf(
		"make -C $kernel_source_dir M=$PWD; "
		"for t in 'ls %s' 'cat %s' 'cp /etc/passwd %s'; do "
		"$t && echo \"$t\" >>$dkms_tree/hello/1/$kernelver/$arch/seen; done; :",
		f->ctx.cache_dir, module, module);
	f->confs[0].make = make;
	f->jobs[0].force = true;
	build(f);
	assert_built(f, &f->jobs[0]);
	result = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/seen");
	assert_string_equal(result, "");
}

static void test_off(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	f->ctx.config.cache_mib = 0;
	build_again(f);
	build_again(f);
	assert_kept(f, job, false);
	assert_int_equal(access(f->ctx.cache_dir, F_OK), -1);
	/* One that others can get at is none. */
	f->ctx.config.cache_mib = 1;
	assert_int_equal(mkdir(f->ctx.cache_dir, 0755), 0);
	build_again(f);
	assert_int_equal(entries(f), 0);
}

/* What was not used for longest goes first. */
static void test_evict(void **state)
{
	struct fixture *f = *state;
	static const char *const keys[] = {
		"1111111111111111111111111111111111111111111111111111111111111111",
		"2222222222222222222222222222222222222222222222222222222222222222",
		"3333333333333333333333333333333333333333333333333333333333333333",
	};
	_cleanup_free_ char *from = below(f, "from"), *to = below(f, "to");
	_cleanup_free_ char *big = kp_calloc(1, 400000), *left = NULL;
	struct kp_cache_entry e = { 0 };
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };

	memset(big, 'x', 399999);
	write_file(f, "from/module/x.ko", big);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *dir = kp_path_join(f->ctx.cache_dir, keys[i]);

		assert_int_equal(kp_cache_put(&f->ctx, keys[i], from, &e, NULL), 0);
		old[1].tv_sec++;
		assert_int_equal(utimensat(AT_FDCWD, dir, old, 0), 0);
	}
	/* The older one is used again. */
	assert_int_equal(kp_cache_get(&f->ctx, keys[0], to, NULL, &e), 1);
	kp_cache_entry_clear(&e);
	left = kp_strf("%s/.new-x", f->ctx.cache_dir);
	assert_int_equal(mkdir(left, 0700), 0);
	assert_int_equal(utimensat(AT_FDCWD, left, old, 0), 0);
	assert_int_equal(kp_cache_put(&f->ctx, keys[2], from, &e, NULL), 0);
	assert_int_equal(entries(f), 2);
	assert_int_equal(access(left, F_OK), -1);
	kp_rm_rf_in(f->ctx.root_fd, to, NULL);
	assert_int_equal(kp_cache_get(&f->ctx, keys[1], to, NULL, &e), 0);
	assert_int_equal(kp_cache_get(&f->ctx, keys[0], to, NULL, &e), 1);
	kp_cache_entry_clear(&e);
	/* Larger than all of it. */
	f->ctx.config.cache_mib = 0;
	assert_int_equal(kp_cache_put(&f->ctx, keys[1], from, &e, NULL), -EFBIG);
}

/* Several at once, with one key: each ends with a whole entry there. */
static void test_together(void **state)
{
	struct fixture *f = *state;
	static const char key[] =
		"1111111111111111111111111111111111111111111111111111111111111111";
	_cleanup_free_ char *from = below(f, "from");
	struct kp_cache_entry e = { 0 };
	pid_t pids[4];
	int status;

	write_file(f, "from/module/x.ko", "x");
	for (size_t i = 0; i < KP_ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		for (int n = 0; n < 50; n++) {
			_cleanup_free_ char *to =
				kp_strf("%s/to-%d", f->dir, (int)getpid());
			struct kp_cache_entry got = { 0 };
			_cleanup_free_ char *ko = kp_path_join(to, "module/x.ko"),
					    *text = NULL;

			if (kp_cache_put(&f->ctx, key, from, &e, NULL) < 0)
				_exit(1);
			if (kp_cache_get(&f->ctx, key, to, NULL, &got) &&
			    (kp_read_in(f->ctx.root_fd, ko, 0, &text, NULL) < 0 ||
			     strcmp(text, "x") != 0))
				_exit(2);
			kp_cache_entry_clear(&got);
			kp_rm_rf_in(f->ctx.root_fd, to, NULL);
		}
		_exit(0);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(pids); i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(entries(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hit),		TEST(test_miss),
		TEST(test_reinstalled), TEST(test_changes_meanwhile),
		TEST(test_damaged),	TEST(test_hidden),
		TEST(test_off),		TEST(test_evict),
		TEST(test_together),	TEST(test_key_changes),
	};

	return cmocka_run_group_tests_name("build-cache", tests, NULL, NULL);
}
