# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Module sources that try what they must not.

NOT_IN_INITRAMFS+=' kmodpkg_hostile'

# hostile ATTACK: have one built that tries that.
hostile()
{
	local tree=/usr/src/kmodpkg-hostile-$1
	cp -r /run/e2e/modules/kmodpkg-hostile "$tree"
	sed -i "s/@VERSION@/$1/" "$tree/dkms.conf"
	run kmodpkg add "kmodpkg-hostile/$1"
	kmodpkg build "kmodpkg-hostile/$1" -k "$K1" >/tmp/out 2>&1
}

# hostile_fails ATTACK WORDS [STATUS]: its build fails, with these words; nothing of it is left.
hostile_fails()
{
	local rc=0
	hostile "$1" || rc=$?
	[ $rc -ne 0 ] || fail "$1: the build did not fail"
	[ $rc -eq "${3:-$rc}" ] || fail "$1: exit status $rc and not $3: $(cat /tmp/out)"
	grep -q ' failed: ' /tmp/out || fail "$1: not said to have failed: $(cat /tmp/out)"
	grep -qE "$2" /tmp/out || fail "$1: no '$2' in: $(cat /tmp/out)"
	assert_nothing_left "$1"
}

assert_nothing_left()
{
	fail_on "$1: processes are left" \
		"$(find /proc -maxdepth 1 -name '[0-9]*' -uid +60000 ! -uid 65534 \
			! -name "$other_victim")"
	fail_on "$1: private directories are left" "$(ls -A /var/lib/kmodpkg/work 2>/dev/null)"
	kill -0 "$victim" "$other_victim" || fail "$1: a process of somebody else's was killed"
	[ "$(stat -c %a:%U /etc/shadow)" = "$shadow" ] || fail "$1: /etc/shadow is another"
}

# What they are after.
bait()
{
	umask 022
	shadow=$(stat -c %a:%U /etc/shadow)
	mkdir -p /srv/open /root /home /var/lib/dkms
	echo 'sign = no' >/etc/kmodpkg/kmodpkg.conf.d/hostile.conf # the key is none
	chmod 755 /root
	echo secret | tee /root/secret /home/secret /run/secret /var/lib/kmodpkg/secret \
		/var/lib/dkms/mok.key >/srv/open/file
	chmod -R a+rwX /srv/open
	chmod 644 /var/lib/dpkg/lock /var/lib/dpkg/lock-frontend
	sleep 10000 &
	victim=$!
	# As of another build, whose uid is near.
	setpriv --reuid 2100000007 --clear-groups sleep 10000 &
	other_victim=$!
	printf '%s\n' "$victim" "$other_victim" >/usr/src/hostile-victims
	coproc LISTENER {
		perl -MIO::Socket::UNIX -e 'umask 0;
			my $s = IO::Socket::UNIX->new(Local => "/srv/open/socket", Listen => 5);
			$| = 1; print "ready\n"; <STDIN>'
	}
	read -r -t 60 _ <&"${LISTENER[0]}" || fail "nobody listens"
	perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new(Peer => "/srv/open/socket")' ||
		fail "the socket cannot be reached by anybody"
}

# A module comes out of it, since nothing that it tries is of any use; or of harm.
scenario hostile_tries_everything kernel
hostile_tries_everything()
{
	bait
	hostile everything || fail "the build failed: $(cat /tmp/out; kmodpkg log kmodpkg-hostile)"
	run kmodpkg log kmodpkg-hostile -k "$K1"
	assert_output '^tried 4[0-9] things'
	assert_no_output 'ESCAPED'
	assert_nothing_left everything
	! grep -q x /srv/open/file || fail "a file of everybody's was changed"
	fail_on "written" "$(find / -xdev -name hostile-was-here 2>/dev/null)"
	rm /var/lib/dkms/mok.key
}

scenario hostile_products kernel
hostile_products()
{
	bait
	hostile_fails symlink 'reached by a symbolic link'
	hostile_fails hardlink 'hard links'
	hostile_fails fifo 'not a regular file'
	hostile_fails directory 'not a regular file'
	hostile_fails other-machine 'machine'
	hostile_fails damaged 'is damaged: reading it ends in signal'
	hostile_fails not-elf 'is not an ELF file'
	hostile_fails kill 'killed'
	run kmodpkg sync -n
	fail_on 'tried again though it can but fail' "$(grep build "$RUN_OUTPUT")"
	rm /var/lib/dkms/mok.key
}

scenario hostile_takes_all kernel plain
hostile_takes_all()
{
	bait
	cat >/etc/kmodpkg/kmodpkg.conf.d/limits.conf <<-END
		limit_processes = 64
		limit_memory = 300M
		limit_disk = 50M
	END
	hostile_fails disk ' failed: met limit_disk .50 MiB.; raise limit_disk in /etc/kmodpkg/kmodpkg.conf' 10
	hostile_fails file 'make failed with exit code 2: met limit_disk .50 MiB.' 10
	hostile_fails swells ' failed: /usr/bin/strip: met limit_disk .50 MiB.; raise limit_disk' 10
	hostile_fails forks 'make failed with exit code 2: met limit_processes .64.' 10
	hostile_fails memory 'met limit_memory .300 MiB.' 10
	hostile_fails memories ' failed: met limit_memory .300 MiB.' 10
	rm /var/lib/dkms/mok.key
}

# The recipe's fault for as long as the limit is that.
scenario hostile_limit_is_raised kernel
hostile_limit_is_raised()
{
	local log built
	bait
	echo 'limit_disk = 50M' >/etc/kmodpkg/kmodpkg.conf.d/limits.conf
	hostile_fails file 'met limit_disk' 10
	log=$(find /var/log/kmodpkg/kmodpkg-hostile -name '*.log')
	built=$(stat -c %i "$log")
	run_fails kmodpkg sync
	[ "$(stat -c %i "$log")" = "$built" ] || fail "it was built again"
	echo 'limit_disk = 1G' >/etc/kmodpkg/kmodpkg.conf.d/limits.conf
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hostile
	rm /var/lib/dkms/mok.key
}

# A gigabyte. It is no harm, so it comes out right.
scenario hostile_prints kernel plain
hostile_prints()
{
	local build pid kib log
	bait
	gate_close
	hostile prints &
	build=$!
	gate_wait
	for pid in $(processes kmodpkg); do
		kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB$/\1/p' "/proc/$pid/status")
		echo "kmodpkg, pid $pid: $kib KiB"
		[ "$kib" -lt $((64 * 1024)) ] || fail "kmodpkg took $kib KiB of memory"
	done
	[ -n "${kib:-}" ] || fail "no kmodpkg is there"
	gate_open
	wait $build || fail "the build failed: $(cat /tmp/out)"
	assert_nothing_left prints
	log=$(find /var/log/kmodpkg/kmodpkg-hostile -name '*.log')
	grep -qx '.the rest of the output is left out.' "$log" || fail "the log does not say that it was cut"
	[ "$(stat -c %s "$log")" -lt $((257 << 20)) ] || fail "the log has $(stat -c %s "$log") bytes"
	run kmodpkg install kmodpkg-hostile/prints -k "$K1"
	assert_modules "$K1" kmodpkg_hostile
	rm /var/lib/dkms/mok.key
}

# By what we run after the build, on a disk with room for it: that is the machine's fault, though.
scenario hostile_swells kernel long
hostile_swells()
{
	bait
	printf '%s\n' 'limit_disk = no' 'keep_free = 100G' >/etc/kmodpkg/kmodpkg.conf.d/limits.conf
	mount -t tmpfs -o mode=755,size=4g tmpfs /var/lib/dkms
	hostile_fails swells "failed: only [0-9]* MiB and [0-9]* files are left on the disk of 'its output'; make room there" 10
	assert_status kmodpkg-hostile "$K1" failed 'keep_free'
	fail_on "left of it" "$(find /var/lib/dkms -size +1M)"
	run kmodpkg sync --dry-run
	assert_output 'build.*kmodpkg-hostile'
	kmodpkg remove kmodpkg-hostile/swells
	umount /var/lib/dkms
	rm /var/lib/dkms/mok.key
}

scenario hostile_never_ends kernel long
hostile_never_ends()
{
	bait
	echo 'timeout = 1' >/etc/kmodpkg/kmodpkg.conf.d/limits.conf
	hostile_fails endless ' failed: met timeout .1 minute.; raise timeout in /etc/kmodpkg/kmodpkg.conf' 10
	rm /var/lib/dkms/mok.key
}
