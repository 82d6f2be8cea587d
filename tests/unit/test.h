// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What unit tests share: cmocka with its includes, a temporary root, captured messages. What
 * goes wrong in here fails the test.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <kmodpkg/err.h>
#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

/* A directory of its own for each test; `path` is absolute, `fd` open on it. */
struct test_root {
	char *path;
	int fd;
};

struct test_root test_root_new(void);
void test_root_free(struct test_root *r);
#define _cleanup_root_ _cleanup_(test_root_free)

/* A file below ROOT with its directories. */
void test_put(struct test_root *root, const char *path, const char *text);
/* The text of a file below ROOT, to be freed. */
char *test_get(struct test_root *root, const char *path);

/* Until what was changed by now is old enough to be remembered by its times (base/looks.h). Status change times
 * cannot be set, so this waits for the clock. */
void test_let_age(void);
/* Wait until the clock of ticks, which may come late, has passed what files may have by now. */
void test_let_tick(void);

/* Collects log lines: kp_log_set_sink(test_sink, &buf). */
void test_sink(enum kp_log_level level, const char *line, void *data);

/* Make a system call fail with CODE for this process and its children, as old kernels and
 * container filters do. Cannot be taken back: for forked children. 0 or -errno. */
int test_forbid_syscall(long nr, int code);
