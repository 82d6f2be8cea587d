# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources go away.

scenario kernel_removed hello
kernel_removed()
{
	local names
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	mapfile -t names < <(kernel_packages "$K1")
	initramfs_reset
	run apt-get remove "${names[@]}"
	assert_kernel_gone "$K1"
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made
}

scenario kernel_purged hello smoke
kernel_purged()
{
	local names
	mapfile -t names < <(kernel_packages "$K1")
	initramfs_reset
	run apt-get purge "${names[@]}"
	assert_kernel_gone "$K1"
	assert_initramfs_made
	run kmodpkg status
	assert_no_output "$K1_RE"
}

scenario kernel_removed_headers_left hello
kernel_removed_headers_left()
{
	local names
	mapfile -t names < <(kernel_packages "$K1" image)
	# By force: headers depend on the image, or on a part of it, from trixie on.
	run dpkg --force-depends --purge "${names[@]}"
	fail_on "generated packages are left" "$(generated_packages "$K1")"
	[ ! -d "/lib/modules/$K1/updates" ] || fail "modules of a removed kernel are left"
	fail_on "depmod's files of a removed kernel are left" \
		"$(find "/lib/modules/$K1" -name 'modules.*')"
	run apt-get purge "linux-headers-$K1"
	assert_kernel_gone "$K1"
}

scenario headers_removed hello
headers_removed()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	initramfs_reset
	run apt-get purge "linux-headers-$K1"
	assert_modules "$K1" kmodpkg_hello
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "the module was made anew"
}

scenario source_removed hello
source_removed()
{
	local dir
	dir=$(kernel_dir "$K1")
	initramfs_reset
	run apt-get remove kmodpkg-hello
	assert_modules "$K1"
	[ ! -e "$dir/updates" ] || fail "$dir/updates is left"
	! grep -q kmodpkg_hello "$dir/modules.dep" || fail "modules.dep still lists the module"
	assert_not_in_initramfs "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	run kmodpkg status
	assert_no_output kmodpkg-hello
}

scenario source_removed_others_stay hello
source_removed_others_stay()
{
	run apt-get install "$(source_deb kmodpkg-multi)" "$(source_deb kmodpkg-user)"
	initramfs_reset
	run apt-get remove kmodpkg-hello kmodpkg-user
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_initramfs_made "$K1=1"
}

scenario all_removed_at_once hello
all_removed_at_once()
{
	local names
	mapfile -t names < <(kernel_packages "$K1")
	run apt-get purge kmodpkg-hello "${names[@]}"
	assert_kernel_gone "$K1"
}
