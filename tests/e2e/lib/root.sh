# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Throw-away Debian roots, host side. Sourced, never run.
#
# Everything that costs time is made once and kept in a cache, in layers:
#	base	the release with tool chain, initramfs generator, kernels downloaded but not
#		installed (prepare.sh); made from the network. For a package manager other than
#		dpkg, with a layer on it that turns it into a system of that one's
#		(MANAGER/prepare.sh), made from the network too
#	layers	changes on top of it, each made by a command (root_layer), none needs the network
#		but the one that installs kmodpkg
# A root is an overlay on these, in mount, pid and network namespaces of its own. It takes a few
# tens of milliseconds to make and nothing of it is left when its command ends.
#
# The base is always bootstrapped, never the machine's own /: what the machine happens to have
# installed and configured must not decide a test, nor may a test reach the machine's files.
#
# A layer is named after a hash of all that went into it, so nothing has to be cleaned by hand:
# a changed script or package is another layer, and the old one is removed. Whoever uses a layer
# holds a shared lock on its directory, for several checkouts may share the cache.

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${KMODPKG_TEST_CACHE:-${XDG_CACHE_HOME:-/var/cache}/kmodpkg-tests}
# Days after which a base is made anew: its package lists name files that the mirror drops.
ROOT_MAX_AGE=14

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

say()
{
	printf '%s\n' "$*" >&2
}

# Hash of the files, directories and plain words given, 12 digits.
root_hash()
{
	local arg
	for arg in "$@"; do
		if [ -d "$arg" ]; then
			find "$arg" -type f -print0 | sort -z | xargs -0 sha256sum
		elif [ -f "$arg" ]; then
			sha256sum <"$arg"
		else
			printf '%s\n' "$arg"
		fi
	done | sha256sum | cut -c 1-12
}

# root_run [-n] [-u UPPER] [-b BIND]... LOWER COMMAND...: run a command in a root.
#	-n	with the machine's network; otherwise the root has none
#	-u	keep the changes in UPPER; otherwise they are lost
#	-b	"SOURCE DESTINATION [rw]", may be repeated
# The scripts of this directory are seen at /run/e2e.
root_run()
{
	local OPTIND opt upper='' net=no binds lower env
	binds="$E2E /run/e2e"
	while getopts nu:b: opt; do
		case $opt in
		n)
			net=yes
			binds+=$'\n/etc/resolv.conf /etc/resolv.conf\n/etc/hosts /etc/hosts'
			;;
		u) upper=$OPTARG ;;
		b) binds+=$'\n'$OPTARG ;;
		*) return 2 ;;
		esac
	done
	shift $((OPTIND - 1))
	lower=$1
	shift
	mkdir -p "$CACHE/mnt"
	env=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
		LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive TERM="${TERM:-dumb}")
	for opt in http_proxy https_proxy no_proxy; do
		[ -z "${!opt:-}" ] || env+=("$opt=${!opt}")
	done
	for opt in "${ROOT_ENV[@]}"; do
		env+=("$opt")
	done
	local ns=(-m -p -f --kill-child)
	[ $net = yes ] || ns+=(-n)
	env -i "${env[@]}" unshare "${ns[@]}" -- \
		/bin/bash "$E2E/lib/enter.sh" "$CACHE/mnt" "$lower" "$upper" "$binds" -- "$@"
}
# NAME=VALUE pairs for the commands run in roots.
ROOT_ENV=()

# Hold on to a layer for as long as this process lives.
root_hold()
{
	local fd
	exec {fd}<"$1"
	flock -s "$fd"
	touch "$1.used"
}

# Remove those of the directories given that nobody holds.
root_drop()
{
	local dir fd
	for dir; do
		[ -d "$dir" ] || continue
		exec {fd}<"$dir"
		if flock -n -x "$fd"; then
			rm -rf --one-file-system "$dir" "$dir.log" "$dir.used"
		fi
		exec {fd}>&-
	done
}

# root_prepare SUITE [MANAGER]: make sure that a release's base is there; ROOT_BASE is the lower
# of a root that has it, as it is or turned into a system of MANAGER's.
root_prepare()
{
	local suite=$1 manager=${2:-dpkg} dir lock old parts
	dir=$CACHE/$suite/base-$(root_hash "$E2E"/lib/{bootstrap,prepare,prepare-initramfs,relabel,repo}.sh \
		"$E2E/modules/pack")
	mkdir -p "$CACHE/$suite"
	exec {lock}>"$CACHE/$suite/lock"
	flock "$lock"
	if [ -z "$(find "$dir" -maxdepth 0 -mtime "-$ROOT_MAX_AGE" 2>/dev/null)" ]; then
		say "preparing a $suite root (once)"
		rm -rf --one-file-system "$CACHE/$suite"/base-*.new
		# Another checkout may have been here a minute ago and come back in the next.
		find "$CACHE/$suite" -maxdepth 1 -name 'base-*.used' -mtime +0 -print0 |
			while IFS= read -r -d '' old; do
				root_drop "${old%.used}"
			done
		root_drop "$dir"
		/bin/bash "$E2E/lib/bootstrap.sh" "$suite" "$dir.new"
		root_run -n -u "$dir.new" '' \
			/bin/bash /run/e2e/lib/prepare.sh "$suite" >"$dir.log" 2>&1 ||
			{ tail -n 20 "$dir.log" >&2; die "preparing $suite failed, see $dir.log"; }
		touch "$dir.new"
		mv "$dir.new" "$dir"
	fi
	root_hold "$dir"
	exec {lock}>&-
	ROOT_BASE=$dir
	[ "$manager" != dpkg ] || return 0
	# Of all but what is used later: prepare.sh and what it calls.
	mapfile -t parts < <(find "$E2E/$manager" -type f ! -name '[0-9]*' ! -name assert.sh \
		! -name inside.sh ! -name layers.sh | sort)
	root_layer "$suite" "$manager-base" "$(root_hash "${parts[@]}")" "$ROOT_BASE" -n \
		/bin/bash "/run/e2e/$manager/prepare.sh" "$suite" || exit 1
	ROOT_BASE=$ROOT_LAYER
}

# root_layer SUITE NAME KEY LOWER [OPTION...] COMMAND...: make sure that the layer which COMMAND
# makes on top of LOWER is there; ROOT_LAYER is the lower of a root that has it.
# OPTIONs are root_run's. KEY is a hash of what decides the layer's content besides LOWER and
# COMMAND.
root_layer()
{
	local suite=$1 name=$2 key=$3 lower=$4 dir lock rc=0
	shift 4
	local options=()
	while [[ ${1:-} == -* ]]; do
		options+=("$1")
		if [ "$1" != -n ]; then
			options+=("$2")
			shift
		fi
		shift
	done
	# The base's time as well: it is made anew in the same place when it is old.
	dir=$CACHE/$suite/layer-$name-$(root_hash "$key" "lower: $lower" "$*" \
		"$(stat -c %Y "${lower##*:}")")
	# Of this name only: another one, which may take minutes, is nothing to wait for.
	exec {lock}>"$CACHE/$suite/lock-$name"
	flock "$lock"
	if [ ! -d "$dir" ]; then
		root_drop "$CACHE/$suite/layer-$name-"????????????
		rm -rf --one-file-system "$dir.new"
		mkdir "$dir.new"
		root_run "${options[@]}" -u "$dir.new/upper" "$lower" "$@" >"$dir.log" 2>&1 || rc=$?
		if [ $rc -ne 0 ]; then
			say "FAILED: layer $name of $suite, see $dir.log"
			grep '^FAILED: ' "$dir.log" >&2 || true
			tail -n 15 "$dir.log" >&2
			exec {lock}>&-
			return 1
		fi
		rm -rf "$dir.new/work"
		mv "$dir.new" "$dir"
	fi
	root_hold "$dir"
	exec {lock}>&-
	ROOT_LAYER=$dir/upper:$lower
}
