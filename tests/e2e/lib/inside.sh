# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What scenarios are written with, besides the assertions. Sourced, inside a root.
#
# K1 and K2 are the releases of two small kernels, the older one first; KFULL is the release of one
# with all that Debian's kernels have; SUITE is the Debian release;
# KMODPKG the path of kmodpkg's own package.

DEBS=/run/debs
RUN_OUTPUT=/tmp/e2e-run
GATE=/usr/src/.e2e-gate
# shellcheck disable=SC1091
. /srv/e2e/kernels
# The same for patterns: a release may have a "+" in it.
K1_RE=${K1//./\\.} K2_RE=${K2//./\\.}
# shellcheck disable=SC2034 # for scenarios
K1_RE=${K1_RE//+/\\+} K2_RE=${K2_RE//+/\\+}

# The output of the last run, without dpkg's progress.
show_output()
{
	sed -E 's/^\(Reading database \.\.\. .*(\(Reading database \.\.\. [0-9]+ files)/\1/' "$RUN_OUTPUT"
}

# run COMMAND...: run it, keep its output for assert_output; it has to succeed.
run()
{
	local rc=0
	printf '\n$ %s\n' "$*"
	# Into a file: a pipe would be held open by whatever the command leaves behind.
	"$@" >"$RUN_OUTPUT" 2>&1 </dev/null || rc=$?
	show_output
	[ $rc -eq 0 ] || fail "'$*' ended with status $rc"
}

# The same for a command that has to fail, and not by a signal.
run_fails()
{
	local rc=0
	printf '\n$ %s\n' "$*"
	"$@" >"$RUN_OUTPUT" 2>&1 </dev/null || rc=$?
	show_output
	[ $rc -ne 0 ] || fail "'$*' succeeded"
	[ $rc -lt 124 ] || fail "'$*' ended with status $rc"
}

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

# The gate: builds of kmodpkg-hello stop in their middle until it is opened.
gate_close()
{
	mkfifo -m 644 "$GATE"
}

# Wait until a build stands at the gate. The keeper's open succeeds at the moment in which a build
# opens the other end, so nobody has to guess how long that takes; the limit is for a build that
# never comes.
gate_wait()
{
	coproc GATEKEEPER {
		exec 8>"$GATE"
		echo open
		# Until gate_open closes the other end.
		read -r _
	}
	gate_pid=$GATEKEEPER_PID
	gate_fd=${GATEKEEPER[1]}
	read -r -t 120 -u "${GATEKEEPER[0]}" _ || fail "no build came to the gate"
}

# Let builds go on. The gate vanishes before its keeper does: a build that has it open reads the
# end of file, a later one does not find it.
gate_open()
{
	rm -f "$GATE"
	exec {gate_fd}>&-
	wait "$gate_pid" || true
}
