# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources arrive, in every order.

scenario all_at_once kmodpkg smoke
all_at_once()
{
	repo "$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")" \
		"$(source_file kmodpkg-hello)" "$(source_file kmodpkg-multi)"
	pac -Sy linux linux-headers kmodpkg-hello kmodpkg-multi
	assert_no_output '[Ee]rror|[Ww]arning'
	# The hook at 90 had them all, and nobody made it a second time.
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_initramfs_made "$K1=1"
	assert_generated "$K1" 1.0 kmodpkg-hello kmodpkg-multi
	assert_status kmodpkg-hello 1.0 "$K1" installed
}
