# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Sources, kernels and headers are replaced by newer ones.

scenario source_upgraded hello
source_upgraded()
{
	initramfs_reset
	run apt-get install "$(source_deb kmodpkg-hello 1.1)"
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

scenario source_downgraded hello
source_downgraded()
{
	run dpkg -i "$(source_deb kmodpkg-hello 1.1)"
	assert_generated "$K1" 1.1 kmodpkg-hello
	initramfs_reset
	run dpkg -i "$(source_deb kmodpkg-hello 1.0)"
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.0 kmodpkg-hello
	assert_initramfs_made "$K1=1"
}

# meta VERSION K: a meta package of a kernel and its headers in the local repository.
meta()
{
	small_deb /srv/e2e/repo linux-kmodpkg-meta "$1" "Depends: linux-image-$2, linux-headers-$2"
	/bin/bash /run/e2e/lib/repo.sh
}

scenario kernel_upgraded kmodpkg
kernel_upgraded()
{
	meta 1 "$K1"
	run apt-get install linux-kmodpkg-meta "$(source_deb kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	meta 2 "$K2"
	initramfs_reset
	run apt-get upgrade --with-new-pkgs
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
	# The kernels came by a dependency: their modules must go with them one day.
	run apt-mark showauto
	assert_output "^kmodpkg-hello-modules-$K1_RE$"
	assert_output "^kmodpkg-hello-modules-$K2_RE$"
	# And while a kernel is protected from autoremove, so are its modules.
	run apt-get autoremove
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
}

# apt protects the two newest kernels from autoremove, so it takes a third one to see one go.
scenario kernel_autoremoved kmodpkg
kernel_autoremoved()
{
	local k3 debs k
	k3=${K2%-cloud-*}.3-cloud-${K2##*-}
	mapfile -t debs < <(kernel_debs "$K2" image && kernel_debs "$K2" headers)
	/bin/bash /run/e2e/lib/relabel.sh "$K2" "$k3" /srv/e2e/repo "${debs[@]}"
	meta 1 "$K1"
	run apt-get install linux-kmodpkg-meta "$(source_deb kmodpkg-hello)"
	meta 2 "$K2"
	run apt-get upgrade --with-new-pkgs
	meta 3 "$k3"
	run apt-get upgrade --with-new-pkgs
	for k in "$K1" "$K2" "$k3"; do
		assert_modules "$k" kmodpkg_hello
	done
	initramfs_reset
	# apt removes the generated package itself, and without --purge the kernel's leaves
	# depmod's files.
	run apt-get autoremove
	assert_kernel_gone "$K1"
	[ -z "$(find /var/lib/dkms -name "*$K1*")" ] || fail "the build for $K1 is left"
	assert_modules "$K2" kmodpkg_hello
	assert_modules "$k3" kmodpkg_hello
	assert_initramfs_made
	# It stays that way: nothing that was removed is made again, only to be removed again.
	run apt-get autoremove --purge
	assert_output '^0 upgraded, 0 newly installed, 0 to remove'
}

scenario headers_upgraded hello
headers_upgraded()
{
	local deb dir ko
	ko=$(module_file "$K1" kmodpkg_hello)
	[ -z "$(modinfo -F configured "$ko")" ] || fail "the module cannot show what this is about"
	# The headers of the same release as another version of the package, with another content.
	deb=$(kernel_debs "$K1" headers | grep "/linux-headers-${K1}_")
	dir=$(mktemp -d)
	dpkg-deb -R "$deb" "$dir/x"
	sed -i 's/^Version: .*/&+e2e1/' "$dir/x/DEBIAN/control"
	echo '#define CONFIG_KMODPKG_E2E 1' >>"$dir/x/usr/src/linux-headers-$K1/include/generated/autoconf.h"
	rm -f "$dir/x/DEBIAN/md5sums"
	dpkg-deb --root-owner-group -Znone -b "$dir/x" "$dir"
	initramfs_reset
	run apt-get install "$dir"/linux-headers-*.deb
	assert_modules "$K1" kmodpkg_hello
	[ "$(modinfo -F configured "$ko")" = yes ] ||
		fail "headers of the same release were replaced and nothing was rebuilt"
	assert_initramfs_made "$K1=1"
}

scenario kernel_reinstalled hello
kernel_reinstalled()
{
	run apt-get install --reinstall "linux-image-$K1" "linux-headers-$K1"
	assert_modules "$K1" kmodpkg_hello
}
