// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The filter of system calls. Only for sandbox.c.
 *
 * What it refuses gets an error, never death: programs go on without. It is a list of what no
 * build needs and the kernel offers to everybody: namespaces and mounts, other processes' memory,
 * keys, BPF, io_uring, and the like; sockets that lead anywhere; files that give their
 * user or group to whoever runs them. System calls of another ABI, and those that are newer than
 * this list, are "not implemented".
 */
#pragma once

#include <stdbool.h>

/* Install it for this process and what it starts, after no_new_privs. INTERNET: sockets of
 * the internet's families may be made (there is a network namespace in which they lead nowhere).
 * -ENOSYS: this kernel or architecture has none. */
int kp_filter_install(bool internet);
