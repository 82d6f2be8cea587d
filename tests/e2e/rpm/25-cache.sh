# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What was built before is not built again.

# The kernel comes back, its module from the cache: before %posttrans, owned, the same bytes.
scenario cache kernel
cache()
{
	local first
	run rpm -i "$(source_rpm kmodpkg-multi)"
	assert_output 'built kmodpkg-multi/1\.0'
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	first=$(module_hashes "$K1")
	run rpm -e "kernel-core-$K1" "kernel-devel-$K1"
	assert_kernel_gone "$K1"
	# shellcheck disable=SC2046
	run rpm -i $(kernel_rpms "$K1")
	assert_output 'took kmodpkg-multi/1\.0 for .* from the cache'
	assert_no_output 'building kmodpkg-multi'
	assert_posttrans "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_generated "$K1" 1.0 kmodpkg-multi
	[ "$(module_hashes "$K1")" = "$first" ] || fail "what the cache has is not what was built"
}
