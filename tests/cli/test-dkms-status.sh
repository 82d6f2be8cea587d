# SPDX-License-Identifier: GPL-2.0-or-later
# dkms status: its lines, filters, and that it needs nothing.
# shellcheck shell=bash disable=SC2154,SC2034

test_dkms_status_filters()
{
	new_system
	new_module hello 1.0
	new_module hello 2.0
	new_module other 1.0
	dkms_gives 0 add hello/1.0
	dkms_gives 0 build hello/2.0 -k "$K1" -k "$K2"
	dkms_gives 0 install other/1.0 -k "$K2"
	status_is <<-END
	hello/1.0: added
	hello/2.0, $K1, $A: built
	hello/2.0, $K2, $A: built
	other/1.0, $K2, $A: installed
	END
	status_is -m hello <<-END
	hello/1.0: added
	hello/2.0, $K1, $A: built
	hello/2.0, $K2, $A: built
	END
	status_is hello/2.0 -k "$K2" <<<"hello/2.0, $K2, $A: built"
	status_is -m hello -v 2.0 --kernelver="$K1/$A" <<<"hello/2.0, $K1, $A: built"
	# A filter that nothing is built for leaves what is added.
	status_is -k "$K1" <<-END
	hello/1.0: added
	hello/2.0, $K1, $A: built
	other/1.0: added
	END
	status_is nosuch </dev/null
	status_is hello/9 </dev/null
}

test_dkms_status_of_damaged_modules()
{
	local file

	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	file=$root/$(module_file hello "$K1")
	cp "$file" "$root"/tmp/saved
	echo more >>"$file"
	status_is <<<"hello/1.0, $K1, $A: installed (Differences between built and installed modules)"
	rm "$file"
	differs missing-suffix || status_is <<<"hello/1.0, $K1, $A: installed (Built modules are missing in the kernel modules folder)"
	cp "$root"/tmp/saved "$file"
	mkdir -p "$root/var/lib/dkms/hello/original_module/$K1/$A"
	status_is <<<"hello/1.0, $K1, $A: installed (Original modules exist)"
}

# What lies in the tree beside sources and builds is neither.
test_dkms_status_knows_what_is_a_kernel()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	mkdir -p "$root"/var/lib/dkms/hello/1.0/{build,tarball,extramodules/"$A"/module} \
		"$root"/var/lib/dkms/nothing
	status_is <<<"hello/1.0, $K1, $A: built"
}

test_dkms_status_without_a_package_manager()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	rm "$root"/plugins/fake.so
	# One that is said to be there and is not is another matter.
	dkms_gives 1 status
	rm "$root"/etc/kmodpkg/kmodpkg.conf
	status_is <<<"hello/1.0, $K1, $A: installed"
	dkms_gives 0 build hello/1.0 -k "$K2"
	status_is <<-END
	hello/1.0, $K1, $A: installed
	hello/1.0, $K2, $A: built
	END
	dkms_gives 1 install hello/1.0 -k "$K2"
}

# By anyone.
test_dkms_status_as_a_user()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	KMODPKG_PLUGIN_DIR=/plugins chroot --userspec=1:1 "$root" /usr/sbin/dkms status \
		>"$T"/out 2>"$T"/err </dev/null
	expect out <<<"hello/1.0, $K1, $A: installed"
}

# As the tree has it, whatever else is there.
test_dkms_status_order_and_several()
{
	new_system
	for m in zeta/1.0 alpha/2.0 alpha/10.0; do
		new_module "${m%/*}" "${m#*/}"
		dkms_gives 0 add "$m"
	done
	dkms_gives 0 build alpha/2.0 -k "$K2" -k "$K1"
	status_is <<-END
	alpha/10.0: added
	alpha/2.0, $K1, $A: built
	alpha/2.0, $K2, $A: built
	zeta/1.0: added
	END
	mv "$root"/usr/src/zeta-1.0 "$root"/usr/src/away
	dkms status
	grep -qx 'zeta/1.0: broken' "$T"/out || fail "$(cat "$T"/out)"
	grep -q zeta "$T"/err || fail 'nothing is said about it'
	[ "$status" = 0 ] || fail "status ended with $status"
	status_is alpha/10.0 <<<'alpha/10.0: added'
}
