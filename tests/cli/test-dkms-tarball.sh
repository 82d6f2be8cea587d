# SPDX-License-Identifier: GPL-2.0-or-later
# dkms mktarball, ldtarball, add ARCHIVE, generate_mok.
# shellcheck shell=bash disable=SC2154,SC2034

# The files in it: some list directories.
files_in()
{
	tar -tf "$root$1" | sed 's,^\./,,' | grep -vE '(^|/)$' | sort >"$T"/out
}

# A member or several, below a directory of their own, as an archive /x.tar.
pack()
{
	tar -C "$T/pack" -cf "$root/x.tar" "$@"
}

test_dkms_mktarball()
{
	local dir=/var/lib/dkms/hello/1.0/tarball

	new_system
	new_module hello 1.0
	dkms_gives 3 mktarball hello/1.0 -k "$K1"
	dkms_gives 1 mktarball -k "$K1"
	dkms_gives 0 add hello/1.0
	dkms_gives 6 mktarball hello/1.0 -k "$K1"
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 6 mktarball hello/1.0 -k "$K1" -k "$K2"
	dkms_gives 8 mktarball hello/1.0 -k "$K1" --source-only --binaries-only
	gone $dir
	dkms_gives 0 mktarball hello/1.0 -k "$K1"
	there "$dir/hello-1.0-kernel$K1-$A.dkms.tar.gz"
	files_in "$dir/hello-1.0-kernel$K1-$A.dkms.tar.gz"
	expect out <<-END
	dkms_main_tree/$K1/$A/log/make.log
	dkms_main_tree/$K1/$A/module/hello.ko
	dkms_source_tree/dkms.conf
	dkms_source_tree/hello.c
	END
	tar -xOf "$root$dir/hello-1.0-kernel$K1-$A.dkms.tar.gz" \
		--wildcards "*dkms_main_tree/$K1/$A/log/make.log" | grep -q 'hello/1.0' ||
		fail 'the log is not in it'
	dkms_gives 0 build hello/1.0 -k "$K2"
	dkms_gives 0 mktarball hello/1.0 -k "$K1" -k "$K2"
	there "$dir/hello-1.0-kernel$K1-$A-kernel$K2-$A.dkms.tar.gz"
	rm "$root$dir"/*
	dkms_gives 0 mktarball hello/1.0 --all
	there "$dir/hello-1.0-kernel$K1-$A-kernel$K2-$A.dkms.tar.gz"
	dkms_gives 0 mktarball hello/1.0 --source-only
	there $dir/hello-1.0-source-only.dkms.tar.gz
	dkms_gives 0 mktarball hello/1.0 -k "$K1" --binaries-only --archive /root/b.tar.xz
	files_in /root/b.tar.xz
	expect out <<-END
	dkms_binaries_only/PACKAGE_NAME
	dkms_binaries_only/PACKAGE_VERSION
	dkms_binaries_only/dkms.conf
	dkms_main_tree/$K1/$A/log/make.log
	dkms_main_tree/$K1/$A/module/hello.ko
	END
	dkms_gives 0 mktarball hello/1.0 -k "$K1" --archive named.tar.gz
	there $dir/named.tar.gz
	dkms_gives 9 mktarball hello/1.0 -k "$K1" --archive /dev/null/x/y.tar.gz
}

# What was packed on one system is installed on another, without being built.
test_dkms_ldtarball()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 mktarball hello/1.0 -k "$K1" --archive /root/all.tar.gz
	dkms_gives 0 remove hello/1.0 --all
	rm -r "$root"/usr/src/hello-1.0
	dkms_gives 2 ldtarball --archive /root/none.tar.gz
	dkms_gives 2 ldtarball
	dkms_gives 0 ldtarball --archive /root/all.tar.gz
	status_is <<<"hello/1.0, $K1, $A: built"
	there /usr/src/hello-1.0/hello.c
	! ours || there "/var/lib/kmodpkg/builds/hello/1.0/$K1-$A.json"
	cp "$root/var/lib/dkms/hello/1.0/$K1/$A/module/hello.ko" "$T"/loaded
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	cmp "$T"/loaded "$root/lib/modules/$K1/updates/dkms/hello.ko" ||
		fail 'it was built anew'
	dkms_gives 8 ldtarball /root/all.tar.gz
	dkms_gives "$(want load-again 0 3)" ldtarball --force /root/all.tar.gz
	status_is <<<"hello/1.0, $K1, $A: installed"
}

# Builds that are there stay unless --force says otherwise.
test_dkms_ldtarball_keeps_builds()
{
	local file

	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 0 mktarball hello/1.0 -k "$K1" --archive /root/all.tar.gz
	file=$root/var/lib/dkms/hello/1.0/$K1/$A/module/hello.ko
	rm "$root"/var/lib/dkms/hello/1.0/source
	echo mine >"$file"
	dkms_gives 0 ldtarball /root/all.tar.gz
	[ -s "$T"/err ] || fail 'nothing is said about it'
	[ "$(cat "$file")" = mine ] || fail 'a build was replaced'
	dkms_gives "$(want load-again 0 3)" ldtarball /root/all.tar.gz --force
	! grep -qx mine "$file" || fail 'a build was not replaced'
}

# Without a source nothing could be said of binaries; their conf is enough.
test_dkms_ldtarball_binaries()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 build hello/1.0 -k "$K1"
	dkms_gives 0 mktarball hello/1.0 -k "$K1" --binaries-only --archive /root/b.tar.gz
	dkms_gives 0 remove hello/1.0 --all
	rm -r "$root"/usr/src/hello-1.0
	if differs binaries; then
		dkms_gives 1 ldtarball /root/b.tar.gz
		status_is </dev/null
		return 0
	fi
	dkms_gives 0 ldtarball /root/b.tar.gz
	status_is <<<"hello/1.0, $K1, $A: built"
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	dkms_gives 0 remove hello/1.0 --all
	status_is </dev/null
}

# Any archive with a dkms.conf in it, as from a forge.
test_dkms_add_archive()
{
	new_system
	tree_at "$T"/pack/hello-v1/src hello 1.0
	pack hello-v1
	dkms_gives 0 add /x.tar
	status_is <<<'hello/1.0: added'
	there /usr/src/hello-1.0/hello.c
	dkms_gives 3 ldtarball /x.tar
	rm "$T"/pack/hello-v1/src/dkms.conf
	pack hello-v1
	dkms_gives 3 ldtarball /x.tar
	mkdir -p "$T"/pack/dkms_main_tree
	pack dkms_main_tree
	dkms_gives 7 ldtarball /x.tar
	mkdir -p "$T"/pack/dkms_source_tree
	echo 'PACKAGE_NAME=../x' >"$T"/pack/dkms_source_tree/dkms.conf
	pack dkms_main_tree dkms_source_tree
	dkms_gives "$(want bad-archive 7 8)" ldtarball /x.tar
	echo no archive >"$root"/x.tar
	dkms_gives "$(want bad-archive 7 3)" ldtarball /x.tar
}

# refuses WHAT WORDS: nothing of /x.tar is taken, nothing of it left; what is said has these words.
refuses()
{
	dkms_gives 7 ldtarball /x.tar
	[ "$(wc -l <"$T"/err)" -eq 1 ] || fail "$1: more or less than a line: $(cat "$T"/err)"
	grep -q "archive: .*$2" "$T"/err || fail "$1: $(cat "$T"/err)"
	gone /etc/evil /usr/src/hello-1.0 /var/lib/dkms/hello
	[ "$(cat "$root"/etc/precious)" = mine ] || fail "$1: a file elsewhere was written"
	[ -z "$(ls "$root"/var/lib/kmodpkg/work 2>/dev/null)" ] || fail "$1: what was unpacked is left"
}

# append TRANSFORM FILE...: the same for what no file system holds.
append()
{
	tar -C "$T"/pack -rPf "$root"/x.tar --transform "$@"
}

# Each way that there is to write elsewhere, by the real command.
test_dkms_ldtarball_writes_nowhere_else()
{
	local src=$T/pack/src name deep

	ours_only || return 0
	new_system
	echo mine >"$root"/etc/precious
	rm -rf "$T"/pack
	tree_at "$src" hello 1.0
	echo evil >"$T"/pack/evil

	pack src
	append 's,^evil,/etc/evil,' evil
	refuses 'an absolute path' 'unsafe path'
	pack src
	append 's,^evil,src/../../../../../etc/evil,' evil
	refuses 'a way up' 'unsafe path'
	# A link, then a file through it.
	for name in /etc ../../../../../etc; do
		ln -sfn "$name" "$src"/l
		pack src
		append 's,^evil,src/l/evil,' evil
		refuses "a file through a link to $name" 'is a link to'
	done
	rm "$src"/l
	mkdir "$src"/d
	ln -s d "$src"/l
	pack src
	append 's,^evil,src/l/evil,' evil
	refuses 'a file through a link that stays' 'lies below a link'
	rm -r "$src"/l "$src"/d
	# A hard link to what lies elsewhere, then its new content.
	ln "$T"/pack/evil "$T"/pack/evil2
	for name in /etc/precious ../../../../etc/precious; do
		pack src
		append "flags=h;s,^evil\$,$name,;s,^evil2,src/h," evil evil2
		tar -tvf "$root"/x.tar -P | grep -q "link to $name" || fail "no hard link to $name"
		refuses "a hard link to $name" 'is a link to'
	done
	rm "$T"/pack/evil2
	mknod "$src"/device c 1 3
	pack src
	rm "$src"/device
	refuses 'a device' 'neither file nor directory'
	for name in $'new\nline' $'\e[2J' $'caf\351'; do
		echo >"$src/$name"
		pack src
		rm "$src/$name"
		refuses "the name $(printf %q "$name")" 'unsafe path'
	done
	deep=$(printf 'd/%.0s' {1..150})
	mkdir -p "$src/$deep"
	pack src
	rm -r "$src"/d
	refuses 'endless directories' 'unsafe path'
	truncate -s 1T "$src"/huge
	tar -C "$T"/pack -Scf "$root"/x.tar src
	rm "$src"/huge
	refuses 'a size that is only said' 'too large'
	# What is left of these is taken.
	chmod 6777 "$src"/hello.c
	pack src
	dkms_gives 0 ldtarball /x.tar
	[ "$(stat -c '%a %u:%g' "$root"/usr/src/hello-1.0/hello.c)" = '755 0:0' ] ||
		fail "a source of mode $(stat -c %a "$root"/usr/src/hello-1.0/hello.c)"
}

# DKMS leaves to tar what comes out of it.
test_dkms_ldtarball_is_not_led_astray()
{
	ours_only || return 0
	new_system
	tree_at "$T"/pack/src hello 1.0
	tar -C "$T"/pack -cf "$root"/x.tar --transform 's,^src/hello.c,../../../etc/evil,' src
	dkms_gives 7 add /x.tar
	gone /etc/evil
	ln -s /etc "$T"/pack/src/link
	pack src
	dkms_gives 7 add /x.tar
	rm "$T"/pack/src/link
	mkfifo "$T"/pack/src/pipe
	pack src
	dkms_gives 7 add /x.tar
	status_is </dev/null
	gone /usr/src/hello-1.0
	[ -z "$(ls "$root"/var/lib/kmodpkg/work 2>/dev/null)" ] || fail 'what was unpacked is left'
}

# Nor does a build come to lie where the tree has something else.
test_dkms_ldtarball_of_what_is_no_kernel()
{
	ours_only || return 0
	new_system
	tree_at "$T"/pack/dkms_source_tree hello 1.0
	mkdir -p "$T"/pack/dkms_main_tree/{source,build,"$K1"}/"$A"/module
	pack dkms_main_tree dkms_source_tree
	dkms_gives 0 ldtarball /x.tar
	grep -q '/dkms_main_tree/source of the archive is no kernel' "$T"/err || fail 'nothing is said about it'
	[ -L "$root"/var/lib/dkms/hello/1.0/source ] || fail 'the registration is no link'
	gone /usr/src/hello-1.0/"$A" /var/lib/dkms/hello/1.0/build
	status_is <<<"hello/1.0, $K1, $A: built"
}

test_dkms_generate_mok()
{
	new_system
	dkms_gives 0 generate_mok
	there /var/lib/dkms/mok.key /var/lib/dkms/mok.pub
	[ "$(stat -c %a "$root"/var/lib/dkms/mok.key)" = 600 ] || fail 'the key is not private'
	sha256sum "$root"/var/lib/dkms/mok.key >"$T"/sum
	dkms_gives 0 generate_mok
	sha256sum --quiet -c "$T"/sum || fail 'a key that was there was replaced'
}
