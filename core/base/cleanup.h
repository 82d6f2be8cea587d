// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resources that release themselves at the end of their scope.
 *
 * Declare and initialise in one statement; hand ownership on with kp_steal() or
 * kp_steal_fd(). Destructors accept NULL (descriptors: -1).
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define KP_UNUSED __attribute__((unused))

/* KP_DEFINE_CLEANUP(struct kp_conf *, kp_conf_free) makes kp_conf_freep. */
#define KP_DEFINE_CLEANUP(type, func)                                                    \
	static inline void func##p(type *p)                                              \
	{                                                                                \
		if (*p)                                                                  \
			func(*p);                                                        \
	}                                                                                \
	struct kp_swallow_semicolon

static inline void kp_freep(void *p)
{
	free(*(void **)p);
}

static inline void kp_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

KP_DEFINE_CLEANUP(FILE *, fclose);
KP_DEFINE_CLEANUP(DIR *, closedir);

#define _cleanup_free_ _cleanup_(kp_freep)
#define _cleanup_close_ _cleanup_(kp_closep)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

/* Take the value out of an owning variable. */
#define kp_steal(pp)                                                                     \
	({                                                                               \
		__typeof__(pp) _pp = (pp);                                               \
		__typeof__(*_pp) _v = *_pp;                                              \
		*_pp = NULL;                                                             \
		_v;                                                                      \
	})

static inline int kp_steal_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#define KP_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
