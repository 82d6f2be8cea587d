# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# dpkg without apt.

scenario dpkg_install kmodpkg
dpkg_install()
{
	local debs
	mapfile -t debs < <(kernel_debs "$K1" image && kernel_debs "$K1" headers)
	run dpkg -i "${debs[@]}" "$(source_deb kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario dpkg_one_by_one kmodpkg
dpkg_one_by_one()
{
	local debs
	run dpkg -i "$(source_deb kmodpkg-hello)"
	mapfile -t debs < <(kernel_debs "$K1" image)
	run dpkg -i "${debs[@]}"
	assert_modules "$K1"
	mapfile -t debs < <(kernel_debs "$K1" headers)
	initramfs_reset
	run dpkg -i "${debs[@]}"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario dpkg_remove hello
dpkg_remove()
{
	local names
	initramfs_reset
	run dpkg -r kmodpkg-hello
	assert_modules "$K1"
	assert_initramfs_made "$K1=1"
	run dpkg -i "$(source_deb kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	mapfile -t names < <(kernel_packages "$K1")
	run dpkg -r "${names[@]}"
	assert_kernel_gone "$K1"
	run dpkg -P "${names[@]}"
	assert_kernel_gone "$K1"
}

scenario dpkg_unpack_configure kmodpkg
dpkg_unpack_configure()
{
	local debs
	mapfile -t debs < <(kernel_debs "$K1" image && kernel_debs "$K1" headers)
	run dpkg --unpack "${debs[@]}" "$(source_deb kmodpkg-hello)"
	run dpkg --configure -a
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario dpkg_no_triggers kernel
dpkg_no_triggers()
{
	run dpkg --no-triggers -i "$(source_deb kmodpkg-hello)"
	run dpkg --triggers-only -a
	assert_modules "$K1" kmodpkg_hello
	run dpkg --no-triggers -r kmodpkg-hello
	run dpkg --configure -a
	assert_modules "$K1"
}

# Front ends read a stream of states from dpkg and may leave it no standard output to write to.
scenario dpkg_status_fd kernel
dpkg_status_fd()
{
	run dpkg --status-fd 1 -i "$(source_deb kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	run bash -c "dpkg -r kmodpkg-hello >&- 2>&-"
	assert_modules "$K1"
}
