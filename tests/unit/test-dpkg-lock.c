// SPDX-License-Identifier: GPL-2.0-or-later
/* state(): dpkg's locks, held by real processes, and the variables that it sets. */
#include "dpkg-root.h"

#include <signal.h>
#include <sys/wait.h>

#define INNER "/var/lib/dpkg/lock"
#define FRONTEND "/var/lib/dpkg/lock-frontend"

static int setup(void **state)
{
	static const char *const names[] = { "DPKG_ROOT", "DPKG_ADMINDIR",
					     "DPKG_HOOK_ACTION", "DPKG_FRONTEND_LOCKED",
					     "DPKG_MAINTSCRIPT_PACKAGE" };

	root_setup(state);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
	put(*state, INNER, "");
	put(*state, FRONTEND, "");
	return 0;
}

static void lock_in(struct root *r, const char *path)
{
	_cleanup_free_ char *full = kp_strf("%s%s", r->dir.path, path);

	lock(full);
}

static struct stranger stranger_hold_in(struct root *r, const char *path)
{
	_cleanup_free_ char *full = kp_strf("%s%s", r->dir.path, path);

	return stranger_hold(full);
}

static int state_now(struct root *r, char **ret_holder)
{
	enum kp_lock_state state;
	struct kp_err err = KP_ERR_INIT;
	int rc = ops->state(r->db, &state, ret_holder, &err);

	return rc < 0 ? rc : (int)state;
}

/* The state as a grandchild of a process that holds these locks sees it. */
static int state_below(struct root *r, const char *path, const char *path2)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		lock_in(r, path);
		if (path2)
			lock_in(r, path2);
		pid = fork();
		if (pid == 0) {
			pid = fork();
			if (pid == 0)
				_exit(state_now(r, NULL) + 50);
		}
		waitpid(pid, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 99);
	return WEXITSTATUS(status) - 50;
}

static void test_nobody(void **state)
{
	char *holder;

	assert_int_equal(state_now(*state, &holder), KP_LOCK_FREE);
	assert_null(holder);
}

static void test_no_lock_files(void **state)
{
	struct root *r = *state;

	kp_unlink_in(r->fd, INNER);
	kp_unlink_in(r->fd, FRONTEND);
	assert_int_equal(state_now(r, NULL), KP_LOCK_FREE);
}

static void test_stranger(void **state)
{
	static const char *const paths[] = { INNER, FRONTEND };

	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++) {
		struct stranger s = stranger_hold_in(*state, paths[i]);
		_cleanup_free_ char *pid = kp_strf("test-dpkg-lock, pid %d", (int)s.pid);
		char *holder;

		assert_int_equal(state_now(*state, &holder), KP_LOCK_BUSY);
		assert_string_equal(holder, pid);
		free(holder);
		stranger_end(&s);
		assert_int_equal(state_now(*state, NULL), KP_LOCK_FREE);
	}
}

static void test_below_dpkg(void **state)
{
	assert_int_equal(state_below(*state, INNER, FRONTEND), KP_LOCK_INSIDE_MUST_DEFER);
	assert_int_equal(state_below(*state, INNER, NULL), KP_LOCK_INSIDE_MUST_DEFER);
	/* below apt, between its dpkgs and in one */
	setenv("DPKG_FRONTEND_LOCKED", "true", 1);
	assert_int_equal(state_below(*state, FRONTEND, NULL), KP_LOCK_INSIDE_CAN_COMMIT);
	assert_int_equal(state_below(*state, INNER, FRONTEND), KP_LOCK_INSIDE_MUST_DEFER);
	/* A nested dpkg would find the lock of a frontend that does not say so taken. */
	unsetenv("DPKG_FRONTEND_LOCKED");
	assert_int_equal(state_below(*state, FRONTEND, NULL), KP_LOCK_INSIDE_MUST_DEFER);
}

static void test_hooks_of_dpkg(void **state)
{
	struct stranger s;

	/* plain dpkg: its locks are free again */
	setenv("DPKG_HOOK_ACTION", "configure", 1);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_INSIDE_CAN_COMMIT);
	setenv("DPKG_HOOK_ACTION", "unpack", 1);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_INSIDE_MUST_DEFER);

	/* and somebody may have taken them */
	setenv("DPKG_HOOK_ACTION", "configure", 1);
	s = stranger_hold_in(*state, FRONTEND);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_BUSY);
	stranger_end(&s);
	s = stranger_hold_in(*state, INNER);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_BUSY);
	setenv("DPKG_FRONTEND_LOCKED", "true", 1);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_BUSY);
	stranger_end(&s);

	/* below apt */
	assert_int_equal(state_below(*state, FRONTEND, NULL), KP_LOCK_INSIDE_CAN_COMMIT);
	setenv("DPKG_HOOK_ACTION", "unpack", 1);
	assert_int_equal(state_below(*state, FRONTEND, NULL), KP_LOCK_INSIDE_MUST_DEFER);
}

static void test_maintainer_script(void **state)
{
	setenv("DPKG_MAINTSCRIPT_PACKAGE", "kmodpkg", 1);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_INSIDE_MUST_DEFER);
	/* dpkg's hooks run after the scripts, with what these left in a frontend's
	 * environment */
	setenv("DPKG_HOOK_ACTION", "configure", 1);
	assert_int_equal(state_now(*state, NULL), KP_LOCK_INSIDE_CAN_COMMIT);
}

static void test_foreign_root(void **state)
{
	struct kp_change change = { .kind = KP_CHANGE_ERASE, .name = "x" };
	struct root *r = *state;

	setenv("DPKG_ROOT", "/mnt", 1);
	assert_int_equal(state_now(r, NULL), -EXDEV);
	assert_int_equal(ops->commit(r->db, &change, 1, NULL), -EXDEV);
	setenv("DPKG_ROOT", "", 1);
	setenv("DPKG_ADMINDIR", "/mnt/var/lib/dpkg", 1);
	assert_int_equal(state_now(r, NULL), -EXDEV);
	setenv("DPKG_ADMINDIR", "/var/lib/dpkg", 1);
	assert_int_equal(state_now(r, NULL), KP_LOCK_FREE);
}

static void test_commit_does_not_wait(void **state)
{
	struct kp_change change = { .kind = KP_CHANGE_ERASE, .name = "x" };
	struct stranger s = stranger_hold_in(*state, FRONTEND);
	struct kp_err err = KP_ERR_INIT;
	struct root *r = *state;

	assert_int_equal(ops->commit(r->db, &change, 1, &err), -EBUSY);
	assert_int_equal(change.result, KP_CHANGE_PENDING);
	assert_non_null(strstr(err.text, "test-dpkg-lock"));
	stranger_end(&s);
	/* gone already: done, and no dpkg was needed */
	assert_int_equal(ops->commit(r->db, &change, 1, &err), 0);
	assert_int_equal(change.result, KP_CHANGE_DONE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, root_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),	  TEST(test_no_lock_files),
		TEST(test_stranger),	  TEST(test_below_dpkg),
		TEST(test_hooks_of_dpkg), TEST(test_maintainer_script),
		TEST(test_foreign_root),  TEST(test_commit_does_not_wait),
	};

	if (!backend_load("dpkg"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
