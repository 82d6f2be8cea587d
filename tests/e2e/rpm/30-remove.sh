# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources go away.

# kernel_removed_by COMMAND...: the names of the kernel's packages are appended.
kernel_removed_by()
{
	# shellcheck disable=SC2046
	run rpm -i $(kernel_rpms "$K2")
	initramfs_reset
	run "$@" "kernel-core-${K1%.x86_64}" "kernel-devel-${K1%.x86_64}"
	assert_kernel_gone "$K1"
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made
	run kmodpkg status
	assert_no_output "$K1_RE"
}

scenario kernel_erased hello smoke
kernel_erased()
{
	kernel_removed_by rpm -e
}

scenario kernel_removed_by_dnf hello
kernel_removed_by_dnf()
{
	kernel_removed_by dnf remove
}

scenario kernel_removed_by_dnf5 hello forky
kernel_removed_by_dnf5()
{
	kernel_removed_by dnf5 -y remove
}

scenario kernel_removed_by_zypper hello
kernel_removed_by_zypper()
{
	kernel_removed_by zypper --non-interactive remove
}

scenario kernel_removed_headers_left hello
kernel_removed_headers_left()
{
	run rpm -e "kernel-core-$K1"
	assert_kernel_gone "$K1"
	run rpm -e "kernel-devel-$K1"
	assert_kernel_gone "$K1"
}

scenario headers_removed hello
headers_removed()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	initramfs_reset
	run rpm -e "kernel-devel-$K1"
	assert_modules "$K1" kmodpkg_hello
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "the module was made anew"
}

scenario source_removed hello
source_removed()
{
	initramfs_reset
	run rpm -e kmodpkg-hello
	assert_modules "$K1"
	[ ! -e "/lib/modules/$K1/extra" ] || fail "/lib/modules/$K1/extra is left"
	! grep -q kmodpkg_hello "/lib/modules/$K1/modules.dep" ||
		fail "modules.dep still lists the module"
	assert_not_in_initramfs "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	run kmodpkg status
	assert_no_output kmodpkg-hello
}

scenario all_removed_at_once hello
all_removed_at_once()
{
	run dnf remove kmodpkg-hello "kernel-core-${K1%.x86_64}" "kernel-devel-${K1%.x86_64}"
	assert_kernel_gone "$K1"
}

scenario package_erased_is_restored hello
package_erased_is_restored()
{
	run rpm -e "kmod-kmodpkg-hello-$K1"
	cp "$RUN_OUTPUT" /tmp/removal
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	cat /tmp/removal >>"$RUN_OUTPUT"
	assert_output 'kmodpkg uninstall'
}
