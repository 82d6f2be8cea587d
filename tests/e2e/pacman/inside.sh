# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the scenarios with pacman are written with, besides lib/inside.sh. Sourced, inside a root.
#
# KLTS is the release of a kernel of another package, linux-lts.

SRV=/srv/e2e/pacman

# kernel_file NAME K: the file of a kernel's package.
kernel_file()
{
	echo "$SRV/packages/$1-${2//-/_}-1-any.pkg.tar.zst"
}

# repo FILE...: from now on the repository has these packages.
repo()
{
	rm -rf $SRV/repo
	mkdir $SRV/repo
	ln -s "$@" $SRV/repo/
	repo-add -q $SRV/repo/e2e.db.tar.gz $SRV/repo/*.pkg.tar.zst >/dev/null
}

# The repository has kernel K and its headers as linux.
repo_linux()
{
	repo "$(kernel_file linux "$1")" "$(kernel_file linux-headers "$1")"
}

pac()
{
	run pacman --noconfirm "$@"
}

# make_package NAME VERSION TREE [LINE...]: see prepare-pack.sh; prints the path.
make_package()
{
	/bin/bash /run/e2e/pacman/prepare-pack.sh "$1" "$2-1" "$3" /tmp/packages "${@:4}"
}

# source_file NAME [VERSION]: a package of one of the tests' module sources; prints the path.
source_file()
{
	local tree
	tree=$(mktemp -d)
	chmod 755 "$tree"
	case $1 in
	v4l2loopback) dpkg-deb -x "$(find /srv/e2e/repo -name 'v4l2loopback-src_*.deb')" "$tree" ;;
	*) dpkg-deb -x "$DEBS/${1}_${2:-1.0}_all.deb" "$tree" ;;
	esac
	make_package "$1" "${2:-1.0}" "$tree"
	rm -r "$tree"
}

# Start counting lines of pacman.log from here.
log_reset()
{
	: >/var/log/pacman.log
}
