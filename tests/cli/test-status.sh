# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2034,SC2013

# A source for each way of not being installed.
many_sources()
{
	new_source manual 2.0 AUTOINSTALL=no
	new_source other 1.0 'BUILD_EXCLUSIVE_KERNEL="^5\."'
	new_source bad 1.0
	sed -i /PACKAGE_NAME=/d "$root"/usr/src/bad-1.0/dkms.conf
	for s in manual/2.0 other/1.0 bad/1.0 gone/1; do
		register "${s%/*}" "${s#*/}"
	done
}

# fake_package NAME MODULE VERSION KERNEL KEY: a generated package that is installed.
fake_package()
{
	printf '%s\n' "name=$1" "module=$2" "version=$3" "kernel=$4" arch=x86_64 "key=$5" content=c \
		"file=/lib/modules/$4/updates/$2.ko" \
		>"$root/var/lib/fakedb/packages/$1"
	mkdir -p "$root/lib/modules/$4/updates"
	: >"$root/lib/modules/$4/updates/$2.ko"
}

test_status_table()
{
	many_sources
	fake_package kmod-hello hello 1.0 6.1.0-1-test oldkey
	run status
	expect_status 0
	expect_empty err
	expect out <<-'END'
	MODULE  VERSION  KERNEL        STATE      PACKAGE     NOTE
	bad     1.0      6.1.0-1-test  failed     -           /usr/src/bad-1.0/dkms.conf: PACKAGE_NAME is not set
	bad     1.0      6.1.0-2-test  failed     -           /usr/src/bad-1.0/dkms.conf: PACKAGE_NAME is not set
	gone    1        6.1.0-1-test  failed     -           /usr/src/gone-1 is not there
	gone    1        6.1.0-2-test  failed     -           /usr/src/gone-1 is not there
	hello   1.0      6.1.0-1-test  installed  kmod-hello  kernel headers are not installed, so it cannot be rebuilt
	hello   1.0      6.1.0-2-test  added      -
	manual  2.0      6.1.0-1-test  added      -           AUTOINSTALL is not set
	manual  2.0      6.1.0-2-test  added      -           AUTOINSTALL is not set
	other   1.0      6.1.0-1-test  excluded   -           kernel 6.1.0-1-test does not match BUILD_EXCLUSIVE_KERNEL '^5\.'
	other   1.0      6.1.0-2-test  excluded   -           kernel 6.1.0-2-test does not match BUILD_EXCLUSIVE_KERNEL '^5\.'
	END
}

test_status_says_where_headers_come_from()
{
	echo '6.1.0-1-test apt install linux-headers-6.1.0-1-test' >"$root"/var/lib/fakedb/headers
	run status
	expect_empty err
	# More of the result, and not how it was found out.
	new_source other 1.0 'if true; then x=y; fi'
	register other 1.0
	run status -v
	expect err <<<'kmodpkg: headers of kernel 6.1.0-1-test: apt install linux-headers-6.1.0-1-test'
	run status -v -k 6.1.0-2-test
	! grep -q 'apt install' "$T"/err || fail "$(cat "$T"/err)"
}

test_status_filters()
{
	many_sources
	run status -k 6.1.0-2-test hello other/1.0
	expect_status 0
	expect out <<-'END'
	MODULE  VERSION  KERNEL        STATE     PACKAGE  NOTE
	hello   1.0      6.1.0-2-test  added     -
	other   1.0      6.1.0-2-test  excluded  -        kernel 6.1.0-2-test does not match BUILD_EXCLUSIVE_KERNEL '^5\.'
	END
	run status -k 6.9-not-here hello
	expect_status 0
	expect err <<<'kmodpkg: no module matches'
}

# A name that was mistyped is no module that has nothing wrong.
test_status_of_unknown_modules()
{
	many_sources
	run status nosuch
	expect_error 3 'kmodpkg status: nosuch: not registered'
	run status hello manual/9 nosuch
	expect_status 3
	expect_line out 'hello   1.0      6.1.0-2-test  added       -'
	expect err <<<'kmodpkg status: manual/9, nosuch: not registered'
	run status --json nosuch
	expect_status 3
	grep -q '"modules": \[\]' "$T"/out || fail "$(cat "$T"/out)"
}

test_status_of_nothing()
{
	rm -r "$root"/var/lib/dkms "$root"/usr/src
	run status
	expect_status 0
	expect_empty out
	expect err <<<'kmodpkg: no module source is registered'
	run -q status
	expect_empty err
	run status --json
	expect_status 0
	expect out <<-END
	{
	  "schema": 1,
	  "root": "$root",
	  "backend": "fake",
	  "running_kernel": null,
	  "modules": [],
	  "problems": []
	}
	END
}

test_status_json()
{
	fake_package kmod-hello hello 1.0 6.1.0-1-test oldkey
	run status --json
	expect_status 0
	expect_empty err
	sed -i 's/"key": "[0-9a-f]\{64\}"/"key": "KEY"/' "$T"/out
	expect out <<-END
	{
	  "schema": 1,
	  "root": "$root",
	  "backend": "fake",
	  "running_kernel": null,
	  "modules": [
	    {
	      "module": "hello",
	      "version": "1.0",
	      "kernel": "6.1.0-1-test",
	      "arch": "$(uname -m)",
	      "state": "installed",
	      "action": null,
	      "note": "kernel headers are not installed, so it cannot be rebuilt",
	      "package": "kmod-hello",
	      "package_version": "1.0",
	      "source": "/usr/src/hello-1.0",
	      "source_package": null,
	      "key": null,
	      "built_key": null,
	      "log": null,
	      "build_time": null,
	      "build_ms": null,
	      "signed": null,
	      "cached": null
	    },
	    {
	      "module": "hello",
	      "version": "1.0",
	      "kernel": "6.1.0-2-test",
	      "arch": "$(uname -m)",
	      "state": "added",
	      "action": "build",
	      "note": null,
	      "package": null,
	      "package_version": null,
	      "source": "/usr/src/hello-1.0",
	      "source_package": null,
	      "key": "KEY",
	      "built_key": null,
	      "log": null,
	      "build_time": null,
	      "build_ms": null,
	      "signed": null,
	      "cached": null
	    }
	  ],
	  "problems": []
	}
	END
}

# The manual describes each key that is printed, and no other.
# expect_documented SECTION: those of the JSON in out.
expect_documented()
{
	grep -oE '"[a-z_]+":' "$T"/out | tr -d '":' | sort -u >"$T"/printed
	sed -n "/^\.Sh $1/,/^\.Sh [^$(printf %.1s "$1")]/s/^\.\(It \)\?Va //p" \
		"$here"/../../man/kmodpkg.8 | tr -d ' ' | tr , '\n' | sed '/^$/d' | sort -u >"$T"/out
	expect out <"$T"/printed
}

test_status_json_is_documented()
{
	run status --json
	expect_documented 'STATUS AS JSON'
}

test_conf_json_is_documented()
{
	run conf hello --json
	# The variables are the conf's own.
	sed -i '/"variables": {/,$d' "$T"/out
	echo '"variables":' >>"$T"/out
	expect_documented 'CONF AS JSON'
}

test_conf()
{
	run conf hello
	expect_status 0
	expect_empty err
	expect_line out 'evaluator    plain'
	expect_line out 'module       hello.ko -> /updates/hello.ko'
	run conf nosuch
	expect_status 3
	expect_empty out
	sed -i /PACKAGE_NAME=/d "$root"/usr/src/hello-1.0/dkms.conf
	run conf hello
	expect_error 8 'kmodpkg conf: /usr/src/hello-1.0/dkms.conf: PACKAGE_NAME is not set'
}

# Several files are asked for, their owner is named once.
test_headers_are_named_once()
{
	local file tree=/lib/modules/6.1.0-2-test/build

	mkdir -p "$root$tree"/include/generated
	for file in Makefile include/generated/utsrelease.h; do
		: >>"$root$tree/$file"
		echo "headers-2 1.0 $tree/$file" >>"$root"/var/lib/fakedb/owned
	done
	run -v sync -n
	expect_line err "kmodpkg: headers of kernel 6.1.0-2-test: $tree: package headers-2 1.0"
}

# What is left of an interrupted run is an action like others.
test_sync_names_what_is_due()
{
	mkdir -p "$root"/var/lib/kmodpkg/unsettled
	: >"$root"/var/lib/kmodpkg/unsettled/6.1.0-1-test
	chmod 640 "$root"/var/lib/kmodpkg/unsettled/6.1.0-1-test
	mkdir -p "$root"/etc/dkms
	: >"$root"/etc/dkms/no-autoinstall
	run sync -n
	expect_status 0
	expect out <<<'settle  -  -  6.1.0-1-test  -  its initramfs may still have to be made'
	expect_empty err
	run_in sync
	expect_status 0
	expect err <<<'kmodpkg: did depmod and initramfs, as far as due, for 1 kernel'
	run sync -n
	expect_empty out
	expect err <<<'kmodpkg: nothing to do'
}

test_status_names_problems()
{
	mkdir -p "$root"/var/lib/kmodpkg/unsettled "$root"/etc/dkms "$root"/usr/src/owned-1
	: >"$root"/var/lib/kmodpkg/unsettled/6.1.0-1-test
	: >"$root"/etc/dkms/no-autoinstall
	new_source owned 1
	echo 'owned-dkms 1 /usr/src/owned-1/dkms.conf' >"$root"/var/lib/fakedb/owned
	run status
	expect_status 0
	expect_line out 'hello   1.0      6.1.0-2-test  added       -        not built: no-autoinstall is set'
	expect err <<-'END'
	kmodpkg: warning: kernel 6.1.0-1-test: depmod or its initramfs is not up to date; kmodpkg sync finishes it
	kmodpkg: warning: /usr/src/owned-1 is not registered yet; kmodpkg sync does it
	kmodpkg: warning: /etc/dkms/no-autoinstall: nothing is built unless asked for
	END
	run status --json
	grep -q '"/usr/src/owned-1 is not registered yet; kmodpkg sync does it"' "$T"/out ||
		fail 'a problem is not in the JSON'
}

test_status_survives_a_broken_database()
{
	: >"$root"/var/lib/fakedb/broken
	run status
	expect_status 1
	expect_empty out
	[ "$(wc -l <"$T"/err)" = 1 ] || fail "$(cat "$T"/err)"
}

test_status_changes_nothing()
{
	many_sources
	(cd "$root" && find . -printf '%p %s %m %T@\n' | sort) >"$T"/before
	run status
	run status --json
	run sync -n
	run owner /etc
	run log hello
	(cd "$root" && find . -printf '%p %s %m %T@\n' | sort) >"$T"/out
	expect out <"$T"/before
}

test_dry_run()
{
	many_sources
	fake_package kmod-hello hello 1.0 6.1.0-1-test oldkey
	fake_package kmod-dead hello 1.0 6.0.0-1-gone oldkey
	rm -r "$root"/lib/modules/6.0.0-1-gone
	run sync -n
	expect_status 0
	expect out <<-'END'
	leave  bad    1.0  6.1.0-1-test  failed  /usr/src/bad-1.0/dkms.conf: PACKAGE_NAME is not set
	leave  bad    1.0  6.1.0-2-test  failed  /usr/src/bad-1.0/dkms.conf: PACKAGE_NAME is not set
	leave  gone   1    6.1.0-1-test  failed  /usr/src/gone-1 is not there
	leave  gone   1    6.1.0-2-test  failed  /usr/src/gone-1 is not there
	erase  hello  1.0  6.0.0-1-gone  stale   kernel 6.0.0-1-gone is gone
	build  hello  1.0  6.1.0-2-test  added
	END
	run sync -n -v hello -k 6.1.0-1-test
	expect_line out 'keep   hello   1.0  6.1.0-1-test  installed  kernel headers are not installed, so it cannot be rebuilt'
	run sync -n hello -k 6.1.0-1-test
	expect_status 0
	expect_empty out
	expect err <<<'kmodpkg: nothing to do'
}

test_owner()
{
	printf '%s\n' 'coreutils 9.1 /bin/ls' 'base 1 /etc/a b' >"$root"/var/lib/fakedb/owned
	run owner /bin/ls
	expect_status 0
	expect_empty err
	expect out <<<'/bin/ls: coreutils 9.1'
	: >"$root"/etc/more
	run owner /etc/nothing /bin//ls /etc/more
	expect_status 1
	expect out <<<'/bin//ls: coreutils 9.1'
	expect err <<-'END'
	kmodpkg: error: /etc/nothing: no such file, and no package has it
	kmodpkg: error: /etc/more: owned by no package
	END
	run owner $'/etc/\e[2J'
	expect_error 1 'kmodpkg: error: /etc/?[2J: no such file, and no package has it'
}

test_log()
{
	local dir=$root/var/log/kmodpkg/hello

	run log hello
	expect_error 1 'kmodpkg log: no log of hello is kept'
	run log nosuch
	expect_error 3 'kmodpkg log: nosuch is not registered'
	mkdir -p "$dir"/{1.0,0.9}
	echo old >"$dir"/0.9/6.1.0-1-test-"$(uname -m)".log
	touch -d '2001-01-01' "$dir"/0.9/*
	echo one >"$dir"/1.0/6.1.0-1-test-"$(uname -m)".log
	touch -d '2002-01-01' "$dir"/1.0/*
	printf 'two\n\e[2Jx\n' >"$dir"/1.0/6.1.0-2-test-"$(uname -m)".log
	run log hello
	expect_status 0
	printf 'two\n\e[2Jx\n' >"$T"/two
	expect out <"$T"/two
	run log hello/0.9
	expect out <<<old
	run log hello -k 6.1.0-1-test
	expect out <<<one
	run log hello/1.0 -k 6.1.0-1-test -k 6.1.0-2-test --path
	expect out <<-END
	/var/log/kmodpkg/hello/1.0/6.1.0-1-test-$(uname -m).log
	/var/log/kmodpkg/hello/1.0/6.1.0-2-test-$(uname -m).log
	END
	run log hello/2.0
	expect_error 3 'kmodpkg log: hello/2.0 is not registered'
	run log hello -k 6.9
	expect_error 1 'kmodpkg log: no log of hello for kernel 6.9 is kept'
	# On a terminal what a build wrote must not be obeyed: C0, C1 in UTF-8 and raw, NUL.
	printf 'a\tb\e[2J\xc2\x9b2J\x9b2J\0c\xc3\xa9\n' \
		>"$dir"/1.0/6.1.0-2-test-"$(uname -m)".log
	script -qec "'$KMODPKG' --root '$root' log hello" /dev/null </dev/null |
		tr -d '\r' >"$T"/out
	printf 'a\tb?[2J??2J?2J?c\xc3\xa9\n' | expect out
}
