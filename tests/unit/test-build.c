// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whole builds: what is published, joined, ordered, interrupted.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include <kmodpkg/log.h>

#include "base/lock.h"
#include "build-fixture.h"
#include "lib/sandbox.h"
#include "lib/source.h"
#include "sandbox-systems.h"

static void test_publish(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "hello", 0), *b = add(f, "hello", 1);
	_cleanup_free_ char *symvers = NULL, *log = NULL, *link = NULL, *path = NULL;
	struct stat st;

	build(f);
	assert_built(f, a);
	assert_built(f, b);
	assert_clean(f);
	assert_int_equal(a->record->n_files, 1);
	assert_string_equal(a->record->files[0].name, "hello.ko");
	assert_string_equal(a->record->files[0].dest, "updates/dkms/hello.ko");
	assert_string_equal(a->record->key, "0123");
	/* Their vermagic differs, nothing else. */
	assert_string_not_equal(a->record->content, b->record->content);
	/* The recipe saw DKMS's path. */
	symvers = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/module/Module.symvers");
	path = kp_strf("symbols of %s/hello/1/build\n", f->ctx.dkms_tree);
	assert_string_equal(symvers, path);
	log = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/log/make.log");
	assert_non_null(
		strstr(log, "make.log for hello/1 for kernel 6.6.1-kp (x86_64)\n"));
	assert_non_null(strstr(log, "\nBuilding module(s)\n# command: "));
	assert_non_null(strstr(log, "KERNELRELEASE=6.6.1-kp -C "));
	assert_non_null(strstr(log, "\n# exit code: 0\n# elapsed time: 00:0"));
	free(path);
	path = below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mode & 07777, 0644);
}

/* Who has no view goes through the directories that are outside of it, whoever made them. */
static void test_work_dir_was_closed(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *line = NULL;

	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, f->ctx.work_dir, 0700, NULL), 0);
	if (!kp_sandbox_has_mounts()) {
		line = kp_strf(
			"[ -d %s/hello-1-6.6.1-kp-x86_64/. ] && "
			"make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$PWD",
			f->ctx.work_dir);
		f->confs[0].make = line;
	}
	build(f);
	assert_built(f, job);
}

/* Removed since it was looked at: that is no failure of the build. */
static void test_removed_before(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	assert_int_equal(kp_source_unregister(&f->ctx, "hello", "1", NULL), 0);
	build(f);
	assert_int_equal(job->rc, -ESTALE);
	assert_null(job->record);
	assert_clean(f);
}

/* Another run, be its tree another, has the first user. */
static void test_users_are_the_machines(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job;

	if (kp_sandbox_uid(1) == geteuid())
		skip();

	_cleanup_close_ int lock = -1;
	_cleanup_free_ char *first = kp_strf("\n%u\n", kp_sandbox_uid(1)), *log = NULL;

	/* What others hold, tests beside this one say, is as good. */
	(void)kp_lock_take(f->ctx.root_fd, KP_RUN_DIR "/build/slot-1.lock", "tests",
			   KP_LOCK_TRY, &lock, NULL);
	job = add(f, "hello", 0);
	f->confs[0].make = "make -C $kernel_source_dir M=$PWD && id -u";
	build(f);
	assert_built(f, job);
	assert_int_equal(kp_read_in(f->ctx.root_fd, job->record->log, 0, &log, NULL), 0);
	assert_null(strstr(log, first));
	assert_non_null(strstr(log, "id -u"));
}

static void test_join(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	struct stat first, second, third;
	_cleanup_free_ char *ko =
		below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");

	build(f);
	assert_built(f, job);
	assert_int_equal(stat(ko, &first), 0);
	build(f);
	assert_built(f, job);
	assert_int_equal(stat(ko, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	job->force = true;
	build(f);
	assert_built(f, job);
	assert_int_equal(stat(ko, &third), 0);
	assert_true(first.st_mtim.tv_nsec != third.st_mtim.tv_nsec ||
		    first.st_mtim.tv_sec != third.st_mtim.tv_sec);
	assert_clean(f);
	/* Another key, or a file that is gone. */
	job->force = false;
	job->key = "4567";
	build(f);
	assert_built(f, job);
	assert_string_equal(job->record->key, "4567");
	assert_int_equal(unlink(ko), 0);
	build(f);
	assert_built(f, job);
	assert_int_equal(access(ko, F_OK), 0);
}

static void tell_stage(enum kp_build_event event, const struct kp_build_job *job,
		       const char *stage, void *data)
{
	(void)job;
	if (event == KP_BUILD_STAGE &&
	    (!strcmp(stage, "wait") || !strcmp(stage, "prepare")))
		assert_int_equal(write(*(int *)data, stage, 1), 1);
}

/* Three programs want the same: one builds, the others get its result, failures too. */
static void test_join_running(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *fifo = below(f, "fifo");
	char text[8] = "";
	pid_t pids[3];
	int fds[2], go, waiting = 0, status;

	assert_int_equal(mkfifo(fifo, 0644), 0);
	go = open(fifo, O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	_cleanup_free_ char *make = kp_strf("read x <%s; exit 3", fifo);
	f->confs[0].make = make;
	for (size_t i = 0; i < 3; i++) {
		const struct kp_build_opts opts = { .progress = tell_stage,
						    .data = &fds[1] };

		pids[i] = fork();
		if (pids[i] == 0) {
			kp_log_set_level(KP_LOG_WARNING);
			kp_build_run(&f->ctx, f->jobs, f->n, &opts, NULL);
			_exit(!job->record || job->rc != -ECHILD ||
			      job->record->exit_code != KP_EXIT_MAKE);
		}
	}
	/* The builder waits until the others wait for it. */
	while (waiting < 2) {
		assert_int_equal(read(fds[0], text, 1), 1);
		waiting += *text == 'w';
	}
	assert_int_equal(write(go, "\n", 1), 1);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	/* At most the builder's "prepare" is left; nobody else built. */
	close(fds[1]);
	assert_true(read(fds[0], text, sizeof(text)) <= 1);
	close(fds[0]);
	close(go);
	assert_clean(f);
}

static void test_depends(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *top = add(f, "top", 0), *low = add(f, "low", 0),
			    *other = add(f, "other", 0);
	static const size_t on_low[] = { 1 }, on_top[] = { 0 };
	_cleanup_free_ char *seen = NULL, *expect = NULL, *before = NULL;
	char *list[] = { NULL, NULL };

	write_file(f, "before.symvers", "0x00000000\tx\tbefore\tEXPORT_SYMBOL\t\n");
	list[0] = before = below(f, "before.symvers");
	top->deps = on_low;
	top->n_deps = 1;
	top->symvers = list;
	other->deps = on_top;
	other->n_deps = 1;
	f->confs[0].make = "make -C $kernel_source_dir M=$PWD && "
			   "echo $KBUILD_EXTRA_SYMBOLS >"
			   "$dkms_tree/$module/$module_version/$kernelver/$arch/seen";
	build(f);
	assert_built(f, top);
	assert_built(f, low);
	assert_built(f, other);
	seen = read_file(f, "dkms/top/1/6.6.1-kp/x86_64/seen");
	expect = kp_strf("%s %s/low/1/6.6.1-kp/x86_64/module/Module.symvers\n", before,
			 f->ctx.dkms_tree);
	assert_string_equal(seen, expect);
}

static void note_start(enum kp_build_event event, const struct kp_build_job *job,
		       const char *stage, void *data)
{
	(void)stage;
	if (event == KP_BUILD_STARTED)
		kp_buf_addf(data, "%s ", job->source->module);
}

/* The most work first, with that of those that wait for it. */
static void test_order(void **state)
{
	static const char *const names[] = { "a", "b", "c", "low" };
	static const size_t on_low[] = { 3 };
	struct fixture *f = *state;
	_cleanup_free_ char *large = kp_strf("%s%s", module_source, module_source);
	_cleanup_buf_ struct kp_buf started = KP_BUF_INIT;
	const struct kp_build_opts opts = { .jobs = 1,
					    .progress = note_start,
					    .data = &started };

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		add(f, names[i], 0);
		f->confs[i].make = "false";
	}
	write_file(f, "src/b-1/sub/1.c", "");
	write_file(f, "src/b-1/sub/2.c", "");
	write_file(f, "src/b-1/sub/3.h", "");
	write_file(f, "src/c-1/c.c", large);
	assert_int_equal(kp_build_run(&f->ctx, f->jobs, f->n, &opts, NULL), 0);
	assert_string_equal(started.s, "b c low a ");
	kp_buf_reset(&started);
	f->confs[3].make = NULL;
	f->jobs[0].deps = on_low;
	f->jobs[0].n_deps = 1;
	write_file(f, "src/a-1/1.c", "");
	clear_results(f);
	assert_int_equal(kp_build_run(&f->ctx, f->jobs, f->n, &opts, NULL), 0);
	assert_string_equal(started.s, "low b a c ");
}

static void test_blocked(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "a", 0), *b = add(f, "b", 0), *c = add(f, "c", 0),
			    *d = add(f, "d", 0);
	static const size_t on_a[] = { 0 }, on_b[] = { 1 };

	b->deps = on_a;
	b->n_deps = 1;
	c->deps = on_b;
	c->n_deps = 1;
	f->confs[0].make = "false";
	build(f);
	assert_failed(a, KP_EXIT_MAKE, false, "make failed with exit code 1; see /");
	assert_int_equal(b->rc, -ENOLINK);
	assert_string_equal(b->err.text, "it needs a, which is not built");
	assert_int_equal(c->rc, -ENOLINK);
	assert_null(c->record);
	assert_built(f, d);
	/* In a circle. */
	a->deps = on_b;
	a->n_deps = 1;
	build(f);
	assert_int_equal(a->rc, -ENOLINK);
	assert_int_equal(b->rc, -ENOLINK);
	assert_built(f, d);
}

/* A failed build leaves what is published alone. */
static void test_keeps_old(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *ko =
		below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");

	build(f);
	assert_built(f, job);
	f->confs[0].make = "false";
	job->key = "2";
	build(f);
	assert_failed(job, KP_EXIT_MAKE, false, "exit code 1");
	assert_int_equal(access(ko, F_OK), 0);
}

static void interrupt_at_make(enum kp_build_event event, const struct kp_build_job *job,
			      const char *stage, void *data)
{
	(void)job;
	(void)data;
	if (event == KP_BUILD_STAGE && kp_str_eq(stage, "make"))
		raise(SIGTERM);
}

static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "hello", 0), *b = add(f, "hello", 1);
	const struct kp_build_opts opts = { .jobs = 1, .progress = interrupt_at_make };
	struct kp_err err = KP_ERR_INIT;

	f->confs[0].make = f->confs[1].make = "sleep 1000";
	assert_int_equal(kp_build_run(&f->ctx, f->jobs, f->n, &opts, &err), -EINTR);
	assert_int_equal(a->rc, -EINTR);
	assert_int_equal(b->rc, -EINTR);
	assert_null(a->record);
	assert_clean(f);
}

static void count_running(enum kp_build_event event, const struct kp_build_job *job,
			  const char *stage, void *data)
{
	int *running = data;

	(void)job;
	(void)stage;
	running[0] += (event == KP_BUILD_STARTED) - (event == KP_BUILD_DONE);
	if (running[0] > running[1])
		running[1] = running[0];
}

/* Who writes more tokens than the pipe holds stops nobody, and no more builds run for it. */
static void test_forges_tokens(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct fixture *f = *state;
	int running[2] = { 0, 0 };
	const struct kp_build_opts opts = { .jobs = 2,
					    .progress = count_running,
					    .data = running };

	f->ctx.config.timeout_minutes = 1;
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		add(f, names[i], 0);
		f->confs[i].make =
			"head -c 70000 /dev/zero >&${MAKEFLAGS##*,} && "
			"make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$PWD";
	}
	assert_int_equal(kp_build_run(&f->ctx, f->jobs, f->n, &opts, NULL), 0);
	for (size_t i = 0; i < f->n; i++)
		assert_built(f, &f->jobs[i]);
	assert_int_equal(running[1], 2);
}

/* Somebody removes a source while it is built, and AGAIN registers it. */
struct remover {
	struct fixture *f;
	char *gate; /* where the recipe waits for that */
	bool again;
};

static void remove_at_make(enum kp_build_event event, const struct kp_build_job *job,
			   const char *stage, void *data)
{
	const struct kp_source *s = job ? job->source : NULL;
	struct remover *r = data;
	int fd;

	if (event != KP_BUILD_STAGE || !kp_str_eq(stage, "make"))
		return;
	/* Until the recipe is there, too. */
	fd = open(r->gate, O_WRONLY | O_CLOEXEC);
	assert_int_equal(kp_source_unregister(&r->f->ctx, s->module, s->version, NULL),
			 0);
	if (r->again)
		assert_int_equal(kp_source_register(&r->f->ctx, s->module, s->version,
						    s->dir, NULL),
				 0);
	close(fd);
}

static void test_removed(void **state)
{
	static const char *const recipes[] = { "true", "false" };
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	struct remover r = { .f = f, .gate = below(f, "src/gate") };
	const struct kp_build_opts opts = { .progress = remove_at_make, .data = &r };
	_cleanup_free_ char *tree = below(f, "dkms/hello"), *logs = below(f, "log/hello");
	_cleanup_free_ char *build = below(f, "dkms/hello/1/build");
	_cleanup_free_ char *kernel = below(f, "dkms/hello/1/6.6.1-kp");

	assert_int_equal(mkfifo(r.gate, 0666), 0);
	assert_int_equal(chmod(r.gate, 0666), 0);
	for (size_t i = 0; i < 2 * KP_ARRAY_SIZE(recipes); i++) {
		_cleanup_free_ char *make =
			kp_strf("cat %s; %s && make -C $kernel_source_dir M=$PWD", r.gate,
				recipes[i / 2]);

		clear_results(f);
		r.again = i % 2;
		assert_int_equal(kp_source_register(&f->ctx, "hello", "1",
						    f->sources[0].dir, NULL),
				 0);
		f->confs[0].make = make;
		assert_int_equal(kp_build_run(&f->ctx, f->jobs, f->n, &opts, NULL), 0);
		assert_int_equal(job->rc, -ESTALE);
		assert_null(job->record);
		assert_int_equal(access(r.again ? kernel : tree, F_OK), -1);
		assert_int_equal(access(build, F_OK), -1);
		assert_int_equal(access(logs, F_OK), -1);
		assert_int_equal(kp_source_unregister(&f->ctx, "hello", "1", NULL), 0);
		assert_clean(f);
	}
	free(r.gate);
}

static int test_system(const struct system *system)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_publish),
		TEST(test_removed_before),
		TEST(test_join),
		TEST(test_users_are_the_machines),
		TEST(test_join_running),
		TEST(test_depends),
		TEST(test_order),
		TEST(test_blocked),
		TEST(test_keeps_old),
		TEST(test_interrupt),
		TEST(test_removed),
		TEST(test_forges_tokens),
		TEST(test_work_dir_was_closed),
	};

	return cmocka_run_group_tests_name(system->name, tests, NULL, NULL);
}

/* In a container of the usual kind, too: in the real tree then. */
int main(void)
{
	const struct system container = { "build without CAP_SYS_ADMIN", no_mounts,
					  NULL },
			    here = { "build", as_it_is, NULL };

	return !passes_on(&here, test_system) |
	       (!geteuid() && !passes_on(&container, test_system));
}
