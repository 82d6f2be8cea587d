# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Which changes make an initramfs anew, see lib/images.sh.

source_comes()
{
	run apt-get install "$(module_deb "$@")"
}

source_goes()
{
	run apt-get purge "${1//_/-}"
}

# shellcheck source=SCRIPTDIR/../lib/images.sh
. "${BASH_SOURCE[0]%/*}/../lib/images.sh"

scenario images kernel
scenario images_more kernel long

# Its headers come when the image of a kernel is there, made without what could not be built yet; that of the
# other kernel has it.
scenario images_late kernel long
images_late()
{
	hook_for_late_modules
	source_comes e2e_late 1.0
	update_initramfs "$K1"
	assert_in_initramfs "$K1" e2e_late
	run apt-get install "linux-image-$K2"
	assert_not_in_initramfs "$K2" e2e_late
	remade "$K2" run apt-get install "linux-headers-$K2"
	assert_in_initramfs "$K2" e2e_late
}

# Who comes after it knows what had changed.
scenario images_killed kernel
images_killed()
{
	depmod_at_the_gate
	killed_before_settling apt-get install "$(module_deb e2e_plain 1.0)"
	untouched run dpkg --configure -a
	untouched run kmodpkg sync
	module_file "$K1" e2e_plain
	name_to_generator e2e_named
	killed_before_settling apt-get install "$(module_deb e2e_named 1.0)"
	initramfs_reset
	run dpkg --configure -a
	run kmodpkg sync
	assert_initramfs_made "$K1=1"
	assert_settled
	assert_in_initramfs "$K1" e2e_named
}

# What had changed when an image could not be made is not forgotten over what changes next.
scenario images_fail kernel bookworm long
images_fail()
{
	local hook=/etc/initramfs-tools/hooks/e2e-fails
	name_to_generator e2e_named
	cat >$hook <<-'END'
		#!/bin/sh
		[ "$1" = prereqs ]
	END
	chmod +x $hook
	source_comes e2e_named 1.0
	source_comes e2e_plain 1.0
	assert_status e2e-named 1.0 "$K1" installed
	run kmodpkg status
	assert_output 'in vain|not up to date'
	assert_not_in_initramfs "$K1" e2e_named
	rm $hook
	remade "$K1" run kmodpkg sync
	assert_in_initramfs "$K1" e2e_named
	untouched run kmodpkg sync
}

# Unified kernel images, by kernel-install, which has dracut make them.
scenario images_unified kernel forky
images_unified()
{
	run apt-get install "${UKI_PACKAGES[@]}"
	printf '%s\n' layout=uki uki_generator=dracut BOOT_ROOT=/boot >/etc/kernel/install.conf
	echo e2e >/etc/kernel/entry-token
	echo root=/dev/vda >/etc/kernel/cmdline
	rm "$(initramfs_file "$K1")"
	# shellcheck disable=SC2317 # for lib/images.sh
	initramfs_file()
	{
		echo "/boot/EFI/Linux/e2e-$1.efi"
	}
	run kernel-install add "$K1" "/boot/vmlinuz-$K1"
	image_is_left_alone
	image_has_what_is_named
}
