#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs once in a freshly bootstrapped root, with network: everything that scenarios need later,
# without network, is installed or put into apt's archive here.
#
# usage: prepare.sh SUITE
#
# Leaves /srv/e2e:
#	kernels		K1=... K2=... KFULL=...: two releases of a small kernel, the older one first, and
#			one of the kernel that most people have
#	debs/K.image	paths of the packages that make up kernel K
#	debs/K.headers	the same for its headers
#	repo/		a flat apt repository: relabelled kernels, Debian's v4l2loopback source as
#			v4l2loopback-src, and what scenarios add
set -euo pipefail

suite=$1
srv=/srv/e2e
archives=/var/cache/apt/archives
arch=$(dpkg --print-architecture)
# The smallest kernels that Debian has.
flavour=cloud-$arch
kernel_package='linux-(image|headers|kbuild|base-|binary|modules)'

mkdir -p $srv/debs $srv/repo

# Services are never started in here.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
cat >/etc/apt/apt.conf.d/90e2e <<END
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
END
echo "deb [trusted=yes] file:$srv/repo ./" >/etc/apt/sources.list.d/e2e.list

# kernel_candidates: releases of this flavour that have an image and headers, oldest first.
kernel_candidates()
{
	comm -12 \
		<(apt-cache pkgnames linux-image- | sed -n "s/^linux-image-\([0-9].*-$flavour\)$/\1/p" | sort) \
		<(apt-cache pkgnames linux-headers- | sed -n "s/^linux-headers-\([0-9].*-$flavour\)$/\1/p" | sort) |
		sort -V
}

# closure PACKAGE...: what apt would install for them, one name per line.
closure()
{
	apt-get install -s "$@" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}

# deb_paths NAME...: the files of packages that are in apt's archive or in the local repository.
deb_paths()
{
	local name
	for name; do
		find $archives $srv/repo -maxdepth 1 -name "${name}_*.deb"
	done
}

# The release that the meta package names is the one a user gets; the one before it, of the same
# series, is the other.
newest=$(apt-cache depends "linux-image-$flavour" |
	sed -n "s/^ *Depends: linux-image-\([0-9].*-$flavour\)$/\1/p" | head -n 1)
series=$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$newest")
mapfile -t releases < <(kernel_candidates | grep -E "^${series//./\\.}[.-]" |
	sed -n "/^$newest\$/q;p" | tail -n 1)
releases+=("$newest")

# The small kernels have no media drivers, for one.
full=$(apt-cache depends "linux-image-$arch" |
	sed -n "s/^ *Depends: linux-image-\([0-9].*-$arch\)$/\1/p" | head -n 1)

# Not all at once: alternatives conflict. Whatever apt fetches here stays in its archive.
for k in "${releases[@]}" "$full"; do
	apt-get install -d "linux-image-$k" "linux-headers-$k"
done

if [ ${#releases[@]} -eq 1 ]; then
	# One kernel only: the same once more under a name that sorts behind it.
	abi=${newest%"-$flavour"}
	releases+=("$abi.1-$flavour")
	mapfile -t debs < <(find $archives -maxdepth 1 -name "linux-*$newest*.deb")
	/bin/bash /run/e2e/lib/relabel.sh "$newest" "${releases[1]}" $srv/repo "${debs[@]}"
fi

# Debian's package without its maintainer scripts and its dependency on dkms.
(cd /tmp && apt-get download v4l2loopback-dkms && dpkg-deb -x v4l2loopback-dkms_*.deb x)
for source in /tmp/x/usr/src/*; do
	/bin/bash /run/e2e/modules/pack v4l2loopback-src v4l2loopback \
		"${source##*/v4l2loopback-}" "$source" $srv/repo
done
rm -r /tmp/x /tmp/v4l2loopback-dkms_*.deb
/bin/bash /run/e2e/lib/repo.sh

# What the kernels and their headers depend on (compilers, pahole, ...), but not they themselves:
# installing those is what the scenarios are about.
mapfile -t tools < <(while read -r k; do
	closure "linux-image-$k" "linux-headers-$k"
done < <(printf '%s\n' "${releases[@]}" "$full") | grep -vE "^$kernel_package" | sort -u)
case $suite in
bookworm | trixie) tools+=(initramfs-tools) ;;
# Debian's default generator from here on.
*) tools+=(dracut) ;;
esac
apt-get install "${tools[@]}"

for k in "${releases[@]}" "$full"; do
	mapfile -t names < <(closure "linux-image-$k")
	deb_paths "${names[@]}" >"$srv/debs/$k.image"
	mapfile -t names < <(closure "linux-image-$k" "linux-headers-$k")
	deb_paths "${names[@]}" | grep -vxFf "$srv/debs/$k.image" >"$srv/debs/$k.headers"
done
printf 'K1=%s\nK2=%s\nKFULL=%s\n' "${releases[@]}" "$full" >$srv/kernels

# Packages that single scenarios install: another manager on a Debian system, and DKMS for the
# tests of the tests.
apt-get install -d rpm
apt-get install -d pacman-package-manager
apt-get install -d dkms

/bin/bash /run/e2e/lib/prepare-initramfs.sh

# The same programs as at the start of every scenario, for apt's cache to be warm.
apt-get check
