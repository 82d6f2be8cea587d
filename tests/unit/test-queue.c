// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/mount.h>
#include <sys/wait.h>
#include <utime.h>

#include "test.h"

#include "lib/queue.h"

#define QUEUE "/var/lib/kmodpkg/queue"

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
	kp_ctx_close(f->ctx);
	test_root_free(&f->root);
	free(f);
	return 0;
}

/* Reserve, write a package file, commit. The entry is the caller's to clear. */
static struct kp_queue_entry add_entry(struct fixture *f, const char *name)
{
	struct kp_queue_entry e = { .kind = KP_CHANGE_ADD };
	_cleanup_close_ int dir_fd = -1, fd = -1;
	struct kp_err err = KP_ERR_INIT;

	if (kp_queue_begin(f->ctx, &e.dir, &dir_fd, &err) < 0)
		fail_msg("%s", err.text);
	fd = openat(dir_fd, "pkg.bin", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(kp_write_all(fd, name, strlen(name)), 0);
	e.file = kp_path_join(e.dir, "pkg.bin");
	e.name = kp_strdup(name);
	e.id = (struct kp_pkg_id){ .module = kp_strdup("hello"),
				   .version = kp_strdup("1.0"),
				   .kernel = kp_strdup("6.1"),
				   .arch = kp_strdup("x86_64"),
				   .key = kp_strdup("k1"),
				   .content = kp_strdup("c1") };
	kp_strv_add(&e.paths, "/lib/modules/6.1/updates/dkms/hello.ko");
	if (kp_queue_commit_entry(f->ctx, &e, &err) < 0)
		fail_msg("%s", err.text);
	return e;
}

static struct kp_queue load(struct fixture *f)
{
	struct kp_queue q = { 0 };
	struct kp_err err = KP_ERR_INIT;

	if (kp_queue_load(f->ctx, &q, &err) < 0)
		fail_msg("%s", err.text);
	return q;
}

static void empty_queue_has_no_directory(void **state)
{
	struct fixture *f = *state;
	struct kp_queue q = load(f);

	assert_int_equal(q.n, 0);
	kp_queue_clear(&q);
	assert_int_equal(kp_queue_sweep(f->ctx, NULL), 0);
	assert_false(kp_exists_in(f->root.fd, "/var/lib/kmodpkg"));
}

static void add_comes_back(void **state)
{
	struct fixture *f = *state;
	struct kp_queue_entry e = add_entry(f, "hello-modules-6.1");
	_cleanup_free_ char *text = NULL;
	struct kp_queue q = load(f);

	assert_string_equal(e.dir, QUEUE "/00000001");
	assert_string_equal(e.file, QUEUE "/00000001/pkg.bin");
	assert_int_equal(q.n, 1);
	assert_string_equal(q.list[0].dir, e.dir);
	assert_string_equal(q.list[0].file, e.file);
	assert_int_equal(q.list[0].kind, KP_CHANGE_ADD);
	assert_string_equal(q.list[0].name, "hello-modules-6.1");
	assert_string_equal(q.list[0].id.module, "hello");
	assert_string_equal(q.list[0].id.version, "1.0");
	assert_string_equal(q.list[0].id.kernel, "6.1");
	assert_string_equal(q.list[0].id.arch, "x86_64");
	assert_string_equal(q.list[0].id.key, "k1");
	assert_string_equal(q.list[0].id.content, "c1");
	assert_null(q.list[0].id.source_package);
	assert_int_equal(kp_strv_len(q.list[0].paths), 1);
	assert_string_equal(q.list[0].paths[0], "/lib/modules/6.1/updates/dkms/hello.ko");
	text = test_get(&f->root, e.file);
	assert_string_equal(text, "hello-modules-6.1");
	assert_int_equal(kp_queue_drop(f->ctx, &e, NULL), 0);
	assert_false(kp_exists_in(f->root.fd, QUEUE));
	assert_int_equal(kp_queue_drop(f->ctx, &e, NULL), 0);
	kp_queue_entry_clear(&e);
	kp_queue_clear(&q);
}

static void erase_comes_back(void **state)
{
	struct fixture *f = *state;
	struct kp_queue_entry e = { .kind = KP_CHANGE_ERASE };
	_cleanup_close_ int dir_fd = -1;
	struct kp_err err = KP_ERR_INIT;
	struct kp_queue q;

	assert_int_equal(kp_queue_begin(f->ctx, &e.dir, &dir_fd, &err), 0);
	e.name = kp_strdup("x");
	e.id.module = kp_strdup("m");
	e.id.version = kp_strdup("1");
	e.id.kernel = kp_strdup("k");
	e.reason = kp_strdup("kernel\nis gone");
	kp_strv_add(&e.paths, "/usr/lib/modules/k/extra/m.ko.xz");
	if (kp_queue_commit_entry(f->ctx, &e, &err) < 0)
		fail_msg("%s", err.text);
	q = load(f);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.list[0].kind, KP_CHANGE_ERASE);
	assert_null(q.list[0].file);
	assert_null(q.list[0].id.key);
	assert_string_equal(q.list[0].reason, "kernel?is gone");
	kp_queue_clear(&q);
	kp_queue_entry_clear(&e);
}

static void entries_are_in_order_and_one_per_package(void **state)
{
	static const char *const names[] = { "a", "b", "a", "c" };
	static const char *const left[] = { "b", "a", "c" };
	struct fixture *f = *state;
	struct kp_queue q;

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		struct kp_queue_entry e = add_entry(f, names[i]);

		kp_queue_entry_clear(&e);
	}
	q = load(f);
	assert_int_equal(q.n, KP_ARRAY_SIZE(left));
	for (size_t i = 0; i < q.n; i++)
		assert_string_equal(q.list[i].name, left[i]);
	/* Numbers go on even when the last was dropped, as long as there are others. */
	assert_string_equal(q.list[2].dir, QUEUE "/00000004");
	assert_int_equal(kp_queue_drop(f->ctx, &q.list[0], NULL), 0);
	assert_true(kp_exists_in(f->root.fd, QUEUE "/00000003/entry.json"));
	kp_queue_clear(&q);
}

/* The order of steps when an add follows an erase, whatever ends it: here the erase cannot be
 * dropped, since a mount lies on it. */
static void no_add_beside_an_older_erase(void **state)
{
	static const char erase[] =
		"{\"schema\":1,\"kind\":\"erase\",\"module\":\"hello\",\"version\":\"1\","
		"\"kernel\":\"6.1\",\"name\":\"a\",\"paths\":[]}";
	struct fixture *f = *state;
	_cleanup_free_ char *dir = kp_path_join(f->root.path, QUEUE "/00000001");
	struct kp_queue_entry e = { .kind = KP_CHANGE_ADD };
	_cleanup_close_ int dir_fd = -1;
	struct kp_queue q;

	test_put(&f->root, QUEUE "/00000001/entry.json", erase);
	if (mount(dir, dir, NULL, MS_BIND, NULL) < 0)
		skip();
	assert_int_equal(kp_queue_begin(f->ctx, &e.dir, &dir_fd, NULL), 0);
	close(openat(dir_fd, "pkg.bin", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	e.file = kp_path_join(e.dir, "pkg.bin");
	e.name = kp_strdup("a");
	e.id.module = kp_strdup("hello");
	e.id.version = kp_strdup("1");
	e.id.kernel = kp_strdup("6.1");
	assert_int_equal(kp_queue_commit_entry(f->ctx, &e, NULL), -EBUSY);
	q = load(f);
	assert_int_equal(umount(dir), 0);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.list[0].kind, KP_CHANGE_ERASE);
	kp_queue_clear(&q);
	assert_int_equal(kp_queue_commit_entry(f->ctx, &e, NULL), 0);
	q = load(f);
	assert_int_equal(q.n, 1);
	assert_int_equal(q.list[0].kind, KP_CHANGE_ADD);
	kp_queue_clear(&q);
	kp_queue_entry_clear(&e);
}

static void two_reservations_at_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *one = NULL, *two = NULL;
	_cleanup_close_ int fd1 = -1, fd2 = -1;
	struct kp_queue q;

	assert_int_equal(kp_queue_begin(f->ctx, &one, &fd1, NULL), 0);
	assert_int_equal(kp_queue_begin(f->ctx, &two, &fd2, NULL), 0);
	assert_string_not_equal(one, two);
	assert_true(kp_is_dir_in(f->root.fd, one));
	/* Neither is an entry. */
	q = load(f);
	assert_int_equal(q.n, 0);
	kp_queue_clear(&q);
	assert_string_equal(f->log.s, "");
}

static void what_is_unfit_is_not_written(void **state)
{
	static const struct {
		const char *path, *name, *file;
	} bad[] = {
		{ "/etc/passwd", "n", "f" },
		{ "/lib/modules/../../etc/passwd", "n", "f" },
		{ "lib/modules/k/x.ko", "n", "f" },
		{ "/lib/modules/k/a\nb.ko", "n", "f" },
		{ "/lib/modules/k/x.ko", "n n", "f" },
		{ "/lib/modules/k/x.ko", "n", "a b" },
		{ "/lib/modules/k/x.ko", "n", NULL },
		{ "/lib/modules/k/x.ko", "n", "missing" },
	};
	struct fixture *f = *state;
	struct kp_queue q;

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		struct kp_queue_entry e = { .kind = KP_CHANGE_ADD };
		_cleanup_close_ int fd = -1;
		struct kp_err err = KP_ERR_INIT;

		assert_int_equal(kp_queue_begin(f->ctx, &e.dir, &fd, NULL), 0);
		close(openat(fd, "f", O_WRONLY | O_CREAT, 0644));
		e.id.module = kp_strdup("m");
		e.id.version = kp_strdup("1");
		e.id.kernel = kp_strdup("k");
		e.name = kp_strdup(bad[i].name);
		e.file = kp_strdup(bad[i].file);
		kp_strv_add(&e.paths, bad[i].path);
		assert_true(kp_queue_commit_entry(f->ctx, &e, &err) < 0);
		assert_true(err.text[0]);
		kp_queue_entry_clear(&e);
	}
	q = load(f);
	assert_int_equal(q.n, 0);
	kp_queue_clear(&q);
}

/* A pid that no process has any more. */
static pid_t dead_pid(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void leftovers_of_the_dead_go(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *dead = kp_strf(QUEUE "/.new-%d-0", (int)dead_pid());
	_cleanup_free_ char *alive = kp_strf(QUEUE "/.new-%d-0", (int)getppid());
	_cleanup_free_ char *old = kp_strf(QUEUE "/.new-%d-1", (int)getppid());
	_cleanup_free_ char *old_real = kp_path_join(f->root.path, old);
	_cleanup_free_ char *dead_file = kp_path_join(dead, "pkg.bin");
	struct kp_queue_entry e;

	test_put(&f->root, dead_file, "half of a pack");
	kp_mkdir_in(f->root.fd, alive, 0755, NULL);
	kp_mkdir_in(f->root.fd, old, 0755, NULL);
	assert_int_equal(utime(old_real, &(struct utimbuf){ 1000000, 1000000 }), 0);
	e = add_entry(f, "a");
	assert_false(kp_exists_in(f->root.fd, dead));
	assert_false(kp_exists_in(f->root.fd, old));
	assert_true(kp_exists_in(f->root.fd, alive));
	assert_int_equal(kp_queue_drop(f->ctx, &e, NULL), 0);
	assert_true(kp_exists_in(f->root.fd, alive));
	kp_queue_entry_clear(&e);
}

static void broken_entries_are_skipped_and_swept(void **state)
{
	struct fixture *f = *state;
	struct kp_queue_entry e = add_entry(f, "good");
	struct kp_queue q;

	kp_mkdir_in(f->root.fd, QUEUE "/00000002", 0755, NULL);
	test_put(&f->root, QUEUE "/00000003/entry.json", "{");
	test_put(&f->root, QUEUE "/00000004/entry.json",
		 "{\"schema\":1,\"kind\":\"add\",\"module\":\"m\",\"version\":\"1\","
		 "\"kernel\":\"k\",\"name\":\"n\",\"file\":\"lost\",\"paths\":[]}");
	test_put(&f->root, QUEUE "/00000005", "a file");
	test_put(&f->root, QUEUE "/00000006/entry.json", "{\"schema\":9}");
	q = load(f);
	assert_int_equal(q.n, 1);
	assert_string_equal(q.list[0].name, "good");
	for (int i = 2; i <= 6; i++) {
		_cleanup_free_ char *dir = kp_strf(QUEUE "/0000000%d", i);

		if (!strstr(f->log.s, dir))
			fail_msg("no warning of %s: %s", dir, f->log.s);
	}
	kp_queue_clear(&q);
	assert_int_equal(kp_queue_sweep(f->ctx, NULL), 0);
	kp_buf_reset(&f->log);
	q = load(f);
	assert_int_equal(q.n, 1);
	kp_queue_clear(&q);
	/* What a newer version wrote is its own. */
	assert_true(kp_exists_in(f->root.fd, QUEUE "/00000006/entry.json"));
	assert_false(kp_exists_in(f->root.fd, QUEUE "/00000002"));
	assert_false(kp_exists_in(f->root.fd, QUEUE "/00000005"));
	kp_queue_entry_clear(&e);
}

/* One process adds and drops as fast as it can, another one loads: it must see whole
 * entries only, and never an error or a warning. */
static void load_beside_add_and_drop(void **state)
{
	struct fixture *f = *state;
	pid_t pid;
	int status;

	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		for (int i = 0; i < 200; i++) {
			struct kp_queue_entry e = add_entry(f, i % 3 ? "a" : "b");

			if (i % 2 && kp_queue_drop(f->ctx, &e, NULL) < 0)
				_exit(1);
			kp_queue_entry_clear(&e);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct kp_queue q = load(f);

		for (size_t i = 0; i < q.n; i++)
			assert_string_equal(q.list[i].id.module, "hello");
		kp_queue_clear(&q);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_string_equal(f->log.s, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(empty_queue_has_no_directory),
		TEST(add_comes_back),
		TEST(erase_comes_back),
		TEST(entries_are_in_order_and_one_per_package),
		TEST(no_add_beside_an_older_erase),
		TEST(two_reservations_at_once),
		TEST(what_is_unfit_is_not_written),
		TEST(leftovers_of_the_dead_go),
		TEST(broken_entries_are_skipped_and_swept),
		TEST(load_beside_add_and_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
