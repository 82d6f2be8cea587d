// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * GNU make's jobserver (pipe form), shared by all builds of this process.
 *
 * The pool has N tokens. A build that starts takes one (its make's implicit job); what its
 * makes take beyond that they take from the pipe. So N jobs run, whatever recipes say: an
 * explicit -j is dropped by the `make` front (libexec/make).
 * Protocol: GNU make manual, "POSIX Jobserver Interaction".
 */
#pragma once

#include <kmodpkg/err.h>

struct kp_jobserver {
	int read_fd, write_fd; /* what makes inherit; never made non-blocking */
	int poll_fd; /* our own non-blocking description of the pipe, both ends */
	int n;
};

/* DIR is there, and nobody else may write to it: for a pipe that has a name for a moment. */
int kp_jobserver_open(struct kp_jobserver *js, const char *dir, int n,
		      struct kp_err *err);
void kp_jobserver_close(struct kp_jobserver *js);
/* Take one token without waiting: 1 got it, 0 none free, or -errno. poll(poll_fd) tells when. */
int kp_jobserver_take(struct kp_jobserver *js);
void kp_jobserver_give(struct kp_jobserver *js);
/* Take out what somebody inside a build has added: with HELD of N by us there cannot be more than the
 * others. A pipe that is full would block each make that gives one back. */
void kp_jobserver_trim(struct kp_jobserver *js, int held);
/* When nobody else can hold a token: put back those that a killed make kept, take out what
 * somebody added; HELD are ours. Returns how many were missing (negative: too many). */
int kp_jobserver_restore(struct kp_jobserver *js, int held);
/* "MAKEFLAGS= -jN --jobserver-auth=R,W", to be freed. */
char *kp_jobserver_env(const struct kp_jobserver *js);
