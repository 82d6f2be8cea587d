#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs once in a root: make rpm packages of Debian's kernels and headers, cut as Fedora cuts its own.
#	kernel-core	/lib/modules/K with vmlinuz and modules and the link "build", which dangles
#			until kernel-devel is there; %posttrans makes the initramfs
#	kernel-devel	/usr/src/kernels/K, with all that it takes from Debian's common headers and
#			kbuild
# The releases are renamed to what rpm can have as a version, V-R.ARCH: kernel-uname-r = K has to be
# comparable, and a package's name with a K in it be that of Fedora's.
set -euo pipefail

# shellcheck disable=SC1091
. /srv/e2e/kernels
out=/srv/e2e/rpms
here=/run/e2e
mkdir -p $out

# A kernel's release as Fedora would have it: 6.1.0-55-cloud-amd64 is 6.1.0-55.cloud.x86_64.
rpm_release()
{
	sed -E 's/^([0-9.]+)[-+](.*)-cloud-amd64$/\1-\2.cloud.x86_64/' <<<"$1"
}

# relabel FROM K: rename the kernel FROM in all files below the current directory, as lib/relabel.sh
# does it to packages; Debian's cannot have a "_" in their names.
relabel()
{
	local from=$1 k=$2 path link name
	find . -depth -name "*$from*" | while read -r path; do
		name=${path##*/}
		mv "$path" "${path%/*}/${name//"$from"/"$k"}"
	done
	find . -type l -lname "*$from*" | while read -r path; do
		link=$(readlink "$path")
		ln -sfn "${link//"$from"/"$k"}" "$path"
	done
	{ grep -rlIFZ -- "$from" . || true; } | xargs -0r sed -i "s/${from//./\\.}/$k/g"
}

# make_kernel FROM K: of the Debian kernel FROM's packages.
make_kernel()
{
	local from=$1 k=$2 work tree version release deb dir common kbuild link
	work=$(mktemp -d)
	version=${k%%-*} release=${k#*-}
	release=${release%.x86_64}
	mapfile -t debs < <(cat "/srv/e2e/debs/$from.image" "/srv/e2e/debs/$from.headers")
	tree=$work/all
	mkdir "$tree"
	for deb in "${debs[@]}"; do
		dpkg-deb -x "$deb" "$tree"
	done
	(cd "$tree" && relabel "$from" "$k")

	# Wherever Debian has the modules and the image in this release.
	mkdir -p "$work/core/lib/modules"
	dir=$work/core/lib/modules/$k
	if [ -d "$tree/usr/lib/modules/$k" ]; then
		mv "$tree/usr/lib/modules/$k" "$dir"
	else
		mv "$tree/lib/modules/$k" "$dir"
	fi
	rm -f "$dir"/{build,source}
	if [ -e "$tree/boot/vmlinuz-$k" ]; then
		mv "$tree/boot/vmlinuz-$k" "$dir/vmlinuz"
	fi
	[ -e "$dir/vmlinuz" ] || { echo "no image of $k: $(ls "$dir")" >&2; exit 1; }
	ln -s "/usr/src/kernels/$k" "$dir/build"
	/bin/bash $here/rpm/pack $out "$work/core" kernel-core "$version" "$release" x86_64 \
		"Provides: kernel-uname-r = $k" 'Provides: installonlypkg(kernel)' \
		'Provides: multiversion(kernel)' "Provides: kernel = $version-$release" \
		'%posttrans' "/srv/e2e/kernel-install add $k" \
		'%preun' "/srv/e2e/kernel-install remove $k"

	# Fedora's is one tree, which shares nothing with that of another kernel.
	mkdir -p "$work/devel/usr/src/kernels"
	dir=$work/devel/usr/src/kernels/$k
	mv "$tree/usr/src/linux-headers-$k" "$dir"
	common=$(basename "$tree"/usr/src/linux-headers-*-common)
	kbuild=$(basename "$tree"/usr/lib/linux-kbuild-*)
	mv "$tree/usr/src/$common" "$dir/common"
	mv "$tree/usr/lib/$kbuild" "$dir/kbuild"
	find "$dir/common/arch" -mindepth 1 -maxdepth 1 ! -name x86 -exec rm -r '{}' +
	for link in scripts tools; do
		ln -sfn "kbuild/$link" "$dir/$link"
		ln -sfn "../kbuild/$link" "$dir/common/$link"
	done
	{ grep -rlIFZ -e "/usr/src/linux-headers-$k" -e "/$common" -e "/$kbuild" "$dir" || true; } |
		xargs -0r sed -i -e "s,/usr/src/linux-headers-$k,/usr/src/kernels/$k,g" \
			-e "s,/usr/src/$common,/usr/src/kernels/$k/common,g" \
			-e "s,/usr/\(lib\|src\)/$kbuild,/usr/src/kernels/$k/kbuild,g"
	/bin/bash $here/rpm/pack $out "$work/devel" kernel-devel "$version" "$release" x86_64 \
		"Provides: kernel-devel-uname-r = $k" 'Provides: installonlypkg(kernel)' \
		'Provides: multiversion(kernel)'
	rm -r "$work"
}

old1=$K1 old2=$K2
K1=$(rpm_release "$old1")
K2=$(rpm_release "$old2")
# One more, for limits of how many are kept.
K3=${K2%.cloud.*}.9.cloud.x86_64
make_kernel "$old1" "$K1"
make_kernel "$old2" "$K2"
make_kernel "$old2" "$K3"
printf 'K1=%s\nK2=%s\nK3=%s\n' "$K1" "$K2" "$K3" >/srv/e2e/kernels
