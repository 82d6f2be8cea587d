// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The jobserver and the make front, with the real make. This program is also the front:
 * called as "make" it runs the front's main().
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/jobserver.h"

#define main front_main
int front_main(int argc, char **argv);
#include "make-front/make.c"
#undef main

struct fixture {
	int root;
	char dir[32];
	char *events, *front; /* fifo; directory with "make" in it */
	int events_fd, go_fd;
	char *env_path, *env_jobs;
};

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_free_ char *go = NULL, *make = NULL;

	strcpy(f->dir, "/tmp/kp-jobs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->events = kp_path_join(f->dir, "events");
	go = kp_path_join(f->dir, "go");
	assert_int_equal(mkfifo(f->events, 0600), 0);
	assert_int_equal(mkfifo(go, 0600), 0);
	f->events_fd = open(f->events, O_RDWR | O_CLOEXEC);
	f->go_fd = open(go, O_RDWR | O_CLOEXEC);
	f->front = kp_path_join(f->dir, "front");
	assert_int_equal(mkdir(f->front, 0700), 0);
	make = kp_path_join(f->front, "make");
	_cleanup_free_ char *self = NULL;
	assert_int_equal(kp_readlink_in(f->root, "/proc/self/exe", &self), 0);
	assert_int_equal(symlink(self, make), 0);
	f->env_path = kp_strf("PATH=%s:/usr/bin:/bin", f->front);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->root, f->dir, NULL);
	close(f->events_fd);
	close(f->go_fd);
	close(f->root);
	free(f->events);
	free(f->front);
	free(f->env_path);
	free(f->env_jobs);
	free(f);
	return 0;
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
	_cleanup_free_ char *path = kp_path_join(f->dir, name);

	assert_int_equal(kp_write_in(f->root, path, text, strlen(text), 0700, NULL), 0);
}

/* Start "sh -c COMMAND" with the jobserver. */
static pid_t start(struct fixture *f, struct kp_jobserver *js, const char *command)
{
	const char *const argv[] = { "/bin/sh", "-c", command, NULL };
	const int keep[] = { js->read_fd, js->write_fd };
	const char *env[] = { f->env_path, NULL, NULL };
	struct kp_proc proc = {
		.argv = argv, .env = env, .cwd = f->dir, .keep_fds = keep, .n_keep_fds = 2
	};
	struct kp_err err = KP_ERR_INIT;
	pid_t pid;

	free(f->env_jobs);
	env[1] = f->env_jobs = kp_jobserver_env(js);
	if (kp_proc_spawn(&proc, &pid, &err))
		fail_msg("%s", err.text);
	return pid;
}

static int end_of(pid_t pid)
{
	struct kp_proc_end end;

	assert_int_equal(kp_proc_wait(pid, &end, NULL), 0);
	return end.exit_code;
}

static int tokens(struct kp_jobserver *js)
{
	int n;

	assert_int_equal(ioctl(js->read_fd, FIONREAD, &n), 0);
	return n;
}

/*
 * Each target says "s", waits for a byte, says "e"; each make, at its end, "m", which
 * gives its token back. Let one target go whenever MAX run; more must never run.
 */
static void watch(struct fixture *f, struct kp_jobserver *js, int makes, int total,
		  int max)
{
	int running = 0, seen = 0, done = 0, most = 0, released = 0;

	while (done < total || makes > 0) {
		struct pollfd pfd = { .fd = f->events_fd, .events = POLLIN };
		char c;

		assert_int_equal(poll(&pfd, 1, 60000), 1);
		assert_int_equal(read(f->events_fd, &c, 1), 1);
		if (c == 's') {
			running++;
			seen++;
		} else if (c == 'e') {
			running--;
			done++;
		} else if (c == 'm') {
			makes--;
			kp_jobserver_give(js);
		}
		assert_true(running <= max);
		most = running > most ? running : most;
		if (seen - released == max || (seen == total && released < total)) {
			assert_int_equal(write(f->go_fd, "g", 1), 1);
			released++;
		}
	}
	assert_int_equal(most, max);
}

static const char *const makefile =
	"all: $(patsubst %,x%,1 2 3 4 5 6 7 8)\n"
	"x%:; @printf s >events; dd bs=1 count=1 <go >/dev/null 2>&1; printf e >events\n"
	"sub:; @$(MAKE) -j8 all\n";

static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct kp_jobserver js;
	pid_t a, b;

	write_file(f, "Makefile", makefile);
	assert_int_equal(kp_jobserver_open(&js, "/tmp", 3, NULL), 0);
	assert_int_equal(kp_jobserver_take(&js), 1);
	assert_int_equal(kp_jobserver_take(&js), 1);
	a = start(f, &js, "make -s all; printf m >events");
	b = start(f, &js, "make -s all; printf m >events");
	watch(f, &js, 2, 16, 3);
	assert_int_equal(end_of(a), 0);
	assert_int_equal(end_of(b), 0);
	assert_int_equal(tokens(&js), 3);
	kp_jobserver_close(&js);
}

static void test_explicit(void **state)
{
	struct fixture *f = *state;
	struct kp_jobserver js;
	pid_t a, b;

	write_file(f, "Makefile", makefile);
	assert_int_equal(kp_jobserver_open(&js, "/tmp", 3, NULL), 0);
	assert_int_equal(kp_jobserver_take(&js), 1);
	assert_int_equal(kp_jobserver_take(&js), 1);
	a = start(f, &js, "make -sj8 all 2>>errors; printf m >events");
	b = start(
		f, &js,
		"MAKEFLAGS=\"$MAKEFLAGS -j8\" make -s --jobs 7 sub 2>>errors; printf m >events");
	watch(f, &js, 2, 16, 3);
	assert_int_equal(end_of(a), 0);
	assert_int_equal(end_of(b), 0);
	assert_int_equal(tokens(&js), 3);
	/* make warns when it leaves or loses the jobserver. */
	_cleanup_free_ char *errors = kp_path_join(f->dir, "errors"), *text = NULL;
	assert_int_equal(kp_read_in(f->root, errors, 0, &text, NULL), 0);
	assert_string_equal(text, "");
	kp_jobserver_close(&js);
}

static void test_tokens(void **state)
{
	struct kp_jobserver js;
	_cleanup_free_ char *env = NULL, *expect = NULL;

	(void)state;
	assert_int_equal(kp_jobserver_open(&js, "/tmp", 2, NULL), 0);
	expect =
		kp_strf("MAKEFLAGS= -j2 --jobserver-auth=%d,%d", js.read_fd, js.write_fd);
	env = kp_jobserver_env(&js);
	assert_string_equal(env, expect);
	assert_true(js.read_fd > 9 && js.write_fd > 9);
	assert_int_equal(kp_jobserver_take(&js), 1);
	assert_int_equal(kp_jobserver_take(&js), 1);
	assert_int_equal(kp_jobserver_take(&js), 0);
	kp_jobserver_give(&js);
	assert_int_equal(tokens(&js), 1);
	/* One is ours, none is missing. */
	assert_int_equal(kp_jobserver_restore(&js, 1), 0);
	/* Two lost, then three too many. */
	assert_int_equal(kp_jobserver_take(&js), 1);
	assert_int_equal(kp_jobserver_restore(&js, 0), 2);
	assert_int_equal(tokens(&js), 2);
	assert_int_equal(write(js.write_fd, "xxx", 3), 3);
	assert_int_equal(kp_jobserver_restore(&js, 0), -3);
	assert_int_equal(tokens(&js), 2);
	/* A full pipe does not block us. */
	assert_int_equal(fcntl(js.poll_fd, F_SETPIPE_SZ, 4096), 4096);
	for (int i = 0; i < 8192; i++)
		kp_jobserver_give(&js);
	assert_true(tokens(&js) > 2000);
	kp_jobserver_restore(&js, 0);
	assert_int_equal(tokens(&js), 2);
	kp_jobserver_close(&js);
	kp_jobserver_close(&js);
}

/* What the front makes of arguments: a make that prints them. */
static void test_filter(void **state)
{
	struct fixture *f = *state;
	static const char *const cases[][2] = {
		{ "-j4 a", "a" },
		{ "-j 4 a", "a" },
		{ "-j a", "a" },
		{ "-kj4 a", "-k a" },
		{ "-skj 4 a", "-sk a" },
		{ "--jobs a", "a" },
		{ "--jobs 4 a", "a" },
		{ "--jobs=4 a", "a" },
		{ "a -j4 -j5 b", "a b" },
		/* Arguments of others. */
		{ "-f -j4 a", "-f -j4 a" },
		{ "-kC -j4 a", "-kC -j4 a" },
		{ "-Cj4 a", "-Cj4 a" },
		{ "--file -j3 a", "--file -j3 a" },
		{ "--file=x -j3 a", "--file=x a" },
		{ "-Oline -j3 a", "-Oline a" },
		{ "-l 2 -j3 a", "-l 2 a" },
		{ "-- -j4 a", "-- -j4 a" },
		{ "-", "-" },
		/* For make to refuse. */
		{ "-j4k a", "-j4k a" },
		{ "-j 0 a", "-j 0 a" },
		{ "-j0 a", "-j0 a" },
		{ "--jobs 0 a", "--jobs 0 a" },
		{ "--jobs=x a", "--jobs=x a" },
	};
	_cleanup_free_ char *real = kp_path_join(f->dir, "real");
	_cleanup_free_ char *path = kp_strf("PATH=%s:%s:/nonexistent", f->front, real);
	_cleanup_free_ char *make = kp_path_join(f->front, "make");

	assert_int_equal(mkdir(real, 0700), 0);
	write_file(f, "real/make", "#!/bin/sh\necho \"$*|$MAKEFLAGS\"\n");
	for (size_t i = 0; i < 2 * KP_ARRAY_SIZE(cases); i++) {
		bool server = i < KP_ARRAY_SIZE(cases);
		const char *const *c = cases[i % KP_ARRAY_SIZE(cases)];
		const char *env[] = {
			path,
			server ? "MAKEFLAGS= -j2 --jobserver-auth=100,101 -j9 "
				 "-k --jobs=3 -- A=-j8 -j9"
			       : "MAKEFLAGS= -j2 -j9",
			NULL
		};
		_cleanup_strv_ char **argv = NULL, **words = kp_strv_split(c[0], " ");
		_cleanup_free_ char *out = NULL, *expect = NULL;
		struct kp_err err = KP_ERR_INIT;

		kp_strv_add(&argv, make);
		kp_strv_foreach(w, words)
			kp_strv_add(&argv, *w);
		struct kp_proc proc = { .argv = (const char *const *)argv, .env = env };
		if (kp_proc_capture(&proc, 4096, &out, NULL, &err))
			fail_msg("%s", err.text);
		expect =
			server ? kp_strf("%s| -j2 --jobserver-auth=100,101 -k -- A=-j8 -j9\n",
					 c[1])
			       : kp_strf("%s| -j2 -j9\n", c[0]);
		assert_string_equal(out, expect);
	}
}

/* No other make: an error, not a loop. */
static void test_no_make(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = kp_strf("PATH=%s:%s", f->front, f->front);
	_cleanup_free_ char *make = kp_path_join(f->front, "make");
	const char *const argv[] = { make, NULL };
	const char *const env[] = { path, NULL };
	const struct kp_proc proc = { .argv = argv, .env = env, .err_fd = f->events_fd };
	struct kp_proc_end end;

	assert_int_equal(kp_proc_run(&proc, &end, NULL), -ECHILD);
	assert_int_equal(end.exit_code, 127);
}

/* Where there are no descriptors to be had, that is an error, and no wait. */
static void test_no_descriptors(void **state)
{
	struct rlimit files, few;
	struct kp_jobserver js;
	int r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	few = (struct rlimit){ 32, files.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = kp_jobserver_open(&js, "/tmp", 2, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_int_equal(r, -EMFILE);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_limit),  TEST(test_explicit), TEST(test_tokens),
		TEST(test_filter), TEST(test_no_make),	TEST(test_no_descriptors),
	};

	if (kp_str_eq(name ? name + 1 : argv[0], "make"))
		return front_main(argc, argv);
	return cmocka_run_group_tests_name("jobserver", tests, NULL, NULL);
}
