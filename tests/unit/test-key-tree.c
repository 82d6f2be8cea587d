// SPDX-License-Identifier: GPL-2.0-or-later
/* The keys of source trees, and what is remembered of them. */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "key-fixture.h"

#include "lib/tree-hash.h"

/* Where kp_key_tree() remembers, if it does; to be freed. */
static char *cache_file(struct fixture *f)
{
	_cleanup_strv_ char **names = NULL;

	if (kp_list_in(f->root.fd, "/var/lib/kmodpkg/trees", &names) < 0)
		return NULL;
	assert_int_equal(kp_strv_len(names), 1);
	return kp_path_join("/var/lib/kmodpkg/trees", names[0]);
}

static void same_content_same_hash(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *b = NULL;

	put_tree(f);
	a = tree(f);
	/* Other times and inodes. */
	kp_rm_rf_in(f->root.fd, "/usr/src", NULL);
	put_tree(f);
	b = tree(f);
	assert_string_equal(a, b);
	/* git is no source. */
	test_put(&f->root, "/usr/src/m-1/.git/index", "x");
	free(kp_steal(&b));
	b = tree(f);
	assert_string_equal(a, b);
}

static void every_change_changes_the_hash(void **state)
{
	struct fixture *f = *state;
	_cleanup_strv_ char **seen = NULL;
	_cleanup_free_ char *file = kp_path_join(f->root.path, "usr/src/m-1/src/m.c");

	for (int i = 0; i < 9; i++) {
		char *hash;

		switch (i) {
		case 0:
			put_tree(f);
			break;
		case 1:
			test_put(&f->root, "/usr/src/m-1/src/m.c", "int n;\n");
			break;
		case 2:
			assert_int_equal(chmod(file, 0755), 0);
			break;
		case 3:
			kp_symlink_in(f->root.fd, "n.c", "/usr/src/m-1/src/link.c", NULL);
			break;
		case 4:
			kp_rename_in(f->root.fd, "/usr/src/m-1/src/m.c",
				     "/usr/src/m-1/src/n.c");
			break;
		case 5:
			kp_rename_in(f->root.fd, "/usr/src/m-1/src/n.c",
				     "/usr/src/m-1/n.c");
			break;
		case 6:
			kp_rmdir_in(f->root.fd, "/usr/src/m-1/empty");
			break;
		case 7:
			test_put(&f->root, "/usr/src/m-1/empty", "");
			break;
		case 8:
			kp_unlink_in(f->root.fd, "/usr/src/m-1/src/link.c");
			kp_symlink_in(f->root.fd, "n.c", "/usr/src/m-1/src/dkms", NULL);
			break;
		}
		hash = tree(f);
		if (kp_strv_has(seen, hash))
			fail_msg("step %d did not change the hash", i);
		kp_strv_take(&seen, hash);
	}
}

static void fresh_trees_are_not_remembered(void **state)
{
	struct fixture *f = *state;

	put_tree(f);
	free(tree(f));
	assert_null(cache_file(f));
}

/* Status change times cannot be set: wait until the clock has moved on from the tree's.
 */
static void let_it_rest(struct fixture *f)
{
	struct timespec until = { 0 };
	struct kp_tree_hash h;

	assert_int_equal(kp_tree_hash(f->root.fd, "/usr/src/m-1", KP_TREE_STAT, &h, NULL),
			 0);
	until.tv_sec = h.newest_s + 3;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

/* Torn and hostile caches, which would answer KEY_A for the tree whose stat hash is STAT.
 */
static void assert_bad_caches_are_ignored(struct fixture *f, const char *file,
					  const char *right)
{
	static const char *const bad[] = {
		"",
		"{\"schema\":1",
		"{\"schema\":1,\"dir\":\"/usr/src/m-1\",\"stat\":\"%s\",\"content\":\"evil\"}",
		"{\"schema\":2,\"dir\":\"/usr/src/m-1\",\"stat\":\"%s\",\"content\":\"" KEY_A
		"\"}",
		"{\"schema\":1,\"dir\":\"/usr/src/n-1\",\"stat\":\"%s\",\"content\":\"" KEY_A
		"\"}",
		"{\"schema\":1,\"dir\":\"/usr/src/m-1\",\"stat\":\"" KEY_A
		"\",\"content\":\"" KEY_A "\"}",
	};
	struct kp_tree_hash h;

	assert_int_equal(kp_tree_hash(f->root.fd, "/usr/src/m-1", KP_TREE_STAT, &h, NULL),
			 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		const char *at = strstr(bad[i], "%s");
		_cleanup_free_ char *text = at ? kp_strf("%.*s%s%s", (int)(at - bad[i]),
							 bad[i], h.stat, at + 2)
					       : kp_strdup(bad[i]);
		_cleanup_free_ char *hash = NULL;

		test_put(&f->root, file, text);
		hash = tree(f);
		assert_string_equal(hash, right);
	}
}

static void rested_trees_are_remembered(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *file = NULL, *text = NULL;
	_cleanup_free_ char *path = kp_path_join(f->root.path, "usr/src/m-1/src/m.c");
	struct stat st;
	char *content;

	put_tree(f);
	let_it_rest(f);
	a = tree(f);
	file = cache_file(f);
	assert_non_null(file);
	assert_bad_caches_are_ignored(f, file, a);
	/* What is remembered is what is given, as long as nothing changed... */
	text = test_get(&f->root, file);
	content = strstr(text, a);
	assert_non_null(content);
	memcpy(content, KEY_A, strlen(KEY_A));
	test_put(&f->root, file, text);
	b = tree(f);
	assert_string_equal(b, KEY_A);
	/* ... and no longer, though size and modification time may be forged. */
	assert_int_equal(stat(path, &st), 0);
	test_put(&f->root, "/usr/src/m-1/src/m.c", "int o;\n");
	assert_int_equal(utimensat(AT_FDCWD, path,
				   (struct timespec[]){ st.st_atim, st.st_mtim }, 0),
			 0);
	c = tree(f);
	assert_string_not_equal(c, KEY_A);
	assert_string_not_equal(c, a);
	kp_key_tree_forget(f->ctx, "/usr/src/m-1");
	assert_false(kp_exists_in(f->root.fd, file));
}

static void unreadable_trees_are_errors(void **state)
{
	struct fixture *f = *state;
	struct kp_err err = KP_ERR_INIT;
	_cleanup_buf_ struct kp_buf deep = KP_BUF_INIT;
	char hex[KP_HASH_HEX];

	assert_int_equal(kp_key_tree(f->ctx, "/usr/src/none", hex, &err), -ENOENT);
	assert_string_equal(err.text, "reading /usr/src/none: No such file or directory");
	kp_buf_adds(&deep, "/usr/src/deep");
	for (int i = 0; i < 150; i++)
		kp_buf_adds(&deep, "/d");
	kp_mkdir_in(f->root.fd, deep.s, 0755, NULL);
	assert_int_equal(kp_key_tree(f->ctx, "/usr/src/deep", hex, &err), -ELOOP);
}

static void pipes_and_links_are_not_opened(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *fifo = kp_path_join(f->root.path, "usr/src/m-1/fifo");
	_cleanup_free_ char *a = NULL, *b = NULL;

	put_tree(f);
	a = tree(f);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	kp_symlink_in(f->root.fd, "/usr/src/m-1", "/usr/src/m-1/self", NULL);
	b = tree(f); /* would wait for a writer, or not end */
	assert_string_not_equal(a, b);
}

/* Linux before 5.6 and the filters of some containers. */
static void without_openat2(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = kp_path_join(f->root.path, "usr/src/m-1");
	struct kp_tree_hash with, without;
	int status;
	pid_t pid;

	put_tree(f);
	assert_int_equal(kp_tree_hash(f->root.fd, "/usr/src/m-1", KP_TREE_CONTENT, &with,
				      NULL),
			 0);
	pid = fork();
	if (!pid) {
		int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (test_forbid_syscall(SYS_openat2, ENOSYS) < 0)
			_exit(1);
		if (kp_tree_hash(slash, path, KP_TREE_CONTENT, &without, NULL) < 0)
			_exit(2);
		_exit(strcmp(with.content, without.content) ? 3 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_content_same_hash),
		TEST(every_change_changes_the_hash),
		TEST(fresh_trees_are_not_remembered),
		TEST(rested_trees_are_remembered),
		TEST(unreadable_trees_are_errors),
		TEST(pipes_and_links_are_not_opened),
		TEST(without_openat2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
