# SPDX-License-Identifier: GPL-2.0-or-later
# What lies in DKMS's tree and in the kernel's directory after each step.
# shellcheck shell=bash disable=SC2154,SC2034,SC2016

# The build's directory is there while there is something to see in it.
test_dkms_tree_build_directory()
{
	new_system
	new_module hello 1.0
	new_module other 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	gone /var/lib/dkms/hello/1.0/build/hello.c
	[ "$(ls "$root/var/lib/dkms/hello/1.0/$K1/$A")" = $'log\nmodule' ] ||
		fail "$(ls -a "$root/var/lib/dkms/hello/1.0/$K1/$A")"
	log_says hello 1.0 "$K1" '.* make.log for hello/1.0 for kernel .*'
	echo 'not C' >"$root"/usr/src/hello-1.0/hello.c
	dkms_gives 10 build hello/1.0 -k "$K2"
	gone "/var/lib/dkms/hello/1.0/$K2/$A"
	chroot "$root" grep -q "make.log for hello/1.0 for kernel $K2" \
		/var/lib/dkms/hello/1.0/build/make.log || fail 'no log of what failed'
	sed s/other/hello/ "$root"/usr/src/other-1.0/other.c >"$root"/usr/src/hello-1.0/hello.c
	dkms_gives 0 build hello/1.0 -k "$K2"
	gone /var/lib/dkms/hello/1.0/build/make.log
}

# What the kernel's own are compressed with.
test_dkms_tree_compression()
{
	local kind

	new_system
	new_module hello 1.0
	for kind in gz xz zst; do
		rm -rf "$root/lib/modules/$K1"/kernel/*
		mkdir -p "$root/lib/modules/$K1"/kernel/lib
		: >"$root/lib/modules/$K1/kernel/lib/own.ko.$kind"
		dkms_gives 0 install hello/1.0 -k "$K1"
		built_files hello 1.0 "$K1" <<<"hello.ko.$kind"
		installed hello "$K1"
		there "/lib/modules/$K1/updates/dkms/hello.ko.$kind"
		[ "$(stat -c %a "$root/lib/modules/$K1/updates/dkms/hello.ko.$kind")" = 644 ] ||
			fail 'the mode of the file'
		cmp "$root/lib/modules/$K1/updates/dkms/hello.ko.$kind" \
			"$root/var/lib/dkms/hello/1.0/$K1/$A/module/hello.ko.$kind" ||
			fail 'what is built is not what is installed'
		dkms_gives 0 remove hello/1.0 --all
		gone "/lib/modules/$K1/updates"
	done
}

# For modules that use what others export.
test_dkms_tree_symvers()
{
	new_system
	new_module hello 1.0 'PRE_BUILD=make.sh'
	new_script /usr/src/hello-1.0/make.sh 'echo x >Module.symvers'
	dkms_gives 0 build hello/1.0 -k "$K1"
	built_files hello 1.0 "$K1" <<-END
	Module.symvers
	hello.ko
	END
}

# Where the distribution puts them, whatever the conf says; elsewhere where that says.
test_dkms_tree_places()
{
	local id place

	new_system
	new_module hello 1.0 'DEST_MODULE_LOCATION=/kernel/drivers/misc'
	while read -r id place; do
		echo "ID=$id" >"$root"/etc/os-release
		dkms_gives 0 install hello/1.0 -k "$K1"
		there "/lib/modules/$K1/$place/hello.ko"
		dkms_gives 0 remove hello/1.0 --all
		gone "/lib/modules/$K1/$place/hello.ko"
	done <<-END
	debian updates/dkms
	ubuntu updates/dkms
	arch updates/dkms
	gentoo kernel/drivers/misc
	END
}

# The build of another version for the same kernel stays; one kernel's removal leaves the others.
test_dkms_tree_after_remove()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1" -k "$K2"
	dkms_gives 0 remove hello/1.0 -k "$K1"
	status_is <<<"hello/1.0, $K2, $A: installed"
	gone "/var/lib/dkms/hello/1.0/$K1" "/var/lib/dkms/hello/kernel-$K1-$A"
	there "/var/lib/dkms/hello/kernel-$K2-$A" /var/lib/dkms/hello/1.0/source
	mkdir -p "$root"/var/lib/dkms/hello/1.0/{build,tarball}
	dkms_gives 0 remove hello/1.0 -k "$K2"
	gone /var/lib/dkms/hello
	not_installed hello "$K2"
}

# Taking the build away takes the module away.
test_dkms_tree_unbuild_of_installed()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 unbuild hello/1.0 -k "$K1"
	status_is <<<'hello/1.0: added'
	not_installed hello "$K1"
	gone "/var/lib/dkms/hello/1.0/$K1" "/var/lib/dkms/hello/kernel-$K1-$A"
	there /var/lib/dkms/hello/1.0/source
}

# What should be there is not: built again, by DKMS only on request.
test_dkms_tree_incomplete()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	rm "$root/var/lib/dkms/hello/1.0/$K1/$A/module/hello.ko"
	dkms_gives "$(want incomplete 0 6)" install hello/1.0 -k "$K1"
	dkms_gives 0 unbuild hello/1.0 -k "$K1"
	mkdir -p "$root/var/lib/dkms/hello/1.0/$K1/$A"
	dkms_gives "$(want incomplete 0 3)" build hello/1.0 -k "$K1"
}

# A source is where it was registered from; its names are not looked at.
test_dkms_tree_names_of_a_source()
{
	new_system
	new_module hello 1.0
	mv "$root"/usr/src/hello-1.0 "$root"/usr/src/other-2.0
	dkms_gives 0 add other/2.0
	status_is <<<'other/2.0: added'
	there /var/lib/dkms/other/2.0/source
}

# A directory is put over what is there, or in its place.
test_dkms_tree_add_with_force()
{
	new_system
	tree_at "$root"/tmp/somewhere hello 3.0
	mkdir "$root"/usr/src/hello-3.0
	: >"$root"/usr/src/hello-3.0/mine
	dkms_gives 0 add /tmp/somewhere --force
	gone /usr/src/hello-3.0/mine
	there /usr/src/hello-3.0/hello.c
	status_is <<<'hello/3.0: added'
}

# BUILD_DEPENDS_REBUILD: the one that was built against another is built anew with it.
test_dkms_tree_rebuild_of_dependents()
{
	new_system
	new_module base 1.0
	new_module user 1.0 BUILD_DEPENDS=base BUILD_DEPENDS_REBUILD=yes
	dkms_gives 0 install base/1.0 -k "$K1"
	dkms_gives 0 install user/1.0 -k "$K1"
	dkms_gives 0 install base/1.0 -k "$K1" --force
	status_is <<-END
	base/1.0, $K1, $A: installed
	user/1.0, $K1, $A: installed
	END
	installed user "$K1"
}

# A module of the kernel's own that has the same name.
test_dkms_tree_original_module()
{
	local own

	new_system
	new_module hello 1.0
	own=/lib/modules/$K1/kernel/hello.ko
	echo own >"$root$own"
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	if differs original-module; then
		gone "$own"
		status_is <<<"hello/1.0, $K1, $A: installed (Original modules exist)"
	else
		there "$own"
		status_is <<<"hello/1.0, $K1, $A: installed"
	fi
	dkms_gives 0 remove hello/1.0 --all
	[ "$(cat "$root$own")" = own ] || fail "the kernel's own is not what it was"
	not_installed hello "$K1"
}

test_dkms_tree_links()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1" --symlink-modules
	installed hello "$K1"
	[ "$(stat -c %F "$root/$(module_file hello "$K1")")" = \
		"$(want symlink-modules 'regular file' 'symbolic link')" ] || fail 'what the module is'
}
