#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bootstrap a release of Debian into a directory that does not exist yet, from the mirror that
# the machine's own apt uses.
#
# usage: bootstrap.sh SUITE DIRECTORY
set -euo pipefail

suite=$1 dir=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Print the sources.list of the release, from what the machine's own apt uses for Debian. Entries
# of anybody else are left out.
sources()
{
	local host line uri release main='' security=''
	# shellcheck disable=SC1091
	host=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016
	local query=(apt-get indextargets --format '$(REPO_URI) $(RELEASE)'
		'Created-By: Packages' 'Origin: Debian')
	line=$("${query[@]}")
	if [ -z "$line" ]; then
		# A machine straight from its image has no lists yet.
		apt-get -q update >&2
		line=$("${query[@]}")
	fi
	while read -r uri release; do
		case $release in
		"$host") main=${main:-$uri} ;;
		"$host-security") security=${security:-$uri} ;;
		esac
	done <<<"$line"
	[ -n "$main" ] || { echo "bootstrap: apt knows no Debian mirror on this machine" >&2; exit 1; }
	echo "deb $main $suite main"
	echo "deb $main $suite-updates main"
	[ -z "$security" ] || echo "deb $security $suite-security main"
}

# What the machine needs to reach the mirror, a root needs too.
apt-config dump | grep -E '^Acquire::(Check-|https?::|Retries)' >"$work/apt.conf" || true
cat >>"$work/apt.conf" <<END
APT::Install-Recommends "false";
Acquire::Languages "none";
END
sources >"$work/sources.list"
# unsafe-io: nothing in a root has to survive a power cut.
mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/apt \
	--aptopt="$work/apt.conf" --dpkgopt=force-unsafe-io \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--include=make,gcc,libc6-dev,binutils,kmod,zstd,xz-utils,diffutils,patch,file \
	"$suite" "$dir" - <"$work/sources.list"
