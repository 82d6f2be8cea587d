// SPDX-License-Identifier: GPL-2.0-or-later
/* The smallest module that can prove which kernel it was built for. */
#include <generated/utsrelease.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/printk.h>

static int __init kmodpkg_hello_init(void)
{
	pr_info("kmodpkg_hello: version " HELLO_VERSION " built for " UTS_RELEASE "\n");
	return 0;
}

static void __exit kmodpkg_hello_exit(void)
{
}

module_init(kmodpkg_hello_init);
module_exit(kmodpkg_hello_exit);
MODULE_DESCRIPTION("Says hello, for tests");
MODULE_LICENSE("GPL");
MODULE_VERSION(HELLO_VERSION);
#ifdef CONFIG_KMODPKG_E2E
/* Shows that the module was built with headers that a test has changed. */
MODULE_INFO(configured, "yes");
#endif
