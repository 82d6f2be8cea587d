// SPDX-License-Identifier: GPL-2.0-or-later
/* Looking and single files; trees are in test-fs-tree.c, names in test-fs-names.c. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "test.h"

/* A root with a directory beside it that nothing may reach. */
struct jail {
	struct test_root outer;
	struct test_root root; /* outer/root */
};

static struct jail jail_new(void)
{
	struct jail j = { .outer = test_root_new() };

	test_put(&j.outer, "/outside/secret", "secret");
	test_put(&j.outer, "/root/etc/passwd", "inside");
	j.root.path = kp_strf("%s/root", j.outer.path);
	j.root.fd = openat(j.outer.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return j;
}

static void jail_free(struct jail *j)
{
	char *text = test_get(&j->outer, "/outside/secret");
	char **names = NULL;

	/* Whatever a test did, it did it inside. */
	assert_string_equal(text, "secret");
	assert_int_equal(kp_list_in(j->outer.fd, "/outside", &names), 0);
	assert_int_equal(kp_strv_len(names), 1);
	kp_strv_free(names);
	free(text);
	close(j->root.fd);
	free(j->root.path);
	test_root_free(&j->outer);
}

#define _cleanup_jail_ _cleanup_(jail_free)

static void add_link(struct jail *j, const char *target, const char *path)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_symlink_in(j->root.fd, target, path, &err) < 0)
		fail_msg("%s", err.text);
}

static void links_stay_inside(void **state)
{
	_cleanup_jail_ struct jail j = jail_new();
	_cleanup_free_ char *outside = kp_strf("%s/outside", j.outer.path);
	_cleanup_free_ char *text = NULL, *real = NULL, *again = NULL;
	struct stat st;

	(void)state;
	add_link(&j, "/etc/passwd", "/absolute");
	add_link(&j, "../../../../../../etc/passwd", "/dots");
	add_link(&j, outside, "/escape");
	add_link(&j, "../outside", "/escape2");
	text = test_get(&j.root, "/absolute");
	assert_string_equal(text, "inside");
	free(text);
	text = test_get(&j.root, "/dots");
	assert_string_equal(text, "inside");
	free(text);
	text = test_get(&j.root, "/../../etc/../../etc/passwd");
	assert_string_equal(text, "inside");
	assert_int_equal(kp_open_in(j.root.fd, "/escape/secret", O_RDONLY, 0), -ENOENT);
	assert_int_equal(kp_open_in(j.root.fd, "/escape2/secret", O_RDONLY, 0), -ENOENT);
	assert_int_equal(kp_stat_in(j.root.fd, "/escape", &st), -ENOENT);
	assert_int_equal(kp_lstat_in(j.root.fd, "/escape", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_false(kp_exists_in(j.root.fd, "/escape"));
	assert_int_equal(kp_realpath_in(j.root.fd, "/dots", &real), 0);
	assert_string_equal(real, "/etc/passwd");
	assert_int_equal(kp_realpath_in(j.root.fd, "/escape", &again), -ENOENT);
}

static void writes_stay_inside(void **state)
{
	_cleanup_jail_ struct jail j = jail_new();
	_cleanup_free_ char *outside = kp_strf("%s/outside", j.outer.path);
	_cleanup_free_ char *secret = kp_strf("%s/secret", outside);
	struct kp_err err = KP_ERR_INIT;
	struct stat st;

	(void)state;
	add_link(&j, outside, "/dir");
	add_link(&j, secret, "/file");
	assert_int_equal(kp_write_in(j.root.fd, "/dir/x", "x", 1, 0644, &err), -ENOENT);
	assert_string_equal(err.text, "write '/dir/x': open its directory: "
				      "No such file or directory");
	assert_int_equal(kp_mkdir_in(j.root.fd, "/dir/x", 0755, NULL), -ENOTDIR);
	assert_int_equal(kp_unlink_in(j.root.fd, "/dir/secret"), 0);
	assert_int_equal(kp_rm_rf_in(j.root.fd, "/dir/secret", NULL), 0);
	assert_int_equal(kp_rename_in(j.root.fd, "/dir/secret", "/stolen"), -ENOENT);
	/* A link in the place of the file is replaced, not followed. */
	assert_int_equal(kp_write_in(j.root.fd, "/file", "new", 3, 0600, NULL), 0);
	assert_int_equal(kp_lstat_in(j.root.fd, "/file", &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void realpath_resolves_all(void **state)
{
	static const struct {
		const char *path, *real;
		int rc;
	} cases[] = {
		{ "/", "/", 0 },
		{ "//a/./b//", "/a/b", 0 },
		{ "/a/../../..", "/", 0 },
		{ "/short", "/a/b", 0 },
		{ "/short/../b/file", "/a/b/file", 0 },
		{ "/chain/file", "/a/b/file", 0 },
		{ "/a/up/b/file", "/a/b/file", 0 },
		{ "/a/b/file/", NULL, -ENOTDIR },
		{ "/a/b/file/..", NULL, -ENOTDIR },
		{ "/none", NULL, -ENOENT },
		{ "/loop1", NULL, -ELOOP },
		{ "/dangling", NULL, -ENOENT },
	};
	_cleanup_jail_ struct jail j = jail_new();

	(void)state;
	test_put(&j.root, "/a/b/file", "x");
	add_link(&j, "a/b", "/short");
	add_link(&j, "/short", "/chain");
	add_link(&j, "..//a", "/a/up");
	add_link(&j, "loop2", "/loop1");
	add_link(&j, "/loop1", "/loop2");
	add_link(&j, "/gone", "/dangling");
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *real = NULL;
		int rc = kp_realpath_in(j.root.fd, cases[i].path, &real);

		if (rc != cases[i].rc || !kp_str_eq(real, cases[i].real))
			fail_msg("%s: %d, %s", cases[i].path, rc, real ? real : "-");
	}
}

static void readlink_texts(void **state)
{
	_cleanup_jail_ struct jail j = jail_new();
	_cleanup_free_ char *text = NULL, *none = NULL;
	char longer[1001];

	(void)state;
	memset(longer, 'l', 1000);
	longer[1000] = '\0';
	add_link(&j, longer, "/long");
	assert_int_equal(kp_readlink_in(j.root.fd, "/long", &text), 0);
	assert_string_equal(text, longer);
	assert_int_equal(kp_readlink_in(j.root.fd, "/etc/passwd", &none), -EINVAL);
	assert_int_equal(kp_readlink_in(j.root.fd, "/none", &none), -ENOENT);
	assert_null(none);
	/* Replaced by another, and by itself. */
	add_link(&j, "x", "/long");
	add_link(&j, "x", "/long");
	free(text);
	assert_int_equal(kp_readlink_in(j.root.fd, "/long", &text), 0);
	assert_string_equal(text, "x");
	assert_true(kp_symlink_in(j.root.fd, "x", "/etc", NULL) < 0);
}

static void list_is_sorted(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_strv_ char **names = NULL, **empty = NULL;
	_cleanup_free_ char *joined = NULL;

	(void)state;
	test_put(&root, "/d/b", "");
	test_put(&root, "/d/.a", "");
	test_put(&root, "/d/B c\n", "");
	test_put(&root, "/d/b1/x", "");
	assert_int_equal(kp_list_in(root.fd, "/d", &names), 0);
	joined = kp_strv_join(names, "|");
	assert_string_equal(joined, ".a|B c\n|b|b1");
	assert_int_equal(kp_mkdir_in(root.fd, "/e", 0755, NULL), 0);
	assert_int_equal(kp_list_in(root.fd, "/e", &empty), 0);
	assert_null(empty);
	assert_int_equal(kp_list_in(root.fd, "/none", &empty), -ENOENT);
	assert_int_equal(kp_list_in(root.fd, "/d/b", &empty), -ENOTDIR);
}

static void list_many(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_strv_ char **names = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		_cleanup_free_ char *name = kp_strf("f%03d", i);

		assert_int_equal(close(openat(root.fd, name, O_CREAT | O_WRONLY, 0644)),
				 0);
	}
	assert_int_equal(kp_list_in(root.fd, "/", &names), 0);
	assert_int_equal(kp_strv_len(names), 1000);
	assert_string_equal(names[0], "f000");
	assert_string_equal(names[999], "f999");
}

static void read_only_regular_files(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_free_ char *data = NULL;
	size_t len;

	(void)state;
	alarm(20); /* a read that blocks ends the test */
	assert_int_equal(mkfifoat(root.fd, "fifo", 0644), 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", root.path);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(kp_read_in(root.fd, "/fifo", 0, &data, &len), -EINVAL);
	assert_int_equal(kp_read_in(root.fd, "/sock", 0, &data, &len), -EINVAL);
	assert_int_equal(kp_read_in(root.fd, "/", 0, &data, &len), -EINVAL);
	assert_int_equal(kp_read_in(root.fd, "/none", 0, &data, &len), -ENOENT);
	assert_null(data);
	alarm(0);
}

static void read_up_to_a_limit(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *data = NULL;
	_cleanup_close_ int fd = -1;
	size_t len = 0;

	(void)state;
	assert_int_equal(kp_write_in(root.fd, "/f", "ab\0cd", 5, 0644, NULL), 0);
	assert_int_equal(kp_read_in(root.fd, "/f", 4, &data, &len), -EFBIG);
	assert_null(data);
	assert_int_equal(kp_read_in(root.fd, "/f", 5, &data, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "ab\0cd", 6);
	/* A sparse giant is refused by its size, before memory is asked for. */
	fd = kp_open_in(root.fd, "/f", O_WRONLY, 0);
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	free(kp_steal(&data));
	assert_int_equal(kp_read_in(root.fd, "/f", 0, &data, &len), -EFBIG);
}

static void read_files_without_a_size(void **state)
{
	_cleanup_close_ int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *data = NULL;
	size_t len;

	(void)state;
	assert_int_equal(kp_read_in(slash, "/proc/self/status", 0, &data, &len), 0);
	assert_true(kp_str_starts(data, "Name:"));
	assert_int_equal(strlen(data), len);
	free(kp_steal(&data));
	assert_int_equal(kp_read_in(slash, "/proc/self/status", 10, &data, &len), -EFBIG);
}

static volatile sig_atomic_t signals_seen;

static void count_signal(int sig)
{
	(void)sig;
	signals_seen++;
}

/* Interrupt the parent five times while it sleeps, then write to it. */
static void __attribute__((noreturn)) interrupt_parent(int fd)
{
	_cleanup_free_ char *path = kp_strf("/proc/%d/stat", (int)getppid());

	for (int i = 0; i < 5;) {
		char text[512] = "";
		int stat_fd = open(path, O_RDONLY);

		(void)!read(stat_fd, text, sizeof(text) - 1);
		close(stat_fd);
		if (strstr(text, ") S ")) {
			kill(getppid(), SIGUSR1);
			i++;
		}
		sched_yield();
	}
	(void)!write(fd, "done", 4);
	_exit(0);
}

static void reading_goes_on_after_signals(void **state)
{
	struct sigaction sa = { .sa_handler = count_signal }, old;
	_cleanup_free_ char *data = NULL;
	size_t len = 0;
	int fds[2];
	pid_t pid;

	(void)state;
	signals_seen = 0;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	sigaction(SIGUSR1, &sa, &old);
	pid = fork();
	if (!pid)
		interrupt_parent(fds[1]);
	close(fds[1]);
	assert_int_equal(kp_read_fd(fds[0], 0, &data, &len), 0);
	assert_string_equal(data, "done");
	assert_true(signals_seen > 0);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	sigaction(SIGUSR1, &old, NULL);
}

static void mkdir_with_parents_and_modes(void **state)
{
	_cleanup_jail_ struct jail j = jail_new();
	struct kp_err err = KP_ERR_INIT;
	mode_t mask = umask(077);
	struct stat st;

	(void)state;
	assert_int_equal(kp_mkdir_in(j.root.fd, "/a/b//c/", 0711, &err), 0);
	umask(mask);
	assert_int_equal(kp_stat_in(j.root.fd, "/a/b", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(kp_stat_in(j.root.fd, "/a/b/c", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	/* There already: left as it is. */
	assert_int_equal(kp_mkdir_in(j.root.fd, "/a/b/c", 0755, &err), 0);
	assert_int_equal(kp_stat_in(j.root.fd, "/a/b/c", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(kp_mkdir_in(j.root.fd, "/", 0755, &err), 0);
	/* Through a link, inside. */
	add_link(&j, "/a/b", "/link");
	assert_int_equal(kp_mkdir_in(j.root.fd, "/link/d", 0755, &err), 0);
	assert_true(kp_is_dir_in(j.root.fd, "/a/b/d"));
	assert_int_equal(kp_mkdir_in(j.root.fd, "/etc/passwd/x", 0755, &err), -ENOTDIR);
	assert_string_equal(err.text, "create directory '/etc/passwd': Not a directory");
}

static void write_replaces_whole(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *old = NULL, *new = NULL;
	_cleanup_strv_ char **names = NULL;
	_cleanup_close_ int fd = -1;
	mode_t mask = umask(077);
	struct stat st;

	(void)state;
	assert_int_equal(kp_write_in(root.fd, "/f", "old", 3, 0644, NULL), 0);
	fd = kp_open_in(root.fd, "/f", O_RDONLY, 0);
	assert_int_equal(kp_write_in(root.fd, "/f", "", 0, 0640, NULL), 0);
	umask(mask);
	assert_int_equal(kp_read_fd(fd, 0, &old, NULL), 0);
	assert_string_equal(old, "old");
	new = test_get(&root, "/f");
	assert_string_equal(new, "");
	assert_int_equal(kp_stat_in(root.fd, "/f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(kp_list_in(root.fd, "/", &names), 0);
	assert_int_equal(kp_strv_len(names), 1);
}

static void write_errors_say_path_and_reason(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_strv_ char **names = NULL;
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	test_put(&root, "/dir/x", "");
	assert_int_equal(kp_write_in(root.fd, "/dir", "x", 1, 0644, &err), -EISDIR);
	assert_string_equal(err.text, "write '/dir': Is a directory");
	assert_int_equal(kp_write_in(root.fd, "/", "x", 1, 0644, &err), -EINVAL);
	assert_int_equal(kp_write_in(root.fd, "/dir/..", "x", 1, 0644, &err), -EINVAL);
	assert_int_equal(kp_list_in(root.fd, "/", &names), 0);
	assert_int_equal(kp_strv_len(names), 1); /* no temporary file */
}

/* A directory below ROOT that holds at most 64 KiB. Where nothing can be mounted: a limit on
 * the size of files. Runs in a child of its own. */
static int limit_space(struct test_root *root)
{
	const struct rlimit limit = { 65536, 65536 };
	_cleanup_free_ char *dir = kp_path_join(root->path, "small");

	if (!unshare(CLONE_NEWNS) &&
	    !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !mount("none", dir, "tmpfs", 0, "size=64k"))
		return -ENOSPC;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	return -EFBIG;
}

static int full_disk_child(struct test_root *root)
{
	_cleanup_free_ char *big = kp_calloc(1, 1 << 20), *expected = NULL, *text = NULL;
	_cleanup_strv_ char **names = NULL;
	struct kp_err err = KP_ERR_INIT;
	int code = limit_space(root);

	/* The descriptor from before is on the mounts of the old namespace. */
	root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (kp_write_in(root->fd, "/small/state", "old", 3, 0644, &err) < 0)
		return 1;
	if (kp_write_in(root->fd, "/small/state", big, 1 << 20, 0644, &err) != code)
		return 2;
	expected = kp_strf("write '/small/state': %s", strerror(-code));
	if (strcmp(err.text, expected) != 0)
		return 3;
	/* The old file is whole, and the space of the attempt is free again. */
	if (kp_read_in(root->fd, "/small/state", 0, &text, NULL) < 0 ||
	    strcmp(text, "old") != 0)
		return 4;
	if (kp_list_in(root->fd, "/small", &names) < 0 || kp_strv_len(names) != 1)
		return 5;
	return 0;
}

static void full_disk(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(kp_mkdir_in(root.fd, "/small", 0755, NULL), 0);
	pid = fork();
	if (!pid)
		_exit(full_disk_child(&root));
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void write_all_to_a_full_device(void **state)
{
	_cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(kp_write_all(fd, "x", 1), -ENOSPC);
	assert_int_equal(kp_write_all(fd, "", 0), 0);
	assert_int_equal(kp_write_all(-1, "x", 1), -EBADF);
}

static void remove_what_may_be_gone(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();

	(void)state;
	test_put(&root, "/d/f", "");
	assert_int_equal(kp_unlink_in(root.fd, "/none"), 0);
	assert_int_equal(kp_unlink_in(root.fd, "/none/none"), 0);
	assert_int_equal(kp_unlink_in(root.fd, "/d"), -EISDIR);
	assert_int_equal(kp_rmdir_in(root.fd, "/d"), 0);
	assert_true(kp_is_dir_in(root.fd, "/d"));
	assert_int_equal(kp_rmdir_in(root.fd, "/d/f"), -ENOTDIR);
	assert_int_equal(kp_unlink_in(root.fd, "/d/f"), 0);
	assert_int_equal(kp_rmdir_in(root.fd, "/d/"), 0);
	assert_false(kp_exists_in(root.fd, "/d"));
	assert_int_equal(kp_rmdir_in(root.fd, "/d"), 0);
	assert_int_equal(kp_sync_dir_in(root.fd, "/"), 0);
	assert_int_equal(kp_sync_dir_in(root.fd, "/d"), -ENOENT);
}

static void rename_moves(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *text = NULL;

	(void)state;
	test_put(&root, "/a/f", "1");
	test_put(&root, "/b/f", "2");
	assert_int_equal(kp_rename_in(root.fd, "/a/f", "/b/f"), 0);
	text = test_get(&root, "/b/f");
	assert_string_equal(text, "1");
	assert_int_equal(kp_rename_in(root.fd, "/a/f", "/b/f"), -ENOENT);
	assert_int_equal(kp_rename_in(root.fd, "/b/..", "/c"), -EINVAL);
}

static int without_openat2_child(int code, struct jail *j)
{
	_cleanup_close_ int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *file = kp_strf("%s/root/new", j->outer.path), *text = NULL;
	_cleanup_free_ char *tree = kp_strf("%s/root/tree", j->outer.path);

	if (kp_mkdir_in(j->root.fd, "/tree/a/b", 0755, NULL) < 0)
		return 1;
	if (test_forbid_syscall(SYS_openat2, code) < 0)
		return 2;
	/* "/" is resolved as the process itself would. */
	if (kp_write_in(slash, file, "x", 1, 0644, NULL) < 0 ||
	    kp_read_in(slash, file, 0, &text, NULL) < 0 || strcmp(text, "x") != 0)
		return 3;
	if (kp_open_in(slash, "/none/none", O_RDONLY, 0) != -ENOENT)
		return 4;
	/* Another root cannot be protected, so it is refused. */
	if (kp_open_in(j->root.fd, "/etc/passwd", O_RDONLY, 0) != -code)
		return 5;
	if (kp_rm_rf_in(slash, tree, NULL) < 0 || kp_exists_in(slash, tree))
		return 6;
	return 0;
}

static void without_openat2(void **state)
{
	static const int codes[] = { ENOSYS, EPERM };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(codes); i++) {
		_cleanup_jail_ struct jail j = jail_new();
		int status;
		pid_t pid = fork();

		if (!pid)
			_exit(without_openat2_child(codes[i], &j));
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_stay_inside),
		cmocka_unit_test(writes_stay_inside),
		cmocka_unit_test(realpath_resolves_all),
		cmocka_unit_test(readlink_texts),
		cmocka_unit_test(list_is_sorted),
		cmocka_unit_test(list_many),
		cmocka_unit_test(read_only_regular_files),
		cmocka_unit_test(read_up_to_a_limit),
		cmocka_unit_test(read_files_without_a_size),
		cmocka_unit_test(reading_goes_on_after_signals),
		cmocka_unit_test(mkdir_with_parents_and_modes),
		cmocka_unit_test(write_replaces_whole),
		cmocka_unit_test(write_errors_say_path_and_reason),
		cmocka_unit_test(full_disk),
		cmocka_unit_test(write_all_to_a_full_device),
		cmocka_unit_test(remove_what_may_be_gone),
		cmocka_unit_test(rename_moves),
		cmocka_unit_test(without_openat2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
