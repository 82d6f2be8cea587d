# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels and sources are upgraded.

scenario system_upgrade hello smoke
system_upgrade()
{
	initramfs_reset
	log_reset
	repo_linux "$K2"
	pac -Syu
	assert_no_output '[Ee]rror|[Ww]arning'
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
	assert_kernel_gone "$K1"
	assert_generated "$K2" 1.0 kmodpkg-hello
	# In place: one package, upgraded, in one nested transaction.
	grep -qE '\[ALPM\] upgraded kmod-kmodpkg-hello-linux \(1\.0_.* -> 1\.0_.*\)' /var/log/pacman.log ||
		fail "pacman.log does not tell of an upgrade"
	! grep -q '\[ALPM\] removed kmod-' /var/log/pacman.log || fail "the package was removed first"
	[ "$(pacman -Qq | grep -c '^kmod-')" -eq 1 ] || fail "there are more packages than one"
}

# The kernel first, its headers in a transaction of their own.
scenario upgrade_in_steps hello
upgrade_in_steps()
{
	initramfs_reset
	pac -U "$(kernel_file linux "$K2")"
	assert_modules "$K2"
	assert_status kmodpkg-hello 1.0 "$K2" no-headers
	initramfs_reset
	pac -U "$(kernel_file linux-headers "$K2")"
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
	assert_kernel_gone "$K1"
}

scenario downgrade hello
downgrade()
{
	pac -U "$(kernel_file linux "$K2")" "$(kernel_file linux-headers "$K2")"
	assert_modules "$K2" kmodpkg_hello
	pac -U "$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")"
	assert_modules "$K1" kmodpkg_hello
	assert_kernel_gone "$K2"
}

scenario source_upgraded hello
source_upgraded()
{
	initramfs_reset
	pac -U "$(source_file kmodpkg-hello 1.1)"
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.1 kmodpkg-hello
	assert_initramfs_made "$K1=1"
	[ "$(modinfo -k "$K1" -F version kmodpkg_hello)" = 1.1 ] || fail "the old module is still there"
	pac -U "$(source_file kmodpkg-hello 1.0)"
	assert_generated "$K1" 1.0 kmodpkg-hello
}

# Kernel and source at once.
scenario all_upgraded hello
all_upgraded()
{
	repo "$(kernel_file linux "$K2")" "$(kernel_file linux-headers "$K2")" \
		"$(source_file kmodpkg-hello 1.1)" "$(source_file kmodpkg-multi)"
	pac -Syu kmodpkg-multi
	assert_modules "$K2" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_generated "$K2" '' kmodpkg-hello kmodpkg-multi
	[ "$(modinfo -k "$K2" -F version kmodpkg_hello)" = 1.1 ] || fail "the old version was built"
	assert_kernel_gone "$K1"
}

# kernel-modules-hook and the like keep the running kernel's files, which nobody owns then.
scenario superseded_release hello
superseded_release()
{
	mkdir /tmp/kept
	cp -a "/usr/lib/modules/$K1" /tmp/kept/
	rm -r "/tmp/kept/$K1/build" "/tmp/kept/$K1/updates"
	# Before any other hook.
	cat >/usr/share/libalpm/hooks/10-keep.hook <<-END
		[Trigger]
		Type = Path
		Operation = Remove
		Target = usr/lib/modules/*/vmlinuz
		[Action]
		When = PostTransaction
		Exec = /bin/cp -a /tmp/kept/$K1 /usr/lib/modules/
	END
	initramfs_reset
	pac -U "$(kernel_file linux "$K2")" "$(kernel_file linux-headers "$K2")"
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
	[ "$(pacman -Qq | grep -c '^kmod-')" -eq 1 ] || fail "the kept release has a package"
	[ -e "/usr/lib/modules/$K1/vmlinuz" ] || fail "the kept release is gone"
	run kmodpkg sync
	assert_output 'nothing to do'
	# What keeps it takes it away.
	rm -r "/usr/lib/modules/$K1"
	run kmodpkg sync
}

# A signed module of a kernel that verifies signatures.
scenario signed kernel
signed()
{
	local ko
	echo 'sign = yes' >/etc/kmodpkg/kmodpkg.conf.d/sign.conf
	pac -U "$(source_file kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	ko=$(module_file "$K1" kmodpkg_hello)
	[ -n "$(modinfo -F sig_id "$ko")" ] || fail "$ko is not signed"
	repo_linux "$K2"
	pac -Syu
	assert_modules "$K2" kmodpkg_hello
	[ -n "$(modinfo -F sig_id "$(module_file "$K2" kmodpkg_hello)")" ] || fail "not signed any more"
}
