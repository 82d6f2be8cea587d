// SPDX-License-Identifier: GPL-2.0-or-later
/* Built in a directory of its own and installed under another name (dkms.conf). */
#include <linux/init.h>
#include <linux/module.h>

static int __init kmodpkg_sub_init(void)
{
	return 0;
}

module_init(kmodpkg_sub_init);
MODULE_DESCRIPTION("In a subdirectory, for tests");
MODULE_LICENSE("GPL");
