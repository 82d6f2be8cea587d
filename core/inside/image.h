// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which modules an initramfs image holds: cpio archives and compressed streams of such, one after the other, as the kernel
 * takes them apart; or a unified kernel image, a PE file with such images as sections. libarchive decompresses.
 */
#pragma once

#include <kmodpkg/err.h>

#include "inside/cpio.h"

/* Add what the image FD, a regular file, holds to M. -EINVAL: it cannot be told, -EFBIG: a limit, or another negative
 * errno, all with words; then M is in part. Fuzzed. */
int kp_image_read(int fd, struct kp_members *m, struct kp_err *err);
