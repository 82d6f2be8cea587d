// SPDX-License-Identifier: GPL-2.0-or-later
/* A sync that may not commit now: place, queue, and who makes it whole later. */
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "lib/install.h"
#include "system.h"

static void publish(struct test_system *s)
{
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, "hello", "extra", NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
}

static void assert_deferred(struct test_system *s)
{
	test_assert_placed(s, "hello", "1.0", K1);
	test_assert_placed(s, "hello", "1.0", K2);
	assert_int_equal(test_queue_length(s), 2);
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K1));
	assert_true(test_exists(s, "/var/lib/kmodpkg/unsettled/" K2));
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_QUEUED, NULL);
}

static void assert_whole(struct test_system *s)
{
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_INSTALLED, NULL);
}

static void inside_a_transaction(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_int_equal(s->result.queued, 2);
	assert_int_equal(s->result.installed, 0);
	assert_deferred(s);
	test_assert_fake_log(s, "");
	/* Again, as by the next trigger: nothing more to do. */
	test_sync(s);
	assert_int_equal(s->result.queued, 0);
	assert_deferred(s);
	/* Not yet. */
	test_drain(s);
	test_assert_fake_log(s, "");
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_said(s, "installed hello/1.0 for " K1 " (package kmod-hello-" K1 ")");
	assert_whole(s);
	test_drain(s);
	assert_null(s->log.len ? s->log.s : NULL);
}

static void a_sync_drains_as_well(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_fake(s, "lock", NULL);
	test_sync(s);
	assert_int_equal(s->result.installed, 2);
	assert_whole(s);
}

static void erase_is_deferred(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_sync(s);
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_int_equal(s->result.queued, 1);
	test_assert_installed(s, "hello", "1.0", K1);
	assert_int_equal(test_queue_length(s), 1);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_HELD, "uninstalled by hand");
	test_sync(s);
	assert_int_equal(s->result.queued, 0);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates"));
	test_assert_settled(s);
}

/* What we are about to erase is not missing when it is wanted again. */
static void wanted_again_before_it_is_erased(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_sync(s);
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_int_equal(s->result.queued, 1);
	test_say(s, "hello", "1.0", K1, KP_INTENT_NONE);
	test_sync(s);
	test_assert_not_said(s, "is missing, restoring");
	test_fake(s, "lock", NULL);
	test_sync(s);
	assert_whole(s);
}

/* Nor to who asks for it. */
static void asked_for_when_it_is_missing(void **state)
{
	struct test_system *s = test_system(state);
	struct kp_sync_opts opts = { .requested = true };

	publish(s);
	test_sync(s);
	test_fake(s, "packages/kmod-hello-" K1, NULL);
	assert_int_equal(test_sync_rc(s, &opts), 0);
	test_assert_not_said(s, "is missing, restoring");
	test_fake(s, "packages/kmod-hello-" K1, NULL);
	test_sync(s);
	test_assert_said(s, "is missing, restoring");
	assert_whole(s);
}

/* Queued and placed, then no longer wanted: what never was a package leaves nothing. */
static void erased_before_it_was_owned(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	test_sync(s);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates"));
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

/* What was placed for a package that never got into the database goes with it. */
static void replaced_while_queued(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_true(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	test_sync(s);
	assert_int_equal(test_queue_length(s), 2);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	test_assert_placed(s, "hello", "2.0", K1);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_installed(s, "hello", "2.0", K1);
	test_assert_settled(s);
}

static void upgrade_while_queued(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_sync(s);
	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_assert_placed(s, "hello", "2.0", K1);
	test_register(s, "hello", "3.0", NULL);
	test_publish(s, "hello", "3.0", K1, NULL);
	test_publish(s, "hello", "3.0", K2, NULL);
	test_sync(s);
	test_assert_placed(s, "hello", "3.0", K1);
	assert_int_equal(test_queue_length(s), 2);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_installed(s, "hello", "3.0", K1);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	test_assert_settled(s);
}

static void busy_is_waited_for_then_queued(void **state)
{
	struct test_system *s = test_system(state);
	struct kp_sync_opts opts = { .native_wait_ms = 300 };

	publish(s);
	test_fake(s, "lock", "busy apt, pid 77");
	assert_int_equal(test_sync_rc(s, &opts), 0);
	test_assert_said(s, "waiting up to 1 s for the package database, held by apt, "
			    "pid 77");
	assert_int_equal(s->result.queued, 2);
	assert_deferred(s);
	/* The drain of somebody else's transaction, still in it. */
	test_drain(s);
	test_assert_said(s, "the queue stays for the next run");
	assert_deferred(s);
	test_fake(s, "lock", NULL);
	test_drain(s);
	assert_whole(s);
}

static void no_wait_when_told_so(void **state)
{
	struct test_system *s = test_system(state);
	struct kp_sync_opts opts = { .native_wait_ms = -1 };

	publish(s);
	test_fake(s, "lock", "busy apt");
	assert_int_equal(test_sync_rc(s, &opts), 0);
	test_assert_not_said(s, "waiting");
	assert_deferred(s);
}

/* The lock is taken between state() and commit(), and given back. */
static void taken_from_under_us(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_fake(s, "busy-once", "");
	test_sync(s);
	assert_int_equal(s->result.installed, 2);
	assert_int_equal(s->result.queued, 0);
	assert_whole(s);
}

/* Taken, and kept. */
static void taken_for_good(void **state)
{
	struct test_system *s = test_system(state);
	struct kp_sync_opts opts = { .native_wait_ms = -1 };

	publish(s);
	test_fake(s, "busy-once", "busy apt");
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_int_equal(s->result.queued, 2);
	assert_deferred(s);
	test_fake(s, "lock", NULL);
	test_drain(s);
	assert_whole(s);
}

/* Nobody drains after a holder that left while the queue was filled. */
static void holder_leaves_meanwhile(void **state)
{
	struct test_system *s = test_system(state);
	struct kp_sync_opts opts = { .native_wait_ms = -1 };

	test_register(s, "hello", "1.0", "PRE_INSTALL=free\n");
	test_put(&s->root, "/usr/src/hello-1.0/free",
		 "#!/bin/sh\nrm -f /var/lib/fakedb/lock\n");
	assert_int_equal(chmod("/usr/src/hello-1.0/free", 0755), 0);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", "busy apt");
	assert_int_equal(test_sync_rc(s, &opts), 0);
	assert_int_equal(s->result.installed, 2);
	assert_whole(s);
}

/* ---- refused changes ---- */

static void refused_after_it_was_placed(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_fake(s, "lock", "can-commit");
	test_fake(s, "refuse", "kmod-hello-" K1 " no such luck");
	test_drain(s);
	test_assert_said(s, "kmod-hello-" K1 ": no such luck");
	test_assert_absent(s, "hello", K1);
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates"));
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
	test_fake(s, "refuse", NULL);
	test_sync(s);
	test_assert_not_said(s, "is missing, restoring");
	assert_whole(s);
}

static void refused_upgrade_keeps_the_old_package(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *view = NULL, *target = NULL;

	publish(s);
	test_sync(s);
	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_fake(s, "lock", "can-commit");
	test_fake(s, "refuse", "kmod-hello-" K1 " no such luck");
	test_drain(s);
	assert_true(test_exists(s, "/var/lib/fakedb/packages/kmod-hello-" K1));
	assert_true(test_exists(s, "/lib/modules/" K1 "/updates/dkms/hello.ko"));
	view = kp_strf("/var/lib/dkms/hello/kernel-" K1 "-%s", s->ctx->arch);
	assert_int_equal(kp_readlink_in(s->root.fd, view, &target), 0);
	assert_true(kp_str_starts(target, "1.0/"));
	test_assert_settled(s);
}

/* ---- crashes ---- */

static void run_sync(struct test_system *s)
{
	if (test_sync_rc(s, NULL) < 0)
		_exit(1);
}

static void run_drain(struct test_system *s)
{
	if (kp_drain(s->ctx, NULL) < 0)
		_exit(1);
}

static void assert_killed(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* Before, between and after the changes of the database. */
static void killed_in_commit(void **state)
{
	static const char *const after[] = { "0", "1", "2" };
	struct test_system *s = test_system(state);

	publish(s);
	for (size_t i = 0; i < KP_ARRAY_SIZE(after); i++) {
		test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
		test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
		test_sync(s);
		test_assert_absent(s, "hello", K1);
		test_say(s, "hello", "1.0", K1, KP_INTENT_NONE);
		test_say(s, "hello", "1.0", K2, KP_INTENT_NONE);
		test_fake(s, "kill-after", after[i]);
		assert_killed(test_child(s, run_sync));
		test_fake(s, "kill-after", NULL);
		assert_int_equal(test_queue_length(s), 2);
		test_sync(s);
		test_assert_not_said(s, "is missing, restoring");
		assert_whole(s);
	}
}

static void killed_in_the_commit_of_an_erase(void **state)
{
	static const char *const after[] = { "0", "1", "2" };
	struct test_system *s = test_system(state);

	publish(s);
	for (size_t i = 0; i < KP_ARRAY_SIZE(after); i++) {
		test_sync(s);
		assert_whole(s);
		test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
		test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
		test_fake(s, "kill-after", after[i]);
		assert_killed(test_child(s, run_sync));
		test_fake(s, "kill-after", NULL);
		test_sync(s);
		test_assert_absent(s, "hello", K1);
		test_assert_absent(s, "hello", K2);
		test_assert_settled(s);
		test_say(s, "hello", "1.0", K1, KP_INTENT_NONE);
		test_say(s, "hello", "1.0", K2, KP_INTENT_NONE);
	}
}

static void killed_in_drain(void **state)
{
	static const char *const after[] = { "0", "1", "2" };
	struct test_system *s = test_system(state);

	publish(s);
	for (size_t i = 0; i < KP_ARRAY_SIZE(after); i++) {
		test_fake(s, "lock", "must-defer");
		test_sync(s);
		test_fake(s, "lock", "can-commit");
		test_fake(s, "kill-after", after[i]);
		assert_killed(test_child(s, run_drain));
		test_fake(s, "kill-after", NULL);
		/* The next one may be a drain or a sync. */
		if (i)
			test_drain(s);
		else
			test_sync(s);
		assert_whole(s);
		test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
		test_say(s, "hello", "1.0", K2, KP_INTENT_HOLD);
		test_sync(s);
		test_say(s, "hello", "1.0", K1, KP_INTENT_NONE);
		test_say(s, "hello", "1.0", K2, KP_INTENT_NONE);
	}
}

/* What a process leaves that is killed with an entry written and not all placed. */
static void queue_only(struct test_system *s)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts opts = { 0 };
	struct kp_err err = KP_ERR_INIT;

	if (kp_world_load(s->ctx, &opts, &w, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < w.plan.n_rows; i++)
		if (kp_install_row(s->ctx, &w, &w.plan.rows[i], &err) < 0)
			fail_msg("%s", err.text);
	test_put(&s->root, "/lib/modules/" K1 "/updates/dkms/extra.ko.kmodpkg-new",
		 "half");
	kp_world_clear(&s->world);
}

static void killed_before_it_placed(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	queue_only(s);
	test_sync(s);
	assert_whole(s);
}

/* The same, and the next run may not commit either. */
static void killed_before_it_placed_in_a_transaction(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	queue_only(s);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	assert_deferred(s);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	assert_whole(s);
}

static void killed_before_it_placed_an_upgrade(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	test_sync(s);
	test_register(s, "hello", "2.0", NULL);
	test_publish(s, "hello", "2.0", K1, NULL);
	test_publish(s, "hello", "2.0", K2, NULL);
	queue_only(s);
	/* Files of the same names are there. */
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	test_assert_placed(s, "hello", "2.0", K1);
	test_fake(s, "lock", NULL);
	test_drain(s);
	test_assert_installed(s, "hello", "2.0", K1);
	test_assert_settled(s);
}

/* ---- full disks ---- */

/* A small disk in place of DIR, keeping what is in it. */
static void make_small(struct test_system *s, const char *dir)
{
	_cleanup_close_ int old = kp_open_in(s->root.fd, dir, O_RDONLY | O_DIRECTORY, 0);
	_cleanup_close_ int new = -1;

	assert_int_equal(mount("small", dir, "tmpfs", 0, "size=128k,nr_inodes=64"), 0);
	new = kp_open_in(s->root.fd, dir, O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(kp_copy_tree(old, "/", new, (uid_t)-1, (gid_t)-1, NULL), 0);
}

/* Leave this many bytes of DIR. */
static void fill(struct test_system *s, const char *dir, off_t left)
{
	_cleanup_free_ char *path = kp_path_join(dir, "filler");
	_cleanup_close_ int fd = kp_open_in(s->root.fd, path, O_RDWR | O_CREAT, 0644);
	static const char page[4096];
	struct stat st;

	while (write(fd, page, sizeof(page)) == sizeof(page))
		;
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - left), 0);
}

static void queue_does_not_fit(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_strv_ char **names = NULL;
	bool some = false;

	publish(s);
	make_small(s, "/var/lib/kmodpkg");
	for (off_t left = 0; left <= 64 * 1024; left += 4096) {
		int rc;

		fill(s, "/var/lib/kmodpkg", left);
		test_fake(s, "lock", "must-defer");
		rc = test_sync_rc(s, NULL);
		assert_int_equal(unlink("/var/lib/kmodpkg/filler"), 0);
		if (rc == 0)
			break;
		some = true;
		assert_int_equal(rc, -ENOSPC);
		if (!strstr(s->err.text, "hello/1.0, kernel 6.1.0-") ||
		    !strstr(s->err.text, "No space left on device"))
			fail_msg("%s", s->err.text);
		/* What did not become an entry does not take the room that is missed. */
		(void)kp_list_in(s->root.fd, "/var/lib/kmodpkg/queue", &names);
		kp_strv_foreach(n, names)
			assert_true(**n != '.');
		kp_strv_free(kp_steal(&names));
		assert_true(test_queue_length(s) < 2);
	}
	assert_true(some);
	assert_deferred(s);
	test_fake(s, "lock", NULL);
	test_sync(s);
	assert_whole(s);
	assert_int_equal(umount("/var/lib/kmodpkg"), 0);
}

static void modules_do_not_fit(void **state)
{
	struct test_system *s = test_system(state);

	publish(s);
	assert_int_equal(kp_mkdir_in(s->root.fd, "/lib/modules/" K1 "/updates/dkms", 0755,
				     NULL),
			 0);
	make_small(s, "/lib/modules/" K1 "/updates/dkms");
	fill(s, "/lib/modules/" K1 "/updates/dkms", 0);
	test_fake(s, "lock", "must-defer");
	assert_int_equal(test_sync_rc(s, NULL), -ENOSPC);
	assert_non_null(strstr(s->err.text, "kmod-hello-" K1));
	assert_false(test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko"));
	assert_false(
		test_exists(s, "/lib/modules/" K1 "/updates/dkms/extra.ko.kmodpkg-new"));
	assert_int_equal(unlink("/lib/modules/" K1 "/updates/dkms/filler"), 0);
	test_sync(s);
	assert_deferred(s);
	assert_int_equal(umount("/lib/modules/" K1 "/updates/dkms"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(inside_a_transaction),
		SYSTEM_TEST(a_sync_drains_as_well),
		SYSTEM_TEST(erase_is_deferred),
		SYSTEM_TEST(wanted_again_before_it_is_erased),
		SYSTEM_TEST(asked_for_when_it_is_missing),
		SYSTEM_TEST(erased_before_it_was_owned),
		SYSTEM_TEST(replaced_while_queued),
		SYSTEM_TEST(upgrade_while_queued),
		SYSTEM_TEST(busy_is_waited_for_then_queued),
		SYSTEM_TEST(no_wait_when_told_so),
		SYSTEM_TEST(taken_from_under_us),
		SYSTEM_TEST(taken_for_good),
		SYSTEM_TEST(holder_leaves_meanwhile),
		SYSTEM_TEST(refused_after_it_was_placed),
		SYSTEM_TEST(refused_upgrade_keeps_the_old_package),
		SYSTEM_TEST(killed_in_commit),
		SYSTEM_TEST(killed_in_the_commit_of_an_erase),
		SYSTEM_TEST(killed_in_drain),
		SYSTEM_TEST(killed_before_it_placed),
		SYSTEM_TEST(killed_before_it_placed_in_a_transaction),
		SYSTEM_TEST(killed_before_it_placed_an_upgrade),
		SYSTEM_TEST(queue_does_not_fit),
		SYSTEM_TEST(modules_do_not_fit),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
