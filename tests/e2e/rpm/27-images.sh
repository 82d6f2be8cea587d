# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Which changes make an initramfs anew, see lib/images.sh.

source_comes()
{
	pack_source "$(module_deb "$@")"
	run rpm -U "$(source_rpm "${1//_/-}" "$2")"
}

source_goes()
{
	run rpm -e "${1//_/-}"
}

# shellcheck source=SCRIPTDIR/../lib/images.sh
. "${BASH_SOURCE[0]%/*}/../lib/images.sh"

scenario images kernel smoke
scenario images_more kernel

# Its headers come when the image of a kernel is there, made without what could not be built yet; that of the
# other kernel has it.
scenario images_late kernel
images_late()
{
	hook_for_late_modules
	source_comes e2e_late 1.0
	run dracut -q --force "$(initramfs_file "$K1")" "$K1"
	assert_in_initramfs "$K1" e2e_late
	run rpm -i "$RPMS/kernel-core-$K2.rpm"
	assert_not_in_initramfs "$K2" e2e_late
	remade "$K2" run rpm -i "$RPMS/kernel-devel-$K2.rpm"
	assert_in_initramfs "$K2" e2e_late
}

# Who comes after it knows what had changed.
scenario images_killed kernel
images_killed()
{
	depmod_at_the_gate
	pack_source "$(module_deb e2e_plain 1.0)"
	pack_source "$(module_deb e2e_named 1.0)"
	killed_before_settling rpm -U "$(source_rpm e2e-plain)"
	untouched run kmodpkg sync
	module_file "$K1" e2e_plain
	name_to_generator e2e_named
	killed_before_settling rpm -U "$(source_rpm e2e-named)"
	remade "$K1" run kmodpkg sync
	assert_in_initramfs "$K1" e2e_named
}
