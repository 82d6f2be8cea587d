# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the scenarios with dpkg are written with, besides lib/inside.sh. Sourced, inside a root.
#
# KMODPKG is the path of kmodpkg's own package.

# source_deb NAME [VERSION]: the package of one of the tests' module sources.
source_deb()
{
	case $1 in
	v4l2loopback) find /srv/e2e/repo -name 'v4l2loopback-src_*.deb' ;;
	*) echo "$DEBS/${1}_${2:-1.0}_all.deb" ;;
	esac
}

# kernel_debs K image|headers: the files of the packages that make up a kernel or its headers, for
# use with plain dpkg.
kernel_debs()
{
	cat "/srv/e2e/debs/$1.$2"
}

# kernel_packages K [image|headers]: the names of those of them that belong to K alone, which are
# all that have to go for the kernel to be gone.
kernel_packages()
{
	local kind deb
	for kind in ${2:-image headers}; do
		while read -r deb; do
			deb=${deb##*/}
			[[ $deb != *"-$1_"* ]] || echo "${deb%%_*}"
		done <"/srv/e2e/debs/$1.$kind"
	done
}

# update_initramfs K: by whatever tool the release has.
update_initramfs()
{
	if command -v update-initramfs >/dev/null; then
		run update-initramfs -u -k "$1"
	else
		run dracut --force "/boot/initrd.img-$1" "$1"
	fi
}

# small_deb OUTDIR NAME VERSION [FIELD]...: make a package without files, OUTDIR/NAME_VERSION_all.deb.
# Its postinst is POSTINST, if that is set.
small_deb()
{
	local out=$1 name=$2 version=$3 dir
	shift 3
	dir=$(mktemp -d)
	chmod 755 "$dir"
	mkdir "$dir/DEBIAN"
	{
		printf '%s\n' "Package: $name" "Version: $version" 'Architecture: all' \
			'Maintainer: kmodpkg tests <root@localhost>' "$@" 'Description: for tests'
	} >"$dir/DEBIAN/control"
	if [ -n "${POSTINST:-}" ]; then
		printf '#!/bin/sh\nset -e\n%s\n' "$POSTINST" >"$dir/DEBIAN/postinst"
		chmod 755 "$dir/DEBIAN/postinst"
	fi
	dpkg-deb --root-owner-group -Znone -b "$dir" "$out" >/dev/null
	rm -r "$dir"
}

# Some of Debian's module packages that are small and build for the small kernel: with a conf that
# is plain, with one that is a shell script and a PRE_BUILD, with a make command of its own.
# shellcheck disable=SC2034 # for layers.sh and scenarios
case $SUITE in
bookworm) DKMS_PACKAGES=(acpi-call-dkms dm-writeboost-dkms iptables-netflow-dkms vpoll-dkms) ;;
*) DKMS_PACKAGES=(acpi-call-dkms vpoll-dkms) ;;
esac

# What a token takes where one can be had.
# shellcheck disable=SC2034 # for layers.sh and scenarios
case $SUITE in
bookworm) TOKEN_PACKAGES=() ;;
*) TOKEN_PACKAGES=(openssl softhsm2 opensc pkcs11-provider) ;;
esac

# What dracut and kernel-install take to make unified kernel images, where they are the release's.
# shellcheck disable=SC2034 # for layers.sh and scenarios
case $SUITE in
forky) UKI_PACKAGES=(systemd-boot-efi) ;;
*) UKI_PACKAGES=() ;;
esac

# Of Debian's module packages all that build for bookworm's kernel, and for which kernel: the small one has no
# drivers for much of what people have. Those left out do not compile any more.
# shellcheck disable=SC2034 # for layers.sh and scenarios
DKMS_PACKAGES_ALL=(acpi-call-dkms adv-17v35x-dkms apfs-dkms bbswitch-dkms broadcom-sta-dkms
	dahdi-dkms ddcci-dkms digimend-dkms dm-writeboost-dkms dpdk-kmods-dkms evdi-dkms
	falcosecurity-scap-dkms gost-crypto-dkms iptables-netflow-dkms jool-dkms langford-dkms
	lime-forensics-dkms nat-rtsp-dkms nvidia-kernel-dkms openafs-modules-dkms openvpn-dco-dkms
	r8125-dkms r8168-dkms rapiddisk-dkms rtpengine-kernel-dkms tp-smapi-dkms v4l2loopback-dkms
	vpoll-dkms west-chamber-dkms xtables-addons-dkms xtrx-dkms zfs-dkms)

# dkms_deb NAME VERSION [REVISION]: make NAME-dkms of one of the tests' module sources, with what
# dh_dkms puts into maintainer scripts, and print its path.
dkms_deb()
{
	local name=$1 version=$2 revision=${3:+-$3} dir
	dir=$(mktemp -d)
	chmod 755 "$dir"
	dpkg-deb -R "$(source_deb "$name" "$version")" "$dir"
	sed -i -e "s/^Package: .*/Package: $name-dkms\nDepends: dkms (>= 3.0.3-4~)/" \
		-e "s/^Version: .*/&$revision/" "$dir/DEBIAN/control"
	cat >"$dir/DEBIAN/postinst" <<-END
		#!/bin/sh
		set -e
		[ "\$1" != configure ] ||
			/usr/lib/dkms/common.postinst $name $version /usr/share/$name-dkms "" \$2
	END
	cat >"$dir/DEBIAN/prerm" <<-END
		#!/bin/sh
		set -e
		case \$1 in
		remove | upgrade | deconfigure)
			[ -z "\$(dkms status -m $name -v $version)" ] || dkms remove -m $name -v $version --all
			;;
		esac
	END
	chmod 755 "$dir/DEBIAN/postinst" "$dir/DEBIAN/prerm"
	dpkg-deb --root-owner-group -Znone -b "$dir" /tmp >/dev/null
	rm -r "$dir"
	echo "/tmp/$name-dkms_$version${revision}_all.deb"
}

# dkms_source PACKAGE: "NAME VERSION" of the source in one of Debian's module packages, as its
# postinst has it.
dkms_source()
{
	sed -n -e 's/^DKMS_NAME=//p' -e 's/^DKMS_VERSION=//p' "/var/lib/dpkg/info/$1.postinst" | paste -sd ' '
}
