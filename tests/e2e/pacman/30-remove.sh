# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources go. Nothing of ours ever keeps pacman from removing them.

scenario headers_removed hello
headers_removed()
{
	initramfs_reset
	pac -R linux-headers
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.0 kmodpkg-hello
	assert_initramfs_made
	pac -U "$(kernel_file linux-headers "$K1")"
	assert_modules "$K1" kmodpkg_hello
}

# The headers that stay are no kernel.
scenario kernel_removed hello
kernel_removed()
{
	pac -R linux
	fail_on "packages of a kernel that is gone" "$(pacman -Qq | grep '^kmod-' || true)"
	[ ! -e "/usr/lib/modules/$K1/updates" ] || fail "updates/ is left"
	pac -R linux-headers
	assert_kernel_gone "$K1"
}

scenario both_removed hello smoke
both_removed()
{
	pac -R linux linux-headers
	assert_no_output '[Ee]rror|[Ww]arning'
	assert_kernel_gone "$K1"
	fail_on "what is left of builds" "$(find /var/lib/dkms /var/log/kmodpkg -name "*$K1*")"
}

scenario removed_with_all hello
removed_with_all()
{
	pac -Rns linux linux-headers kmodpkg-hello
	assert_kernel_gone "$K1"
	fail_on "the source is still registered" "$(find /var/lib/dkms -name 'kmodpkg-hello')"
}

scenario source_removed hello
source_removed()
{
	initramfs_reset
	pac -Rns kmodpkg-hello
	assert_modules "$K1"
	assert_initramfs_made "$K1=1"
	[ ! -d "/usr/lib/modules/$K1/updates" ] || fail "updates/ is left"
}

# A generated package is one like any other; it comes back unless a person says otherwise.
scenario package_removed hello
package_removed()
{
	pac -R kmod-kmodpkg-hello-linux
	pac -U "$(source_file kmodpkg-multi)"
	assert_output 'kmodpkg uninstall'
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	run kmodpkg uninstall kmodpkg-hello
	pac -R kmodpkg-multi
	assert_modules "$K1"
}

# Packages stay, owned and listed, when we go.
scenario kmodpkg_removed hello
kmodpkg_removed()
{
	local command
	pac -R kmodpkg
	command=$(sed -n 's/.*to remove them: pacman -R //p' "$RUN_OUTPUT")
	# What it names is what we made, and no more.
	[ "$(eval "echo $command")" = kmod-kmodpkg-hello-linux ] ||
		fail "the packages are removed by: $command"
	assert_modules "$K1" kmodpkg_hello
	assert_verified "$K1"
	# And still stand in nobody's way.
	pac -U "$(kernel_file linux "$K2")" "$(kernel_file linux-headers "$K2")"
	[ -e "/usr/lib/modules/$K1/updates/dkms/" ] || fail "the package's files are gone"
	# shellcheck disable=SC2086
	pac -U $KMODPKG
	assert_kernel_gone "$K1"
	assert_modules "$K2" kmodpkg_hello
}
