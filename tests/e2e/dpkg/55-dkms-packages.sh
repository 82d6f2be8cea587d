# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Debian's own NAME-dkms packages, unmodified, with kmodpkg in the place of dkms.

# Their modules are built for kernel K, each in a package of its own, and dkms says the same.
assert_dkms_installed()
{
	local k=$1 package name version row
	shift
	for package; do
		read -r name version < <(dkms_source "$package")
		row=$(kmodpkg status | awk -v n="$name" -v v="$version" -v k="$k" \
			'$1 == n && $2 == v && $3 == k { print $4, $5 }')
		[[ $row == "installed "* ]] || fail "$package, $name/$version for $k: '$row'"
		dpkg-query -L "${row#* }" | grep -q '\.ko' || fail "${row#* } has no module"
		grep -q "^$name/$version, $k, .*: installed$" <<<"$(dkms status)" ||
			fail "dkms status does not list $name/$version for $k as installed"
	done
}

# Nothing of them is there for kernel K.
assert_dkms_gone()
{
	fail_on "generated packages are left" "$(generated_packages "$1")"
	[ ! -e "/lib/modules/$1/updates" ] || fail "modules for $1 are left"
}

# No source is known any more, and nothing that was built of one is kept.
assert_dkms_forgotten()
{
	[ -z "$(dkms status)" ] || fail "dkms status lists: $(dkms status)"
	fail_on "left in DKMS's tree" "$(find /var/lib/dkms -mindepth 1 ! -name 'mok.*')"
	fail_on "left in our state" \
		"$(find /var/lib/kmodpkg -type f ! -name intent.json ! -name backend ! -name owners.json ! -name packages ! -name pairs ! -name images ! -path '*/probes/*')"
	[ ! -e /var/log/kmodpkg ] || fail_on "logs are left" "$(find /var/log/kmodpkg -type f)"
	fail_on "left in /usr/src" "$(find /usr/src -mindepth 1 -maxdepth 1 ! -name 'linux-*')"
}

# install_and_remove KERNEL NEXT PACKAGE...: the life of module packages: they come to a system
# with one kernel, see the next one come, and go.
install_and_remove()
{
	local k=$1 next=$2
	shift 2
	run apt-get install "linux-image-$k" "linux-headers-$k"
	run apt-get install "$@"
	assert_dkms_installed "$k" "$@"
	assert_system
	run apt-get install "linux-image-$next" "linux-headers-$next"
	assert_dkms_installed "$k" "$@"
	assert_dkms_installed "$next" "$@"
	assert_system
	assert_idle
	run apt-get remove "$1"
	[ $# -eq 1 ] || assert_dkms_installed "$next" "${@:2}"
	assert_system
	run apt-get purge "$@"
	assert_dkms_gone "$k"
	assert_dkms_gone "$next"
	assert_dkms_forgotten
}

scenario dkms_packages kmodpkg smoke
dkms_packages()
{
	install_and_remove "$K1" "$K2" "${DKMS_PACKAGES[@]}"
}

# All that build for bookworm, in a few groups: with the small kernel,
scenario dkms_all_small modules long
dkms_all_small()
{
	install_and_remove "$K1" "$K2" acpi-call-dkms adv-17v35x-dkms apfs-dkms bbswitch-dkms \
		broadcom-sta-dkms dm-writeboost-dkms dpdk-kmods-dkms falcosecurity-scap-dkms \
		gost-crypto-dkms iptables-netflow-dkms langford-dkms nat-rtsp-dkms openvpn-dco-dkms \
		r8125-dkms r8168-dkms rapiddisk-dkms rtpengine-kernel-dkms tp-smapi-dkms vpoll-dkms \
		xtrx-dkms
}

# those of many modules,
scenario dkms_all_large modules long
dkms_all_large()
{
	install_and_remove "$K1" "$K2" jool-dkms xtables-addons-dkms
}

# one that builds with what another left in DKMS's tree,
scenario dkms_all_dependent modules long
dkms_all_dependent()
{
	install_and_remove "$K1" "$K2" west-chamber-dkms xtables-addons-dkms
}

scenario dkms_all_openafs modules long
dkms_all_openafs()
{
	install_and_remove "$K1" "$K2" openafs-modules-dkms
}

scenario dkms_all_zfs modules long
dkms_all_zfs()
{
	install_and_remove "$K1" "$K2" zfs-dkms
}

scenario dkms_all_nvidia modules long
dkms_all_nvidia()
{
	install_and_remove "$K1" "$K2" nvidia-kernel-dkms
}

# Their confs are for bash, which is asked once. (What lacks here is looked at by tests/conf.)
scenario dkms_confs modules long
dkms_confs()
{
	local module
	run apt-get install "linux-image-$K1" "linux-headers-$K1"
	mkdir -p /etc/dkms
	touch /etc/dkms/no-autoinstall
	run apt-get install zfs-dkms openafs-modules-dkms nvidia-kernel-dkms
	for module in zfs openafs nvidia-current; do
		assert_status "$module" "$K1" 'no-autoinstall is set'
	done
	assert_idle
}

# and with the kernel that has what the small one lacks.
scenario dkms_all_full modules long
dkms_all_full()
{
	local next debs
	next=${KFULL%-*}.1-${KFULL##*-}
	mapfile -t debs < <(kernel_debs "$KFULL" image && kernel_debs "$KFULL" headers)
	/bin/bash /run/e2e/lib/relabel.sh "$KFULL" "$next" /srv/e2e/repo "${debs[@]}"
	/bin/bash /run/e2e/lib/repo.sh
	install_and_remove "$KFULL" "$next" dahdi-dkms ddcci-dkms digimend-dkms evdi-dkms \
		v4l2loopback-dkms
}

# A source without AUTOINSTALL is there for who asks for it.
scenario dkms_all_asked_for modules long
dkms_all_asked_for()
{
	local name version
	run apt-get install "linux-image-$K1" "linux-headers-$K1" lime-forensics-dkms
	read -r name version < <(dkms_source lime-forensics-dkms)
	assert_dkms_gone "$K1"
	run dkms install "$name/$version" -k "$K1"
	assert_dkms_installed "$K1" lime-forensics-dkms
	run apt-get purge lime-forensics-dkms
	assert_dkms_gone "$K1"
	assert_dkms_forgotten
}

# apt does not look for dkms, and its own is not wanted any more.
scenario dkms_is_provided kmodpkg
dkms_is_provided()
{
	run apt-get install -s vpoll-dkms
	assert_no_output '^(Inst|Remv) (dkms|kmodpkg) '
	run apt-get install dkms -s
	assert_output '^Remv kmodpkg '
}

# A source that the kernel's configuration excludes is no failure.
scenario dkms_excluded kernel
dkms_excluded()
{
	run apt-get install v4l2loopback-dkms
	assert_dkms_gone "$K1"
	assert_status v4l2loopback "$K1" excluded
	run apt-get remove v4l2loopback-dkms
	assert_dkms_forgotten
}

# Nor is one that does not compile a reason to leave its package half configured.
scenario dkms_build_fails kernel
dkms_build_fails()
{
	run apt-get install "$(dkms_deb kmodpkg-broken 1.0)"
	assert_output 'does not compile, on purpose'
	assert_status kmodpkg-broken "$K1" failed
	run apt-get purge kmodpkg-broken-dkms
	assert_dkms_forgotten
}

# What is in place of a module at any moment works: while the new version is built the old one is
# there, owned, in the index, though the old prerm has said "dkms remove".
scenario dkms_upgraded kernel
dkms_upgraded()
{
	run apt-get install "$(dkms_deb kmodpkg-hello 1.0)"
	assert_modules "$K1" kmodpkg_hello
	upgrade_at_the_gate "$(dkms_deb kmodpkg-hello 1.1)" 1.0 1.1
	# The same version in a new package: there is nothing to build.
	initramfs_reset
	run apt-get install "$(dkms_deb kmodpkg-hello 1.1 2)"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	run apt-get purge kmodpkg-hello-dkms
	assert_modules "$K1"
	assert_dkms_forgotten
}

# upgrade_at_the_gate DEB OLD NEW
upgrade_at_the_gate()
{
	local apt
	gate_close
	apt-get install "$1" >/tmp/apt.log 2>&1 </dev/null &
	apt=$!
	gate_wait
	assert_hello "$2"
	gate_open
	ends_well "$apt" /tmp/apt.log "apt-get"
	assert_modules "$K1" kmodpkg_hello
	assert_hello "$3"
}

assert_hello()
{
	local ko
	ko=$(module_file "$K1" kmodpkg_hello)
	[ "$(modinfo -F version "$ko")" = "$1" ] || fail "$ko is not version $1"
	grep -q "^$MODULE_DIR/${ko##*/}:" "$(kernel_dir "$K1")/modules.dep" ||
		fail "modules.dep does not list $ko"
	assert_module_owner "$K1" kmodpkg_hello "$ko"
}

# A postinst may want to load what it has just installed; the module is in place by then.
scenario dkms_loaded_by_postinst kernel
dkms_loaded_by_postinst()
{
	local deb dir
	deb=$(dkms_deb kmodpkg-hello 1.0)
	dir=$(mktemp -d)
	dpkg-deb -R "$deb" "$dir"
	echo "modprobe -S $K1 -n -v kmodpkg_hello" >>"$dir/DEBIAN/postinst"
	dpkg-deb --root-owner-group -Znone -b "$dir" "$deb"
	initramfs_reset
	run apt-get install "$deb"
	assert_output '^insmod .*/kmodpkg_hello\.ko'
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# vendor_deb: a package that owns nothing where kmodpkg has triggers: its scripts bring and take the
# source. Prints its path.
vendor_deb()
{
	local dir
	dir=$(mktemp -d)
	chmod 755 "$dir"
	dpkg-deb -x "$(source_deb kmodpkg-hello)" "$dir/opt"
	mkdir "$dir/DEBIAN"
	printf '%s\n' 'Package: vendor-hello' 'Version: 1' 'Architecture: all' 'Description: for tests' \
		'Maintainer: kmodpkg tests <root@localhost>' >"$dir/DEBIAN/control"
	cat >"$dir/DEBIAN/postinst" <<-END
		#!/bin/sh
		set -e
		dkms add /opt/usr/src/kmodpkg-hello-1.0
		dkms install kmodpkg-hello/1.0 -k $K1
	END
	cat >"$dir/DEBIAN/prerm" <<-END
		#!/bin/sh
		set -e
		dkms remove kmodpkg-hello/1.0 --all
		rm -r /usr/src/kmodpkg-hello-1.0
	END
	chmod 755 "$dir/DEBIAN/postinst" "$dir/DEBIAN/prerm"
	dpkg-deb --root-owner-group -Znone -b "$dir" /tmp/vendor-hello.deb >/dev/null
	rm -r "$dir"
	echo /tmp/vendor-hello.deb
}

# Nothing but its prerm says that its module goes.
scenario dkms_vendor_package kernel
dkms_vendor_package()
{
	local deb
	deb=$(vendor_deb)
	run apt-get install "$deb"
	assert_modules "$K1" kmodpkg_hello
	run apt-get remove vendor-hello
	assert_modules "$K1"
	assert_dkms_forgotten
	run dpkg -i "$deb"
	assert_modules "$K1" kmodpkg_hello
	# The same again: the old one's prerm removes what the new one's postinst adds.
	run dpkg -i "$deb"
	assert_modules "$K1" kmodpkg_hello
	run dpkg -r vendor-hello
	assert_modules "$K1"
	assert_dkms_forgotten
}

# A person unregisters the source; whoever installs the package again wants it.
scenario dkms_installed_again kernel
dkms_installed_again()
{
	local deb
	deb=$(dkms_deb kmodpkg-hello 1.0)
	run apt-get install "$deb"
	run dkms remove kmodpkg-hello/1.0 --all
	assert_modules "$K1"
	run kmodpkg sync
	assert_modules "$K1"
	run apt-get install --reinstall "$deb"
	assert_modules "$K1" kmodpkg_hello
	run apt-get remove kmodpkg-hello-dkms
	assert_modules "$K1"
	run apt-get install "$deb"
	assert_modules "$K1" kmodpkg_hello
}
