#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Make a package for pacman of the files below a directory, as makepkg would.
#
# usage: prepare-pack.sh NAME VERSION-REL TREE OUTDIR [LINE...]
#	LINE	of .PKGINFO, "depend = glibc"
#
# A file .INSTALL in TREE is the package's install script. Prints the path of the package.
set -euo pipefail

name=$1 version=$2 tree=$3 out=$4
shift 4

mkdir -p "$out"
out=$(realpath "$out")
cd "$tree"
{
	printf '%s\n' "pkgname = $name" "pkgbase = $name" "pkgver = $version" 'pkgdesc = for tests' \
		'builddate = 1700000000' 'packager = kmodpkg tests <root@localhost>' 'arch = any'
	printf 'size = %s\n' "$(du -sb . | cut -f 1)"
	[ $# -eq 0 ] || printf '%s\n' "$@"
} >.PKGINFO
shopt -s nullglob dotglob
list=(.PKGINFO)
[ ! -e .INSTALL ] || list+=(.INSTALL)
for top in *; do
	case $top in
	.PKGINFO | .INSTALL | .MTREE) ;;
	*) list+=("$top") ;;
	esac
done
bsdtar -czf .MTREE --format=mtree \
	--options='!all,use-set,type,uid,gid,mode,time,size,md5,sha256,link' \
	--uid 0 --gid 0 "${list[@]}"
file=$out/$name-$version-any.pkg.tar.zst
bsdtar -cf - --no-fflags --uid 0 --gid 0 .MTREE "${list[@]}" | zstd -q -1 -f -o "$file"
rm .MTREE .PKGINFO
echo "$file"
