// SPDX-License-Identifier: GPL-2.0-or-later
/* What a package file in the queue says that it is. */
#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

#include "../../plugins/dpkg/deb822.c"
#include "../../plugins/dpkg/identity.c"
#include "../../plugins/dpkg/status.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("package", MFD_CLOEXEC);
	_cleanup_free_ char *tar = NULL, *control = NULL;
	size_t len = 0, control_len = 0;

	assert(kp_write_all(fd, data, size) >= 0);
	if (read_control_tar(fd, &tar, &len) < 0)
		return 0;
	if (find_control(tar, len, &control, &control_len) == 0)
		assert(strlen(control) == control_len);
	return 0;
}
