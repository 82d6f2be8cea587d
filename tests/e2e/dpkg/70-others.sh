# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Other package managers and other trees on the machine.

# A list of all that kmodpkg could have touched.
fingerprint()
{
	dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' '*-modules-*' 2>/dev/null || true
	{
		# Not all of these have to be there.
		find /lib/modules/*/updates /boot /var/lib/kmodpkg /var/lib/dkms -type f \
			-printf '%p %s %T@\n' 2>/dev/null || true
	} | sort
}

# other_manager COMMAND PACKAGE: a Debian system has this manager too; nobody asks it anything.
other_manager()
{
	local before
	run apt-get install "$2"
	command -v "$1" >/dev/null || fail "$2 has no $1"
	before=$(kmodpkg status --json)
	initramfs_reset
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	[ "$before" = "$(kmodpkg status --json)" ] || fail "the status has changed"
	assert_initramfs_made
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_modules "$K2" kmodpkg_hello
	assert_initramfs_made "$K2=1"
}

scenario rpm_installed hello
rpm_installed()
{
	other_manager rpm rpm
	fail_on "rpm's database got packages" "$(rpm -qa)"
}

scenario pacman_installed hello
pacman_installed()
{
	other_manager pacman pacman-package-manager
	fail_on "pacman's database got packages" "$(find /var/lib/pacman/local -mindepth 2 2>/dev/null)"
}

# dpkg --root runs this system's hooks on this system, though it works on another one.
scenario foreign_root kernel
foreign_root()
{
	local before
	# There is work to do here, so a hook that does not look where it is would do it.
	add_by_hand kmodpkg-hello
	before=$(fingerprint)
	initramfs_reset
	mkdir -p /srv/foreign/var/lib/dpkg/{info,updates,triggers}
	touch /srv/foreign/var/lib/dpkg/{status,available}
	run dpkg --root=/srv/foreign -i "$(source_deb kmodpkg-multi)"
	[ -e /srv/foreign/usr/src/kmodpkg-multi-1.0/dkms.conf ] || fail "the foreign tree got nothing"
	[ "$before" = "$(fingerprint)" ] || fail "work on a foreign tree has changed this one"
	assert_initramfs_made
	# The same for a database elsewhere.
	run dpkg --admindir=/srv/foreign/var/lib/dpkg -r kmodpkg-multi
	[ "$before" = "$(fingerprint)" ] || fail "work on a foreign database has changed this one"
	[ -z "$(find /srv/foreign -name '*kmodpkg*' ! -path '*/dpkg/*' ! -path '*/src/*')" ] ||
		fail "the foreign tree got state of ours"
}
