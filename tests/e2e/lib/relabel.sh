#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Turn kernel packages into those of a kernel with another release string, for releases of Debian
# that serve one kernel only.
#
# usage: relabel.sh FROM TO OUTDIR DEB...
#
# FROM and TO are kernel releases (6.1.0-1-cloud-amd64). Package names, paths, dependencies,
# maintainer scripts, links, the headers' UTS_RELEASE and kernel.release all say TO afterwards: a
# module built against these headers has TO's vermagic. The kernel's own binaries keep FROM, so
# it cannot be booted; depmod, initramfs generators and dpkg do not look there.
# The packages' version grows by "+e2e": apt counts kernels by version where it protects the newest
# ones from autoremove. Packages that do not name FROM (the common headers, kbuild) are shared by
# both, as in Debian.
set -euo pipefail

from=$1 to=$2 out=$3
shift 3
# As a basic regular expression, and as a replacement.
re=${from//./\\.}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

relabel_tree()
{
	local path link new version
	# Depth first, so that a name's directory is renamed after it.
	find . -depth -name "*$from*" | while read -r path; do
		new=${path##*/}
		mv "$path" "${path%/*}/${new//"$from"/"$to"}"
	done
	find . -type l -lname "*$from*" | while read -r path; do
		link=$(readlink "$path")
		ln -sfn "${link//"$from"/"$to"}" "$path"
	done
	{ grep -rlIFZ -- "$from" . || true; } | xargs -0r sed -i "s/$re/$to/g"
	version=$(sed -n 's/^Version: //p' DEBIAN/control)
	sed -i -e "s/^Version: .*/&+e2e/" \
		-e "/^[A-Z].*: /s/\(-${to//./\\.}\(-unsigned\)\? (= ${version//./\\.}\))/\1+e2e)/g" DEBIAN/control
	find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z |
		xargs -0r md5sum >DEBIAN/md5sums
}

mkdir -p "$out"
for deb; do
	[[ $deb == *"$from"* ]] || continue
	rm -rf "$work/x"
	dpkg-deb -R "$deb" "$work/x"
	(cd "$work/x" && relabel_tree)
	dpkg-deb --root-owner-group -Znone -b "$work/x" "$out" >/dev/null
done
