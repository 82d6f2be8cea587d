// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

#include "lib/record.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

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
	free(f->ctx->arch);
	f->ctx->arch = kp_strdup("x86_64");
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
	kp_ctx_close(f->ctx);
	test_root_free(&f->root);
	free(f);
	return 0;
}

static void save(struct fixture *f, const struct kp_record *rec)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_record_save(f->ctx, "hello", "1.0", "6.1.0-1", rec, &err) < 0)
		fail_msg("%s", err.text);
}

static void nothing_recorded(void **state)
{
	struct fixture *f = *state;
	struct kp_record *rec = NULL;

	assert_int_equal(kp_record_load(f->ctx, "hello", "1.0", "6.1.0-1", &rec, NULL),
			 -ENOENT);
	assert_null(rec);
	assert_string_equal(f->log.s, "");
	assert_int_equal(kp_record_drop(f->ctx, "hello", "1.0", "6.1.0-1", NULL), 0);
}

static void good_build_comes_back(void **state)
{
	struct kp_record_file files[] = {
		{ (char *)"hello.ko.xz", (char *)"updates/dkms/hello.ko.xz", (char *)HASH,
		  5 },
		{ (char *)"b.ko", (char *)"extra/b.ko", (char *)KEY, UINT64_C(1) << 40 },
	};
	char *licenses[] = { (char *)"GPL v2", (char *)"Dual MIT/GPL", NULL };
	const struct kp_record saved = {
		.result = KP_BUILD_OK,
		.key = (char *)KEY,
		.licenses = licenses,
		.log = (char *)"/var/log/kmodpkg/hello/1.0/6.1.0-1-x86_64.log",
		.time = 1700000000,
		.elapsed_ms = 1234,
		.content = (char *)HASH,
		.is_signed = true,
		.files = files,
		.n_files = 2,
	};
	struct fixture *f = *state;
	struct kp_record *rec = NULL;

	save(f, &saved);
	assert_true(kp_exists_in(f->root.fd, "/var/lib/kmodpkg/builds/hello/1.0/"
					     "6.1.0-1-x86_64.json"));
	assert_int_equal(kp_record_load(f->ctx, "hello", "1.0", "6.1.0-1", &rec, NULL),
			 0);
	assert_int_equal(rec->result, KP_BUILD_OK);
	assert_string_equal(rec->key, KEY);
	assert_null(rec->reason);
	assert_string_equal(rec->log, saved.log);
	assert_int_equal(rec->time, saved.time);
	assert_int_equal(rec->elapsed_ms, 1234);
	assert_string_equal(rec->content, HASH);
	assert_true(rec->is_signed);
	assert_string_equal(rec->licenses[0], "GPL v2");
	assert_string_equal(rec->licenses[1], "Dual MIT/GPL");
	assert_null(rec->licenses[2]);
	assert_int_equal(rec->n_files, 2);
	assert_string_equal(rec->files[0].name, "hello.ko.xz");
	assert_string_equal(rec->files[0].dest, "updates/dkms/hello.ko.xz");
	assert_string_equal(rec->files[0].sha256, HASH);
	assert_int_equal(rec->files[1].size, UINT64_C(1) << 40);
	kp_record_free(rec);
}

static void failure_comes_back_on_one_line(void **state)
{
	const struct kp_record saved = {
		.result = KP_BUILD_FAILED,
		.key = (char *)KEY,
		.reason = (char *)"no\nspace \xc3\xa9 \xff left",
		.machine = true,
		.exit_code = 10,
		.unprotected = (char *)"no user of its own",
	};
	struct fixture *f = *state;
	struct kp_record *rec = NULL;

	save(f, &saved);
	assert_int_equal(kp_record_load(f->ctx, "hello", "1.0", "6.1.0-1", &rec, NULL),
			 0);
	assert_int_equal(rec->result, KP_BUILD_FAILED);
	assert_string_equal(rec->reason, "no?space \xc3\xa9 ? left");
	assert_true(rec->machine);
	assert_int_equal(rec->exit_code, 10);
	assert_string_equal(rec->unprotected, saved.unprotected);
	assert_null(rec->log);
	assert_null(rec->content);
	assert_false(kp_record_intact(f->ctx, "hello", "1.0", "6.1.0-1", rec));
	kp_record_free(rec);
}

static bool raised(struct fixture *f, int minutes, int processes, uint64_t memory_mib,
		   uint64_t disk_mib)
{
	const struct kp_config config = { .timeout_minutes = minutes,
					  .limits = { .processes = processes,
						      .memory = memory_mib << 20,
						      .disk = disk_mib << 20 } };
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;

	assert_int_equal(kp_record_load(f->ctx, "hello", "1.0", "6.1.0-1", &rec, NULL),
			 0);
	return kp_record_limits_raised(rec, &config);
}

/* A failure by a limit counts for as long as the limit is not higher. */
static void limits(void **state)
{
	const struct kp_config config = {
		.timeout_minutes = 120,
		.limits = { .processes = 100, .memory = 3200ULL << 20, .disk = 7 << 20 }
	};
	struct kp_record saved = { .result = KP_BUILD_FAILED, .key = (char *)KEY };
	struct fixture *f = *state;

	kp_record_set_limits(&saved, &config, -ETIME);
	save(f, &saved);
	assert_false(raised(f, 120, 100, 3200, 7));
	assert_false(raised(f, 119, 200, 0, 8));
	assert_true(raised(f, 121, 100, 3200, 7));
	assert_true(raised(f, 0, 100, 3200, 7));
	kp_record_set_limits(&saved, &config, -EDQUOT);
	save(f, &saved);
	assert_false(raised(f, 500, 100, 3200, 7));
	assert_false(raised(f, 120, 100, 3300, 7)); /* the same share of another total */
	assert_true(raised(f, 120, 100, 3301, 7));
	assert_true(raised(f, 120, 101, 3200, 7));
	assert_true(raised(f, 120, 100, 3200, 8));
	assert_true(raised(f, 120, 100, 3200, 0));
	kp_record_set_limits(&saved, &config, -ECHILD);
	save(f, &saved);
	assert_false(raised(f, 0, 0, 0, 0));
}

static void what_could_not_be_read_is_not_written(void **state)
{
	struct kp_record_file file = { (char *)"../x.ko", (char *)"x.ko", (char *)HASH,
				       1 };
	struct kp_record rec = { .result = KP_BUILD_OK,
				 .key = (char *)KEY,
				 .content = (char *)HASH,
				 .files = &file,
				 .n_files = 1 };
	struct kp_err err = KP_ERR_INIT;
	struct fixture *f = *state;

	assert_int_equal(kp_record_save(f->ctx, "a", "1", "k", &rec, &err), -EINVAL);
	assert_non_null(
		strstr(err.text, "not written: expected a file name in \"name\""));
	file.name = (char *)"x.ko";
	assert_int_equal(kp_record_save(f->ctx, "a/b", "1", "k", &rec, &err), -EINVAL);
	assert_int_equal(kp_record_save(f->ctx, "a", "..", "k", &rec, &err), -EINVAL);
	assert_int_equal(kp_record_save(f->ctx, "a", "1", "k k", &rec, &err), -EINVAL);
	assert_int_equal(kp_record_drop(f->ctx, "a", "1", "..", &err), -EINVAL);
	assert_false(kp_exists_in(f->root.fd, "/var/lib/kmodpkg"));
}

#define GOOD_FILE                                                                        \
	"{\"name\":\"x.ko\",\"dest\":\"extra/x.ko\",\"sha256\":\"" HASH "\",\"size\":3}"
#define GOOD_HEAD                                                                        \
	"{\"schema\":1,\"result\":\"ok\",\"key\":\"" KEY "\",\"time\":1,\"elapsed_ms\":1,"
#define GOOD_TAIL "\"content\":\"" HASH "\"}"

static void hostile_records_count_as_absent(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"schema\":1}",
		"{\"schema\":2,\"result\":\"ok\"}",
		GOOD_HEAD GOOD_TAIL "x",
		GOOD_HEAD "\"surprise\":1," GOOD_TAIL,
		GOOD_HEAD "\"key\":\"twice\"," GOOD_TAIL,
		GOOD_HEAD "\"files\":{}," GOOD_TAIL,
		GOOD_HEAD "\"files\":[1]," GOOD_TAIL,
		GOOD_HEAD "\"log\":\"relative\"," GOOD_TAIL,
		GOOD_HEAD "\"log\":\"/a/../b\"," GOOD_TAIL,
		GOOD_HEAD "\"reason\":\"two\\nlines\"," GOOD_TAIL,
		GOOD_HEAD "\"machine\":1," GOOD_TAIL,
		GOOD_HEAD "\"files\":[]}",
		"{\"schema\":1,\"result\":\"fine\",\"key\":\"a\",\"time\":1,\"elapsed_ms\":1}",
		"{\"schema\":1,\"result\":\"failed\",\"key\":\"a b\",\"time\":1,\"elapsed_ms\":1}",
		"{\"schema\":1,\"result\":\"failed\",\"key\":\"a\",\"time\":1,\"elapsed_ms\":1,"
		"\"files\":[" GOOD_FILE "]}",
		GOOD_HEAD "\"files\":[{\"name\":\"a/b\",\"dest\":\"x\",\"sha256\":\"" HASH
			  "\",\"size\":1}]," GOOD_TAIL,
		GOOD_HEAD "\"files\":[{\"name\":\"b\",\"dest\":\"/x\",\"sha256\":\"" HASH
			  "\",\"size\":1}]," GOOD_TAIL,
		GOOD_HEAD
		"\"files\":[{\"name\":\"b\",\"dest\":\"../x\",\"sha256\":\"" HASH
		"\",\"size\":1}]," GOOD_TAIL,
		GOOD_HEAD "\"files\":[{\"name\":\"b\",\"dest\":\"x\",\"sha256\":\"12\","
			  "\"size\":1}]," GOOD_TAIL,
		GOOD_HEAD "\"files\":[{\"name\":\"b\",\"dest\":\"x\",\"sha256\":\"" HASH
			  "\",\"size\":-1}]," GOOD_TAIL,
	};
	struct fixture *f = *state;
	struct kp_record *rec = NULL;

	/* What they are made of is right. */
	test_put(&f->root, "/var/lib/kmodpkg/builds/m/1/k-x86_64.json",
		 GOOD_HEAD "\"files\":[" GOOD_FILE "]," GOOD_TAIL);
	assert_int_equal(kp_record_load(f->ctx, "m", "1", "k", &rec, NULL), 0);
	kp_record_free(rec);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		kp_buf_reset(&f->log);
		kp_log_set_sink(test_sink, &f->log); /* to hear it again */
		test_put(&f->root, "/var/lib/kmodpkg/builds/m/1/k-x86_64.json", bad[i]);
		rec = NULL;
		if (kp_record_load(f->ctx, "m", "1", "k", &rec, NULL) != -ENOENT)
			fail_msg("accepted: %s", bad[i]);
		assert_null(rec);
		assert_true(kp_str_starts(f->log.s,
					  "warning: /var/lib/kmodpkg/builds/m/1/"
					  "k-x86_64.json:"));
		assert_true(kp_str_ends(f->log.s, ", taking it as not built\n"));
	}
}

static void directory_in_its_place_counts_as_absent(void **state)
{
	struct fixture *f = *state;
	struct kp_record *rec;

	kp_mkdir_in(f->root.fd, "/var/lib/kmodpkg/builds/m/1/k-x86_64.json", 0755, NULL);
	assert_int_equal(kp_record_load(f->ctx, "m", "1", "k", &rec, NULL), -ENOENT);
	assert_non_null(strstr(f->log.s, "expected a regular file"));
}

static void intact_means_all_files_with_their_sizes(void **state)
{
	struct kp_record_file files[] = {
		{ (char *)"a.ko", (char *)"extra/a.ko", (char *)HASH, 5 },
		{ (char *)"b.ko", (char *)"extra/b.ko", (char *)HASH, 0 },
	};
	const struct kp_record rec = { .result = KP_BUILD_OK,
				       .files = files,
				       .n_files = 2 };
	struct fixture *f = *state;

#define MODULE "/var/lib/dkms/hello/1.0/6.1.0-1/x86_64/module/"
	assert_false(kp_record_intact(f->ctx, "hello", "1.0", "6.1.0-1", &rec));
	test_put(&f->root, MODULE "a.ko", "12345");
	assert_false(kp_record_intact(f->ctx, "hello", "1.0", "6.1.0-1", &rec));
	test_put(&f->root, MODULE "b.ko", "");
	assert_true(kp_record_intact(f->ctx, "hello", "1.0", "6.1.0-1", &rec));
	test_put(&f->root, MODULE "a.ko", "1234");
	assert_false(kp_record_intact(f->ctx, "hello", "1.0", "6.1.0-1", &rec));
	test_put(&f->root, MODULE "c.ko", "12345");
	kp_symlink_in(f->root.fd, "c.ko", MODULE "a.ko", NULL);
	assert_false(kp_record_intact(f->ctx, "hello", "1.0", "6.1.0-1", &rec));
}

static void drop_takes_record_files_and_empty_directories(void **state)
{
	const struct kp_record rec = { .result = KP_BUILD_EXCLUDED, .key = (char *)KEY };
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	struct kp_record *back;

	save(f, &rec);
	assert_int_equal(kp_record_save(f->ctx, "hello", "1.0", "6.1.0-2", &rec, &err),
			 0);
	test_put(&f->root, "/var/lib/dkms/hello/1.0/6.1.0-1/x86_64/log/make.log", "x");
	test_put(&f->root, "/var/lib/dkms/hello/1.0/6.1.0-2/x86_64/log/make.log", "x");
	kp_symlink_in(f->root.fd, "/usr/src/hello-1.0", "/var/lib/dkms/hello/1.0/source",
		      NULL);

	assert_int_equal(kp_record_drop(f->ctx, "hello", "1.0", "6.1.0-1", &err), 0);
	assert_int_equal(kp_record_load(f->ctx, "hello", "1.0", "6.1.0-1", &back, NULL),
			 -ENOENT);
	assert_false(kp_exists_in(f->root.fd, "/var/lib/dkms/hello/1.0/6.1.0-1"));
	assert_true(
		kp_exists_in(f->root.fd, "/var/lib/dkms/hello/1.0/6.1.0-2/x86_64/log"));
	assert_int_equal(kp_record_load(f->ctx, "hello", "1.0", "6.1.0-2", &back, NULL),
			 0);
	assert_int_equal(back->result, KP_BUILD_EXCLUDED);
	kp_record_free(back);

	assert_int_equal(kp_record_drop(f->ctx, "hello", "1.0", "6.1.0-2", &err), 0);
	assert_true(kp_is_dir_in(f->root.fd, "/var/lib/kmodpkg/builds"));
	assert_false(kp_exists_in(f->root.fd, "/var/lib/kmodpkg/builds/hello"));
	assert_false(kp_exists_in(f->root.fd, "/var/lib/dkms/hello/1.0/6.1.0-2"));
	assert_true(kp_is_dir_in(f->root.fd, "/var/lib/dkms/hello/1.0"));
	kp_unlink_in(f->root.fd, "/var/lib/dkms/hello/1.0/source");
	assert_int_equal(kp_record_drop(f->ctx, "hello", "1.0", "6.1.0-2", &err), 0);
	assert_false(kp_exists_in(f->root.fd, "/var/lib/dkms/hello"));
	assert_true(kp_is_dir_in(f->root.fd, "/var/lib/dkms"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_recorded),
		TEST(good_build_comes_back),
		TEST(failure_comes_back_on_one_line),
		TEST(limits),
		TEST(what_could_not_be_read_is_not_written),
		TEST(hostile_records_count_as_absent),
		TEST(directory_in_its_place_counts_as_absent),
		TEST(intact_means_all_files_with_their_sizes),
		TEST(drop_takes_record_files_and_empty_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
