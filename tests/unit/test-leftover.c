// SPDX-License-Identifier: GPL-2.0-or-later
/* What killed processes left goes, what living ones work on stays. */
#include <sys/wait.h>

#include "base/lock.h"
#include "lib/leftover.h"
#include "test.h"

struct left {
	struct test_root root;
	struct kp_ctx ctx;
	pid_t dead;
};

static int setup(void **state)
{
	struct left *l = kp_calloc(1, sizeof(*l));

	l->root = test_root_new();
	l->ctx.root_fd = l->root.fd;
	l->ctx.dkms_tree = kp_strdup("/dkms");
	l->ctx.state_dir = kp_strdup("/state");
	l->ctx.work_dir = kp_strdup("/state/work");
	l->ctx.log_dir = kp_strdup("/log");
	l->ctx.run_dir = kp_strdup("/run");
	l->ctx.arch = kp_strdup("x86_64");
	l->dead = fork();
	if (!l->dead)
		_exit(0);
	assert_int_equal(waitpid(l->dead, NULL, 0), l->dead);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	struct left *l = *state;

	test_root_free(&l->root);
	free(l->ctx.dkms_tree);
	free(l->ctx.state_dir);
	free(l->ctx.work_dir);
	free(l->ctx.log_dir);
	free(l->ctx.run_dir);
	free(l->ctx.arch);
	free(l);
	return 0;
}

static void put(struct left *l, const char *path)
{
	test_put(&l->root, path, "x");
}

static bool there(struct left *l, const char *path)
{
	struct stat st;

	return !kp_lstat_in(l->root.fd, path, &st);
}

static void temporary_files(void **state)
{
	static const char *const dirs[] = {
		"/state",	"/state/builds/m/1", "/state/registered/m",
		"/state/trees", "/state/probes",     "/state/probes/empty/linux",
		"/run",		"/log/m/1",	     "/dkms/m",
		"/dkms/m/1",	"/dkms/m/1/k",
	};
	struct left *l = *state;

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *dead =
			kp_strf("%s/.kp-%d-0123", dirs[i], (int)l->dead);
		_cleanup_free_ char *mine =
			kp_strf("%s/.kp-%d-0123", dirs[i], (int)getpid());

		put(l, dead);
		put(l, mine);
		kp_leftovers_sweep(&l->ctx);
		assert_false(there(l, dead));
		assert_true(there(l, mine));
	}
}

static void builds(void **state)
{
	struct left *l = *state;
	_cleanup_free_ char *stage = kp_strf("/dkms/m/1/k/.tmp_x86_64_%d", (int)l->dead);
	_cleanup_free_ char *in_stage = kp_path_join(stage, "module/m.ko");
	/* However old it looks, and whoever has that number here. */
	_cleanup_free_ char *theirs =
		kp_strf("/dkms/m/1/k2/.tmp_x86_64_%d", (int)l->dead);
	_cleanup_free_ char *in_theirs = kp_path_join(theirs, "module/m.ko");
	_cleanup_close_ int lock = -1;

	put(l, in_stage);
	put(l, in_theirs);
	put(l, "/dkms/m/1/k/x86_64/module/m.ko");
	/* Where there are no private mounts this is the build of somebody else. */
	put(l, "/dkms/m/1/build/.tmp_versions/m.mod");
	put(l, "/state/work/m-1-k-x86_64/build/m.c");
	put(l, "/state/work/m-1-k2-x86_64/build/m.c");
	assert_int_equal(kp_lock_take(l->root.fd, "/run/build/m-1-k2.lock", "builds",
				      KP_LOCK_TRY, &lock, NULL),
			 0);
	kp_leftovers_sweep(&l->ctx);
	assert_false(there(l, stage));
	assert_true(there(l, in_theirs));
	assert_true(there(l, "/dkms/m/1/k/x86_64/module/m.ko"));
	assert_true(there(l, "/dkms/m/1/build/.tmp_versions/m.mod"));
	assert_false(there(l, "/state/work/m-1-k-x86_64"));
	assert_true(there(l, "/state/work/m-1-k2-x86_64/build/m.c"));
}

/* The source of a module is somebody else's tree, wherever its link leads. */
static void links_are_not_followed(void **state)
{
	struct left *l = *state;
	_cleanup_free_ char *name = kp_strf(".kp-%d-0123", (int)l->dead);
	_cleanup_free_ char *theirs = kp_path_join("/usr/src/m-1", name);

	put(l, theirs);
	put(l, "/dkms/m/1/k/x86_64/log");
	assert_int_equal(
		kp_symlink_in(l->root.fd, "/usr/src/m-1", "/dkms/m/1/source", NULL), 0);
	kp_leftovers_sweep(&l->ctx);
	assert_true(there(l, theirs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(temporary_files, setup, teardown),
		cmocka_unit_test_setup_teardown(builds, setup, teardown),
		cmocka_unit_test_setup_teardown(links_are_not_followed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
