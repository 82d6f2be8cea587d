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

# Register a source as a person does who has no package of it. Nothing is built until a sync.
add_by_hand()
{
	dpkg-deb -x "$(source_deb "$@")" /
	run kmodpkg add "$1/${2:-1.0}"
}
