# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The scripts of a source that run as root: when, as whom, with what, and whether at all.

NOT_IN_INITRAMFS+=' noting refused'

# noting_source NAME: a package of kmodpkg-hello by another name, whose install scripts write
# down how they were run; its path.
noting_source()
{
	local tree=/tmp/noting/$1 when
	mkdir -p "$tree"
	dpkg-deb -x "$(source_deb kmodpkg-hello)" /tmp/noting/x
	cp -r /tmp/noting/x/usr/src/kmodpkg-hello-1.0/. "$tree/"
	# A module of its own, or the two would be in each other's way.
	sed -i "s/kmodpkg_hello/$1/g" "$tree"/{dkms.conf,Kbuild,Makefile}
	mv "$tree/kmodpkg_hello.c" "$tree/$1.c"
	sed -i "s/^PACKAGE_NAME=.*/PACKAGE_NAME=$1/" "$tree/dkms.conf"
	for when in PRE_INSTALL POST_INSTALL POST_ADD POST_REMOVE; do
		echo "$when=\"note.sh $when a'b\"" >>"$tree/dkms.conf"
	done
	cat >"$tree/note.sh" <<-'END'
		#!/bin/sh
		ko=$(find /lib/modules/$kernelver/updates -name "$module.ko*" 2>/dev/null)
		owner=no
		[ -z "$ko" ] || ! dpkg -S "*${ko#/lib}" >/dev/null 2>&1 || owner=yes
		echo "$* uid=$(id -u) cwd=$PWD kernelver=$kernelver arch=$arch" \
			"module=$module module_version=$module_version ko=${ko:+there} owned=$owner" >>/tmp/noted
	END
	chmod 755 "$tree/note.sh"
	/bin/bash /run/e2e/modules/pack "$1" "$1" 1.0 "$tree" /tmp
	echo "/tmp/$1_1.0_all.deb"
}

# assert_noted LINE...: these scripts ran since the last time, in that order, and no others. A
# line is NAME SCRIPT KERNEL KO OWNED.
assert_noted()
{
	local want='' line name script kernel ko owned
	for line; do
		read -r name script kernel ko owned <<<"$line"
		want+="$script a'b uid=0 cwd=/usr/src/$name-1.0 kernelver=${kernel#-} arch=$(uname -m)"
		want+=" module=$name module_version=1.0 ko=${ko#-} owned=$owned"$'\n'
	done
	diff <(printf %s "$want") /tmp/noted || fail "other scripts ran than '$*'"
	: >/tmp/noted
}

scenario install_scripts kernel
install_scripts()
{
	: >/tmp/noted
	run apt-get install "$(noting_source noting)"
	# Before the module is in place, and when the database has it.
	assert_noted "noting POST_ADD - - no" \
		"noting PRE_INSTALL $K1 - no" \
		"noting POST_INSTALL $K1 there yes"
	assert_modules "$K1" noting
	# shellcheck disable=SC2046
	run apt-get remove $(kernel_packages "$K1")
	assert_noted "noting POST_REMOVE $K1 - no"
}

scenario install_scripts_by_name kernel
install_scripts_by_name()
{
	: >/tmp/noted
	echo 'install_scripts = noting' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	run apt-get install "$(noting_source noting)" "$(noting_source refused)"
	assert_output 'refused/1.0: PRE_INSTALL, POST_INSTALL, POST_ADD, POST_REMOVE not run, install_scripts does not name refused'
	assert_noted "noting POST_ADD - - no" \
		"noting PRE_INSTALL $K1 - no" \
		"noting POST_INSTALL $K1 there yes"
	assert_modules "$K1" noting refused
	run kmodpkg doctor
	assert_output '^scripts: refused/1.0: .*install_scripts'
	echo 'install_scripts = no' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	run kmodpkg install --force noting -k "$K1"
	assert_output 'noting/1.0: .* not run, install_scripts is no'
	assert_noted
}
