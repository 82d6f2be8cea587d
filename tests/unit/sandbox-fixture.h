// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A directory on the real system, and commands that run in the sandbox with it. To be included after
 * cmocka.h.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/sandbox.h"

/* Not one that a build on this machine has meanwhile, nor another run of these tests: the kernel
 * counts processes by user. */
#define SLOT test_slot()
static unsigned int test_slot(void)
{
	static unsigned int slot;
	unsigned char random;

	if (!slot)
		slot = getrandom(&random, 1, 0) == 1 ? 256U + random % 254U : 256U;
	return slot;
}

struct fixture {
	struct kp_ctx ctx;
	char dir[32]; /* on the real system */
	char *out, *tree;
	struct kp_sandbox_bind binds[2];
	struct kp_sandbox sb;
	char *output; /* of the last run */
};

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));

	strcpy(f->dir, "/var/tmp/kp-sandbox-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	kp_config_init(&f->ctx.config);
	f->ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->out = kp_path_join(f->dir, "out");
	f->tree = kp_path_join(f->dir, "tree");
	assert_int_equal(mkdir(f->out, 0700), 0);
	assert_int_equal(mkdir(f->tree, 0755), 0);
	if (!geteuid())
		assert_int_equal(
			chown(f->out, kp_sandbox_uid(SLOT), kp_sandbox_uid(SLOT)), 0);
	f->binds[0] = (struct kp_sandbox_bind){ f->out, f->out, true };
	f->sb = (struct kp_sandbox){
		.slot = SLOT, .binds = f->binds, .n_binds = 1, .timeout_s = 60
	};
	if (kp_sandbox_has_mounts()) {
		f->binds[0].at = kp_strf("%s/build", f->tree);
		f->sb.scratch = f->tree;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL);
	if (f->binds[0].at != f->out)
		free((char *)f->binds[0].at);
	free(f->output);
	free(f->out);
	free(f->tree);
	close(f->ctx.root_fd);
	free(f);
	return 0;
}

static int run_end(struct fixture *f, const char *script, struct kp_proc_end *end,
		   struct kp_err *err)
{
	const char *const argv[] = { "/bin/bash", "-c", script, NULL };
	_cleanup_free_ char *log = kp_path_join(f->dir, "log");
	_cleanup_close_ int fd =
		open(log, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	const struct kp_proc proc = {
		.argv = argv, .cwd = f->binds[0].at, .out_fd = fd, .err_fd = fd
	};
	int rc;

	if (!f->sb.max_output)
		f->sb.max_output = 1 << 20;
	rc = kp_sandbox_run(&f->ctx, &f->sb, &proc, end, err);
	free(f->output);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(kp_read_fd(fd, 0, &f->output, NULL), 0);
	return rc;
}

/* The exit code of a shell command inside. */
KP_UNUSED static int run(struct fixture *f, const char *script)
{
	struct kp_proc_end end = { -2, 0 };
	struct kp_err err = KP_ERR_INIT;
	int rc = run_end(f, script, &end, &err);

	if (rc && rc != -ECHILD)
		fail_msg("%s", err.text);
	return end.signal ? -end.signal : end.exit_code;
}

/* This program itself, with arguments, inside. */
KP_UNUSED static int run_self(struct fixture *f, const char *a, const char *b,
			      const char *c, struct kp_proc_end *end, struct kp_err *err)
{
	const char *const argv[] = { "/proc/self/exe", a, b, c, NULL };
	const struct kp_proc proc = { .argv = argv };

	return kp_sandbox_run(&f->ctx, &f->sb, &proc, end, err);
}

/* Do those inside run as somebody else? */
KP_UNUSED static bool own_uid(void)
{
	return kp_sandbox_uid(SLOT) != geteuid();
}
