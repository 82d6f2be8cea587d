// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What this system lets a sandbox do. Only for sandbox.c.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct kp_means {
	int flags;   /* namespaces: CLONE_NEW* of clone(2) */
	int parts;   /* of the view, enum kp_view_part */
	bool uid;    /* can give files to a slot's uid, and change to it */
	bool filter; /* of system calls */
	bool landlock;
	char *missing; /* kp_sandbox_missing() */
	int error;     /* -errno: it could not be found out, nothing else counts */
};

/* Found out once, by trying in a child; where that fails, anew at the next call. */
const struct kp_means *kp_means(void);
/* Become UID in effect and REAL by the real and the saved id, mostly the same; with the groups
 * of these numbers and no others. Only REAL's processes may signal us then. -errno. */
int kp_means_set_ids(uid_t real, uid_t uid);
/* A user that no slot has. */
uid_t kp_means_guard(void);
