// SPDX-License-Identifier: GPL-2.0-or-later
/* A file of the system is read once, by whatever process, as long as it looks the same. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/file-hash.h"

/* It has been there for longer than this test. */
#define OLD "/bin/sh"
#define WRONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct fixture {
	char dir[32];
	struct kp_ctx ctx;
	char *memo, *fresh;
	char hash[KP_HASH_HEX]; /* of OLD */
};

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_close_ int fd = open(OLD, O_RDONLY | O_CLOEXEC);

	strcpy(f->dir, "/tmp/test-file-hash.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->ctx.cache_dir = kp_path_join(f->dir, "cache");
	f->memo = kp_path_join(f->ctx.cache_dir, "hashes.json");
	f->fresh = kp_path_join(f->dir, "fresh");
	assert_int_equal(kp_write_in(f->ctx.root_fd, f->fresh, "x", 1, 0644, NULL), 0);
	assert_int_equal(kp_hash_fd(fd, f->hash, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL), 0);
	close(f->ctx.root_fd);
	free(f->ctx.cache_dir);
	free(f->memo);
	free(f->fresh);
	free(f);
	return 0;
}

/* One process hashes both files; OLD's is to be HASH. */
static void check(struct fixture *f, const char *hash)
{
	_cleanup_(kp_file_hashes_closep) struct kp_file_hashes *h =
		kp_file_hashes_open(&f->ctx);
	char got[KP_HASH_HEX];
	struct timespec changed;
	struct stat st;

	assert_int_equal(kp_file_hash(h, OLD, got, &changed, NULL), 0);
	assert_string_equal(got, hash);
	assert_int_equal(stat(OLD, &st), 0);
	assert_memory_equal(&changed, &st.st_ctim, sizeof(changed));
	assert_int_equal(kp_file_hash(h, f->fresh, got, &changed, NULL), 0);
	assert_string_equal(got, "2d711642b726b04401627ca9fbac32f5"
				 "c8530fb1903cc4db02258717921a4881");
}

/* Change the first WHAT of the file into WITH, of the same length. */
static void edit(struct fixture *f, const char *what, const char *with)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	char *at;

	assert_int_equal(kp_read_in(f->ctx.root_fd, f->memo, 0, &text, &len), 0);
	at = strstr(text, what);
	assert_non_null(at);
	memcpy(at, with, strlen(with));
	assert_int_equal(kp_write_in(f->ctx.root_fd, f->memo, text, len, 0644, NULL), 0);
}

static void test_remembered(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL, *line = NULL;
	struct stat st;

	check(f, f->hash);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->memo, 0, &text, NULL), 0);
	/* What may still change without a sign is not remembered. */
	assert_null(strstr(text, f->fresh));
	assert_int_equal(stat(f->ctx.cache_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* It is believed, so it was not read. */
	edit(f, f->hash, WRONG);
	check(f, WRONG);
	/* As if the file had been another one then. */
	assert_int_equal(stat(OLD, &st), 0);
	line = kp_strf(" %ju ", (uintmax_t)st.st_ino);
	edit(f, line, " 0");
	check(f, f->hash);
	edit(f, f->hash, WRONG);
	check(f, WRONG);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = { "", "{", "{\"schema\": 1, \"files\": [1]}",
					     "{\"schema\": 1, \"files\": {\"" OLD
					     "\": 1}}",
					     "{\"schema\": 1, \"files\": {\"" OLD
					     "\": \"x\"}}" };

	check(f, f->hash);
	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		assert_int_equal(kp_write_in(f->ctx.root_fd, f->memo, texts[i],
					     strlen(texts[i]), 0644, NULL),
				 0);
		check(f, f->hash);
		edit(f, f->hash, WRONG);
		check(f, WRONG);
	}
}

/* Each adds to what the other has written meanwhile. */
static void test_together(void **state)
{
	struct fixture *f = *state;
	struct kp_file_hashes *a = kp_file_hashes_open(&f->ctx),
			      *b = kp_file_hashes_open(&f->ctx);
	static const char other[] = "/bin/cat";
	_cleanup_free_ char *text = NULL;
	char hash[KP_HASH_HEX];
	struct timespec changed;

	assert_int_equal(kp_file_hash(a, OLD, hash, &changed, NULL), 0);
	assert_int_equal(kp_file_hash(b, other, hash, &changed, NULL), 0);
	kp_file_hashes_close(a);
	kp_file_hashes_close(b);
	assert_int_equal(kp_read_in(f->ctx.root_fd, f->memo, 0, &text, NULL), 0);
	assert_non_null(strstr(text, "\"" OLD "\""));
	assert_non_null(strstr(text, "\"/bin/cat\""));
}

static void test_no_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_file_hashes_closep) struct kp_file_hashes *h =
		kp_file_hashes_open(&f->ctx);
	char hash[KP_HASH_HEX];
	struct timespec changed;

	assert_int_equal(kp_file_hash(h, "/dev/null", hash, &changed, NULL), -EINVAL);
	assert_int_equal(kp_file_hash(h, "/nowhere", hash, &changed, NULL), -ENOENT);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_remembered),
		TEST(test_damaged),
		TEST(test_together),
		TEST(test_no_file),
	};

	return cmocka_run_group_tests_name("file-hash", tests, NULL, NULL);
}
