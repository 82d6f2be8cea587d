# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources arrive, in every order.

scenario both_at_once kmodpkg smoke boot
both_at_once()
{
	run apt-get install "$(source_deb kmodpkg-hello)" "$(source_deb kmodpkg-multi)"
	assert_no_output '[Ee]rror'
	initramfs_reset
	run apt-get install "linux-image-$K1" "linux-headers-$K1"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_initramfs_made "$K1=1"
	# apt gives dpkg a terminal of its own and keeps a log of it: plain lines belong there.
	assert_no_output $'\e'
	assert_status kmodpkg-hello 1.0 "$K1" installed
	[ "$(kmodpkg owner "$(module_file "$K1" kmodpkg_hello)" | grep -c "kmodpkg-hello-modules-$K1")" = 1 ] ||
		fail "kmodpkg owner does not name the package"
	# For the boot that follows.
	cp "$(module_file "$K1" kmodpkg_hello)" "$(module_file "$K1" kmodpkg_core)" \
		"$(module_file "$K1" kmodpkg_extra)" /run/out/
	cp "/boot/vmlinuz-$K1" /run/out/
}

scenario everything_at_once kmodpkg
everything_at_once()
{
	run apt-get install "$(source_deb kmodpkg-hello)" "linux-image-$K1" "linux-headers-$K1"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario headers_after_image kmodpkg smoke
headers_after_image()
{
	run apt-get install "$(source_deb kmodpkg-hello)"
	run apt-get install "linux-image-$K1"
	assert_modules "$K1"
	assert_initramfs_made "$K1=1"
	initramfs_reset
	run apt-get install "linux-headers-$K1"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario image_after_headers kmodpkg
image_after_headers()
{
	local debs
	run apt-get install "$(source_deb kmodpkg-hello)"
	mapfile -t debs < <(kernel_debs "$K1" headers)
	# Headers depend on the image, or on its unpacked base, from trixie on.
	run dpkg --force-depends -i "${debs[@]}"
	fail_on "headers alone got packages" "$(generated_packages "$K1")"
	[ ! -d "/lib/modules/$K1/updates" ] || fail "headers alone got modules"
	assert_initramfs_made
	if [ "$SUITE" = forky ]; then
		# apt does not take up a name while dependencies are broken, as they now are.
		mapfile -t debs < <(kernel_debs "$K1" image)
		run dpkg -i "${debs[@]}"
	else
		run apt-get install -f "linux-image-$K1"
	fi
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario two_kernels kmodpkg
two_kernels()
{
	run apt-get install "$(source_deb kmodpkg-hello)"
	run apt-get install linux-{image,headers}-{"$K1","$K2"}
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K1=1" "$K2=1"
	assert_generated "$K1" 1.0 kmodpkg-hello
	assert_generated "$K2" 1.0 kmodpkg-hello
}

scenario second_kernel hello
second_kernel()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	initramfs_reset
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "the module of the kernel that was there was made anew"
}

scenario source_added kernel
source_added()
{
	initramfs_reset
	run apt-get install "$(source_deb kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario many_modules kernel
many_modules()
{
	initramfs_reset
	# In one transaction, the dependent source before the one it needs.
	run apt-get install "$(source_deb kmodpkg-user)" "$(source_deb kmodpkg-multi)"
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_initramfs_made "$K1=1"
	[ "$(modinfo -F depends "$(module_file "$K1" kmodpkg_user)")" = kmodpkg_core ] ||
		fail "kmodpkg_user does not depend on kmodpkg_core"
	initramfs_reset
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_modules "$K2" kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_initramfs_made "$K2=1"
}

# Reading all of a kernel's modules takes longer than the rest of a small transaction.
scenario depmod_once kernel
depmod_once()
{
	local calls=/tmp/depmod-calls
	# kmod goes by the name that it is called by. With -b it is for the tree of an image.
	rm /usr/sbin/depmod
	cat >/usr/sbin/depmod <<-END
		#!/bin/bash
		[[ " \$* " == *' -b '* ]] || echo "\${@: -1}" >>$calls
		exec -a depmod /usr/bin/kmod "\$@"
	END
	chmod +x /usr/sbin/depmod
	# Each of their scripts calls us, then the trigger does, then the end of dpkg's run.
	run apt-get install "$(dkms_deb kmodpkg-hello 1.0)" "$(dkms_deb kmodpkg-multi 1.0)"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_depmod_once "after two packages with scripts"
	run apt-get install "$(source_deb kmodpkg-user)"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_depmod_once "after one without"
	run apt-get install "$(dkms_deb kmodpkg-hello 1.1)"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_depmod_once "after an upgrade"
	run apt-get purge kmodpkg-hello-dkms kmodpkg-user
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_depmod_once "after a removal"
	ln -sf ../bin/kmod /usr/sbin/depmod
}

assert_depmod_once()
{
	[ "$(cat /tmp/depmod-calls)" = "$K1" ] || fail "depmod $1: $(cat /tmp/depmod-calls)"
	rm /tmp/depmod-calls
}

# A source as Debian ships it, and the kernel that most people have.
scenario full_kernel kmodpkg
full_kernel()
{
	run apt-get install "$(source_deb v4l2loopback)" "linux-image-$KFULL" "linux-headers-$KFULL"
	assert_modules "$KFULL" v4l2loopback
	assert_initramfs_made "$KFULL=1"
}

scenario dependency_later kernel
dependency_later()
{
	run apt-get install "$(source_deb kmodpkg-user)"
	assert_modules "$K1"
	assert_status kmodpkg-user 1.0 "$K1" blocked
	initramfs_reset
	run apt-get install "$(source_deb kmodpkg-multi)"
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_initramfs_made "$K1=1"
}

scenario installed_last prepared
installed_last()
{
	run apt-get install linux-{image,headers}-{"$K1","$K2"} "$(source_deb kmodpkg-hello)"
	initramfs_reset
	run apt-get install "$KMODPKG"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K1=1" "$K2=1"
}

scenario missing_headers kmodpkg
missing_headers()
{
	run apt-get install "$(source_deb kmodpkg-hello)"
	run apt-get install "linux-image-$K1"
	# Whoever installs a kernel without its headers is told what to do, then and there.
	assert_output "apt install linux-headers-$K1_RE"
	assert_modules "$K1"
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-hello 1.0 "$K1" no-headers
	run kmodpkg status -v
	assert_output "apt install linux-headers-$K1_RE"
}

scenario nothing_to_do hello
nothing_to_do()
{
	local before
	before=$(find "/lib/modules/$K1/updates" -type f -printf '%p %i %T@\n')
	initramfs_reset
	run kmodpkg sync --dry-run
	assert_no_output "$K1_RE"
	run kmodpkg sync
	# A package that has nothing to do with modules.
	small_deb /tmp e2e-unrelated 1
	run apt-get install /tmp/e2e-unrelated_1_all.deb
	assert_no_output kmodpkg_hello
	run dpkg -r e2e-unrelated
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	[ "$before" = "$(find "/lib/modules/$K1/updates" -type f -printf '%p %i %T@\n')" ] ||
		fail "the module was written again"
}
