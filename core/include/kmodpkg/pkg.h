// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a generated package is, in no package manager's terms.
 *
 * One package holds the modules that one source built for one kernel (a backend may fold
 * several kernels of one kind into one name; see struct kp_pkgdb). The identity is kept
 * by the package database itself, in the package's own metadata, and comes back by list().
 * All strings are UTF-8 or ASCII without control characters, checked by the core before a
 * backend sees them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Identity, kept in the package's metadata and read back from it. */
struct kp_pkg_id {
	char *module;	      /* PACKAGE_NAME of the source */
	char *version;	      /* PACKAGE_VERSION of the source */
	char *kernel;	      /* kernel release, as in /lib/modules */
	char *arch;	      /* as uname -m has it */
	char *key;	      /* stale key the build was made from, hex */
	char *content;	      /* hash over the paths and bytes of its files, hex */
	char *source_package; /* package that owned the source tree; NULL: nobody */
};

struct kp_pkg_file {
	char *path; /* absolute, the literal path the package database is to have */
	int fd;	    /* open regular file with its bytes; the writer reads from offset 0 */
	uint64_t size;
	mode_t mode; /* permission bits */
};

/* What write() gets. */
struct kp_pkg {
	struct kp_pkg_id id;
	const char *summary; /* one line */
	const char *license; /* in the modules' own words, one line; NULL: they say nothing */
	int64_t mtime;	     /* seconds; of every member, for reproducible packages */
	bool depend_on_kernel; /* a hard dependency, where the manager has one for that */
	struct kp_pkg_file *files;
	size_t n_files;
};

/* What list() returns: a generated package that is installed. */
struct kp_pkg_installed {
	struct kp_pkg_id id;
	char *name; /* as the package manager calls it */
	char *pkg_version;
	char **files; /* absolute paths of its regular files, NULL-terminated vector */
};

/* What is wrong with what is said of a package, read from anywhere: names that cannot be part of a
 * path, paths that are no module's. Words for an error; NULL: all is well. The one place where that is
 * looked at. */
const char *kp_pkg_fault(const struct kp_pkg_id *id, char *const *files);

/* Release what the structure holds, not the structure. */
void kp_pkg_id_clear(struct kp_pkg_id *id);
void kp_pkg_id_copy(struct kp_pkg_id *to, const struct kp_pkg_id *from);
void kp_pkg_installed_clear(struct kp_pkg_installed *pkg);
/* What list() returned. */
void kp_pkg_list_free(struct kp_pkg_installed *list, size_t n);
