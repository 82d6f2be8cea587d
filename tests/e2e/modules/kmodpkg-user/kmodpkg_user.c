// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls a symbol of a module of the source that dkms.conf names in BUILD_DEPENDS. */
#include <linux/init.h>
#include <linux/module.h>

int kmodpkg_core_answer(void);

static int __init kmodpkg_user_init(void)
{
	return kmodpkg_core_answer() == 42 ? 0 : -EINVAL;
}

static void __exit kmodpkg_user_exit(void)
{
}

module_init(kmodpkg_user_init);
module_exit(kmodpkg_user_exit);
MODULE_DESCRIPTION("Uses a symbol of another source, for tests");
MODULE_LICENSE("GPL");
