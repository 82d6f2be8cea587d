# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# DKMS was here: kmodpkg's own installation takes over what it built.

# Leave the module as DKMS would: installed, in its tree, and owned by nobody.
as_dkms_left_it()
{
	local ko
	ko=$(module_file "$K1" kmodpkg_hello)
	cp -a "$ko" /var/lib/dkms /tmp/
	pac -R kmodpkg
	# shellcheck disable=SC2046 # package names
	pac -R $(generated_packages "$K1")
	rm -rf /var/lib/kmodpkg /var/lib/dkms
	mkdir -p "${ko%/*}"
	cp -a "/tmp/${ko##*/}" "$ko"
	cp -a /tmp/dkms /var/lib/
	depmod "$K1"
}

# As no module changes, there is nothing to be made of them anew.
scenario adopted hello
adopted()
{
	local before index
	as_dkms_left_it
	run mkinitcpio -P
	index=$(stat -c '%i %y' "$(kernel_dir "$K1")/modules.dep")
	initramfs_reset
	before=$(sha256sum "$(module_file "$K1" kmodpkg_hello)")
	# shellcheck disable=SC2086 # one package, which has no space in its name
	pac -U $KMODPKG
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K1_RE"
	assert_no_output 'not adopted|built kmodpkg-hello'
	assert_initramfs_made
	[ "$(stat -c '%i %y' "$(kernel_dir "$K1")/modules.dep")" = "$index" ] ||
		fail "depmod has run, though no module has changed"
	assert_modules "$K1" kmodpkg_hello
	[ "$(sha256sum "$(module_file "$K1" kmodpkg_hello)")" = "$before" ] ||
		fail "the module is not the one that was there"
}

# What depends on dkms stays, and goes on to work; what dkms built is taken over.
scenario dkms_replaced hello
dkms_replaced()
{
	local tree
	as_dkms_left_it
	tree=$(mktemp -d)
	chmod 755 "$tree"
	pac -U "$(make_package dkms 3.2.2 "$tree")" \
		"$(make_package other-dkms 1.0 "$tree" 'depend = dkms')"
	# pacman asks whether dkms may go, and without a person says no.
	# shellcheck disable=SC2086 # one package, which has no space in its name
	run bash -c "yes | pacman -U $KMODPKG"
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K1_RE"
	assert_modules "$K1" kmodpkg_hello
	run pacman -Q other-dkms
	# Who provides it now.
	[ "$(pacman -Qq dkms)" = kmodpkg ] || fail "dkms is still installed"
}
