# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Which changes make an initramfs anew, see lib/images.sh. Sources come and go by hand: for one in a package
# Arch's own hook makes all images.

source_comes()
{
	local name=${1//_/-} old
	module_source "/usr/src/$name-$2" "$@"
	run kmodpkg add "$name/$2"
	run kmodpkg sync
	for old in "/usr/src/$name"-*; do
		[ "$old" = "/usr/src/$name-$2" ] || {
			run kmodpkg remove "$name/${old##*-}"
			rm -r "$old"
		}
	done
}

source_goes()
{
	run kmodpkg remove "${1//_/-}"
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
	run mkinitcpio -P
	assert_in_initramfs "$K1" e2e_late
	pac -U "$(kernel_file linux-lts "$KLTS")"
	assert_not_in_initramfs "$KLTS" e2e_late
	remade "$KLTS" pac -U "$(kernel_file linux-lts-headers "$KLTS")"
	assert_in_initramfs "$KLTS" e2e_late
}

# What Arch's hook makes for a source is not made again, and nothing is for one that goes.
scenario images_by_hook kernel
images_by_hook()
{
	local tree
	tree=$(mktemp -d)
	module_source "$tree/usr/src/e2e-named-1.0" e2e_named 1.0
	name_to_generator e2e_named
	remade "$K1" pac -U "$(make_package e2e-named 1.0 "$tree")"
	assert_in_initramfs "$K1" e2e_named
	remade "$K1" pac -R e2e-named
	assert_not_in_initramfs "$K1" e2e_named
	untouched pac -S linux-headers
}

# Who comes after it knows what had changed.
scenario images_killed kernel
images_killed()
{
	depmod_at_the_gate
	module_source /usr/src/e2e-plain-1.0 e2e_plain 1.0
	module_source /usr/src/e2e-named-1.0 e2e_named 1.0
	run kmodpkg add e2e-plain/1.0
	killed_before_settling kmodpkg sync
	untouched run kmodpkg sync
	module_file "$K1" e2e_plain
	name_to_generator e2e_named
	run kmodpkg add e2e-named/1.0
	killed_before_settling kmodpkg sync
	remade "$K1" run kmodpkg sync
	assert_in_initramfs "$K1" e2e_named
}
