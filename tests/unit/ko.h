// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For tests of what is done with built modules: real relocatable objects with what
 * modpost puts into them, and a context on the real root with directories of its own.
 */
#pragma once

#include <kmodpkg/proc.h>

#include "lib/artifact.h"
#include "test.h"

#define TEST_RELEASE "6.1.0-9-test"

struct art {
	struct test_root root;
	struct kp_ctx ctx;
	struct kp_kernel kernel;
	struct kp_kernel_build kb;
	struct kp_sandbox sb;
	char *ko; /* absolute path of a module that test_compile() made */
};

static inline char *art_path(struct art *a, const char *name)
{
	return kp_path_join(a->root.path, name);
}

static inline void test_compile(struct art *a, const char *name, const char *code)
{
	_cleanup_free_ char *source = kp_strf("%s.c", name);
	_cleanup_free_ char *from = art_path(a, source), *to = art_path(a, name);
	const char *argv[] = { "/usr/bin/cc", "-g", "-O1", "-fno-pic", "-w",
			       "-c",	      "-o", to,	   from,       NULL };
	struct kp_proc proc = { .argv = argv };
	struct kp_err err = KP_ERR_INIT;

	test_put(&a->root, source, code);
	if (kp_proc_run(&proc, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(chmod(to, 0644), 0);
}

#define TEST_INFO(tag, value)                                                            \
	"static const char info_" tag "[] __attribute__((used, section(\".modinfo\"), "  \
	"aligned(1))) = \"" tag "=" value "\";\n"
#define TEST_MODULE(name, release)                                                       \
	TEST_INFO("name", name)                                                          \
	TEST_INFO("vermagic", release " SMP preempt mod_unload modversions ")

static inline int art_setup(void **state)
{
	struct art *a = kp_calloc(1, sizeof(*a));

	a->root = test_root_new();
	assert_int_equal(chmod(a->root.path, 0755), 0);
	a->ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	a->ctx.dkms_tree = art_path(a, "dkms");
	a->ctx.run_dir = art_path(a, "run");
	a->ctx.distro_like = kp_strdup("debian");
	a->ctx.distro = kp_strdup("debian");
	a->kernel.release = kp_strdup(TEST_RELEASE);
	a->kernel.headers = art_path(a, "headers");
	a->sb = (struct kp_sandbox){ .slot = 1, .timeout_s = 60 };
	a->ko = art_path(a, "hello.ko");
	test_compile(a, "hello.ko",
		     TEST_MODULE("hello", TEST_RELEASE) "extern int printk_it(void);\n"
							"int init_module(void)\n"
							"{\n"
							"	return printk_it();\n"
							"}\n");
	*state = a;
	return 0;
}

static inline int art_teardown(void **state)
{
	struct art *a = *state;

	close(a->ctx.root_fd);
	free(a->ctx.dkms_tree);
	free(a->ctx.run_dir);
	free(a->ctx.distro);
	free(a->ctx.distro_like);
	free(a->kernel.release);
	free(a->kernel.headers);
	free(a->ko);
	test_root_free(&a->root);
	free(a);
	return 0;
}

/* The bytes of a file, to be freed. */
static inline char *test_bytes(const char *path, size_t *ret_len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *bytes = NULL;

	assert_true(fd >= 0);
	assert_int_equal(kp_read_fd(fd, 0, &bytes, ret_len), 0);
	return bytes;
}
