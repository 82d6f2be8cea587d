// SPDX-License-Identifier: GPL-2.0-or-later
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "test.h"

#include "base/lock.h"

/* A process that holds the lock until a byte (or the end of file) comes through the pipe. */
struct holder {
	pid_t pid;
	int release_fd;
};

static struct holder holder_start(struct test_root *root, const char *path)
{
	int ready[2], release[2];
	struct holder h;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(release, O_CLOEXEC), 0);
	h.pid = fork();
	if (!h.pid) {
		int fd;

		close(release[1]);
		if (kp_lock_take(root->fd, path, "sync", KP_LOCK_TRY, &fd, NULL) < 0)
			_exit(1);
		(void)!write(ready[1], "r", 1);
		(void)!read(release[0], &c, 1);
		_exit(0);
	}
	close(ready[1]);
	close(release[0]);
	h.release_fd = release[1];
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return h;
}

static void holder_end(struct holder *h)
{
	int status;

	close(h->release_fd);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void take_makes_file_and_directories(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *text = NULL,
			    *expected = kp_strf("%d sync --all\n", (int)getpid());
	_cleanup_close_ int fd = -1, again = -1;
	struct kp_err err = KP_ERR_INIT;
	struct stat st;

	(void)state;
	if (kp_lock_take(root.fd, "/run/kmodpkg/lock", "sync --all", KP_LOCK_TRY, &fd,
			 &err))
		fail_msg("%s", err.text);
	text = test_get(&root, "/run/kmodpkg/lock");
	assert_string_equal(text, expected);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* flock() is per open file: a second one of this process is kept out as well. */
	assert_int_equal(kp_lock_take(root.fd, "/run/kmodpkg/lock", "x", KP_LOCK_TRY,
				      &again, &err),
			 -EBUSY);
	close(kp_steal_fd(&fd));
	assert_int_equal(kp_lock_take(root.fd, "/run/kmodpkg/lock", "x", KP_LOCK_TRY,
				      &again, &err),
			 0);
	free(kp_steal(&text));
	text = test_get(&root, "/run/kmodpkg/lock");
	assert_true(kp_str_ends(text, " x\n")); /* nothing of the longer text before */
	assert_null(strstr(text, "--all"));
}

static void busy_names_the_holder(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct holder h = holder_start(&root, "/lock");
	_cleanup_free_ char *expected =
		kp_strf("lock '/lock' is held by process %d sync", (int)h.pid);
	struct kp_err err = KP_ERR_INIT;
	int fd = -1;

	(void)state;
	assert_int_equal(kp_lock_take(root.fd, "/lock", "x", KP_LOCK_TRY, &fd, &err),
			 -EBUSY);
	assert_string_equal(err.text, expected);
	assert_int_equal(fd, -1);
	holder_end(&h);
}

static void holder_text_is_not_trusted(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct holder h = holder_start(&root, "/lock");
	_cleanup_close_ int fd = kp_open_in(root.fd, "/lock", O_WRONLY, 0);
	struct kp_err err = KP_ERR_INIT;
	int lock_fd;

	(void)state;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "1\033[2J\nmore", 10, 0), 10);
	assert_int_equal(kp_lock_take(root.fd, "/lock", "x", KP_LOCK_TRY, &lock_fd, &err),
			 -EBUSY);
	assert_string_equal(err.text, "lock '/lock' is held by process 1?[2J");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(kp_lock_take(root.fd, "/lock", "x", KP_LOCK_TRY, &lock_fd, &err),
			 -EBUSY);
	assert_string_equal(err.text, "lock '/lock' is held by another process");
	holder_end(&h);
}

static void on_tick(int sig)
{
	(void)sig;
}

/* The wait is as long as was asked for, though signals cut every sleep short. */
static void wait_is_bounded(void **state)
{
	const struct itimerval ticks = { { 0, 1000 }, { 0, 1000 } }, none = { 0 };
	struct sigaction sa = { .sa_handler = on_tick }, old;
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_buf_ struct kp_buf lines = KP_BUF_INIT;
	struct holder h = holder_start(&root, "/lock");
	_cleanup_free_ char *expected = kp_strf(
		"waiting for lock '/lock', held by process %d sync, at most 1 s\n",
		(int)h.pid);
	int64_t start, end;
	int fd, rc;

	(void)state;
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &ticks, NULL);
	kp_log_set_sink(test_sink, &lines);
	start = now_ms();
	rc = kp_lock_take(root.fd, "/lock", "x", 300, &fd, NULL);
	end = now_ms();
	kp_log_set_sink(NULL, NULL);
	setitimer(ITIMER_REAL, &none, NULL);
	sigaction(SIGALRM, &old, NULL);
	holder_end(&h);
	assert_int_equal(rc, -EBUSY);
	assert_in_range(end - start, 300, 10000);
	assert_string_equal(lines.s, expected); /* once */
}

/* The message that we wait is the moment to act. */
struct scene {
	struct holder *holder;
	struct test_root *root;
	int messages;
};

static void release_on_message(enum kp_log_level level, const char *line, void *data)
{
	struct scene *scene = data;

	(void)level;
	(void)line;
	scene->messages++;
	if (scene->root)
		unlinkat(scene->root->fd, "lock", 0);
	(void)!write(scene->holder->release_fd, "x", 1);
}

static void waiter_gets_what_is_released(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct holder h = holder_start(&root, "/lock");
	struct scene scene = { .holder = &h };
	_cleanup_close_ int fd = -1;
	int rc;

	(void)state;
	kp_log_set_sink(release_on_message, &scene);
	rc = kp_lock_take(root.fd, "/lock", "next", 30000, &fd, NULL);
	kp_log_set_sink(NULL, NULL);
	holder_end(&h);
	assert_int_equal(rc, 0);
	assert_int_equal(scene.messages, 1);
}

static void lock_on_a_removed_file_does_not_count(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct holder h = holder_start(&root, "/lock");
	struct scene scene = { .holder = &h, .root = &root };
	_cleanup_close_ int fd = -1;
	struct stat mine, there;
	int rc;

	(void)state;
	kp_log_set_sink(release_on_message, &scene);
	rc = kp_lock_take(root.fd, "/lock", "next", 30000, &fd, NULL);
	kp_log_set_sink(NULL, NULL);
	holder_end(&h);
	assert_int_equal(rc, 0);
	assert_int_equal(fstat(fd, &mine), 0);
	assert_int_equal(kp_stat_in(root.fd, "/lock", &there), 0);
	assert_int_equal(mine.st_ino, there.st_ino);
}

static void killed_holder_leaves_nothing(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct holder h = holder_start(&root, "/lock");
	_cleanup_close_ int fd = -1;

	(void)state;
	kill(h.pid, SIGKILL);
	holder_end(&h);
	assert_int_equal(kp_lock_take(root.fd, "/lock", "x", KP_LOCK_TRY, &fd, NULL), 0);
}

static void odd_lock_files_are_refused(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct kp_err err = KP_ERR_INIT;
	int fd = -1;

	(void)state;
	alarm(20);
	test_put(&root, "/victim", "text");
	assert_int_equal(symlinkat("victim", root.fd, "link"), 0);
	assert_int_equal(mkfifoat(root.fd, "fifo", 0600), 0);
	assert_int_equal(kp_lock_take(root.fd, "/link", "x", 1000, &fd, &err), -ELOOP);
	assert_int_equal(kp_lock_take(root.fd, "/fifo", "x", 1000, &fd, &err), -EINVAL);
	assert_string_equal(err.text,
			    "lock file '/fifo' is not a regular file; remove it");
	assert_int_equal(kp_lock_take(root.fd, "/victim/x", "x", 1000, &fd, &err),
			 -ENOTDIR);
	assert_string_equal(err.text, "open lock file '/victim/x': Not a directory");
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(take_makes_file_and_directories),
		cmocka_unit_test(busy_names_the_holder),
		cmocka_unit_test(holder_text_is_not_trusted),
		cmocka_unit_test(wait_is_bounded),
		cmocka_unit_test(waiter_gets_what_is_released),
		cmocka_unit_test(lock_on_a_removed_file_does_not_count),
		cmocka_unit_test(killed_holder_leaves_nothing),
		cmocka_unit_test(odd_lock_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
