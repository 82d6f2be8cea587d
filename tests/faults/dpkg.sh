# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2086,SC2206 # K1 and the like are inside.sh's, and have no blanks
# What inside.sh needs of dpkg. Sourced.

deb()
{
	echo "$PACKAGES/${1}_${2}_all.deb"
}

# pack NAME VERSION TREE [SCRIPT TEXT]...: make a package of a tree.
pack()
{
	local name=$1 version=$2 tree=$3
	shift 3
	mkdir "$tree/DEBIAN"
	printf '%s\n' "Package: $name" "Version: $version" 'Architecture: all' \
		'Maintainer: kmodpkg tests <root@localhost>' 'Description: for tests' >"$tree/DEBIAN/control"
	(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0r md5sum >DEBIAN/md5sums)
	while [ $# -gt 0 ]; do
		printf '#!/bin/sh\nset -e\n%s\n' "$2" >"$tree/DEBIAN/$1"
		chmod 755 "$tree/DEBIAN/$1"
		shift 2
	done
	dpkg-deb --root-owner-group -Znone -b "$tree" $PACKAGES >/dev/null
	rm -r "$tree"
}

# As Debian's kernels do.
run_parts()
{
	echo "run-parts --report --exit-on-error --arg=$1 --arg=/boot/vmlinuz-$1 /etc/kernel/$2.d"
}

make_prepare()
{
	local k v work=/tmp/work name
	mkdir -p $PACKAGES $work
	for k in $K1 $K2; do
		tree_image $k $work/image/lib/modules/$k
		mkdir $work/image/boot
		echo $k >$work/image/boot/vmlinuz-$k
		pack linux-image-$k 1 $work/image postinst "$(run_parts $k postinst)" \
			postrm "$(run_parts $k postrm)
case \$1 in remove | purge) rm -f /lib/modules/$k/modules.* ;; esac"
		tree_headers $k $work/headers/usr/src/linux-headers-$k
		mkdir -p $work/headers/lib/modules/$k
		ln -s /usr/src/linux-headers-$k $work/headers/lib/modules/$k/build
		pack linux-headers-$k 1 $work/headers
	done
	for name in 'faults 1.0' 'faults 1.1' 'next 1.0'; do
		read -r name v <<<"$name"
		tree_source "$name" "$v" "$work/source/usr/src/$name-$v"
		pack "$name-source" "$v" $work/source
	done
	# As our own postinst does; that one brings another file for our program, which is not looked at then.
	mkdir $work/adopt
	pack faults-adopt 1 $work/adopt postinst 'kmodpkg adopt --if-backend dpkg || kmodpkg sync --if-backend dpkg || :'
	rmdir $work
	dpkg-divert --rename --add /usr/sbin/update-initramfs
	write_image_tool /usr/sbin/update-initramfs <<-'END'
	while getopts cudk:b: opt; do
		case $opt in
		k) k=$OPTARG ;;
		b) ;;
		*) mode=$opt ;;
		esac
	done
	[ -n "$k" ] || exit 0
	if [ $mode = d ]; then rm -f "/boot/initrd.img-$k"; else make_image "$k" "/boot/initrd.img-$k"; fi
	END
}

make_kmodpkg()
{
	apt-get install /run/packages/*
}

make_start_headers()
{
	dpkg -i "$(deb linux-image-$K1 1)" "$(deb linux-headers-$K1 1)"
}

make_start_source()
{
	dpkg -i "$(deb linux-image-$K1 1)" "$(deb faults-source 1.0)"
}

make_start_all()
{
	dpkg -i "$(deb linux-image-$K1 1)" "$(deb linux-headers-$K1 1)" "$(deb faults-source 1.0)"
}

# The command of an operation, in COMMAND.
op_command()
{
	case $1 in
	install-source) COMMAND=(dpkg -i "$(deb faults-source 1.0)") ;;
	install-headers) COMMAND=(dpkg -i "$(deb linux-headers-$K1 1)") ;;
	upgrade-source) COMMAND=(dpkg -i "$(deb faults-source 1.1)") ;;
	upgrade-kernel) COMMAND=(dpkg -i "$(deb linux-image-$K2 1)" "$(deb linux-headers-$K2 1)") ;;
	remove-source) COMMAND=(dpkg -P faults-source) ;;
	remove-kernel) COMMAND=(dpkg -P linux-image-$K1 linux-headers-$K1) ;;
	adopt) COMMAND=(dpkg -i "$(deb faults-adopt 1)") ;;
	esac
}

next_command()
{
	COMMAND=(dpkg -i "$(deb next-source 1.0)")
}

# What a person does whose dpkg was killed.
recover()
{
	dpkg --configure -a
}

package_list()
{
	dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev} ${Maintainer}\n' | grep -E 'faults|next|kmodpkg'
}

owner_of()
{
	dpkg-query -S "$1" 2>/dev/null || dpkg-query -S "/usr$1" 2>/dev/null
}

database_faults()
{
	local name
	dpkg --audit 2>&1
	dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' | grep -vE '^[ih]i |^rc ' | sed 's/^/bad state: /'
	while read -r name; do
		dpkg -V "$name" 2>&1 | sed "s/^/dpkg -V $name: /"
	done < <(dpkg-query -W -f '${Package}\n' '*faults*' 'next*')
	find /var/lib/dpkg/updates /var/lib/dpkg/info -name '*.new' -o -path '*/updates/*' -type f
}
