// SPDX-License-Identifier: GPL-2.0-or-later
/* A hundred modules for four kernels: what a run of ours takes for itself. */
#include <sys/resource.h>

#include "lib/queue.h"
#include "system.h"

#define MODULES 100
#define K3 "6.1.0-3-test"
#define K4 "6.1.0-4-test"
/* Far fewer than there are modules. */
#define FILES_MAX 32
#define MEMORY_MAX_KIB (64 * 1024)

static const char *const kernels[] = { K1, K2, K3, K4 };

static size_t count_fds(struct test_system *s)
{
	_cleanup_strv_ char **fds = NULL;

	assert_int_equal(kp_list_in(s->root.fd, "/proc/self/fd", &fds), 0);
	return kp_strv_len(fds);
}

/* In a process of its own, to which all of this counts. */
static void bounded(struct test_system *s, int (*run)(struct test_system *s))
{
	const struct rlimit files = { FILES_MAX, FILES_MAX };
	size_t before = count_fds(s);
	struct rusage used;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_int_equal(run(s), 0);
	assert_int_equal(count_fds(s), before);
	assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
#ifndef __SANITIZE_ADDRESS__
	print_message("# %ld KiB\n", used.ru_maxrss);
	assert_true(used.ru_maxrss < MEMORY_MAX_KIB);
#endif
}

static int run_sync(struct test_system *s)
{
	return test_sync_rc(s, NULL);
}

static int look(struct test_system *s)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts opts = { 0 };
	int r = kp_world_load(s->ctx, &opts, &w, NULL);

	assert_int_equal(w.plan.n_rows, MODULES * KP_ARRAY_SIZE(kernels));
	return r;
}

static int drain(struct test_system *s)
{
	test_drain(s);
	return 0;
}

static void bounded_sync(struct test_system *s)
{
	bounded(s, run_sync);
}

static void bounded_look(struct test_system *s)
{
	bounded(s, look);
}

static void bounded_drain(struct test_system *s)
{
	bounded(s, drain);
}

static void a_hundred_for_four(void **state)
{
	struct test_system *s = test_system(state);

	test_add_kernel(s, K3);
	test_add_kernel(s, K4);
	for (int i = 0; i < MODULES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "many%d", i);
		test_register(s, name, "1.0", NULL);
		for (size_t k = 0; k < KP_ARRAY_SIZE(kernels); k++)
			test_publish(s, name, "1.0", kernels[k], NULL);
	}
	assert_int_equal(test_child(s, bounded_look), 0);
	/* All of them wait, then all are committed at once. */
	test_fake(s, "lock", "must-defer");
	assert_int_equal(test_child(s, bounded_sync), 0);
	assert_int_equal(test_queue_length(s), MODULES * KP_ARRAY_SIZE(kernels));
	test_fake(s, "lock", "can-commit");
	assert_int_equal(test_child(s, bounded_drain), 0);
	test_assert_settled(s);
	for (size_t k = 0; k < KP_ARRAY_SIZE(kernels); k++)
		test_assert_installed(s, "many99", "1.0", kernels[k]);
	assert_int_equal(test_child(s, bounded_look), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(a_hundred_for_four),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
