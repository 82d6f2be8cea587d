// SPDX-License-Identifier: GPL-2.0-or-later
/* Whatever is said of an archive: nothing is made outside of the directory that is given. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "lib/archive-parts.h"

/* A directory that holds the one to unpack into, and nothing else. */
static char path[] = "/tmp/kmodpkg-fuzz-XXXXXX";
static int top = -1;

static void finish(void)
{
	(void)kp_rm_rf_in(top, "/out", NULL);
	rmdir(path);
}

static void prepare(void)
{
	if (top >= 0)
		return;
	if (!mkdtemp(path))
		abort();
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || atexit(finish))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *members = size ? fmemopen((void *)data, size, "r") : NULL;
	_cleanup_close_ int out = -1;
	_cleanup_strv_ char **names = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r;

	prepare();
	if (!members)
		return 0;
	if (kp_mkdir_in(top, "/out", 0755, NULL) < 0)
		abort();
	out = kp_open_in(top, "/out", O_RDONLY | O_DIRECTORY, 0);
	r = kp_archive_take(members, out, &err);
	fclose(members);
	if (r > 0 || (r < 0 && !err.text[0]))
		abort();
	if (kp_list_in(top, "/", &names) < 0 || kp_strv_len(names) != 1)
		abort();
	if (kp_rm_rf_in(top, "/out", NULL) < 0)
		abort();
	return 0;
}
