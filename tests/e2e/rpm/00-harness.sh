# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Tests of the tests: kernels made of Debian's are kernels, the assertions hold for what they should
# hold for, and fail for what they should fail for. Without kmodpkg.

# build NAME VERSION K: by bare make, in a copy of the source.
build()
{
	mkdir -p /tmp/build
	cp -r "/usr/src/$1-$2" "/tmp/build/$1"
	run make -C "/lib/modules/$3/build" M="/tmp/build/$1" modules
}

# The package that kmodpkg would make, made by hand: of the .ko files given.
hand_made()
{
	local k=$1 name=$2 tree
	shift 2
	tree=$(mktemp -d)
	mkdir -p "$tree/lib/modules/$k/extra"
	cp "$@" "$tree/lib/modules/$k/extra/"
	case $(find "/lib/modules/$k/kernel" -name '*.ko*' -print -quit) in
	*.xz) xz --check=crc32 "$tree/lib/modules/$k/extra"/*.ko ;;
	*.zst) zstd -q --rm "$tree/lib/modules/$k/extra"/*.ko ;;
	esac
	/bin/bash /run/e2e/rpm/pack /tmp "$tree" "kmod-$name-$k" 1.0 1 x86_64
	rm -r "$tree"
	run rpm -i "/tmp/kmod-$name-$k-1.0-1.x86_64.rpm"
	depmod "$k"
}

scenario harness_kernels prepared harness
harness_kernels()
{
	local k
	for k in "$K1" "$K2" "$K3"; do
		# shellcheck disable=SC2046
		run rpm -i $(kernel_rpms "$k")
		grep -q "\"$k\"" "/lib/modules/$k/build/include/generated/utsrelease.h" ||
			fail "kernel-devel of $k builds for another release"
		assert_posttrans "$k"
		assert_modules "$k"
	done
	assert_initramfs_made "$K1=1" "$K2=1" "$K3=1"
	# Oldest first, for rpm.
	for k in "$K1 $K2" "$K2 $K3"; do
		[ "$(rpm --eval "%{lua:print(rpm.vercmp('${k% *}', '${k#* }'))}")" = -1 ] ||
			fail "of $k the second is not newer"
	done
	run rpm -e "kernel-core-$K1" "kernel-devel-$K1"
	assert_kernel_gone "$K1"
}

scenario harness_assertions prepared harness
harness_assertions()
{
	local ko dir=/lib/modules/$K2
	# shellcheck disable=SC2046
	run rpm -i $(kernel_rpms "$K2") "$(source_rpm kmodpkg-hello)"
	assert_modules "$K2"
	build kmodpkg-hello 1.0 "$K2"
	hand_made "$K2" kmodpkg-hello /tmp/build/kmodpkg-hello/kmodpkg_hello.ko
	must_fail 'lacks kmodpkg_hello' assert_modules "$K2" kmodpkg_hello
	must_fail 'it saw' assert_posttrans "$K2" kmodpkg_hello
	must_fail 'no mark' assert_marked kmodpkg-hello "$K2"
	initramfs_reset
	run /srv/e2e/kernel-install add "$K2"
	assert_initramfs_made "$K2=1"
	assert_posttrans "$K2" kmodpkg_hello
	must_fail 'it saw' assert_posttrans "$K2"
	assert_modules "$K2" kmodpkg_hello
	assert_generated "$K2" 1.0 kmodpkg-hello
	must_fail 'not version' assert_generated "$K2" 1.1 kmodpkg-hello
	ko=$(module_file "$K2" kmodpkg_hello)

	touch "$dir/extra/stray.ko" "$dir/stray"
	must_fail stray.ko assert_owned "$K2"
	must_fail stray assert_system
	rm "$dir/extra/stray.ko" "$dir/stray"
	cp "$ko" /tmp/good
	echo >>"$ko"
	must_fail 'S.5' assert_verified "$K2"
	cp -p /tmp/good "$ko"
	sed -i '/kmodpkg_hello/d' "$dir/modules.dep"
	must_fail 'modules.dep' assert_modules "$K2" kmodpkg_hello
	depmod "$K2"
	mkdir -p /var/lib/kmodpkg/queue
	must_fail 'left to be recorded' assert_system
	rm -r /var/lib/kmodpkg

	run rpm -e --justdb "kmod-kmodpkg-hello-$K2"
	must_fail 'no package owns' assert_modules "$K2" kmodpkg_hello
	rm -r "$dir/extra"
	run rpm -e "kernel-core-$K2" "kernel-devel-$K2"
	assert_kernel_gone "$K2"
}

# dnf and zypper find what they need in the stand-in for Debian's files.
scenario harness_managers prepared harness
harness_managers()
{
	run dnf install "kernel-core-$K1" "kernel-devel-$K1"
	run zypper --non-interactive install "kernel-core-$K2" "kernel-devel-$K2"
	if [ "$SUITE" = forky ]; then
		run dnf5 install kmodpkg-hello
	else
		run dnf install kmodpkg-hello
	fi
	build kmodpkg-hello 1.1 "$K1"
	rm -r /tmp/build
	build kmodpkg-hello 1.1 "$K2"
	# The limit of two kernels.
	run dnf install "kernel-core-$K3" "kernel-devel-$K3"
	assert_kernel_gone "$K1"
	run dnf check
}
