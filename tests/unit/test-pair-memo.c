// SPDX-License-Identifier: GPL-2.0-or-later
/* What the plan knows of a pair is remembered until something of it looks different. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/record.h"
#include "system.h"

#define MEMO "/var/lib/kmodpkg/pairs"

static void look(struct test_system *s, bool brief)
{
	struct kp_sync_opts opts = { .brief = brief };

	kp_world_clear(&s->world);
	TEST_TRY(kp_world_load(s->ctx, &opts, &s->world, err));
}

/* Of the last look(). */
static bool was_remembered(struct test_system *s, const char *module, const char *kernel)
{
	const struct kp_world *w = &s->world;

	for (size_t i = 0; i < w->input.n_pairs; i++) {
		const struct kp_plan_pair *x = &w->input.pairs[i];

		if (!strcmp(w->sources.list[x->source].module, module) &&
		    !strcmp(w->kernels.list[x->kernel].release, kernel))
			return !w->pairs[i].conf;
	}
	fail_msg("no pair %s, %s", module, kernel);
	return false;
}

/* All rows as text, to be freed. */
static char *rows(struct test_system *s, bool brief)
{
	struct kp_buf b = KP_BUF_INIT;

	look(s, brief);
	for (size_t i = 0; i < s->world.plan.n_rows; i++) {
		const struct kp_plan_row *r = &s->world.plan.rows[i];

		kp_buf_addf(&b, "%s %s %s: %s %s %s %s %s\n", r->module, r->version,
			    r->kernel, kp_state_name(r->state), kp_action_name(r->action),
			    r->note ? r->note : "-", r->package ? r->package : "-",
			    r->key ? r->key : "-");
	}
	return kp_buf_steal(&b);
}

static void assert_same_plan(struct test_system *s)
{
	_cleanup_free_ char *all = rows(s, false), *brief = rows(s, true);

	assert_string_equal(brief, all);
}

static void remembered_until_it_looks_different(void **state)
{
	static const char *const names[] = { "conf", "file", "build", "record", "same" };
	struct test_system *s = test_system(state);
	_cleanup_free_ char *built = NULL, *ko = NULL;

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		test_register(s, names[i], "1.0", NULL);
		test_publish(s, names[i], "1.0", K1, NULL);
		test_publish(s, names[i], "1.0", K2, NULL);
	}
	test_register(s, "needs", "1.0", "BUILD_DEPENDS=\"same file\"\n");
	test_register(s, "not", "1.0", "BUILD_EXCLUSIVE_KERNEL=^9\n");
	/* bash is asked; only one says all that it looked at. */
	test_register(s, "closed", "1.0", "X=$(uname -m)\n");
	test_register(s, "open", "1.0", "X=$(command -v sh)\n");
	test_register(s, "bad", "1.0", NULL);
	test_fail(s, "bad", "1.0", K1, "it broke", false);
	test_fail(s, "bad", "1.0", K2, "it broke", false);
	test_publish(s, "needs", "1.0", K1, NULL);
	test_publish(s, "needs", "1.0", K2, NULL);
	test_sync(s);
	/* All that is there is fresh. */
	look(s, true);
	assert_null(s->world.memo);
	test_let_age();
	look(s, true);
	assert_null(s->world.memo);
	look(s, true);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++)
		assert_true(was_remembered(s, names[i], K1));
	assert_true(was_remembered(s, "needs", K2));
	assert_true(was_remembered(s, "not", K2));
	assert_true(was_remembered(s, "closed", K1));
	assert_false(was_remembered(s, "open", K1));
	assert_false(was_remembered(s, "bad", K1));
	assert_same_plan(s);
	/* Who wants all gets all. */
	look(s, false);
	assert_false(was_remembered(s, "same", K1));

	test_put(&s->root, "/usr/src/file-1.0/new.c", "int x;\n");
	built = kp_record_dir(s->ctx, "build", "1.0", K1);
	ko = kp_path_join(built, "module/build.ko");
	assert_int_equal(unlink(ko), 0);
	TEST_TRY(kp_record_drop(s->ctx, "record", "1.0", K2, err));
	/* In place, and in a directory that does not change. */
	test_put(&s->root, "/usr/src/conf-1.0/dkms.conf",
		 "PACKAGE_NAME=conf\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=conf\n"
		 "DEST_MODULE_LOCATION=/extra\nBUILD_EXCLUSIVE_KERNEL=^9\n");
	look(s, true);
	assert_false(was_remembered(s, "file", K1));
	assert_false(was_remembered(s, "file", K2));
	assert_false(was_remembered(s, "build", K1));
	assert_true(was_remembered(s, "build", K2));
	assert_true(was_remembered(s, "record", K1));
	assert_false(was_remembered(s, "record", K2));
	assert_false(was_remembered(s, "conf", K1));
	assert_true(was_remembered(s, "same", K1));
	assert_same_plan(s);

	test_put(&s->root, "/usr/src/linux-headers-" K2 "/.config", "CONFIG_64BIT=n\n");
	look(s, true);
	assert_true(was_remembered(s, "same", K1));
	assert_false(was_remembered(s, "same", K2));
	assert_same_plan(s);

	/* An override, which concerns one of them, may concern any. */
	test_put(&s->root, "/etc/dkms/same.conf", "BUILD_EXCLUSIVE_KERNEL=^9\n");
	look(s, true);
	assert_null(s->world.memo);
	assert_same_plan(s);
}

/* What is not as it was written does not count, and what a sync does is the same. */
static void damaged(void **state)
{
	struct test_system *s = test_system(state);
	static const char *const wrong[] = { "", "end\n", "\n\nend\n", "\t\n\t\nend\n" };
	_cleanup_free_ char *text = NULL, *cut = NULL;

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	test_let_age();
	test_sync(s);
	text = test_get(&s->root, MEMO);
	look(s, true);
	assert_true(was_remembered(s, "hello", K1));
	for (size_t i = 0; i < KP_ARRAY_SIZE(wrong); i++) {
		test_put(&s->root, MEMO, wrong[i]);
		look(s, true);
		assert_null(s->world.memo);
		assert_same_plan(s);
	}
	/* Without its end, though what is there is right. */
	cut = kp_strndup(text, strlen(text) - 4);
	test_put(&s->root, MEMO, cut);
	look(s, true);
	assert_null(s->world.memo);
	/* That has written it anew. */
	look(s, true);
	assert_true(was_remembered(s, "hello", K1));
	/* Not by this program. */
	text[2] = text[2] == '0' ? '1' : '0';
	test_put(&s->root, MEMO, text);
	look(s, true);
	assert_null(s->world.memo);
}

/* From here on who starts a process is killed. */
static void forbid_processes(void)
{
#define FORBID(call)                                                                     \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1),                           \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		FORBID(clone),
		FORBID(clone3),
		FORBID(execve),
		FORBID(execveat),
#ifdef SYS_fork
		FORBID(fork),
		FORBID(vfork),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { KP_ARRAY_SIZE(filter), filter };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void idle(struct test_system *s)
{
	forbid_processes();
	test_sync(s);
	look(s, true);
	if (!was_remembered(s, "hello", K1))
		_exit(3);
}

static void start_process(struct test_system *s KP_UNUSED)
{
	forbid_processes();
	(void)!system("true");
}

/* Neither sources nor headers nor records, but the file that says which trees the headers are made
 * of; and no process. */
static void idle_opens_nothing(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_close_ int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	static const char *const dirs[] = {
		"/usr/src/hello-1.0",
		"/usr/src/linux-headers-" K1,
		"/usr/src/linux-headers-" K1 "/include",
		"/var/lib/kmodpkg/builds/hello/1.0",
	};
	_Alignas(struct inotify_event) char events[4096];
	ssize_t n;

	test_register(s, "hello", "1.0", "x=$(echo bash has to do this)\n");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
	test_let_age();
	test_sync(s);
	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++)
		assert_true(inotify_add_watch(watch, dirs[i], IN_OPEN) >= 0);
	assert_int_equal(test_child(s, idle), 0);
	n = read(watch, events, sizeof(events));
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(events + at);

		if (!(e->mask & IN_ISDIR) && strcmp(e->name, "Makefile") != 0)
			fail_msg("%s was opened", e->name);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	/* That this would be seen: a conf is read, a process started. */
	look(s, false);
	n = read(watch, events, sizeof(events));
	assert_true(n > 0 && memmem(events, (size_t)n, "dkms.conf", 9));
	assert_true(WIFSIGNALED(test_child(s, start_process)));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(remembered_until_it_looks_different),
		SYSTEM_TEST(damaged),
		SYSTEM_TEST(idle_opens_nothing),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
