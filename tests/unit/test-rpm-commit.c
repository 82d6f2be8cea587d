// SPDX-License-Identifier: GPL-2.0-or-later
/* commit(): the real database, and rpm's word for what is in it. */
#include "rpm-system.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define KO DIR1 "hello.ko"
#define NAME1 "kmod-hello-" K1

static char *query(const char *format, const char *name)
{
	return RUN("/usr/bin/rpm", "-q", "--qf", format, name);
}

static void assert_version(const char *name, const char *version)
{
	_cleanup_free_ char *v = query("%{VERSION}\n", name),
			    *want = kp_strf("%s\n", version);

	assert_string_equal(v, want);
}

static void assert_content(const char *path, const char *text)
{
	_cleanup_free_ char *is = test_get(&sys.s->root, path);

	assert_string_equal(is, text);
}

static void assert_owner(const char *path, const char *name)
{
	_cleanup_free_ char *owner =
		RUN("/usr/bin/rpm", "-qf", "--qf", "%{NAME}\n", path);
	_cleanup_free_ char *want = kp_strf("%s\n", name);

	assert_string_equal(owner, want);
}

static int erase(const char *name, struct kp_change *ret)
{
	*ret = (struct kp_change){ .kind = KP_CHANGE_ERASE, .name = name };
	return commit(ret, 1);
}

static void test_install_and_erase(void **state)
{
	_cleanup_free_ char *file = NULL, *none = NULL;
	struct kp_change c;

	test_system(state);
	file = make_package("hello", "1.0", K1, KO, "one");
	commit_add(file);
	assert_version(NAME1, "1.0");
	assert_content(KO, "one");
	assert_owner(KO, NAME1);
	assert_owner("/usr" KO, NAME1);
	DO("/usr/bin/rpm", "-V", NAME1);

	/* once more changes nothing, and the file is not needed for that */
	commit_add(file);
	none = query("%{INSTALLTID} ", NAME1);

	assert_int_equal(erase(NAME1, &c), 0);
	assert_int_equal(c.result, KP_CHANGE_DONE);
	free(RUN_FAIL("/usr/bin/rpm", "-q", NAME1));
	assert_false(test_exists(sys.s, KO));
	assert_false(test_exists(sys.s, "/lib/modules/" K1 "/updates"));
	assert_int_equal(erase(NAME1, &c), 0);
	assert_int_equal(c.result, KP_CHANGE_DONE);
	assert_clean();
}

static void test_upgrade_downgrade_rebuild(void **state)
{
	_cleanup_free_ char *v1 = NULL, *v2 = NULL, *again = NULL;
	_cleanup_package_ struct package p;

	test_system(state);
	v1 = make_package("hello", "1.0", K1, DIR1 "old.ko", "one");
	v2 = make_package("hello", "2.0", K1, KO, "two");
	commit_add(v1);
	commit_add(v2);
	assert_version(NAME1, "2.0");
	assert_false(test_exists(sys.s, DIR1 "old.ko"));
	assert_content(KO, "two");
	commit_add(v1);
	assert_version(NAME1, "1.0");
	assert_content(DIR1 "old.ko", "one");
	assert_false(test_exists(sys.s, KO));

	/* the same version with another key and other files: those it had go */
	package_init(&p, "hello", "1.0", K1);
	package_add(&p, KO, "three");
	p.pkg.id.key[0] = 'c';
	TEST_TRY(write_into(&p, "/again", &again, NULL, err));
	commit_add(again);
	assert_version(NAME1, "1.0");
	assert_content(KO, "three");
	assert_false(test_exists(sys.s, DIR1 "old.ko"));
	DO("/usr/bin/rpm", "-V", NAME1);
	assert_clean();
}

static void test_two_after_an_accident(void **state)
{
	_cleanup_free_ char *v1 = NULL, *v2 = NULL, *v3 = NULL;
	struct kp_pkg_installed *list;
	struct kp_change c;
	size_t n;

	test_system(state);
	v1 = make_package("hello", "1.0", K1, DIR1 "old.ko", "one");
	v2 = make_package("hello", "2.0", K1, KO, "two");
	v3 = make_package("hello", "3.0", K1, KO, "three");
	commit_add(v1);
	DO("/usr/bin/rpm", "-i", "--force", v2);
	assert_int_equal(ops->list(sys.db, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].id.key, "");
	assert_string_equal(list[0].id.content, "");
	assert_int_equal(kp_strv_len(list[0].files), 2);
	kp_pkg_list_free(list, n);
	/* one of the two is what is wanted; the other goes */
	commit_add(v2);
	assert_version(NAME1, "2.0");
	assert_false(test_exists(sys.s, DIR1 "old.ko"));
	assert_content(KO, "two");

	DO("/usr/bin/rpm", "-i", "--force", v1);
	commit_add(v3);
	assert_version(NAME1, "3.0");
	assert_false(test_exists(sys.s, DIR1 "old.ko"));
	DO("/usr/bin/rpm", "-i", "--force", v1);
	assert_int_equal(erase(NAME1, &c), 0);
	assert_int_equal(c.result, KP_CHANGE_DONE);
	free(RUN_FAIL("/usr/bin/rpm", "-q", NAME1));
	assert_clean();
}

static void test_one_bad_of_three(void **state)
{
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL;
	struct kp_change changes[3] = { 0 };

	test_system(state);
	install_other("vendor", DIR1 "b.ko", "theirs", NULL);
	a = make_package("a", "1.0", K1, DIR1 "a.ko", "a");
	b = make_package("b", "1.0", K1, DIR1 "b.ko", "b");
	c = make_package("c", "1.0", K1, DIR1 "c.ko", "c");
	changes[0].file = a;
	changes[1].file = b;
	changes[2].file = c;
	assert_int_equal(commit(changes, 3), 0);
	assert_int_equal(changes[0].result, KP_CHANGE_DONE);
	assert_int_equal(changes[1].result, KP_CHANGE_FAILED);
	assert_int_equal(changes[2].result, KP_CHANGE_DONE);
	assert_non_null(strstr(changes[1].err.text,
			       "file " DIR1 "b.ko from install of kmod-b-" K1));
	assert_non_null(strstr(changes[1].err.text, "vendor-1-1.noarch"));
	assert_owner(DIR1 "b.ko", "vendor");
	assert_content(DIR1 "b.ko", "theirs");
	assert_content(DIR1 "a.ko", "a");
	assert_content(DIR1 "c.ko", "c");
	assert_clean();
}

static void test_bad_files(void **state)
{
	_cleanup_free_ char *good = NULL, *cut = NULL, *flipped = NULL;
	struct kp_change changes[4] = { 0 };
	char byte = 'X';
	int fd;

	test_system(state);
	good = make_package("a", "1.0", K1, DIR1 "a.ko", "a");
	cut = make_package("b", "1.0", K1, DIR1 "b.ko", "b");
	flipped = make_package("c", "1.0", K1, DIR1 "c.ko", "c");
	assert_int_equal(truncate(cut, 500), 0);
	fd = open(flipped, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &byte, 1, lseek(fd, 0, SEEK_END) - 20), 1);
	close(fd);
	changes[0].file = cut;
	changes[1].file = flipped;
	changes[2].file = "/nothing.rpm";
	changes[3].file = good;
	assert_int_equal(commit(changes, 4), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(changes[i].result, KP_CHANGE_FAILED);
		assert_string_not_equal(changes[i].err.text, "");
	}
	assert_int_equal(changes[3].result, KP_CHANGE_DONE);
	free(RUN_FAIL("/usr/bin/rpm", "-q", "kmod-c-" K1));
	assert_clean();
}

static void test_add_and_erase_together(void **state)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	struct kp_change changes[2] = { 0 };

	test_system(state);
	a = make_package("a", "1.0", K1, KO, "a");
	b = make_package("b", "1.0", K1, KO, "b");
	commit_add(a);
	/* a file that goes from one package to the other, in one transaction */
	changes[0].kind = KP_CHANGE_ERASE;
	changes[0].name = "kmod-a-" K1;
	changes[1].file = b;
	assert_int_equal(commit(changes, 2), 0);
	assert_int_equal(changes[0].result, KP_CHANGE_DONE);
	assert_int_equal(changes[1].result, KP_CHANGE_DONE);
	assert_owner(KO, "kmod-b-" K1);
	assert_content(KO, "b");
	DO("/usr/bin/rpm", "-V", "kmod-b-" K1);
	assert_clean();
}

/* The client erases the package itself, later. */
static void test_what_the_transaction_erases_is_left_to_it(void **state)
{
	_cleanup_free_ char *one = NULL, *two = NULL, *other = NULL;
	struct kp_change changes[3] = { 0 };
	struct kp_pkgdb *db;

	test_system(state);
	one = make_package("hello", "1.0", K1, KO, "one");
	two = make_package("hello", "2.0", K1, KO, "two");
	other = make_package("other", "1.0", K1, DIR1 "other.ko", "other");
	commit_add(one);
	setenv("KMODPKG_RPM_ERASES", " kmod-x-" K1 " kmod-hello-" K1, 1);
	TEST_TRY(ops->open(sys.s->root.fd, KP_OPEN_NESTED, &db, err));
	unsetenv("KMODPKG_RPM_ERASES");
	changes[0].file = two;
	changes[1].file = other;
	changes[2].kind = KP_CHANGE_ERASE;
	changes[2].name = "kmod-hello-" K1;
	assert_int_equal(ops->commit(db, changes, 3, NULL), 0);
	ops->close(db);
	assert_int_equal(changes[0].result, KP_CHANGE_PENDING);
	assert_int_equal(changes[1].result, KP_CHANGE_DONE);
	assert_int_equal(changes[2].result, KP_CHANGE_PENDING);
	assert_content(KO, "one");
	DO("/usr/bin/rpm", "-V", "kmod-hello-" K1);
	commit_add(two);
	assert_content(KO, "two");
}

static void test_files_that_lie_there_are_taken(void **state)
{
	_cleanup_free_ char *a = NULL;

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "new");
	test_put(&sys.s->root, KO, "placed");
	commit_add(a);
	assert_content(KO, "new");
	assert_owner(KO, NAME1);
	DO("/usr/bin/rpm", "-V", NAME1);
	assert_false(test_exists(sys.s, KO ".rpmorig"));
	assert_false(test_exists(sys.s, KO ".rpmsave"));
}

/* What a killed transaction left of the same files goes, and nothing else of such a name. */
static void test_unfinished_files_go(void **state)
{
	static const char *const others[] = { KO ";5f3759d", KO ";5f3759df0", KO ";new",
					      DIR1 "other.ko;5f3759df" };
	_cleanup_free_ char *a = NULL;

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "new");
	test_put(&sys.s->root, KO ";5f3759df", "unfinished");
	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++)
		test_put(&sys.s->root, others[i], "another's");
	commit_add(a);
	assert_false(test_exists(sys.s, KO ";5f3759df"));
	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++)
		assert_true(test_exists(sys.s, others[i]));
}

static void test_others_of_our_names(void **state)
{
	_cleanup_free_ char *a = NULL;
	struct kp_change c = { 0 };

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "ours");
	install_other(NAME1, "/usr/share/akmod", "x", NULL);
	c.file = a;
	assert_int_equal(commit(&c, 1), 0);
	assert_int_equal(c.result, KP_CHANGE_FAILED);
	assert_int_equal(c.err.code, -EEXIST);
	assert_int_equal(erase(NAME1, &c), 0);
	assert_int_equal(c.result, KP_CHANGE_FAILED);
	DO("/usr/bin/rpm", "-q", NAME1);
	assert_false(test_exists(sys.s, KO));
}

static void test_what_others_need_stays(void **state)
{
	_cleanup_free_ char *a = NULL;
	struct kp_change c = { 0 };

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "ours");
	commit_add(a);
	install_other("app", "/usr/share/app", "x", "Requires: hello-kmod");
	assert_int_equal(erase(NAME1, &c), 0);
	assert_int_equal(c.result, KP_CHANGE_FAILED);
	assert_non_null(
		strstr(c.err.text, "hello-kmod is needed by (installed) app-1-1"));
	DO("/usr/bin/rpm", "-q", NAME1);
}

/* What a process has that librpm changes while it works. */
static char *process_state(void)
{
	_cleanup_free_ char *status = test_get(&sys.s->root, "/proc/self/status");
	_cleanup_free_ char *cwd = realpath(".", NULL);
	_cleanup_strv_ char **lines = kp_strv_split(status, "\n");
	struct kp_buf b = KP_BUF_INIT;
	struct stat root;

	kp_strv_foreach(l, lines)
		if (kp_str_starts(*l, "SigBlk") || kp_str_starts(*l, "SigIgn") ||
		    kp_str_starts(*l, "SigCgt") || kp_str_starts(*l, "Umask"))
			kp_buf_addf(&b, "%s\n", *l);
	assert_int_equal(stat("/", &root), 0);
	kp_buf_addf(&b, "%s %llu", cwd, (unsigned long long)root.st_ino);
	return kp_buf_steal(&b);
}

static void test_the_process_is_left_as_it_was(void **state)
{
	_cleanup_free_ char *a = NULL, *before = NULL, *after = NULL;
	struct kp_change c;

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "ours");
	umask(0031);
	assert_int_equal(chdir("/usr/share"), 0);
	signal(SIGPIPE, SIG_IGN);
	before = process_state();
	commit_add(a);
	assert_int_equal(erase(NAME1, &c), 0);
	after = process_state();
	assert_string_equal(before, after);
	signal(SIGPIPE, SIG_DFL);
	umask(022);
	assert_int_equal(chdir("/"), 0);
}

static void test_no_database(void **state)
{
	_cleanup_free_ char *a = NULL;
	struct kp_pkg_installed *list;
	struct kp_change c = { 0 };
	size_t n;
	int status;
	pid_t pid;

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "ours");
	TEST_TRY(kp_rm_rf_in(sys.s->root.fd, RPM_DB, err));
	TEST_TRY(kp_mkdir_in(sys.s->root.fd, RPM_DB, 0755, err));
	c.file = a;
	assert_int_equal(commit(&c, 1), -EIO);
	assert_int_equal(c.result, KP_CHANGE_PENDING);
	assert_int_equal(ops->list(sys.db, &list, &n, NULL), -EIO);
	assert_false(test_exists(sys.s, RPM_DB "/rpmdb.sqlite"));

	/* In a child, for librpm leaks what it has opened then. */
	test_put(&sys.s->root, RPM_DB "/rpmdb.sqlite",
		 "this is no database at all......");
	pid = fork();
	if (pid == 0)
		_exit(ops->list(sys.db, &list, &n, NULL) != -EIO ||
		      commit(&c, 1) != -EIO);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_read_only_database(void **state)
{
	_cleanup_free_ char *a = NULL, *b = NULL;
	struct kp_pkg_installed *list;
	struct kp_change c = { 0 };
	size_t n;

	test_system(state);
	a = make_package("hello", "1.0", K1, KO, "ours");
	b = make_package("b", "1.0", K1, DIR1 "b.ko", "b");
	commit_add(b);
	c.file = a;
	assert_int_equal(mount(RPM_DB, RPM_DB, NULL, MS_BIND, NULL), 0);
	assert_int_equal(
		mount(NULL, RPM_DB, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(commit(&c, 1), -EROFS);
	assert_int_equal(c.result, KP_CHANGE_PENDING);
	/* reading goes on */
	TEST_TRY(ops->list(sys.db, &list, &n, err));
	assert_int_equal(n, 1);
	kp_pkg_list_free(list, n);
	umount(RPM_DB);
}

static void test_full_disk(void **state)
{
	_cleanup_free_ char *a = NULL, *data = kp_malloc(2000001);
	struct kp_change c = { 0 };

	test_system(state);
	memset(data, 'x', 2000000);
	data[2000000] = '\0';
	a = make_package("hello", "1.0", K1, KO, data);
	c.file = a;
	assert_int_equal(mount("tmpfs", "/lib/modules", "tmpfs", 0, "size=1M"), 0);
	assert_int_equal(commit(&c, 1), -ENOSPC);
	assert_int_equal(c.result, KP_CHANGE_PENDING);
	umount("/lib/modules");
	commit_add(a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RPM_TEST(test_install_and_erase),
		RPM_TEST(test_upgrade_downgrade_rebuild),
		RPM_TEST(test_two_after_an_accident),
		RPM_TEST(test_one_bad_of_three),
		RPM_TEST(test_bad_files),
		RPM_TEST(test_add_and_erase_together),
		RPM_TEST(test_what_the_transaction_erases_is_left_to_it),
		RPM_TEST(test_files_that_lie_there_are_taken),
		RPM_TEST(test_unfinished_files_go),
		RPM_TEST(test_others_of_our_names),
		RPM_TEST(test_what_others_need_stays),
		RPM_TEST(test_the_process_is_left_as_it_was),
		RPM_TEST(test_no_database),
		RPM_TEST(test_read_only_database),
		RPM_TEST(test_full_disk),
	};

	if (!rpm_load_backend())
		return 0;
	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
