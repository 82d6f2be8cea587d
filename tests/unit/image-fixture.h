// SPDX-License-Identifier: GPL-2.0-or-later
/* Images made of bytes, and by the tools that make real ones. */
#pragma once

#include <sys/mman.h>

#include <kmodpkg/proc.h>

#include "inside/image.h"
#include "test.h"

#define MODULES "lib/modules/6.1/kernel/"

/* A member of a cpio archive, as its header says; NAME_SIZE with what is behind the name. */
static KP_UNUSED void add_raw(struct kp_buf *b, const char *magic, unsigned int mode,
			      const char *name, unsigned int name_size,
			      const char *content, unsigned int size)
{
	kp_buf_addf(b, "%s00000001%08X0000000000000000000000015E0BE100%08x", magic, mode,
		    size);
	kp_buf_addf(b, "00000000000000000000000000000000%08x00000000", name_size);
	kp_buf_add(b, name, strlen(name) + 1);
	while (b->len & 3)
		kp_buf_addc(b, 0);
	kp_buf_add(b, content, strlen(content));
	while (b->len & 3)
		kp_buf_addc(b, 0);
}

static KP_UNUSED void add(struct kp_buf *b, unsigned int mode, const char *name,
			  const char *content)
{
	add_raw(b, "070701", mode, name, (unsigned int)strlen(name) + 1, content,
		(unsigned int)strlen(content));
}

static KP_UNUSED void add_end(struct kp_buf *b)
{
	add(b, 0, "TRAILER!!!", "");
}

/* What a program of ours in the sandbox makes of LEN bytes, its names joined, to be freed; NULL: an error. */
static KP_UNUSED char *read_bytes(const void *p, size_t len, struct kp_err *err)
{
	_cleanup_(kp_members_clear) struct kp_members m = { 0 };
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	int r;

	assert_int_equal(kp_write_all(fd, p, len), 0);
	r = kp_image_read(fd, &m, err);
	if (r < 0)
		return NULL;
	assert_int_equal(r, 0);
	for (size_t i = 0; i < m.n; i++)
		kp_buf_addf(&b, "%s%s", i ? " " : "", m.modules[i]);
	return kp_buf_steal(&b);
}

/* With bash, in the root. */
static KP_UNUSED void sh(struct test_root *root, const char *script)
{
	const char *const argv[] = {
		"/bin/bash", "-euo", "pipefail", "-c", script, NULL
	};
	const struct kp_proc proc = { .argv = argv, .cwd = root->path };
	struct kp_err err = KP_ERR_INIT;

	if (kp_proc_run(&proc, NULL, &err) < 0)
		fail_msg("%s: %s", script, err.text);
}
