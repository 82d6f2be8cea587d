# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# kmodpkg itself comes and goes.

scenario kmodpkg_removed hello
kmodpkg_removed()
{
	local command
	initramfs_reset
	run rpm -e kmodpkg
	assert_no_output '[Ee]rror|warning'
	command=$(sed -n 's/.*to remove them: //p' "$RUN_OUTPUT")
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	run rpm -i "$(small_rpm e2e-unrelated 1)"
	assert_no_output '[Ee]rror'
	fail_on "files of ours are left" "$(find /etc /usr -path /usr/src -prune -o \
		-path /usr/lib/modules -prune -o -name '*kmodpkg*' -print)"
	# The packages can be removed as it said, and the kernel stays tidy.
	run bash -c "$command"
	fail_on "the package is left" "$(generated_packages "$K1")"
	depmod "$K1"
}

scenario kmodpkg_installed_again hello
kmodpkg_installed_again()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	run rpm -e kmodpkg
	initramfs_reset
	run dnf install "${KMODPKG_RPMS[@]}"
	assert_modules "$K1" kmodpkg_hello
	assert_status kmodpkg-hello 1.0 "$K1" installed
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "a package that was there was made anew"
	assert_initramfs_made
	run rpm -U "$(source_rpm kmodpkg-hello 1.1)"
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.1 kmodpkg-hello
}

scenario kmodpkg_reinstalled hello
kmodpkg_reinstalled()
{
	initramfs_reset
	run rpm -U --replacepkgs "${KMODPKG_RPMS[@]}"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
}

# kmodpkg, sources and kernels in one go, as a kickstart does: our plugin is not loaded yet.
scenario kmodpkg_with_all prepared
kmodpkg_with_all()
{
	# shellcheck disable=SC2046
	run rpm -i "${KMODPKG_RPMS[@]}" $(kernel_rpms "$K1") "$(source_rpm kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
}
