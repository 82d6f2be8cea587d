# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Builds and transactions that fail, clients that are killed, disks that are full.

scenario build_fails kmodpkg smoke
build_fails()
{
	run rpm -i "$(source_rpm kmodpkg-hello)" "$(source_rpm kmodpkg-broken)"
	# The transaction does not fail for it, nor for a mistake in our configuration.
	echo 'jobs = many' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	# shellcheck disable=SC2046
	run rpm -i $(kernel_rpms "$K1")
	assert_output 'e2e.conf:1: jobs = "many": expected a number from 0 to 4096, ignoring'
	rm /etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	assert_output 'kmodpkg-broken'
	assert_output 'does not compile, on purpose'
	assert_output '/var/log/kmodpkg/'
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	assert_status kmodpkg-broken 1.0 "$K1" failed
	run_fails kmodpkg sync
}

# A package whose %pre fails, in one transaction with a kernel. Here it is the first one that rpm comes
# to, below it is the last.
scenario other_package_fails kmodpkg
other_package_fails()
{
	fails_beside_kernel
}

scenario last_package_fails kmodpkg smoke
last_package_fails()
{
	fails_beside_kernel 'Requires: kernel-devel, kernel-core'
}

# fails_beside_kernel [LINE]: of the preamble of the package that fails.
fails_beside_kernel()
{
	run rpm -i "$(source_rpm kmodpkg-hello)"
	# shellcheck disable=SC2046
	run_fails rpm -i "$(small_rpm e2e-fails 1 "$@" '%pre' 'exit 1')" $(kernel_rpms "$K1")
	assert_output 'e2e-fails'
	! installed e2e-fails || fail "a package whose %pre fails was installed"
	# The kernel is there nevertheless: rpm leaves out what fails, and so do we.
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# The kernel's headers are what fails.
scenario headers_fail kmodpkg
headers_fail()
{
	local tree=/tmp/broken-devel
	run rpm -i "$(source_rpm kmodpkg-hello)"
	mkdir -p "$tree/usr/src/kernels/$K1"
	touch "$tree/usr/src/kernels/$K1/Makefile"
	run /bin/bash /run/e2e/rpm/pack /tmp "$tree" e2e-devel 1 1 noarch '%pre' 'exit 1'
	run_fails rpm -i "$RPMS/kernel-core-$K1.rpm" /tmp/e2e-devel-1-1.noarch.rpm
	assert_modules "$K1"
	assert_status kmodpkg-hello 1.0 "$K1" no-headers
	run rpm -i "$RPMS/kernel-devel-$K1.rpm"
	assert_modules "$K1" kmodpkg_hello
}

# client_to_the_gate COMMAND...: run it in the background until it builds.
client_to_the_gate()
{
	gate_close
	# Not the shell's way of ignoring SIGINT in what it starts in the background.
	setsid env --default-signal=INT,QUIT "$@" >/tmp/client.log 2>&1 </dev/null &
	CLIENT=$!
	gate_wait
}

# What remains of the run that a signal was sent to: kmodpkg goes on without its client, and
# holds its locks as long as it does.
wait_for_kmodpkg()
{
	local pid
	for pid in "$@"; do
		# Not our child: its end is seen by what it has in /proc.
		[ ! -d "/proc/$pid" ] || timeout 120 tail -s 0.1 --pid="$pid" -f /dev/null ||
			fail "process $pid did not end"
	done
}

# signal_in_build SIGNAL COMMAND...: to the client alone, while it waits for the build.
signal_in_build()
{
	local signal=$1 pids
	shift
	run rpm -i --noplugins --notriggers "$(source_rpm kmodpkg-hello)"
	client_to_the_gate "$@"
	mapfile -t pids < <(tree_of "$CLIENT" | tail -n +2)
	kill "-$signal" "$CLIENT"
	gate_open
	wait "$CLIENT" || true
	wait_for_kmodpkg "${pids[@]}"
	cat /tmp/client.log
	assert_database
	# Whatever the client did not come to, this finds.
	run kmodpkg sync
	[ -e "/boot/initramfs-$K1.img" ] || run /srv/e2e/kernel-install add "$K1"
	assert_modules "$K1" kmodpkg_hello
}

scenario sigint_rpm kmodpkg
sigint_rpm()
{
	# shellcheck disable=SC2046
	signal_in_build INT rpm -i $(kernel_rpms "$K1")
	assert_posttrans "$K1" kmodpkg_hello
}

scenario sigterm_rpm kmodpkg
sigterm_rpm()
{
	# shellcheck disable=SC2046
	signal_in_build TERM rpm -i $(kernel_rpms "$K1")
}

scenario sigkill_rpm kmodpkg smoke
sigkill_rpm()
{
	# shellcheck disable=SC2046
	signal_in_build KILL rpm -i $(kernel_rpms "$K1")
}

scenario sigint_dnf kmodpkg
sigint_dnf()
{
	signal_in_build INT dnf install "kernel-core-${K1%.x86_64}" "kernel-devel-${K1%.x86_64}"
}

scenario sigint_dnf5 kmodpkg forky
sigint_dnf5()
{
	signal_in_build INT dnf5 -y install "kernel-core-${K1%.x86_64}" "kernel-devel-${K1%.x86_64}"
}

scenario sigterm_zypper kmodpkg
sigterm_zypper()
{
	signal_in_build TERM zypper --non-interactive install "kernel-core-$K1" "kernel-devel-$K1"
}

# All of it dies at once, as when a container ends.
scenario killed_with_all kernel
killed_with_all()
{
	client_to_the_gate rpm -i "$(source_rpm kmodpkg-hello)"
	kill_at_the_gate "$CLIENT"
	[ ${#KILLED[@]} -gt 1 ] || fail "rpm has no child in the middle of the build"
	wait_for_kmodpkg "${KILLED[@]:1}"
	fail_on "a killed build left packages" "$(generated_packages "$K1")"
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}

# While a transaction builds it has rpm's lock, and nobody gets between.
scenario second_rpm kernel
second_rpm()
{
	client_to_the_gate rpm -i "$(source_rpm kmodpkg-hello)"
	run_fails rpm -i "$(small_rpm e2e-unrelated 1)"
	assert_output 'lock'
	# Those who only read wait for nobody.
	run timeout 20 rpm -q kmodpkg-hello
	run timeout 20 kmodpkg status
	gate_open
	ends_well "$CLIENT" /tmp/client.log "rpm"
	assert_modules "$K1" kmodpkg_hello
	run rpm -i "$(small_rpm e2e-unrelated 1)"
}

# A person's sync builds while a transaction brings a kernel that wants the same module.
scenario rpm_beside_a_sync kernel
rpm_beside_a_sync()
{
	local rpm
	add_by_hand kmodpkg-hello
	client_to_the_gate kmodpkg sync
	# shellcheck disable=SC2046
	timeout 300 rpm -i $(kernel_rpms "$K2") >/tmp/rpm.log 2>&1 </dev/null &
	rpm=$!
	gate_open
	ends_well "$rpm" /tmp/rpm.log "rpm"
	ends_well "$CLIENT" /tmp/client.log "the sync"
	assert_modules "$K1" kmodpkg_hello
	assert_modules "$K2" kmodpkg_hello
	assert_posttrans "$K2" kmodpkg_hello
}

# No room for the headers: the transaction fails, and nothing is built for that kernel.
scenario transaction_disk_full kmodpkg
transaction_disk_full()
{
	run rpm -i "$(source_rpm kmodpkg-hello)"
	mkdir -p /usr/src/kernels
	small_disk /usr/src/kernels
	# rpm looks at the room before it begins; --ignoresize is how it fails in the middle.
	# shellcheck disable=SC2046
	run_fails rpm -i --ignoresize $(kernel_rpms "$K1")
	assert_output 'No space left|cpio'
	assert_modules "$K1"
	small_disk_grow
	run rpm -i "$RPMS/kernel-devel-$K1.rpm"
	assert_modules "$K1" kmodpkg_hello
}

# Room for the transaction, none to build in.
scenario build_disk_full kernel
build_disk_full()
{
	small_disk /var/lib/kmodpkg /var/lib/dkms /var/cache/kmodpkg /var/log/kmodpkg
	run rpm -i "$(source_rpm kmodpkg-hello)"
	assert_modules "$K1"
	assert_output 'No space left on device|[Dd]isk( is)? full|ENOSPC'
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
	small_disk "/lib/modules/$K1"
	run rpm -i "$(source_rpm kmodpkg-hello)"
	assert_output 'No space left on device|[Dd]isk( is)? full|ENOSPC|needs .* more space'
	fail_on "a package of a module that is not there" "$(generated_packages "$K1")"
	small_disk_grow
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}
