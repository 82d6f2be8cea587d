# SPDX-License-Identifier: GPL-2.0-or-later
# The dkms command line.
# shellcheck shell=bash disable=SC2154,SC2034,SC2013

test_dkms_help_and_version()
{
	new_system
	dkms_gives 0 --version
	grep -qE '^dkms-3\.' "$T"/out || fail "$(cat "$T"/out)"
	dkms_gives 0 -V
	dkms_gives 0 --help
	[ -s "$T"/out ] || fail 'no help'
	dkms_gives 0 build -h
	# Called wrongly is not done.
	dkms_gives "$(want called-wrongly 1 0)"
	dkms_gives "$(want called-wrongly 1 0)" frobnicate
}

test_dkms_unknown_actions()
{
	ours_only || return 0
	new_system
	dkms_gives 1 frobnicate
	[ "$(cat "$T"/err)" = "dkms: unknown action 'frobnicate'; dkms --help lists them" ] ||
		fail "$(cat "$T"/err)"
	dkms_gives 1 mkdeb -m hello -v 1.0
	[ "$(cat "$T"/err)" = 'dkms: DKMS dropped mkdeb in 2.8.8; install makes a package, mktarball an archive' ] ||
		fail "$(cat "$T"/err)"
}

test_dkms_help_fits_a_screen()
{
	ours_only || return 0
	new_system
	dkms_gives 0 --help
	expect_line out 'Usage: dkms ACTION [OPTION]... [MODULE[/VERSION] | DIRECTORY | ARCHIVE]'
	[ "$(wc -l <"$T"/out)" -le 24 ] || fail 'the help does not fit a screen'
}

test_dkms_usage_errors()
{
	new_system
	new_module hello 1.0
	dkms_gives 2 build --no-such-option hello/1.0
	dkms_gives 2 build -k="$K1" hello/1.0
	dkms_gives 4 build install hello/1.0
	dkms_gives 2 remove hello/1.0 -k "$K1" --all
	dkms_gives 3 remove hello/1.0 -a "$A" --all
	for action in add build install match autoinstall kernel_postinst kernel_prerm; do
		dkms_gives 5 "$action" hello/1.0 --all
	done
	dkms_gives 1 build hello/1.0 -k "$K1" -k "$K2" -k 6.9 -a x86 -a "$A"
	dkms_gives 4 autoinstall -k "$K1" -k "$K2"
	for action in kernel_preinst kernel_postinst kernel_prerm; do
		dkms_gives 4 "$action"
		dkms_gives 4 "$action" -k "$K1" -k "$K2"
	done
	status_is </dev/null
}

# Options and operands in any order and spelling.
test_dkms_spellings()
{
	local -a words

	new_system
	new_module hello 1.0
	while read -ra words; do
		dkms_gives 0 "${words[@]}"
		status_is <<<"hello/1.0, $K1, $A: built"
		dkms_gives 0 unbuild hello/1.0 -k "$K1"
	done <<-END
	build hello/1.0 -k $K1
	build -m hello -v 1.0 -k $K1
	-k $K1 -v 1.0 -m hello build
	--kernelver $K1 hello/1.0 build
	build --module=hello/1.0 --kernelver=$K1/$A
	build --module hello -v 1.0 -k $K1 -a $A
	build -m hello/1.0 -k $K1 --arch=$A
	build --arch $A -k $K1 hello/1.0
	build hello/1.0 -k $K1 -j 2 --verbose
	build hello/1.0 -k $K1 -j 0 --no-depmod --force
	build hello/1.0 -k $K1 --no-initrd --no-clean-kernel --no-prepare-kernel
	build hello/1.0 -k $K1 -c /usr/src/hello-1.0/dkms.conf
	build hello/1.0 -k $K1 --kernelsourcedir=/lib/modules/$K1/build
	build hello/1.0 -k $K1 --config /usr/src/linux-headers-$K1/.config
	build hello/1.0 -k $K1 --dkmstree=/var/lib/dkms --sourcetree /usr/src
	build hello/1.0 -k $K1 --installtree /lib/modules --force-version-override
	END
}

test_dkms_install_options()
{
	local -a words

	new_system
	new_module hello 1.0
	while read -ra words; do
		dkms_gives 0 "${words[@]}"
		status_is <<<"hello/1.0, $K1, $A: installed"
		dkms_gives 0 remove hello/1.0 --all
	done <<-END
	install hello/1.0 -k $K1 --no-depmod
	install hello/1.0 -k $K1 --modprobe-on-install
	install hello/1.0 -k $K1 --rpm_safe_upgrade
	install hello/1.0 -k $K1 --force --force-version-override
	END
}

test_dkms_quiet()
{
	new_system
	new_module hello 1.0
	dkms_gives 21 build hello/1.0 -k 6.9.0-none -q
	expect_empty out
	expect_empty err
	dkms_gives 0 --quiet install hello/1.0 -k "$K1"
	expect_empty out
	expect_empty err
	installed hello "$K1"
}

# A word is an action, a tree, an archive, a module, in this order.
test_dkms_words()
{
	new_system
	new_module hello 1.0
	tree_at "$root"/build hello 5.0
	dkms_gives 0 add hello/1.0 surplus
	dkms_gives 0 add /build
	status_is <<-END
	hello/1.0: added
	hello/5.0: added
	END
}

# A name becomes a path below trees that are root's.
test_dkms_names()
{
	ours_only || return 0
	new_system
	new_module hello 1.0
	dkms_gives 1 add hello/../1.0
	dkms_gives 1 add hello/
}

# Privileges: for what others must not do; the rest needs only a tree that one may write to.
test_dkms_as_a_user()
{
	new_system
	new_module hello 1.0
	user() {
		status=0
		KMODPKG_PLUGIN_DIR=/plugins chroot --userspec=1:1 "$root" /usr/sbin/dkms "$@" \
			>"$T"/out 2>"$T"/err </dev/null || status=$?
	}
	for action in install autoinstall match kernel_postinst; do
		user "$action" hello/1.0 -k "$K1"
		[ "$status" = 1 ] || fail "$action by a user ended with $status"
	done
	user add hello/1.0
	[ "$status" != 0 ] || fail 'a user may write to the tree'
	status_is </dev/null
	install -d -o 1 -g 1 "$root"/tmp/tree
	user build hello/1.0 -k "$K1" --dkmstree /tmp/tree
	[ "$status" = 0 ] || fail "build by a user ended with $status: $(cat "$T"/err)"
	there "/tmp/tree/hello/1.0/$K1/$A/module/hello.ko"
}

# The manual and the completions name every option and action.
test_dkms_documentation_is_complete()
{
	local option file top=$here/../..

	ours_only || return 0
	for option in $(grep -oE '\{ "--[a-z_-]+"' "$top"/core/cli/dkms-args.c | grep -oE '[a-z][a-z_-]+'); do
		for file in man/dkms.8 completions/dkms.bash completions/_dkms completions/dkms.fish; do
			case $option:$file in
			no-initrd:c* | no-clean-kernel:c* | no-prepare-kernel:c*) continue ;;
			esac
			grep -Eq -- "(-|-l )$option([^a-z_-]|\$)" "$top/$file" || fail "--$option is not in $file"
		done
	done
	for option in $(grep -oE '^	\{ "[a-z_]+"' "$top"/core/cli/dkms.c | grep -oE '[a-z][a-z_]+'); do
		for file in man/dkms.8 completions/dkms.bash completions/_dkms completions/dkms.fish; do
			grep -Eq -- "(^|[^a-z_])$option([^a-z_]|\$)" "$top/$file" || fail "$option is not in $file"
		done
	done
}

test_dkms_bash_completion()
{
	local top=$here/../..

	ours_only || return 0
	new_system
	new_module hello 1.0
	new_module with-hyphen 2.0
	dkms_gives 0 add hello/1.0
	cp "$top"/completions/dkms.bash "$root"/tmp/
	# completes WORDS: EXPECTED
	completes()
	{
		local line=$1 expected=$2 got

		# shellcheck disable=SC2016
		got=$(chroot "$root" bash -c '. /tmp/dkms.bash; read -ra COMP_WORDS <<<"$1"
			[[ $1 != *" " ]] || COMP_WORDS+=("")
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _dkms; echo "${COMPREPLY[*]}"' \
			bash "$line")
		[ "$got" = "$expected" ] || fail "'$line' gives '$got', not '$expected'"
	}
	completes 'dkms un' 'uninstall unbuild'
	completes 'dkms add ' 'with-hyphen/2.0'
	completes 'dkms remove ' 'hello/1.0'
	completes 'dkms -k 6.1.0-1-test rem' 'remove'
	completes 'dkms build hello/1.0 -k 6.1.0-1' "$K1"
	completes 'dkms build --kernelver = 6.1.0-2' "$K2"
	completes 'dkms status --templ' '--templatekernel'
	completes 'dkms install -m ' 'hello/1.0 with-hyphen/2.0'
}

# One machine is all kernels', several are each kernel's own.
test_dkms_machines()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1" -k "$K2" -a "$A"
	dkms_gives 0 unbuild hello/1.0 -k "$K1" -a "$A" -k "$K2" --arch="$A"
	dkms_gives 1 build hello/1.0 -k "$K1" -a "$A" -a "$A"
	dkms_gives 0 build hello/1.0 -k "$K1/$A" -k "$K2/$A"
	status_is -a "$A" <<-END
	hello/1.0, $K1, $A: built
	hello/1.0, $K2, $A: built
	END
	status_is -k "$K1" -a other <<<'hello/1.0: added'
}

# Several kernels: each is tried.
test_dkms_kernels_one_of_which_fails()
{
	new_system
	new_module hello 1.0 "BUILD_EXCLUSIVE_KERNEL=$K2"
	dkms_gives "$(want several-kernels 77 0)" build hello/1.0 -k "$K1" -k "$K2"
	status_is <<<"hello/1.0, $K2, $A: built"
	dkms_gives 77 install hello/1.0 -k "$K2" -k "$K1"
	installed hello "$K2"
}

# Without -k it is the running kernel, but not in a chroot.
test_dkms_default_kernel()
{
	new_system
	new_module hello 1.0
	dkms_gives "$(want chroot 0 21)" build hello/1.0
	new_kernel "$(uname -r)"
	dkms_gives 0 install hello/1.0
	installed hello "$(uname -r)"
	dkms_gives 0 uninstall hello/1.0
	dkms_gives 0 remove hello/1.0
	not_installed hello "$(uname -r)"
	gone "/var/lib/dkms/hello/1.0/$(uname -r)"
}

# A file or directory here is what a word means first.
test_dkms_words_that_are_files()
{
	new_system
	new_module hello 1.0
	tree_at "$root"/hello other 7.0
	dkms_gives 0 add hello
	status_is <<<'other/7.0: added'
	dkms_gives 0 add hello/1.0
	status_is <<-END
	hello/1.0: added
	other/7.0: added
	END
	# A tree that was added is not silently the one that is named.
	dkms_gives 3 build hello/dkms.conf -k "$K1"
	dkms_gives 0 remove other/7.0 --all
	dkms_gives 0 build hello/dkms.conf -k "$K1"
	status_is other <<<"other/7.0, $K1, $A: built"
}
