# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources arrive, in every order.

# Kernel and headers in one transaction; the module is there before kernel-core's %posttrans.
both_at_once()
{
	local tool=$1
	run rpm -i "$(source_rpm kmodpkg-hello)" "$(source_rpm kmodpkg-multi)"
	initramfs_reset
	# shellcheck disable=SC2046
	install_by "$tool" $(kernel_rpms "$K1")
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_posttrans "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_initramfs_made "$K1=1"
	assert_generated "$K1" 1.0 kmodpkg-hello kmodpkg-multi
	assert_marked kmodpkg-hello "$K1"
	assert_status kmodpkg-hello 1.0 "$K1" installed
	[ "$(kmodpkg owner "$(module_file "$K1" kmodpkg_hello)" |
		grep -c "kmod-kmodpkg-hello-$K1")" = 1 ] ||
		fail "kmodpkg owner does not name the package"
	run rpm -q --qf '%{LICENSE}\n' "kmod-kmodpkg-hello-$K1"
	assert_output '^GPL$'
}

scenario both_by_rpm kmodpkg smoke
both_by_rpm()
{
	both_at_once rpm
	assert_no_output '[Ee]rror'
}

scenario both_by_dnf kmodpkg smoke
both_by_dnf()
{
	both_at_once dnf
	# Nobody has changed the database behind dnf's back, as far as it can tell.
	run dnf history list
	assert_no_output '[<>]'
}

scenario both_by_dnf5 kmodpkg smoke forky
both_by_dnf5()
{
	both_at_once dnf5
}

# zypper installs each package in a transaction of its own, and runs %posttrans itself at the end.
scenario both_by_zypper kmodpkg
both_by_zypper()
{
	both_at_once zypper
}

# The way to be of openSUSE's next versions: one transaction.
# Debian's libzypp in trixie lacks the program that does it (zypp-rpm).
scenario both_by_zypper_single kmodpkg bookworm forky
both_by_zypper_single()
{
	export ZYPP_SINGLE_RPMTRANS=1
	both_at_once zypper
}

scenario everything_at_once kmodpkg
everything_at_once()
{
	# shellcheck disable=SC2046
	run rpm -i "$(source_rpm kmodpkg-hello)" $(kernel_rpms "$K1")
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario headers_later kmodpkg smoke
headers_later()
{
	run rpm -i "$(source_rpm kmodpkg-hello)"
	run rpm -i "$RPMS/kernel-core-$K1.rpm"
	assert_modules "$K1"
	assert_status kmodpkg-hello 1.0 "$K1" no-headers
	assert_initramfs_made "$K1=1"
	initramfs_reset
	run dnf install "kernel-devel-${K1%.x86_64}"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario headers_first kmodpkg
headers_first()
{
	run rpm -i "$(source_rpm kmodpkg-hello)" "$RPMS/kernel-devel-$K1.rpm"
	fail_on "headers alone got packages" "$(generated_packages "$K1")"
	[ ! -d "/lib/modules/$K1" ] || fail "headers alone got a kernel's directory"
	run rpm -i "$RPMS/kernel-core-$K1.rpm"
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario source_later kernel
source_later()
{
	initramfs_reset
	run dnf install kmodpkg-hello-1.0
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario second_kernel hello
second_kernel()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	initramfs_reset
	run dnf install "kernel-core-${K2%.x86_64}" "kernel-devel-${K2%.x86_64}"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_posttrans "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "the module of the kernel that was there was made anew"
}

scenario many_modules kernel
many_modules()
{
	initramfs_reset
	run rpm -i "$(source_rpm kmodpkg-user)" "$(source_rpm kmodpkg-multi)"
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_initramfs_made "$K1=1"
	[ "$(modinfo -F depends "$(module_file "$K1" kmodpkg_user)")" = kmodpkg_core ] ||
		fail "kmodpkg_user does not depend on kmodpkg_core"
}

scenario installed_last prepared
installed_last()
{
	# shellcheck disable=SC2046
	run rpm -i $(kernel_rpms "$K1") $(kernel_rpms "$K2") "$(source_rpm kmodpkg-hello)"
	initramfs_reset
	run rpm -i "${KMODPKG_RPMS[@]}"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K1=1" "$K2=1"
}

scenario nothing_to_do hello
nothing_to_do()
{
	local before
	before=$(find "/lib/modules/$K1/extra" -type f -printf '%p %i %T@\n')
	initramfs_reset
	run kmodpkg sync --dry-run
	assert_no_output "$K1_RE"
	run kmodpkg sync
	# A package that has nothing to do with modules.
	run rpm -i "$(small_rpm e2e-unrelated 1)"
	assert_no_output kmodpkg
	run rpm -e e2e-unrelated
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	[ "$before" = "$(find "/lib/modules/$K1/extra" -type f -printf '%p %i %T@\n')" ] ||
		fail "the module was written again"
}

scenario opensuse kmodpkg
opensuse()
{
	sed -i -e 's/^ID=.*/ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"/' \
		-e 's/^NAME=.*/NAME="openSUSE Tumbleweed"/' /usr/lib/os-release
	# shellcheck disable=SC2034 # for lib/assert.sh
	MODULE_DIR=updates
	run rpm -i "$(source_rpm kmodpkg-hello)"
	run zypper --non-interactive install "kernel-core-$K1" "kernel-devel-$K1"
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
	run zypper --non-interactive remove "kernel-core-$K1" "kernel-devel-$K1"
	assert_kernel_gone "$K1"
}
