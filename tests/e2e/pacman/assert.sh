# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What pacman answers to the assertions of lib/assert.sh. Sourced.

# Where modules are placed, below the kernel's directory.
# shellcheck disable=SC2034 # for lib/assert.sh
MODULE_DIR=updates/dkms
# A regular expression of what a scenario leaves below /usr/lib/modules on purpose.
LITTER=

# kernel_dir K: where the kernel's package has its modules.
kernel_dir()
{
	local dir=/usr/lib/modules/$1
	pacman -Qoq "$dir/vmlinuz" >/dev/null 2>&1 || fail "no package owns the kernel of $1"
	echo "$dir"
}

# Generated packages of kernel K, one name per line.
generated_packages()
{
	pacman -Ql | sed -n "s,^\(kmod-[^ ]*\) /usr/lib/modules/${1//./\\.}/.*\.ko.*,\1,p" | sort -u
}

# The package of source $1 for kernel $2.
generated_name()
{
	echo "kmod-$1-$(cat "/usr/lib/modules/$2/pkgbase")"
}

package_version()
{
	pacman -Q "$1" | cut -d ' ' -f 2
}

# The package that owns a path, nothing if there is none.
owner_of()
{
	pacman -Qoq "$1" 2>/dev/null || true
}

# What packages own below kernel K's directory, as paths that begin with /lib.
owned_paths()
{
	pacman -Qlq | sed -n "s,^/usr,,; s,/$,,; \\,^/lib/modules/$1/,p"
}

# What is wrong with a package's files, by both of pacman's checks.
verify_package()
{
	local out
	out=$(pacman -Qk "$1" 2>&1 && pacman -Qkk "$1" 2>&1) || printf '%s\n' "$out" | tail -n 5
	# Not all that it finds makes -Qkk fail.
	grep -vE ': [0-9]+ total files, 0 (missing|altered) files$' <<<"$out" || true
}

# pacman's database is in order, its log tells of our packages, nothing waits, and below
# /usr/lib/modules is nothing that no package owns, but what depmod writes for kernels that are there.
assert_database()
{
	local package out faults dep
	out=$(pacman -Dk 2>&1) || fail "pacman -Dk: $out"
	fail_on "pacman's lock was left" "$(find /var/lib/pacman -maxdepth 1 -name '*.lck')"
	fail_on "the queue was left" "$(find /var/lib/kmodpkg/queue /var/lib/kmodpkg/unsettled 2>/dev/null)"
	for package in $(pacman -Qq | grep '^kmod-' || true); do
		grep -qE "\[ALPM\] (installed|upgraded|reinstalled|downgraded) ${package//[+.]/\\&} \(" \
			/var/log/pacman.log || fail "pacman.log does not tell of $package"
	done
	faults=$(find /usr/lib/modules -regextype posix-extended -mindepth 1 ! -regex \
		'.*/modules\.((dep|alias|symbols|builtin|builtin\.alias)(\.bin)?|softdep|weakdep|devname)' 2>/dev/null |
		sort | comm -23 - <(pacman -Qlq | sed 's,/$,,' | sort -u))
	faults+=$(find /usr/lib/modules -mindepth 2 -maxdepth 2 -name 'modules.dep' 2>/dev/null |
		while read -r dep; do
			[ -e "${dep%/*}/vmlinuz" ] || echo "$dep"
		done)
	[ -z "$LITTER" ] || faults=$(grep -vE "$LITTER" <<<"$faults" || true)
	fail_on "unowned files below /usr/lib/modules" "$faults"
}

# A kernel's initramfs.
initramfs_file()
{
	echo "/boot/initramfs-$(cat "/usr/lib/modules/$1/pkgbase").img"
}

# List what is in it of this kernel.
initramfs_list()
{
	zstd -dcq "$(initramfs_file "$1")" | bsdtar -tf - | { grep -F "/lib/modules/$1/" || true; }
}
