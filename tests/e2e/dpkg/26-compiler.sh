# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What builds ask their compiler is asked once and remembered.

# build_asks N: kmodpkg-multi, of three modules, is built anew, and for that compilers are asked N
# questions that nobody knew.
build_asks()
{
	run "${IN_CONTAINER[@]}" kmodpkg -v build --force kmodpkg-multi/1.0 -k "$K1"
	assert_output '^kmodpkg: built kmodpkg-multi/1\.0 for '
	assert_output "^kmodpkg: asked compilers $1 questions"
}

# Headers as they are kept for the files that kbuild puts around each module.
reduced_headers()
{
	find /var/lib/kmodpkg/probes -maxdepth 1 -name '*.h'
}

# Where builds have no mounts of their own, too, be it that they had some the last time.
scenario compiler_is_asked_once kernel bookworm
compiler_is_asked_once()
{
	local IN_CONTAINER=(setpriv --bounding-set=-sys_admin) first
	add_by_hand kmodpkg-multi
	mkdir -m 700 /var/lib/kmodpkg/work
	build_asks '[1-9][0-9]'
	assert_output 'less protected here: no private mounts'
	[ -n "$(reduced_headers)" ] || fail "no headers are kept"
	build_asks 0
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	first=$(module_hashes "$K1")
	IN_CONTAINER=()
	build_asks 0
	run kmodpkg sync
	[ "$(module_hashes "$K1")" = "$first" ] || fail "a container makes other modules"

	# Headers that cannot be reduced are read once and not for each of the modules.
	printf '#pragma pack(%s)\n' 'push, 4' pop >>"$(echo /usr/src/linux-headers-*-common)/include/linux/module.h"
	reduced_headers | xargs rm
	build_asks 1
	fail_on "headers are kept that could not be reduced" "$(reduced_headers)"
	run kmodpkg sync
	[ "$(module_hashes "$K1")" = "$first" ] || fail "with all headers other modules come out"
}
