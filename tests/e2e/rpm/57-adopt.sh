# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# DKMS was here: kmodpkg's own installation takes over what it built.

# Leave the module as DKMS would: installed, in its tree, and owned by nobody.
as_dkms_left_it()
{
	local ko
	ko=$(module_file "$K1" kmodpkg_hello)
	cp -a "$ko" /var/lib/dkms /tmp/
	run rpm -e kmodpkg
	# shellcheck disable=SC2046 # package names
	run rpm -e $(generated_packages "$K1")
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
	run dracut -q --force "/boot/initramfs-$K1.img" "$K1"
	index=$(stat -c '%i %y' "$(kernel_dir "$K1")/modules.dep")
	initramfs_reset
	before=$(sha256sum "$(module_file "$K1" kmodpkg_hello)")
	run rpm -i "${KMODPKG_RPMS[@]}"
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K1_RE"
	assert_no_output 'not adopted|built kmodpkg-hello'
	assert_initramfs_made
	[ "$(stat -c '%i %y' "$(kernel_dir "$K1")/modules.dep")" = "$index" ] ||
		fail "depmod has run, though no module has changed"
	assert_modules "$K1" kmodpkg_hello
	[ "$(sha256sum "$(module_file "$K1" kmodpkg_hello)")" = "$before" ] ||
		fail "the module is not the one that was there"
}

# What requires dkms stays, and goes on to work; what dkms built is taken over. Without the option
# the tool does not erase what nobody asked it to.
# replace_dkms TOOL OPTION
replace_dkms()
{
	as_dkms_left_it
	run rpm -i "$(small_rpm dkms 3.2.2)" "$(small_rpm akmod-other 1 'Requires: dkms')"
	# In a shell of its own, since it ends with a failure of the test.
	! (install_by "$1" "${KMODPKG_RPMS[@]}") >/dev/null 2>&1 || fail "$1 has erased dkms unasked"
	installed dkms || fail "dkms is gone"
	install_by "$1" "$2" "${KMODPKG_RPMS[@]}"
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K1_RE"
	assert_modules "$K1" kmodpkg_hello
	installed akmod-other || fail "what requires dkms is gone"
	! installed dkms || fail "dkms is still installed"
}

scenario dkms_replaced hello
dkms_replaced()
{
	replace_dkms dnf --allowerasing
}

scenario dkms_replaced_by_zypper hello
dkms_replaced_by_zypper()
{
	replace_dkms zypper --force-resolution
}
