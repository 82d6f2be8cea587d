// SPDX-License-Identifier: GPL-2.0-or-later
/* Finding, checking and choosing a backend; the fake one plays all managers. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "lib/backend.h"

#include "test.h"

struct fixture {
	struct test_root root, plugins;
	struct kp_ctx *ctx;
};

/* A file of the build directory; this program is <build>/tests/unit/test-X. To be freed.
 */
static char *build_path(const char *file)
{
	_cleanup_free_ char *exe = realpath("/proc/self/exe", NULL);

	assert_non_null(exe);
	for (int i = 0; i < 3; i++)
		*strrchr(exe, '/') = '\0';
	return kp_path_join(exe, file);
}

static void add_plugin(struct fixture *f, const char *target, const char *name)
{
	assert_int_equal(symlinkat(target, f->plugins.fd, name), 0);
}

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_free_ char *fake = build_path("tests/fake.so");

	f->root = test_root_new();
	f->plugins = test_root_new();
	add_plugin(f, fake, "fake.so");
	assert_int_equal(setenv("KMODPKG_PLUGIN_DIR", f->plugins.path, 1), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->ctx) {
		kp_backend_close(f->ctx);
		kp_ctx_close(f->ctx);
	}
	test_root_free(&f->root);
	test_root_free(&f->plugins);
	free(f);
	return 0;
}

/* Read the configuration anew, and open. */
static int reopen(struct fixture *f, bool record, struct kp_err *err)
{
	if (f->ctx) {
		kp_backend_close(f->ctx);
		kp_ctx_close(f->ctx);
		f->ctx = NULL;
	}
	*err = (struct kp_err)KP_ERR_INIT;
	assert_int_equal(kp_ctx_open(f->root.path, &f->ctx, NULL), 0);
	return kp_backend_open(f->ctx, record, err);
}

static void configure_fake(struct fixture *f)
{
	test_put(&f->root, "/etc/kmodpkg/kmodpkg.conf", "backend = fake\n");
	assert_int_equal(kp_mkdir_in(f->root.fd, "/var/lib/fakedb", 0755, NULL), 0);
}

static void test_configured(void **state)
{
	struct fixture *f = *state;
	struct kp_pkg_installed *list;
	struct kp_err err;
	size_t n;

	configure_fake(f);
	assert_int_equal(reopen(f, true, &err), 0);
	assert_true(kp_backend_is(f->ctx, "fake"));
	assert_false(kp_backend_is(f->ctx, "dpkg"));
	assert_int_equal(f->ctx->backend->ops->list(f->ctx->backend->db, &list, &n, &err),
			 0);
	assert_int_equal(n, 0);
	/* what the administrator wrote needs no record */
	assert_false(kp_exists_in(f->root.fd, "/var/lib/kmodpkg/backend"));
	kp_backend_close(f->ctx);
	assert_false(kp_backend_is(f->ctx, "fake"));
}

static void test_recorded(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;

	test_put(&f->root, "/var/lib/kmodpkg/backend", "fake\n");
	assert_int_equal(reopen(f, false, &err), 0);
	assert_true(kp_backend_is(f->ctx, "fake"));

	test_put(&f->root, "/var/lib/kmodpkg/backend", "../fake\n");
	assert_int_equal(reopen(f, false, &err), -EINVAL);
	assert_non_null(strstr(err.text, "/var/lib/kmodpkg/backend"));
}

static void test_not_installed(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;

	test_put(&f->root, "/etc/kmodpkg/kmodpkg.conf", "backend = none\n");
	assert_int_equal(reopen(f, true, &err), -ELIBACC);
	assert_non_null(strstr(err.text, "/none.so"));

	/* nothing configured, no backend of the known names on disk */
	test_put(&f->root, "/etc/kmodpkg/kmodpkg.conf", "");
	assert_int_equal(reopen(f, true, &err), -ENOENT);
	assert_non_null(strstr(err.text, f->plugins.path));
	assert_false(kp_exists_in(f->root.fd, "/var/lib/kmodpkg/backend"));
}

/* A name that is mistyped is as if there were none, and a problem. */
static void test_configured_wrongly(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;

	test_put(&f->root, "/etc/kmodpkg/kmodpkg.conf", "jobs = 1\nbackend = fkae\n");
	test_put(&f->root, "/var/lib/kmodpkg/backend", "fake\n");
	assert_int_equal(reopen(f, true, &err), 0);
	assert_true(kp_backend_is(f->ctx, "fake"));
	assert_int_equal(f->ctx->config.wrong.code, -EINVAL);
	assert_true(kp_str_starts(f->ctx->config.wrong.text,
				  "/etc/kmodpkg/kmodpkg.conf:2: backend 'fkae' is not "
				  "installed"));
	assert_int_equal(kp_strv_len(f->ctx->config.problems), 1);
}

static void test_broken(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;

	configure_fake(f);
	assert_int_equal(unlinkat(f->plugins.fd, "fake.so", 0), 0);
	test_put(&f->plugins, "/fake.so", "this is no shared object");
	assert_int_equal(reopen(f, true, &err), -ELIBACC);
	assert_non_null(strstr(err.text, "/fake.so"));
	assert_null(f->ctx->backend);

	/* one that lies in the way of choosing is an error as well, not a silent other
	 * choice */
	test_put(&f->root, "/etc/kmodpkg/kmodpkg.conf", "");
	test_put(&f->plugins, "/rpm.so", "this is no shared object");
	assert_int_equal(reopen(f, true, &err), -ELIBACC);
	assert_non_null(strstr(err.text, "/rpm.so"));
}

static void test_not_a_backend(void **state)
{
	struct fixture *f = *state;
	struct kp_err err;

	/* a shared object without our symbol */
	configure_fake(f);
	assert_int_equal(unlinkat(f->plugins.fd, "fake.so", 0), 0);
	add_plugin(f, "/proc/self/exe", "fake.so");
	assert_true(reopen(f, true, &err) < 0);
	assert_non_null(strstr(err.text, "/fake.so"));

	/* a backend under another's name */
	test_put(&f->root, "/etc/kmodpkg/kmodpkg.conf", "backend = other\n");
	{
		_cleanup_free_ char *fake = build_path("tests/fake.so");

		add_plugin(f, fake, "other.so");
	}
	assert_int_equal(reopen(f, true, &err), -ELIBBAD);
	assert_non_null(strstr(err.text, "'fake'"));
}

static void test_chosen_by_database(void **state)
{
	_cleanup_free_ char *dpkg = build_path("plugins/dpkg.so"), *text = NULL;
	struct fixture *f = *state;
	struct kp_err err;
	size_t len;

	if (access(dpkg, F_OK) < 0)
		skip();
	add_plugin(f, dpkg, "dpkg.so");
	assert_int_equal(reopen(f, true, &err), -ENOENT);

	test_put(&f->root, "/var/lib/dpkg/status", "");
	test_put(&f->root, "/etc/os-release", "ID=fedora\n");
	assert_int_equal(reopen(f, false, &err), 0);
	assert_true(kp_backend_is(f->ctx, "dpkg"));
	assert_false(kp_exists_in(f->root.fd, "/var/lib/kmodpkg/backend"));

	assert_int_equal(reopen(f, true, &err), 0);
	assert_int_equal(
		kp_read_in(f->root.fd, "/var/lib/kmodpkg/backend", 0, &text, &len), 0);
	assert_string_equal(text, "dpkg\n");

	/* from now on it is that, even with its database away */
	assert_int_equal(kp_rm_rf_in(f->root.fd, "/var/lib/dpkg", NULL), 0);
	assert_int_equal(reopen(f, true, &err), 0);
	assert_true(kp_backend_is(f->ctx, "dpkg"));
}

/* In a process of its own, with the root mounted read-only. 77: it cannot be. */
static int choose_read_only(struct fixture *f)
{
	struct kp_err err;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(f->root.path, f->root.path, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, f->root.path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) < 0)
		return 77;
	return reopen(f, true, &err) < 0 || !kp_backend_is(f->ctx, "dpkg");
}

static void test_choice_that_cannot_be_recorded(void **state)
{
	_cleanup_free_ char *dpkg = build_path("plugins/dpkg.so");
	struct fixture *f = *state;
	int status;
	pid_t pid;

	if (access(dpkg, F_OK) < 0)
		skip();
	add_plugin(f, dpkg, "dpkg.so");
	test_put(&f->root, "/var/lib/dpkg/status", "");
	pid = fork();
	if (!pid)
		_exit(choose_read_only(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_configured),
		TEST(test_recorded),
		TEST(test_not_installed),
		TEST(test_configured_wrongly),
		TEST(test_broken),
		TEST(test_not_a_backend),
		TEST(test_chosen_by_database),
		TEST(test_choice_that_cannot_be_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
