// SPDX-License-Identifier: GPL-2.0-or-later
/* The dependency files of a build, by which it is known what it read: they are its own. */
#include <assert.h>
#include <stdint.h>

#include "../../core/lib/build-reads.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kp_ctx ctx;
	struct kp_kernel kernel = { .headers = (char *)"/usr/src/linux-headers-6" };
	struct kp_build_job job = { .kernel = &kernel };
	struct kp_build_work w = { .ctx = &ctx,
				   .job = &job,
				   .seen = (char *)"/var/lib/dkms/m/1/build",
				   .build = (char *)"/nowhere/build",
				   .seen_out = (char *)"/var/lib/dkms/m/1/6/x86_64",
				   .out = (char *)"/nowhere/out" };
	_cleanup_(reads_clear) struct reads rd = { .w = &w };
	_cleanup_free_ char *text = kp_strndup((const char *)data, size);

	if (!ctx.root_fd)
		ctx.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	read_cmd(&rd, text);
	drop_duplicates(&rd);
	kp_strv_add(&rd.places, "/usr");
	for (size_t i = 0; i < rd.n; i++) {
		_cleanup_free_ char *input = NULL, *real = NULL;

		if (find_input(&rd, rd.list[i], &input) && input)
			assert(!kp_realpath_in(ctx.root_fd, input, &real) &&
			       is_below(real, "/usr"));
	}
	kp_strv_foreach(path, rd.compilers)
		assert(strchr(*path, '/'));
	return 0;
}
