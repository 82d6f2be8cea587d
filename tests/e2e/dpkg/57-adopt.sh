# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# DKMS was here: what it built is taken over, not built again.

# A module that the kernel has too.
double_source()
{
	local dir=/usr/src/dummy-9.0
	mkdir -p $dir
	echo 'obj-m := dummy.o' >$dir/Makefile
	cat >$dir/dummy.c <<-END
		#include <linux/module.h>
		MODULE_LICENSE("GPL");
		MODULE_DESCRIPTION("not the kernel's");
		MODULE_VERSION("9.0");
	END
	printf '%s\n' PACKAGE_NAME=dummy PACKAGE_VERSION=9.0 'BUILT_MODULE_NAME[0]=dummy' \
		'DEST_MODULE_LOCATION[0]=/updates' AUTOINSTALL=yes >$dir/dkms.conf
}

# DKMS with kernels and sources, and what it makes of them. Debian's own packages of module sources
# would do it in their postinst.
dkms_builds()
{
	local k m
	run apt-get install dkms "linux-image-$K1" "linux-headers-$K1" "linux-image-$K2" \
		"linux-headers-$K2" "$(source_deb kmodpkg-hello)" "$(source_deb kmodpkg-multi)"
	double_source
	NOT_IN_INITRAMFS+=' dummy'
	for k in "$K1" "$K2"; do
		for m in kmodpkg-hello/1.0 kmodpkg-multi/1.0 dummy/9.0; do
			run dkms install "$m" -k "$k"
		done
	done
}

# was_built MODULE VERSION K: by us? Then the log in DKMS's tree is a link to ours.
was_built()
{
	[ -L "/var/lib/dkms/$1/$2/$3/$(uname -m)/log/make.log" ]
}

module_hashes()
{
	(cd /lib/modules && sha256sum ./*/updates/dkms/*.ko*)
}

scenario adopt_all base
adopt_all()
{
	local before
	dkms_builds
	# A kernel can lose its headers, its modules stay.
	run apt-get remove "linux-headers-$K2"
	before=$(module_hashes)
	run apt-get install "$KMODPKG"
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K1_RE"
	assert_no_output 'not adopted|built [0-9]|is missing'
	[ "$(module_hashes)" = "$before" ] || fail "a module is not the one that DKMS built"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub dummy
	assert_modules "$K2" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub dummy
	assert_status kmodpkg-hello 1.0 "$K1" installed
	assert_status kmodpkg-hello 1.0 "$K2" installed 'cannot be rebuilt'
	fail_on "the kernel's files are not as they were" \
		"$(dpkg -V "linux-image-$K1" "linux-image-$K2" 2>&1)"
	fail_on "archived modules are left" "$(find /var/lib/dkms -name original_module)"
	! was_built kmodpkg-hello 1.0 "$K1" || fail "an adopted module was built"
	run kmodpkg log kmodpkg-hello
	assert_output '^DKMS.* make.log for kmodpkg-hello'

	run kmodpkg adopt --dry-run
	assert_output 'nothing to adopt'
	run kmodpkg adopt
	assert_output 'nothing to adopt'
	assert_no_output 'adopting|not adopted'
	run kmodpkg sync --dry-run
	assert_output 'nothing to do'

	# From here on they are like any others.
	echo '/* changed */' >>/usr/src/dummy-9.0/dummy.c
	run apt-get install "linux-headers-$K2"
	assert_status kmodpkg-hello 1.0 "$K2" installed
	was_built kmodpkg-hello 1.0 "$K2" ||
		fail "a build of an unknown state of the headers is kept when they come"
	run kmodpkg sync
	was_built dummy 9.0 "$K1" ||
		fail "an adopted module is not built again when its source changes"
	! was_built kmodpkg-hello 1.0 "$K1" ||
		fail "an adopted module was built again"
	run apt-get purge kmodpkg-hello
	fail_on "a package of a removed source is left" \
		"$(generated_packages "$K1" | grep kmodpkg-hello)"
}

scenario adopt_some base long
adopt_some()
{
	local dead=6.1.0-1-dead tree=/var/lib/dkms/kmodpkg-hello file
	dkms_builds
	# Signed, or patched, or worse.
	file=$(find "/lib/modules/$K1/updates/dkms" -name 'kmodpkg_hello.ko*')
	echo changed >>"$file"
	# The source is newer than what was built of it.
	echo '/* changed */' >>/usr/src/dummy-9.0/dummy.c
	# DKMS did not see this kernel go.
	mkdir -p "$tree/1.0/$dead" "/lib/modules/$dead/updates/dkms"
	cp -a "$tree/1.0/$K1/$(uname -m)" "$tree/1.0/$dead/"
	ln -s "1.0/$dead/$(uname -m)" "$tree/kernel-$dead-$(uname -m)"
	cp "$tree/1.0/$dead/$(uname -m)"/module/*.ko* "/lib/modules/$dead/updates/dkms/"

	run apt-get install "$KMODPKG"
	assert_output "not adopted: kmodpkg-hello/1.0, kernel $K1_RE: .*is not what DKMS built"
	assert_output "not adopted: dummy/9.0, kernel $K2_RE: .*changed after it was built"
	assert_output "adopting the build of kmodpkg-multi/1.0 for $K1_RE"
	assert_output "adopting the build of kmodpkg-hello/1.0 for $K2_RE"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub dummy
	assert_modules "$K2" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub dummy
	[ ! -e "/lib/modules/$dead" ] || fail "the directory of a dead kernel is left"
	fail_on "builds for a dead kernel are left" "$(find /var/lib/dkms -name "*$dead*")"
	run kmodpkg adopt
	assert_no_output 'adopting|not adopted|removing'
}
