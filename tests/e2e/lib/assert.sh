# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Assertions about the system, run inside of it. Sourced.
#
# Each says in one line what is wrong and ends the scenario. Those that can find several faults
# name them all. What they ask of the package manager, MANAGER/assert.sh answers:
#	MODULE_DIR		where modules are placed, below the kernel's directory
#	kernel_dir K		that directory, as the kernel's package has it
#	generated_packages K	those of ours for a kernel, one name per line, sorted
#	generated_name SOURCE K	the name of one
#	package_version NAME	the version of an installed package
#	owner_of PATH		the name of the package that owns it, nothing if there is none
#	owned_paths K		what packages own below a kernel's directory, as /lib/modules/...
#	verify_package NAME	what is wrong with a package's files, nothing if all is right
#	assert_database		the package database is in order and nothing is pending
#	initramfs_file K	the path of a kernel's initramfs
#	initramfs_list K	what is in it

fail()
{
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

# Fail with $1 if $2, a list of faults, is not empty.
fail_on()
{
	[ -z "$2" ] || fail "$1: ${2//$'\n'/ }"
}

# module_file K NAME: the path of a module of ours, in whatever compression.
module_file()
{
	local dir files
	dir=$(kernel_dir "$1")/$MODULE_DIR
	files=("$dir/$2".ko*)
	[ -e "${files[0]}" ] || fail "$1 has no $2 in $dir"
	[ ${#files[@]} -eq 1 ] || fail "$1 has $2 more than once: ${files[*]}"
	echo "${files[0]}"
}

# module_hashes K: of all modules of kmodpkg's packages, by name.
module_hashes()
{
	find "$(kernel_dir "$1")/$MODULE_DIR" -name '*.ko*' -exec sha256sum {} + | sort -k 2
}

# The release of each kernel whose image is installed.
installed_kernels()
{
	local dir
	for dir in /lib/modules/*/kernel; do
		[ ! -d "$dir" ] || basename "${dir%/kernel}"
	done
}

# The package that should own a module of the tests' sources.
source_of()
{
	case $1 in
	kmodpkg_hello) echo kmodpkg-hello ;;
	kmodpkg_hostile) echo kmodpkg-hostile ;;
	kmodpkg_core | kmodpkg_extra | kmodpkg_sub) echo kmodpkg-multi ;;
	kmodpkg_user) echo kmodpkg-user ;;
	*) echo "$1" ;;
	esac
}

# Every .ko in the place for ours is owned by a generated package of that kernel.
assert_owned()
{
	local k=$1 dir ko owner ours faults=''
	dir=$(kernel_dir "$k")/${MODULE_DIR%%/*}
	[ -d "$dir" ] || return 0
	ours=$(generated_packages "$k")
	while IFS= read -r ko; do
		owner=$(owner_of "$ko")
		if [ -z "$owner" ] || ! grep -qxF "$owner" <<<"$ours"; then
			faults+="${faults:+$'\n'}$ko (owner: ${owner:-nobody})"
		fi
	done < <(find "$dir" -name '*.ko*')
	fail_on "modules of $k that no generated package owns" "$faults"
}

# No file, link or directory below /lib/modules/K without an owner, but what depmod writes.
assert_no_strays()
{
	local k=$1 dir faults
	dir=$(kernel_dir "$k")
	faults=$(cd "$dir" && find . -mindepth 1 ! -regex \
		'\./modules\.\(dep\|alias\|symbols\|builtin\|builtin\.alias\)\(\.bin\)?' \
		! -regex '\./modules\.\(softdep\|weakdep\|devname\)' |
		sed "s,^\.,/lib/modules/$k," | sort | comm -23 - <(owned_paths "$k" | sort -u))
	fail_on "files of $k that no package owns" "$faults"
}

# Nothing is left of a kernel.
assert_kernel_gone()
{
	local k=$1 faults
	faults=$(find /lib/modules/*"$k" -maxdepth 3 2>/dev/null | head -n 8 || true)
	fail_on "the directory of a removed kernel is left" "$faults"
	fail_on "packages for the removed $k are left" "$(generated_packages "$k")"
	fail_on "files of the removed $k are left" "$(find /boot -name "*$k*")"
}

# The package manager is content with every generated package of K.
assert_verified()
{
	local package
	for package in $(generated_packages "$1"); do
		fail_on "verifying $package" "$(verify_package "$package")"
	done
}

# All that has to hold at the end of whatever happened.
assert_system()
{
	local k
	assert_database
	for k in $(installed_kernels); do
		assert_owned "$k"
		assert_verified "$k"
		assert_no_strays "$k"
	done
}

# assert_modules K NAME...: these modules of ours, and no others, are there for K: the file has
# the kernel's compression and release, depmod's index names it, modinfo finds it before an
# in-tree one, the initramfs has it, its source's package owns it.
assert_modules()
{
	local k=$1 dir name ko found magic listing
	shift
	dir=$(kernel_dir "$k")
	found=$(find "$dir" -path "$dir/${MODULE_DIR%%/*}/*" -name '*.ko*' -printf '%f\n' | sed 's/\.ko.*//' | sort)
	[ "$found" = "$(printf '%s\n' "$@" | sort)" ] ||
		fail "modules of $k: expected '$*', found '${found//$'\n'/ }'"
	fail_on "nothing was expected, but $k has" "$([ $# -gt 0 ] || generated_packages "$k")"
	listing=$(initramfs_list "$k")
	for name; do
		ko=$(module_file "$k" "$name")
		assert_module_owner "$k" "$name" "$ko"
		assert_compression "$k" "$ko"
		magic=$(modinfo -F vermagic "$ko")
		[[ $magic == "$k "* ]] || fail "vermagic of $ko is '$magic'"
		grep -q "^$MODULE_DIR/${ko##*/}:" "$dir/modules.dep" ||
			fail "modules.dep of $k does not list $name"
		[[ $(modinfo -k "$k" -n "$name") == *"${ko#/usr}" ]] ||
			fail "for $k, modinfo finds $name at $(modinfo -k "$k" -n "$name")"
		case " $NOT_IN_INITRAMFS " in
		*" $name "*) ;;
		*) assert_in_initramfs "$k" "$name" "$listing" ;;
		esac
	done
}
# Modules that the generator's configuration does not name, see prepare-initramfs.sh.
NOT_IN_INITRAMFS='kmodpkg_sub'

assert_module_owner()
{
	local k=$1 name=$2 ko=$3 owner want
	want=$(generated_name "$(source_of "$name")" "$k")
	owner=$(owner_of "$ko")
	[ -n "$owner" ] || fail "no package owns $ko"
	[ "$owner" = "$want" ] || fail "$ko belongs to $owner, not to $want"
}

# A module is compressed as the kernel compresses its own.
assert_compression()
{
	local own
	own=$(find "$(kernel_dir "$1")/kernel" -name '*.ko*' -print -quit)
	[ "${own##*.}" = "${2##*.}" ] || fail "$2 is not compressed like ${own##*/}"
}

assert_in_initramfs()
{
	grep -q "/$2\.ko" <<<"${3:-$(initramfs_list "$1")}" || fail "the initramfs of $1 lacks $2"
}

assert_not_in_initramfs()
{
	! grep -q "/$2\.ko" <<<"$(initramfs_list "$1")" || fail "the initramfs of $1 still has $2"
}

# Start counting from here.
initramfs_reset()
{
	: >/var/log/e2e-initramfs
}

# initramfs_made K=N...: since the reset the initramfs of K was made N times, and of kernels not
# named, not at all.
assert_initramfs_made()
{
	local want got
	want=$(printf '%s\n' "$@" | grep -v '=0$' | sort || true)
	got=$(sort /var/log/e2e-initramfs | uniq -c | sed -E 's/^ *([0-9]+) (.*)/\2=\1/' | sort)
	[ "$got" = "$want" ] ||
		fail "initramfs made: expected '${want//$'\n'/ }', counted '${got//$'\n'/ }'"
}

# assert_generated K VERSION SOURCE...: the generated packages of these sources, and no others,
# are installed for K, each of a version that begins with the source's.
assert_generated()
{
	local k=$1 version=$2 source got names=''
	shift 2
	for source; do
		names+=$(generated_name "$source" "$k")$'\n'
	done
	got=$(generated_packages "$k")
	[ "$got" = "$(printf '%s' "$names" | sort)" ] ||
		fail "generated packages of $k: expected '$*', found '${got//$'\n'/ }'"
	for got in $got; do
		[[ $(package_version "$got") == "$version"* ]] ||
			fail "$got $(package_version "$got") is not version $version"
	done
}

# The output of the last `run` has, or has not, a line that matches a regular expression.
assert_output()
{
	grep -qE -- "$1" "$RUN_OUTPUT" || fail "the output has no line that matches '$1'"
}

assert_no_output()
{
	! grep -qE -- "$1" "$RUN_OUTPUT" ||
		fail "the output has a line that matches '$1': $(grep -E -m1 -- "$1" "$RUN_OUTPUT")"
}

# processes_of COMMAND...: how many it starts besides itself.
processes_of()
{
	# Pids are given in turn: the first process is the shell's, the second the command's.
	# shellcheck disable=SC2016 # the inner shell's
	echo $(($(unshare --pid --fork --mount-proc /bin/bash -c \
		'"$@" >/dev/null 2>&1 || exit 1; : & echo $!' - "$@") - 3))
}

# A look, and a sync with nothing to do, start no process, once what has just changed is old enough to be
# remembered.
assert_idle()
{
	local n deadline=$((SECONDS + 30))
	[ "$(processes_of /bin/sh -c 'true & wait')" = 1 ] || fail "processes are not counted"
	until n=$(processes_of kmodpkg status) && [ "$n" = 0 ]; do
		[ $SECONDS -lt $deadline ] || fail "kmodpkg status starts $n processes"
	done
	n=$(processes_of kmodpkg sync)
	[ "$n" = 0 ] || fail "a sync with nothing to do starts $n processes"
}

# assert_status WORD...: kmodpkg status has a line in which all these words occur.
assert_status()
{
	local out word
	out=$(kmodpkg status 2>&1) || fail "kmodpkg status failed: $out"
	for word; do
		out=$(grep -F -- "$word" <<<"$out") || fail "kmodpkg status has no line with '$*'"
	done
}

# must_fail WORDS ASSERTION...: for the tests of the tests: it has to fail, with these words.
must_fail()
{
	local words=$1 out
	shift
	if out=$("$@" 2>&1); then
		fail "'$*' did not notice: $words"
	fi
	[[ $out == *"$words"* ]] || fail "'$*' said something else than '$words': $out"
	echo "as it should: $out"
}

# No sanitizer has found anything; what it said is shown. Those in the sandbox say it in a build's log.
assert_no_reports()
{
	local found
	found=$(find /run/sanitizer-reports -type f
		[ ! -d /var/log/kmodpkg ] || grep -rlE 'Sanitizer|: runtime error: ' /var/log/kmodpkg || true)
	[ -z "$found" ] || xargs -d '\n' tail -n 200 <<<"$found"
	fail_on "a sanitizer's reports" "$found"
}
