# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the scenarios with rpm are written with, besides lib/inside.sh. Sourced, inside a root.
#
# K3 is the release of a third kernel, newer than K2. KMODPKG are the paths of kmodpkg's own
# packages, with blanks between them.

RPMS=/srv/e2e/rpms
# shellcheck disable=SC2034 # for layers and scenarios
read -r -a KMODPKG_RPMS <<<"${KMODPKG:-}"

# source_rpm NAME [VERSION]: the package of one of the tests' module sources.
source_rpm()
{
	echo "$RPMS/$1-${2:-1.0}-1.noarch.rpm"
}

# kernel_rpms K: the packages of a kernel and its headers.
kernel_rpms()
{
	printf '%s\n' "$RPMS/kernel-core-$1.rpm" "$RPMS/kernel-devel-$1.rpm"
}


# small_rpm NAME VERSION [LINE...]: make a package without files, for lines see rpm/pack, and
# print its path.
small_rpm()
{
	local name=$1 version=$2 tree
	shift 2
	tree=$(mktemp -d)
	/bin/bash /run/e2e/rpm/pack /tmp "$tree" "$name" "$version" 1 noarch "$@"
	rmdir "$tree"
	echo "/tmp/$name-$version-1.noarch.rpm"
}

# Make the package of a module source that is in a .deb, in the repository.
# pack_source DEB [LINE...]
pack_source()
{
	local deb=$1 tree name
	shift
	tree=$(mktemp -d)
	dpkg-deb -x "$deb" "$tree"
	name=$(basename "$tree"/usr/src/*)
	/bin/bash /run/e2e/rpm/pack $RPMS "$tree" "${name%-*}" "${name##*-}" 1 noarch "$@"
	rm -r "$tree"
}

# install_by TOOL FILE...: install or upgrade package files by rpm, dnf, dnf5 or zypper.
install_by()
{
	local tool=$1
	shift
	case $tool in
	rpm) run rpm -U "$@" ;;
	zypper) run zypper --non-interactive install --allow-unsigned-rpm "$@" ;;
	*) run "$tool" -y install "$@" ;;
	esac
}

# installed NAME: a package is.
installed()
{
	rpm -q "$1" >/dev/null
}
