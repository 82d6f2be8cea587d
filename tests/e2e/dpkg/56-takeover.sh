# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# kmodpkg and dkms take each other's place.

HOOK_DIRS="header_postinst.d postinst.d preinst.d prerm.d"
MOK=/var/lib/dkms/mok

# A system as people have it: DKMS with a module that it built, a key that the firmware may
# trust, and a configuration that names it.
with_dkms()
{
	run apt-get install "linux-image-$K1" "linux-headers-$K1"
	run apt-get install dkms openssl "$(dkms_deb kmodpkg-hello 1.0)"
	module_file "$K1" kmodpkg_hello
	[ -s $MOK.key ] || fail "DKMS has made no key"
	echo "mok_signing_key=$MOK.key" >>/etc/dkms/framework.conf
	sha256sum $MOK.key $MOK.pub /etc/dkms/framework.conf >/tmp/kept
}

# The key, the configuration and the registrations have survived.
assert_kept()
{
	fail_on "changed, or lost" "$(sha256sum --quiet -c /tmp/kept 2>&1)"
	[ -e /var/lib/dkms/kmodpkg-hello/1.0/source/dkms.conf ] || fail "the registration is lost"
}

# The hooks of dkms are there, or they are not.
assert_hooks()
{
	local dir found=''
	for dir in $HOOK_DIRS; do
		[ ! -e "/etc/kernel/$dir/dkms" ] || found+=" $dir"
	done
	case $1 in
	none) fail_on "hooks of dkms are left" "$found" ;;
	all) [[ $found == *" postinst.d"*" prerm.d"* ]] || fail "hooks of dkms:$found" ;;
	esac
}

dkms_state()
{
	dpkg-query -W -f '${db:Status-Status}' dkms 2>/dev/null || echo not-installed
}

# One command, and all that DKMS had made belongs to packages. As no module changes, there is nothing to
# be made of them anew.
scenario takeover prepared smoke
takeover()
{
	local index
	with_dkms
	update_initramfs "$K1"
	index=$(stat -c '%i %y' "/lib/modules/$K1/modules.dep")
	initramfs_reset
	run apt-get install "$KMODPKG"
	assert_no_output 'Removing kmodpkg-hello|[Ee]rror|not found'
	assert_initramfs_made
	[ "$(stat -c '%i %y' "/lib/modules/$K1/modules.dep")" = "$index" ] ||
		fail "depmod has run, though no module has changed"
	[ "$(dkms_state)" = config-files ] || fail "dkms is $(dkms_state)"
	dpkg-query -W kmodpkg-hello-dkms >/dev/null || fail "the module package is gone"
	assert_kept
	assert_hooks none
	assert_modules "$K1" kmodpkg_hello
	run dpkg -V dkms
	assert_no_output missing
	run dkms status
	assert_output "^kmodpkg-hello/1\.0, $K1_RE, .*: installed$"
	# And so it goes on.
	run apt-get install "linux-image-$K2" "linux-headers-$K2"
	assert_no_output 'dkms: |warning'
	assert_modules "$K2" kmodpkg_hello
	# shellcheck disable=SC2046
	run apt-get purge $(kernel_packages "$K1")
	assert_no_output 'dkms: |warning'
	assert_kernel_gone "$K1"
	assert_modules "$K2" kmodpkg_hello
	assert_kept
}

# What is left of dkms can be purged without harm, and we can after that.
scenario takeover_purge prepared long
takeover_purge()
{
	with_dkms
	run apt-get install "$KMODPKG"
	run apt-get purge dkms
	assert_kept
	assert_modules "$K1" kmodpkg_hello
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	run apt-get purge kmodpkg
	assert_hooks none
	fail_on "left in /etc" "$(find /etc -name '*dkms*')"
	fail_on "diversions are left" "$(LC_ALL=C dpkg-divert --list | grep kmodpkg)"
	fail_on "changed, or lost" "$(grep "$MOK" /tmp/kept | sha256sum --quiet -c 2>&1)"
}

# Nor does what we read in DKMS's place belong to us, where DKMS never was.
scenario takeover_never kmodpkg
takeover_never()
{
	mkdir -p /etc/dkms
	echo "parallel_jobs=1" >/etc/dkms/framework.conf
	run apt-get purge kmodpkg
	[ -e /etc/dkms/framework.conf ] || fail "a configuration that is not ours is lost"
}

# There and back again, with a purge or without one on the way.
scenario takeover_back prepared
takeover_back()
{
	with_dkms
	initramfs_reset
	run apt-get install "$KMODPKG"
	# DKMS had left that it is older than the module.
	assert_initramfs_made "$K1=1"
	run apt-get install dkms
	back_with_dkms
	# As README.Debian has it for those who want to stay there.
	# shellcheck disable=SC2046
	run apt-get purge $(dpkg-query -W -f '${Kmodpkg-Module} ${Package}\n' |
		sed -n 's/^[^ ][^ ]* //p')
	fail_on "packages are left" "$(generated_packages "$K1")"
	run dkms install --force kmodpkg-hello/1.0 -k "$K1"
	module_file "$K1" kmodpkg_hello
	run apt-get install "$KMODPKG"
	[ "$(dkms_state)" = config-files ] || fail "dkms is $(dkms_state)"
	assert_kept
	assert_hooks none
	assert_modules "$K1" kmodpkg_hello
	run apt-get purge dkms
	# The configuration is none of its own any more, and not what it would bring.
	run apt-get install -o Dpkg::Options::=--force-confold dkms
	[ "$(dkms_state)" = installed ] || fail "dkms is $(dkms_state)"
	assert_hooks all
	run apt-get install "$KMODPKG"
	run apt-get purge dkms
	assert_hooks none
	assert_modules "$K1" kmodpkg_hello
	assert_kept
}

# DKMS finds what it knew: its tree, its key, its hooks; the module stays in place.
back_with_dkms()
{
	[ "$(dkms_state)" = installed ] || fail "dkms is $(dkms_state)"
	assert_kept
	assert_hooks all
	fail_on "diversions are left" "$(LC_ALL=C dpkg-divert --list | grep kmodpkg)"
	run dpkg -V dkms
	assert_no_output '/dkms$'
	module_file "$K1" kmodpkg_hello
	run /usr/sbin/dkms status
	assert_output "kmodpkg-hello/1\.0, $K1_RE, .*: installed"
	dpkg-query -W kmodpkg-hello-dkms >/dev/null || fail "the module package is gone"
}

# dkms was there once, with nothing to build, and was removed.
scenario takeover_leftovers prepared long
takeover_leftovers()
{
	run apt-get install dkms
	run apt-get remove dkms
	assert_hooks all
	run apt-get install "$KMODPKG" "linux-image-$K1" "linux-headers-$K1" \
		"$(source_deb kmodpkg-hello)"
	assert_hooks none
	assert_modules "$K1" kmodpkg_hello
	run apt-get remove kmodpkg
	assert_hooks all
	run apt-get purge dkms kmodpkg
	fail_on "left in /etc" "$(find /etc -name '*dkms*' ! -name dkms.conf)"
}

# By plain dpkg: it sees that what depends on dkms has it in us.
scenario takeover_by_dpkg prepared long
takeover_by_dpkg()
{
	local depends
	with_dkms
	mapfile -t depends < <(apt-get install -s "$KMODPKG" |
		sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -vx kmodpkg)
	[ ${#depends[@]} -eq 0 ] || run apt-get install "${depends[@]}"
	run dpkg -i "$KMODPKG"
	assert_kept
	assert_hooks none
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	# dpkg would have dkms back if it were asked to follow its own selections.
	echo 'dkms deinstall' | dpkg --set-selections
}

# A kernel that DKMS left half configured is configured in the run that brings us, and may be so
# before we are. Our script for that is there where we were before: what DKMS built since is adopted
# there as well, not built again.
scenario takeover_unconfigured prepared long
takeover_unconfigured()
{
	run apt-get install "$KMODPKG"
	with_dkms
	run dpkg --unpack "$KMODPKG" "$(grep "/linux-image-$K1" "/srv/e2e/debs/$K1.image")"
	run dpkg --configure "linux-image-$K1"
	assert_output 'adopting the build of kmodpkg-hello/1\.0'
	assert_no_output 'building kmodpkg-hello'
	run dpkg --configure --pending
	assert_no_output 'building kmodpkg-hello'
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	# dpkg would have dkms back if it were asked to follow its own selections.
	echo 'dkms deinstall' | dpkg --set-selections
}
