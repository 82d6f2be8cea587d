# SPDX-License-Identifier: GPL-2.0-or-later
# What the verbs that change something say and return where nothing can be built; real builds
# are tested end to end.
# shellcheck shell=bash disable=SC2154,SC2034,SC2013

test_not_registered()
{
	for verb in build install uninstall remove; do
		run_in "$verb" nosuch
		expect_error 3 "kmodpkg $verb: nosuch is not registered"
		run_in "$verb" hello/9
		expect_error 3 "kmodpkg $verb: hello/9 is not registered"
	done
}

test_no_headers()
{
	run_in install hello -k 6.1.0-1-test
	expect_error 21 'kmodpkg install: the headers of kernel 6.1.0-1-test are not installed'
	echo '6.1.0-1-test apt install linux-headers-6.1.0-1-test' >"$root"/var/lib/fakedb/headers
	run_in build hello -k 6.1.0-1-test
	expect_error 21 'kmodpkg build: the headers of kernel 6.1.0-1-test are not installed: apt install linux-headers-6.1.0-1-test'
	run_in install hello -k 6.9-not-here
	expect_error 21 'kmodpkg install: no kernel 6.9-not-here is installed here, nor are its headers; name one that is with -k: 6.1.0-1-test, 6.1.0-2-test'
}

test_excluded_and_bad_conf()
{
	new_source other 1.0 'BUILD_EXCLUSIVE_KERNEL="^5\."'
	register other 1.0
	run_in install other -k 6.1.0-2-test
	expect_error 77 "kmodpkg install: other/1.0 is excluded for kernel 6.1.0-2-test: kernel 6.1.0-2-test does not match BUILD_EXCLUSIVE_KERNEL '^5\\.'"
	sed -i /PACKAGE_NAME=/d "$root"/usr/src/other-1.0/dkms.conf
	run_in build other -k 6.1.0-2-test
	expect_error 8 'kmodpkg build: /usr/src/other-1.0/dkms.conf: PACKAGE_NAME is not set'
}

test_blocked()
{
	new_source needy 1.0 'BUILD_DEPENDS=absent'
	register needy 1.0
	run_in install needy -k 6.1.0-2-test
	expect_error 13 'kmodpkg install: needy/1.0 is blocked for kernel 6.1.0-2-test: needs absent (BUILD_DEPENDS), which is not installed for this kernel'
}

# A maintainer script must not leave packages half-configured because of a module.
test_failures_do_not_fail_a_transaction()
{
	echo must-defer >"$root"/var/lib/fakedb/lock
	run_in install hello -k 6.1.0-1-test
	expect_status 0
	expect err <<<'kmodpkg: warning: the headers of kernel 6.1.0-1-test are not installed'
}

test_uninstall_holds_and_install_lifts()
{
	run_in uninstall hello
	expect_status 0
	expect_empty out
	expect err <<-'END'
	kmodpkg: holding hello for 6.1.0-1-test
	kmodpkg: holding hello for 6.1.0-2-test
	kmodpkg: a kernel that comes later gets hello; kmodpkg remove hello takes it from all
	END
	run status
	expect out <<-'END'
	MODULE  VERSION  KERNEL        STATE  PACKAGE  NOTE
	hello   1.0      6.1.0-1-test  held   -        uninstalled by hand
	hello   1.0      6.1.0-2-test  held   -        uninstalled by hand
	END
	run_in sync
	expect_status 0
	expect err <<<'kmodpkg: nothing to do'
	run_in install hello -k 6.1.0-1-test
	expect_status 21
	run status
	expect_line out 'hello   1.0      6.1.0-1-test  no-headers  -        kernel headers are not installed'
	expect_line out 'hello   1.0      6.1.0-2-test  held        -        uninstalled by hand'
}

# Without a version what is held is the module: none comes in the place of the one that went.
test_uninstall_holds_later_versions()
{
	run_in uninstall hello -k 6.1.0-1-test
	expect_status 0
	new_source hello 2.0
	register hello 2.0
	mkdir "$root"/etc/dkms
	: >"$root"/etc/dkms/no-autoinstall
	run status
	expect_line out 'hello   2.0      6.1.0-1-test  held   -        uninstalled by hand'
	expect_line out 'hello   2.0      6.1.0-2-test  added  -        not built: no-autoinstall is set'
	# It outlives the version that was there, and goes with the last one.
	run_in remove hello/1.0
	expect_status 0
	run status
	expect_line out 'hello   2.0      6.1.0-1-test  held   -        uninstalled by hand'
	run_in remove hello/2.0
	expect_status 0
	new_source hello 3.0
	register hello 3.0
	run status
	expect_line out 'hello   3.0      6.1.0-1-test  no-headers  -        kernel headers are not installed'
}

test_uninstall_of_a_version_holds_that_one()
{
	run_in uninstall hello/1.0 -k 6.1.0-2-test
	expect_status 0
	expect err <<-'END'
	kmodpkg: holding hello/1.0 for 6.1.0-2-test
	kmodpkg: another version of hello that comes later is installed; kmodpkg uninstall hello holds them all
	END
	new_source hello 2.0
	register hello 2.0
	run status
	expect_line out 'hello   2.0      6.1.0-2-test  added       -'
	expect_line out 'hello   1.0      6.1.0-2-test  held        -        uninstalled by hand'
}

# A file of a kmodpkg that knew holds of versions only.
test_intent_of_an_older_kmodpkg()
{
	mkdir -p "$root"/var/lib/kmodpkg
	cat >"$root"/var/lib/kmodpkg/intent.json <<-'END'
	{"schema": 1, "pins": [], "removed": [], "pending": [], "with": [],
	 "holds": [{"module": "hello", "version": "1.0", "kernel": "6.1.0-2-test"}]}
	END
	run status
	expect_line out 'hello   1.0      6.1.0-2-test  held        -        uninstalled by hand'
}

test_install_pins()
{
	new_source hello 2.0
	register hello 2.0
	run_in install hello/1.0 -k 6.1.0-1-test
	expect_status 21
	run status
	expect_line out 'hello   2.0      6.1.0-1-test  added       -        1.0 is the version for this kernel'
	expect_line out 'hello   1.0      6.1.0-2-test  added       -        2.0 is the version for this kernel'
	# Without a version the pin is lifted.
	run_in install hello -k 6.1.0-1-test
	expect_status 21
	run status
	expect_line out 'hello   1.0      6.1.0-1-test  added       -        2.0 is the version for this kernel'
}

test_remove_is_for_good()
{
	local before

	echo 'hello-dkms 1 /usr/src/hello-1.0/dkms.conf' >"$root"/var/lib/fakedb/owned
	mkdir -p "$root"/var/lib/kmodpkg/builds/hello/1.0
	: >"$root/var/lib/kmodpkg/builds/hello/1.0/6.1.0-2-test-$(uname -m).json"
	run_in remove hello
	expect_status 0
	expect_line err 'kmodpkg: unregistered hello/1.0'
	expect_line err 'kmodpkg: its tree /usr/src/hello-1.0 stays, it is of the package hello-dkms: kmodpkg add hello/1.0 brings the module back, removing the package is for good'
	[ ! -e "$root"/var/lib/kmodpkg/builds/hello ] || fail 'the records of its builds stay'
	[ ! -e "$root"/var/lib/dkms/hello ] || fail 'something is left in the tree'
	run_in sync
	expect err <<<'kmodpkg: nothing to do'
	run status
	expect_empty out
	run_in add hello/1.0
	expect_status 0
	expect err <<<'kmodpkg: registered hello/1.0 (/usr/src/hello-1.0)'
	before=$(readlink "$root"/var/lib/dkms/hello/1.0/source)
	[ "$before" = /usr/src/hello-1.0 ] || fail "the link is $before"
	run_in add hello/1.0
	expect_error 3 'kmodpkg add: hello/1.0 is registered already'
	run_in add hello/1.0 --force
	expect_status 0
	: >"$root"/var/lib/fakedb/owned
	run_in remove hello
	expect_line err 'kmodpkg: its tree /usr/src/hello-1.0 stays: kmodpkg add hello/1.0 brings the module back, deleting the tree is for good'
	run_in add hello/1.0
	rm -r "$root"/usr/src/hello-1.0
	run_in remove hello
	expect_status 0
	! grep -q stays "$T"/err || fail "$(cat "$T"/err)"
}

# What a person took out of the tree and put back is still the package's.
test_add_of_a_packages_tree_goes_with_it()
{
	echo 'hello-dkms 1 /usr/src/hello-1.0/dkms.conf' >"$root"/var/lib/fakedb/owned
	run_in remove hello
	run_in add hello/1.0
	expect_status 0
	run_in sync
	run status
	expect_line out "hello   1.0      6.1.0-2-test  failed      -        'make' is not installed: install the package make"
	: >"$root"/var/lib/fakedb/owned
	rm -r "$root"/usr/src/hello-1.0
	run_in sync
	expect_status 0
	expect_line err 'kmodpkg: hello/1.0 is gone with its package'
	run status
	expect_empty out
}

# One that is a person's stays, and doctor says how to be rid of it.
test_add_of_ones_own_tree_stays()
{
	run_in remove hello
	run_in add hello/1.0
	rm -r "$root"/usr/src/hello-1.0
	run_in sync
	run doctor
	expect_line out 'modules: hello/1.0 for 6.1.0-2-test failed: /usr/src/hello-1.0 is not there'
	expect_line out '    kmodpkg remove hello/1.0'
	run_in remove hello/1.0
	expect_status 0
}

test_remove_needs_a_version_where_there_are_several()
{
	new_source hello 2.0
	register hello 2.0
	rm -r "$root"/lib/modules/6.1.0-2-test
	run_in remove hello
	expect_error 1 'kmodpkg remove: hello has several versions (1.0, 2.0); name one'
	run_in remove hello/2.0 --all
	expect_status 0
	[ -L "$root"/var/lib/dkms/hello/1.0/source ] || fail '1.0 went too'
}

test_add_directory()
{
	rm -rf "$T"/tree
	cp -r "$root"/usr/src/hello-1.0 "$T"/tree
	sed -i s/1.0/3.0/ "$T"/tree/dkms.conf
	chmod 4755 "$T"/tree/Makefile
	ln -s /etc/passwd "$T"/tree/link
	run_in add "$T"/tree
	expect_status 0
	expect err <<<'kmodpkg: registered hello/3.0 (/usr/src/hello-3.0)'
	[ "$(stat -c %a "$root"/usr/src/hello-3.0/Makefile)" = 755 ] || fail 'a set-id bit survived'
	[ "$(readlink "$root"/usr/src/hello-3.0/link)" = /etc/passwd ] || fail 'the link was followed'
	[ -z "$(find "$root"/usr/src -name '.*')" ] || fail 'the copy was left behind'
	run_in add "$T"/tree/dkms.conf
	expect_error 3 'kmodpkg add: hello/3.0 is registered already'
	run_in remove hello/3.0
	run_in add "$T"/tree
	expect_error 1 'kmodpkg add: /usr/src/hello-3.0 is there already; --force replaces it'
	echo new >"$T"/tree/new
	run_in add -f "$T"/tree
	expect_status 0
	[ -e "$root"/usr/src/hello-3.0/new ] || fail 'the tree was not replaced'
	# The tree is its own place: nothing is copied.
	run_in remove hello/3.0
	run_in add "$root"/usr/src/hello-3.0
	expect_status 0
	expect err <<<'kmodpkg: registered hello/3.0 (/usr/src/hello-3.0)'
}

# What a person can look at is what he named, not our copy.
test_add_names_the_tree_that_was_meant()
{
	rm -rf "$T"/tree
	cp -r "$root"/usr/src/hello-1.0 "$T"/tree
	sed -i /PACKAGE_NAME=/d "$T"/tree/dkms.conf
	run_in add "$T"/tree
	expect_error 8 "kmodpkg add: $T/tree/dkms.conf: PACKAGE_NAME is not set"
	run_in add "$T"/tree/dkms.conf
	expect_error 8 "kmodpkg add: $T/tree/dkms.conf: PACKAGE_NAME is not set"
}

test_add_refuses_what_it_cannot_name()
{
	rm -rf "$T"/tree
	cp -r "$root"/usr/src/hello-1.0 "$T"/tree
	echo 'PACKAGE_NAME=../../etc' >>"$T"/tree/dkms.conf
	run_in add "$T"/tree
	expect_status 8
	expect_empty out
	[ -z "$(find "$root"/usr/src -name '.*')" ] || fail 'the copy was left behind'
	echo 'PACKAGE_NAME=' >>"$T"/tree/dkms.conf
	run_in add "$T"/tree
	expect_status 8
	run_in add nosuch/1.0
	expect_error 1 'kmodpkg add: /usr/src/nosuch-1.0 is not there'
}

test_post_add()
{
	mkdir -p "$root"/etc/dkms/hello
	new_source hello 2.0 POST_ADD=script
	: >"$root"/usr/src/hello-2.0/script
	run_in add hello/2.0
	expect_status 0
	expect_line err 'kmodpkg: warning: hello/2.0: POST_ADD /usr/src/hello-2.0/script is not executable, skipping'
	run_in remove hello/2.0
	echo 'install_scripts = no' >>"$root"/etc/kmodpkg/kmodpkg.conf
	run_in add hello/2.0
	expect_line err 'kmodpkg: warning: hello/2.0: POST_ADD not run, install_scripts is no'
	expect_status 0
}

# What the configuration does not allow is said where one looks for what is wrong.
test_install_scripts_by_name()
{
	local refused='POST_ADD, POST_REMOVE not run, install_scripts does not name other'

	echo 'install_scripts = hello' >>"$root"/etc/kmodpkg/kmodpkg.conf
	new_source hello 2.0 POST_ADD=script
	: >"$root"/usr/src/hello-2.0/script
	run_in add hello/2.0
	expect_line err 'kmodpkg: warning: hello/2.0: POST_ADD /usr/src/hello-2.0/script is not executable, skipping'
	new_source other 1.0 POST_ADD=script 'POST_REMOVE="script bye"'
	run_in add other/1.0
	expect_status 0
	expect_line err "kmodpkg: warning: other/1.0: $refused"
	run status
	expect_status 0
	expect_line err "kmodpkg: warning: other/1.0: $refused"
	run doctor
	expect_line out "scripts: other/1.0: $refused"
	# It was chosen: nothing is wrong for that.
	run doctor --json
	[ "$(grep -c '"chosen": true' "$T"/out)" = 1 ] &&
		grep -A3 '"area": "scripts"' "$T"/out | grep -q '"chosen": true' ||
		fail "doctor --json: $(cat "$T"/out)"
}

# Said once, not by everything that the end of a transaction runs.
test_warnings_about_the_configuration()
{
	local warning='kmodpkg: warning: /etc/kmodpkg/kmodpkg.conf:2: unknown key "colour", ignoring'

	rm -r "$root"/var/lib/dkms/hello
	echo 'colour = red' >>"$root"/etc/kmodpkg/kmodpkg.conf
	run_in sync --no-initramfs
	expect_line err "$warning"
	for verb in drain 'drain --nested'; do
		# shellcheck disable=SC2086
		run_in $verb
		expect_status 0
		! grep -q colour "$T"/err || fail "$verb: $(cat "$T"/err)"
	done
	# Nor by each sync that it runs; another one is news.
	echo can-commit >"$root"/var/lib/fakedb/lock
	run_in sync --nested --no-initramfs
	expect_line err "$warning"
	run_in sync --nested --no-initramfs
	! grep -q colour "$T"/err || fail "said again: $(cat "$T"/err)"
	rm "$root"/run/kmodpkg/warned
	echo must-defer >"$root"/var/lib/fakedb/lock
	run_in sync --no-initramfs
	expect_line err "$warning"
	run_in sync --no-initramfs
	! grep -q colour "$T"/err || fail "said again: $(cat "$T"/err)"
	echo 'weight = 1' >>"$root"/etc/kmodpkg/kmodpkg.conf
	run_in sync --no-initramfs
	expect_line err "$warning"
	rm "$root"/var/lib/fakedb/lock
	run_in sync --no-initramfs
	expect_line err "$warning"
}

# A line that is wrong stops who can mend it, and nobody who only looks; least of all the scripts of
# a package.
test_a_wrong_configuration()
{
	local line='/etc/kmodpkg/kmodpkg.conf:2: jobs = "many": expected a number from 0 to 4096'

	echo 'jobs = many' >>"$root"/etc/kmodpkg/kmodpkg.conf
	run status
	expect_status 0
	expect_line err "kmodpkg: warning: $line, ignoring"
	grep -q '^hello  *1.0  *6.1.0-2-test ' "$T"/out || fail "no table: $(cat "$T"/out)"
	run status --json
	grep -qF 'jobs = \"many\"' "$T"/out || fail "not among the problems: $(cat "$T"/out)"
	expect_empty err
	run doctor
	expect_status 1
	expect_line out "configuration: $line, ignoring"
	expect_empty err
	run sync -n
	expect_status 0
	expect_line err "kmodpkg: warning: $line, ignoring"
	rm -r "$root"/var/lib/dkms/hello
	run_in sync
	expect_error 1 "kmodpkg sync: $line"
	run_in add hello/1.0
	expect_error 1 "kmodpkg add: $line"
	[ ! -e "$root"/var/lib/dkms/hello ] || fail 'registered all the same'
	# The hooks of a kernel that was not installed by a package; the end of a transaction.
	run_in sync --if-backend fake --no-initramfs
	expect_status 0
	expect_line err "kmodpkg: warning: $line, ignoring"
	run_in drain
	expect_status 0
	expect_empty err
	echo must-defer >"$root"/var/lib/fakedb/lock
	run_in add hello/1.0
	expect_status 0
	expect_line err "kmodpkg: warning: $line, ignoring"
	[ -L "$root"/var/lib/dkms/hello/1.0/source ] || fail 'not registered'
	run_in remove hello
	expect_status 0
	[ ! -e "$root"/var/lib/dkms/hello/1.0 ] || fail 'still registered'
}

# Nothing gets less safe by a mistake.
test_a_wrong_sandbox()
{
	local line='/etc/kmodpkg/kmodpkg.conf:3: sandbox = "requierd": expected required or available'

	new_system
	new_module hello 1.0
	kmodpkg add hello/1.0
	echo 'sandbox = requierd' >>"$root"/etc/kmodpkg/kmodpkg.conf
	kmodpkg sync
	expect_error 1 "kmodpkg sync: $line"
	# In a package transaction, which does not fail for it.
	echo can-commit >"$root"/var/lib/fakedb/lock
	kmodpkg_without -setuid,-setgid sync --nested
	expect_status 0
	expect_line err "kmodpkg: warning: $line, taking it for required"
	grep -q 'protection is missing and sandbox = required' "$T"/err || fail "$(cat "$T"/err)"
	[ ! -e "$root/lib/modules/$K1/updates" ] || fail 'built all the same'
	# What lacks nothing is built.
	kmodpkg sync --nested
	expect_status 0
	installed hello "$K1"
}

test_a_backend_that_is_not_there()
{
	local line="/etc/kmodpkg/kmodpkg.conf:1: backend 'fkae' is not installed (no '/plugins/fkae.so')"

	rm -r "$root"/var/lib/dkms/hello
	run_in sync --no-initramfs
	expect_status 0
	echo 'backend = fkae' >"$root"/etc/kmodpkg/kmodpkg.conf
	mkdir -p "$root"/var/lib/kmodpkg
	echo fake >"$root"/var/lib/kmodpkg/backend
	run_in sync --no-initramfs
	expect_error 1 "kmodpkg sync: $line"
	echo must-defer >"$root"/var/lib/fakedb/lock
	run_in sync --no-initramfs
	expect_status 0
	expect_line err "kmodpkg: warning: $line, ignoring"
}

test_other_backends_glue_does_nothing()
{
	run_in sync --if-backend alpm
	expect_status 0
	expect_empty err
	run_in drain --if-backend alpm
	expect_status 0
	run_in drain
	expect_status 0
	expect_empty err
}

# A command below a running sync leaves a request and returns.
test_nested()
{
	KMODPKG_SYNC=$$ run_in sync
	expect_status 0
	expect_empty out
	expect_empty err
	[ -e "$root"/run/kmodpkg/request ] || fail 'no request was left'
}

# An image that is not to be changed: one line, and no failure.
test_read_only()
{
	mkdir -p "$root"/var/lib/kmodpkg
	status=0
	unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift &&
		exec "$@"' sh "$root" env ASAN_OPTIONS=detect_leaks=0 KMODPKG_PLUGIN_DIR=/plugins \
		"$KMODPKG" --root "$root" sync >"$T"/out 2>"$T"/err </dev/null || status=$?
	expect_status 0
	expect_empty out
	expect err <<<'kmodpkg: /var/lib/kmodpkg is on a read-only file system, nothing is changed'
}

# In a transaction missing headers are told of when the source comes, which names the package to
# install; not each time that a trigger runs, whose stderr may well be a terminal (apt's).
test_no_headers_in_a_transaction()
{
	rm -r "$root"/lib/modules/*/build
	rm -r "$root"/var/lib/dkms/hello
	echo must-defer >"$root"/var/lib/fakedb/lock
	echo 'hello-dkms 1.0 /usr/src/hello-1.0/dkms.conf' >"$root"/var/lib/fakedb/owned
	echo '6.1.0-2-test apt install linux-headers-6.1.0-2-test' >"$root"/var/lib/fakedb/headers
	run_in sync
	expect_status 0
	expect err <<-'END'
	kmodpkg: registered hello/1.0 (package hello-dkms)
	kmodpkg: warning: modules for kernel 6.1.0-1-test cannot be built, its headers are not installed
	kmodpkg: warning: modules for kernel 6.1.0-2-test cannot be built, its headers are not installed; get them with: apt install linux-headers-6.1.0-2-test
	END
	KMODPKG_PLUGIN_DIR=/plugins ASAN_OPTIONS=detect_leaks=0 \
		script -qec "$KMODPKG --root $root sync" /dev/null </dev/null >"$T"/err
	expect_empty err
	run_in sync -k 6.1.0-1-test
	expect err <<<'kmodpkg: warning: modules for kernel 6.1.0-1-test cannot be built, its headers are not installed'
}

# Below hooks that come only when modules are concerned it is always told, once: by the run that
# may erase, which comes last. A package that stays for lack of headers counts as well.
test_no_headers_below_a_hook()
{
	local words='its headers are not installed'

	rm -r "$root"/lib/modules/6.1.0-2-test/build
	echo can-commit >"$root"/var/lib/fakedb/lock
	echo '6.1.0-2-test pacman -S headers' >"$root"/var/lib/fakedb/headers
	fake_package kmod-hello hello 0.9 6.1.0-1-test key
	run_in sync --nested --no-erase
	expect_status 0
	expect_empty err
	run_in sync --nested
	expect_status 0
	expect err <<-END
	kmodpkg: warning: modules for kernel 6.1.0-1-test cannot be built, $words
	kmodpkg: warning: modules for kernel 6.1.0-2-test cannot be built, $words; get them with: pacman -S headers
	END
	# What is there in the right version is not news.
	fake_package kmod-hello hello 1.0 6.1.0-1-test key
	run_in sync --nested
	expect err <<<"kmodpkg: warning: modules for kernel 6.1.0-2-test cannot be built, $words; get them with: pacman -S headers"
}

# A failure is told where it happens, by name where it is not tried again, and in a transaction
# only by who brings something.
test_failures_of_before_are_named()
{
	new_system
	new_module hello 1.0
	new_module broken 1.0
	echo 'int main(' >"$root"/usr/src/broken-1.0/broken.c
	kmodpkg add broken/1.0
	kmodpkg sync
	expect_status 11
	! grep -q 'failed before' "$T"/err || fail "it failed just now: $(cat "$T"/err)"
	kmodpkg add hello/1.0
	kmodpkg sync
	expect_status 11
	expect_line err 'kmodpkg: warning: 2 builds failed before and nothing changed since (broken/1.0); kmodpkg status says why, kmodpkg build tries again'
	lock_is can-commit
	kmodpkg sync --nested
	expect_status 0
	expect_empty err
	new_module later 1.0
	kmodpkg add later/1.0
	kmodpkg sync --nested
	expect_line err 'kmodpkg: warning: 2 builds failed before and nothing changed since (broken/1.0); kmodpkg status says why, kmodpkg build tries again'
}

# It takes nothing from what is installed, a sync leaves it at that, and who names it has it built.
test_forced_build_that_failed()
{
	new_system
	new_module hello 1.0
	printf '%s\n' '#if __has_include("/etc/broken")' '#error broken' '#endif' \
		>>"$root"/usr/src/hello-1.0/hello.c
	kmodpkg add hello/1.0
	kmodpkg sync
	expect_status 0
	touch "$root"/etc/broken
	kmodpkg build -f hello -k "$K1"
	expect_status 10
	kmodpkg status hello -k "$K1"
	grep -q ' installed .* building it anew failed: make failed with exit code 2$' "$T"/out ||
		fail "the failure is not noted: $(cat "$T"/out)"
	kmodpkg sync
	expect_status 0
	expect err <<<'kmodpkg: nothing to do'
	kmodpkg build hello -k "$K1"
	expect_status 10
	grep -q 'hello/1.0.*failed' "$T"/err || fail "it was not tried: $(cat "$T"/err)"
	rm "$root"/etc/broken
	kmodpkg build hello -k "$K1"
	expect_status 0
	expect_line err "kmodpkg: building hello/1.0 for $K1"
	kmodpkg status hello -k "$K1"
	! grep -q 'failed' "$T"/out || fail "it failed no more: $(cat "$T"/out)"
	# What was built and is not there any more is built, too.
	rm -r "$root/var/lib/dkms/hello/1.0/$K1"
	kmodpkg build hello -k "$K1"
	expect_status 0
	[ -e "$root/var/lib/dkms/hello/1.0/$K1" ] || fail "it was not built: $(cat "$T"/err)"
}

# The machine's fault is no answer to who wants it built anew: the next sync gives it.
test_forced_build_that_met_a_full_disk()
{
	local ko=/var/lib/dkms/hello/1.0/$K1/$A/module/hello.ko before

	new_system
	new_module hello 1.0
	printf '%s\n' '#if __has_include("/etc/full")' '#error No space left on device' '#endif' \
		>>"$root"/usr/src/hello-1.0/hello.c
	kmodpkg add hello/1.0
	kmodpkg sync
	expect_status 0
	before=$(ls -i "$root$ko")
	touch "$root"/etc/full
	kmodpkg build -f hello -k "$K1"
	expect_status 10
	kmodpkg doctor
	expect_line out "modules: hello/1.0 for $K1 is installed: building it anew failed: make failed with exit code 2"
	kmodpkg sync
	expect_status 11
	rm "$root"/etc/full
	kmodpkg sync -n
	grep -q "^build  *hello  *1.0  *$K1  *installed  *building it anew failed" "$T"/out ||
		fail "it is not to be built: $(cat "$T"/out)"
	kmodpkg sync
	expect_status 0
	expect_line err "kmodpkg: building hello/1.0 for $K1"
	[ "$(ls -i "$root$ko")" != "$before" ] || fail 'it was not built'
	kmodpkg sync
	expect err <<<'kmodpkg: nothing to do'
}

# It is not built in vain first.
test_sign_key_that_is_not_there()
{
	local line="the configured sign_key '/etc/keys/mok.key' is not there"

	new_system
	new_module hello 1.0
	printf '%s\n' CONFIG_64BIT=y CONFIG_MODULE_SIG=y 'CONFIG_MODULE_SIG_HASH="sha256"' |
		tee "$root/usr/src/linux-headers-$K1/.config" >"$root/usr/src/linux-headers-$K2/.config"
	printf '%s\n' 'backend = fake' 'sign_key = /etc/keys/mok.key' 'sign_cert = /etc/keys/mok.pub' \
		'sign_tool = /bin/true' >"$root"/etc/kmodpkg/kmodpkg.conf
	rm "$root"/etc/dkms/framework.conf
	kmodpkg add hello/1.0
	kmodpkg sync
	expect_status 11
	expect_line err "kmodpkg: error: building hello/1.0 for $K1 failed: not signed: $line; see /var/log/kmodpkg/hello/1.0/$K1-$A.log"
	! grep -q '^kmodpkg: building' "$T"/err || fail "it was built: $(cat "$T"/err)"
	kmodpkg doctor
	expect_line out "signing: $line"
	# It is the machine's, not the module's fault.
	echo 'sign = no' >>"$root"/etc/kmodpkg/kmodpkg.conf
	kmodpkg sync
	expect_status 0
	installed hello "$K1"
}

# Without the capabilities to give files to another user and to become it, builds run as root
# without any.
test_builds_without_capabilities()
{
	local lacks

	for lacks in -setuid,-setgid -setuid,-setgid,-sys_admin -chown -chown,-setuid,-setgid,-sys_admin; do
		new_system
		new_module hello 1.0
		kmodpkg add hello/1.0
		kmodpkg_without "$lacks" install hello -k "$K1"
		[ "$status" = 0 ] || fail "without $lacks: $status: $(cat "$T"/err)"
		grep -q 'no user of its own (runs as uid 0)' "$T"/err ||
			fail "without $lacks nothing is said: $(cat "$T"/err)"
		installed hello "$K1"
	done
}

# What failed where builds are less protected is tried again where they are not.
test_failure_without_capabilities()
{
	new_system
	new_module hello 1.0 'PRE_BUILD=check'
	printf '%s\n' '#!/bin/sh' '[ "$(id -u)" != 0 ]' >"$root"/usr/src/hello-1.0/check
	chmod +x "$root"/usr/src/hello-1.0/check
	kmodpkg add hello/1.0
	kmodpkg_without -setuid,-setgid sync
	expect_status 11
	kmodpkg_without -setuid,-setgid sync
	expect_status 11
	grep -q 'failed before and nothing changed since' "$T"/err ||
		fail "it is tried again with nothing changed: $(cat "$T"/err)"
	kmodpkg sync
	expect_status 0
	installed hello "$K1"
}

# Without mounts of its own a build shares /tmp, for as long as it lasts.
test_build_leaves_nothing_in_tmp()
{
	new_system
	mount -t tmpfs -o mode=1777 tmpfs "$root"/dev/shm
	new_module hello 1.0 'PRE_BUILD=leave'
	printf '%s\n' '#!/bin/sh -e' 'echo >/tmp/left.h' 'mkdir /dev/shm/left' \
		'echo >/dev/shm/left/file.h' 'ln -s /tmp/stays /tmp/link' \
		>"$root"/usr/src/hello-1.0/leave
	chmod +x "$root"/usr/src/hello-1.0/leave
	printf '%s\n' '#include "/tmp/left.h"' '#include "/dev/shm/left/file.h"' \
		>>"$root"/usr/src/hello-1.0/hello.c
	echo >"$root"/tmp/stays
	kmodpkg add hello/1.0
	kmodpkg_without -sys_admin install hello -k "$K1"
	expect_status 0
	installed hello "$K1"
	[ "$(ls "$root"/tmp)" = stays ] || fail "left in /tmp: $(ls -l "$root"/tmp)"
	[ -z "$(ls "$root"/dev/shm)" ] || fail 'something is left in /dev/shm'
}

# With sandbox = required nothing is built where a protection is missing, and doctor says so.
test_sandbox_required()
{
	new_system
	new_module hello 1.0
	kmodpkg add hello/1.0
	kmodpkg_without -setuid,-setgid doctor
	expect_line out 'sandbox: builds run without some of their protections: no user of its own (runs as uid 0)'
	echo 'sandbox = required' >>"$root"/etc/kmodpkg/kmodpkg.conf
	kmodpkg_without -setuid,-setgid doctor
	expect_line out 'sandbox: nothing can be built, with sandbox = required and a protection missing: no user of its own (runs as uid 0)'
	kmodpkg_without -setuid,-setgid sync
	expect_status 11
	kmodpkg sync
	expect_status 0
	installed hello "$K1"
}

# One that runs into a limit is no better than one that is malformed.
test_conf_beyond_limits()
{
	new_system
	new_module hello 1.0 'for ((i = 0; i < 40000; i++)); do a[i]=1; done'
	kmodpkg add hello/1.0
	expect_error 8 'kmodpkg add: /usr/src/hello-1.0/dkms.conf: it sets more than 32768 variables'
	kmodpkg conf /usr/src/hello-1.0
	expect_status 8
	dkms_gives 8 add /usr/src/hello-1.0
}

# What waits for the package database is not done, and whoever asked for it is told.
test_changes_left_in_the_queue()
{
	new_system
	new_module hello 1.0
	kmodpkg add hello/1.0
	lock_is must-defer
	kmodpkg install hello -k "$K1"
	[ "$status" = 0 ] || fail "install ended with $status: $(cat "$T"/err)"
	! grep -q 'queued' "$T"/err || fail "a transaction is told of its own: $(cat "$T"/err)"
	lock_is 'busy pacman'
	kmodpkg build hello -k "$K1"
	expect_line err 'kmodpkg: warning: 1 package change is queued, the database is held by pacman; kmodpkg sync finishes it'
	lock_is free
	kmodpkg build hello -k "$K1"
	expect_line err 'kmodpkg: warning: 1 package change is queued; kmodpkg sync finishes it'
	kmodpkg install hello -k "$K1"
	! grep -q 'queued' "$T"/err || fail "it is still told: $(cat "$T"/err)"
	installed hello "$K1"
}

# A package manager that works on another root runs scripts here: they do not mean this one.
test_transaction_on_another_root()
{
	echo other-root >"$root"/var/lib/fakedb/lock
	# A drain asks nobody where nothing is due.
	mkdir -p "$root"/var/lib/kmodpkg/unsettled
	for verb in sync drain 'add hello/1.0' 'build hello' 'install hello' 'uninstall hello' \
		'remove hello'; do
		# shellcheck disable=SC2086
		run_in $verb
		expect_status 0
		expect_empty out
		expect err <<<'kmodpkg: the transaction is on another root; nothing is done'
	done
	[ ! -e "$root"/var/lib/kmodpkg/intent.json ] || fail 'intent was written'
	[ -L "$root"/var/lib/dkms/hello/1.0/source ] || fail 'the source was unregistered'
	run status
	expect_status 0
}

# Reading it would take for ever, with a transaction waiting.
test_source_that_is_too_large()
{
	local why='/usr/src/hello-1.0 has more than 1 GiB, with sparse, which is no module source: remove what is not needed'

	truncate -s 5T "$root"/usr/src/hello-1.0/sparse
	run_in build hello -k 6.1.0-2-test
	expect_error 1 "kmodpkg build: hello/1.0 is not built for kernel 6.1.0-2-test: $why"
	run status hello -k 6.1.0-2-test
	expect_status 0
	grep -Fq " failed  " "$T"/out && grep -Fq "  $why" "$T"/out || fail "status: $(cat "$T"/out)"
}
