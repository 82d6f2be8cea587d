// SPDX-License-Identifier: GPL-2.0-or-later
/* A preset of mkinitcpio, which is bash: no path that could lead elsewhere comes out. */
#include <stdint.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/str.h"
#include "lib/initramfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_strv_ char **images = NULL;

	kp_initramfs_preset_parse((const char *)data, size, &images);
	kp_strv_foreach(image, images)
		if (**image != '/' || !kp_relpath_ok(*image + 1))
			abort();
	return 0;
}
