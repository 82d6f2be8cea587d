// SPDX-License-Identifier: GPL-2.0-or-later
/* What a database says of our packages is used again while its files look the same. */
#include <kmodpkg/pkgdb.h>

#include "base/looks.h"
#include "lib/backend.h"
#include "test.h"

static struct test_root root;
static char *database;
static size_t asked;
static const char *name = "hello-modules";

static struct kp_pkg_installed make(const char *module, const char *source_package)
{
	struct kp_pkg_installed p = {
		.id = { .module = kp_strdup(module),
			.version = kp_strdup("1.0"),
			.kernel = kp_strdup("6.1"),
			.arch = kp_strdup("x86_64"),
			.key = kp_strdup("aaaa"),
			.content = kp_strdup("bbbb"),
			.source_package =
				source_package ? kp_strdup(source_package) : NULL },
		.name = kp_strdup(name),
		.pkg_version = kp_strdup("1.0-1"),
	};

	return p;
}

static int list(struct kp_pkgdb *db KP_UNUSED, struct kp_pkg_installed **ret,
		size_t *ret_n, struct kp_err *err KP_UNUSED)
{
	struct kp_pkg_installed *two = kp_calloc(2, sizeof(*two));

	asked++;
	two[0] = make("hello", "hello-dkms");
	kp_strv_add(&two[0].files, "/lib/modules/6.1/extra/a.ko");
	kp_strv_add(&two[0].files, "/lib/modules/6.1/extra/b.ko");
	two[1] = make("other", NULL);
	*ret = two;
	*ret_n = 2;
	return 0;
}

static char *stamp(struct kp_pkgdb *db KP_UNUSED, int64_t *newest_s)
{
	return kp_looks_in(root.fd, database, newest_s);
}

static struct kp_pkgdb_ops ops = { .name = "fake", .list = list, .stamp = stamp };

/* One process. */
static void check(bool asks)
{
	struct kp_backend backend = { .ops = &ops };
	struct kp_ctx ctx = { .root_fd = root.fd,
			      .state_dir = (char *)"/state",
			      .backend = &backend };
	struct kp_pkg_installed *p;
	_cleanup_free_ char *files = NULL;
	size_t n;

	asked = 0;
	assert_int_equal(kp_backend_list(&ctx, &p, &n, NULL), 0);
	assert_int_equal(asked, asks);
	assert_int_equal(n, 2);
	assert_string_equal(p[0].name, name);
	assert_string_equal(p[0].pkg_version, "1.0-1");
	assert_string_equal(p[0].id.module, "hello");
	assert_string_equal(p[0].id.version, "1.0");
	assert_string_equal(p[0].id.kernel, "6.1");
	assert_string_equal(p[0].id.arch, "x86_64");
	assert_string_equal(p[0].id.key, "aaaa");
	assert_string_equal(p[0].id.content, "bbbb");
	assert_string_equal(p[0].id.source_package, "hello-dkms");
	files = kp_strv_join(p[0].files, " ");
	assert_string_equal(files,
			    "/lib/modules/6.1/extra/a.ko /lib/modules/6.1/extra/b.ko");
	assert_string_equal(p[1].id.module, "other");
	assert_null(p[1].id.source_package);
	assert_null(p[1].files);
	kp_pkg_list_free(p, n);
}

static void remembered(void **state KP_UNUSED)
{
	_cleanup_free_ char *text = NULL, *cut = NULL;

	if (geteuid() != 0)
		skip(); /* nothing is written */
	root = test_root_new();
	database = (char *)"/database";
	test_put(&root, database, "one");
	test_put(&root, "/state/x", "");
	/* Of a database whose looks say nothing of it. */
	test_let_age();
	check(true);
	check(true);
	ops.stamps_list = true;
	check(true);
	check(false);
	name = "hello-modules-2";
	test_put(&root, database, "two");
	/* Fresh: it may change again unseen. */
	check(true);
	check(true);
	test_let_age();
	check(true);
	check(false);
	/* Not whole, or not what we write. */
	text = test_get(&root, "/state/packages");
	cut = kp_strndup(text, strlen(text) - 5);
	test_put(&root, "/state/packages", cut);
	check(true);
	check(false);
	test_put(&root, "/state/packages", "");
	check(true);
	strcpy(strchr(text, '\t'), "\nend\n");
	test_put(&root, "/state/packages", text);
	check(true);
	check(false);
	/* A name that has no room on a line. */
	name = "hello\tmodules";
	test_put(&root, database, "three");
	test_let_age();
	check(true);
	check(true);
	test_root_free(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(remembered) };

	return cmocka_run_group_tests_name("package-memo", tests, NULL, NULL);
}
