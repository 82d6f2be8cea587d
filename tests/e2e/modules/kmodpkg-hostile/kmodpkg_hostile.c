// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/module.h>

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("The module of a source that tries what it must not");
