// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The files of a package in the order in which a backend writes them: by path, whatever
 * order the caller has them in, with the directories above them.
 */
#pragma once

#include <kmodpkg/err.h>
#include <kmodpkg/pkg.h>

struct kp_payload {
	const struct kp_pkg *pkg;	  /* outlives this */
	const struct kp_pkg_file **files; /* pkg->n_files of them, sorted */
	char **dirs; /* all above them: "lib/", "lib/modules/", ...; sorted */
};

/* -EINVAL: a path is there twice, or is none that a package can have. */
int kp_payload_load(const struct kp_pkg *pkg, struct kp_payload *ret, struct kp_err *err);
void kp_payload_clear(struct kp_payload *p);
/* Sum of the files' sizes in bytes. */
uint64_t kp_payload_size(const struct kp_payload *p);

/* Call FN with all bytes of a file, which must have the size that was said. */
typedef int kp_payload_fn(void *data, const void *p, size_t len, struct kp_err *err);
int kp_payload_read(const struct kp_pkg_file *f, kp_payload_fn *fn, void *data,
		    struct kp_err *err);
