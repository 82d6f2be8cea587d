// SPDX-License-Identifier: GPL-2.0-or-later
/* Archives that mean no good, and those that come back as they were. */
#include <archive.h>
#include <archive_entry.h>

#include <kmodpkg/proc.h>

#include "lib/archive-parts.h"
#include "lib/unpack-parts.h"
#include "test.h"

/* What a hostile archive consists of. */
struct member {
	const char *path;
	mode_t type; /* AE_IF* */
	const char
		*link; /* of a symbolic link; with AE_IFREG: hard link to this member */
	const char *text;
	mode_t mode;
};

static int make(struct test_root *root, const struct member *members)
{
	_cleanup_free_ char *path = kp_path_join(root->path, "x.tar");
	struct archive *a = archive_write_new();

	archive_write_set_format_pax_restricted(a);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (const struct member *m = members; m->path; m++) {
		struct archive_entry *e = archive_entry_new();
		const char *text = m->text ? m->text : "";

		archive_entry_set_pathname(e, m->path);
		archive_entry_set_filetype(e, m->type);
		archive_entry_set_perm(e, m->mode ? m->mode : 0644);
		archive_entry_set_size(e, (la_int64_t)strlen(text));
		archive_entry_set_mtime(e, 1000000000, 0);
		if (m->link && m->type == AE_IFLNK)
			archive_entry_set_symlink(e, m->link);
		else if (m->link)
			archive_entry_set_hardlink(e, m->link);
		/* That a name is no UTF-8 is a warning. */
		assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
		archive_write_data(a, text, strlen(text));
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static struct kp_ctx *ctx_new(const struct test_root *root)
{
	struct kp_ctx *ctx;

	assert_int_equal(kp_ctx_open(NULL, &ctx, NULL), 0);
	free(ctx->work_dir);
	ctx->work_dir = kp_strdup(root->path);
	return ctx;
}

static int unpack(struct test_root *root, int fd, struct kp_err *err)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = ctx_new(root);
	_cleanup_close_ int to = -1;

	assert_int_equal(kp_rm_rf_in(root->fd, "/out", NULL), 0);
	assert_int_equal(kp_mkdir_in(root->fd, "/out", 0755, NULL), 0);
	to = kp_open_in(root->fd, "/out", O_RDONLY | O_DIRECTORY, 0);
	return kp_archive_unpack(ctx, fd, to, err);
}

static void what_is_good_is_taken(void **state)
{
	static const struct member good[] = {
		{ ".", AE_IFDIR, NULL, NULL, 0 },
		{ "./a/", AE_IFDIR, NULL, NULL, 0 },
		{ "./a/b.c", AE_IFREG, NULL, "text", 04777 },
		{ "x/y/z", AE_IFREG, NULL, "deep", 0 },
		{ "a/up", AE_IFLNK, "../x/y", NULL, 0 },
		{ "hard", AE_IFREG, "a/b.c", NULL, 0 },
		{ "a/b.c", AE_IFREG, NULL, "newer", 0 },
		{ NULL, 0, NULL, NULL, 0 },
	};
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_close_ int fd = make(&root, good);
	_cleanup_free_ char *text = NULL, *hard = NULL, *up = NULL;
	struct kp_err err = KP_ERR_INIT;
	struct stat st;

	(void)state;
	if (unpack(&root, fd, &err) < 0)
		fail_msg("%s", err.text);
	text = test_get(&root, "/out/a/b.c");
	assert_string_equal(text, "newer");
	hard = test_get(&root, "/out/hard");
	assert_string_equal(hard, "text");
	assert_int_equal(kp_lstat_in(root.fd, "/out/hard", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_nlink, 1);
	up = test_get(&root, "/out/a/up/z");
	assert_string_equal(up, "deep");
	assert_int_equal(kp_lstat_in(root.fd, "/out/x/y/z", &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
}

static void what_is_not_is_refused(void **state)
{
	static const struct {
		struct member members[4];
		const char *why;
	} bad[] = {
		{ { { "/etc/evil", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "../evil", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "a/../../evil", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "./.././evil", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "a\nb", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "a//b", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "a\033[2Jb", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "caf\351", AE_IFREG, NULL, "x", 0 } }, "unsafe path" },
		{ { { "l", AE_IFLNK, "/etc", NULL, 0 } }, "is a link to '/etc'" },
		{ { { "l", AE_IFLNK, "..", NULL, 0 } }, "is a link to '..'" },
		{ { { "a/l", AE_IFLNK, "x/../../../e", NULL, 0 } }, "is a link to" },
		{ { { "h", AE_IFREG, "../../outside", NULL, 0 } }, "is a link to" },
		{ { { "h", AE_IFREG, "/outside", NULL, 0 } }, "is a link to" },
		{ { { "h", AE_IFREG, "h", NULL, 0 } }, "is a link to" },
		{ { { "p", AE_IFIFO, NULL, NULL, 0 } }, "neither file nor directory" },
		{ { { "d", AE_IFCHR, NULL, NULL, 0 } }, "neither file nor directory" },
		{ { { "d", AE_IFBLK, NULL, NULL, 0 } }, "neither file nor directory" },
		{ { { ".", AE_IFREG, NULL, "x", 0 } }, "its top is no directory" },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_root_ struct test_root root = test_root_new();
		_cleanup_close_ int fd = make(&root, bad[i].members);
		struct kp_err err = KP_ERR_INIT;

		test_put(&root, "/outside", "secret");
		assert_int_equal(unpack(&root, fd, &err), -EINVAL);
		if (!strstr(err.text, bad[i].why))
			fail_msg("%zu: '%s' does not say '%s'", i, err.text, bad[i].why);
		assert_false(kp_exists_in(root.fd, "/evil"));
	}
}

/* A path as deep as there is room in a header, of a few hundred bytes in the archive. */
static void endless_paths(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_buf_ struct kp_buf path = KP_BUF_INIT;
	struct member deep[2] = { { NULL, AE_IFDIR, NULL, NULL, 0 } };
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	for (int i = 0; i < 300000; i++)
		kp_buf_adds(&path, "a/");
	for (size_t len = path.len; len >= 300; len /= 2) {
		_cleanup_close_ int fd = -1;

		path.s[len] = '\0';
		deep[0].path = path.s;
		fd = make(&root, deep);
		assert_int_equal(unpack(&root, fd, &err), -EINVAL);
		assert_non_null(strstr(err.text, "unsafe path"));
	}
}

/* Writing through a link that the archive brought itself. */
static void links_lead_nowhere_else(void **state)
{
	static const struct member through[] = {
		{ "d/x", AE_IFREG, NULL, "x", 0 },
		{ "l", AE_IFLNK, "d", NULL, 0 },
		{ "l/evil", AE_IFREG, NULL, "x", 0 },
		{ NULL, 0, NULL, NULL, 0 },
	};
	/* Links that stay each by its text, and lead out together. */
	static const struct member chain[] = {
		{ "d/e/top", AE_IFLNK, "../..", NULL, 0 },
		{ "l", AE_IFLNK, "d/e/top/..", NULL, 0 },
		{ NULL, 0, NULL, NULL, 0 },
	};
	static const struct member below[] = {
		{ "d", AE_IFLNK, ".", NULL, 0 },
		{ "d/l", AE_IFLNK, "..", NULL, 0 },
		{ NULL, 0, NULL, NULL, 0 },
	};
	/* Stays by its text, and would not where "d" became a link meanwhile. */
	static const struct member twice[] = {
		{ "d/e", AE_IFDIR, NULL, NULL, 0 },
		{ "d/e/l", AE_IFLNK, "../..", NULL, 0 },
		{ "d/e/l/../evil", AE_IFREG, NULL, "x", 0 },
		{ NULL, 0, NULL, NULL, 0 },
	};
	_cleanup_root_ struct test_root root = test_root_new();
	const struct member *const bad[] = { through, twice, chain, below };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_close_ int fd = make(&root, bad[i]);

		assert_int_equal(unpack(&root, fd, NULL), -EINVAL);
	}
	assert_false(kp_exists_in(root.fd, "/out/d/evil"));
	assert_false(kp_exists_in(root.fd, "/evil"));
}

static void what_is_no_archive(void **state)
{
	static const char *const texts[] = { "no archive at all", "\037\213\010" };
	_cleanup_root_ struct test_root root = test_root_new();

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		_cleanup_close_ int fd = -1;
		struct kp_err err = KP_ERR_INIT;

		test_put(&root, "/x", texts[i]);
		fd = kp_open_in(root.fd, "/x", O_RDONLY, 0);
		assert_int_equal(unpack(&root, fd, &err), -EINVAL);
		assert_true(kp_str_starts(err.text, "archive: "));
	}
}

static void pack(struct test_root *root, const char *name)
{
	_cleanup_(kp_archive_freep) struct kp_archive *a = NULL;
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = ctx_new(root);
	_cleanup_free_ char *path = kp_strf("/%s", name);
	_cleanup_free_ char *whole = kp_path_join(root->path, name);
	_cleanup_close_ int fd =
		kp_open_in(root->fd, path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(kp_archive_new(fd, &a, NULL), 0);
	assert_int_equal(kp_archive_add_dir(a, "empty", NULL), 0);
	assert_int_equal(
		kp_archive_add(a, root->fd, "/tree", "top/tree", "/elsewhere", NULL), 0);
	assert_int_equal(kp_archive_add_text(a, "NAME", "hello\n", NULL), 0);
	assert_int_equal(kp_archive_end(a, NULL), 0);
	assert_int_equal(kp_archive_compress(ctx, whole, name, NULL), 0);
}

/* libarchive runs in the sandbox only. */
static void nowhere_else(void **state)
{
	_cleanup_free_ char *path = kp_strf("%s/unpack", getenv("KMODPKG_LIBEXEC_DIR"));
	const char *const argv[] = { path, KP_UNPACK_PROTOCOL, NULL };
	const struct kp_proc proc = { .argv = argv };
	struct kp_proc_end end;

	(void)state;
	assert_int_equal(kp_proc_run(&proc, &end, NULL), -ECHILD);
	assert_int_equal(end.exit_code, KP_UNPACK_NONE);
}

/* What the sandbox says is looked at like the archive itself, and is whole or counts as damaged. */
static void what_is_said_is_not_trusted(void **state)
{
	static const struct {
		const char *said, *why;
	} bad[] = {
		{ "", "ends in nonsense" },
		{ "f 644 0 1 0\na", "ends in nonsense" },
		{ "f 644 0 1 0\na3\nabc", "ends in nonsense" },
		{ "f 644 0 1 0\na3\nab", "ends in nonsense" },
		{ "f 644 0 1 0\na70000\nab", "ends in nonsense" },
		{ "f 644 0 1 0\na-1\nab", "ends in nonsense" },
		{ "f 644 0 9000 0\na", "ends in nonsense" },
		{ "f 644 0 -1 0\na", "ends in nonsense" },
		{ "f 644 0 1\na", "ends in nonsense" },
		{ "f 644 0 6 0\n../etc0\n", "unsafe path" },
		{ "f 644 0 4 0\n/etc0\n", "unsafe path" },
		{ "l 777 0 1 5\na../..", "is a link to" },
		{ "h 644 0 1 4\na/etc", "is a link to" },
		{ "o 644 0 1 0\na", "neither file nor directory" },
		{ "x 644 0 1 0\na", "neither file nor directory" },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_root_ struct test_root root = test_root_new();
		FILE *in = tmpfile();
		struct kp_err err = KP_ERR_INIT;

		fputs(bad[i].said, in);
		rewind(in);
		assert_int_equal(kp_archive_take(in, root.fd, &err), -EINVAL);
		if (!strstr(err.text, bad[i].why))
			fail_msg("%zu: '%s' does not say '%s'", i, err.text, bad[i].why);
		fclose(in);
	}
}

static void there_and_back(void **state)
{
	static const char *const names[] = { "a.tar.gz", "b.tar.xz", "c.tar.zst",
					     "d.tar.bz2", "e.tar" };
	_cleanup_root_ struct test_root root = test_root_new();

	(void)state;
	test_put(&root, "/tree/sub/file", "content");
	test_put(&root, "/elsewhere/log", "a log");
	assert_int_equal(kp_symlink_in(root.fd, "sub/file", "/tree/inside", NULL), 0);
	assert_int_equal(kp_symlink_in(root.fd, "/elsewhere/log", "/tree/log", NULL), 0);
	assert_int_equal(kp_symlink_in(root.fd, "/none", "/tree/dangling", NULL), 0);
	test_put(&root, "/etc/shadow", "secret");
	assert_int_equal(kp_symlink_in(root.fd, "/etc/shadow", "/tree/shadow", NULL), 0);
	test_put(&root, "/elsewhere2/log", "not that one");
	assert_int_equal(kp_symlink_in(root.fd, "/elsewhere2/log", "/tree/log2", NULL),
			 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_strf("/%s", names[i]), *text = NULL;
		_cleanup_free_ char *first = NULL, *second = NULL, *log = NULL;
		_cleanup_free_ char *name = NULL, *link = NULL;
		_cleanup_close_ int fd = -1;
		struct stat st;
		size_t len, len2;

		pack(&root, names[i]);
		assert_int_equal(kp_read_in(root.fd, path, 0, &first, &len), 0);
		pack(&root, names[i]);
		assert_int_equal(kp_read_in(root.fd, path, 0, &second, &len2), 0);
		assert_int_equal(len, len2);
		assert_memory_equal(first, second, len);
		fd = kp_open_in(root.fd, path, O_RDONLY, 0);
		assert_int_equal(unpack(&root, fd, NULL), 0);
		text = test_get(&root, "/out/top/tree/sub/file");
		assert_string_equal(text, "content");
		assert_int_equal(kp_readlink_in(root.fd, "/out/top/tree/inside", &link),
				 0);
		assert_string_equal(link, "sub/file");
		log = test_get(&root, "/out/top/tree/log");
		assert_string_equal(log, "a log");
		assert_int_equal(kp_lstat_in(root.fd, "/out/top/tree/shadow", &st),
				 -ENOENT);
		assert_int_equal(kp_lstat_in(root.fd, "/out/top/tree/log2", &st),
				 -ENOENT);
		assert_true(kp_is_dir_in(root.fd, "/out/empty"));
		assert_false(kp_exists_in(root.fd, "/out/top/tree/dangling"));
		name = test_get(&root, "/out/NAME");
		assert_string_equal(name, "hello\n");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_good_is_taken),
		cmocka_unit_test(what_is_not_is_refused),
		cmocka_unit_test(endless_paths),
		cmocka_unit_test(links_lead_nowhere_else),
		cmocka_unit_test(what_is_no_archive),
		cmocka_unit_test(nowhere_else),
		cmocka_unit_test(what_is_said_is_not_trusted),
		cmocka_unit_test(there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
