// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What inside/initramfs.c, which reads an initramfs in the sandbox, says to initramfs-image.c, and nobody else: on its standard
 * output the names of the modules, each on a line, in the order of their bytes, each once, and behind them a line "."; or
 * a reason on standard error.
 */
#pragma once

#include <stddef.h>
#include <string.h>

/* The argument: the two may be of different versions while kmodpkg itself is upgraded. */
#define KP_IMAGE_PROTOCOL "1"

/* Exit codes. All but the first come with a reason. */
enum {
	KP_IMAGE_GOOD = 0,
	KP_IMAGE_BAD = 1, /* it cannot be told what it holds */
	KP_IMAGE_NONE = 2,
};

#define KP_IMAGE_END "."

/* Kernels have up to 7000 modules. */
#define KP_IMAGE_MODULES 20000
/* Of a compressed stream in it, unpacked. */
#define KP_IMAGE_BYTES (4LL << 30)
/* That reading one takes. */
#define KP_IMAGE_MEMORY (512 << 20)
/* Of the answer. */
#define KP_IMAGE_ANSWER (1024 * 1024)

/* Take an answer of LEN bytes apart; *ret: a string vector to be freed, NULL: no modules. -EINVAL: it is none. Pure; fuzzed. */
int kp_image_parse(const char *text, size_t len, char ***ret);

/* Where the name of a module ends in that of its file, which both have to see alike: at ".ko", with nothing behind it or how
 * it is compressed. NULL: it is no module's. */
static inline const char *kp_image_ko(const char *base)
{
	for (const char *p = base; (p = strstr(p, ".ko")); p++)
		if (p > base && (p[3] == '\0' || p[3] == '.'))
			return p;
	return NULL;
}
