# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Transactions that change less than they seem to, or something else, or run without our plugin.

scenario test_only hello
test_only()
{
	local before
	before=$(find /var/lib/kmodpkg /var/lib/dkms "/lib/modules/$K1" -printf '%p %T@\n' | sort)
	# shellcheck disable=SC2046
	run rpm -i --test $(kernel_rpms "$K2")
	run rpm -e --test kmodpkg-hello
	assert_no_output kmodpkg:
	run dnf --setopt=tsflags=test install "kernel-core-${K2%.x86_64}"
	fail_on "a test has installed packages" "$(generated_packages "$K2")"
	[ "$before" = "$(find /var/lib/kmodpkg /var/lib/dkms "/lib/modules/$K1" -printf '%p %T@\n' |
		sort)" ] || fail "a test has changed the system"
	assert_modules "$K1" kmodpkg_hello
}

# The database says that a source is there; the disk does not.
scenario justdb hello
justdb()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	run rpm -i --justdb "$(source_rpm kmodpkg-multi)"
	assert_no_output kmodpkg:
	assert_modules "$K1" kmodpkg_hello
	run rpm -e --justdb kmodpkg-multi kmodpkg-hello
	# Its files are still there, and nobody has taken the source away.
	assert_modules "$K1" kmodpkg_hello
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "the module was made anew"
}

# Without the plugin the file triggers do it, after %posttrans: a second initramfs is the price.
scenario noplugins kmodpkg smoke
noplugins()
{
	run rpm -i --noplugins "$(source_rpm kmodpkg-hello)"
	# shellcheck disable=SC2046
	run rpm -i --noplugins $(kernel_rpms "$K1")
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1"
	assert_initramfs_made "$K1=2"
	run rpm -e --noplugins "kernel-core-$K1" "kernel-devel-$K1"
	assert_kernel_gone "$K1"
}

# Without those as well, the next run makes up for it.
scenario noplugins_notriggers kernel
noplugins_notriggers()
{
	run rpm -i --noplugins --notriggers "$(source_rpm kmodpkg-hello)"
	assert_modules "$K1"
	initramfs_reset
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	# Or the next transaction that concerns modules.
	run rpm -U --noplugins --notriggers "$(source_rpm kmodpkg-hello 1.1)"
	run rpm -i "$(source_rpm kmodpkg-multi)"
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_generated_version kmodpkg-hello "$K1" 1.1
}

scenario noscripts_notriggers kmodpkg
noscripts_notriggers()
{
	# The plugin is neither.
	run rpm -i --notriggers "$(source_rpm kmodpkg-hello)"
	# shellcheck disable=SC2046
	run rpm -i --noscripts --notriggers $(kernel_rpms "$K1")
	run /srv/e2e/kernel-install add "$K1"
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
}

# What is installed into another root is that root's business, and we are not in it.
# foreign_root COMMAND...
foreign_root()
{
	local before
	add_by_hand kmodpkg-hello
	before=$(find /var/lib/kmodpkg /var/lib/dkms /lib/modules /var/lib/rpm/rpmdb.sqlite \
		-printf '%p %T@\n' | sort)
	initramfs_reset
	mkdir -p /srv/foreign/bin
	run "$@"
	[ -e /srv/foreign/usr/src/kmodpkg-multi-1.0/dkms.conf ] || fail "the foreign root got nothing"
	fail_on "the foreign root got more than the package" \
		"$(rpm --root /srv/foreign -qa | grep -v '^kmodpkg-multi' || true)"
	[ "$before" = "$(find /var/lib/kmodpkg /var/lib/dkms /lib/modules \
		/var/lib/rpm/rpmdb.sqlite -printf '%p %T@\n' | sort)" ] ||
		fail "work on a foreign root has changed this one"
	[ -z "$(find /srv/foreign -name '*kmodpkg*' ! -path '*/src/*' ! -path '*/cache/*')" ] ||
		fail "the foreign root got state of ours"
	assert_initramfs_made
}

scenario root_by_rpm kernel
root_by_rpm()
{
	foreign_root rpm --root /srv/foreign -i "$(source_rpm kmodpkg-multi)"
}

scenario root_by_dnf kernel
root_by_dnf()
{
	foreign_root dnf --installroot=/srv/foreign --releasever=42 install kmodpkg-multi
}

# An initramfs is not what a source's %post may wait for, nor is the lock that its rpm holds.
# dkms_caller VERB...: a source whose %post calls us, as those of Fedora call dkms.
scenario scriptlet_calls kernel
scriptlet_calls()
{
	local deb=$DEBS/kmodpkg-hello_1.0_all.deb
	run pack_source "$deb" '%post' 'kmodpkg add kmodpkg-hello/1.0 || exit 7' \
		'kmodpkg install kmodpkg-hello/1.0 || exit 8' '%preun' \
		'kmodpkg remove kmodpkg-hello/1.0 --all || exit 9'
	initramfs_reset
	run rpm -i "$(source_rpm kmodpkg-hello)"
	assert_no_output 'scriptlet failed'
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
	assert_system
	run rpm -e kmodpkg-hello
	assert_no_output 'scriptlet failed'
	assert_modules "$K1"
}

# The same with the names that Fedora's and everybody's *-dkms packages use.
scenario scriptlet_calls_dkms kernel smoke
scriptlet_calls_dkms()
{
	local deb=$DEBS/kmodpkg-hello_1.0_all.deb
	# As in the spec files of zfs and of many a vendor.
	run pack_source "$deb" '%post' 'dkms add -m kmodpkg-hello -v 1.0 --rpm_safe_upgrade || :' \
		'dkms build -m kmodpkg-hello -v 1.0 || exit 8' \
		'dkms install -m kmodpkg-hello -v 1.0 || exit 9' '%preun' \
		'dkms remove -m kmodpkg-hello -v 1.0 --all --rpm_safe_upgrade || exit 10'
	initramfs_reset
	run dnf install "$(source_rpm kmodpkg-hello)"
	assert_no_output 'scriptlet failed'
	assert_modules "$K1" kmodpkg_hello
	run dnf remove kmodpkg-hello
	assert_no_output 'scriptlet failed'
	assert_modules "$K1"
}

# After an upgrade of librpm to another soname, before ours: the plugin is for a library that
# is not there, and rpm works.
scenario librpm_unknown kernel
librpm_unknown()
{
	local plugin
	plugin=$(rpm --eval '%{__plugindir}')/kmodpkg.so
	[ -e "$plugin" ] || fail "there is no $plugin"
	readelf -d "$plugin" | grep NEEDED >/tmp/needed || true
	! grep -v 'libc\.so' /tmp/needed || fail "the plugin needs more than libc"
	# A function that this librpm does not have, by its name in the plugin.
	sed -i 's/rpmtsRootDir/rpmtsRootDix/g' "$plugin"
	run rpm -i --notriggers "$(source_rpm kmodpkg-hello)"
	assert_no_output '[Ee]rror'
	assert_modules "$K1"
	run dnf install kmodpkg-multi
	# The file triggers have seen to both.
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
}

scenario plugin_missing kernel
plugin_missing()
{
	rm "$(rpm --eval '%{__plugindir}')/kmodpkg.so"
	run rpm -i --notriggers "$(source_rpm kmodpkg-hello)"
	assert_no_output '[Ee]rror'
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	# For rpm --verify of the whole system to be clean again.
	run rpm -U --force "${KMODPKG_RPMS[@]}"
}

# An image with a read-only /usr, where a person or the boot service runs us.
scenario readonly_usr kernel
readonly_usr()
{
	add_by_hand kmodpkg-hello
	mount --bind /usr /usr
	mount -o remount,bind,ro /usr
	run kmodpkg sync
	assert_output 'read-only'
	[ "$(grep -c . "$RUN_OUTPUT")" -le 2 ] || fail "that is more than a line"
	mount -o remount,bind,rw /usr
	fail_on "something was installed" "$(generated_packages "$K1")"
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}

# A package of that name that is somebody else's: akmods names its own like that.
scenario name_taken kernel
name_taken()
{
	run rpm -i "$(small_rpm "kmod-kmodpkg-hello-$K1" 1)"
	run rpm -i "$(source_rpm kmodpkg-hello)"
	assert_output "kmod-kmodpkg-hello-$K1_RE"
	[ "$(rpm -q --qf '%{VERSION}' "kmod-kmodpkg-hello-$K1")" = 1 ] ||
		fail "somebody else's package was replaced"
	run_fails kmodpkg sync
	assert_output 'not made by kmodpkg'
	run rpm -e "kmod-kmodpkg-hello-$K1"
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
}
