# SPDX-License-Identifier: GPL-2.0-or-later
# A system in which modules can be built: an overlay of this one without its kernels and
# sources, with two kernels, the fake backend as package database, and the dkms command.
#
# With COMMAND set to another implementation (a path on this machine, such as DKMS's own script) the
# cases run with that one; those that are about what only we have are left out (ours_only), and
# what it does otherwise stands in dkms-differences.
# shellcheck shell=bash disable=SC2154,SC2034,SC2015

system=$T/system
K1=6.1.0-1-test
K2=6.1.0-2-test
A=$(uname -m)

hidden='usr/src usr/lib/modules boot var/lib/dkms var/lib/kmodpkg var/log/kmodpkg etc/dkms'

leave_system()
{
	! mountpoint -q "$system" || umount -Rl "$system"
}

# Is it our command?
ours()
{
	[ -z "${COMMAND:-}" ]
}

# For cases that are about what only we have: ours_only || return 0
ours_only()
{
	[ -n "${COMPARE:-}" ] || return 0
	left_out=yes
	return 1
}

# differs KEY: is it another command, which does what follows otherwise? The key is
# listed with the reason.
differs()
{
	! ours || return 1
	grep -q "^$1	" "$here"/dkms-differences || fail "$1 is no listed difference"
	echo "$1" >>"$T"/differences
}

# want KEY OURS THEIRS: what is right, and what the other command has instead.
want()
{
	if differs "$1"; then
		echo "$3"
	else
		echo "$2"
	fi
}

# Say which differences there are; one that no case shows is none.
check_differences()
{
	local key why

	current=differences
	while IFS=$'\t' read -r key why; do
		case $key in
		'' | '#'*) continue ;;
		esac
		if grep -qx "$key" "$T"/differences; then
			echo "# differs: $key: $why"
		else
			fail "no case shows the difference $key"
		fi
	done <"$here"/dkms-differences
}

new_system()
{
	local dir

	leave_system
	mkdir -p "$system"
	mount -t tmpfs -o mode=755 tmpfs "$system"
	mkdir "$system"/{u,w,m}
	mount -t overlay -o "lowerdir=/,upperdir=$system/u,workdir=$system/w" overlay \
		"$system"/m
	root=$system/m
	for dir in $hidden; do
		rm -rf "${root:?}/$dir"
		mkdir -p "$root/$dir"
	done
	[ -L "$root"/lib ] || rm -rf "$root"/lib/modules
	mount -t tmpfs -o mode=1777 tmpfs "$root"/tmp
	mount -t tmpfs -o mode=755 tmpfs "$root"/run
	mount --bind /proc "$root"/proc
	mount --bind /dev "$root"/dev
	mkdir -p "$root"/var/lib/fakedb/packages "$root"/plugins "$root"/etc/{dkms,kmodpkg}
	cp "$FAKE" "$root"/plugins/fake.so
	cp "$KMODPKG" "$root"/usr/sbin/kmodpkg
	if ours; then
		ln -sf kmodpkg "$root"/usr/sbin/dkms
	else
		cp "$COMMAND" "$root"/usr/sbin/dkms
	fi
	printf '%s\n' 'ID=debian' >"$root"/etc/os-release
	printf '%s\n' 'backend = fake' 'sign = no' >"$root"/etc/kmodpkg/kmodpkg.conf
	echo 'try_sign_modules=false' >"$root"/etc/dkms/framework.conf
	new_kernel "$K1"
	new_kernel "$K2"
}

# A kernel with headers that compile any *.c of a source.
new_kernel()
{
	local headers=$root/usr/src/linux-headers-$1 modules=$root/lib/modules/$1

	mkdir -p "$headers"/include "$modules"/kernel
	# shellcheck disable=SC2016
	printf '%s\n' 'all: $(patsubst %.c,%.ko,$(wildcard $(M)/*.c))' '%.ko: %.c' \
		$'\tcc -c -DRELEASE=\'"$(KERNELRELEASE)"\' -o $@ $<' >"$headers"/Makefile
	echo 'CONFIG_64BIT=y' >"$headers"/.config
	ln -s "/usr/src/linux-headers-$1" "$modules"/build
	: >"$modules"/modules.order
	: >"$modules"/modules.builtin
	: >"$modules"/modules.builtin.modinfo
	: >"$modules"/modules.dep
	echo image >"$root/boot/vmlinuz-$1"
}

# new_module NAME VERSION [LINE...]: /usr/src/NAME-VERSION with these further lines in its conf.
new_module()
{
	tree_at "$root/usr/src/$1-$2" "$@"
}

# tree_at DIR NAME VERSION [LINE...]
tree_at()
{
	mkdir -p "$1"
	printf '%s\n' "PACKAGE_NAME=$2" "PACKAGE_VERSION=$3" "BUILT_MODULE_NAME=$2" \
		'DEST_MODULE_LOCATION=/updates' 'AUTOINSTALL=yes' "${@:4}" >"$1"/dkms.conf
	cat >"$1/$2.c" <<-END
	#define INFO(n, s) static const char n[] \\
		__attribute__((used, section(".modinfo"), aligned(1))) = s
	INFO(a, "name=$2");
	INFO(b, "vermagic=" RELEASE " SMP ");
	INFO(c, "version=$3");
	END
}

# dkms ARG...: leaves $status, $T/out and $T/err.
dkms()
{
	status=0
	env -u COMMAND KMODPKG_PLUGIN_DIR=/plugins chroot "$root" /usr/sbin/dkms "$@" \
		>"$T"/out 2>"$T"/err </dev/null || status=$?
}

kmodpkg()
{
	status=0
	KMODPKG_PLUGIN_DIR=/plugins chroot "$root" /usr/sbin/kmodpkg "$@" \
		>"$T"/out 2>"$T"/err </dev/null || status=$?
}

# kmodpkg_without CAPABILITIES ARG...: where these can be had by nobody.
kmodpkg_without()
{
	status=0
	KMODPKG_PLUGIN_DIR=/plugins setpriv --bounding-set "$1" --inh-caps -all \
		chroot "$root" /usr/sbin/kmodpkg "${@:2}" \
		>"$T"/out 2>"$T"/err </dev/null || status=$?
}

# dkms_gives STATUS ARG...: and it ends with this exit status.
dkms_gives()
{
	local wanted=$1

	shift
	dkms "$@"
	[ "$status" = "$wanted" ] ||
		fail "dkms $* ended with $status, not $wanted: $(cat "$T"/out "$T"/err)"
}

# The lines of dkms status [ARG...] are those on standard input.
status_is()
{
	dkms status "$@"
	[ "$status" = 0 ] || fail "dkms status ended with $status"
	expect out
}

there()
{
	local path

	for path; do
		[ -e "$root$path" ] || [ -L "$root$path" ] || fail "$path is not there"
	done
}

gone()
{
	local path

	for path; do
		[ ! -e "$root$path" ] && [ ! -L "$root$path" ] || fail "$path is there"
	done
}

# new_script FILE LINE...: a program of the shell.
new_script()
{
	mkdir -p "$root${1%/*}"
	printf '%s\n' '#!/bin/sh' "${@:2}" >"$root$1"
	chmod 755 "$root$1"
}

# built_files NAME VERSION KERNEL: they are the lines on standard input.
built_files()
{
	ls "$root/var/lib/dkms/$1/$2/$3/$A/module" >"$T"/out 2>&1 || true
	expect out
}

# log_says NAME VERSION KERNEL LINE: one of the lines of what is built.
log_says()
{
	# The log can be a link.
	chroot "$root" cat "/var/lib/dkms/$1/$2/$3/$A/log/make.log" >"$T"/log 2>&1 || true
	grep -qxE -- "$4" "$T"/log || fail "no line '$4' in the log of $1 for $3:
$(cat "$T"/log)"
}

# The module file of NAME for kernel K, wherever the distribution has it; empty: none.
module_file()
{
	(cd "$root" && find "lib/modules/$2/" "usr/lib/modules/$2/" \
		-path '*updates*' -name "$1.ko*" 2>/dev/null | head -n 1)
}

# installed FILE KERNEL [MODULE]: and a package of MODULE (FILE) has it.
installed()
{
	local file

	file=$(module_file "$1" "$2")
	[ -n "$file" ] || fail "$1 is not in place for $2"
	! ours || grep -lsx "module=${3:-$1}" "$root"/var/lib/fakedb/packages/* |
		xargs -r grep -q "^file=.*/${file##*/}\$" ||
		fail "no package has $1 for $2: $(grep -r . "$root"/var/lib/fakedb/packages)"
}

not_installed()
{
	[ -z "$(module_file "$1" "$2")" ] || fail "$(module_file "$1" "$2") is in place"
}

# What a package owns: own PACKAGE PATH.
own()
{
	echo "$1 1 $2" >>"$root"/var/lib/fakedb/owned
}

disown_package()
{
	sed -i "/^$1 /d" "$root"/var/lib/fakedb/owned
}

# The package manager's lock as the command sees it: free, must-defer...
lock_is()
{
	echo "$1" >"$root"/var/lib/fakedb/lock
}
