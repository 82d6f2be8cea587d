# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sources, kernels and headers are replaced by newer ones.

# source_upgraded_by TOOL
source_upgraded_by()
{
	initramfs_reset
	install_by "$1" "$(source_rpm kmodpkg-hello 1.1)"
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.1 kmodpkg-hello
	[ "$(modinfo -F version "$(module_file "$K1" kmodpkg_hello)")" = 1.1 ] ||
		fail "the module is not the new version"
	[ ! -e /usr/src/kmodpkg-hello-1.0 ] || fail "the old source tree is left"
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-hello 1.1 "$K1" installed
	run kmodpkg status
	assert_no_output 'kmodpkg-hello[^0-9]*1\.0( |$)'
}

scenario source_upgraded hello smoke
source_upgraded()
{
	source_upgraded_by rpm
}

scenario source_upgraded_by_dnf hello
source_upgraded_by_dnf()
{
	source_upgraded_by dnf
}

scenario source_upgraded_by_dnf5 hello forky
source_upgraded_by_dnf5()
{
	source_upgraded_by dnf5
}

scenario source_upgraded_by_zypper hello
source_upgraded_by_zypper()
{
	source_upgraded_by zypper
}

scenario source_downgraded kernel
source_downgraded()
{
	run rpm -i "$(source_rpm kmodpkg-hello 1.1)"
	assert_generated "$K1" 1.1 kmodpkg-hello
	initramfs_reset
	run rpm -U --oldpackage "$(source_rpm kmodpkg-hello 1.0)"
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.0 kmodpkg-hello
	assert_initramfs_made "$K1=1"
}

# dnf keeps two kernels: the third takes the first away, with its modules.
limit_by()
{
	local tool=$1
	run "$tool" -y install "kernel-core-${K2%.x86_64}" "kernel-devel-${K2%.x86_64}"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	initramfs_reset
	run "$tool" -y install "kernel-core-${K3%.x86_64}" "kernel-devel-${K3%.x86_64}"
	assert_kernel_gone "$K1"
	[ -z "$(find /var/lib/dkms -name "*$K1*")" ] || fail "the build for $K1 is left"
	assert_modules "$K2" kmodpkg_hello
	assert_modules "$K3" kmodpkg_hello
	assert_posttrans "$K3" kmodpkg_hello
	assert_initramfs_made "$K3=1"
}

scenario limit_by_dnf hello
limit_by_dnf()
{
	limit_by dnf
}

scenario limit_by_dnf5 hello forky
limit_by_dnf5()
{
	limit_by dnf5
}

# As Fedora's own kmods: dnf knows of the packages and removes them itself.
scenario limit_with_requires kmodpkg
limit_with_requires()
{
	echo 'depend_on_kernel = yes' >>/etc/kmodpkg/kmodpkg.conf
	# shellcheck disable=SC2046
	run rpm -i "$(source_rpm kmodpkg-hello)" $(kernel_rpms "$K1")
	run rpm -q --requires "kmod-kmodpkg-hello-$K1"
	assert_output "^kernel-uname-r = $K1_RE$"
	limit_by dnf
	run_fails rpm -e "kernel-core-$K2"
	assert_output "kernel-uname-r = $K2_RE is needed by"
	assert_modules "$K2" kmodpkg_hello
	run dnf remove "kernel-core-${K2%.x86_64}" "kernel-devel-${K2%.x86_64}"
	assert_output "kmod-kmodpkg-hello-$K2_RE"
	assert_kernel_gone "$K2"
}

# The package for the kernel that goes is stale as well, and dnf erases it in the same transaction.
scenario limit_with_requires_and_source kmodpkg
limit_with_requires_and_source()
{
	echo 'depend_on_kernel = yes' >>/etc/kmodpkg/kmodpkg.conf
	# shellcheck disable=SC2046
	run rpm -i "$(source_rpm kmodpkg-hello)" $(kernel_rpms "$K1")
	run dnf -y install "kernel-core-${K2%.x86_64}" "kernel-devel-${K2%.x86_64}"
	run dnf -y install "kernel-core-${K3%.x86_64}" "kernel-devel-${K3%.x86_64}" \
		"$(source_rpm kmodpkg-hello 1.1)"
	assert_no_output 'erase failed'
	assert_kernel_gone "$K1"
	assert_generated "$K2" 1.1 kmodpkg-hello
	assert_generated "$K3" 1.1 kmodpkg-hello
	assert_posttrans "$K3" kmodpkg_hello
	[ ! -e /var/lib/kmodpkg/queue ] || fail "something is queued"
}

# The headers of the same release in another package of it, with another content.
scenario headers_upgraded hello
headers_upgraded()
{
	local tree ko name
	ko=$(module_file "$K1" kmodpkg_hello)
	[ -z "$(modinfo -F configured "$ko")" ] || fail "the module cannot show what this is about"
	tree=$(mktemp -d)
	mkdir -p "$tree/usr/src/kernels"
	cp -a "/usr/src/kernels/$K1" "$tree/usr/src/kernels/"
	echo '#define CONFIG_KMODPKG_E2E 1' \
		>>"$tree/usr/src/kernels/$K1/include/generated/autoconf.h"
	name=${K1#*-}
	run /bin/bash /run/e2e/rpm/pack /tmp "$tree" kernel-devel "${K1%%-*}" "${name%.x86_64}.1" x86_64
	initramfs_reset
	run rpm -U /tmp/kernel-devel-*.rpm
	assert_modules "$K1" kmodpkg_hello
	[ "$(modinfo -F configured "$ko")" = yes ] ||
		fail "headers of the same release were replaced and nothing was rebuilt"
	assert_initramfs_made "$K1=1"
}

scenario kernel_reinstalled hello
kernel_reinstalled()
{
	run dnf reinstall "kernel-core-${K1%.x86_64}" "kernel-devel-${K1%.x86_64}"
	# The %preun of the one that goes has taken modules.dep away; %posttrans makes it anew.
	assert_modules "$K1" kmodpkg_hello
}
