#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The plugin in a root with real rpm, dnf and zypper, and tests/rpm-plugin/kmodpkg in the place of
# kmodpkg. Run by ./run, in a root of its own.
#
# usage: inside.sh SUITE
#	/run/plugin	has kmodpkg.so, cost.so, the stand-in and the macro file
set -euo pipefail
# shellcheck disable=SC1091
. /etc/os-release

suite=$1
calls=/run/calls
rpms=/tmp/rpms
failures=0
plugins=$(rpm --eval '%{__plugindir}')
install='sync --no-erase --nested --if-backend rpm'
drain='drain --nested --if-backend rpm'
finish='sync --nested --if-backend rpm'

say_failed()
{
	printf 'not ok rpm-plugin %s: %s\n' "$suite" "$1"
	sed 's/^/# /' /run/output "$calls" 2>/dev/null || true
	failures=$((failures + 1))
	bad=yes
}

# test NAME: what follows belongs to it.
test_is()
{
	test_end
	name=$1 bad=no
	: >$calls
	rm -f /run/behave
}
name=
test_end()
{
	[ -z "$name" ] || [ "$bad" = yes ] || echo "ok rpm-plugin $suite: $name"
}

# run COMMAND...: it has to succeed.
run()
{
	local rc=0
	"$@" >/run/output 2>&1 </dev/null || rc=$?
	echo "status $rc: $*" >>/run/output
	[ $rc -eq 0 ] || say_failed "$name: '$*' ended with status $rc"
}

run_fails()
{
	! "$@" >/run/output 2>&1 </dev/null || say_failed "$name: '$*' succeeded"
}

# called LINE...: kmodpkg was called with these arguments, and scriptlets ran, in this order.
called()
{
	local got want
	got=$(sed 's/ | .*//' $calls)
	want=$(printf '%s\n' "$@")
	[ "$got" = "$want" ] || say_failed "$name: other calls than ${*:-none}"
}

# saw N TEXT: the N-th line of calls has TEXT.
saw()
{
	sed -n "$1p" $calls | grep -qF -- "$2" || say_failed "$name: call $1 lacks '$2'"
}

saw_not()
{
	! sed -n "$1p" $calls | grep -qF -- "$2" || say_failed "$name: call $1 has '$2'"
}

printed()
{
	grep -qF -- "$1" /run/output || say_failed "$name: nothing said of '$1'"
}

printed_nothing()
{
	# Debian's rpm has a word of its own.
	! grep -vE '^(rpm: .*|status .*)$' /run/output >/dev/null ||
		say_failed "$name: something was said"
}

# [preamble=LINE] package NAME VERSION FILE... [-- LINE...]: make $rpms/NAME-VERSION.rpm with
# these files and lines of the spec file. It owns the directories of the files too.
package()
{
	local p=$1 v=$2
	shift 2
	{
		# zypper takes a system without glibc for a broken one.
		printf '%s\n' 'Provides: glibc, /bin/sh' "Name: $p" "Version: $v" 'Release: 1' 'Summary: for tests' \
			'License: GPL-2.0-or-later' 'BuildArch: noarch' 'AutoReqProv: no' \
			"${preamble:-}" '%description' 'For tests.' '%install'
		while [ $# -gt 0 ] && [ "$1" != -- ]; do
			printf '%s\n' "$1" >>/tmp/list
			shift
		done
		echo "while read -r f; do mkdir -p \"%{buildroot}\${f%%/*}\"; echo $v >\"%{buildroot}\$f\"; done </tmp/list"
		[ $# -eq 0 ] || printf '%s\n' "${@:2}"
		echo %files
		sed 's|/[^/]*$||' /tmp/list | sort -u | sed 's|^|%dir |'
		cat /tmp/list
	} >/tmp/spec
	rpmbuild -bb --define "_topdir /tmp/rpmbuild" --define "_rpmdir $rpms" \
		--define '_build_name_fmt %%{NAME}-%%{VERSION}.rpm' \
		--define '__os_install_post %{nil}' --define 'debug_package %{nil}' \
		--define '_binary_payload w0.ufdio' /tmp/spec >/tmp/rpmbuild.log 2>&1 ||
		{ cat /tmp/rpmbuild.log; exit 1; }
	rm /tmp/list
}

posttrans='f = io.open("/run/calls", "a"); f:write("posttrans\n"); f:close()'
make_packages()
{
	local many
	package kernel 6.9.9 /lib/modules/6.9.9/modules.order -- '%posttrans -p <lua>' "$posttrans"
	package kernel-broken 6.9.10 /lib/modules/6.9.10/modules.order -- '%pre -p <lua>' 'error("no")'
	package kernel-usr 6.9.11 /usr/lib/modules/6.9.11/modules.order
	package kmod-hello-6.9.9 1.0 /lib/modules/6.9.9/updates/hello.ko
	preamble='Obsoletes: kmod-hello-6.9.9' package kernel-instead 6.9.12 \
		/lib/modules/6.9.12/modules.order -- '%posttrans -p <lua>' "$posttrans"
	package hello 1.0 /usr/src/hello-1.0/hello.c
	package hello 2.0 /usr/src/hello-2.0/hello.c
	package plain 1.0 /opt/plain/plain
	package plain-debugsource 1.0 /usr/src/debug/plain-1.0/plain.c
	package modules-load 1.0 /usr/lib/modules-load.d/x.conf
	# kmodpkg's own file triggers.
	package triggers 1.0 /opt/triggers -- \
		"$(sed -n '/^%transfiletriggerin/,/^%files/p' /run/plugin/kmodpkg.spec | sed '$d')"
	mapfile -t many < <(seq -f /opt/many/%.0f 5000)
	package many-files 1.0 "${many[@]}"
	mapfile -t many < <(seq -f /opt/dirs/%.0f/f 3000)
	package many-dirs 1.0 "${many[@]}"
}

erase()
{
	rpm -e --noplugins --nodeps "$@" >/dev/null 2>&1
}

kernel=$rpms/kernel-6.9.9.rpm
hello=$rpms/hello-1.0.rpm
plain=$rpms/plain-1.0.rpm

mkdir -p /var/lib/rpm /etc/rpm
# Debian's rpm keeps a database per user, for it is not what manages that system.
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros.dbpath
make_packages
install -D -m 644 /run/plugin/kmodpkg.so "$plugins/kmodpkg.so"
install -D -m 644 /run/plugin/macros.transaction_kmodpkg \
	/usr/lib/rpm/macros.d/macros.transaction_kmodpkg
install -m 755 /run/plugin/kmodpkg /usr/sbin/kmodpkg

test_is 'a transaction without modules costs no call'
run rpm -U $plain $rpms/plain-debugsource-1.0.rpm
printed_nothing
run rpm -e plain plain-debugsource
called

test_is 'modules come before %posttrans, the rest at the end'
run rpm -U $kernel $hello
called "$install" posttrans "$finish"
saw 1 'usr/src/hello-1.0 lib/modules/6.9.9 '
for i in 1 3; do
	saw $i '| blocked  | 0 1 2 | null |'
done

test_is 'a source is upgraded: the old one is there until the end'
run rpm -U $rpms/hello-2.0.rpm
called "$install" "$finish"
saw 1 'usr/src/hello-1.0 usr/src/hello-2.0 '
saw_not 2 usr/src/hello-1.0

test_is 'a package of ours that the transaction is going to erase is named'
# shellcheck disable=SC2016
echo 'echo "erases $KMODPKG_RPM_ERASES" >>/run/calls' >/run/behave
rpm -U --noplugins $rpms/kmod-hello-6.9.9-1.0.rpm 2>/dev/null
run rpm -U $rpms/kernel-instead-6.9.12.rpm
called "$install" 'erases  kmod-hello-6.9.9' posttrans "$finish" 'erases '
run_fails rpm -q kmod-hello-6.9.9
rm /run/behave
erase kernel-instead

test_is 'what is removed is gone when kmodpkg is called'
run rpm -e kernel hello
called "$finish"
saw 1 'usr/src/hello-* lib/modules/6.9.*'

test_is 'the queue and the marks are seen to in any transaction'
for what in queue unsettled; do
	mkdir -p /var/lib/kmodpkg/$what
	run rpm -U $plain
	rmdir /var/lib/kmodpkg/$what
	run rpm -e plain
done
called "$drain" "$drain"

test_is 'a package that cannot be installed: the rest is seen to'
run_fails rpm -U $kernel $rpms/kernel-broken-6.9.10.rpm
called "$install" posttrans "$finish"
saw 1 'lib/modules/6.9.9 '
: >$calls
run_fails rpm -U $rpms/kernel-broken-6.9.10.rpm
grep -qxF "$finish" <(sed 's/ | .*//' $calls) || say_failed "$name: nothing at the end"
erase kernel

test_is 'nothing with --test, --justdb, --noplugins, on another root, below kmodpkg itself'
mkdir -p /other/var/lib/rpm /var/lib/kmodpkg/queue
run rpm -U --test $kernel $hello
run rpm -U --root /other --noscripts --nodeps $kernel $hello
run rpm -U --justdb $kernel $hello
run rpm -e --noplugins kernel hello
run env KMODPKG_SYNC=1 rpm -U --nodeps $kernel
run env KMODPKG_SYNC=1 rpm -e kernel
rmdir /var/lib/kmodpkg/queue
called posttrans

test_is 'it runs with --noscripts --notriggers'
run rpm -U --noscripts --notriggers $kernel
called "$install" "$finish"
erase kernel

test_is 'kmodpkg fails, is killed, cannot be run: rpm goes on'
echo 'exit 3' >/run/behave
run rpm -U $kernel
printed_nothing
called "$install" posttrans "$finish"
echo 'kill -KILL $$' >/run/behave
run rpm -e kernel
printed 'kmodpkg: ended by signal 9'
rm /run/behave
chmod -x /usr/sbin/kmodpkg
run rpm -U $kernel
printed "kmodpkg: cannot run '/usr/sbin/kmodpkg': Permission denied"
chmod +x /usr/sbin/kmodpkg
erase kernel

test_is 'kmodpkg is not there: silence'
mv /usr/sbin/kmodpkg /tmp/kmodpkg
run rpm -U $kernel
printed_nothing
run rpm -e kernel
printed_nothing
mv /tmp/kmodpkg /usr/sbin/kmodpkg

test_is 'the plugin is not there: silence'
mv "$plugins/kmodpkg.so" /tmp
run rpm -U $kernel
printed_nothing
called posttrans
mv /tmp/kmodpkg.so "$plugins"
erase kernel

# In librpm.so itself, by names of the same length.
lib=$(ldd "$(command -v rpm)" | sed -nE 's/^\s*librpm\.so\.[0-9]+ => (\S+) .*/\1/p')
so=${lib##*/}
test_is 'the plugin links libc alone'
! readelf -d "$plugins/kmodpkg.so" | grep NEEDED | grep -vF '[libc.so.6]' ||
	say_failed "$name: other libraries"

test_is 'librpm has another soname'
new=${so/%?/x}
sed "s/$so/$new/g" "$lib" >"${lib%/*}/$new"
sed "s/$so/$new/g" /usr/bin/rpm >/tmp/rpm
for dep in $(ldd /usr/bin/rpm | sed -nE 's/^\s*librpm\S+ => (\S+) .*/\1/p'); do
	[ "$dep" = "$lib" ] || { mkdir -p /tmp/lib && sed "s/$so/$new/g" "$dep" >"/tmp/lib/${dep##*/}"; }
done
chmod +x /tmp/rpm
run env LD_LIBRARY_PATH=/tmp/lib /tmp/rpm -U $kernel
called "$install" posttrans "$finish"
erase kernel

test_is 'librpm lacks a function: the plugin steps aside'
mkdir /tmp/lacks
# rpm's own plugins are not as careful: with them, no rpm would work any more.
for own in "$plugins"/*.so; do
	[ "${own##*/}" = kmodpkg.so ] || mv "$own" /tmp/lacks
done
sed 's/rpmPluginGetData/rpmPluginGotData/g' "$lib" >"/tmp/lacks/$so"
run env LD_LIBRARY_PATH=/tmp/lacks rpm -U $kernel
printed_nothing
called posttrans
rm "/tmp/lacks/$so"
[ -z "$(ls /tmp/lacks)" ] || mv /tmp/lacks/* "$plugins"
erase kernel

test_is 'file triggers: kernels that are there when they come'
run rpm -U $kernel
: >$calls
run rpm -U $rpms/triggers-1.0.rpm
called "$finish"
erase kernel

test_is 'file triggers: after the plugin, and after %posttrans'
run rpm -U $kernel
called "$install" posttrans "$finish" "$finish"
: >$calls
run rpm -e kernel
called "$finish" "$finish"

test_is 'file triggers: without the plugin'
run rpm -U --noplugins $kernel
run rpm -e --noplugins kernel
called posttrans "$finish" "$finish"
for p in kernel-usr-6.9.11 hello-1.0; do
	: >$calls
	run rpm -U --noplugins $rpms/$p.rpm
	run rpm -e --noplugins "${p%-*}"
	called "$finish" "$finish"
done

test_is 'file triggers: not for others, not below kmodpkg itself'
run rpm -U $rpms/modules-load-1.0.rpm $plain
run rpm -e modules-load plain
run env KMODPKG_SYNC=1 rpm -U $hello
run env KMODPKG_SYNC=1 rpm -e hello
called
rpm -e triggers 2>/dev/null

test_is 'switched off by a macro'
echo '%__transaction_kmodpkg %{nil}' >/etc/rpm/macros.kmodpkg
run rpm -U $kernel
printed_nothing
called posttrans
rm /etc/rpm/macros.kmodpkg
erase kernel

rpm -U --quiet $plain 2>/dev/null # zypper does not like an empty database
for client in dnf dnf5 zypper; do
	command -v $client >/dev/null || continue
	test_is "$client"
	case $client in
	dnf*)
		opts=(-y --setopt=gpgcheck=0 --setopt=localpkg_gpgcheck=0)
		[ $client = dnf5 ] || opts+=(--disablerepo='*')
		run $client "${opts[@]}" install $kernel $hello
		;;
	zypper)
		opts=(--non-interactive --no-gpg-checks --no-refresh)
		run $client "${opts[@]}" install --allow-unsigned-rpm $kernel $hello
		;;
	esac
	if [ $client = zypper ] && ! grep -q single_rpmtrans /run/output; then
		# A transaction for each package.
		called "$install" "$finish" "$install" posttrans "$finish"
	else
		called "$install" posttrans "$finish"
	fi
	saw 1 usr/src/hello-1.0
	saw 1 '| blocked  | 0 1 2 | null |'
	: >$calls
	run $client "${opts[@]}" remove kernel
	called "$finish"
	erase hello
done

test_end
rpm -e plain 2>/dev/null
# What the plugin costs transactions that are none of its business; told, not judged.
mv "$plugins/kmodpkg.so" /tmp
cp /run/plugin/cost.so "$plugins"
for p in plain-1.0 many-files-1.0 many-dirs-1.0; do
	rpm --define "__transaction_cost $plugins/cost.so" -U $rpms/$p.rpm 2>&1 |
		sed -n "s/^cost/# $suite: $p/p"
done
[ $failures -eq 0 ]
