// SPDX-License-Identifier: GPL-2.0-or-later
/* Exports what the other module of this source and the one of kmodpkg-user call. */
#include <linux/export.h>
#include <linux/init.h>
#include <linux/module.h>

int kmodpkg_core_answer(void);

int kmodpkg_core_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(kmodpkg_core_answer);

static int __init kmodpkg_core_init(void)
{
	return 0;
}

static void __exit kmodpkg_core_exit(void)
{
}

module_init(kmodpkg_core_init);
module_exit(kmodpkg_core_exit);
MODULE_DESCRIPTION("Exports a symbol, for tests");
MODULE_LICENSE("GPL");
