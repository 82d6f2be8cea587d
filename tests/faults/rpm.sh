# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2086 # K1 and the like are inside.sh's, and have no blanks
# What inside.sh needs of rpm. Sourced.

# As Fedora has them, and as a version can be.
K1=6.1.0-1.x86_64 K2=6.1.0-2.x86_64

# pack TREE NAME VERSION RELEASE ARCH [LINE...]
pack()
{
	/bin/bash /run/e2e/rpm/pack $PACKAGES "$@"
	rm -r "$1"
}

make_prepare()
{
	local k release name v work=/tmp/work
	mkdir -p $PACKAGES $work
	for k in $K1 $K2; do
		release=${k#*-}
		release=${release%.*}
		tree_image $k $work/core/lib/modules/$k
		echo $k >$work/core/lib/modules/$k/vmlinuz
		ln -s /usr/src/kernels/$k $work/core/lib/modules/$k/build
		pack $work/core kernel-core 6.1.0 "$release" x86_64 \
			"Provides: kernel-uname-r = $k" 'Provides: installonlypkg(kernel)' \
			'%posttrans' "dracut --force /boot/initramfs-$k.img $k" \
			'%preun' "rm -f /boot/initramfs-$k.img /lib/modules/$k/modules.*[!rn]" \
			'%postun' "rm -f /lib/modules/$k/modules.*; rmdir /lib/modules/$k 2>/dev/null || :"
		tree_headers $k $work/devel/usr/src/kernels/$k
		pack $work/devel kernel-devel 6.1.0 "$release" x86_64 \
			"Provides: kernel-devel-uname-r = $k" 'Provides: installonlypkg(kernel)'
	done
	for name in 'faults 1.0' 'faults 1.1' 'next 1.0'; do
		read -r name v <<<"$name"
		tree_source "$name" "$v" "$work/source/usr/src/$name-$v"
		pack $work/source "$name-source" "$v" 1 noarch
	done
	rmdir $work
	write_image_tool "$(command -v dracut)" <<-'END'
	make_image "${!#}" "${@: -2:1}"
	END
}

kernel()
{
	local k
	for k; do
		echo "$PACKAGES/kernel-core-$k.rpm"
	done
}

headers()
{
	echo "$PACKAGES/kernel-devel-$1.rpm"
}

# source_file NAME VERSION
source_file()
{
	echo "$PACKAGES/$1-source-$2-1.noarch.rpm"
}

make_kmodpkg()
{
	rpm -i /run/packages/*
}

make_start_headers()
{
	rpm -i "$(kernel $K1)" "$(headers $K1)"
}

make_start_source()
{
	rpm -i "$(kernel $K1)" "$(source_file faults 1.0)"
}

make_start_all()
{
	rpm -i "$(kernel $K1)" "$(headers $K1)" "$(source_file faults 1.0)"
}

# The command of an operation, in COMMAND.
op_command()
{
	case $1 in
	install-source) COMMAND=(rpm -U "$(source_file faults 1.0)") ;;
	install-headers) COMMAND=(rpm -i "$(headers $K1)") ;;
	upgrade-source) COMMAND=(rpm -U "$(source_file faults 1.1)") ;;
	upgrade-kernel) COMMAND=(rpm -i "$(kernel $K2)" "$(headers $K2)") ;;
	remove-source) COMMAND=(rpm -e faults-source) ;;
	remove-kernel) COMMAND=(rpm -e "kernel-core-$K1" "kernel-devel-$K1") ;;
	esac
}

next_command()
{
	COMMAND=(rpm -U "$(source_file next 1.0)")
}

# What a person does whose rpm was killed: has it done once more what was done already, which also
# removes the older version that an upgrade left, or removes what was not.
recover()
{
	local name given=("${COMMAND[@]:2}")
	case ${COMMAND[1]} in
	-e)
		COMMAND=(rpm -e)
		for name in "${given[@]}"; do
			! rpm -q "$name" || COMMAND+=("$name")
		done
		;;
	*) COMMAND+=(--replacepkgs) ;;
	esac
}

package_list()
{
	rpm -qa --qf '%{NEVRA} %{VENDOR}\n' '*faults*' '*next*' 'kernel-*' kmodpkg | LC_ALL=C sort
}

owner_of()
{
	rpm -qf "$1" 2>/dev/null
}

database_faults()
{
	local name
	rpm --verifydb 2>&1
	rpm -Va --nofiles 2>&1 | sed 's/^/rpm -Va --nofiles: /'
	rpm -qa --qf '%{NAME}\n' | grep -v '^kernel-' | sort | uniq -d | sed 's/^/twice: /'
	while read -r name; do
		rpm -V "$name" 2>&1 | sed "s/^/rpm -V $name: /"
	done < <(rpm -qa '*faults*' '*next*' 'kernel-*')
}
