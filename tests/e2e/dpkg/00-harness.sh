# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Tests of the tests: the assertions hold for what they should hold for, and fail for what they
# should fail for. Without kmodpkg.

install_kernel()
{
	run apt-get install "linux-image-$1" "linux-headers-$1"
}

# build NAME VERSION K [MAKEARG...]: by bare make, in a copy of the source.
build()
{
	local name=$1 version=$2 k=$3
	shift 3
	mkdir -p /tmp/build
	cp -r "/usr/src/$name-$version" "/tmp/build/$name"
	run make -C "/usr/src/linux-headers-$k" M="/tmp/build/$name" "$@" modules
}

# The package that kmodpkg would make, made by hand: of the .ko files given.
hand_made()
{
	local k=$1 name=$2 dir tree
	shift 2
	dir=$(kernel_dir "$k")/updates/dkms
	tree=$(mktemp -d)
	chmod 755 "$tree"
	mkdir -p "$tree/DEBIAN" "$tree$dir"
	cp "$@" "$tree$dir/"
	case $(find "${dir%/updates/dkms}/kernel" -name '*.ko*' -print -quit) in
	*.xz) xz --check=crc32 "$tree$dir"/*.ko ;;
	*.zst) zstd -q --rm "$tree$dir"/*.ko ;;
	esac
	(cd "$tree" && find . -name '*.ko*' -printf '%P\0' | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
	printf '%s\n' "Package: $name-modules-$k" 'Version: 1.0' 'Architecture: amd64' \
		'Maintainer: nobody <root@localhost>' 'Description: for tests' >"$tree/DEBIAN/control"
	dpkg-deb --root-owner-group -Znone -b "$tree" /tmp
	run dpkg -i "/tmp/$name-modules-${k}_1.0_amd64.deb"
	depmod "$k"
}

scenario harness_sources base harness boot
harness_sources()
{
	local name
	install_kernel "$K1"
	run apt-get install "$(source_deb kmodpkg-hello)" "$(source_deb kmodpkg-multi)" \
		"$(source_deb kmodpkg-user)" "$(source_deb kmodpkg-broken)"
	assert_database
	build kmodpkg-hello 1.0 "$K1"
	build kmodpkg-multi 1.0 "$K1"
	build kmodpkg-user 1.0 "$K1" KBUILD_EXTRA_SYMBOLS=/tmp/build/kmodpkg-multi/Module.symvers
	cp -r /usr/src/kmodpkg-broken-1.0 /tmp/build/
	run_fails make -C "/usr/src/linux-headers-$K1" M=/tmp/build/kmodpkg-broken-1.0 modules
	assert_output 'does not compile, on purpose'
	hand_made "$K1" kmodpkg-multi /tmp/build/kmodpkg-multi/kmodpkg_{core,extra}.ko
	update_initramfs "$K1"
	assert_modules "$K1" kmodpkg_core kmodpkg_extra
	# For the boot that follows.
	find /tmp/build -name '*.ko' -exec cp '{}' /run/out/ \;
	cp "/boot/vmlinuz-$K1" /run/out/
}

scenario harness_v4l2loopback base harness
harness_v4l2loopback()
{
	install_kernel "$KFULL"
	run apt-get install "$(source_deb v4l2loopback)"
	build v4l2loopback "$(dpkg-query -W -f '${Version}' v4l2loopback-src)" "$KFULL"
	hand_made "$KFULL" v4l2loopback /tmp/build/v4l2loopback/v4l2loopback.ko
	update_initramfs "$KFULL"
	assert_modules "$KFULL" v4l2loopback
}

# Of a program below a transaction, whose standard error may be anywhere.
scenario sanitizers_report kernel sanitized
sanitizers_report()
{
	local installing pids
	gate_close
	apt-get install "$(source_deb kmodpkg-hello)" &
	installing=$!
	gate_wait
	mapfile -t pids < <(processes kmodpkg)
	kill -SEGV "${pids[@]}"
	wait $installing || true
	must_fail "sanitizer's reports: /run" assert_no_reports
	rm /run/sanitizer-reports/*
	gate_open
	run dpkg --configure -a
	run kmodpkg sync
}

# A relabelled kernel, where the release has one only, is a kernel like the other.
scenario harness_assertions base harness
harness_assertions()
{
	local ko
	install_kernel "$K2"
	assert_initramfs_made "$K2=1"
	must_fail "counted '$K2=1'" assert_initramfs_made "$K2=2"
	must_fail "counted '$K2=1'" assert_initramfs_made
	run apt-get install "$(source_deb kmodpkg-hello)"
	assert_modules "$K2"
	assert_system
	build kmodpkg-hello 1.0 "$K2"
	hand_made "$K2" kmodpkg-hello /tmp/build/kmodpkg-hello/kmodpkg_hello.ko
	must_fail "lacks kmodpkg_hello" assert_modules "$K2" kmodpkg_hello
	initramfs_reset
	update_initramfs "$K2"
	assert_initramfs_made "$K2=1"
	assert_modules "$K2" kmodpkg_hello
	assert_generated "$K2" 1.0 kmodpkg-hello
	assert_system
	assert_no_reports
	echo '==1==ERROR: AddressSanitizer: x' >/run/sanitizer-reports/asan.1
	must_fail "sanitizer's reports: /run" assert_no_reports
	mkdir -p /var/log/kmodpkg
	mv /run/sanitizer-reports/asan.1 /var/log/kmodpkg/x.log
	must_fail "sanitizer's reports: /var" assert_no_reports
	rm -r /var/log/kmodpkg
	must_fail 'expected' assert_modules "$K2"
	must_fail 'expected' assert_modules "$K2" kmodpkg_hello v4l2loopback
	must_fail 'still has' assert_not_in_initramfs "$K2" kmodpkg_hello
	must_fail 'not version' assert_generated "$K2" 1.1 kmodpkg-hello
	must_fail 'directory of a removed kernel' assert_kernel_gone "$K2"
	ko=$(module_file "$K2" kmodpkg_hello)
	break_and_mend "$ko"

	run apt-get purge "kmodpkg-hello-modules-$K2"
	must_fail "found ''" assert_modules "$K2" kmodpkg_hello
	must_fail 'still has' assert_not_in_initramfs "$K2" kmodpkg_hello
	# shellcheck disable=SC2046
	run apt-get purge $(kernel_packages "$K2")
	assert_kernel_gone "$K2"
	assert_database
}

# What can be wrong with a module that is there, one thing after the other.
break_and_mend()
{
	local ko=$1 dir
	dir=$(kernel_dir "$K2")
	touch "$dir/updates/dkms/stray.ko" "$dir/stray"
	must_fail stray.ko assert_owned "$K2"
	must_fail 'stray' assert_no_strays "$K2"
	must_fail 'stray' assert_system
	rm "$dir/updates/dkms/stray.ko" "$dir/stray"

	cp "$ko" /tmp/good
	echo >>"$ko"
	must_fail '??5??????' assert_verified "$K2"
	cp /tmp/good "$ko"

	sed -i '/kmodpkg_hello/d' "$dir/modules.dep"
	must_fail 'modules.dep' assert_modules "$K2" kmodpkg_hello
	depmod "$K2"

	case $ko in
	*.ko)
		sed "s/vermagic=$K2/vermagic=${K2/[0-9]/0}/" /tmp/good >"$ko"
		must_fail 'vermagic' assert_modules "$K2" kmodpkg_hello
		cp /tmp/good "$ko"
		;;
	esac

	mv "$ko" "${ko%.ko*}.ko.other"
	must_fail 'no package owns' assert_modules "$K2" kmodpkg_hello
	mv "${ko%.ko*}.ko.other" "$ko"

	run dpkg --unpack "$(source_deb kmodpkg-hello 1.1)"
	must_fail 'bad state: iU kmodpkg-hello' assert_system
	run dpkg --configure -a
	assert_modules "$K2" kmodpkg_hello
	assert_system
}

# What kmodpkg is there to change: with DKMS all is built, and nobody owns it.
scenario harness_dkms base harness
harness_dkms()
{
	run apt-get install dkms "$(source_deb kmodpkg-hello)"
	install_kernel "$K1"
	run dkms install kmodpkg-hello/1.0 -k "$K1"
	[ "$(modinfo -F vermagic "$(module_file "$K1" kmodpkg_hello)" | cut -d ' ' -f 1)" = "$K1" ] ||
		fail "DKMS did not build the module"
	must_fail 'kmodpkg_hello' assert_owned "$K1"
	must_fail 'updates' assert_no_strays "$K1"
	must_fail 'updates' assert_system
	must_fail 'no package owns' assert_module_owner "$K1" kmodpkg_hello \
		"$(module_file "$K1" kmodpkg_hello)"
	must_fail 'no package owns' assert_modules "$K1" kmodpkg_hello
	must_fail 'lacks kmodpkg_hello' assert_in_initramfs "$K1" kmodpkg_hello
	initramfs_reset
	update_initramfs "$K1"
	assert_initramfs_made "$K1=1"
	assert_in_initramfs "$K1" kmodpkg_hello
	rm -r "$(kernel_dir "$K1")/updates"
}

scenario harness_gate base harness
harness_gate()
{
	local build
	install_kernel "$K1"
	run apt-get install "$(source_deb kmodpkg-hello)"
	cp -r /usr/src/kmodpkg-hello-1.0 /tmp/
	gate_close
	make -C /tmp/kmodpkg-hello-1.0 KDIR="/usr/src/linux-headers-$K1" >/tmp/log 2>&1 &
	build=$!
	gate_wait
	kill -0 "$build" || fail "the build did not wait at the gate"
	[ ! -e /tmp/kmodpkg-hello-1.0/kmodpkg_hello.ko ] || fail "the build went through the gate"
	gate_open
	wait "$build" || fail "the build failed: $(cat /tmp/log)"
	[ -e /tmp/kmodpkg-hello-1.0/kmodpkg_hello.ko ] || fail "the build made no module"
	# Those that come later are not held up.
	run make -C /tmp/kmodpkg-hello-1.0 KDIR="/usr/src/linux-headers-$K1"
}
