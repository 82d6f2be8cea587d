# SPDX-License-Identifier: GPL-2.0-or-later
# dkms autoinstall, match, kernel_*; and DKMS's configuration.
# shellcheck shell=bash disable=SC2154,SC2034

test_dkms_autoinstall()
{
	new_system
	new_module hello 1.0
	new_module hello 2.0
	new_module manual 1.0 AUTOINSTALL=no
	new_module excluded 1.0 'BUILD_EXCLUSIVE_KERNEL=^5'
	for m in hello/1.0 hello/2.0 manual/1.0 excluded/1.0; do
		dkms_gives 0 add "$m"
	done
	dkms_gives 0 autoinstall -k "$K1"
	status_is <<-END
	excluded/1.0: added
	hello/1.0: added
	hello/2.0, $K1, $A: installed
	manual/1.0: added
	END
	dkms_gives 0 autoinstall -k "$K1"
	new_module broken 1.0
	echo 'not C' >"$root"/usr/src/broken-1.0/broken.c
	dkms_gives 0 add broken/1.0
	dkms_gives 11 autoinstall -k "$K1"
	dkms_gives 11 autoinstall -k "$K1"
	rm "$root/lib/modules/$K2/build"
	dkms_gives 21 autoinstall -k "$K2"
	dkms_gives 21 autoinstall -k 6.9.0-none
}

test_dkms_autoinstall_in_a_chroot()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 0 add hello/1.0
	dkms_gives 21 autoinstall
	grep -q "no kernel $(uname -r) is installed here.* with -k: .*$K1" "$T"/err || fail "$(cat "$T"/err)"
}

test_dkms_no_autoinstall()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 add hello/1.0
	: >"$root"/etc/dkms/no-autoinstall
	dkms_gives 0 autoinstall -k "$K1"
	status_is <<<'hello/1.0: added'
}

test_dkms_autoinstall_with_depends()
{
	new_system
	new_module user 1.0 BUILD_DEPENDS=base
	new_module base 1.0
	new_module zbase 1.0
	for m in user base zbase; do
		dkms_gives 0 add "$m/1.0"
	done
	dkms_gives 0 autoinstall -k "$K1"
	status_is <<-END
	base/1.0, $K1, $A: installed
	user/1.0, $K1, $A: installed
	zbase/1.0, $K1, $A: installed
	END
}

test_dkms_kernel_hooks()
{
	new_system
	new_module hello 1.0
	new_module manual 1.0 AUTOINSTALL=no
	dkms_gives 0 add hello/1.0
	dkms_gives 0 install manual/1.0 -k "$K1"
	dkms_gives 0 kernel_postinst -k "$K1"
	status_is <<-END
	hello/1.0, $K1, $A: installed
	manual/1.0, $K1, $A: installed
	END
	dkms_gives 0 kernel_preinst -k "$K1"
	status_is <<-END
	hello/1.0: added
	manual/1.0, $K1, $A: installed
	END
	dkms_gives 0 kernel_postinst -k "$K1"
	dkms_gives 0 kernel_prerm -k "$K1"
	status_is <<-END
	hello/1.0: added
	manual/1.0: added
	END
	not_installed hello "$K1"
	not_installed manual "$K1"
}

test_dkms_match()
{
	new_system
	new_module hello 1.0
	new_module other 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 install other/1.0 -k "$K1"
	dkms_gives 1 match -k "$K2"
	dkms_gives 21 match --templatekernel "$K1"
	dkms_gives 2 match --templatekernel "$K2" -k "$K2"
	dkms_gives 3 match --templatekernel "$K1" -k "$K2" nosuch
	dkms_gives 0 match --templatekernel "$K1" -k "$K2" other
	if differs match; then
		not_installed other "$K2"
		return 0
	fi
	status_is -k "$K2" <<-END
	hello/1.0: added
	other/1.0, $K2, $A: installed
	END
	dkms_gives 0 match --templatekernel="$K1" -k "$K2"
	installed hello "$K2"
}

test_dkms_framework()
{
	new_system
	new_module hello 1.0
	mv "$root"/usr/src/hello-1.0 "$root"/tmp/
	mkdir "$root"/tmp/tree
	printf '%s\n' '# of the administrator' 'dkms_tree="/tmp/tree"' \
		"source_tree='/tmp'" "parallel_jobs=2" >"$root"/etc/dkms/framework.conf
	dkms_gives 0 build hello/1.0 -k "$K1"
	there "/tmp/tree/hello/1.0/$K1/$A/module/hello.ko"
	# The command line counts more, and the directory is read after the file.
	mkdir "$root"/etc/dkms/framework.conf.d "$root"/tmp/second
	echo 'dkms_tree=/tmp/second' >"$root"/etc/dkms/framework.conf.d/mine.conf
	echo 'dkms_tree=/tmp/third' >"$root"/etc/dkms/framework.conf.d/mine.disabled
	status_is </dev/null
	status_is --dkmstree /tmp/tree <<<"hello/1.0, $K1, $A: built"
}

# A file that needs a shell gets one; one that is broken keeps nothing from working.
test_dkms_framework_of_shell()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	mkdir "$root"/tmp/tree
	# shellcheck disable=SC2016
	printf '%s\n' 'if [ -d /usr ]; then dkms_tree=$(echo /tmp)/tree; fi' \
		>"$root"/etc/dkms/framework.conf
	dkms_gives 0 add hello/1.0
	there /tmp/tree/hello/1.0/source
	echo 'fi' >"$root"/etc/dkms/framework.conf
	dkms_gives 0 add hello/1.0
	there /var/lib/dkms/hello/1.0/source
	grep -q "ignoring DKMS's configuration" "$T"/err || fail "$(cat "$T"/err)"
}

# What has no effect is said by commands that change something, not by those that look; in a
# transaction not at all, where many commands run.
test_dkms_framework_ignored()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	echo 'symlink_modules=yes' >"$root"/etc/dkms/framework.conf
	dkms_gives 0 add hello/1.0
	grep -q 'symlink_modules has no effect' "$T"/err || fail "$(cat "$T"/err)"
	dkms_gives 0 status
	! grep -q 'no effect' "$T"/err || fail "$(cat "$T"/err)"
	lock_is must-defer
	dkms_gives 0 build hello/1.0 -k "$K1"
	! grep -q 'no effect' "$T"/err || fail "$(cat "$T"/err)"
}

# Dependencies decide the order; one that DKMS does not know of puts its user off, one that
# failed fails it too.
test_dkms_autoinstall_of_dependents()
{
	new_system
	new_module auser 1.0 BUILD_DEPENDS=zbase
	new_module zbase 1.0
	new_module waiting 1.0 BUILD_DEPENDS=unknown
	for m in auser zbase waiting; do
		dkms_gives 0 add "$m/1.0"
	done
	dkms_gives "$(want deferred 0 11)" autoinstall -k "$K1"
	status_is <<-END
	auser/1.0, $K1, $A: installed
	waiting/1.0: added
	zbase/1.0, $K1, $A: installed
	END
	echo 'not C' >"$root"/usr/src/zbase-1.0/zbase.c
	dkms_gives 11 autoinstall -k "$K2"
	status_is -k "$K2" <<-END
	auser/1.0: added
	waiting/1.0: added
	zbase/1.0: added
	END
}

# One that fails does not keep the others out.
test_dkms_autoinstall_goes_on()
{
	new_system
	new_module alpha 1.0
	new_module broken 1.0
	new_module omega 1.0
	echo 'not C' >"$root"/usr/src/broken-1.0/broken.c
	for m in alpha broken omega; do
		dkms_gives 0 add "$m/1.0"
	done
	dkms_gives 11 kernel_postinst -k "$K1"
	status_is <<-END
	alpha/1.0, $K1, $A: installed
	broken/1.0: added
	omega/1.0, $K1, $A: installed
	END
}

# The highest version counts, as numbers.
test_dkms_autoinstall_version()
{
	new_system
	for v in 1.9 1.10 1.2; do
		new_module hello "$v"
		dkms_gives 0 add "hello/$v"
	done
	dkms_gives 0 autoinstall -k "$K1"
	status_is -k "$K1" <<-END
	hello/1.10, $K1, $A: installed
	hello/1.2: added
	hello/1.9: added
	END
}

# What a person chose by installing it is not replaced by the highest.
test_dkms_autoinstall_and_what_was_installed()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	new_module hello 2.0
	dkms_gives 0 add hello/2.0
	dkms_gives 0 autoinstall -k "$K1"
	if differs pinned; then
		status_is -k "$K1" hello/2.0 <<<"hello/2.0, $K1, $A: installed"
	else
		status_is -k "$K1" hello/1.0 <<<"hello/1.0, $K1, $A: installed"
	fi
}

test_dkms_autoinstall_after_uninstall()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 uninstall hello/1.0 -k "$K1"
	dkms_gives 0 autoinstall -k "$K1"
	status_is <<<"hello/1.0, $K1, $A: $(want held built installed)"
}

# Nothing to do needs nothing, not even headers.
test_dkms_autoinstall_of_nothing()
{
	new_system
	dkms_gives 0 autoinstall -k "$K1"
	dkms_gives 0 kernel_postinst -k "$K1"
	dkms_gives 0 kernel_prerm -k "$K1"
	dkms_gives 0 kernel_preinst -k "$K1"
	rm "$root/lib/modules/$K2/build"
	dkms_gives 0 autoinstall -k "$K2"
}


# What a kernel's removal leaves.
test_dkms_kernel_prerm_leaves_nothing()
{
	new_system
	new_module hello 1.0
	new_module other 1.0
	dkms_gives 0 install hello/1.0 -k "$K1" -k "$K2"
	dkms_gives 0 build other/1.0 -k "$K1"
	dkms_gives 0 kernel_prerm -k "$K1"
	status_is <<-END
	hello/1.0, $K2, $A: installed
	other/1.0: added
	END
	gone "/lib/modules/$K1/updates" "/var/lib/dkms/hello/kernel-$K1-$A"
	dkms_gives 0 kernel_prerm -k "$K1"
}

# Code of the administrator's around what is done.
test_dkms_framework_code()
{
	new_system
	new_module hello 1.0
	printf '%s\n' 'post_transaction="touch /tmp/after"' >>"$root"/etc/dkms/framework.conf
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	if differs post-transaction; then
		there /tmp/after
	else
		gone /tmp/after
		grep -q post_transaction "$T"/err || fail 'nothing is said about it'
	fi
}
