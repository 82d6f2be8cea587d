// SPDX-License-Identifier: GPL-2.0-or-later
/* commit(): by the real libalpm, judged by pacman. */
#include "alpm-root.h"

#define NESTED_LOCK "/var/lib/pacman/kp.lck"

static struct kp_change add(const char *file)
{
	return (struct kp_change){ .kind = KP_CHANGE_ADD, .file = file };
}

static struct kp_change erase(const char *name)
{
	return (struct kp_change){ .kind = KP_CHANGE_ERASE, .name = name };
}

static void assert_sound(struct root *r)
{
	ASSERT_PACMAN(r, " 0 altered files", "-Qkk");
	ASSERT_PACMAN(r, "No database errors", "-Dk");
	assert_false(kp_exists_in(r->fd, NESTED_LOCK));
}

static void assert_ko(struct root *r, const char *path, const char *content)
{
	_cleanup_free_ char *ko = test_get(&r->dir, path);

	assert_string_equal(ko, content);
}

static void test_add_and_erase(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *b = simple_package(r, "b", "1", KERNEL, "b1");
	struct kp_change two[] = { add(a), add(b) };
	struct kp_change mixed[2];
	_cleanup_free_ char *a2 = NULL, *log = NULL;
	struct outcome o = commit(r, two, 2);

	assert_int_equal(o.state, KP_LOCK_FREE);
	assert_done(&o, 2);
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-a-linux 1_6.1.0_arch1_1-1\nkmod-b-linux 1_", "-Q");
	assert_ko(r, DIR "a.ko", "a1");

	/* again: nothing else comes of it */
	o = commit(r, two, 2);
	assert_done(&o, 2);
	assert_sound(r);

	/* in place and away, in one transaction */
	a2 = simple_package(r, "a", "2", KERNEL, "a2");
	mixed[0] = add(a2);
	mixed[1] = erase("kmod-b-linux");
	kp_write_in(r->fd, "/var/log/pacman.log", "", 0, 0644, NULL);
	o = commit(r, mixed, 2);
	assert_done(&o, 2);
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-a-linux 2_6.1.0_arch1_1-1\n", "-Q");
	assert_ko(r, DIR "a.ko", "a2");
	assert_false(kp_exists_in(r->fd, DIR "b.ko"));
	log = test_get(&r->dir, "/var/log/pacman.log");
	assert_non_null(strstr(log, "upgraded kmod-a-linux"));
	assert_non_null(strstr(log, "removed kmod-b-linux"));
	assert_null(
		strstr(strstr(log, "transaction started") + 1, "transaction started"));

	/* back again; and what is gone already is done */
	mixed[0] = add(a);
	o = commit(r, mixed, 2);
	assert_done(&o, 2);
	assert_sound(r);
	assert_ko(r, DIR "a.ko", "a1");
	mixed[0] = erase("kmod-a-linux");
	o = commit(r, mixed, 2);
	assert_done(&o, 2);
	assert_false(kp_exists_in(r->fd, MODULES KERNEL "/updates"));
	assert_true(kp_exists_in(r->fd, MODULES KERNEL "/vmlinuz"));
}

static void install_old(struct root *r)
{
	_cleanup_free_ char *old = simple_package(r, "a", "1", KERNEL, "old");
	struct kp_change c = add(old);
	struct outcome o = commit(r, &c, 1);

	assert_done(&o, 1);
}

/* The next release of a kernel takes the packages of the one before along. */
static void test_upgrade_to_another_kernel(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *new = NULL;
	struct kp_change c;
	struct outcome o;

	install_old(r);
	put(r, MODULES "6.2.0-arch1-1/pkgbase", "linux");
	kp_rm_rf_in(r->fd, MODULES KERNEL "/pkgbase", NULL);
	kp_rm_rf_in(r->fd, MODULES KERNEL "/vmlinuz", NULL);
	new = simple_package(r, "a", "1", "6.2.0-arch1-1", "new");
	c = add(new);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-a-linux 1_6.2.0_arch1_1-1\n", "-Q");
	assert_false(kp_exists_in(r->fd, MODULES KERNEL));
}

/* What libalpm has not removed of the old one, here since it does not know it, is not left to nobody. */
static void test_old_file_stays(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *new = NULL;
	struct kp_change c;
	struct outcome o;

	install_old(r);
	kp_unlink_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/desc");
	put(r, MODULES "6.2.0-arch1-1/pkgbase", "linux");
	new = simple_package(r, "a", "1", "6.2.0-arch1-1", "new");
	c = add(new);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	assert_false(kp_exists_in(r->fd, MODULES KERNEL "/updates"));
	assert_true(kp_exists_in(r->fd, MODULES KERNEL "/vmlinuz"));
}

static void test_nested(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *b = simple_package(r, "b", "1", KERNEL, "b1");
	struct kp_change changes[] = { add(a), erase("kmod-b-linux") };
	struct kp_change c = add(b);
	struct outcome o = commit(r, &c, 1);
	int fd;

	assert_done(&o, 1);
	fd = take_lock(r);
	/* as a scriptlet: nothing is changed */
	o = commit_in(r, 0, IN_PROC | IN_LIBALPM, NULL, changes, 2);
	assert_int_equal(o.state, KP_LOCK_INSIDE_MUST_DEFER);
	assert_int_equal(o.rc, -EBUSY);
	assert_int_equal(o.result[0], KP_CHANGE_PENDING);
	assert_false(kp_exists_in(r->fd, DIR "a.ko"));
	/* a lock that a killed one of ours left over is no hindrance, and goes */
	put(r, NESTED_LOCK, "");
	o = commit_in(r, KP_OPEN_NESTED, IN_PROC | IN_LIBALPM, NULL, changes, 2);
	assert_int_equal(o.state, KP_LOCK_INSIDE_CAN_COMMIT);
	assert_done(&o, 2);
	/* the outer one has its lock still */
	assert_true(kp_exists_in(r->fd, LOCK));
	close(fd);
	kp_unlink_in(r->fd, LOCK);
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-a-linux 1_6.1.0_arch1_1-1\n", "-Q");
	assert_false(kp_exists_in(r->fd, DIR "b.ko"));

	/* also where its work was done */
	put(r, NESTED_LOCK, "");
	o = commit(r, &changes[1], 1);
	assert_done(&o, 1);
	assert_sound(r);
}

static void test_nested_without_proc(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	struct kp_change c = add(a);
	int fd = take_lock(r);
	struct outcome o = commit_in(r, KP_OPEN_NESTED, IN_LIBALPM, NULL, &c, 1);

	assert_done(&o, 1);
	close(fd);
	kp_unlink_in(r->fd, LOCK);
	assert_sound(r);
}

/* pacman was upgraded to one that we do not know, or taken away. */
static void test_without_libalpm(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	struct kp_change c = add(a);
	struct outcome o = commit_in(r, 0, IN_PROC, NULL, &c, 1);

	assert_int_equal(o.state, KP_LOCK_FREE);
	assert_int_equal(o.rc, -EBUSY);
	assert_non_null(strstr(o.text, "no libalpm"));
	assert_int_equal(o.result[0], KP_CHANGE_PENDING);
	assert_int_equal(o.state_after, KP_LOCK_INSIDE_MUST_DEFER);
	assert_false(kp_exists_in(r->fd, LOCK));
}

static void test_left_over_file(void **state)
{
	struct root *r = *state;
	_cleanup_package_ struct package p;
	_cleanup_free_ char *path = NULL, *name = NULL;
	struct kp_change c;
	struct outcome o;

	package_init(&p, "a", "1", KERNEL);
	package_add(&p, DIR "a.ko", "new");
	package_add(&p, DIR "[!a]*\\?.ko", "new");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	put(r, DIR "a.ko", "old");
	put(r, DIR "[!a]*\\?.ko", "old");
	c = add(path);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	assert_ko(r, DIR "a.ko", "new");
	assert_ko(r, DIR "[!a]*\\?.ko", "new");
}

static void test_file_of_another_package(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *b = simple_package(r, "b", "1", KERNEL, "b1");
	struct kp_change changes[] = { add(a), add(b) };
	struct outcome o;

	put(r, DIR "a.ko", "theirs");
	put_package(r, "other", "1-1", "x",
		    "usr/lib/modules/" KERNEL "/updates/dkms/a.ko\n");
	o = commit(r, changes, 2);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_non_null(strstr(o.why[0], DIR "a.ko belongs to package other"));
	assert_int_equal(o.result[1], KP_CHANGE_DONE);
	assert_ko(r, DIR "a.ko", "theirs");
	ASSERT_PACMAN(r, "kmod-b-linux 1_6.1.0_arch1_1-1\nother 1-1\n", "-Q");
}

static void test_same_file_twice(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *path = NULL, *name = NULL;
	_cleanup_package_ struct package p;
	struct kp_change changes[2];
	struct outcome o;

	package_init(&p, "b", "1", KERNEL);
	package_add(&p, DIR "a.ko", "b");
	assert_int_equal(write_into(r, &p, "/out", &path, &name, NULL), 0);
	changes[0] = add(a);
	changes[1] = add(path);
	o = commit(r, changes, 2);
	assert_int_equal(o.result[0], KP_CHANGE_DONE);
	assert_int_equal(o.result[1], KP_CHANGE_FAILED);
	assert_non_null(strstr(o.why[1], "kmod-a-linux"));
	assert_ko(r, DIR "a.ko", "a1");
}

static void test_bad_package_does_not_sink_the_others(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *b = simple_package(r, "b", "1", KERNEL, "b1");
	struct kp_change changes[] = { add(a), add(b), add("/out/none"), add("/out/junk"),
				       erase("foreign") };
	struct outcome o;

	/* a directory in the way: libalpm alone finds that */
	put(r, DIR "a.ko/x", "");
	put(r, "/out/junk", "junk");
	put_package(r, "foreign", "1-1", "not ours", "usr/\n");
	o = commit(r, changes, 5);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_non_null(strstr(o.why[0], "kmod-a-linux"));
	assert_non_null(strstr(o.why[0], DIR "a.ko"));
	assert_int_equal(o.result[1], KP_CHANGE_DONE);
	assert_int_equal(o.result[2], KP_CHANGE_FAILED);
	assert_int_equal(o.result[3], KP_CHANGE_FAILED);
	assert_int_equal(o.result[4], KP_CHANGE_FAILED);
	ASSERT_PACMAN(r, "foreign 1-1\nkmod-b-linux 1_6.1.0_arch1_1-1\n", "-Q");
}

static void test_needed_by_another(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	struct kp_change c = add(a);
	struct outcome o = commit(r, &c, 1);

	assert_done(&o, 1);
	put_package(r, "needy", "1-1", "x\n\n%DEPENDS%\nkmod-a-linux", "usr/\n");
	c = erase("kmod-a-linux");
	o = commit(r, &c, 1);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_non_null(strstr(o.why[0], "needy needs kmod-a-linux"));
	assert_ko(r, DIR "a.ko", "a1");
}

/* What was named by its release gets its kind's name when the pkgbase file comes. */
static void test_other_name_of_the_same(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *before = NULL, *then = NULL;
	struct kp_change c;
	struct outcome o;

	kp_unlink_in(r->fd, MODULES KERNEL "/pkgbase");
	before = simple_package(r, "a", "1", KERNEL, "1");
	c = add(before);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	ASSERT_PACMAN(r, "kmod-a-6.1.0-arch1-1 ", "-Q");
	put(r, MODULES KERNEL "/pkgbase", "linux");
	then = simple_package(r, "a", "2", KERNEL, "2");
	c = add(then);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-a-linux 2_6.1.0_arch1_1-1\n", "-Q");
	assert_ko(r, DIR "a.ko", "2");
}

/* Is it there, as one package that is to be installed again? */
static void assert_stale(struct root *r, const char *version)
{
	struct kp_pkg_installed *list;
	size_t n;

	assert_int_equal(ops->list(r->db, &list, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].id.version, version);
	assert_string_equal(list[0].id.key, "");
	kp_pkg_list_free(list, n);
}

static void test_heals_a_broken_entry(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1"), *a2 = NULL;
	struct kp_change c = add(a);
	struct outcome o;

	put(r, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/mtree", "");
	put(r, DIR "a.ko", "half");
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	assert_ko(r, DIR "a.ko", "a1");

	/* what libalpm takes for a success */
	put(r, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/mtree", "");
	assert_stale(r, "1");
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);

	/* as a commit leaves it that was killed while the old entry went */
	kp_unlink_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/mtree");
	kp_unlink_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/files");
	a2 = simple_package(r, "a", "2", KERNEL, "a2");
	c = add(a2);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	assert_ko(r, DIR "a.ko", "a2");

	/* one that is to go */
	put(r, LOCAL "kmod-b-linux-1_6.1.0_arch1_1-1/mtree", "");
	c = erase("kmod-b-linux");
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_false(kp_exists_in(r->fd, LOCAL "kmod-b-linux-1_6.1.0_arch1_1-1"));
}

/* Nothing can take away what is mounted. */
static void hold(struct root *r, const char *file)
{
	_cleanup_free_ char *at = kp_strf("%s%s", r->dir.path, file);

	if (mount(at, at, NULL, MS_BIND, NULL) < 0)
		_exit(97);
}

static void hold_desc(struct root *r)
{
	hold(r, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/desc");
}

/* libalpm goes on where an entry cannot be removed, and has two then. */
static void test_old_entry_stays(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *a2 = simple_package(r, "a", "2", KERNEL, "a2");
	struct kp_change c = add(a);
	struct outcome o = commit(r, &c, 1);

	assert_done(&o, 1);
	c = add(a2);
	o = commit_in(r, 0, IN_PROC | IN_LIBALPM, hold_desc, &c, 1);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_true(kp_exists_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1/desc"));
	assert_ko(r, DIR "a.ko", "a2");
	assert_stale(r, "2");
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-a-linux 2_6.1.0_arch1_1-1\n", "-Q");
	assert_ko(r, DIR "a.ko", "a2");

	/* where it is to go */
	c = add(a);
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	c = erase("kmod-a-linux");
	o = commit_in(r, 0, IN_PROC | IN_LIBALPM, hold_desc, &c, 1);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_stale(r, "1");
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_false(kp_exists_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1"));
}

/* One module instead of another, with a file of the same name; and another change that sinks the
 * transaction of them all. */
static void test_file_of_what_is_erased(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	_cleanup_free_ char *old = simple_package(r, "b", "1", KERNEL, "old");
	_cleanup_free_ char *new = NULL, *name = NULL;
	_cleanup_package_ struct package p;
	struct kp_change c = add(old), changes[3];
	struct outcome o = commit(r, &c, 1);

	assert_done(&o, 1);
	package_init(&p, "b-open", "1", KERNEL);
	package_add(&p, DIR "b.ko", "new");
	assert_int_equal(write_into(r, &p, "/out", &new, &name, NULL), 0);
	changes[0] = add(a);
	changes[1] = add(new);
	changes[2] = erase("kmod-b-linux");
	put(r, DIR "a.ko/x", "");
	o = commit(r, changes, 3);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_int_equal(o.result[1], KP_CHANGE_DONE);
	assert_int_equal(o.result[2], KP_CHANGE_DONE);
	assert_ko(r, DIR "b.ko", "new");
	assert_sound(r);
	ASSERT_PACMAN(r, "kmod-b-open-linux 1_6.1.0_arch1_1-1\n", "-Q");

	/* and as it goes usually */
	changes[0] = add(old);
	changes[1] = erase(name);
	o = commit(r, changes, 2);
	assert_done(&o, 2);
	assert_ko(r, DIR "b.ko", "old");
	assert_sound(r);
}

/* That what is there cannot be installed again is no reason to lose it. */
static void test_refused_again_is_kept(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "a1");
	struct kp_change c = add(a);
	struct outcome o = commit(r, &c, 1);

	assert_done(&o, 1);
	put_package(r, "enemy", "1-1", "x\n\n%CONFLICTS%\nkmod-a-linux", "usr/\n");
	o = commit(r, &c, 1);
	assert_int_equal(o.result[0], KP_CHANGE_FAILED);
	assert_ko(r, DIR "a.ko", "a1");
	ASSERT_PACMAN(r, "kmod-a-linux 1_6.1.0_arch1_1-1\n", "-Q");
}

static void small_tree(struct root *r)
{
	_cleanup_free_ char *at = kp_strf("%s" MODULES KERNEL, r->dir.path);

	if (mount("none", at, "tmpfs", 0, "size=64k") < 0)
		_exit(97);
}

static void test_full_disk(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *big = kp_calloc(1024 * 1024 + 1, 1), *a = NULL;
	struct kp_change c;
	struct outcome o;

	memset(big, 'x', 1024 * 1024);
	a = simple_package(r, "a", "1", KERNEL, big);
	c = add(a);
	o = commit_in(r, 0, IN_PROC | IN_LIBALPM, small_tree, &c, 1);
	assert_int_equal(o.rc, -ENOSPC);
	assert_int_equal(o.result[0], KP_CHANGE_PENDING);
	/* what is not whole is not taken for installed */
	assert_false(kp_exists_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1"));
	o = commit(r, &c, 1);
	assert_done(&o, 1);
	assert_sound(r);
}

static void read_only_tree(struct root *r)
{
	_cleanup_free_ char *at = kp_strf("%s/usr", r->dir.path);

	if (mount(at, at, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, at, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		_exit(97);
}

static void test_read_only(void **state)
{
	struct root *r = *state;
	_cleanup_free_ char *a = simple_package(r, "a", "1", KERNEL, "x");
	struct kp_change c = add(a);
	struct outcome o = commit_in(r, 0, IN_PROC | IN_LIBALPM, read_only_tree, &c, 1);

	assert_int_equal(o.rc, -EROFS);
	assert_int_equal(o.result[0], KP_CHANGE_PENDING);
	assert_false(kp_exists_in(r->fd, LOCAL "kmod-a-linux-1_6.1.0_arch1_1-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_add_and_erase),
		TEST(test_upgrade_to_another_kernel),
		TEST(test_old_file_stays),
		TEST(test_nested),
		TEST(test_nested_without_proc),
		TEST(test_without_libalpm),
		TEST(test_left_over_file),
		TEST(test_file_of_another_package),
		TEST(test_same_file_twice),
		TEST(test_bad_package_does_not_sink_the_others),
		TEST(test_needed_by_another),
		TEST(test_other_name_of_the_same),
		TEST(test_heals_a_broken_entry),
		TEST(test_old_entry_stays),
		TEST(test_file_of_what_is_erased),
		TEST(test_refused_again_is_kept),
		TEST(test_full_disk),
		TEST(test_read_only),
	};

	if (!backend_load("alpm") || geteuid() != 0)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
