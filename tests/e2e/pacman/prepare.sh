#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs once on a Debian base, with network: turns it into a system of pacman's.
#
# usage: prepare.sh SUITE
#
# Leaves /srv/e2e/pacman:
#	repo/		the local repository, [e2e] in pacman.conf; empty
#	packages/	linux and linux-headers for K1 and K2, linux-lts and linux-lts-headers for KLTS:
#			Debian's kernels and headers in the places where Arch has them
# and KLTS=... in /srv/e2e/kernels. The programs are Debian's and pacman knows nothing of them, but
# the package "base" says that it provides what kmodpkg depends on. Stand-ins for what Arch's
# packages kmod and mkinitcpio give to pacman are installed as packages of these names.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
srv=/srv/e2e/pacman
work=$(mktemp -d)
chmod 755 "$work"

# shellcheck disable=SC1091
. /srv/e2e/kernels
# shellcheck disable=SC2153 # of that file
KLTS=$K1-lts

apt-get install -y pacman-package-manager makepkg libarchive-tools openssl libjansson4 libmd0 libkmod2

# extract DIR K: the files of Debian's packages of a kernel and its headers.
extract()
{
	local deb
	while read -r deb; do
		case $deb in
		*/linux-*) dpkg-deb -x "$deb" "$1" ;;
		esac
	done < <(cat "/srv/e2e/debs/$2.image" "/srv/e2e/debs/$2.headers")
}

# kernel DIR K: usr/lib/modules/K as Arch's linux has it, out of what was extracted.
kernel()
{
	local from=$1 k=$2 to=$work/$2/usr/lib/modules/$2 modules
	modules=$(find "$from" -path "*/lib/modules/$k" -prune -print -quit)
	mkdir -p "${to%/*}"
	cp -a "$modules" "$to"
	rm -f "$to/build" "$to/source"
	# Where Debian has it is not the same in all releases.
	[ -e "$to/vmlinuz" ] || cp "$(find "$from" -name "vmlinuz-$k" -type f -print -quit)" "$to/vmlinuz"
}

# headers DIR K: usr/lib/modules/K/build as Arch's linux-headers has it. Debian spreads it over three
# packages and trees; together they are one tree.
headers()
{
	local from=$1 k=$2 to=$work/$2-headers/usr/lib/modules/$2/build arch tree
	mkdir -p "$to"
	for tree in "$from"/usr/src/linux-headers-*-common "$from/usr/src/linux-headers-$k" \
		"$from"/usr/lib/linux-kbuild-*; do
		# Links to each other.
		find "$tree" -maxdepth 1 -type l -delete
		[[ $tree == *-common ]] || [[ $tree == */linux-kbuild-* ]] || rm "$tree/Makefile"
		cp -a "$tree/." "$to/"
	done
	for arch in "$to"/arch/*; do
		[ ! -d "$arch" ] || [ "${arch##*/}" = x86 ] || rm -r "$arch"
	done
	# Asks dpkg.
	sed -i '/^ifneq/,/^endif/d; /DEB_BUILD_ARCH/d' "$to/.kernelvariables"
}

# pack DIR NAME K BASE
pack()
{
	/bin/bash "$here/prepare-pack.sh" "$2" "${3//-/_}-1" "$1" $srv/packages "pkgbase = $4"
}

# pack_kernel K BASE
pack_kernel()
{
	echo "$2" >"$work/$1/usr/lib/modules/$1/pkgbase"
	pack "$work/$1" "$2" "$1" "$2"
	pack "$work/$1-headers" "$2-headers" "$1" "$2"
}

# The same kernel under another release, as far as building and depmod look.
relabel()
{
	local from=$1 to=$2 tree
	for tree in "$work/$from" "$work/$from-headers"; do
		mv "$tree/usr/lib/modules/$from" "$tree/usr/lib/modules/$to"
		mv "$tree" "${tree/"$from"/"$to"}"
	done
	sed -i "s/${from//./\\.}/$to/" "$work/$to-headers/usr/lib/modules/$to/build"/{.kernelvariables,include/config/kernel.release,include/generated/utsrelease.h} \
		"$work/$to-headers/usr/lib/modules/$to/build/include/config/auto.conf"
}

mkdir -p $srv/repo $srv/packages
for k in "$K1" "$K2"; do
	extract "$work/x" "$k"
	kernel "$work/x" "$k"
	headers "$work/x" "$k"
	rm -r "$work/x"
	pack_kernel "$k" linux
done
relabel "$K1" "$KLTS"
pack_kernel "$KLTS" linux-lts
echo "KLTS=$KLTS" >>/srv/e2e/kernels

cat >/etc/pacman.conf <<END
[options]
Architecture = x86_64
SigLevel = Never
LocalFileSigLevel = Never

[e2e]
Server = file://$srv/repo
END
repo-add -q $srv/repo/e2e.db.tar.gz
pacman -Sy

install_package()
{
	local file
	file=$(/bin/bash "$here/prepare-pack.sh" "$1" 1-1 "$2" "$work/packages" "${@:3}")
	pacman --noconfirm -U "$file"
}

mkdir "$work/empty"
provides=()
for name in bash gcc glibc jansson libarchive libmd make pacman patch xz zstd; do
	provides+=("provides = $name")
done
install_package base "$work/empty" "${provides[@]}"
cp -r "$here/prepare-files" "$work/files"
install_package kmod "$work/files/kmod"
install_package mkinitcpio "$work/files/mkinitcpio"
pacman -Dk

cat >/etc/os-release <<END
NAME="Arch Linux (stand-in made of Debian $1)"
PRETTY_NAME="Arch Linux (stand-in made of Debian $1)"
ID=arch
BUILD_ID=rolling
END
rm -rf "$work"
# From here on there is no other package database.
mv /var/lib/dpkg /srv/e2e/dpkg
