// SPDX-License-Identifier: GPL-2.0-or-later
/* What was said, and is remembered, of images. */
#include <stdint.h>

#include "../../core/lib/initramfs-image.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = kp_strndup((const char *)data, size);
	struct kp_ctx ctx = { .root_fd = AT_FDCWD };
	_cleanup_strv_ char **said = NULL, **known = NULL;

	if (kp_image_parse(text, strlen(text), &said) == 0 && said && !*said)
		abort();
	if (memo_find(text, "/i\tl", &known) && known && !*known)
		abort();
	kp_strv_foreach(name, known)
		if (!kp_name_ok(*name))
			abort();
	(void)line_holds(&ctx, text);
	return 0;
}
