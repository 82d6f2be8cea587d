# SPDX-License-Identifier: GPL-2.0-or-later
# Who may do what with the files that we leave, whatever the umask of whoever started us.
# shellcheck shell=bash disable=SC2154

test_dkms_modes_under_any_umask()
{
	local mask

	ours_only || return 0
	for mask in 000 077; do
		new_system
		new_module hello 1.0
		tree_at "$root"/root/ours ours 1.0
		chmod 777 "$root"/root/ours
		umask $mask
		dkms_gives 0 add /root/ours
		dkms_gives 0 install hello/1.0 -k "$K1"
		# A change that has to wait.
		echo must-defer >"$root"/var/lib/fakedb/lock
		dkms_gives 0 install ours/1.0 -k "$K1"
		umask 022
		there /var/lib/kmodpkg/queue/00000001/entry.json
		# Others may read all of it but the locks, which they could hold for ever, and the
		# private directories of builds, where one goes through, and a mark, whose mode says what is
		# done; and write none.
		(cd "$root" && find var/lib/kmodpkg var/lib/dkms var/log/kmodpkg run/kmodpkg \
			usr/src/ours-1.0 "lib/modules/$K1/updates" ! -type l -printf '%y%m %u:%g %p\n') |
			grep -v -e '^d755 root:root ' -e '^f644 root:root ' | sort >"$T"/out
		expect out <<-END
		d711 root:root var/lib/kmodpkg/work
		f600 root:root run/kmodpkg/build/hello-1.0-$K1.lock
		f600 root:root run/kmodpkg/build/ours-1.0-$K1.lock
		f600 root:root run/kmodpkg/build/slot-1.lock
		f600 root:root run/kmodpkg/lock
		f640 root:root var/lib/kmodpkg/unsettled/$K1
		END
	done
}
