// SPDX-License-Identifier: GPL-2.0-or-later
/* state(): pacman's lock, held by real processes as pacman holds it. */
#include "alpm-root.h"

static int state_now(struct root *r, char **ret_holder)
{
	enum kp_lock_state state;
	struct kp_err err = KP_ERR_INIT;
	int rc = ops->state(r->db, &state, ret_holder, &err);

	return rc < 0 ? rc : (int)state;
}

/* The state as a grandchild of a process that has the lock sees it, with FLAGS. */
static int state_below(struct root *r, unsigned int flags, void (*then)(struct root *r))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		take_lock(r);
		if (then)
			then(r);
		pid = fork();
		if (pid == 0) {
			pid = fork();
			if (pid == 0) {
				if (ops->open(r->fd, flags, &r->db, NULL) < 0)
					_exit(97);
				_exit(state_now(r, NULL) + 50);
			}
		}
		waitpid(pid, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	kp_unlink_in(r->fd, LOCK);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) - 50;
}

static void test_nobody(void **state)
{
	char *holder;

	assert_int_equal(state_now(*state, &holder), KP_LOCK_FREE);
	assert_null(holder);
	/* Whoever says that a transaction runs around us, none does. */
	open_db(*state, KP_OPEN_NESTED);
	assert_int_equal(state_now(*state, &holder), KP_LOCK_FREE);
}

static void test_inside(void **state)
{
	assert_int_equal(state_below(*state, 0, NULL), KP_LOCK_INSIDE_MUST_DEFER);
	assert_int_equal(state_below(*state, KP_OPEN_NESTED, NULL),
			 KP_LOCK_INSIDE_CAN_COMMIT);
}

static void remove_lock(struct root *r)
{
	kp_unlink_in(r->fd, LOCK);
}

static void replace_lock(struct root *r)
{
	remove_lock(r);
	close(take_lock(r));
}

static void test_lock_was_taken_away(void **state)
{
	assert_int_equal(state_below(*state, KP_OPEN_NESTED, remove_lock),
			 KP_LOCK_INSIDE_MUST_DEFER);
	assert_int_equal(state_below(*state, KP_OPEN_NESTED, replace_lock),
			 KP_LOCK_INSIDE_MUST_DEFER);
}

static void change_root(struct root *r)
{
	r->fd = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void test_other_root(void **state)
{
	assert_int_equal(state_below(*state, KP_OPEN_NESTED, change_root), -EXDEV);
}

static void test_stranger(void **state)
{
	_cleanup_free_ char *expected = NULL, *holder = NULL;
	struct kp_change change = { .kind = KP_CHANGE_ERASE, .name = "x" };
	struct kp_err err = KP_ERR_INIT;
	struct root *r = *state;
	int ready[2], end[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ready[0]);
		close(end[1]);
		take_lock(r);
		(void)!write(ready[1], "x", 1);
		(void)!read(end[0], &c, 1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	open_db(r, KP_OPEN_NESTED);
	assert_int_equal(state_now(r, &holder), KP_LOCK_BUSY);
	expected = kp_strf("test-alpm-lock, pid %d", (int)pid);
	assert_string_equal(holder, expected);
	assert_int_equal(ops->commit(r->db, &change, 1, &err), -EBUSY);
	assert_int_equal(change.result, KP_CHANGE_PENDING);
	assert_non_null(strstr(err.text, expected));
	close(end[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);

	/* It did not clean up. */
	free(holder);
	assert_int_equal(state_now(r, &holder), KP_LOCK_BUSY);
	assert_non_null(strstr(holder, "left over"));
	assert_non_null(strstr(holder, "remove " LOCK));
	kp_unlink_in(r->fd, LOCK);
	assert_int_equal(state_now(r, NULL), KP_LOCK_FREE);
}

static void test_file_of_another_program(void **state)
{
	struct root *r = *state;
	pid_t pid;
	int status;

	/* Apache Derby calls its lock so as well. */
	put(r, "/db/db.lck", "derby");
	pid = fork();
	if (pid == 0) {
		if (kp_open_in(r->fd, "/db/db.lck", O_RDONLY, 0) < 0)
			_exit(99);
		if (fork() == 0)
			_exit(state_now(r, NULL) + 50);
		wait(&status);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status) - 50, KP_LOCK_FREE);
}

/* A child that sees no /proc, and whose parent has the lock. */
static int state_without_proc(struct root *r, unsigned int flags)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("none", "/proc", "tmpfs", 0, NULL) < 0 ||
		    ops->open(r->fd, flags, &r->db, NULL) < 0)
			_exit(99);
		_exit(state_now(r, NULL) + 50);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) - 50;
}

static void test_no_proc(void **state)
{
	struct root *r = *state;
	int fd;

	if (geteuid() != 0)
		skip();
	assert_int_equal(state_without_proc(r, 0), KP_LOCK_FREE);
	fd = take_lock(r);
	assert_int_equal(state_without_proc(r, 0), KP_LOCK_INSIDE_MUST_DEFER);
	assert_int_equal(state_without_proc(r, KP_OPEN_NESTED),
			 KP_LOCK_INSIDE_CAN_COMMIT);
	close(fd);
}

static int state_as_hook(struct root *r)
{
	const char *path = "/usr/lib/modules/x";
	struct kp_owner owner = { 0 };

	if (chroot(r->dir.path) < 0)
		return 98;
	r->fd = open("/", O_PATH | O_DIRECTORY);
	if (ops->open(r->fd, KP_OPEN_NESTED, &r->db, NULL) < 0 ||
	    ops->owner(r->db, &path, 1, &owner, NULL) < 0)
		return 97;
	return kp_str_eq(owner.package, "linux") ? state_now(r, NULL) + 50 : 96;
}

static int take_odd_lock(struct root *r)
{
	_cleanup_free_ char *proc = kp_strf("%s/proc", r->dir.path);
	int status;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("/proc", proc, NULL, MS_BIND | MS_REC, NULL) < 0)
		return 99;
	/* The path that /proc gives is one in the mounts of this moment. */
	r->fd = open(r->dir.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (kp_open_in(r->fd, "/odd/db.lck", O_WRONLY | O_CREAT | O_EXCL, 0) < 0)
		return 99;
	if (fork() == 0)
		_exit(state_as_hook(r));
	wait(&status);
	return WEXITSTATUS(status);
}

/* --dbpath on the command line of the pacman around us: no configuration says it. */
static void test_odd_dbpath(void **state)
{
	struct root *r = *state;
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	put(r, "/odd/local/ALPM_DB_VERSION", "9\n");
	put(r, "/odd/local/linux-1-1/files", "%FILES%\nusr/lib/modules/x\n");
	pid = fork();
	if (pid == 0)
		_exit(take_odd_lock(r));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status) - 50, KP_LOCK_INSIDE_CAN_COMMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),
		TEST(test_inside),
		TEST(test_lock_was_taken_away),
		TEST(test_other_root),
		TEST(test_stranger),
		TEST(test_file_of_another_program),
		TEST(test_no_proc),
		TEST(test_odd_dbpath),
	};

	if (!backend_load("alpm"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
