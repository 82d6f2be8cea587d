// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finding the programs of the system that we start, and files that they turn into others.
 */
#pragma once

#include <kmodpkg/err.h>

#include "lib/ctx.h"
#include "lib/sandbox.h"

/* Is PATH a program: an executable regular file below ctx->root_fd? */
bool kp_tool_is(const struct kp_ctx *ctx, const char *path);
/* Absolute path of a program in the system's own directories (/usr/sbin, /usr/bin, /sbin,
 * /bin), never from $PATH: executable regular file below ctx->root_fd; to be freed. NULL: not
 * there. */
char *kp_tool_find(const struct kp_ctx *ctx, const char *name);
/* The same, or -ENOPKG with a text that names the Debian/Fedora PACKAGE to install. */
int kp_tool_need(const struct kp_ctx *ctx, const char *name, const char *package,
		 char **ret, struct kp_err *err);

/* Where our own programs are is found out now, if it was not yet: before this process enters another root. */
void kp_tool_open_own(struct kp_ctx *ctx);
/* A descriptor of our own program NAME, in KP_LIBEXEC_DIR or where KMODPKG_LIBEXEC_DIR of the environment says,
 * to be started as "/proc/self/fd/N". -ENOPKG: it is not there. */
int kp_tool_own(struct kp_ctx *ctx, const char *name, struct kp_err *err);
/* The environment that such a program gets in the sandbox; ends with NULL. */
extern const char *const kp_tool_own_env[];

/* Run our own program NAME in the sandbox, by a user that nobody else is, with the argument PROTOCOL, IN_FD as standard input and OUT_FD
 * as standard output. Errors and *ret_end as kp_sandbox_run(); -ECHILD without a signal: *ret_said is the first line of what
 * it said on standard error, printable, to be freed. */
int kp_tool_run_own(struct kp_ctx *ctx, const char *name, const char *protocol, int in_fd,
		    int out_fd, int timeout_s, struct kp_proc_end *ret_end,
		    char **ret_said, struct kp_err *err);

/* Run ARGV in the sandbox with FROM as standard input and a new file as standard output,
 * which then replaces TO (mode 0644, ours). Nothing is left on failure. Errors of the
 * program to LOG_FD. */
int kp_tool_filter(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		   const char *const *argv, const char *from, const char *to, int log_fd,
		   struct kp_err *err);
