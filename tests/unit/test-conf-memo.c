// SPDX-License-Identifier: GPL-2.0-or-later
/* What bash made of a conf is remembered as long as nothing that it looked at has changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf.h"

#define PAIR "/state/confs/hello/1/6.1-x86_64.json"

struct fixture {
	struct kp_ctx *ctx;
	char dir[32];
	struct kp_conf_env env;
	char *source, *named, *basis;
};

static void put(struct fixture *f, const char *name, const char *text)
{
	_cleanup_free_ char *path = kp_strf("%s/%s", f->dir, name);

	assert_int_equal(
		kp_write_in(f->ctx->root_fd, path, text, strlen(text), 0644, NULL), 0);
}

/* Status change times cannot be set, and what is fresh is not remembered: wait until the clock has
 * moved on from them. */
static void let_age(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 4;
	until.tv_nsec = 0;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_free_ char *text = NULL;

	strcpy(f->dir, "/var/tmp/kp-memo-XXXXXX");
	if (!mkdtemp(f->dir) || chmod(f->dir, 0755) || kp_ctx_open(NULL, &f->ctx, NULL))
		return -1;
	free(f->ctx->state_dir);
	f->ctx->state_dir = kp_strf("%s/state", f->dir);
	free(f->ctx->install_tree);
	f->ctx->install_tree = kp_strf("%s/modules", f->dir);
	free(f->ctx->arch);
	f->ctx->arch = kp_strdup("x86_64");
	f->source = kp_strf("%s/src", f->dir);
	f->named = kp_strf("%s/named", f->dir);
	assert_int_equal(mkdir(f->source, 0755), 0);
	text = kp_strf("%s/modules/6.1/kernel", f->dir);
	assert_int_equal(kp_mkdir_in(f->ctx->root_fd, text, 0755, NULL), 0);
	free(kp_steal(&text));
	/* What it reads by a name that is made up is a way to see whether it is evaluated. */
	text = kp_strf("PACKAGE_NAME=hello\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=hello\n"
		       "DEST_MODULE_LOCATION=/extra\nx=al\n"
		       "[ -e %s ] && PATCH[0]=named.diff\n"
		       "MAKE=\"make $(cat %s/v${x}ue) K=\\$kernelver\"\n",
		       f->named, f->dir);
	put(f, "value", "one");
	put(f, "src/dkms.conf", text);
	f->env = (struct kp_conf_env){ .module = "hello",
				       .version = "1",
				       .kernelver = "6.1",
				       .source_dir = f->source,
				       .basis = "a" };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx->root_fd, f->dir, NULL);
	kp_ctx_close(f->ctx);
	free(f->source);
	free(f->named);
	free(f);
	return 0;
}

static void assert_make(struct fixture *f, const char *expect, const char *patch)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (kp_conf_load(f->ctx, &f->env, &conf, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(conf->evaluator, "shell");
	assert_string_equal(conf->make, expect);
	if (patch)
		assert_string_equal(conf->patches[0], patch);
	else
		assert_null(conf->patches);
}

static void test_remembered(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *memo = kp_strf("%s%s", f->dir, PAIR);
	struct stat st;

	/* What may change again without a new time is not. */
	assert_make(f, "make one K=6.1", NULL);
	assert_int_equal(access(memo, F_OK), -1);
	let_age();
	assert_make(f, "make one K=6.1", NULL);
	assert_int_equal(access(memo, F_OK), 0);
	put(f, "value", "two");
	assert_make(f, "make one K=6.1", NULL);
	/* Who asks for no memory gets none, and leaves it alone. */
	f->env.basis = NULL;
	assert_make(f, "make two K=6.1", NULL);
	f->env.basis = "a";
	assert_make(f, "make one K=6.1", NULL);
	/* The source or the headers. */
	f->env.basis = "b";
	assert_make(f, "make two K=6.1", NULL);
	put(f, "value", "three");
	assert_make(f, "make two K=6.1", NULL);
	/* Another kernel is another one. */
	f->env.kernelver = "6.2";
	assert_make(f, "make three K=6.2", NULL);
	f->env.kernelver = "6.1";
	/* Damaged: made again. */
	put(f, PAIR, "{");
	assert_make(f, "make three K=6.1", NULL);
	put(f, "value", "four");
	assert_make(f, "make three K=6.1", NULL);
	put(f, PAIR,
	    "{\"schema\": 1, \"key\": \"x\", \"paths\": {}, \"directives\": {}}");
	assert_make(f, "make four K=6.1", NULL);
	/* A file that it names appears. */
	put(f, "value", "five");
	put(f, "named", "");
	assert_make(f, "make five K=6.1", "named.diff");
	kp_conf_forget(f->ctx, "hello", "1");
	assert_int_equal(stat(memo, &st), -1);
}

/* Nobody special: what root remembered is used; it needs no process, so no sandbox. */
static void test_unprivileged(void **state)
{
	struct fixture *f = *state;
	struct kp_conf *conf = NULL;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	let_age();
	assert_make(f, "make one K=6.1", NULL);
	put(f, "value", "two");
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
		    setrlimit(RLIMIT_NPROC, &none))
			_exit(2);
		if (fork() >= 0)
			_exit(3);
		_exit(kp_conf_load(f->ctx, &f->env, &conf, NULL) < 0 ||
		      strcmp(conf->make, "make one K=6.1") != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unprivileged, setup, teardown),
	};

	return cmocka_run_group_tests_name("conf-memo", tests, NULL, NULL);
}
