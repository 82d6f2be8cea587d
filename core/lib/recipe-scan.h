// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Can a recipe read anything that the compiler's dependency files do not name?
 *
 * A build whose recipe is found closed here depends on its source, its kernel's headers, its tools
 * and what the compiler read: all of that can be compared later, so what was built can be
 * kept (cache.h). A recipe that runs something which could look elsewhere (configure, pkg-config, a
 * test for a file of the system) is not closed, nor is one that is not understood: what is allowed is
 * a list, the rest is refused. Pure; fuzzed.
 *
 * Commands of targets that by their names cannot be part of a build are passed over: "install", "load"
 * and the like would fail in the sandbox; unless the MAKE line or another rule asks for them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Is FILE, the last component of a path, one that make reads of a module's source? */
bool kp_scan_is_makefile(const char *file);
struct kp_scan_file {
	unsigned int levels; /* its directory is so many below the top of the build */
	/* What came of it: */
	bool running; /* it asks for the running kernel's release */
	/* Last components of paths, maybe with a '*' for anything: each file of the source that is called so is to
	 * be scanned, with levels 0. A string vector, to be freed. */
	char **includes;
};

/* The text of a make file, for the MAKE line MAKE (NULL: the default one) and the build directory SEEN.
 * NULL: closed; else what is not, in a few words, to be freed. */
char *kp_scan_makefile(const char *text, const char *make, const char *seen,
		       struct kp_scan_file *file);
/* A MAKE line: one call of make, for the build directory SEEN or the headers HEADERS, or another path
 * of theirs, with plain arguments; maybe a find that moves modules within the build directory behind it. NULL
 * or words as above. */
char *kp_scan_make_line(const char *line, const char *seen, const char *const *headers);
