# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2154,SC2034,SC2013

verbs='status sync add build install uninstall remove owner log conf doctor adopt'

test_help_lists_the_verbs()
{
	run --help
	expect_status 0
	expect_empty err
	for verb in $verbs; do
		grep -Eq "^  $verb +[A-Z]" "$T"/out || fail "$verb is not in --help"
	done
	! grep -q drain "$T"/out || fail 'a hidden verb is in --help'
}

test_help_of_every_verb()
{
	for verb in $verbs drain; do
		run "$verb" --help
		expect_status 0
		expect_empty err
		head -n 1 "$T"/out | grep -q "^Usage: kmodpkg $verb" ||
			fail "$verb --help: $(head -n 1 "$T"/out)"
		[ "$(awk 'length > 90' "$T"/out)" = '' ] || fail "$verb --help is too wide"
		cp "$T"/out "$T"/long
		run "$verb" -h
		expect out <"$T"/long
	done
}

test_help_as_a_verb()
{
	run --help
	cp "$T"/out "$T"/all
	run help
	expect_status 0
	expect_empty err
	expect out <"$T"/all
	run build --help
	cp "$T"/out "$T"/one
	run help build
	expect_status 0
	expect out <"$T"/one
	run help nosuch
	expect_error 2 "kmodpkg: unknown verb 'nosuch'; see kmodpkg --help"
}

test_help_text()
{
	run status --help
	expect out <<-'END'
	Usage: kmodpkg status [-k K]... [--json] [M[/V]]...
	Show each module's state, package and what is wrong.

	  -k, --kernel K  only this kernel (may be repeated)
	      --json      for programs: JSON; kmodpkg(8) describes it

	Global options: --root DIR, -q/--quiet, -v/--verbose, -h/--help; see kmodpkg(8).
	END
}

# The manual, --help and the completions name the same options.
test_documentation_is_complete()
{
	local option file top=$here/../..

	for verb in $verbs; do
		run "$verb" --help
		for option in $(grep -oE '^ +(-[a-z], |    )--[a-z-]+' "$T"/out | grep -oE '[-][-][a-z-]+'); do
			case $verb$option in
			*--if-backend | *--nested | *--no-erase | sync--last) file="$top/man/kmodpkg.8" ;;
			*) file="$top/man/kmodpkg.8 $top/completions/kmodpkg.bash
				$top/completions/_kmodpkg $top/completions/kmodpkg.fish" ;;
			esac
			for f in $file; do
				grep -Eq -- "(-|-l )${option#--}([^a-z-]|\$)" "$f" ||
					[ "$option" = --kernel ] ||
					fail "$verb $option is not in ${f##*/}"
			done
		done
	done
	for state in added built installed stale queued held blocked failed excluded no-headers; do
		grep -q "^\.It $state\$" "$top"/man/kmodpkg.8 || fail "state $state is not in the manual"
	done
}

test_version()
{
	run --version
	expect_status 0
	expect out <<<"kmodpkg $(cat "$here"/../../VERSION)"
}

test_wrong_usage()
{
	run
	expect_status 2
	expect_empty out
	run no-such
	expect_error 2 "kmodpkg: unknown verb 'no-such'; see kmodpkg --help"
	run --no-such
	expect_error 2 "kmodpkg: unknown or ambiguous option '--no-such'; see kmodpkg --help"
	run --root
	expect_error 2 "kmodpkg: option '--root' needs an argument; see kmodpkg --help"
	run status --no-such
	expect_error 2 "kmodpkg status: unknown or ambiguous option '--no-such'; see kmodpkg status --help"
	run sync -j 0
	expect_error 2 "kmodpkg sync: '0' is not a number of jobs (1 to 4096); see kmodpkg sync --help"
	run sync -j x
	expect_status 2
	run sync --force
	expect_error 2 'kmodpkg sync: --force needs the modules by name; see kmodpkg sync --help'
	run sync --boot -k 6.1.0-1-test
	expect_error 2 'kmodpkg sync: --boot and -k exclude each other; see kmodpkg sync --help'
	run install
	expect_error 2 'kmodpkg install: no module is named; see kmodpkg install --help'
	run install a b
	expect_error 2 'kmodpkg install: one module at a time; see kmodpkg install --help'
	run build -k 6.1.0-1-test --all hello
	expect_error 2 'kmodpkg build: -k and --all exclude each other; see kmodpkg build --help'
	run uninstall --force hello
	expect_error 2 "kmodpkg uninstall: unknown or ambiguous option '--force'; see kmodpkg uninstall --help"
	run add hello
	expect_error 2 "kmodpkg add: 'hello' is neither MODULE/VERSION nor a directory; see kmodpkg add --help"
	run add ./nosuch
	expect_error 1 'kmodpkg add: ./nosuch: No such file or directory'
	mkdir -p "$T"/empty
	run add "$T"/empty
	expect_error 1 "kmodpkg add: $T/empty has no dkms.conf, so it is no module source"
	run add "$T"/out
	expect_error 1 "kmodpkg add: $T/out is not a directory: name the one that has the dkms.conf; archives are for dkms ldtarball"
	run owner
	expect_error 2 'kmodpkg owner: no file is named; see kmodpkg owner --help'
	run owner relative
	expect_error 2 'kmodpkg owner: relative: with --root a path has to be absolute; see kmodpkg owner --help'
	run drain now
	expect_error 2 'kmodpkg drain: it takes no argument; see kmodpkg drain --help'
}

test_hostile_names()
{
	local name

	for name in '' / .. ../x x/.. a/b/c $'a\nb' $'\e[2J' 'a b' "$(printf 'x%.0s' {1..300})"; do
		for verb in status sync build install uninstall remove log; do
			run_in "$verb" -- "$name"
			expect_status 2
			expect_empty out
			[ "$(wc -l <"$T"/err)" = 1 ] || fail "$verb: more than one line of error"
			! grep -q $'\e' "$T"/err || fail "$verb: an escape reaches the terminal"
		done
	done
	run_in status -k '../../etc'
	expect_error 2 "kmodpkg status: '../../etc' is not a kernel release; see kmodpkg status --help"
}

test_only_root_changes()
{
	for verb in sync 'build hello' 'install hello' 'uninstall hello' 'remove hello' 'add hello/1.0' drain; do
		status=0
		# shellcheck disable=SC2086
		setpriv --reuid 65534 --regid 65534 --clear-groups "$T"/kmodpkg $verb \
			>"$T"/out 2>"$T"/err </dev/null || status=$?
		expect_error 1 "kmodpkg ${verb%% *}: only root can do this"
	done
}

test_closed_descriptors()
{
	status=0
	KMODPKG_PLUGIN_DIR=${FAKE%/*} "$KMODPKG" --root "$root" status <&- >&- 2>&- || status=$?
	expect_status 0
}

test_output_that_cannot_be_written()
{
	status=0
	KMODPKG_PLUGIN_DIR=${FAKE%/*} "$KMODPKG" --root "$root" status >/dev/full 2>"$T"/err || status=$?
	: >"$T"/out
	expect_error 1 'kmodpkg status: writing the output: No space left on device'
	status=0
	"$KMODPKG" --help >/dev/full 2>"$T"/err || status=$?
	expect_error 1 'kmodpkg: writing the output: No space left on device'
}

test_no_backend()
{
	rm "$root"/etc/kmodpkg/kmodpkg.conf
	status=0
	KMODPKG_PLUGIN_DIR=/nonexistent "$KMODPKG" --root "$root" status >"$T"/out 2>"$T"/err || status=$?
	expect_error 1 "kmodpkg status: no backend for a package manager is installed in '/nonexistent'"
}
