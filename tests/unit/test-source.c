// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

#include "lib/backend.h"
#include "lib/source.h"

#define DKMS "/var/lib/dkms"

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

static void put_conf(struct fixture *f, const char *dir, const char *name,
		     const char *version)
{
	_cleanup_free_ char *file = kp_path_join(dir, "dkms.conf");
	_cleanup_free_ char *text =
		kp_strf("PACKAGE_NAME=\"%s\"\nPACKAGE_VERSION=\"%s\"\n"
			"BUILT_MODULE_NAME[0]=x\nDEST_MODULE_LOCATION[0]=/extra\n",
			name, version);

	test_put(&f->root, file, text);
}

static void put_link(struct fixture *f, const char *module, const char *version,
		     const char *target)
{
	_cleanup_free_ char *dir = kp_strf(DKMS "/%s/%s", module, version);
	_cleanup_free_ char *link = kp_path_join(dir, "source");

	assert_int_equal(kp_mkdir_in(f->root.fd, dir, 0755, NULL), 0);
	assert_int_equal(kp_symlink_in(f->root.fd, target, link, NULL), 0);
}

static struct kp_sources load(struct fixture *f)
{
	struct kp_sources s = { 0 };
	struct kp_err err = KP_ERR_INIT;

	if (kp_sources_load(f->ctx, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

static struct kp_sources unregistered(struct fixture *f)
{
	_cleanup_(kp_sources_clear) struct kp_sources known = load(f);
	struct kp_sources s = { 0 };
	struct kp_err err = KP_ERR_INIT;

	if (kp_sources_unregistered(f->ctx, &known, &s, &err) < 0)
		fail_msg("%s", err.text);
	return s;
}

/* "M/V dir [problem]" per line */
static char *listing(const struct kp_sources *s)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	for (size_t i = 0; i < s->n; i++)
		kp_buf_addf(&b, "%s/%s %s%s%s%s\n", s->list[i].module, s->list[i].version,
			    s->list[i].dir, s->list[i].missing ? " missing" : "",
			    s->list[i].problem ? ": " : "",
			    s->list[i].problem ? s->list[i].problem : "");
	return kp_buf_steal(&b);
}

static void nothing_there(void **state)
{
	_cleanup_(kp_sources_clear) struct kp_sources s = load(*state);
	_cleanup_(kp_sources_clear) struct kp_sources u = unregistered(*state);

	assert_int_equal(s.n, 0);
	assert_int_equal(u.n, 0);
	assert_null(kp_sources_find(&s, "a", NULL));
}

static void registered_in_order_of_version(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ char *text = NULL;

	put_conf(f, "/usr/src/zfs-2.10", "zfs", "2.10");
	put_conf(f, "/usr/src/zfs-2.9", "zfs", "2.9");
	put_conf(f, "/usr/src/acpi-call-1", "acpi-call", "1");
	put_link(f, "zfs", "2.10", "/usr/src/zfs-2.10");
	put_link(f, "zfs", "2.9", "/usr/src/zfs-2.9/");
	put_link(f, "acpi-call", "1", "../../../../../usr/src/acpi-call-1");
	/* What else lies in DKMS's tree. */
	test_put(&f->root, DKMS "/mok.key", "secret");
	kp_mkdir_in(f->root.fd, DKMS "/zfs/original_module/k/x86_64", 0755, NULL);
	kp_mkdir_in(f->root.fd, DKMS "/zfs/2.9/k/x86_64/module", 0755, NULL);
	kp_symlink_in(f->root.fd, "2.9/k/x86_64", DKMS "/zfs/kernel-k-x86_64", NULL);
	/* A version's directory under a second name is no second registration. */
	kp_symlink_in(f->root.fd, "2.9", DKMS "/zfs/latest", NULL);
	s = load(f);
	text = listing(&s);
	assert_string_equal(text, "acpi-call/1 /usr/src/acpi-call-1\n"
				  "zfs/2.9 /usr/src/zfs-2.9\n"
				  "zfs/2.10 /usr/src/zfs-2.10\n");
	assert_string_equal(kp_sources_find(&s, "zfs", NULL)->version, "2.10");
	assert_string_equal(kp_sources_find(&s, "zfs", "2.9")->version, "2.9");
	assert_null(kp_sources_find(&s, "zfs", "2"));
	assert_string_equal(f->log.s, "");
}

static void missing_says_why(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ char *text = NULL;

	test_put(&f->root, "/usr/src/file-1", "");
	kp_mkdir_in(f->root.fd, "/usr/src/empty-1", 0755, NULL);
	kp_mkdir_in(f->root.fd, "/usr/src/odd-1/dkms.conf", 0755, NULL);
	kp_symlink_in(f->root.fd, "loop-1", "/usr/src/loop-1", NULL);
	put_link(f, "dangling", "1", "/usr/src/dangling-1");
	put_link(f, "empty", "1", "/usr/src/empty-1");
	put_link(f, "file", "1", "/usr/src/file-1");
	put_link(f, "line", "1", "/usr/src/a\nb");
	put_link(f, "loop", "1", "/usr/src/loop-1");
	put_link(f, "odd", "1", "/usr/src/odd-1");
	s = load(f);
	text = listing(&s);
	assert_string_equal(
		text,
		"dangling/1 /usr/src/dangling-1 missing: /usr/src/dangling-1 is not there\n"
		"empty/1 /usr/src/empty-1 missing: /usr/src/empty-1 has no dkms.conf\n"
		"file/1 /usr/src/file-1 missing: /usr/src/file-1 is not a directory\n"
		"line/1 /usr/src/a\nb missing: /usr/src/a?b is not there\n"
		"loop/1 /usr/src/loop-1 missing: /usr/src/loop-1: Too many levels of "
		"symbolic links\n"
		"odd/1 /usr/src/odd-1 missing: /usr/src/odd-1/dkms.conf is not a regular "
		"file\n");
}

/* Sources are read wherever they lie, but never outside of the root. */
static void trees_may_lie_elsewhere(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ char *text = NULL;

	put_conf(f, "/home/me/hello", "hello", "1");
	kp_mkdir_in(f->root.fd, "/usr/src", 0755, NULL);
	kp_symlink_in(f->root.fd, "/home/me/hello", "/usr/src/hello-1", NULL);
	put_link(f, "hello", "1", "/usr/src/hello-1");
	put_link(f, "escape", "1", "/../../../../../../../../etc");
	s = load(f);
	text = listing(&s);
	assert_string_equal(text, "escape/1 /../../../../../../../../etc missing: "
				  "/../../../../../../../../etc is not there\n"
				  "hello/1 /usr/src/hello-1\n");
}

static void unsafe_names_are_skipped_with_a_warning(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 }, u = { 0 };

	put_conf(f, "/usr/src/a b-1", "a b", "1");
	put_conf(f, "/usr/src/ok-1", "ok", "1");
	put_link(f, "a b", "1", "/usr/src/a b-1");
	put_link(f, "bad\nname", "1", "/usr/src/ok-1");
	put_link(f, "ok", "1 2", "/usr/src/ok-1");
	put_link(f, "ok", "1", "/usr/src/ok-1");
	s = load(f);
	assert_int_equal(s.n, 1);
	assert_string_equal(
		f->log.s,
		"warning: /var/lib/dkms/a b: unsafe name of a module, skipping\n"
		"warning: /var/lib/dkms/bad?name: unsafe name of a module, skipping\n"
		"warning: /var/lib/dkms/ok/1 2: unsafe name of a version, skipping\n");
	kp_buf_reset(&f->log);
	assert_int_equal(kp_sources_unregistered(f->ctx, &s, &u, NULL), 0);
	assert_int_equal(u.n, 0);
	assert_string_equal(f->log.s,
			    "warning: /usr/src/a b-1: unsafe name of a module source, "
			    "skipping\n");
}

static void unregistered_trees_are_named_by_their_conf(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ char *text = NULL;

	put_conf(f, "/usr/src/jool-dkms-4.1", "jool-dkms", "4.1");
	put_conf(f, "/usr/src/dpdk-0-rc1", "dpdk", "0-rc1");
	put_conf(f, "/usr/src/known-1", "known", "1");
	put_conf(f, "/home/elsewhere", "moved", "1");
	put_conf(f, "/usr/src/moved-1", "moved", "1");
	put_conf(f, "/usr/src/wrong-1", "right", "1");
	/* Needs a shell, but not for the name. */
	test_put(&f->root, "/usr/src/lttng-modules-2.13/dkms.conf",
		 "if [ -e /x ]; then exit 9; fi\n PACKAGE_NAME='lttng-modules'\n"
		 "PACKAGE_VERSION=2.13\n");
	test_put(&f->root, "/usr/src/linux-headers-6.1/Makefile", "");
	kp_symlink_in(f->root.fd, "/nowhere", "/usr/src/linux", NULL);
	put_link(f, "known", "1", "/usr/src/known-1");
	put_link(f, "moved", "1", "/home/elsewhere");
	s = unregistered(f);
	text = listing(&s);
	assert_string_equal(
		text,
		"dpdk/0-rc1 /usr/src/dpdk-0-rc1\n"
		"jool-dkms/4.1 /usr/src/jool-dkms-4.1\n"
		"lttng-modules/2.13 /usr/src/lttng-modules-2.13\n"
		"wrong/1 /usr/src/wrong-1: /usr/src/wrong-1/dkms.conf says right-1, not the "
		"name of its directory\n");
}

static void names_from_variables_are_evaluated(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ char *text = NULL;

	test_put(&f->root, "/usr/src/a-b-1-2/dkms.conf",
		 "base=a\nPACKAGE_NAME=\"$base-b\"\nPACKAGE_VERSION=1-2\n"
		 "BUILT_MODULE_NAME=x\nDEST_MODULE_LOCATION=/extra\n");
	s = unregistered(f);
	text = listing(&s);
	assert_string_equal(text, "a-b/1-2 /usr/src/a-b-1-2\n");
}

static void parts_of_a_name_must_be_safe_too(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };

	put_conf(f, "/usr/src/..-1", "..", "1");
	put_conf(f, "/usr/src/a-..", "a", "..");
	s = unregistered(f);
	assert_int_equal(s.n, 2);
	assert_non_null(s.list[0].problem);
	assert_non_null(s.list[1].problem);
}

static void register_and_unregister(void **state)
{
	struct fixture *f = *state;
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	_cleanup_free_ char *text = NULL, *target = NULL;
	struct kp_err err = KP_ERR_INIT;

	put_conf(f, "/usr/src/hello-1", "hello", "1");
	put_conf(f, "/usr/src/hello-2", "hello", "2");
	if (kp_source_register(f->ctx, "hello", "1", "/usr/src/hello-1", &err) < 0 ||
	    kp_source_register(f->ctx, "hello", "1", "/usr/src/hello-1", &err) < 0 ||
	    kp_source_register(f->ctx, "hello", "2", "/elsewhere", &err) < 0 ||
	    kp_source_register(f->ctx, "hello", "2", "/usr/src/hello-2", &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(kp_readlink_in(f->root.fd, DKMS "/hello/2/source", &target), 0);
	assert_string_equal(target, "/usr/src/hello-2");
	s = load(f);
	text = listing(&s);
	assert_string_equal(text, "hello/1 /usr/src/hello-1\nhello/2 /usr/src/hello-2\n");

	test_put(&f->root, DKMS "/hello/1/k/x86_64/module/hello.ko", "x");
	test_put(&f->root, DKMS "/hello/1/build/make.log", "x");
	test_put(&f->root, "/var/log/kmodpkg/hello/1/k-x86_64.log", "x");
	test_put(&f->root, "/var/log/kmodpkg/hello/2/k-x86_64.log", "x");
	kp_symlink_in(f->root.fd, "1/k/x86_64", DKMS "/hello/kernel-k-x86_64", NULL);
	kp_symlink_in(f->root.fd, "2/k/x86_64", DKMS "/hello/kernel-k2-x86_64", NULL);
	if (kp_source_unregister(f->ctx, "hello", "1", &err) < 0 ||
	    kp_source_unregister(f->ctx, "hello", "1", &err) < 0)
		fail_msg("%s", err.text);
	assert_false(kp_exists_in(f->root.fd, DKMS "/hello/1"));
	assert_false(kp_exists_in(f->root.fd, "/var/log/kmodpkg/hello/1"));
	assert_true(kp_exists_in(f->root.fd, "/var/log/kmodpkg/hello/2"));
	assert_int_equal(kp_readlink_in(f->root.fd, DKMS "/hello/kernel-k-x86_64",
					&target),
			 -ENOENT);
	free(kp_steal(&target));
	assert_int_equal(
		kp_readlink_in(f->root.fd, DKMS "/hello/kernel-k2-x86_64", &target), 0);
	assert_true(kp_exists_in(f->root.fd, "/usr/src/hello-1/dkms.conf"));
	assert_int_equal(kp_source_unregister(f->ctx, "hello", "2", &err), 0);
	assert_false(kp_exists_in(f->root.fd, DKMS "/hello"));
	assert_false(kp_exists_in(f->root.fd, "/var/log/kmodpkg/hello"));
	assert_true(kp_is_dir_in(f->root.fd, DKMS));
	assert_true(kp_exists_in(f->root.fd, "/usr/src/hello-2/dkms.conf"));
}

static void unregister_never_reaches_the_tree(void **state)
{
	struct fixture *f = *state;

	/* Registered by hand in odd ways: the version is a link to the tree itself. */
	put_conf(f, "/usr/src/odd-1", "odd", "1");
	kp_mkdir_in(f->root.fd, DKMS "/odd", 0755, NULL);
	kp_symlink_in(f->root.fd, "/usr/src/odd-1", DKMS "/odd/1", NULL);
	assert_int_equal(kp_source_unregister(f->ctx, "odd", "1", NULL), 0);
	assert_true(kp_exists_in(f->root.fd, "/usr/src/odd-1/dkms.conf"));
	assert_false(kp_exists_in(f->root.fd, DKMS "/odd"));
}

static void unsafe_names_are_refused(void **state)
{
	static const char *const names[] = { "..", "a/b", "", "a b", "a\nb" };
	struct fixture *f = *state;

	test_put(&f->root, "/var/lib/precious", "x");
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		struct kp_err err = KP_ERR_INIT;

		assert_int_equal(kp_source_register(f->ctx, names[i], "1", "/x", &err),
				 -EINVAL);
		assert_int_equal(kp_source_register(f->ctx, "m", names[i], "/x", &err),
				 -EINVAL);
		assert_int_equal(kp_source_unregister(f->ctx, names[i], "1", &err),
				 -EINVAL);
		assert_int_equal(kp_source_unregister(f->ctx, "m", names[i], &err),
				 -EINVAL);
		assert_null(strchr(err.text, '\n'));
	}
	assert_int_equal(kp_source_register(f->ctx, "m", "1", "usr/src/m-1", NULL),
			 -EINVAL);
	assert_false(kp_exists_in(f->root.fd, DKMS));
	assert_true(kp_exists_in(f->root.fd, "/var/lib/precious"));
}

/* A database in which a package "p" owns what is below /owned/. */
static size_t owner_calls;

static int owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err)
{
	(void)db;
	(void)err;
	owner_calls++;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		if (kp_str_starts(paths[i], "/owned/"))
			ret[i] = (struct kp_owner){ kp_strdup("p"), kp_strdup("1"),
						    kp_strdup(paths[i]) };
	}
	return 0;
}

static int owner_fails(struct kp_pkgdb *db, const char *const *paths, size_t n,
		       struct kp_owner *ret, struct kp_err *err)
{
	(void)db;
	(void)paths;
	(void)n;
	(void)ret;
	return kp_err_set(err, -EIO, "database is broken");
}

static void owners_by_one_query(void **state)
{
	struct fixture *f = *state;
	struct kp_pkgdb_ops ops = { .owner = owner };
	struct kp_backend backend = { .ops = &ops };
	_cleanup_(kp_sources_clear) struct kp_sources s = { 0 };
	struct kp_err err = KP_ERR_INIT;

	put_conf(f, "/owned/a", "a", "1");
	put_conf(f, "/owned/b", "b", "1");
	put_conf(f, "/free/c", "c", "1");
	kp_mkdir_in(f->root.fd, "/usr/src", 0755, NULL);
	kp_symlink_in(f->root.fd, "/owned/b", "/usr/src/b-1", NULL);
	put_link(f, "a", "1", "/owned/a");
	put_link(f, "b", "1", "/usr/src/b-1");
	put_link(f, "c", "1", "/free/c");
	put_link(f, "d", "1", "/owned/gone");
	f->ctx->backend = &backend;
	owner_calls = 0;
	s = load(f);
	assert_int_equal(owner_calls, 1);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.list[0].package, "p");
	assert_string_equal(s.list[1].package, "p"); /* by its real path */
	assert_null(s.list[2].package);
	assert_true(s.list[3].missing);
	assert_string_equal(s.list[3].package, "p"); /* not there, but still owned */
	kp_sources_clear(&s);
	ops.owner = owner_fails;
	assert_int_equal(kp_sources_load(f->ctx, &s, &err), -EIO);
	assert_string_equal(err.text, "database is broken");
	assert_int_equal(s.n, 0);
	f->ctx->backend = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_there),
		TEST(registered_in_order_of_version),
		TEST(missing_says_why),
		TEST(trees_may_lie_elsewhere),
		TEST(unsafe_names_are_skipped_with_a_warning),
		TEST(unregistered_trees_are_named_by_their_conf),
		TEST(names_from_variables_are_evaluated),
		TEST(parts_of_a_name_must_be_safe_too),
		TEST(register_and_unregister),
		TEST(unregister_never_reaches_the_tree),
		TEST(unsafe_names_are_refused),
		TEST(owners_by_one_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
