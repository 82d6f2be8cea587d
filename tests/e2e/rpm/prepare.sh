#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs once in a release's base, with network: turn it into a system whose package manager is rpm,
# with dnf and zypper. What Debian's files provide, one stand-in package provides in rpm's database;
# kernels and headers become packages of their own (prepare-kernels.sh).
#
# usage: prepare.sh SUITE
#
# Leaves /srv/e2e:
#	kernels		K1=... K2=... K3=...: three releases of a small kernel, oldest first
#	rpms/		a repository, which dnf and zypper know: kernel-core, kernel-devel, and what
#			scenarios add
set -euo pipefail

suite=$1
here=/run/e2e/rpm
# dnf4 and dnf5 can both be there; the commands are called dnf-3 or dnf4, and dnf5.
tools=(rpm dnf zypper createrepo-c dracut zstd)
[ "$suite" != forky ] || tools+=(dnf5)
# kmodpkg's own libraries.
tools+=(libjansson4 libkmod2 libmd0)
had_dracut=$(command -v dracut || true)
apt-get install "${tools[@]}"
[ -n "$had_dracut" ] || /bin/bash /run/e2e/lib/prepare-initramfs.sh

cat >/etc/os-release.new <<END
NAME="Fedora Linux"
ID=fedora
VERSION_ID=42
PRETTY_NAME="Fedora Linux 42, made of Debian $suite"
END
mv /etc/os-release.new /usr/lib/os-release
ln -sfn ../usr/lib/os-release /etc/os-release

# Debian's rpm is made for looking at packages; a system has its database here.
mkdir -p /etc/rpm /var/lib/rpm /srv/e2e/rpms
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
rpm --initdb
mkdir -p /etc/dnf /etc/yum.repos.d /etc/zypp/repos.d
cat >/etc/dnf/dnf.conf <<END
[main]
gpgcheck=False
assumeyes=True
installonly_limit=2
keepcache=True
END
cat >/etc/yum.repos.d/e2e.repo <<END
[e2e]
name=e2e
baseurl=file:///srv/e2e/rpms
enabled=1
gpgcheck=0
metadata_expire=0
autorefresh=1
END
cp /etc/yum.repos.d/e2e.repo /etc/zypp/repos.d/
# SUSE's setting: kernels are kept side by side.
printf '[main]\nmultiversion = provides:multiversion(kernel)\n' >/etc/zypp/zypp.conf

# The stand-in. Shared libraries provide what rpm's own generator says, programs their names.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The generator fails when one of them is no ELF file, a script for the linker say.
find /usr/lib/x86_64-linux-gnu /usr/lib64 -maxdepth 1 -name '*.so*' |
	{ /usr/lib/rpm/elfdeps --provides || true; } | sort -u >"$work/provides"
grep -q '^libc.so.6(GLIBC_2.34)' "$work/provides"
{
	dpkg-query -W -f '${Package}\n'
	printf '%s\n' /bin/sh /bin/bash /usr/bin/sh /usr/bin/bash /usr/bin/rpm /usr/sbin/depmod \
		'rtld(GNU_HASH)' 'system-release = 42' 'system-release(releasever) = 42' \
		xz glibc rpm-libs elfutils-libelf-devel
} | sort -u >>"$work/provides"
mapfile -t provides < <(sed 's/^/Provides: /' "$work/provides")
mkdir "$work/tree"
/bin/bash $here/pack "$work" "$work/tree" debian-files 1 1 x86_64 "${provides[@]}"
rpm -i "$work"/debian-files-*.rpm

install -m 755 $here/kernel-install /srv/e2e/kernel-install
/bin/bash $here/prepare-kernels.sh
createrepo_c -q /srv/e2e/rpms
rm -f /var/cache/apt/archives/*.deb
find /srv/e2e/repo -name 'linux-*.deb' -delete
mv /var/lib/dpkg /srv/e2e/dpkg-database
