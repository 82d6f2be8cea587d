// SPDX-License-Identifier: GPL-2.0-or-later
/* state() and commit() under rpm's lock, held by real processes. */
#include "rpm-system.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define OWN_LOCK RPM_LOCK ".kmodpkg"
#define KO DIR1 "hello.ko"
#define NAME1 "kmod-hello-" K1

static char *file; /* of the package of a test */

static int setup(void **state)
{
	rpm_setup(state);
	if (sys.db) {
		file = make_package("hello", "1.0", K1, KO, "one");
		test_put(&sys.s->root, RPM_LOCK, "");
	}
	return 0;
}

static int teardown(void **state)
{
	free(kp_steal(&file));
	return rpm_teardown(state);
}

/* Is it locked by another process? */
static bool is_locked(const char *path)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

static int state_of(struct kp_pkgdb *db, char **ret_holder)
{
	enum kp_lock_state state;
	int rc = ops->state(db, &state, ret_holder, NULL);

	return rc < 0 ? rc : (int)state;
}

/* A backend handle in a child, as a hook's kmodpkg has it. */
static struct kp_pkgdb *open_in_child(unsigned int flags)
{
	struct kp_pkgdb *db;

	if (ops->open(sys.s->root.fd, flags, &db, NULL) < 0)
		_exit(98);
	return db;
}

static int commit_in_child(struct kp_pkgdb *db)
{
	struct kp_change c = { .file = file };
	int rc = ops->commit(db, &c, 1, NULL);

	if ((c.result == KP_CHANGE_DONE) != (rc == 0))
		_exit(97);
	return rc;
}

enum surroundings { PLAIN, NEW_PID_NAMESPACE, NO_PROC };

/* What a child of a process with LOCK finds: exit with state + 50, and with 20 less when a commit
 * does not fit it. */
static int state_below(const char *path, unsigned int flags, enum surroundings where)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		lock(path);
		if (where == NO_PROC && (unshare(CLONE_NEWNS) < 0 ||
					 mount("none", "/proc", "tmpfs", 0, NULL) < 0))
			_exit(94);
		if (where == NEW_PID_NAMESPACE && unshare(CLONE_NEWPID) < 0)
			_exit(96);
		if (where != PLAIN) {
			/* an init, or a scriptlet's shell, and what it starts */
			pid = fork();
			if (pid > 0) {
				waitpid(pid, &status, 0);
				_exit(WEXITSTATUS(status));
			}
		}
		pid = fork();
		if (pid == 0) {
			struct kp_pkgdb *db = open_in_child(flags);
			int state = state_of(db, NULL), rc = commit_in_child(db);
			bool good = state == KP_LOCK_INSIDE_CAN_COMMIT ||
						    state == KP_LOCK_FREE
					    ? rc == 0
				    : state < 0 ? rc == state
						: rc == -EBUSY;

			_exit(state + 50 - (good ? 0 : 20));
		}
		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 95);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_in_range(WEXITSTATUS(status), 0, 90);
	return WEXITSTATUS(status) - 50;
}

static void test_nobody(void **state)
{
	char *holder;

	test_system(state);
	assert_int_equal(state_of(sys.db, &holder), KP_LOCK_FREE);
	assert_null(holder);
	kp_unlink_in(sys.s->root.fd, RPM_LOCK);
	assert_int_equal(state_of(sys.db, NULL), KP_LOCK_FREE);
}

static void test_stranger(void **state)
{
	struct kp_change c = { 0 };
	struct kp_err err = KP_ERR_INIT;
	struct stranger s;
	char *holder, *want;

	test_system(state);
	s = stranger_hold(RPM_LOCK);
	want = kp_strf("test-rpm-lock, pid %d", (int)s.pid);
	assert_int_equal(state_of(sys.db, &holder), KP_LOCK_BUSY);
	assert_string_equal(holder, want);
	c.file = file;
	assert_int_equal(ops->commit(sys.db, &c, 1, &err), -EBUSY);
	assert_non_null(strstr(err.text, want));
	assert_int_equal(c.result, KP_CHANGE_PENDING);
	assert_false(test_exists(sys.s, KO));
	stranger_end(&s);
	assert_int_equal(state_of(sys.db, NULL), KP_LOCK_FREE);
	commit_add(file);
	assert_false(is_locked(RPM_LOCK));
	free(holder);
	free(want);
}

static void test_below_a_scriptlet(void **state)
{
	test_system(state);
	assert_int_equal(state_below(RPM_LOCK, 0, PLAIN), KP_LOCK_INSIDE_MUST_DEFER);
	assert_false(test_exists(sys.s, KO));
}

static void test_below_a_hook(void **state)
{
	test_system(state);
	assert_int_equal(state_below(RPM_LOCK, KP_OPEN_NESTED, PLAIN),
			 KP_LOCK_INSIDE_CAN_COMMIT);
	DO("/usr/bin/rpm", "-V", NAME1);
	assert_false(test_exists(sys.s, OWN_LOCK));
	assert_clean();
}

static void test_client_in_another_pid_namespace(void **state)
{
	test_system(state);
	/* Not a scriptlet as far as one can see; it waits, and queues. */
	assert_int_equal(state_below(RPM_LOCK, 0, NEW_PID_NAMESPACE), KP_LOCK_BUSY);
	assert_int_equal(state_below(RPM_LOCK, KP_OPEN_NESTED, NEW_PID_NAMESPACE),
			 KP_LOCK_INSIDE_CAN_COMMIT);
	DO("/usr/bin/rpm", "-V", NAME1);
}

/* dnf --installroot mounts nothing. */
static void test_without_proc(void **state)
{
	test_system(state);
	assert_int_equal(state_below(RPM_LOCK, 0, NO_PROC), KP_LOCK_BUSY);
	assert_int_equal(state_below(RPM_LOCK, KP_OPEN_NESTED, NO_PROC),
			 KP_LOCK_INSIDE_CAN_COMMIT);
	DO("/usr/bin/rpm", "-V", NAME1);
}

static void test_transaction_on_another_root(void **state)
{
	test_system(state);
	assert_int_equal(state_below("/other.lock", KP_OPEN_NESTED, PLAIN), -EXDEV);
	assert_false(test_exists(sys.s, KO));
	/* a hook's environment without a transaction */
	assert_int_equal(state_below("/dev/null", 0, PLAIN), KP_LOCK_FREE);
}

static void test_two_nested_exclude_each_other(void **state)
{
	struct stranger s;
	pid_t pid;
	int status;

	test_system(state);
	s = stranger_hold(OWN_LOCK);
	pid = fork();
	if (pid == 0) {
		lock(RPM_LOCK);
		pid = fork();
		if (pid == 0)
			_exit(commit_in_child(open_in_child(KP_OPEN_NESTED)) == -EBUSY);
		waitpid(pid, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, W_EXITCODE(1, 0));
	assert_false(test_exists(sys.s, KO));
	assert_true(is_locked(OWN_LOCK));
	stranger_end(&s);
	/* What a killed one has left hinders nobody, and goes. */
	assert_true(test_exists(sys.s, OWN_LOCK));
	assert_int_equal(state_below(RPM_LOCK, KP_OPEN_NESTED, PLAIN),
			 KP_LOCK_INSIDE_CAN_COMMIT);
	assert_false(test_exists(sys.s, OWN_LOCK));
}

/* The hook's process loses its client between open() and commit(). */
static int orphan(bool stranger_comes)
{
	int opened[2], gone[2], result[2], rc = 0;
	struct stranger s = { 0 };
	pid_t client;
	char c;

	assert_int_equal(pipe2(opened, O_CLOEXEC) | pipe2(gone, O_CLOEXEC) |
				 pipe2(result, O_CLOEXEC),
			 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	client = fork();
	if (client == 0) {
		lock(RPM_LOCK);
		if (fork() == 0) {
			struct kp_pkgdb *db = open_in_child(KP_OPEN_NESTED);

			if (state_of(db, NULL) != KP_LOCK_INSIDE_CAN_COMMIT)
				_exit(1);
			(void)!write(opened[1], "x", 1);
			(void)!read(gone[0], &c, 1);
			rc = commit_in_child(db);
			if (!rc && access(OWN_LOCK, F_OK) == 0)
				rc = 1;
			(void)!write(result[1], &rc, sizeof(rc));
			_exit(0);
		}
		pause();
	}
	assert_int_equal(read(opened[0], &c, 1), 1);
	kill(client, SIGKILL);
	assert_int_equal(waitpid(client, NULL, 0), client);
	if (stranger_comes)
		s = stranger_hold(RPM_LOCK);
	assert_int_equal(write(gone[1], "x", 1), 1);
	assert_int_equal(read(result[0], &rc, sizeof(rc)), sizeof(rc));
	assert_true(wait(NULL) > 0);
	if (stranger_comes)
		stranger_end(&s);
	for (int i = 0; i < 2; i++) {
		close(opened[i]);
		close(gone[i]);
		close(result[i]);
	}
	return rc;
}

static void test_client_dies(void **state)
{
	test_system(state);
	assert_int_equal(orphan(true), -EBUSY);
	assert_false(test_exists(sys.s, KO));
	/* the ordinary lock then */
	assert_int_equal(orphan(false), 0);
	DO("/usr/bin/rpm", "-V", NAME1);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),
		TEST(test_stranger),
		TEST(test_below_a_scriptlet),
		TEST(test_below_a_hook),
		TEST(test_client_in_another_pid_namespace),
		TEST(test_without_proc),
		TEST(test_transaction_on_another_root),
		TEST(test_two_nested_exclude_each_other),
		TEST(test_client_dies),
	};

	if (!rpm_load_backend())
		return 0;
	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
