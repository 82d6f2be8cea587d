# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Builds that fail, processes that are killed, libraries that vanish.

scenario build_fails kmodpkg smoke
build_fails()
{
	pac -U "$(source_file kmodpkg-hello)" "$(source_file kmodpkg-broken)"
	# pacman succeeds, and says which, where and why; a mistake in our configuration, too.
	echo 'jobs = many' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	pac -U "$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")"
	assert_output 'e2e.conf:1: jobs = "many": expected a number from 0 to 4096, ignoring'
	rm /etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	assert_output 'kmodpkg-broken'
	assert_output "$K1_RE"
	assert_output 'does not compile, on purpose'
	assert_output '/var/log/kmodpkg/'
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-broken 1.0 "$K1" failed
	run_fails kmodpkg sync
}

# pacman in a session of its own, as below a daemon, up to where a build stands at the gate.
start_pacman()
{
	gate_close
	setsid pacman --noconfirm "$@" >/tmp/pacman.out 2>&1 &
	pacman_pid=$!
	gate_wait
	# Our sync, the one at the gate.
	read -r -d ' ' sync_pid <"/proc/$pacman_pid/task/$pacman_pid/children"
}

interrupted()
{
	local rc=0
	start_pacman -U "$(source_file kmodpkg-hello)"
	kill "-$1" "$pacman_pid"
	gate_open
	wait "$pacman_pid" || rc=$?
	cat /tmp/pacman.out
	[ $rc -eq 0 ] || fail "pacman ended with $rc"
	assert_modules "$K1" kmodpkg_hello
}

# pacman waits for its hooks.
scenario interrupted_by_int kernel
interrupted_by_int()
{
	interrupted INT
}

scenario interrupted_by_hup kernel
interrupted_by_hup()
{
	interrupted HUP
}

# pacman dies at once and leaves its lock; the build goes on and finds nobody above it any more.
scenario pacman_killed kernel smoke
pacman_killed()
{
	start_pacman -U "$(source_file kmodpkg-hello)"
	kill -KILL "$pacman_pid"
	wait "$pacman_pid" || true
	[ -e /var/lib/pacman/db.lck ] || fail "pacman took its lock with it"
	# As pacman tells people to do.
	rm /var/lib/pacman/db.lck
	gate_open
	tail --pid="$sync_pid" -f /dev/null
	cat /tmp/pacman.out
	assert_modules "$K1" kmodpkg_hello
}

# All of it dies. The next transaction that concerns modules heals, or a sync.
scenario all_killed kernel
all_killed()
{
	start_pacman -U "$(source_file kmodpkg-hello)"
	kill -KILL "$pacman_pid" "$sync_pid"
	wait "$pacman_pid" || true
	tail --pid="$sync_pid" -f /dev/null
	gate_open
	run_fails pacman --noconfirm -U "$(source_file kmodpkg-multi)"
	assert_output 'unable to lock database'
	rm /var/lib/pacman/db.lck
	pac -U "$(source_file kmodpkg-multi)"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
}

# A hook of pacman's that runs a shell command before ours, or after (65, 75).
other_hook()
{
	cat >"/usr/share/libalpm/hooks/$1-other.hook" <<-END
		[Trigger]
		Type = Package
		Operation = Install
		Operation = Upgrade
		Operation = Remove
		Target = *
		[Action]
		When = PostTransaction
		Exec = /bin/sh -c "$2"
	END
}

# pacman is upgraded in the transaction that brings the module, and our kmodpkg does not know its
# library: the module is there, in the initramfs, and gets its package at the end of the next
# transaction, whatever that is about.
scenario library_gone kernel smoke
library_gone()
{
	mkdir /tmp/away
	other_hook 65 'mv /usr/lib/*/libalpm.so.* /tmp/away/'
	pac -U "$(source_file kmodpkg-hello)"
	assert_output 'libalpm'
	[ -z "$(owner_of "$(module_file "$K1" kmodpkg_hello)")" ] || fail "who registered it?"
	assert_in_initramfs "$K1" kmodpkg_hello
	mv /tmp/away/* "/usr/lib/$(gcc -print-multiarch)/"
	rm /usr/share/libalpm/hooks/65-other.hook
	assert_status kmodpkg-hello 1.0 "$K1" queued
	mkdir /tmp/empty
	pac -U "$(make_package unrelated 1 /tmp/empty)"
	assert_modules "$K1" kmodpkg_hello
	pac -R unrelated
}

# What is behind the ".ko" of a kernel's own modules.
suffix()
{
	local own
	own=$(find "/usr/lib/modules/$K1/kernel" -name '*.ko*' -print -quit)
	echo "${own##*.ko}"
}

# A module that was there before, built by hand or by DKMS, is nobody's and is taken over.
scenario unowned_file kernel
unowned_file()
{
	local dir=/usr/lib/modules/$K1/updates/dkms
	mkdir -p "$dir"
	echo mine | tee "$dir/kmodpkg_hello.ko$(suffix)" >"$dir/notes"
	pac -U "$(source_file kmodpkg-hello)"
	# What is not at a path of ours is none of our business.
	[ "$(cat "$dir/notes")" = mine ] || fail "another file was changed"
	rm "$dir/notes"
	assert_modules "$K1" kmodpkg_hello
}

# A file that another package owns stays that package's.
scenario owned_by_another kernel
owned_by_another()
{
	local tree=/tmp/tree file
	file=/usr/lib/modules/$K1/updates/dkms/kmodpkg_hello.ko$(suffix)
	mkdir -p "$tree/${file%/*}"
	echo other >"$tree/$file"
	pac -U "$(make_package other 1 $tree)"
	pac -U "$(source_file kmodpkg-hello)" "$(source_file kmodpkg-multi)"
	assert_output 'error: .*other'
	[ "$(cat "$file")" = other ] || fail "the file was changed"
	[ "$(owner_of "$file")" = other ] || fail "the file has another owner"
	fail_on "it has a package all the same" "$(pacman -Qq kmod-kmodpkg-hello-linux 2>/dev/null || true)"
	# The others are not held up by it.
	run pacman -Qq kmod-kmodpkg-multi-linux
	pac -R other
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
}

# What a container without CAP_SYS_ADMIN is like.
scenario no_mounts kmodpkg
no_mounts()
{
	run setpriv --bounding-set=-sys_admin pacman --noconfirm -U "$(source_file kmodpkg-hello)" \
		"$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")"
	assert_modules "$K1" kmodpkg_hello
}
