// SPDX-License-Identifier: GPL-2.0-or-later
/* check_hooks() and install(), by what rpm itself makes of its macros. */
#include "rpm-system.h"

#include <fnmatch.h>
#include <sys/wait.h>

#define MACROS "/usr/lib/rpm/macros.d/macros.transaction_kmodpkg"
#define DEFINITION "%__transaction_kmodpkg %{__plugindir}/kmodpkg.so\n"

static void keep(void *data, const char *what, const char *mend)
{
	kp_buf_addf(data, "%s | %s\n", what, mend ? mend : "nothing");
}

static void look(struct kp_buf *b)
{
	struct kp_pkgdb *db;

	if (ops->open(sys.s->root.fd, 0, &db, NULL) < 0)
		_exit(99);
	if (ops->check_hooks(db, keep, b, NULL) < 0)
		_exit(98);
	kp_buf_addf(b, "%s\n", ops->install(db) ?: "none");
	ops->close(db);
}

/* What is found, and behind it how to install; in a process of its own, since librpm reads its
 * configuration once. To be freed. */
static char *found(void)
{
	_cleanup_close_ int fd = memfd_create("found", MFD_CLOEXEC);
	char *ret = NULL;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

		look(&b);
		_exit(kp_write_all(fd, b.s, b.len) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(kp_read_fd(fd, 0, &ret, NULL), 0);
	return ret;
}

/* EXPECTED: an fnmatch(3) pattern. */
static void check(const char *expected)
{
	_cleanup_free_ char *is = found();

	if (fnmatch(expected, is, 0) != 0)
		fail_msg("found: %s", is);
}

static int setup(void **state)
{
	test_system_setup(state);
	sys.s = *state;
	if (!sys.s->ctx)
		return 0;
	(void)kp_unlink_in(sys.s->root.fd, MACROS);
	(void)kp_unlink_in(sys.s->root.fd, "/usr/bin/zypper");
	(void)kp_unlink_in(sys.s->root.fd, "/usr/bin/dnf");
	test_put(&sys.s->root, "/usr/bin/dnf", "");
	return 0;
}

static int teardown(void **state)
{
	sys = (struct rpm_system){ 0 };
	return test_system_teardown(state);
}

/* Where this system's rpm has its plugins. */
static char *plugin_path(void)
{
	_cleanup_free_ char *dir = RUN("/usr/bin/rpm", "--eval", "%{__plugindir}");

	return kp_path_join(kp_str_strip(dir), "kmodpkg.so");
}

static void test_parts(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *plugin = plugin_path();
	_cleanup_free_ char *missing = kp_strf(
		"%s is missing, so * | dnf reinstall kmodpkg\ndnf install\n", plugin);

	(void)kp_unlink_in(s->root.fd, plugin);
	check("the macro %__transaction_kmodpkg is not defined, so * | dnf reinstall "
	      "kmodpkg\ndnf install\n");
	test_put(&s->root, MACROS, DEFINITION);
	check(missing);
	test_put(&s->root, plugin, "");
	check("dnf install\n");
	test_put(&s->root, "/etc/rpm/macros.local",
		 "%__transaction_kmodpkg /nowhere.so word\n");
	check("/nowhere.so is missing, *");
}

/* Switched off as hooks/rpm says; the command that is printed mends it. */
static void test_switched_off(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *plugin = plugin_path(), *text = NULL;

	test_put(&s->root, MACROS, DEFINITION);
	test_put(&s->root, plugin, "");
	test_put(&s->root, "/etc/rpm/macros.local",
		 "%_one 1\n%__transaction_kmodpkg %{nil}\n%_two 2\n");
	check("the macro %__transaction_kmodpkg is empty, so * | sed -i "
	      "'/^%__transaction_kmodpkg/d' /etc/rpm/macros.local\ndnf install\n");
	DO("/usr/bin/sed", "-i", "/^%__transaction_kmodpkg/d", "/etc/rpm/macros.local");
	check("dnf install\n");
	TEST_TRY(kp_read_in(s->root.fd, "/etc/rpm/macros.local", 0, &text, NULL));
	assert_string_equal(text, "%_one 1\n%_two 2\n");
}

static void test_frontends(void **state)
{
	struct test_system *s = test_system(state);

	test_put(&s->root, "/usr/bin/zypper", "");
	check("* | dnf reinstall kmodpkg\ndnf install\n");
	test_put(&s->root, "/etc/rpm/macros.suse", "%suse_version 1699\n");
	check("* | zypper install --force kmodpkg\nzypper install\n");
	TEST_TRY(kp_unlink_in(s->root.fd, "/usr/bin/zypper"));
	check("* | dnf reinstall kmodpkg\ndnf install\n");
	TEST_TRY(kp_unlink_in(s->root.fd, "/usr/bin/dnf"));
	check("* | nothing\nnone\n");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parts),
		TEST(test_switched_off),
		TEST(test_frontends),
	};

	if (!rpm_load_backend())
		return 0;
	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
