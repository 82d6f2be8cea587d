// SPDX-License-Identifier: GPL-2.0-or-later
/* Linked to every unit test: the programs of ours that it starts are those that were built with it. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

/* From BUILD/tests/unit/test-x to BUILD. */
static void __attribute__((constructor)) find_programs(void)
{
	_cleanup_free_ char *path = NULL;

	if (kp_readlink_at(AT_FDCWD, "/proc/self/exe", &path) < 0)
		return;
	for (int i = 0; i < 3; i++) {
		_cleanup_free_ char *dir = kp_path_dir(path);

		free(path);
		path = kp_steal(&dir);
	}
	setenv("KMODPKG_LIBEXEC_DIR", path, 1);
}
