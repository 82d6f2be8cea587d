# SPDX-License-Identifier: GPL-2.0-or-later
# dkms add, build, install, uninstall, unbuild, remove: states, exit codes, files.
# shellcheck shell=bash disable=SC2154,SC2034

test_dkms_states()
{
	new_system
	new_module hello 1.0
	status_is </dev/null
	dkms_gives 0 add hello/1.0
	status_is <<<'hello/1.0: added'
	there /var/lib/dkms/hello/1.0/source
	[ "$(readlink "$root"/var/lib/dkms/hello/1.0/source)" = /usr/src/hello-1.0 ] ||
		fail "the link is $(readlink "$root"/var/lib/dkms/hello/1.0/source)"
	dkms_gives 0 build hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K1, $A: built"
	there "/var/lib/dkms/hello/1.0/$K1/$A/module/hello.ko" \
		"/var/lib/dkms/hello/1.0/$K1/$A/log/make.log"
	not_installed hello "$K1"
	dkms_gives 0 install hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K1, $A: installed"
	installed hello "$K1"
	[ "$(readlink "$root/var/lib/dkms/hello/kernel-$K1-$A")" = "1.0/$K1/$A" ] ||
		fail 'the link to the installed version'
	grep -q hello "$root/lib/modules/$K1/modules.dep" || fail 'depmod did not run'
	dkms_gives 0 install hello/1.0 -k "$K2"
	status_is <<-END
	hello/1.0, $K1, $A: installed
	hello/1.0, $K2, $A: installed
	END
	dkms_gives 0 uninstall hello/1.0 -k "$K1"
	status_is <<-END
	hello/1.0, $K1, $A: built
	hello/1.0, $K2, $A: installed
	END
	not_installed hello "$K1"
	gone "/var/lib/dkms/hello/kernel-$K1-$A"
	dkms_gives 0 unbuild hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K2, $A: installed"
	gone "/var/lib/dkms/hello/1.0/$K1"
	dkms_gives 0 remove hello/1.0 -k "$K2"
	status_is </dev/null
	not_installed hello "$K2"
	gone /var/lib/dkms/hello
	there /usr/src/hello-1.0/dkms.conf
}

# Each step does those before it.
test_dkms_install_does_it_all()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	status_is <<<"hello/1.0, $K1, $A: installed"
	dkms_gives 0 remove hello/1.0 --all
	status_is </dev/null
	not_installed hello "$K1"
	dkms_gives 0 build hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K1, $A: built"
}

# What is done already is no error, but adding.
test_dkms_again()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 add hello/1.0
	dkms_gives 3 add hello/1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 0 build hello/1.0 -k "$K1" --force
	status_is <<<"hello/1.0, $K1, $A: built"
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 install hello/1.0 -k "$K1" --force
	status_is <<<"hello/1.0, $K1, $A: installed"
	dkms_gives 0 uninstall hello/1.0 -k "$K1"
	dkms_gives 0 uninstall hello/1.0 -k "$K1"
	dkms_gives 0 unbuild hello/1.0 -k "$K1"
	dkms_gives 0 unbuild hello/1.0 -k "$K1"
	status_is <<<'hello/1.0: added'
}

# The force of an install is for what is there, not for what is built.
test_dkms_install_by_force_what_is_built()
{
	local before

	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	before=$(stat -c %Y.%i "$root/var/lib/dkms/hello/1.0/$K1/$A/module/"hello.ko*)
	for _ in first again; do
		dkms_gives 0 install -m hello -v 1.0 -k "$K1" --force
		installed hello "$K1"
		[ "$(stat -c %Y.%i "$root/var/lib/dkms/hello/1.0/$K1/$A/module/"hello.ko*)" = "$before" ] ||
			fail 'it was built again'
	done
}

test_dkms_add_exit_codes()
{
	new_system
	dkms_gives 2 add nosuch/1.0
	mkdir "$root"/usr/src/empty-1.0
	dkms_gives 4 add empty/1.0
	new_module bad 1.0
	sed -i /PACKAGE_NAME/d "$root"/usr/src/bad-1.0/dkms.conf
	dkms_gives 8 add bad/1.0
	dkms_gives 1 add
	status_is </dev/null
}

test_dkms_add_directory()
{
	new_system
	tree_at "$root"/tmp/somewhere hello 3.0
	dkms_gives 0 add /tmp/somewhere
	status_is <<<'hello/3.0: added'
	there /usr/src/hello-3.0/hello.c
	dkms_gives 3 add /tmp/somewhere
	dkms_gives 0 remove hello/3.0 --all
	# What is in its place is merged with it.
	: >"$root"/usr/src/hello-3.0/mine
	: >"$root"/tmp/somewhere/new
	dkms_gives 0 add /tmp/somewhere/dkms.conf
	there /usr/src/hello-3.0/mine /usr/src/hello-3.0/new
	dkms_gives 0 remove hello/3.0 --all
	rm -r "$root"/usr/src/hello-3.0
	dkms_gives 0 install /tmp/somewhere -k "$K1"
	status_is <<<"hello/3.0, $K1, $A: installed"
}

test_dkms_scripts_exit_codes()
{
	new_system
	new_module hello 1.0 POST_ADD=say.sh
	printf '%s\n' '#!/bin/sh' 'exit 7' >"$root"/usr/src/hello-1.0/say.sh
	chmod 755 "$root"/usr/src/hello-1.0/say.sh
	dkms_gives 7 add hello/1.0
	status_is <<<'hello/1.0: added'
	sed -i s/POST_ADD/PRE_BUILD/ "$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 7 build hello/1.0 -k "$K1"
	sed -i s/PRE_BUILD/PRE_INSTALL/ "$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 101 install hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K1, $A: built"
	not_installed hello "$K1"
	dkms_gives 0 install hello/1.0 -k "$K1" --force
	installed hello "$K1"
	dkms_gives 0 remove hello/1.0 --all
	sed -i s/PRE_INSTALL/POST_INSTALL/ "$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
}

test_dkms_build_exit_codes()
{
	new_system
	new_module hello 1.0
	dkms_gives 21 build hello/1.0 -k 6.9.0-none
	dkms_gives 21 install hello/1.0 -k 6.9.0-none
	dkms_gives 2 build nosuch/1.0 -k "$K1"
	dkms_gives 1 build hello -k "$K1"
	new_module broken 1.0
	echo 'not C' >"$root"/usr/src/broken-1.0/broken.c
	dkms_gives 10 build broken/1.0 -k "$K1"
	dkms_gives 10 install broken/1.0 -k "$K1"
	status_is broken/1.0 <<<'broken/1.0: added'
	new_module nothing 1.0 BUILT_MODULE_NAME=other
	dkms_gives 7 build nothing/1.0 -k "$K1"
	new_module old 1.0 'BUILD_EXCLUSIVE_KERNEL="^5\."'
	dkms_gives 77 build old/1.0 -k "$K1"
	dkms_gives 77 install old/1.0 -k "$K1"
	new_module needy 1.0 BUILD_DEPENDS=absent
	dkms_gives 13 build needy/1.0 -k "$K1"
	dkms_gives 0 build needy/1.0 -k "$K1" --force
	new_module patched 1.0 PATCH=absent.patch
	dkms_gives 5 build patched/1.0 -k "$K1"
	mkdir "$root"/usr/src/patched-1.0/patches
	echo 'no patch' >"$root"/usr/src/patched-1.0/patches/absent.patch
	dkms_gives 6 build patched/1.0 -k "$K1"
	new_module bare 1.0
	rm "$root"/usr/src/bare-1.0/bare.c
	dkms_gives 8 build bare/1.0 -k "$K1"
}

test_dkms_forced_without_depends()
{
	new_system
	new_module needy 1.0 BUILD_DEPENDS=absent
	dkms_gives 13 install needy/1.0 -k "$K1"
	dkms_gives 0 install needy/1.0 -k "$K1" --force
	installed needy "$K1"
}

test_dkms_unknown_and_broken()
{
	new_system
	new_module hello 1.0
	for action in uninstall unbuild remove; do
		dkms_gives 3 "$action" hello/1.0 -k "$K1"
		dkms_gives 1 "$action" hello -k "$K1"
		dkms_gives 1 "$action"
	done
	dkms_gives 0 add hello/1.0
	mv "$root"/usr/src/hello-1.0 "$root"/usr/src/away
	status_is <<<'hello/1.0: broken'
	[ -s "$T"/err ] || fail 'nothing is said about it'
	for action in uninstall unbuild remove; do
		dkms_gives 4 "$action" hello/1.0 -k "$K1"
	done
}

# Without -k the running kernel is meant, which is none of these.
test_dkms_remove_means_the_running_kernel()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 0 remove hello/1.0
	status_is <<<"hello/1.0, $K1, $A: built"
	dkms_gives 0 unbuild hello/1.0 --all
	dkms_gives 0 remove hello/1.0
	status_is </dev/null
}

test_dkms_several_kernels()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1" -k "$K2/$A"
	installed hello "$K1"
	installed hello "$K2"
	dkms_gives 0 uninstall --all hello/1.0
	status_is <<-END
	hello/1.0, $K1, $A: built
	hello/1.0, $K2, $A: built
	END
	dkms_gives 0 unbuild -m hello -v 1.0 --all
	status_is <<<'hello/1.0: added'
}

# One version is active at a time; the other stays built.
test_dkms_two_versions()
{
	new_system
	new_module hello 1.0
	new_module hello 2.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 install hello/2.0 -k "$K1" --force
	status_is <<-END
	hello/1.0, $K1, $A: built
	hello/2.0, $K1, $A: installed
	END
	dkms_gives 0 remove hello/2.0 --all
	status_is hello/2.0 </dev/null
}

test_dkms_kernelsourcedir()
{
	new_system
	new_module hello 1.0
	mv "$root/lib/modules/$K1/build" "$root"/tmp/link
	dkms_gives 21 build hello/1.0 -k "$K1"
	dkms_gives 0 install hello/1.0 -k "$K1" \
		--kernelsourcedir "/usr/src/linux-headers-$K1"
	installed hello "$K1"
	dkms_gives 6 install hello/1.0 -k 6.1.0-none \
		--kernelsourcedir="/usr/src/linux-headers-$K1"
}

test_dkms_conf_and_directive()
{
	new_system
	new_module hello 1.0
	cp "$root"/usr/src/hello-1.0/dkms.conf "$root"/tmp/other.conf
	echo 'DEST_MODULE_NAME=other' >>"$root"/tmp/other.conf
	dkms_gives 0 build hello/1.0 -k "$K1" -c /tmp/other.conf
	there "/var/lib/dkms/hello/1.0/$K1/$A/module/other.ko"
	dkms_gives 0 build hello/1.0 -k "$K2" --directive DEST_MODULE_NAME=third
	there "/var/lib/dkms/hello/1.0/$K2/$A/module/third.ko"
	grep -qx 'DIRECTIVE: DEST_MODULE_NAME="third"' "$T"/out || fail "$(cat "$T"/out)"
}

# What was named for a build counts as long as that build is wanted. DKMS forgets it, and then
# misses the module.
test_dkms_named_things_last()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1" --directive DEST_MODULE_NAME=other
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed other "$K1" hello
	dkms_gives 0 autoinstall -k "$K1"
	installed other "$K1" hello
	dkms_gives 0 build hello/1.0 -k "$K1" --force
	dkms_gives 0 install hello/1.0 -k "$K1"
	not_installed other "$K1"
	installed hello "$K1"
	mv "$root/lib/modules/$K2/build" "$root"/tmp/link
	dkms_gives 0 build hello/1.0 -k "$K2" --kernelsourcedir "/usr/src/linux-headers-$K2"
	dkms_gives 0 install hello/1.0 -k "$K2"
	installed hello "$K2"
	kmodpkg sync
	[ "$(cat "$T"/err)" = 'kmodpkg: nothing to do' ] || fail "$(cat "$T"/err)"
	dkms_gives 0 remove hello/1.0 -k "$K2"
	dkms_gives 21 install hello/1.0 -k "$K2"
}

# A tree of one's own has nothing to do with the system's, and needs no privileges.
test_dkms_private_trees()
{
	new_system
	tree_at "$root"/tmp/src/hello-1.0 hello 1.0
	mkdir -p "$root"/tmp/tree
	dkms_gives 0 build hello/1.0 -k "$K1" --dkmstree /tmp/tree --sourcetree=/tmp/src
	status_is </dev/null
	status_is --dkmstree /tmp/tree <<<"hello/1.0, $K1, $A: built"
	there "/tmp/tree/hello/1.0/$K1/$A/module/hello.ko"
	gone /var/lib/dkms/hello
	dkms_gives 0 remove --dkmstree /tmp/tree hello/1.0 --all
	status_is --dkmstree /tmp/tree </dev/null
}

# Trees that no package database knows, as an image is made from: files, and no more.
test_dkms_install_in_foreign_trees()
{
	new_system
	new_module hello 1.0
	mkdir -p "$root"/tmp/image/lib "$root"/tmp/tree
	cp -a "$root"/lib/modules "$root"/tmp/image/lib/
	set -- --dkmstree /tmp/tree --installtree /tmp/image/lib/modules
	dkms_gives 0 install hello/1.0 -k "$K1" "$@"
	status_is "$@" <<<"hello/1.0, $K1, $A: installed"
	[ -n "$(find "$root/tmp/image/lib/modules/$K1" -name 'hello.ko*')" ] ||
		fail 'the module is not in place'
	not_installed hello "$K1"
	status_is </dev/null
	differs depmod-elsewhere || grep -q hello "$root/tmp/image/lib/modules/$K1/modules.dep" ||
		fail 'depmod did not run'
	dkms_gives 0 uninstall hello/1.0 -k "$K1" "$@"
	status_is "$@" <<<"hello/1.0, $K1, $A: built"
	[ -z "$(find "$root/tmp/image/lib/modules/$K1" -name 'hello.ko*')" ] ||
		fail 'the module is in place'
	gone "/tmp/image/lib/modules/$K1/updates"
	dkms_gives 0 install hello/1.0 -k "$K1" "$@"
	dkms_gives 0 remove hello/1.0 --all "$@"
	status_is "$@" </dev/null
	[ -z "$(find "$root/tmp/image/lib/modules/$K1" -name 'hello.ko*')" ] ||
		fail 'the module stayed'
}

# The configuration names a tree as the option does.
test_dkms_install_tree_of_the_configuration()
{
	new_system
	new_module hello 1.0
	mkdir -p "$root"/tmp/image/lib
	cp -a "$root"/lib/modules "$root"/tmp/image/lib/
	echo 'install_tree=/tmp/image/lib/modules' >>"$root"/etc/dkms/framework.conf
	dkms_gives 0 install hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K1, $A: installed"
	[ -n "$(find "$root/tmp/image/lib/modules/$K1" -name 'hello.ko*')" ] ||
		fail 'the module is not in place'
	not_installed hello "$K1"
	dkms_gives 0 uninstall hello/1.0 -k "$K1"
	[ -z "$(find "$root/tmp/image/lib/modules/$K1" -name 'hello.ko*')" ] ||
		fail 'the module stayed'
	ours || return 0
	dkms_gives 0 autoinstall -k "$K1"
	installed hello "$K1"
}

# What is done to one version leaves the other, which is installed, alone.
test_dkms_unbuild_another_version_in_foreign_trees()
{
	new_system
	new_module hello 1.0
	new_module hello 2.0
	mkdir -p "$root"/tmp/image/lib "$root"/tmp/tree
	cp -a "$root"/lib/modules "$root"/tmp/image/lib/
	set -- --dkmstree /tmp/tree --installtree /tmp/image/lib/modules
	dkms_gives 0 build hello/1.0 -k "$K1" "$@"
	dkms_gives 0 install hello/2.0 -k "$K1" "$@"
	dkms_gives 0 remove hello/1.0 --all "$@"
	status_is "$@" <<<"hello/2.0, $K1, $A: installed"
	dkms_gives 0 unbuild hello/2.0 --all "$@"
	status_is "$@" <<<'hello/2.0: added'
	dkms_gives 0 install hello/2.0 -k "$K1" "$@"
	status_is "$@" <<<"hello/2.0, $K1, $A: installed"
	dkms_gives 0 remove hello/2.0 --all "$@"
	[ -z "$(find "$root/tmp/image/lib/modules/$K1" -name 'hello.ko*')" ] ||
		fail 'the module stayed'
}

# The running kernel, which is meant without -k, can be none of these.
test_the_running_kernel_is_not_installed()
{
	local running

	running=$(uname -r)
	new_system
	new_module hello 1.0
	dkms_gives 21 install hello/1.0 -k "$running"
	expect_line err "dkms install: no kernel $running is installed here, nor are its headers; name one that is with -k: $K1, $K2"
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 uninstall hello/1.0
	expect_line err "dkms: hello/1.0 is installed for $K1; say which with -k, or --all"
	installed hello "$K1"
	dkms_gives 0 remove hello/1.0
	expect_line err "dkms: hello/1.0 is built for $K1; say which with -k, or --all"
	dkms_gives 0 remove hello/1.0 --all
	gone /var/lib/dkms/hello
}
