// SPDX-License-Identifier: GPL-2.0-or-later
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "test.h"

static void make_link(struct test_root *root, const char *target, const char *path)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_symlink_in(root->fd, target, path, &err) < 0)
		fail_msg("%s", err.text);
}

static void check_text(struct test_root *root, const char *path, const char *expected)
{
	_cleanup_free_ char *text = test_get(root, path);

	assert_string_equal(text, expected);
}

static void remove_never_follows(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	test_put(&root, "/keep/file", "kept");
	test_put(&root, "/tree/a/b/file", "");
	test_put(&root, "/tree/.hidden", "");
	make_link(&root, "../../keep", "/tree/a/up");
	make_link(&root, "/keep", "/tree/abs");
	make_link(&root, "keep", "/link");
	if (kp_rm_rf_in(root.fd, "/tree/", &err) < 0)
		fail_msg("%s", err.text);
	assert_false(kp_exists_in(root.fd, "/tree"));
	assert_int_equal(kp_rm_rf_in(root.fd, "/link", NULL), 0);
	assert_int_equal(kp_rm_rf_in(root.fd, "/keep/none", NULL), 0);
	assert_int_equal(kp_rm_rf_in(root.fd, "/none/none", NULL), 0);
	check_text(&root, "/keep/file", "kept");
	assert_int_equal(kp_rm_rf_in(root.fd, "/keep/file", NULL), 0);
	assert_false(kp_exists_in(root.fd, "/keep/file"));
	assert_int_equal(kp_rm_rf_in(root.fd, "/", NULL), -EINVAL);
	assert_int_equal(kp_rm_rf_in(root.fd, "/keep/..", NULL), -EINVAL);
}

static void remove_many_and_wide(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_close_ int dir = -1;

	(void)state;
	assert_int_equal(kp_mkdir_in(root.fd, "/t", 0755, NULL), 0);
	dir = kp_open_in(root.fd, "/t", O_RDONLY | O_DIRECTORY, 0);
	for (int i = 0; i < 3000; i++) {
		_cleanup_free_ char *name = kp_strf("f%d", i);

		if (i % 10)
			assert_int_equal(
				close(openat(dir, name, O_CREAT | O_WRONLY, 0644)), 0);
		else
			assert_int_equal(mkdirat(dir, name, 0755), 0);
	}
	assert_int_equal(kp_rm_rf_in(root.fd, "/t", NULL), 0);
	assert_false(kp_exists_in(root.fd, "/t"));
}

/* DEPTH directories one in the other, deeper than paths can be long, with a file in each. */
static void make_deep(struct test_root *root, const char *path, int depth)
{
	int dir;

	assert_int_equal(kp_mkdir_in(root->fd, path, 0755, NULL), 0);
	dir = kp_open_in(root->fd, path, O_RDONLY | O_DIRECTORY, 0);
	for (int i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(dir, "dir", 0755), 0);
		assert_int_equal(close(openat(dir, "file", O_CREAT | O_WRONLY, 0644)), 0);
		next = openat(dir, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(dir);
		dir = next;
	}
	close(dir);
}

static int remove_deep_child(struct test_root *root)
{
	const struct rlimit limit = { 64, 64 };
	struct kp_err err = KP_ERR_INIT;

	setrlimit(RLIMIT_NOFILE, &limit);
	if (kp_rm_rf_in(root->fd, "/deep", &err) < 0) {
		print_error("%s\n", err.text);
		return 1;
	}
	return kp_exists_in(root->fd, "/deep") ? 2 : 0;
}

static void remove_deep_with_few_descriptors(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	int status;
	pid_t pid;

	(void)state;
	make_deep(&root, "/deep", 3000);
	pid = fork();
	if (!pid)
		_exit(remove_deep_child(&root));
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

/* What somebody mounted below is not ours to empty, a bind mount of the same file system
 * included. */
static int remove_mounted_child(struct test_root *root)
{
	_cleanup_free_ char *precious = kp_path_join(root->path, "precious");
	_cleanup_free_ char *at = kp_path_join(root->path, "tree/a/at"), *text = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(precious, at, NULL, MS_BIND, NULL) < 0)
		return 77;
	root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (kp_rm_rf_in(root->fd, "/tree", &err) != -EXDEV)
		return 1;
	if (strcmp(err.text, "remove '/tree/a/at': it is a mount point; unmount it") != 0)
		return 2;
	if (kp_read_in(root->fd, "/precious/file", 0, &text, NULL) < 0)
		return 3;
	/* The rest is gone. */
	if (kp_exists_in(root->fd, "/tree/a/z") || kp_exists_in(root->fd, "/tree/b"))
		return 4;
	return 0;
}

static void remove_stops_at_mounts(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	int status;
	pid_t pid;

	(void)state;
	test_put(&root, "/precious/file", "");
	test_put(&root, "/tree/a/z", "");
	test_put(&root, "/tree/b/file", "");
	assert_int_equal(kp_mkdir_in(root.fd, "/tree/a/at", 0755, NULL), 0);
	pid = fork();
	if (!pid)
		_exit(remove_mounted_child(&root));
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* mounting is not allowed here */
	assert_int_equal(status, 0);
}

/* Copy FROM to the directory TO, both below ROOT; owners as they come. */
static int copy(struct test_root *root, const char *from, const char *to,
		struct kp_err *err)
{
	_cleanup_close_ int fd = kp_open_in(root->fd, to, O_RDONLY | O_DIRECTORY, 0);

	assert_true(fd >= 0);
	return kp_copy_tree(root->fd, from, fd, (uid_t)-1, (gid_t)-1, err);
}

static void copy_keeps_what_it_should(void **state)
{
	const struct timespec times[2] = { { 1000, 0 }, { 1700000000, 123456789 } };
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *target = NULL;
	struct kp_err err = KP_ERR_INIT;
	struct stat st, st2;

	(void)state;
	test_put(&root, "/from/sub/file", "text");
	test_put(&root, "/from/empty", "");
	make_link(&root, "/from/../dangling", "/from/link");
	assert_int_equal(linkat(root.fd, "from/sub/file", root.fd, "from/hard", 0), 0);
	assert_int_equal(fchmodat(root.fd, "from/sub/file", 06755, 0), 0);
	assert_int_equal(fchmodat(root.fd, "from/sub", 03710, 0), 0);
	assert_int_equal(utimensat(root.fd, "from/sub/file", times, 0), 0);
	assert_int_equal(utimensat(root.fd, "from/link", times, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(utimensat(root.fd, "from/sub", times, 0), 0);
	assert_int_equal(kp_mkdir_in(root.fd, "/to", 0755, NULL), 0);
	if (copy(&root, "/from", "/to", &err) < 0)
		fail_msg("%s", err.text);

	check_text(&root, "/to/sub/file", "text");
	assert_int_equal(kp_stat_in(root.fd, "/to/sub/file", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(kp_stat_in(root.fd, "/to/hard", &st2), 0);
	assert_int_not_equal(st.st_ino, st2.st_ino);
	assert_int_equal(kp_stat_in(root.fd, "/to/sub", &st), 0);
	assert_int_equal(st.st_mode & 07777, 01710);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_int_equal(kp_readlink_in(root.fd, "/to/link", &target), 0);
	assert_string_equal(target, "/from/../dangling");
	assert_int_equal(kp_lstat_in(root.fd, "/to/link", &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	check_text(&root, "/to/empty", "");
}

static void copy_gives_an_owner(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	uid_t uid = geteuid() ? geteuid() : 4242;
	gid_t gid = geteuid() ? getegid() : 4343;
	_cleanup_close_ int to = -1;
	struct stat st;

	(void)state;
	test_put(&root, "/from/d/f", "");
	make_link(&root, "x", "/from/d/l");
	assert_int_equal(kp_mkdir_in(root.fd, "/to", 0755, NULL), 0);
	to = kp_open_in(root.fd, "/to", O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(kp_copy_tree(root.fd, "/from", to, uid, gid, NULL), 0);
	for (const char *const *p =
		     (const char *const[]){ "/to/d", "/to/d/f", "/to/d/l", NULL };
	     *p; p++) {
		assert_int_equal(kp_lstat_in(root.fd, *p, &st), 0);
		assert_int_equal(st.st_uid, uid);
		assert_int_equal(st.st_gid, gid);
	}
	assert_int_equal(kp_stat_in(root.fd, "/from/d/f", &st), 0);
	assert_int_equal(st.st_uid, geteuid());
}

static void copy_lies_over(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct kp_err err = KP_ERR_INIT;
	struct stat st;

	(void)state;
	test_put(&root, "/outside/f", "untouched");
	test_put(&root, "/from/d/f", "new");
	test_put(&root, "/from/d2/f", "new");
	test_put(&root, "/from/f", "new");
	make_link(&root, "new", "/from/l");
	test_put(&root, "/to/d/f", "old");
	test_put(&root, "/to/d/other", "old");
	test_put(&root, "/to/l", "a file");
	/* Links in the destination lead nowhere. */
	make_link(&root, "../outside", "/to/d2");
	make_link(&root, "../outside/f", "/to/f");
	if (copy(&root, "/from", "/to", &err) < 0)
		fail_msg("%s", err.text);
	check_text(&root, "/to/d/f", "new");
	check_text(&root, "/to/d/other", "old");
	check_text(&root, "/to/f", "new");
	check_text(&root, "/to/d2/f", "new");
	check_text(&root, "/outside/f", "untouched");
	assert_int_equal(kp_lstat_in(root.fd, "/to/d2", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(kp_lstat_in(root.fd, "/to/l", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	/* A directory does not give way to a file. */
	test_put(&root, "/from2/d", "");
	assert_int_equal(copy(&root, "/from2", "/to", &err), -EISDIR);
	assert_string_equal(err.text,
			    "copy '/from2/d': replace what is there: Is a directory");
}

static void copy_skips_what_is_no_file(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_buf_ struct kp_buf lines = KP_BUF_INIT;
	struct kp_err err = KP_ERR_INIT;
	int rc;

	(void)state;
	test_put(&root, "/from/f", "");
	assert_int_equal(mkfifoat(root.fd, "from/pipe", 0644), 0);
	assert_int_equal(mknodat(root.fd, "from/sock", S_IFSOCK | 0644, 0), 0);
	assert_int_equal(kp_mkdir_in(root.fd, "/to", 0755, NULL), 0);
	alarm(20);
	kp_log_set_sink(test_sink, &lines);
	rc = copy(&root, "/from", "/to", &err);
	kp_log_set_sink(NULL, NULL);
	alarm(0);
	assert_int_equal(rc, 0);
	assert_non_null(
		strstr(lines.s, "warning: '/from/pipe' is a FIFO, skipping it\n"));
	assert_non_null(
		strstr(lines.s, "warning: '/from/sock' is a socket, skipping it\n"));
	assert_true(kp_exists_in(root.fd, "/to/f"));
	assert_false(kp_exists_in(root.fd, "/to/pipe"));
	assert_false(kp_exists_in(root.fd, "/to/sock"));
}

static void copy_ends(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	make_deep(&root, "/deep", 200);
	assert_int_equal(kp_mkdir_in(root.fd, "/to", 0755, NULL), 0);
	assert_int_equal(copy(&root, "/deep", "/to", &err), -ELOOP);
	assert_true(kp_str_ends(err.text, ": nested deeper than 100"));
	/* Into itself. */
	test_put(&root, "/self/f", "");
	assert_int_equal(kp_mkdir_in(root.fd, "/self/to", 0755, NULL), 0);
	assert_int_equal(copy(&root, "/self", "/self/to", &err), -ELOOP);
	assert_int_equal(copy(&root, "/none", "/to", &err), -ENOENT);
	assert_string_equal(err.text, "copy '/none': No such file or directory");
}

static void copy_bytes_of_any_file(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *big = kp_malloc(300001), *copied = NULL, *status = NULL;
	_cleanup_close_ int in = -1, out = -1, proc = -1, out2 = -1, out3 = -1;
	struct kp_err err = KP_ERR_INIT;
	int fds[2];

	(void)state;
	for (int i = 0; i < 300000; i++)
		big[i] = (char)('a' + i % 23);
	big[300000] = '\0';
	test_put(&root, "/in", big);
	in = kp_open_in(root.fd, "/in", O_RDONLY, 0);
	out = kp_open_in(root.fd, "/out", O_WRONLY | O_CREAT, 0644);
	lseek(in, 100, SEEK_SET);
	if (kp_copy_fd(in, out, &err) < 0)
		fail_msg("%s", err.text);
	copied = test_get(&root, "/out");
	assert_string_equal(copied, big + 100);
	/* No size known beforehand. */
	proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	out2 = kp_open_in(root.fd, "/status", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(kp_copy_fd(proc, out2, &err), 0);
	status = test_get(&root, "/status");
	assert_true(kp_str_starts(status, "Name:"));
	/* Not even a file. */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "piped", 5), 5);
	close(fds[1]);
	out3 = kp_open_in(root.fd, "/piped", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(kp_copy_fd(fds[0], out3, &err), 0);
	check_text(&root, "/piped", "piped");
	close(fds[0]);
}

static void copy_to_a_full_device(void **state)
{
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	_cleanup_root_ struct test_root root = test_root_new();
	struct kp_err err = KP_ERR_INIT;
	_cleanup_close_ int in = -1;

	(void)state;
	test_put(&root, "/in", "data");
	in = kp_open_in(root.fd, "/in", O_RDONLY, 0);
	assert_int_equal(kp_copy_fd(in, full, &err), -ENOSPC);
	assert_string_equal(err.text, "copy data: write: No space left on device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remove_never_follows),
		cmocka_unit_test(remove_many_and_wide),
		cmocka_unit_test(remove_deep_with_few_descriptors),
		cmocka_unit_test(remove_stops_at_mounts),
		cmocka_unit_test(copy_keeps_what_it_should),
		cmocka_unit_test(copy_gives_an_owner),
		cmocka_unit_test(copy_lies_over),
		cmocka_unit_test(copy_skips_what_is_no_file),
		cmocka_unit_test(copy_ends),
		cmocka_unit_test(copy_bytes_of_any_file),
		cmocka_unit_test(copy_to_a_full_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
