// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/module.h>

#error "kmodpkg_broken does not compile, on purpose"

MODULE_LICENSE("GPL");
