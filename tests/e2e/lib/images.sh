# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# After which changes an initramfs is made anew, and after which it is left alone; the same with each manager.
# Sourced by its scenarios, which have two functions besides:
#	source_comes MODULE VERSION [LINE...]	install or upgrade the source of a module, see module_source
#	source_goes MODULE			remove it
# The modules are none of those that prepare-initramfs.sh names to the generator.

# module_source DIR MODULE VERSION [LINE...]: the source of one, whose name has '-' for '_'; LINEs are for its
# dkms.conf.
module_source()
{
	local dir=$1 name=$2 version=$3 symbol
	shift 3
	mkdir -p "$dir"
	echo "obj-m := $name.o" >"$dir/Makefile"
	printf '%s\n' '#include <linux/module.h>' 'MODULE_LICENSE("GPL");' \
		"MODULE_DESCRIPTION(\"of the tests', and not the kernel's\");" \
		"MODULE_VERSION(\"$version\");" >"$dir/$name.c"
	for symbol in ${EXPORTS:-}; do
		echo "void $symbol(void); void $symbol(void) {} EXPORT_SYMBOL($symbol);" >>"$dir/$name.c"
	done
	printf '%s\n' "PACKAGE_NAME=${name//_/-}" "PACKAGE_VERSION=$version" "BUILT_MODULE_NAME=$name" \
		DEST_MODULE_LOCATION=/updates/dkms AUTOINSTALL=yes "$@" >"$dir/dkms.conf"
}

# module_deb MODULE VERSION [LINE...]: a package of such a source; prints the path of the .deb.
module_deb()
{
	local dir source=${1//_/-}
	dir=$(mktemp -d)
	module_source "$dir" "$@"
	/bin/bash /run/e2e/modules/pack "$source" "$source" "$2" "$dir" /tmp
	rm -r "$dir"
	echo "/tmp/${source}_$2_all.deb"
}

# name_to_generator MODULE...: from now on its configuration names these, besides those that it does anyway.
name_to_generator()
{
	if [ "$MANAGER" = pacman ]; then
		sed -i '/^MODULES+=/d' /etc/mkinitcpio.conf
		[ $# -eq 0 ] || echo "MODULES+=($*)" >>/etc/mkinitcpio.conf
	elif command -v dracut >/dev/null; then
		echo "add_drivers+=\" $* \"" >/etc/dracut.conf.d/e2e-more.conf
	else
		# A comment names nothing.
		sed -i '/^# e2e_named/,$d' /etc/initramfs-tools/modules
		printf '%s\n' '# e2e_named e2e_plain' "$@" >>/etc/initramfs-tools/modules
	fi
}

# A hook of the generator, which takes whatever is there of a name, and does not name it.
hook_for_late_modules()
{
	local hook
	if [ "$MANAGER" = pacman ]; then
		mkdir -p /etc/initcpio/install
		cat >/etc/initcpio/install/e2e-late <<-'END'
			build()
			{
				local ko
				for ko in "/usr/lib/modules/$release"/updates/dkms/e2e_la*; do
					ko=${ko##*/}
					add_module "${ko%%.*}"
				done
			}
		END
		echo 'HOOKS+=(e2e-late)' >>/etc/mkinitcpio.conf
	elif command -v dracut >/dev/null; then
		hook=/usr/lib/dracut/modules.d/99e2e-late
		mkdir $hook
		cat >$hook/module-setup.sh <<-'END'
			#!/bin/bash
			check() { return 0; }
			depends() { return 0; }
			installkernel() {
				local ko
				for ko in "/lib/modules/$kernel"/{extra,updates/dkms}/e2e_la*; do
					[ ! -e "$ko" ] || instmods "$ko"
				done
			}
		END
		chmod +x $hook/module-setup.sh
		echo 'dracutmodules+=" e2e-late "' >/etc/dracut.conf.d/e2f-late.conf
	else
		cat >/etc/initramfs-tools/hooks/e2e-late <<-'END'
			#!/bin/sh
			[ "$1" != prereqs ] || exit 0
			. /usr/share/initramfs-tools/hook-functions
			for ko in "/lib/modules/$version"/updates/dkms/e2e_la*; do
				[ ! -e "$ko" ] || force_load "$(basename "${ko%%.ko*}")"
			done
		END
		chmod +x /etc/initramfs-tools/hooks/e2e-late
	fi
}

all_images()
{
	local k
	for k in $(installed_kernels); do
		stat -c '%n %i %s %y' "$(initramfs_file "$k")"
	done
}

assert_settled()
{
	[ ! -e /var/lib/kmodpkg/unsettled ] || fail "left to be settled: $(ls /var/lib/kmodpkg/unsettled)"
	run kmodpkg status
	assert_no_output 'still (to be|have to be)|in vain|not up to date'
}

# untouched COMMAND...: no image is made by it, and none is due after it.
untouched()
{
	local before
	before=$(all_images)
	initramfs_reset
	"$@"
	assert_initramfs_made
	[ "$(all_images)" = "$before" ] || fail "after '$*' images are not what they were"
	assert_settled
}

# remade K COMMAND...: that kernel's image is, once, and no other.
remade()
{
	local k=$1
	shift
	initramfs_reset
	"$@"
	assert_initramfs_made "$k=1"
	assert_settled
}

# What nobody has asked for comes, is upgraded, and goes.
image_is_left_alone()
{
	untouched source_comes e2e_plain 1.0
	module_file "$K1" e2e_plain
	untouched source_comes e2e_plain 1.1
	[ "$(modinfo -F version "$(module_file "$K1" e2e_plain)")" = 1.1 ] || fail "it was not upgraded"
	untouched source_goes e2e_plain
	fail_on "packages are left" "$(generated_packages "$K1")"
}

# What the configuration names, and is named no more: as long as the image has it.
image_has_what_is_named()
{
	name_to_generator e2e_named
	remade "$K1" source_comes e2e_named 1.0
	assert_in_initramfs "$K1" e2e_named
	remade "$K1" source_comes e2e_named 1.1
	name_to_generator
	remade "$K1" source_comes e2e_named 1.2
	assert_not_in_initramfs "$K1" e2e_named
	untouched source_comes e2e_named 1.3
}

# Removed from the image as from the kernel, and the same of one that takes the place of the kernel's own,
# which is in the image for the sake of another.
image_has_what_is_there()
{
	local llc
	name_to_generator e2e_named stp
	remade "$K1" source_comes e2e_named 1.0
	assert_in_initramfs "$K1" llc
	name_to_generator stp
	remade "$K1" source_goes e2e_named
	assert_not_in_initramfs "$K1" e2e_named
	# What stp uses.
	EXPORTS='llc_sap_open llc_sap_close'
	remade "$K1" source_comes llc 1.0
	# Whichever depmod says that is.
	llc=$(modinfo -k "$K1" -n llc)
	llc=${llc#*"$K1/"}
	assert_in_initramfs "$K1" "${llc%%.ko*}"
	EXPORTS=
	remade "$K1" source_goes llc
	assert_in_initramfs "$K1" llc
}

# What cannot be read may hold any. What is made anew can be read again.
image_is_damaged()
{
	truncate -s -1000 "$(initramfs_file "$K1")"
	remade "$K1" source_comes e2e_plain 1.0
	untouched source_comes e2e_plain 1.1
}

# Whatever it has to do with the module, and nothing at all.
image_as_configured()
{
	remade "$K1" source_comes e2e_asks 1.0 REMAKE_INITRD=yes
	echo 'initramfs = yes' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	remade "$K1" source_comes e2e_plain 1.2
	echo 'initramfs = no' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	name_to_generator e2e_named
	untouched source_comes e2e_named 1.0
	# What was left out is not made up for.
	rm /etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	untouched kmodpkg sync
}

# ---- scenarios of each manager

images()
{
	image_is_left_alone
	image_has_what_is_named
}

images_more()
{
	image_has_what_is_there
	image_is_damaged
	image_as_configured
}

# ---- for those that differ

# depmod stops at the gate. It runs when all is in place and nothing is settled.
depmod_at_the_gate()
{
	local real
	real=$(readlink -f /sbin/depmod)
	rm /sbin/depmod
	cat >/sbin/depmod <<-END
		#!/bin/bash
		[ ! -p $GATE ] || cat <$GATE
		exec -a depmod $real "\$@"
	END
	chmod 755 /sbin/depmod
}

# killed_before_settling COMMAND...: all of it dies when what it does is in place and nothing is settled.
killed_before_settling()
{
	local command
	gate_close
	"$@" >/tmp/killed.log 2>&1 </dev/null &
	command=$!
	gate_wait
	kill_at_the_gate "$command"
	[ -e "/var/lib/kmodpkg/unsettled/$K1" ] || fail "what was killed had settled"
}
