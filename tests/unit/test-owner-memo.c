// SPDX-License-Identifier: GPL-2.0-or-later
/* Answers of a database are used again while its files look the same, by this process and the next. */
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

#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/owner-memo.h"
#include "test.h"

static char dir[] = "/tmp/test-owner-memo.XXXXXX";
static char *database;
static bool has_stamp;
static size_t asked; /* paths that the database was asked for */
static const char *version = "1";

static int owner(struct kp_pkgdb *db KP_UNUSED, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err KP_UNUSED)
{
	asked += n;
	for (size_t i = 0; i < n; i++)
		if (strcmp(paths[i], "/nobody") != 0)
			ret[i] = (struct kp_owner){ kp_strdup("p"), kp_strdup(version),
						    kp_strdup(paths[i]) };
	return 0;
}

static char *stamp(struct kp_pkgdb *db KP_UNUSED, int64_t *newest_s)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *looks = has_stamp ? kp_looks_in(fd, database, newest_s) : NULL;

	close(fd);
	return looks;
}

static const struct kp_pkgdb_ops ops = {
	.name = "fake",
	.owner = owner,
	.stamp = stamp,
};

/* One process: ask for both paths, N of which the database itself has to answer. */
static void check(size_t n)
{
	char *const paths[] = { (char *)"/lib/x", (char *)"/nobody", NULL };
	struct kp_backend backend = { .ops = &ops };
	struct kp_ctx ctx = { .root_fd = AT_FDCWD,
			      .state_dir = dir,
			      .backend = &backend };
	struct kp_owner *owners;

	ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	asked = 0;
	assert_int_equal(kp_backend_owners(&ctx, paths, &owners, NULL), 0);
	assert_int_equal(asked, n);
	assert_string_equal(owners[0].package, "p");
	assert_string_equal(owners[0].version, version);
	assert_string_equal(owners[0].path, "/lib/x");
	assert_null(owners[1].package);
	kp_owners_free(owners, 2);
	kp_owner_memo_close(&ctx);
	close(ctx.root_fd);
}

static void change(const char *text)
{
	int fd = open(database, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void test_memo(void **state KP_UNUSED)
{
	_cleanup_free_ char *memo = NULL;

	if (geteuid() != 0)
		skip(); /* nothing is written */
	assert_non_null(mkdtemp(dir));
	database = kp_path_join(dir, "database");
	memo = kp_path_join(dir, "owners.json");
	change("one");
	/* Nobody knows how it looks: always asked. */
	check(2);
	has_stamp = true;
	/* Fresh: it may change again unseen. */
	check(2);
	assert_int_equal(access(memo, F_OK), -1);
	test_let_age();
	check(2);
	check(0);
	version = "2";
	change("two");
	check(2);
	check(2);
	test_let_age();
	check(2);
	check(0);
	/* Whatever is in it. */
	assert_int_equal(truncate(memo, 10), 0);
	check(2);
	check(0);
	assert_int_equal(unlink(memo) | unlink(database) | rmdir(dir), 0);
	free(database);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_memo) };

	return cmocka_run_group_tests_name("owner-memo", tests, NULL, NULL);
}
