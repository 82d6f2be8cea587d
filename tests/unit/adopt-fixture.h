// SPDX-License-Identifier: GPL-2.0-or-later
/* What DKMS does, and its adoption. Each program includes this once. */
#pragma once

#include <kmodpkg/proc.h>

#include "lib/adopt.h"
#include "lib/install.h"
#include "system.h"

/* Where DKMS puts hello.ko for K1. */
#define SIBLING "/lib/modules/" K1 "/updates/dkms/hello.ko"

static char *tree_file(struct test_system *s, const char *module, const char *version,
		       const char *kernel, const char *name)
{
	_cleanup_free_ char *dir = kp_record_dir(s->ctx, module, version, kernel);

	return kp_strf("%s/module/%s", dir, name);
}

static void copy_file(struct test_system *s, const char *from, const char *to)
{
	_cleanup_free_ char *bytes = NULL;
	size_t len;

	assert_int_equal(kp_read_in(s->root.fd, from, 0, &bytes, &len), 0);
	test_put(&s->root, to, "");
	TEST_TRY(kp_write_in(s->root.fd, to, bytes, len, 0644, err));
}

/* What `dkms build` makes; RELEASE is what the module says it was built for. */
static void dkms_build(struct test_system *s, const char *module, const char *version,
		       const char *kernel, const char *release)
{
	_cleanup_free_ char *from =
		kp_strf("/usr/src/%s-%s/%s.c", module, version, module);
	_cleanup_free_ char *name = kp_strf("%s.ko", module);
	_cleanup_free_ char *to = tree_file(s, module, version, kernel, name);
	_cleanup_free_ char *define = kp_strf("-DRELEASE=\"%s\"", release);
	_cleanup_free_ char *dir = kp_record_dir(s->ctx, module, version, kernel);
	_cleanup_free_ char *log = kp_path_join(dir, "log/make.log");
	const char *argv[] = { "/usr/bin/cc", "-c", define, "-o", to, from, NULL };
	struct kp_proc proc = { .argv = argv };

	test_put(&s->root, to, "");
	test_put(&s->root, log, "DKMS make.log\n");
	TEST_TRY(kp_proc_run(&proc, NULL, err));
}

/* And what `dkms install` does. */
static void dkms_install(struct test_system *s, const char *module, const char *version,
			 const char *kernel)
{
	_cleanup_free_ char *name = kp_strf("%s.ko", module);
	_cleanup_free_ char *from = tree_file(s, module, version, kernel, name);
	_cleanup_free_ char *to =
		kp_strf("/lib/modules/%s/updates/dkms/%s.ko", kernel, module);

	copy_file(s, from, to);
	TEST_TRY(kp_view_set(s->ctx, module, kernel, version, err));
}

static void dkms_all(struct test_system *s, const char *module, const char *version,
		     const char *kernel)
{
	dkms_build(s, module, version, kernel, kernel);
	dkms_install(s, module, version, kernel);
}

/* As `kmodpkg adopt` and the sync after it. */
static void adopt(struct test_system *s)
{
	_cleanup_(kp_adopt_clear) struct kp_adopt a = { 0 };

	TEST_TRY(kp_adopt_find(s->ctx, &a, err));
	TEST_TRY(kp_adopt_apply(s->ctx, &a, err));
	test_sync(s);
}
