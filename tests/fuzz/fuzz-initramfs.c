// SPDX-License-Identifier: GPL-2.0-or-later
/* Initramfs images, and unified kernel images. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "inside/image.h"

/* What rlimits do where it really runs. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "max_allocation_size_mb=512:allocator_may_return_null=1";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct kp_members m = { 0 };
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (fd < 0)
		fd = memfd_create("image", MFD_CLOEXEC);
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    kp_write_all(fd, data, size) < 0)
		abort();
	r = kp_image_read(fd, &m, &err);
	if (r > 0 || (r == 0 && !m.init) || (r < 0 && !err.text[0]))
		abort();
	for (size_t i = 0; i < m.n; i++)
		if (!kp_name_ok(m.modules[i]))
			abort();
	kp_members_clear(&m);
	return 0;
}
