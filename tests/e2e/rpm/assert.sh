# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What rpm answers to the assertions of lib/assert.sh, and assertions of rpm's own. Sourced.

# Where modules are placed, below the kernel's directory; openSUSE has another place.
# shellcheck disable=SC2034 # for lib/assert.sh
MODULE_DIR=extra

kernel_dir()
{
	rpm -q "kernel-core-$1" >/dev/null || fail "kernel-core of $1 is not installed"
	echo "/lib/modules/$1"
}

generated_packages()
{
	rpm -qa --qf '%{NAME}\n' "kmod-*-$1" | sort
}

# The package of source $1 for kernel $2.
generated_name()
{
	echo "kmod-$1-$2"
}

package_version()
{
	rpm -q --qf '%{VERSION}\n' "$1"
}

# The package that owns a path, nothing if there is none.
owner_of()
{
	local owner
	# Says on its standard output that there is none.
	owner=$(rpm -qf --qf '%{NAME}\n' "$1" 2>/dev/null) || return 0
	echo "$owner"
}

# What packages own below kernel K's directory, as paths that begin with /lib.
owned_paths()
{
	rpm -qal | sed -n "s,^/usr/lib,/lib,;\\,^/lib/modules/$1/,p"
}

# What is wrong with a package's files and with what it requires.
verify_package()
{
	rpm -V "$1" 2>&1 || true
}

# The database is whole, what packages require is there, none is there twice, and nothing waits for
# being recorded or settled.
assert_database()
{
	local faults
	rpm --verifydb >/tmp/e2e-verifydb 2>&1 || fail "rpm --verifydb: $(cat /tmp/e2e-verifydb)"
	faults=$(rpm -Va --nofiles 2>&1) || fail "rpm -Va --nofiles: ${faults//$'\n'/ }"
	fail_on "packages that are there twice" "$(rpm -qa --qf '%{NEVRA}\n' | sort | uniq -d)"
	fail_on "packages of one name in two versions" "$(rpm -qa --qf '%{NAME}\n' |
		grep -v '^kernel-' | sort | uniq -d)"
	fail_on "something is left to be recorded or settled" \
		"$(find /var/lib/kmodpkg/{queue,unsettled} 2>/dev/null)"
}

initramfs_file()
{
	echo "/boot/initramfs-$1.img"
}

initramfs_list()
{
	lsinitrd "$(initramfs_file "$1")"
}

# assert_posttrans K NAME...: kernel-core's %posttrans, which makes the initramfs, found these modules
# of ours, and no others, in place, and known to modules.dep.
assert_posttrans()
{
	local k=$1 got
	shift
	touch /var/log/e2e-posttrans
	got=$(sed -n "s/^$k //p" /var/log/e2e-posttrans | sort)
	[ "$got" = "$([ $# -eq 0 ] || printf '%s dep\n' "$@" | sort)" ] ||
		fail "%posttrans of $k: expected '$*', it saw '${got//$'\n'/, }'"
}

# The generated package of a source for K says in its metadata that it is one of ours.
assert_marked()
{
	local name
	name=$(generated_name "$1" "$2")
	rpm -q --provides "$name" | grep -q '^kmodpkg' || fail "$name has no mark of ours"
}

# assert_generated_version SOURCE K VERSION: the generated package is of that version.
assert_generated_version()
{
	local got
	got=$(package_version "$(generated_name "$1" "$2")")
	[ "$got" = "$3" ] || fail "the package of $1 for $2 is version $got, not $3"
}
