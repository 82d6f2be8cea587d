# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What was built before is not built again.

# The kernel comes back, its module from the cache: before the initramfs, owned, the same bytes.
scenario cache kernel
cache()
{
	local first
	pac -U "$(source_file kmodpkg-multi)"
	assert_output 'built kmodpkg-multi/1\.0'
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	first=$(module_hashes "$K1")
	pac -R linux linux-headers
	assert_kernel_gone "$K1"
	initramfs_reset
	pac -U "$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")"
	assert_output 'took kmodpkg-multi/1\.0 for .* from the cache'
	assert_no_output 'building kmodpkg-multi'
	assert_initramfs_made "$K1=1"
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_generated "$K1" 1.0 kmodpkg-multi
	[ "$(module_hashes "$K1")" = "$first" ] || fail "what the cache has is not what was built"
}
