// SPDX-License-Identifier: GPL-2.0-or-later
/* Syncs that build: the whole way with a real recipe, sandbox and check. */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "system.h"

static size_t started; /* builds of the last sync */

static void count(enum kp_build_event event, const struct kp_build_job *job,
		  const char *stage, void *data)
{
	(void)job;
	(void)stage;
	(void)data;
	started += event == KP_BUILD_STARTED;
}

static void sync_with(struct test_system *s, struct kp_sync_opts opts)
{
	int rc;

	opts.jobs = 2;
	if (!opts.progress)
		opts.progress = count;
	started = 0;
	rc = test_sync_rc(s, &opts);
	if (rc < 0)
		fail_msg("%s", kp_err_text(&s->err, rc));
}

#define SYNC(s, ...) sync_with(s, (struct kp_sync_opts){ __VA_ARGS__ })

static void builds_and_installs(void **state)
{
	struct test_system *s = test_system(state);
	struct stat first, second;

	test_register(s, "hello", "1.0", NULL);
	SYNC(s, 0);
	assert_int_equal(s->result.built, 2);
	assert_int_equal(s->result.installed, 2);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
	SYNC(s, 0);
	assert_int_equal(started, 0);
	/* By force, and what came out is what is there. */
	assert_int_equal(stat("/lib/modules/" K1 "/updates/dkms/hello.ko", &first), 0);
	{
		char *modules[] = { (char *)"hello", NULL },
		     *kernels[] = { (char *)K1, NULL };

		SYNC(s, .modules = modules, .kernels = kernels, .requested = true,
		     .force = true);
	}
	assert_int_equal(started, 1);
	assert_int_equal(s->result.built, 1);
	assert_int_equal(stat("/lib/modules/" K1 "/updates/dkms/hello.ko", &second), 0);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void headers_change(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	SYNC(s, 0);
	test_put(&s->root, "/usr/src/linux-headers-" K1 "/include/y.h", "");
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_STALE,
			  "its source or the kernel headers changed");
	SYNC(s, 0);
	assert_int_equal(started, 1);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void build_only(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	SYNC(s, .requested = true, .build_only = true);
	assert_int_equal(s->result.built, 2);
	test_assert_absent(s, "hello", K1);
	test_assert_state(s, "hello", "1.0", K1, KP_STATE_BUILT, NULL);
	SYNC(s, .requested = true, .build_only = true);
	assert_int_equal(started, 0);
	test_assert_settled(s);
}

/* What lay on a bad disk is in no package. */
static void damaged_after_it_was_built(void **state)
{
	char *modules[] = { (char *)"hello", NULL }, *kernels[] = { (char *)K1, NULL };
	struct test_system *s = test_system(state);
	_cleanup_free_ char *dir = kp_record_dir(s->ctx, "hello", "1.0", K1);
	_cleanup_free_ char *path = kp_path_join(dir, "module/hello.ko");
	int fd;

	test_register(s, "hello", "1.0", NULL);
	SYNC(s, .build_only = true);
	assert_int_equal(s->result.built, 2);
	fd = kp_open_in(s->root.fd, path, O_WRONLY, 0);
	assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 60), 4);
	close(fd);
	SYNC(s, 0);
	assert_int_equal(s->result.installed, 1);
	assert_int_equal(s->result.failed, 1);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_absent(s, "hello", K1);
	test_assert_said(s, "/module/hello.ko' is not as it was built: kmodpkg build "
			    "--force hello/1.0 -k " K1 " builds it anew");
	SYNC(s, .modules = modules, .kernels = kernels, .requested = true, .force = true);
	test_assert_installed(s, "hello", "1.0", K1);
}

static void failures_are_remembered(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "broken", "1.0", NULL);
	test_put(&s->root, "/usr/src/broken-1.0/broken.c", "int main(\n");
	test_register(s, "hello", "1.0", NULL);
	SYNC(s, 0);
	assert_int_equal(started, 4);
	assert_int_equal(s->result.built, 2);
	assert_int_equal(s->result.failed, 2);
	assert_int_equal(kp_strv_len(s->result.failures), 2);
	assert_true(kp_str_starts(s->result.failures[0], "broken/1.0, kernel " K1 ": "));
	test_assert_installed(s, "hello", "1.0", K1);
	assert_int_equal(test_row(s, "broken", "1.0", K1)->state, KP_STATE_FAILED);
	SYNC(s, 0);
	assert_int_equal(started, 0);
	assert_int_equal(s->result.failed, 0);
	assert_int_equal(s->result.remembered, 2);
	/* On request it is tried again, once. */
	SYNC(s, .requested = true);
	assert_int_equal(started, 2);
	assert_int_equal(s->result.failed, 2);
	/* With another key. */
	test_add_source(s, "broken", "1.0", NULL);
	SYNC(s, 0);
	assert_int_equal(started, 2);
	test_assert_installed(s, "broken", "1.0", K2);
	test_assert_settled(s);
}

static void failures_of_the_machine_are_not(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_fail(s, "hello", "1.0", K1, "No space left on device", true);
	test_fail(s, "hello", "1.0", K2, "make ended with exit code 2", false);
	SYNC(s, 0);
	assert_int_equal(started, 1);
	assert_int_equal(s->result.remembered, 1);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_absent(s, "hello", K2);
}

static void limits_that_were_raised(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_(kp_record_freep) struct kp_record *rec = NULL;
	struct kp_config *config = &s->ctx->config;

	test_register(s, "hello", "1.0", NULL);
	test_fail(s, "hello", "1.0", K1, "used more than 64 MiB (limit_memory)", false);
	TEST_TRY(kp_record_load(s->ctx, "hello", "1.0", K1, &rec, err));
	config->limits.memory = 64 << 20;
	kp_record_set_limits(rec, config, -EDQUOT);
	TEST_TRY(kp_record_save(s->ctx, "hello", "1.0", K1, rec, err));
	SYNC(s, .kernels = (char *[]){ (char *)K1, NULL });
	assert_int_equal(started, 0);
	assert_int_equal(s->result.remembered, 1);
	config->limits.memory = 0;
	SYNC(s, .kernels = (char *[]){ (char *)K1, NULL });
	test_assert_installed(s, "hello", "1.0", K1);
}

static void optional_modules_fail_quietly(void **state)
{
	struct test_system *s = test_system(state);

	kp_strv_add(&s->ctx->config.optional, "broken");
	test_register(s, "broken", "1.0", NULL);
	test_put(&s->root, "/usr/src/broken-1.0/broken.c", "int main(\n");
	SYNC(s, 0);
	assert_int_equal(started, 2);
	assert_int_equal(s->result.failed, 0);
	SYNC(s, 0);
	assert_int_equal(s->result.remembered, 0);
}

static void dependencies(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "user", "1.0", "BUILD_DEPENDS[0]=\"hello\"\n");
	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, "/usr/src/hello-1.0/hello.c", "int main(\n");
	SYNC(s, 0);
	assert_int_equal(s->result.failed, 2);
	assert_int_equal(s->result.blocked, 2);
	assert_int_equal(test_row(s, "user", "1.0", K1)->state, KP_STATE_BLOCKED);
	test_add_source(s, "hello", "1.0", NULL);
	SYNC(s, 0);
	assert_int_equal(s->result.built, 4);
	assert_int_equal(s->result.installed, 4);
	test_assert_installed(s, "user", "1.0", K1);
	test_assert_settled(s);
	SYNC(s, 0);
	assert_int_equal(started, 0);
}

static void no_autoinstall_and_on_request(void **state)
{
	struct test_system *s = test_system(state);
	char *modules[] = { (char *)"hello", NULL }, *kernels[] = { (char *)K1, NULL };

	test_put(&s->root, "/etc/dkms/no-autoinstall", "");
	test_register(s, "hello", "1.0", NULL);
	SYNC(s, 0);
	assert_int_equal(started, 0);
	SYNC(s, .modules = modules, .kernels = kernels, .requested = true);
	assert_int_equal(started, 1);
	test_assert_installed(s, "hello", "1.0", K1);
	SYNC(s, 0);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_absent(s, "hello", K2);
}

/* A system that comes from DKMS: its links and files are there, no package. */
static void coming_from_dkms(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *view =
		kp_strf("/var/lib/dkms/hello/kernel-" K1 "-%s", s->ctx->arch);
	_cleanup_free_ char *target = kp_strf("1.0/" K1 "/%s", s->ctx->arch);

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, "/lib/modules/" K1 "/updates/dkms/hello.ko", "of dkms");
	assert_int_equal(kp_symlink_in(s->root.fd, target, view, NULL), 0);
	SYNC(s, 0);
	test_assert_not_said(s, "is missing, restoring");
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void build_inside_of_a_transaction(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_fake(s, "lock", "must-defer");
	SYNC(s, 0);
	assert_int_equal(s->result.built, 2);
	assert_int_equal(s->result.queued, 2);
	test_assert_placed(s, "hello", "1.0", K1);
	test_fake(s, "lock", "can-commit");
	test_drain(s);
	test_assert_installed(s, "hello", "1.0", K2);
	test_assert_settled(s);
}

/* ---- two at once ---- */

static void tell_stage(enum kp_build_event event, const struct kp_build_job *job,
		       const char *stage, void *data)
{
	(void)job;
	if (event == KP_BUILD_STAGE)
		dprintf(*(int *)data, "%s\n", stage);
}

struct other {
	pid_t pid;
	int fd; /* the stages of its builds */
	struct kp_buf said;
};

static struct other start(struct test_system *s)
{
	struct other o = { 0 };
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	o.fd = fds[0];
	o.pid = fork();
	assert_true(o.pid >= 0);
	if (!o.pid) {
		/* A test that fails leaves nobody behind. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		SYNC(s, .progress = tell_stage, .progress_data = &fds[1]);
		_exit(0);
	}
	close(fds[1]);
	return o;
}

/* Read on until STAGE is told of (NULL: to the end); is it? */
static bool wait_for(struct other *o, const char *stage)
{
	while (!stage || !o->said.s || !strstr(o->said.s, stage)) {
		struct pollfd p = { .fd = o->fd, .events = POLLIN };
		char block[256];
		ssize_t n;

		if (poll(&p, 1, 60000) != 1)
			return false;
		n = read(o->fd, block, sizeof(block));
		if (n <= 0)
			return !stage;
		kp_buf_add(&o->said, block, (size_t)n);
	}
	return true;
}

static void finish(struct other *o)
{
	int status;

	assert_true(wait_for(o, NULL));
	assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
	assert_int_equal(status, 0);
	close(o->fd);
}

/* A source for one kernel that builds until /usr/src/go is there. */
static void add_slow(struct test_system *s)
{
	test_remove_kernel(s, K2);
	test_register(s, "hello", "1.0", "PRE_BUILD=\"wait\"\n");
	test_put(&s->root, "/usr/src/hello-1.0/wait",
		 "#!/bin/sh\nwhile [ ! -e /usr/src/go ]; do sleep 0.1; done\n");
	assert_int_equal(chmod("/usr/src/hello-1.0/wait", 0755), 0);
}

static void killed_in_a_build(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_strv_ char **work = NULL;
	struct other first;

	add_slow(s);
	first = start(s);
	assert_true(wait_for(&first, "prepare"));
	assert_int_equal(kill(first.pid, SIGKILL), 0);
	assert_int_equal(waitpid(first.pid, NULL, 0), first.pid);
	close(first.fd);
	test_put(&s->root, "/usr/src/go", "");
	SYNC(s, 0);
	assert_int_equal(s->result.built, 1);
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
	(void)kp_list_in(s->root.fd, s->ctx->work_dir, &work);
	assert_null(work);
	kp_buf_free(&first.said);
}

static void two_syncs_one_build(void **state)
{
	struct test_system *s = test_system(state);
	struct other first, second;

	add_slow(s);
	first = start(s);
	assert_true(wait_for(&first, "prepare"));
	second = start(s);
	assert_true(wait_for(&second, "wait"));
	test_put(&s->root, "/usr/src/go", "");
	finish(&first);
	finish(&second);
	/* Nothing but the wait was done by the second. */
	assert_string_equal(second.said.s, "wait\n");
	assert_non_null(strstr(first.said.s, "make\n"));
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
	test_assert_fake_log(s, "begin\nadd kmod-hello-" K1 "\nend\nsettle kmod-hello-" K1
				"\n");
	kp_buf_free(&first.said);
	kp_buf_free(&second.said);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(builds_and_installs),
		SYSTEM_TEST(headers_change),
		SYSTEM_TEST(build_only),
		SYSTEM_TEST(damaged_after_it_was_built),
		SYSTEM_TEST(failures_are_remembered),
		SYSTEM_TEST(failures_of_the_machine_are_not),
		SYSTEM_TEST(limits_that_were_raised),
		SYSTEM_TEST(optional_modules_fail_quietly),
		SYSTEM_TEST(dependencies),
		SYSTEM_TEST(no_autoinstall_and_on_request),
		SYSTEM_TEST(coming_from_dkms),
		SYSTEM_TEST(build_inside_of_a_transaction),
		SYSTEM_TEST(killed_in_a_build),
		SYSTEM_TEST(two_syncs_one_build),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
