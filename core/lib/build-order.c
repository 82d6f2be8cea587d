// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How much there is to build, before anything is: the C files of a source. Each reads the same
 * headers of the kernel, which take as long as so many bytes of its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "lib/build-job.h"

#define DEPTH_MAX 16
#define HEADERS 65536

/* DIR_FD is taken over. */
static uint64_t weigh_files(int dir_fd, int depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(dir_fd);
	struct dirent *e;
	uint64_t sum = 0;

	if (!dir) {
		close(dir_fd);
		return 0;
	}
	while ((e = readdir(dir))) {
		const char *dot = strrchr(e->d_name, '.');
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		if (dot && !strcmp(dot, ".c")) {
			if (!fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
				sum += HEADERS + (uint64_t)st.st_size;
		} else if (depth && (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN)) {
			int sub = openat(dir_fd, e->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0)
				sum += weigh_files(sub, depth - 1);
		}
	}
	return sum;
}

uint64_t *kp_build_weigh(struct kp_ctx *ctx, const struct kp_build_job *jobs, size_t n)
{
	_cleanup_free_ uint64_t *own = kp_calloc(n, sizeof(*own));
	uint64_t *all = kp_calloc(n, sizeof(*all));
	bool again = true;

	for (size_t i = 0; i < n; i++) {
		int fd = kp_open_in(ctx->root_fd, jobs[i].source->dir,
				    O_RDONLY | O_DIRECTORY, 0);

		own[i] = all[i] = fd < 0 ? 0 : weigh_files(fd, DEPTH_MAX);
	}
	/* Those that go in a circle are never built: no chain is longer than N. */
	for (size_t round = 0; again && round < n; round++) {
		again = false;
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < jobs[i].n_deps; j++) {
				size_t dep = jobs[i].deps[j];

				if (all[dep] >= own[dep] + all[i])
					continue;
				all[dep] = own[dep] + all[i];
				again = true;
			}
	}
	return all;
}
