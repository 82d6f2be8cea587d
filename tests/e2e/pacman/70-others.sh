# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Scriptlets, other places and other roots.

# A package whose scriptlet wants a module at once, from a tree that no hook of ours looks at.
# Its module is in place when the scriptlet is through, and owned when pacman is.
scenario scriptlet kernel smoke
scriptlet()
{
	local tree=/tmp/tree
	mkdir -p $tree/opt/e2e
	dpkg-deb -x "$DEBS/kmodpkg-hello_1.0_all.deb" /tmp/x
	mv /tmp/x/usr/src/kmodpkg-hello-1.0 $tree/opt/e2e/
	cat >$tree/.INSTALL <<-END
		post_install() {
			kmodpkg add /opt/e2e/kmodpkg-hello-1.0 && kmodpkg sync
			modinfo -k $K1 -n kmodpkg_hello
		}
	END
	initramfs_reset
	pac -U "$(make_package scripted 1 $tree)"
	assert_no_output 'Updating kernel module packages'
	assert_output "updates/dkms/kmodpkg_hello"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}

# The same beside a kernel: one round of everything.
scenario scriptlet_with_kernel hello
scriptlet_with_kernel()
{
	local tree=/tmp/tree
	mkdir -p $tree/opt/e2e
	dpkg-deb -x "$DEBS/kmodpkg-multi_1.0_all.deb" /tmp/x
	mv /tmp/x/usr/src/kmodpkg-multi-1.0 $tree/opt/e2e/
	cat >$tree/.INSTALL <<-END
		post_install() {
			kmodpkg add /opt/e2e/kmodpkg-multi-1.0 && kmodpkg sync
		}
	END
	initramfs_reset
	pac -U "$(make_package scripted 1 $tree)" "$(kernel_file linux "$K2")" \
		"$(kernel_file linux-headers "$K2")"
	assert_modules "$K2" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_initramfs_made "$K2=1"
	assert_kernel_gone "$K1"
}

# One source takes another's place: packages come and go in one nested transaction.
scenario replaced_source kernel
replaced_source()
{
	local tree=/tmp/tree
	pac -U "$(source_file kmodpkg-multi)"
	mkdir $tree
	dpkg-deb -x "$DEBS/kmodpkg-hello_1.0_all.deb" $tree
	repo "$(make_package successor 1 $tree 'replaces = kmodpkg-multi' 'conflict = kmodpkg-multi')" \
		"$(kernel_file linux "$K1")" "$(kernel_file linux-headers "$K1")"
	pac -Syu
	assert_modules "$K1" kmodpkg_hello
	fail_on "the old one's package" "$(pacman -Qq kmod-kmodpkg-multi-linux 2>/dev/null || true)"
}

# Places that only the command line tells.
scenario odd_places kernel
odd_places()
{
	mv /var/lib/pacman /srv/odd
	pac --dbpath /srv/odd -U "$(source_file kmodpkg-hello)"
	pac --dbpath /srv/odd -Qo "$(module_file_plain kmodpkg_hello)"
	[ ! -e /var/lib/pacman/local ] || fail "a database was made in the usual place"
	mv /srv/odd /srv/other
	sed 's,^\[options\],&\nDBPath = /srv/other/\nLogFile = /var/log/other.log,' /etc/pacman.conf \
		>/tmp/pacman.conf
	pac --config /tmp/pacman.conf -U "$(source_file kmodpkg-multi)"
	pac --config /tmp/pacman.conf -Qo "$(module_file_plain kmodpkg_core)"
	rm -rf /var/lib/pacman
	mv /srv/other /var/lib/pacman
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	run kmodpkg sync
	assert_output 'nothing to do'
}

# Without asking pacman, whose database is elsewhere.
module_file_plain()
{
	find "/usr/lib/modules/$K1/updates" -name "$1.ko*"
}

# What pacman does to another root is not our system's business.
scenario other_root hello
other_root()
{
	local before new=/srv/new
	mkdir -p $new/var/lib/pacman $new/var/log $new/tmp
	before=$(pacman -Q; find /usr/lib/modules /var/lib/kmodpkg /var/lib/dkms -printf '%p %i %T@\n')
	repo_linux "$K2"
	pac -r $new -Sy linux linux-headers
	[ -e "$new/usr/lib/modules/$K2/vmlinuz" ] || fail "the kernel is not in the other root"
	[ "$before" = "$(pacman -Q; find /usr/lib/modules /var/lib/kmodpkg /var/lib/dkms -printf '%p %i %T@\n')" ] ||
		fail "this system was changed"
	rm -rf $new
}
