# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Builds that fail, runs that are killed, disks that are full.

scenario build_fails kmodpkg
build_fails()
{
	local log
	run apt-get install "$(source_deb kmodpkg-hello)" "$(source_deb kmodpkg-broken)"
	run apt-get install "linux-image-$K1" "linux-headers-$K1"
	# Said in apt's output: which, where, why.
	assert_output 'kmodpkg-broken'
	assert_output "$K1_RE"
	assert_output 'does not compile, on purpose'
	assert_output '/var/log/kmodpkg/'
	# The others are not held up by it.
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-broken 1.0 "$K1" failed
	run kmodpkg log kmodpkg-broken/1.0 -k "$K1"
	assert_output 'does not compile, on purpose'
	# The same thing again would fail again: remembered, not tried at every run.
	log=$(find /var/log/kmodpkg -type f -printf '%p %i %T@\n' | grep broken)
	[ -n "$log" ] || fail "no log below /var/log/kmodpkg"
	# It is not well, though, and a script is to see that: apt could not fail for it.
	run_fails kmodpkg sync
	[ "$log" = "$(find /var/log/kmodpkg -type f -printf '%p %i %T@\n' | grep broken)" ] ||
		fail "the failed build was tried again"
	# A person who asks for it is told by the status.
	run_fails kmodpkg build kmodpkg-broken/1.0 -k "$K1"
}

# wrong_line LINE: the only one of a configuration file.
wrong_line()
{
	echo "$1" >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
}

# A mistake in our configuration is said, and no package is left half configured for it.
scenario wrong_configuration kernel
wrong_configuration()
{
	local file=/etc/kmodpkg/kmodpkg.conf.d/e2e.conf deb
	deb=$(dkms_deb kmodpkg-hello 1.0)
	wrong_line 'jobs = many'
	run apt-get install "$deb"
	assert_output "$file:1: jobs = \"many\": expected a number from 0 to 4096, ignoring"
	assert_system
	assert_modules "$K1" kmodpkg_hello
	# A postinst of older days, to which a status that is not 0 is an end.
	POSTINST="for action in build install; do dkms \$action --force kmodpkg-hello/1.0 -k $K1; done" \
		small_deb /tmp e2e-calls 1
	run apt-get install /tmp/e2e-calls_1_all.deb
	assert_output 'built kmodpkg-hello/1\.0'
	assert_system
	run kmodpkg status
	assert_output "$file:1: jobs"
	run_fails kmodpkg doctor
	assert_output "^configuration: $file:1: jobs"
	run_fails kmodpkg sync
	assert_output "^kmodpkg sync: $file:1: jobs"
	# What would be signed in another way than was meant waits.
	wrong_line 'sign_key = mok.pem'
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_output "$file:1: sign_key = \"mok.pem\": .*, building nothing for kernels that verify signatures"
	assert_system
	assert_modules "$K2"
	assert_status kmodpkg-hello "$K2" failed 'sign_key = "mok.pem"'
	run apt-get remove kmodpkg-hello-dkms
	assert_system
	assert_modules "$K1"
	wrong_line 'jobs = 1'
	run apt-get install "$deb"
	assert_no_output 'e2e.conf'
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
}

# The small kernels have no video devices, and v4l2loopback's dkms.conf knows.
scenario excluded_by_conf kernel
excluded_by_conf()
{
	run apt-get install "$(source_deb v4l2loopback)"
	assert_no_output '[Ee]rror'
	assert_modules "$K1"
	assert_status v4l2loopback "$K1" excluded 'REQUIRES CONFIG_VIDEO_DEV'
}

# Without that knowledge all of it compiles, and could never be loaded.
scenario undefined_symbols kernel
undefined_symbols()
{
	local tree
	dpkg-deb -x "$(source_deb v4l2loopback)" /tmp/x
	tree=$(find /tmp/x/usr/src -maxdepth 1 -name 'v4l2loopback-*')
	sed -i '/^if /,/^fi/d' "$tree/dkms.conf"
	/bin/bash /run/e2e/modules/pack e2e-v4l2loopback v4l2loopback "${tree##*/v4l2loopback-}" "$tree" /tmp
	run apt-get install /tmp/e2e-v4l2loopback_*.deb
	assert_output 'v4l2loopback.*undefined|undefined.*v4l2loopback|video_device_alloc'
	assert_modules "$K1"
	assert_status v4l2loopback "$K1" failed
}

# A new version that does not build does not take away the old one's module.
scenario upgrade_fails hello
upgrade_fails()
{
	local broken
	mkdir -p /tmp/x
	dpkg-deb -x "$(source_deb kmodpkg-hello 1.1)" /tmp/x
	echo '#error "not yet"' >>/tmp/x/usr/src/kmodpkg-hello-1.1/kmodpkg_hello.c
	broken=/tmp/kmodpkg-hello_1.1_all.deb
	/bin/bash /run/e2e/modules/pack kmodpkg-hello kmodpkg-hello 1.1 \
		/tmp/x/usr/src/kmodpkg-hello-1.1 /tmp
	initramfs_reset
	run apt-get install "$broken"
	assert_output 'not yet'
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.0 kmodpkg-hello
	assert_initramfs_made
	# There, and not what it should be.
	assert_status kmodpkg-hello "$K1" stale
}

# Start dpkg in the background on a source whose build stops at the gate.
dpkg_to_the_gate()
{
	gate_close
	dpkg -i "$(source_deb kmodpkg-hello)" >/tmp/killed.log 2>&1 </dev/null &
	DPKG=$!
	gate_wait
}

# Power cut: all processes of the transaction die at once.
scenario dpkg_killed_with_all kernel
dpkg_killed_with_all()
{
	dpkg_to_the_gate
	kill_at_the_gate "$DPKG"
	[ ${#KILLED[@]} -gt 1 ] || fail "dpkg has no child in the middle of the build"
	fail_on "a killed build left packages" "$(generated_packages "$K1")"
	initramfs_reset
	run dpkg --configure -a
	# Whether dpkg's journal still knows of the pending trigger or not, this is what a person does.
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# Out of memory: dpkg dies, what it started lives on and meets the next dpkg.
scenario dpkg_killed_alone kernel
dpkg_killed_alone()
{
	dpkg_to_the_gate
	kill -KILL "$DPKG"
	wait "$DPKG" || true
	gate_open
	initramfs_reset
	run dpkg --configure -a
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}

# The kernel itself is half installed when it happens.
scenario apt_killed kmodpkg
apt_killed()
{
	local apt
	run apt-get install "$(source_deb kmodpkg-hello)"
	gate_close
	apt-get install "linux-image-$K1" "linux-headers-$K1" >/tmp/killed.log 2>&1 </dev/null &
	apt=$!
	gate_wait
	kill_at_the_gate "$apt"
	initramfs_reset
	run dpkg --configure -a
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

scenario disk_full kernel
disk_full()
{
	small_disk /var/lib/kmodpkg /var/lib/dkms /var/cache/kmodpkg /var/log/kmodpkg
	run apt-get install "$(source_deb kmodpkg-hello)"
	assert_database
	assert_modules "$K1"
	assert_output 'No space left on device|[Dd]isk( is)? full|ENOSPC'
	# The machine's fault, not the source's: tried again without being asked to.
	small_disk_grow
	initramfs_reset
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# Room to build, none to place the module.
scenario module_disk_full kernel
module_disk_full()
{
	local dir
	dir=$(kernel_dir "$K1")
	small_disk "$dir"
	run apt-get install "$(source_deb kmodpkg-hello)"
	assert_database
	assert_output 'No space left on device|[Dd]isk( is)? full|ENOSPC'
	fail_on "a package of a module that is not there" "$(generated_packages "$K1")"
	small_disk_grow
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}
