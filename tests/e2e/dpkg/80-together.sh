# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Several runs at the same time.

# Start a sync in the background and wait until it builds.
sync_to_the_gate()
{
	add_by_hand kmodpkg-hello
	gate_close
	kmodpkg sync >/tmp/first.log 2>&1 </dev/null &
	FIRST=$!
	gate_wait
}

first_is_done()
{
	ends_well "$FIRST" /tmp/first.log "the first sync"
}

scenario two_syncs kernel
two_syncs()
{
	local second
	sync_to_the_gate
	initramfs_reset
	# Those who only read wait for nobody.
	run timeout 20 kmodpkg status
	timeout 300 kmodpkg sync >/tmp/second.log 2>&1 </dev/null &
	second=$!
	gate_open
	ends_well "$second" /tmp/second.log "the second sync"
	first_is_done
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# A package is installed while a build is on: neither waits for the other's end.
scenario dpkg_beside_a_build kernel
dpkg_beside_a_build()
{
	sync_to_the_gate
	small_deb /tmp e2e-unrelated 1
	run timeout 60 dpkg -i /tmp/e2e-unrelated_1_all.deb
	gate_open
	first_is_done
	assert_modules "$K1" kmodpkg_hello
}

# And a kernel, whose transaction needs the same module for itself.
scenario kernel_beside_a_build kernel
kernel_beside_a_build()
{
	local debs second
	sync_to_the_gate
	mapfile -t debs < <(kernel_debs "$K2" image && kernel_debs "$K2" headers)
	timeout 300 dpkg -i "${debs[@]}" >/tmp/second.log 2>&1 </dev/null &
	second=$!
	gate_open
	ends_well "$second" /tmp/second.log "dpkg"
	first_is_done
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
}

# Somebody else's dpkg holds the lock for long: sync waits or queues, says so, and does not end
# with less than what it was asked for.
scenario held_lock kernel
held_lock()
{
	local holder sync line rc=0
	mkfifo /run/e2e-held /run/e2e-release /run/e2e-sync
	POSTINST='echo held >/run/e2e-held; read line </run/e2e-release || :' \
		small_deb /tmp e2e-holder 1
	add_by_hand kmodpkg-hello
	dpkg -i /tmp/e2e-holder_1_all.deb >/tmp/holder.log 2>&1 </dev/null &
	holder=$!
	read -r -t 60 line </run/e2e-held || fail "dpkg did not come to the postinst"
	kmodpkg sync >/run/e2e-sync 2>&1 </dev/null &
	sync=$!
	exec 7</run/e2e-sync
	# Until it says that it waits, or ends. In both cases it has met the lock.
	while IFS= read -r -t 120 -u 7 line; do
		echo "sync: $line"
		[[ ! ${line,,} =~ lock|wait|busy|queue ]] || break
	done
	fail_on "a package was recorded beside a held lock" "$(generated_packages "$K1")"
	echo >/run/e2e-release
	cat <&7
	wait "$sync" || rc=$?
	[ $rc -eq 0 ] || fail "sync ended with status $rc"
	wait "$holder" || fail "the other dpkg failed: $(tail -n 3 /tmp/holder.log)"
	cat /tmp/holder.log
	assert_modules "$K1" kmodpkg_hello
}
