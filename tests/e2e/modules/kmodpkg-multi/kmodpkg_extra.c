// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls a symbol of another module that the same build makes. */
#include <linux/init.h>
#include <linux/module.h>

int kmodpkg_core_answer(void);

static int __init kmodpkg_extra_init(void)
{
	return kmodpkg_core_answer() == 42 ? 0 : -EINVAL;
}

static void __exit kmodpkg_extra_exit(void)
{
}

module_init(kmodpkg_extra_init);
module_exit(kmodpkg_extra_exit);
MODULE_DESCRIPTION("Uses a symbol of its sibling, for tests");
MODULE_LICENSE("GPL");
