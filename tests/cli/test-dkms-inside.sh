# SPDX-License-Identifier: GPL-2.0-or-later
# dkms as maintainer scripts call it, while the package manager holds its lock.
# shellcheck shell=bash disable=SC2154,SC2034

# The end of the transaction: its triggers, then what is queued.
end_transaction()
{
	kmodpkg sync
	[ "$status" = 0 ] || fail "sync ended with $status: $(cat "$T"/err)"
	lock_is free
	kmodpkg drain
	[ "$status" = 0 ] || fail "drain ended with $status: $(cat "$T"/err)"
}

is_owned()
{
	grep -qs "^module=$1\$" "$root"/var/lib/fakedb/packages/*"$2"* ||
		fail "no package has $1 for $2"
}

test_dkms_install_in_a_transaction()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	lock_is must-defer
	dkms_gives 0 add hello/1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 0 install hello/1.0 -k "$K1"
	[ -n "$(module_file hello "$K1")" ] || fail 'the module is not in place'
	[ -z "$(ls "$root"/var/lib/fakedb/packages)" ] || fail 'something was committed'
	status_is <<<"hello/1.0, $K1, $A: installed"
	end_transaction
	is_owned hello "$K1"
	gone /var/lib/kmodpkg/queue
	status_is hello/1.0 -k "$K1" <<<"hello/1.0, $K1, $A: installed"
}

# What a person sees as a failure must not leave packages half configured.
test_dkms_failures_in_a_transaction()
{
	ours_only || return 0
	new_system
	new_module broken 1.0
	echo 'not C' >"$root"/usr/src/broken-1.0/broken.c
	lock_is must-defer
	dkms_gives 0 add broken/1.0
	dkms_gives 0 add broken/1.0
	dkms_gives 0 build broken/1.0 -k "$K1"
	dkms_gives 0 install broken/1.0 -k "$K1"
	dkms_gives 0 install broken/1.0 -k 6.9.0-none
	dkms_gives 0 autoinstall -k "$K1"
	# These are faults of the script itself.
	dkms_gives 3 remove nosuch/1.0 --all
	dkms_gives 2 install --no-such-option
}

installed_by_package()
{
	new_system
	new_module hello 1.0
	own hello-dkms /usr/src/hello-1.0/dkms.conf
	kmodpkg sync
	installed hello "$K1"
	installed hello "$K2"
}

# The old package's prerm cannot tell an upgrade from a removal.
test_dkms_remove_in_an_upgrade()
{
	ours_only || return 0
	installed_by_package
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	installed hello "$K1"
	status_is -k "$K1" <<<"hello/1.0, $K1, $A: installed"
	end_transaction
	installed hello "$K1"
	installed hello "$K2"
	there /var/lib/dkms/hello/1.0/source
	! grep -q '"what"' "$root"/var/lib/kmodpkg/intent.json || fail 'the removal is still pending'
}

# The package with another version comes in the place of that of hello/1.0.
upgrade_to_2()
{
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	rm -r "$root"/usr/src/hello-1.0
	disown_package hello-dkms
	new_module hello 2.0
	own hello-dkms /usr/src/hello-2.0/dkms.conf
	dkms_gives 0 add hello/2.0
}

test_dkms_remove_in_an_upgrade_to_another_version()
{
	ours_only || return 0
	installed_by_package
	upgrade_to_2
	dkms_gives 0 install hello/2.0 -k "$K1"
	installed hello "$K1"
	# The other kernel keeps the old one until the new one takes its place.
	installed hello "$K2"
	end_transaction
	status_is <<-END
	hello/2.0, $K1, $A: installed
	hello/2.0, $K2, $A: installed
	END
	gone /var/lib/dkms/hello/1.0
	[ "$(find "$root"/var/lib/fakedb/packages -type f | wc -l)" = 2 ] ||
		fail "$(ls "$root"/var/lib/fakedb/packages)"
}

# A person who uninstalled the module is not overruled by what a package's scripts always do.
test_dkms_upgrade_of_what_is_held()
{
	ours_only || return 0
	installed_by_package
	kmodpkg uninstall hello -k "$K1"
	upgrade_to_2
	dkms_gives 0 install hello/2.0 -k "$K1" -k "$K2"
	end_transaction
	status_is <<-END
	hello/2.0, $K2, $A: installed
	END
	kmodpkg install hello -k "$K1"
	status_is <<-END
	hello/2.0, $K1, $A: installed
	hello/2.0, $K2, $A: installed
	END
}

# A package that owns nothing which makes a sync run: its source came out of a tarball.
test_dkms_remove_of_a_source_that_nobody_owns()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	rm "$root"/var/lib/fakedb/log
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	[ "$(cat "$root"/var/lib/fakedb/log)" = 'sync at end' ] || fail 'no sync was asked for'
	installed hello "$K1"
	# What comes in the middle of a transaction decides nothing.
	lock_is free
	kmodpkg drain
	installed hello "$K1"
	lock_is can-commit
	kmodpkg drain --nested
	[ "$status" = 0 ] || fail "drain ended with $status: $(cat "$T"/err)"
	[ -z "$(module_file hello "$K1")" ] || fail 'the module is still in place'
	gone /var/lib/dkms/hello
	there /usr/src/hello-1.0/dkms.conf
	! grep -q '"what"' "$root"/var/lib/kmodpkg/intent.json || fail 'the removal is still pending'
}

test_dkms_remove_with_the_package()
{
	ours_only || return 0
	installed_by_package
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	rm -r "$root"/usr/src/hello-1.0
	disown_package hello-dkms
	end_transaction
	not_installed hello "$K1"
	not_installed hello "$K2"
	status_is </dev/null
	gone /var/lib/dkms/hello
	[ -z "$(ls "$root"/var/lib/fakedb/packages)" ] || fail 'a package is left'
	# Installed again, it registers itself again.
	new_module hello 1.0
	own hello-dkms /usr/src/hello-1.0/dkms.conf
	kmodpkg sync
	installed hello "$K1"
}

# Somebody deleted the tree: the package can be removed all the same.
test_dkms_remove_of_a_broken_source()
{
	ours || return 0
	installed_by_package
	rm -r "$root"/usr/src/hello-1.0
	status_is <<<'hello/1.0: broken'
	dkms_gives 4 remove hello/1.0 --all
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	disown_package hello-dkms
	end_transaction
	not_installed hello "$K1"
	status_is </dev/null
	gone /var/lib/dkms/hello
}

# A package whose scripts unpack the tree: nobody owns it, but the new one adds it again.
test_dkms_remove_and_add_of_a_tree_that_nobody_owns()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	lock_is must-defer
	dkms_gives 0 remove -m hello -v 1.0 --all
	installed hello "$K1"
	dkms_gives 0 add hello/1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	end_transaction
	installed hello "$K1"
	# And without a replacement it goes.
	lock_is must-defer
	dkms_gives 0 remove -m hello -v 1.0 --all
	end_transaction
	not_installed hello "$K1"
	status_is </dev/null
	there /usr/src/hello-1.0
}

# The same of a package that keeps its tree elsewhere: what it brings now is what counts.
test_dkms_remove_and_add_of_a_directory()
{
	ours || return 0
	new_system
	tree_at "$root"/opt/hello hello 1.0
	dkms_gives 0 install /opt/hello -k "$K1"
	lock_is must-defer
	dkms_gives 0 remove -m hello -v 1.0 --all
	echo '/* newer */' >>"$root"/opt/hello/hello.c
	dkms_gives 0 add /opt/hello
	dkms_gives 0 install hello/1.0 -k "$K1"
	grep -q newer "$root"/usr/src/hello-1.0/hello.c || fail 'the tree is the old one'
	end_transaction
	is_owned hello "$K1"
	status_is hello/1.0 -k "$K1" <<<"hello/1.0, $K1, $A: installed"
	# All in one step, and twice.
	lock_is must-defer
	dkms_gives 0 remove -m hello -v 1.0 --all
	echo '/* newest */' >>"$root"/opt/hello/hello.c
	dkms_gives 0 install /opt/hello -k "$K1"
	dkms_gives 0 install /opt/hello -k "$K1"
	grep -q newest "$root"/usr/src/hello-1.0/hello.c || fail 'the tree is the old one'
	end_transaction
	is_owned hello "$K1"
}

# As the postinst of a module's package on Debian runs it, with what dpkg's lock lets us do.
common_postinst()
{
	cp "$KP_HOOKS"/dpkg/common.postinst "$root"/tmp/
	KMODPKG_PLUGIN_DIR=/plugins chroot "$root" /bin/sh /tmp/common.postinst "$@" \
		>"$T"/out 2>"$T"/err </dev/null ||
		fail "common.postinst $* ended with $?: $(cat "$T"/err)"
}

test_dkms_common_postinst_with_an_archive()
{
	ours || return 0
	new_system
	new_module hello 1.0
	mkdir -p "$root"/usr/share/hello-dkms
	dkms_gives 0 add hello/1.0
	set -- --archive /usr/share/hello-dkms/hello-1.0.dkms.tar.gz --source-only
	dkms_gives 0 mktarball hello/1.0 "$@"
	dkms_gives 0 remove hello/1.0 --all
	rm -r "$root"/usr/src/hello-1.0
	lock_is must-defer
	common_postinst hello 1.0 /usr/share/hello-dkms
	end_transaction
	there /usr/src/hello-1.0/hello.c /var/lib/dkms/hello/1.0/source
	# A new package of the same version has another archive.
	tree_at "$root"/tmp/new/dkms_source_tree hello 1.0
	: >"$root"/tmp/new/dkms_source_tree/newer
	mkdir "$root"/tmp/new/dkms_main_tree
	tar -C "$root"/tmp/new -czf "$root"/usr/share/hello-dkms/hello-1.0.dkms.tar.gz .
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	common_postinst hello 1.0 /usr/share/hello-dkms
	# Configured once more.
	common_postinst hello 1.0 /usr/share/hello-dkms
	end_transaction
	there /usr/src/hello-1.0/newer /var/lib/dkms/hello/1.0/source
}

# DKMS's configuration may have its tree anywhere.
test_dkms_common_postinst_with_another_tree()
{
	ours || return 0
	new_system
	new_module hello 1.0
	echo 'dkms_tree=/srv/dkms' >>"$root"/etc/dkms/framework.conf
	dkms_gives 0 add hello/1.0
	there /srv/dkms/hello/1.0/source
	lock_is must-defer
	common_postinst hello 1.0 /usr/share/hello-dkms
	end_transaction
}

test_dkms_remove_of_one_kernel_in_a_transaction()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1" -k "$K2"
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 -k "$K1"
	installed hello "$K1"
	end_transaction
	status_is <<<"hello/1.0, $K2, $A: installed"
	lock_is must-defer
	dkms_gives 0 uninstall hello/1.0 -k "$K2"
	end_transaction
	status_is <<<"hello/1.0, $K2, $A: built"
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 -k "$K2"
	end_transaction
	status_is </dev/null
}

# The sync of one module's script is not the end of the transaction.
test_dkms_remove_waits_for_the_end()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	new_module other 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	lock_is must-defer
	dkms_gives 0 remove hello/1.0 --all
	dkms_gives 0 install other/1.0 -k "$K1"
	kmodpkg sync -k "$K1"
	installed hello "$K1"
	status_is hello <<<"hello/1.0, $K1, $A: installed"
}

# The hooks of a kernel's package: its files are what a sync at the end looks at.
test_dkms_kernel_hooks_in_a_transaction()
{
	ours_only || return 0
	installed_by_package
	lock_is must-defer
	dkms_gives 0 kernel_prerm -k "$K1"
	dkms_gives 0 kernel_preinst -k "$K1"
	installed hello "$K1"
	new_kernel 6.1.0-3-test
	dkms_gives 0 kernel_postinst -k 6.1.0-3-test
	[ -n "$(module_file hello 6.1.0-3-test)" ] || fail 'nothing was made for the new kernel'
	rm -r "$root/lib/modules/$K1"/{kernel,build,modules.order,modules.builtin*} \
		"$root/boot/vmlinuz-$K1" "$root/usr/src/linux-headers-$K1"
	end_transaction
	not_installed hello "$K1"
	is_owned hello 6.1.0-3-test
	gone "/lib/modules/$K1"
}
