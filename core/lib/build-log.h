// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The log of one build: a file that is replaced when the pair is built again.
 *
 * A header, then a block per step, as DKMS has it: description, "# command: ...", output,
 * "# exit code: N", "# elapsed time: HH:MM:SS", a rule of 64 dashes. What programs write
 * comes in between through the sandbox's relay. Write errors are not errors: a full disk ends the
 * build by itself.
 */
#pragma once

#include "lib/ctx.h"

struct kp_build_log {
	char *path; /* absolute */
	int fd;	    /* append */
	int64_t step_since;
};

#define KP_BUILD_LOG_MAX (256ULL << 20) /* bytes of one step's output */

int kp_build_log_open(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, struct kp_build_log *ret, struct kp_err *err);
void kp_build_log_close(struct kp_build_log *log);
/* One line. */
void kp_build_log_line(struct kp_build_log *log, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* COMMAND NULL: something that we do ourselves. */
void kp_build_log_begin(struct kp_build_log *log, const char *what, const char *command);
void kp_build_log_end(struct kp_build_log *log, int exit_code);
/* The last bytes of the log (at most MAX), NUL-terminated, to be freed. */
char *kp_build_log_last(struct kp_build_log *log, size_t max);
