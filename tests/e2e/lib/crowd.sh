# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Many commands at once, on the same and on different modules, beside a transaction. Sourced by the
# scenario `crowd` of each manager, which has two functions besides:
#	crowd_transaction	install the package of kmodpkg-hello
#	crowd_unrelated		install a package that concerns nobody, whoever holds the manager's lock

START=/run/e2e-start

# All that is made ready from here on starts at one moment.
crowd_gather()
{
	MEMBERS=()
	exec {start_fd}>"$START"
	flock "$start_fd"
}

# Only for what hangs.
bounded()
{
	timeout 300 "$@"
}

# insist COMMAND...: call one that does not wait for a lock until it gets it.
insist()
{
	local end=$((SECONDS + 300))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
	done
}

# member STATUS COMMAND...: one of the crowd, that may end with these (0 or "0|3"). What it prints
# is kept apart, so that lines of two are not taken for one.
member()
{
	local want=$1 log=/tmp/crowd-${#MEMBERS[@]}
	shift
	{
		flock -s "$START" true
		"$@"
	} >"$log" 2>&1 </dev/null {start_fd}>&- &
	MEMBERS+=("$! $want $*")
}

crowd_go()
{
	exec {start_fd}>&-
}

# Each of them came to an end, with a status that is right; its output is whole lines of ours.
crowd_is_done()
{
	local i pid want command rc faults=''
	for ((i = 0; i < ${#MEMBERS[@]}; i++)); do
		read -r pid want command <<<"${MEMBERS[i]}"
		rc=0
		wait "$pid" || rc=$?
		printf '\n$ %s (%s)\n' "$command" "$rc"
		cat "/tmp/crowd-$i"
		[[ "|$want|" == *"|$rc|"* ]] || faults+="$command: status $rc"$'\n'
	done
	fail_on "of the crowd" "$faults"
}

# Nothing waits, nothing is half done.
assert_no_leftovers()
{
	local dir
	for dir in /var/lib/kmodpkg/{queue,unsettled,work}; do
		[ ! -d "$dir" ] || fail_on "left in $dir" "$(ls -A "$dir")"
	done
	fail_on "temporary files are left" \
		"$(find /var/lib/kmodpkg /var/lib/dkms /usr/src /lib/modules /run/kmodpkg -name '.*' |
			grep -vE '^(/usr/src/(linux-|kernels/)|/lib/modules/[^/]+/build/)' | head)"
	run kmodpkg sync --dry-run
	assert_no_output "$K1_RE"
}

# One source's life, over and over, beside everything else: each step has its result at once.
sequence()
{
	local command=$1 name=$2 ko=$3 i dir
	dir=$(kernel_dir "$K1")/$MODULE_DIR
	for i in 1 2 3; do
		echo "round $i"
		bounded "$command" uninstall "$name/1.0" -k "$K1"
		! compgen -G "$dir/$ko.ko*"  || fail "$ko is there after it was uninstalled"
		[ -z "$(owner_of "$dir/$ko.ko")" ] || fail "$name has a package"
		bounded "$command" install "$name/1.0" -k "$K1"
		assert_module_owner "$K1" "$ko" "$(module_file "$K1" "$ko")"
	done
}

repeat()
{
	local i
	for i in 1 2 3; do
		bounded "$@"
	done
}

come_and_go()
{
	local i
	for i in 1 2 3; do
		bounded kmodpkg remove kmodpkg-user
		bounded kmodpkg add kmodpkg-user/1.0
	done
}

crowd_all()
{
	local transaction k=(-k "$K1")
	add_by_hand kmodpkg-multi
	# A transaction that stands in the middle of a build, and holds the manager's lock.
	gate_close
	crowd_transaction >/tmp/transaction.log 2>&1 </dev/null &
	transaction=$!
	gate_wait
	crowd_gather
	member 0 bounded kmodpkg sync
	member 0 bounded kmodpkg install kmodpkg-multi "${k[@]}"
	member 0 bounded kmodpkg status
	member 0 bounded dkms install kmodpkg-multi/1.0 "${k[@]}"
	member 0 bounded kmodpkg build --force kmodpkg-multi "${k[@]}"
	member 3 bounded dkms add kmodpkg-multi/1.0
	member 0 bounded kmodpkg sync
	member 0 bounded dkms autoinstall "${k[@]}"
	member 0 bounded kmodpkg status --json
	member 0 bounded dkms status
	member 0 bounded kmodpkg install kmodpkg-hello "${k[@]}"
	member 0 bounded kmodpkg build --force kmodpkg-hello "${k[@]}"
	crowd_go
	gate_open
	ends_well "$transaction" /tmp/transaction.log "the transaction"
	crowd_is_done
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_no_leftovers

	# Each with a source of its own, and those who want all of them, while a transaction comes and goes.
	add_by_hand kmodpkg-user
	crowd_gather
	member 0 sequence kmodpkg kmodpkg-hello kmodpkg_hello
	member 0 sequence dkms kmodpkg-multi kmodpkg_core
	member 0 come_and_go
	member 0 repeat kmodpkg sync
	member 0 repeat dkms autoinstall "${k[@]}"
	member 0 repeat kmodpkg status
	member 0 crowd_unrelated
	crowd_go
	crowd_is_done
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub kmodpkg_user
	assert_no_leftovers
}
