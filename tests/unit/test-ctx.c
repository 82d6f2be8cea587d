// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/utsname.h>
#include <sys/wait.h>

#include "test.h"

#include "lib/ctx.h"

static struct kp_ctx *open_ctx(struct test_root *root)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_ctx *ctx = NULL;

	if (kp_ctx_open(root->path, &ctx, &err) < 0)
		fail_msg("%s", err.text);
	return ctx;
}

static void empty_root_has_defaults(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	struct utsname uts;

	(void)state;
	assert_string_equal(ctx->root, root.path);
	assert_string_equal(ctx->dkms_tree, "/var/lib/dkms");
	assert_string_equal(ctx->source_tree, "/usr/src");
	assert_string_equal(ctx->install_tree, "/lib/modules");
	assert_string_equal(ctx->state_dir, "/var/lib/kmodpkg");
	assert_string_equal(ctx->work_dir, "/var/lib/kmodpkg/work");
	assert_string_equal(ctx->distro, "");
	assert_string_equal(ctx->distro_like, "");
	assert_false(kp_ctx_distro_is(ctx, "debian"));
	assert_false(kp_ctx_distro_is(ctx, ""));
	uname(&uts);
	assert_string_equal(ctx->arch, uts.machine);
	assert_int_equal(ctx->config.timeout_minutes, 120);
	assert_null(ctx->backend);
}

static void os_release_of_the_root(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;

	(void)state;
	/* An absolute link, as in many images: it must not lead to the machine's own. */
	test_put(
		&root, "/usr/lib/os-release",
		"NAME=\"Test Linux\"\n  ID='testix'\nID_LIKE=\"rhel fed\\ora\"\nIDLE=x\n");
	assert_int_equal(kp_mkdir_in(root.fd, "/etc", 0755, NULL), 0);
	assert_int_equal(kp_symlink_in(root.fd, "/usr/lib/os-release", "/etc/os-release",
				       NULL),
			 0);
	ctx = open_ctx(&root);
	assert_string_equal(ctx->distro, "testix");
	assert_string_equal(ctx->distro_like, "testix rhel fedora");
	assert_true(kp_ctx_distro_is(ctx, "fedora"));
	assert_true(kp_ctx_distro_is(ctx, "debian testix"));
	assert_false(kp_ctx_distro_is(ctx, "test"));
}

static void etc_goes_before_usr_lib(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;

	(void)state;
	test_put(&root, "/usr/lib/os-release", "ID=vendor\n");
	test_put(&root, "/etc/os-release", "ID=\"here\nID_LIKE=\n");
	ctx = open_ctx(&root);
	assert_string_equal(ctx->distro, "here");
	assert_string_equal(ctx->distro_like, "here");
}

static void configuration_is_read(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;

	(void)state;
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf",
		 "jobs = 7\ntimeout = 7\nbackend = a\n");
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf.d/20-b.conf", "timeout = 9\n");
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf.d/10-a.conf",
		 "timeout = 8\nbackend = b\n");
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf.d/30-c.conf.dpkg-old", "jobs = 1\n");
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf.d/.30-c.conf", "jobs = 1\n");
	ctx = open_ctx(&root);
	assert_int_equal(ctx->config.jobs, 7);
	assert_int_equal(ctx->config.timeout_minutes, 9);
	assert_string_equal(ctx->config.backend, "b");
}

/* Of the one thing that is wrong with it. */
static char *problem_of(struct test_root *root)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(root);

	assert_int_not_equal(ctx->config.wrong.code, 0);
	assert_int_equal(kp_strv_len(ctx->config.problems), 1);
	/* What is said goes on to say what comes of it. */
	assert_true(kp_str_starts(ctx->config.problems[0], ctx->config.wrong.text));
	return kp_strdup(ctx->config.wrong.text);
}

static void bad_configuration_is_a_problem(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *value = NULL, *line = NULL;

	(void)state;
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf", "\nsign = perhaps\n");
	value = problem_of(&root);
	assert_string_equal(
		value, "/etc/kmodpkg/kmodpkg.conf:2: sign = \"perhaps\": expected auto, "
		       "yes or no");
	assert_int_equal(kp_unlink_in(root.fd, "/etc/kmodpkg/kmodpkg.conf"), 0);
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf.d/x.conf", "jobs = 1\n\nhm\n");
	line = problem_of(&root);
	assert_string_equal(line, "/etc/kmodpkg/kmodpkg.conf.d/x.conf:3: expected "
				  "\"key = value\", found \"hm\"");
}

/* It may have said anything. */
static void a_file_that_cannot_be_read_is_taken_at_its_strictest(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;
	_cleanup_free_ char *text = NULL, *dir = NULL;
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	test_put(&root, "/etc/kmodpkg/kmodpkg.conf", "");
	assert_int_equal(kp_write_in(root.fd, "/etc/kmodpkg/kmodpkg.conf", "jobs\0=1", 7,
				     0644, &err),
			 0);
	text = problem_of(&root);
	assert_string_equal(text,
			    "/etc/kmodpkg/kmodpkg.conf: expected text, found a NUL byte");
	assert_int_equal(kp_unlink_in(root.fd, "/etc/kmodpkg/kmodpkg.conf"), 0);
	assert_int_equal(kp_mkdir_in(root.fd, "/etc/kmodpkg/kmodpkg.conf", 0755, NULL),
			 0);
	dir = problem_of(&root);
	assert_true(kp_str_starts(dir, "reading /etc/kmodpkg/kmodpkg.conf: "));
	ctx = open_ctx(&root);
	assert_true(ctx->config.sandbox_required);
	assert_false(ctx->config.install_scripts);
	assert_string_equal(ctx->config.sign_wrong, dir);
}

static void missing_root_is_an_error(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_free_ char *path = kp_path_join(root.path, "none");
	struct kp_err err = KP_ERR_INIT;
	struct kp_ctx *ctx = NULL;

	(void)state;
	assert_int_equal(kp_ctx_open(path, &ctx, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	test_put(&root, "/none", "");
	assert_int_equal(kp_ctx_open(path, &ctx, &err), -ENOTDIR);
}

static void slash_needs_no_entering(void **state)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;
	int fd;

	(void)state;
	assert_int_equal(kp_ctx_open("/.", &ctx, NULL), 0);
	assert_string_equal(ctx->root, "/");
	fd = ctx->root_fd;
	assert_int_equal(kp_ctx_enter_root(ctx, NULL), 0);
	assert_int_equal(ctx->root_fd, fd);
}

/* What the child found, as its exit status. */
static int enter_in_child(struct test_root *root, uid_t uid)
{
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct kp_err err = KP_ERR_INIT;
		struct kp_ctx *ctx = NULL;
		int r;

		if (kp_ctx_open(root->path, &ctx, &err) < 0)
			_exit(10);
		if (uid && setuid(uid) < 0)
			_exit(11);
		r = kp_ctx_enter_root(ctx, &err);
		if (r == -EPERM)
			_exit(strstr(err.text, "run this as root") ? 1 : 12);
		if (r < 0)
			_exit(13);
		if (strcmp(ctx->root, "/") != 0 || access("/inside", F_OK) < 0 ||
		    !kp_exists_in(ctx->root_fd, "/../inside"))
			_exit(14);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void entering_the_root(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();

	(void)state;
	test_put(&root, "/inside", "");
	if (geteuid() != 0) {
		assert_int_equal(enter_in_child(&root, 0), 1);
		return;
	}
	assert_int_equal(enter_in_child(&root, 0), 0);
	assert_int_equal(enter_in_child(&root, 12345), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_root_has_defaults),
		cmocka_unit_test(os_release_of_the_root),
		cmocka_unit_test(etc_goes_before_usr_lib),
		cmocka_unit_test(configuration_is_read),
		cmocka_unit_test(bad_configuration_is_a_problem),
		cmocka_unit_test(a_file_that_cannot_be_read_is_taken_at_its_strictest),
		cmocka_unit_test(missing_root_is_an_error),
		cmocka_unit_test(slash_needs_no_entering),
		cmocka_unit_test(entering_the_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
