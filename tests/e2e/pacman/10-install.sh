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
	run pacman -Qi kmod-kmodpkg-hello-linux
	assert_output '^Licenses +: GPL$'
}

# The hook at 90 does not know headers: ours at 91 does what it leaves.
scenario headers_later kmodpkg smoke
headers_later()
{
	pac -U "$(source_file kmodpkg-hello)"
	pac -U "$(kernel_file linux "$K1")"
	assert_modules "$K1"
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-hello 1.0 "$K1" no-headers
	run kmodpkg status -v
	assert_output 'pacman -Syu linux linux-headers'
	initramfs_reset
	pac -U "$(kernel_file linux-headers "$K1")"
	assert_output 'refreshing /boot/initramfs-linux.img'
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario headers_first kmodpkg
headers_first()
{
	pac -U "$(source_file kmodpkg-hello)" "$(kernel_file linux-headers "$K1")"
	fail_on "headers alone got packages" "$(generated_packages "$K1")"
	pac -U "$(kernel_file linux "$K1")"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario source_added kernel
source_added()
{
	initramfs_reset
	pac -U "$(source_file kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# In one transaction, the dependent source before the one it needs.
scenario dependent_sources kernel
dependent_sources()
{
	pac -U "$(source_file kmodpkg-user)"
	assert_modules "$K1"
	assert_status kmodpkg-user 1.0 "$K1" blocked
	pac -U "$(source_file kmodpkg-multi)"
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_generated "$K1" 1.0 kmodpkg-multi kmodpkg-user
}

# linux and linux-lts each have packages of their own.
scenario two_kinds kmodpkg
two_kinds()
{
	pac -U "$(source_file kmodpkg-hello)"
	pac -U "$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")" \
		"$(kernel_file linux-lts "$KLTS")" "$(kernel_file linux-lts-headers "$KLTS")"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$KLTS" kmodpkg_hello
	assert_initramfs_made "$K1=1" "$KLTS=1"
	run pacman -Q kmod-kmodpkg-hello-linux kmod-kmodpkg-hello-linux-lts
	initramfs_reset
	pac -R linux-lts linux-lts-headers
	assert_kernel_gone "$KLTS"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
}

# kmodpkg comes last: its hook counts in that very transaction.
scenario installed_last prepared smoke
installed_last()
{
	pac -U "$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")" \
		"$(source_file kmodpkg-hello)"
	initramfs_reset
	# shellcheck disable=SC2086
	pac -U $KMODPKG
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario nothing_to_do hello
nothing_to_do()
{
	local before
	before=$(find "/usr/lib/modules/$K1/updates" -type f -printf '%p %i %T@\n')
	initramfs_reset
	mkdir /tmp/empty
	pac -U "$(make_package unrelated 1 /tmp/empty)"
	assert_no_output 'Updating kernel module packages'
	assert_no_output '^kmodpkg'
	pac -R unrelated
	assert_no_output '^kmodpkg'
	# What is there is there: the same kernel once more changes nothing of ours.
	pac -U "$(kernel_file linux "$K1")"
	assert_no_output '^kmodpkg: (built|installed)'
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	[ "$before" = "$(find "/usr/lib/modules/$K1/updates" -type f -printf '%p %i %T@\n')" ] ||
		fail "the module was written again"
}

# Nobody signs what we make; pacman.conf may ask for signatures.
scenario signatures_required kernel
signatures_required()
{
	local source
	source=$(source_file kmodpkg-hello)
	sed -i 's/^SigLevel.*/SigLevel = Required DatabaseNever/; s/^LocalFileSigLevel.*/LocalFileSigLevel = Optional/' /etc/pacman.conf
	pac -U "$source"
	assert_modules "$K1" kmodpkg_hello
}
