# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What scenarios are written with, besides the assertions. Sourced, inside a root.
#
# K1 and K2 are the releases of two small kernels, the older one first; KFULL is the release of one
# with all that Debian's kernels have; SUITE is the Debian release, MANAGER the package manager;
# KMODPKG the paths of kmodpkg's own packages, DEBS the directory with those of module sources.

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

# ends_well PID LOG WHAT: wait for what was started in the background, show what it printed; it has to
# succeed.
ends_well()
{
	local rc=0
	wait "$1" || rc=$?
	cat "$2"
	[ $rc -eq 0 ] || fail "$3 ended with status $rc"
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

# Register a source as a person does who has no package of it. Nothing is built until a sync.
add_by_hand()
{
	dpkg-deb -x "$DEBS/${1}_${2:-1.0}_all.deb" /
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

# The pids of the processes of a name.
processes()
{
	{ grep -lx "$1" /proc/[0-9]*/comm 2>/dev/null || true; } | cut -d / -f 3
}

# The processes below $1, and itself.
tree_of()
{
	local child children=()
	echo "$1"
	read -r -a children <"/proc/$1/task/$1/children" || true
	for child in "${children[@]}"; do
		tree_of "$child"
	done
}

# A child of this shell, which is at the gate, and all below it die at one stroke. KILLED: these processes.
kill_at_the_gate()
{
	mapfile -t KILLED < <(tree_of "$1")
	kill -STOP "${KILLED[@]}"
	kill -KILL "${KILLED[@]}"
	wait "$1" || true
	gate_open
}

# small_disk DIR...: move directories with what they hold to a file system that has no room left
# until small_disk_grow.
small_disk()
{
	local dir
	mkdir /mnt/small
	mount -t tmpfs -o size=1g tmpfs /mnt/small
	for dir; do
		mkdir -p "$dir" "/mnt/small$dir"
		cp -a "$dir/." "/mnt/small$dir/"
		mount --bind "/mnt/small$dir" "$dir"
	done
	# At least a page, for zero means no limit.
	echo page >/mnt/small/page
	mount -o "remount,size=$(df -k --output=used /mnt/small | tail -n 1 | tr -d ' ')k" /mnt/small
	! cp /mnt/small/page /mnt/small/another 2>/dev/null || fail "the small disk is not full"
	rm /mnt/small/another
}

small_disk_grow()
{
	mount -o remount,size=1g /mnt/small
}
