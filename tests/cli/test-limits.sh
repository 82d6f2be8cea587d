# SPDX-License-Identifier: GPL-2.0-or-later
# Sources of unusual size.
# shellcheck shell=bash disable=SC2154

test_dkms_ten_thousand_files()
{
	local dir

	ours_only || return 0
	new_system
	new_module hello 1.0
	for dir in a/b c d; do
		mkdir -p "$root/usr/src/hello-1.0/$dir"
		(cd "$root/usr/src/hello-1.0/$dir" && touch {1..3400}.h)
	done
	ulimit -Sn 256
	dkms_gives 0 install hello/1.0 -k "$K1"
	ulimit -Sn "$(ulimit -Hn)"
	installed hello "$K1"
	[ -z "$(ls -A "$root"/var/lib/kmodpkg/work)" ] || fail 'what was built in is left'
	dkms_gives 0 remove hello/1.0 --all
	not_installed hello "$K1"
}
