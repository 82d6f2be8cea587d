# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What dpkg and Debian answer to the assertions of lib/assert.sh. Sourced.

# Where modules are placed, below the kernel's directory.
# shellcheck disable=SC2034 # for lib/assert.sh
MODULE_DIR=updates/dkms

# kernel_dir K: where the kernel's package has its modules. The path counts as it is written:
# dpkg does not know that /lib is a link.
kernel_dir()
{
	local dir
	for dir in "/usr/lib/modules/$1" "/lib/modules/$1"; do
		if dpkg-query -S "$dir/kernel" >/dev/null 2>&1; then
			echo "$dir"
			return
		fi
	done
	fail "no package owns the kernel directory of $1"
}

# Generated packages of kernel K that dpkg has in any state, one name per line. Packages of that
# form which are the kernel's own (linux-modules-K) do not count, nor do names that dpkg only
# remembers.
generated_packages()
{
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' "*-modules-$1" 2>/dev/null |
		sed -n '/^not-installed /d; / linux-modules-/d; s/^[^ ]* //p'
}

# The package of source $1 for kernel $2.
generated_name()
{
	echo "$1-modules-$2"
}

package_version()
{
	dpkg-query -W -f '${Version}' "$1"
}

# The package that owns a path as it is written, nothing if there is none.
owner_of()
{
	local owner
	owner=$(dpkg-query -S "$1" 2>/dev/null) || return 0
	echo "${owner%%:*}"
}

# What packages own below kernel K's directory, as paths that begin with /lib.
owned_paths()
{
	cat /var/lib/dpkg/info/*.list | sed -n "s,^/usr,,;\\,^/lib/modules/$1/,p"
}

# What is wrong with a package's files.
verify_package()
{
	dpkg -V "$1" 2>&1 || true
}

# Every package is installed and configured, nothing is pending; what is removed but not purged
# may be so, as long as it is not a generated package: those leave nothing behind.
assert_database()
{
	fail_on "packages in a bad state" "$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' |
		grep -vE '^[ih]i |^rc ' | tr -s ' ')"
	fail_on "generated packages left as config-files" \
		"$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' '*-modules-*' 2>/dev/null |
			grep '^rc ')"
	fail_on "dpkg --audit" "$(dpkg --audit 2>&1)"
	apt-get check >/tmp/e2e-apt-check 2>&1 || fail "apt-get check: $(tail -n 1 /tmp/e2e-apt-check)"
}

# A kernel's initramfs.
initramfs_file()
{
	echo "/boot/initrd.img-$1"
}

# List what is in it.
initramfs_list()
{
	if command -v lsinitramfs >/dev/null; then
		lsinitramfs "$(initramfs_file "$1")"
	else
		lsinitrd "$(initramfs_file "$1")"
	fi
}
