# SPDX-License-Identifier: GPL-2.0-or-later
# A system in a directory, with the fake backend as its package database, and what the tests
# of the command compare.
# shellcheck shell=bash disable=SC2154

# Set by run: KMODPKG (the binary), FAKE (the backend), T (a directory for everything), label.
root=$T/root
failures=0
current=

fail()
{
	printf 'not ok %s: %s\n' "$label" "$current"
	printf '# %s\n' "${*//$'\n'/$'\n# '}"
	failures=$((failures + 1))
}

# A system with two kernels, one of them with headers, and the module source hello/1.0.
new_root()
{
	rm -rf "$root"
	mkdir -p "$root"/{etc/kmodpkg,usr/src,var/lib/dkms,var/lib/fakedb/packages,run,plugins}
	mkdir -p "$root"/lib/modules/{6.1.0-1-test,6.1.0-2-test}/kernel
	mkdir -p "$root"/lib/modules/6.1.0-2-test/build/include
	echo all: >"$root"/lib/modules/6.1.0-2-test/build/Makefile
	echo CONFIG_MODULES=y >"$root"/lib/modules/6.1.0-2-test/build/.config
	echo 'backend = fake' >"$root"/etc/kmodpkg/kmodpkg.conf
	cp "$FAKE" "$root"/plugins/fake.so
	new_source hello 1.0
	register hello 1.0
}

# new_source NAME VERSION [LINE...]: a tree with these further lines in its conf.
new_source()
{
	local dir=$root/usr/src/$1-$2

	mkdir -p "$dir"
	printf '%s\n' "PACKAGE_NAME=$1" "PACKAGE_VERSION=$2" "BUILT_MODULE_NAME=$1" \
		'DEST_MODULE_LOCATION=/updates' 'AUTOINSTALL=yes' "${@:3}" >"$dir"/dkms.conf
	echo "obj-m := $1.o" >"$dir"/Makefile
	echo >"$dir/$1.c"
}

register()
{
	mkdir -p "$root/var/lib/dkms/$1/$2"
	ln -sfn "/usr/src/$1-$2" "$root/var/lib/dkms/$1/$2/source"
}

# run ARG...: kmodpkg on the root as an observer; run_in ARG...: as one who changes it.
# Leaves $status, $T/out and $T/err.
run()
{
	status=0
	KMODPKG_PLUGIN_DIR=${FAKE%/*} "$KMODPKG" --root "$root" "$@" \
		>"$T"/out 2>"$T"/err </dev/null || status=$?
}

run_in()
{
	status=0
	# The root has no /proc, which the leak check needs.
	ASAN_OPTIONS=detect_leaks=0 KMODPKG_PLUGIN_DIR=/plugins "$KMODPKG" --root "$root" "$@" \
		>"$T"/out 2>"$T"/err </dev/null || status=$?
}

expect_status()
{
	[ "$status" = "$1" ] || fail "exit status $status, not $1: $(cat "$T"/err)"
}

# The text on standard input is just what was printed (out or err).
expect()
{
	diff -u - "$T/$1" >"$T"/diff || fail "$1 differs:
$(cat "$T"/diff)"
}

expect_empty()
{
	[ ! -s "$T/$1" ] || fail "$1 is not empty: $(cat "$T/$1")"
}

# expect_line out|err TEXT: one of its lines is TEXT.
expect_line()
{
	grep -Fxq -- "$2" "$T/$1" || fail "no line \"$2\" in $1: $(cat "$T/$1")"
}

# One line of error, and nothing on standard output.
expect_error()
{
	expect_status "$1"
	expect_empty out
	expect err <<<"$2"
}
