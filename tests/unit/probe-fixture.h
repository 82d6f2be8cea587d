// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A directory in which the front that was built beside this program stands for gcc, builds of a user of
 * their own that call it, and who has their questions answered. To be included after test.h.
 */
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <kmodpkg/proc.h>

#include "lib/asker.h"
#include "lib/probe.h"
#include "lib/sandbox.h"
#include "lib/sandbox-means.h"
#include "probe-front/question.h"

#define GCC "/usr/bin/gcc"
#define KNOWN "-Wall -fno-common -c -x c /dev/null -o"
#define UNKNOWN "-fsuch-option=4 -c -x c /dev/null -o"
#define FROM_INPUT "-Wa,--fatal-warnings -c -x assembler-with-cpp - -o"

/* Of what stands for a build. */
#define SLOT (KP_SANDBOX_SLOTS - 1)

struct fixture {
	struct kp_ctx ctx;
	char dir[32], *fronts, *scratch, *out, *answers, *room;
	pid_t asker;
};

static inline void put(struct fixture *f, const char *path, const void *bytes, size_t len)
{
	assert_int_equal(kp_write_in(f->ctx.root_fd, path, bytes, len, 0644, NULL), 0);
}

/* Where the front was built; to be freed. */
static char *front_program(void)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
	_cleanup_free_ char *dir = kp_path_dir(self), *up = kp_path_dir(dir),
			    *top = kp_path_dir(up);

	return kp_path_join(top, "probe-front");
}

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_free_ char *link = NULL, *gcc = NULL, *cache = NULL, *program = NULL,
			    *text = NULL, *front = front_program();
	uid_t uid = kp_sandbox_uid(SLOT);
	size_t len;

	strcpy(f->dir, "/var/tmp/kp-probe-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	f->ctx = (struct kp_ctx){
		.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.run_dir = kp_strf("%s/run", f->dir),
		.state_dir = kp_strf("%s/state", f->dir),
	};
	kp_config_init(&f->ctx.config);
	f->room = kp_strf("%s/room", f->dir);
	f->fronts = kp_strf("%s/fronts", f->dir);
	f->scratch = kp_strf("%s/.tmp_42", f->dir);
	f->out = kp_strf("%s/tmp", f->scratch);
	f->answers = kp_strf("%s/probes/gcc", f->ctx.state_dir);
	link = kp_strf("%s/" KP_QUESTION_ANSWERS, f->fronts);
	cache = kp_path_dir(f->answers);
	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, cache, 0755, NULL), 0);
	assert_int_equal(mkdir(f->fronts, 0755), 0);
	assert_int_equal(mkdir(f->scratch, 0755), 0);
	assert_int_equal(chown(f->scratch, uid, uid), 0);
	assert_int_equal(symlink(cache, link), 0);
	/* Where the build's user can get at it. */
	program = kp_strf("%s/front", f->dir);
	assert_int_equal(kp_read_in(f->ctx.root_fd, front, 0, &text, &len), 0);
	assert_int_equal(kp_write_in(f->ctx.root_fd, program, text, len, 0755, NULL), 0);
	gcc = kp_strf("%s/gcc", f->fronts);
	assert_int_equal(symlink(program, gcc), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL);
	close(f->ctx.root_fd);
	free(f->ctx.run_dir);
	free(f->ctx.state_dir);
	free(f->room);
	free(f->fronts);
	free(f->scratch);
	free(f->out);
	free(f->answers);
	free(f);
	return 0;
}

/* ARGS and the output's name behind ARGV0; to be freed. */
static char **command(struct fixture *f, const char *argv0, const char *args)
{
	char **argv = kp_strv_split(args, " "), **all = NULL;

	kp_strv_add(&all, argv0);
	kp_strv_foreach(a, argv)
		kp_strv_add(&all, *a);
	kp_strv_add(&all, f->out);
	kp_strv_free(argv);
	return all;
}

/* What the front makes of a question, with COMPILER in the place of gcc. */
static inline struct kp_buf make_key(struct fixture *f, const char *compiler,
				     const char *args, const char *input)
{
	_cleanup_strv_ char **argv = command(f, compiler, args);
	struct kp_buf key = KP_BUF_INIT;

	free(argv[kp_strv_len(argv) - 1]);
	argv[kp_strv_len(argv) - 1] = kp_strdup("-");
	kp_strv_foreach(a, argv)
		kp_buf_add(&key, *a, strlen(*a) + 1);
	kp_buf_addc(&key, '\0');
	kp_buf_adds(&key, input);
	return key;
}

static inline bool is_known(struct fixture *f, const char *args, const char *input)
{
	_cleanup_buf_ struct kp_buf key = make_key(f, GCC, args, input);
	_cleanup_free_ char *text = NULL;
	struct kp_answer a;
	size_t len, begin;

	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &text, &len), 0);
	begin = kp_answers_begin(text, len, GCC);
	assert_true(begin > 0);
	return kp_answers_find(text + begin, len - begin, key.s, key.len, &a);
}

/* Change what is remembered in a way that no compiler would say it, so that one can tell
 * who answers: exit codes become CODE. */
static inline void forge(struct fixture *f, char code)
{
	_cleanup_free_ char *text = NULL;
	size_t len, begin;

	assert_int_equal(kp_read_in(f->ctx.root_fd, f->answers, 0, &text, &len), 0);
	begin = kp_answers_begin(text, len, GCC);
	assert_true(begin > 0 && begin < len);
	text[begin] = code;
	put(f, f->answers, text, len);
}

/* ---- a build, and who asks for it ---- */

static inline char *line_path(struct fixture *f, const char *name)
{
	return kp_strf("%s/%s", f->fronts, name);
}

static inline void start(struct fixture *f)
{
	f->asker = kp_asker_start(&f->ctx, f->fronts, SLOT, f->room);
	assert_true(f->asker > 0);
}

/* For the next one, too. */
static inline void stop(struct fixture *f)
{
	static const char *const names[] = { KP_QUESTION_ASKED, KP_QUESTION_CALL,
					     KP_QUESTION_TOLD };

	kp_asker_stop(f->asker);
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = line_path(f, names[i]);

		assert_int_equal(unlink(path), 0);
	}
	/* Nothing is left of what it did. */
	assert_int_equal(access(f->room, F_OK), -1);
}

static int become_build(void *data)
{
	const struct rlimit one = { 1, 1 };
	uid_t uid = kp_sandbox_uid(SLOT);
	int rc = kp_means_set_ids(uid, uid);

	/* A compiler that cannot start its parts says no. */
	return rc || *(bool *)data || !setrlimit(RLIMIT_NPROC, &one) ? rc : -errno;
}

static inline int call_as_build(struct fixture *f, const char *args, const char *input,
				const char *variable, bool may_compile)
{
	_cleanup_free_ char *gcc = kp_strf("%s/gcc", f->fronts);
	_cleanup_free_ char *path =
		kp_strf("PATH=%s:" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH, f->fronts);
	_cleanup_strv_ char **argv = command(f, gcc, args);
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	const char *const env[] = { path, "LANG=C", variable, NULL };
	struct kp_proc proc = { .argv = (const char *const *)argv,
				.env = env,
				.out_fd = null,
				.err_fd = null,
				.setup = become_build,
				.setup_data = &may_compile };
	struct kp_proc_end end = { -1, 0 };
	int pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], input, strlen(input)), strlen(input));
	close(pipe_fds[1]);
	proc.in_fd = pipe_fds[0];
	unlink(f->out);
	kp_proc_run(&proc, &end, NULL);
	close(pipe_fds[0]);
	return end.exit_code;
}

/* Call the front. The exit code. */
static inline int call(struct fixture *f, const char *args, const char *input,
		       const char *variable)
{
	return call_as_build(f, args, input, variable, true);
}

/* The same with nobody but the front or who asks to answer. */
static inline int answered(struct fixture *f, const char *args, const char *input)
{
	return call_as_build(f, args, input, NULL, false);
}

/* A build with that one question. */
static inline void learn_one(struct fixture *f, const char *args, const char *input)
{
	start(f);
	(void)answered(f, args, input);
	stop(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Can there be such builds here? Else it is said that NAME is skipped. */
static bool has_builds(const char *name)
{
	if (kp_sandbox_has_own_user())
		return true;
	printf("1..1\nok 1 - %s # SKIP needs root, and users for builds\n", name);
	return false;
}
