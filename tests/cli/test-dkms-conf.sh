# SPDX-License-Identifier: GPL-2.0-or-later
# What dkms.conf, its overrides and the directives say, as build and install take it.
# shellcheck shell=bash disable=SC2154,SC2034,SC2016

# What cannot be used: add, build and install refuse it. A line for each, or two.
test_dkms_conf_refused()
{
	local line n=0

	new_system
	while IFS= read -r line; do
		n=$((n + 1))
		new_module bad$n 1.0
		printf '%b\n' "$line" >>"$root/usr/src/bad$n-1.0/dkms.conf"
		dkms_gives 8 add bad$n/1.0
		dkms_gives 8 build bad$n/1.0 -k "$K1"
		dkms_gives 8 install bad$n/1.0 -k "$K1"
	done <<-'END'
	PACKAGE_NAME=
	PACKAGE_VERSION=
	DEST_MODULE_LOCATION=
	DEST_MODULE_LOCATION=/lib/modules
	BUILT_MODULE_NAME=bad.ko
	BUILT_MODULE_NAME=bad.o
	DEST_MODULE_NAME=bad.ko
	AUTOINSTALL=perhaps
	BUILD_DEPENDS_REBUILD=perhaps
	NO_WEAK_MODULES=perhaps
	BUILT_MODULE_NAME[1]=two
	BUILT_MODULE_NAME[2]=three\nDEST_MODULE_LOCATION[2]=/extra
	BUILT_MODULE_NAME[1]=$BUILT_MODULE_NAME\nDEST_MODULE_LOCATION[1]=/extra
	BUILT_MODULE_NAME[1]=b\nDEST_MODULE_LOCATION[1]=/extra\nDEST_MODULE_NAME=(x x)
	END
	status_is </dev/null
}

# Where a conf is at fault after the source was added, it stays added.
test_dkms_conf_goes_bad()
{
	new_system
	new_module hello 1.0
	dkms_gives 0 add hello/1.0
	echo 'DEST_MODULE_LOCATION=' >>"$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 8 build hello/1.0 -k "$K1"
	dkms_gives 8 install hello/1.0 -k "$K1"
	status_is <<<'hello/1.0: added'
}

test_dkms_conf_names_and_places()
{
	new_system
	new_module hello 1.0 'DEST_MODULE_NAME=renamed' 'BUILT_MODULE_LOCATION=sub/dir' \
		'MAKE="mkdir -p sub/dir && make -C $kernel_source_dir KERNELRELEASE=$kernelver M=$dkms_tree/hello/1.0/build && mv hello.ko sub/dir"'
	dkms_gives 0 install hello/1.0 -k "$K1"
	built_files hello 1.0 "$K1" <<<'renamed.ko'
	installed renamed "$K1" hello
	not_installed hello "$K1"
	# One module's name need not be said, nor yes and no as they are spelled here.
	new_module other 1.0 'AUTOINSTALL=YES'
	sed -i /BUILT_MODULE_NAME/d "$root"/usr/src/other-1.0/dkms.conf
	# A file from elsewhere.
	sed -i 's/$/\r/' "$root"/usr/src/other-1.0/dkms.conf
	dkms_gives 0 install other/1.0 -k "$K1"
	installed other "$K1"
}

two_modules()
{
	new_module pair 1.0 'BUILT_MODULE_NAME=(pair second)' \
		'DEST_MODULE_LOCATION=(/kernel/drivers/net /extra)' "$@"
	sed s/pair/second/ "$root"/usr/src/pair-1.0/pair.c >"$root"/usr/src/pair-1.0/second.c
}

test_dkms_conf_several_modules()
{
	new_system
	two_modules
	dkms_gives 0 install pair/1.0 -k "$K1"
	status_is <<<"pair/1.0, $K1, $A: installed"
	built_files pair 1.0 "$K1" <<-END
	pair.ko
	second.ko
	END
	installed pair "$K1"
	installed second "$K1" pair
	dkms_gives 0 remove pair/1.0 --all
	not_installed pair "$K1"
	not_installed second "$K1"
	gone "/lib/modules/$K1/updates"
}

# A module of several is excluded by its own index, all of them by the first.
test_dkms_conf_exclusive_by_index()
{
	new_system
	two_modules 'BUILD_EXCLUSIVE_KERNEL[1]="^6\.1\.0-2"'
	dkms_gives 0 install pair/1.0 -k "$K1" -k "$K2"
	if ! differs exclusive-by-index; then
		built_files pair 1.0 "$K1" <<<'pair.ko'
		not_installed second "$K1"
	fi
	installed pair "$K1"
	installed second "$K2" pair
	dkms_gives 0 remove pair/1.0 --all
	sed -i 's/^BUILD_EXCLUSIVE_KERNEL.1./BUILD_EXCLUSIVE_KERNEL[0]/' \
		"$root"/usr/src/pair-1.0/dkms.conf
	dkms_gives 77 install pair/1.0 -k "$K1"
	dkms_gives 0 install pair/1.0 -k "$K2"
	installed second "$K2" pair
}

# Each with what makes it hold and what does not.
test_dkms_conf_exclusive()
{
	local wanted line n=0

	new_system
	echo CONFIG_M=m >>"$root/usr/src/linux-headers-$K1"/.config
	while read -r wanted line; do
		n=$((n + 1))
		new_module only$n 1.0 "$line"
		dkms_gives "$wanted" build only$n/1.0 -k "$K1"
	done <<-END
	0 BUILD_EXCLUSIVE_KERNEL="0-1-t"
	77 BUILD_EXCLUSIVE_KERNEL="^0-1-t"
	0 BUILD_EXCLUSIVE_KERNEL="^(5|6)\.[0-9]+"
	0 BUILD_EXCLUSIVE_ARCH="$A|other"
	77 BUILD_EXCLUSIVE_ARCH=other
	0 BUILD_EXCLUSIVE_KERNEL_MIN=6.1
	0 BUILD_EXCLUSIVE_KERNEL_MIN=5.19.10
	77 BUILD_EXCLUSIVE_KERNEL_MIN=6.10
	77 BUILD_EXCLUSIVE_KERNEL_MAX=6.1
	77 BUILD_EXCLUSIVE_KERNEL_MAX=6.0.9
	0 BUILD_EXCLUSIVE_KERNEL_MAX=6.2
	0 BUILD_EXCLUSIVE_KERNEL_MAX=$K1
	0 BUILD_EXCLUSIVE_CONFIG="CONFIG_64BIT CONFIG_M"
	77 BUILD_EXCLUSIVE_CONFIG="CONFIG_64BIT CONFIG_N"
	0 BUILD_EXCLUSIVE_CONFIG="!CONFIG_N"
	77 BUILD_EXCLUSIVE_CONFIG="!CONFIG_M"
	77 OBSOLETE_BY=6.0
	0 OBSOLETE_BY=6.2
	END
	# Another kernel's configuration, named.
	new_module other 1.0 'BUILD_EXCLUSIVE_CONFIG=CONFIG_N'
	echo CONFIG_N=y >"$root"/tmp/config
	dkms_gives 77 build other/1.0 -k "$K1"
	dkms_gives 0 build other/1.0 -k "$K1" --config=/tmp/config
}

# The recipe: which one, and with what in front.
test_dkms_conf_make()
{
	local made='"make -C $kernel_source_dir M=$dkms_tree/$PACKAGE_NAME/1.0/build; echo'

	new_system
	new_module plain 1.0 "MAKE=$made zero >which\""
	new_module match 1.0 "MAKE=$made zero >which\"" "MAKE[1]=$made one >which\"" \
		"MAKE_MATCH[1]='0-1'" "MAKE[2]=$made two >which\"" "MAKE_MATCH[2]='^6'" \
		"MAKE[3]=$made three >which\""
	new_module first 1.0 "MAKE=$made zero >which\"" 'MAKE_MATCH[0]=5.4'
	for m in plain match first; do
		sed -i '/^PACKAGE_VERSION/a POST_BUILD=look.sh' "$root/usr/src/$m-1.0/dkms.conf"
		new_script "/usr/src/$m-1.0/look.sh" 'cat which 2>/dev/null || echo none'
	done
	made_by()
	{
		dkms_gives 0 build "$1"/1.0 -k "$2"
		log_says "$1" 1.0 "$2" "$3"
	}
	made_by plain "$K1" zero
	made_by match "$K1" two
	sed -i 's/\^6/5/' "$root"/usr/src/match-1.0/dkms.conf
	made_by match "$K2" zero
	dkms_gives 0 unbuild match/1.0 -k "$K1"
	made_by match "$K1" one
	made_by first "$K1" none
}

# KERNELRELEASE is make's, unless it is spelled so that it is not meant.
test_dkms_conf_make_arguments()
{
	local m

	new_system
	for m in with without; do
		new_module $m 1.0 'MAKE="make -f own.mk R=$kernelver"'
		printf '%s\n' all: $'\techo release=$(KERNELRELEASE).' $'\t./build.sh $(R)' \
			>"$root/usr/src/$m-1.0"/own.mk
		new_script "/usr/src/$m-1.0/build.sh" "gcc -c -DRELEASE=\"\\\"\$1\\\"\" -o $m.ko $m.c"
	done
	sed -i "s/\"make/\"'make'/" "$root"/usr/src/without-1.0/dkms.conf
	dkms_gives 0 build with/1.0 -k "$K1"
	log_says with 1.0 "$K1" "release=$K1."
	dkms_gives 0 build without/1.0 -k "$K1"
	log_says without 1.0 "$K1" release=.
}

# A kernel that clang made wants LLVM=1, in a recipe of one's own too.
test_dkms_conf_llvm()
{
	new_system
	ln -sf gcc "$root"/usr/bin/clang
	echo CONFIG_CC_IS_CLANG=y >>"$root/usr/src/linux-headers-$K1"/.config
	new_module hello 1.0 'MAKE="./build.sh $kernelver"' STRIP=no
	new_script /usr/src/hello-1.0/build.sh 'echo "arguments: $*."' \
		'gcc -c -DRELEASE="\"$1\"" -o hello.ko hello.c'
	dkms_gives 0 build hello/1.0 -k "$K1"
	log_says hello 1.0 "$K1" "arguments: $K1 LLVM=1."
	dkms_gives 0 build hello/1.0 -k "$K2"
	log_says hello 1.0 "$K2" "arguments: $K2."
}

# patch_to FILE OLD NEW: a patch of the file "which".
patch_to()
{
	mkdir -p "$root${1%/*}"
	printf '%s\n' '--- a/which' '+++ b/which' '@@ -1 +1 @@' "-$2" "+$3" >"$root$1"
}

test_dkms_conf_patches()
{
	local patches=/usr/src/hello-1.0/patches

	new_system
	new_module hello 1.0 'PATCH=(first.patch second.patch third.patch)' \
		'PATCH_MATCH[1]="0-1-t"' 'PATCH_MATCH[2]="^5"' 'POST_BUILD=look.sh'
	echo zero >"$root"/usr/src/hello-1.0/which
	new_script /usr/src/hello-1.0/look.sh 'echo "which: $(cat which)"'
	patch_to $patches/first.patch zero one
	patch_to $patches/second.patch one two
	dkms_gives 0 build hello/1.0 -k "$K1" -k "$K2"
	log_says hello 1.0 "$K1" 'which: two'
	log_says hello 1.0 "$K2" 'which: one'
	[ "$(cat "$root"/usr/src/hello-1.0/which)" = zero ] || fail 'the source itself was patched'
	sed -i 's,second.patch,../which,' "$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 5 build hello/1.0 -k "$K1" --force
	sed -i 's,../which,second.patch,' "$root"/usr/src/hello-1.0/dkms.conf
	# The administrator's lie over the source's.
	differs patches-overlay && return 0
	patch_to /etc/dkms/hello/patches/second.patch one mine
	dkms_gives 0 build hello/1.0 -k "$K1" --force
	log_says hello 1.0 "$K1" 'which: mine'
}

# Debugging information goes, unless that is wished otherwise, for each or for all.
test_dkms_conf_strip()
{
	local line wanted n=0

	new_system
	while read -r wanted line; do
		n=$((n + 1))
		new_module strip$n 1.0 "$line" 'MAKE="./build.sh $kernelver"'
		new_script /usr/src/strip$n-1.0/build.sh \
			"gcc -g -c -DRELEASE=\"\\\"\$1\\\"\" -o strip$n.ko strip$n.c"
		dkms_gives 0 build strip$n/1.0 -k "$K1"
		readelf -S "$root/var/lib/dkms/strip$n/1.0/$K1/$A/module/strip$n.ko" |
			grep -q debug_info && line=yes || line=no
		[ "$line" = "$wanted" ] || fail "strip$n.ko, with debugging information: $line"
	done <<-END
	no
	no STRIP=yes
	yes STRIP=no
	yes STRIP[0]=n
	no STRIP=Y
	END
}

# It was run before the build once.
test_dkms_conf_clean()
{
	new_system
	new_module hello 1.0 'CLEAN="exit 3"' 'REMAKE_INITRD=yes' 'MODULES_CONF=x'
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
}

# From the general to the special; each of these is read after what it overrides.
test_dkms_conf_overrides()
{
	local file

	new_system
	new_module hello 1.0
	for file in hello hello-1.0 "hello-1.0-$K1" "hello-1.0-$K1-$A"; do
		echo "DEST_MODULE_NAME=by_${file//[^a-z0-9]/_}" >"$root/etc/dkms/$file.conf"
		dkms_gives 0 build hello/1.0 -k "$K1" --force
		built_files hello 1.0 "$K1" <<<"by_${file//[^a-z0-9]/_}.ko"
	done
	dkms_gives 0 build hello/1.0 -k "$K2"
	built_files hello 1.0 "$K2" <<<'by_hello_1_0.ko'
	dkms_gives 0 build hello/1.0 -k "$K1" --force --directive=DEST_MODULE_NAME=named \
		--directive PACKAGE_VERSION=1.0
	built_files hello 1.0 "$K1" <<<'named.ko'
	dkms_gives 77 build hello/1.0 -k "$K2" --force --directive BUILD_EXCLUSIVE_KERNEL=^5
}

# What a conf can refer to, also in values that the shell does not expand when it reads them.
test_dkms_conf_variables()
{
	new_system
	new_module hello 1.0 'seen="$kernelver,$arch,$kernel_source_dir,$dkms_tree,$source_tree"' \
		'PRE_BUILD="look.sh $seen"' "BUILT_MODULE_NAME='\${PACKAGE_NAME}'"
	new_script /usr/src/hello-1.0/look.sh 'echo "seen: $*"'
	dkms_gives 0 build hello/1.0 -k "$K1"
	# On a merged /usr both are the same.
	log_says hello 1.0 "$K1" \
		"seen: $K1,$A,(/usr)?/lib/modules/$K1/build,/var/lib/dkms,/usr/src"
}

# A conf that needs a shell.
test_dkms_conf_of_shell()
{
	new_system
	new_module hello 1.0 'if [ "${kernelver%%-*}" = 6.1.0 ]; then' \
		'DEST_MODULE_NAME=$(echo shell)' 'fi' 'case $arch in *) AUTOINSTALL=no ;; esac'
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed shell "$K1" hello
}

# Nothing to build is little to do.
test_dkms_conf_no_modules()
{
	new_system
	mkdir "$root"/usr/src/nothing-1.0
	printf '%s\n' PACKAGE_NAME=nothing PACKAGE_VERSION=1.0 >"$root"/usr/src/nothing-1.0/dkms.conf
	touch "$root"/usr/src/nothing-1.0/{a,b}
	dkms_gives 0 add nothing/1.0
	dkms_gives 0 install nothing/1.0 -k "$K1"
}
