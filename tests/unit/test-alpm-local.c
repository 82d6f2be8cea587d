// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading pacman's local database: probe, list, owner, superseded; and where it is. */
#include "alpm-root.h"

#define KERNEL_FILES                                                                     \
	"usr/\nusr/lib/\nusr/lib/modules/\nusr/lib/modules/" KERNEL                      \
	"/\nusr/lib/modules/" KERNEL "/pkgbase\nusr/lib/modules/" KERNEL "/vmlinuz\n"
#define OURS                                                                             \
	"hello [kmodpkg: module=hello version=1.0 kernel=" KERNEL                        \
	" pkgbase=linux arch=x86_64 key=aaaa content=bbbb]"
#define OUR_FILES                                                                        \
	"usr/\nusr/lib/\nusr/lib/modules/\nusr/lib/modules/" KERNEL "/\n"                \
	"usr/lib/modules/" KERNEL "/updates/\nusr/lib/modules/" KERNEL                   \
	"/updates/hello.ko\n"

static struct kp_owner owner_of(struct root *r, const char *path)
{
	struct kp_owner owner = { 0 };
	struct kp_err err = KP_ERR_INIT;

	if (ops->owner(r->db, &path, 1, &owner, &err) < 0)
		fail_msg("%s", err.text);
	return owner;
}

static void assert_owner(struct root *r, const char *path, const char *package,
			 const char *literal)
{
	struct kp_owner o = owner_of(r, path);

	if (!kp_str_eq(o.package, package) || !kp_str_eq(o.path, literal))
		fail_msg("%s belongs to %s as %s", path, o.package ?: "nobody",
			 o.path ?: "nothing");
	free(o.package);
	free(o.version);
	free(o.path);
}

static size_t count(struct root *r)
{
	struct kp_pkg_installed *list = NULL;
	size_t n = 99;

	assert_int_equal(ops->list(r->db, &list, &n, NULL), 0);
	kp_pkg_list_free(list, n);
	return n;
}

static void test_probe(void **state)
{
	struct root *r = *state;

	assert_int_equal(ops->probe(r->fd), 1);
	put_package(r, "bash", "5.2-1", "shell", "usr/\nusr/bin/\nusr/bin/bash\n");
	assert_int_equal(ops->probe(r->fd), 1);
	put_package(r, "linux", "6.1-1", "kernel", KERNEL_FILES);
	assert_int_equal(ops->probe(r->fd), 2);
	assert_int_equal(kp_rm_rf_in(r->fd, "/var/lib/pacman", NULL), 0);
	assert_int_equal(ops->probe(r->fd), 0);
}

static void test_owner(void **state)
{
	struct root *r = *state;

	put_package(r, "kmod-hello-linux", "1.0_6.1-1", OURS, OUR_FILES);
	put_package(r, "linux", "6.1-1", "kernel", KERNEL_FILES);
	put_package(r, "linux-headers", "6.1-1", "headers",
		    "usr/\nusr/lib/\nusr/lib/modules/\nusr/lib/modules/" KERNEL
		    "/\nusr/lib/modules/" KERNEL "/build/\n");
	assert_int_equal(kp_symlink_in(r->fd, "usr/lib", "/lib", NULL), 0);

	assert_owner(r, MODULES KERNEL "/vmlinuz", "linux", MODULES KERNEL "/vmlinuz");
	assert_owner(r, MODULES KERNEL "/build", "linux-headers",
		     MODULES KERNEL "/build");
	assert_owner(r, MODULES KERNEL "/build/", "linux-headers",
		     MODULES KERNEL "/build");
	assert_owner(r, "/lib/modules/" KERNEL "/vmlinuz", "linux",
		     MODULES KERNEL "/vmlinuz");
	assert_owner(r, MODULES KERNEL "/updates/hello.ko", "kmod-hello-linux",
		     MODULES KERNEL "/updates/hello.ko");
	assert_owner(r, MODULES KERNEL "/vmlinu", NULL, NULL);
	assert_owner(r, MODULES "vmlinuz", NULL, NULL);
	/* a directory of several, ours the first */
	assert_owner(r, MODULES KERNEL, "linux", MODULES KERNEL);
	assert_owner(r, "/usr", "linux", "/usr");
}

static void test_pacman_agrees(void **state)
{
	static const char *const paths[] = { MODULES KERNEL "/vmlinuz",
					     MODULES KERNEL "/updates/hello.ko",
					     MODULES KERNEL "/pkgbase" };
	struct root *r = *state;

	put_package(r, "kmod-hello-linux", "1.0_6.1-1", OURS, OUR_FILES);
	put_package(r, "linux", "6.1-1", "kernel", KERNEL_FILES);
	put(r, MODULES KERNEL "/updates/hello.ko", "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++) {
		struct kp_owner o = owner_of(r, paths[i]);
		_cleanup_free_ char *full = kp_strf("%s%s", r->dir.path, paths[i]);
		_cleanup_free_ char *line =
			kp_strf("is owned by %s %s\n", o.package, o.version);

		ASSERT_PACMAN(r, line, "-Qo", full);
		free(o.package);
		free(o.version);
		free(o.path);
	}
}

static void test_list_is_of_ours_only(void **state)
{
	struct root *r = *state;

	assert_int_equal(count(r), 0);
	put_package(r, "kmod-hello-linux", "1.0_6.1-1", OURS, OUR_FILES);
	/* by name only, by description only, with the description of another */
	put_package(r, "kmod-other-linux", "1-1", "no marker", OUR_FILES);
	put_package(r, "hello", "1-1", OURS, OUR_FILES);
	put_package(r, "kmod-hello-linux-lts", "1-1", OURS, OUR_FILES);
	put_package(r, "kmod-a-linux", "1-1", "a [kmodpkg: module=a version=1]",
		    OUR_FILES);
	assert_int_equal(count(r), 1);
}

static void test_broken_entries(void **state)
{
	struct kp_pkg_installed *list;
	struct root *r = *state;
	size_t n;

	put_package(r, "linux", "6.1-1", "kernel", KERNEL_FILES);
	/* as a killed pacman leaves them */
	put(r, LOCAL "kmod-x-linux-1-1/mtree", "");
	put(r, LOCAL "kmod-x-linux-1-1/files",
	    "%FILES%\nusr/\nusr/lib/modules/" KERNEL "/updates/x.ko\n\n");
	put(r, LOCAL "bash-5-1/desc", "");
	put(r, LOCAL "nonsense", "");
	put(r, LOCAL "-1-1/desc", "");
	assert_int_equal(count(r), 0);
	assert_owner(r, MODULES KERNEL "/vmlinuz", "linux", MODULES KERNEL "/vmlinuz");

	/* what a half entry of ours has is nobody's, or it could not be made whole */
	assert_owner(r, MODULES KERNEL "/updates/x.ko", NULL, NULL);

	/* without its list it is there, and stale */
	put_package(r, "kmod-hello-linux", "1.0_6.1-1", OURS, OUR_FILES);
	kp_unlink_in(r->fd, LOCAL "kmod-hello-linux-1.0_6.1-1/files");
	assert_int_equal(ops->list(r->db, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].id.key, "");
	assert_null(list[0].files);
	assert_null(kp_pkg_fault(&list[0].id, list[0].files));
	kp_pkg_installed_clear(&list[0]);
	free(list);
}

static void test_unknown_version(void **state)
{
	struct kp_pkg_installed *list;
	struct kp_err err = KP_ERR_INIT;
	struct root *r = *state;
	size_t n;

	put(r, LOCAL "ALPM_DB_VERSION", "10\n");
	assert_int_equal(ops->list(r->db, &list, &n, &err), -EIO);
	assert_non_null(strstr(err.text, "version 10"));
	assert_int_equal(ops->probe(r->fd), 1);

	kp_unlink_in(r->fd, LOCAL "ALPM_DB_VERSION");
	assert_int_equal(count(r), 0);
	put_package(r, "linux", "6.1-1", "kernel", KERNEL_FILES);
	assert_int_equal(ops->list(r->db, &list, &n, &err), -EIO);
}

static void test_superseded(void **state)
{
	struct root *r = *state;

	/* nothing is certain */
	assert_int_equal(ops->superseded(r->db, KERNEL, NULL), 0);
	assert_int_equal(ops->superseded(r->db, "6.0", NULL), 0);
	put_package(r, "linux", "6.1-1", "kernel", KERNEL_FILES);
	assert_int_equal(ops->superseded(r->db, KERNEL, NULL), 0);

	/* the one before, kept for as long as it runs */
	put(r, MODULES "6.0.9-arch1-1/pkgbase", "linux\n");
	put(r, MODULES "6.0.9-arch1-1/vmlinuz", "old");
	assert_int_equal(ops->superseded(r->db, "6.0.9-arch1-1", NULL), 1);
	assert_int_equal(ops->superseded(r->db, KERNEL, NULL), 0);

	/* of another kind; of none */
	put(r, MODULES "6.0.9-arch1-1/pkgbase", "linux-lts\n");
	assert_int_equal(ops->superseded(r->db, "6.0.9-arch1-1", NULL), 0);
	kp_unlink_in(r->fd, MODULES "6.0.9-arch1-1/pkgbase");
	assert_int_equal(ops->superseded(r->db, "6.0.9-arch1-1", NULL), 0);

	/* two that packages own, whatever they are */
	put(r, MODULES "6.0.9-arch1-1/pkgbase", "linux\n");
	put_package(r, "linux-old", "6.0-1", "kernel",
		    "usr/lib/modules/6.0.9-arch1-1/vmlinuz\n");
	assert_int_equal(ops->superseded(r->db, "6.0.9-arch1-1", NULL), 0);

	/* nobody owns either */
	assert_int_equal(kp_rm_rf_in(r->fd, LOCAL "linux-6.1-1", NULL), 0);
	assert_int_equal(kp_rm_rf_in(r->fd, LOCAL "linux-old-6.0-1", NULL), 0);
	assert_int_equal(ops->superseded(r->db, "6.0.9-arch1-1", NULL), 0);
}

static void test_suggest_headers(void **state)
{
	struct root *r = *state;
	char *command;

	put(r, MODULES KERNEL "/pkgbase", "linux-lts\n");
	assert_int_equal(ops->suggest_headers(r->db, KERNEL, &command, NULL), 0);
	assert_string_equal(command, "pacman -Syu linux-lts linux-lts-headers");
	free(command);
	put(r, MODULES KERNEL "/pkgbase", "linux; reboot\n");
	assert_int_equal(ops->suggest_headers(r->db, KERNEL, &command, NULL), -ENOENT);
	assert_int_equal(ops->suggest_headers(r->db, "6.0", &command, NULL), -ENOENT);
}

/* Move the database to where CONF says it is, and see that it is found. */
static void check_conf(struct root *r, const char *conf, const char *at)
{
	_cleanup_free_ char *version = kp_strf("%s/local/ALPM_DB_VERSION", at);
	_cleanup_free_ char *desc = kp_strf("%s/local/kmod-hello-linux-1-1/desc", at);
	_cleanup_free_ char *files = kp_strf("%s/local/kmod-hello-linux-1-1/files", at);

	assert_int_equal(kp_rm_rf_in(r->fd, "/var/lib/pacman", NULL), 0);
	assert_int_equal(kp_rm_rf_in(r->fd, "/odd", NULL), 0);
	put(r, version, "9\n");
	put(r, desc, "%NAME%\nkmod-hello-linux\n\n%VERSION%\n1-1\n\n%DESC%\n" OURS "\n");
	put(r, files, "%FILES%\n");
	put(r, "/etc/pacman.conf", conf);
	open_db(r, 0);
	if (count(r) != 1)
		fail_msg("not found: %s", conf);
}

static void test_pacman_conf(void **state)
{
	struct root *r = *state;

	put(r, "/etc/pacman.d/b.conf", "DBPath=/odd/b\n[core]\nDBPath = /no\n");
	put(r, "/etc/pacman.d/a.conf", "LogFile = /x\nInclude = /etc/pacman.d/a.conf\n");
	check_conf(r, "", "/var/lib/pacman");
	check_conf(r, "[options]\n# DBPath = /no\n  DBPath  =  /odd/db/  \nDBPath=/no\n",
		   "/odd/db");
	check_conf(r, "[options]\nDBPath = no\nDBPath=\nDBPath\n[core]\nDBPath = /no\n",
		   "/var/lib/pacman");
	check_conf(r, "[options]\nInclude = /etc/pacman.d/*.conf\nDBPath = /no\n",
		   "/odd/b");
	check_conf(r, "[core]\nInclude = /etc/pacman.d/*.conf\n", "/var/lib/pacman");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_probe),	   TEST(test_owner),
		TEST(test_pacman_agrees),  TEST(test_list_is_of_ours_only),
		TEST(test_broken_entries), TEST(test_unknown_version),
		TEST(test_superseded),	   TEST(test_suggest_headers),
		TEST(test_pacman_conf),
	};

	if (!backend_load("alpm"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
