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

scenario adopted hello
adopted()
{
	local before
	as_dkms_left_it
	before=$(sha256sum "$(module_file "$K1" kmodpkg_hello)")
	# shellcheck disable=SC2086 # one package, which has no space in its name
	pac -U $KMODPKG
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K1_RE"
	assert_no_output 'not adopted|built kmodpkg-hello'
	assert_modules "$K1" kmodpkg_hello
	[ "$(sha256sum "$(module_file "$K1" kmodpkg_hello)")" = "$before" ] ||
		fail "the module is not the one that was there"
}
