# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What a person said, and what was only done behind kmodpkg's back.

scenario package_removed_is_restored hello
package_removed_is_restored()
{
	run dpkg -r "kmodpkg-hello-modules-$K1"
	cp "$RUN_OUTPUT" /tmp/removal
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	# Whichever of the two restored it has to say how to be rid of it.
	cat /tmp/removal >>"$RUN_OUTPUT"
	assert_output 'kmodpkg uninstall'
}

scenario file_deleted_is_restored hello
file_deleted_is_restored()
{
	rm "$(module_file "$K1" kmodpkg_hello)"
	assert_status kmodpkg-hello 1.0 "$K1" stale
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}

scenario uninstalled_stays_away hello
uninstalled_stays_away()
{
	initramfs_reset
	run kmodpkg uninstall kmodpkg-hello/1.0 -k "$K1"
	assert_modules "$K1"
	assert_not_in_initramfs "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-hello 1.0 "$K1" held
	run kmodpkg sync
	assert_modules "$K1"
	# Another kernel is another matter.
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_modules "$K1"
	assert_modules "$K2" kmodpkg_hello
	run kmodpkg install kmodpkg-hello/1.0 -k "$K1"
	assert_modules "$K1" kmodpkg_hello
}

# What a person said of the module counts for the version that the next upgrade brings.
scenario uninstalled_stays_away_when_upgraded kernel
uninstalled_stays_away_when_upgraded()
{
	run apt-get install "$(dkms_deb kmodpkg-hello 1.0)"
	assert_modules "$K1" kmodpkg_hello
	run kmodpkg uninstall kmodpkg-hello -k "$K1"
	assert_modules "$K1"
	run apt-get install "$(dkms_deb kmodpkg-hello 1.1)"
	assert_modules "$K1"
	assert_status kmodpkg-hello 1.1 "$K1" held
	run kmodpkg install kmodpkg-hello -k "$K1"
	assert_modules "$K1" kmodpkg_hello
}

scenario source_unregistered hello
source_unregistered()
{
	run kmodpkg remove kmodpkg-hello/1.0 --all
	assert_modules "$K1"
	run kmodpkg sync
	assert_modules "$K1"
	run kmodpkg add kmodpkg-hello/1.0
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}

# A source without a package, from a tarball say, is a source like any other.
scenario added_by_hand kernel
added_by_hand()
{
	add_by_hand kmodpkg-hello
	initramfs_reset
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_modules "$K2" kmodpkg_hello
}
