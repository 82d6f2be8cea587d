# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2086 # K1 and the like are inside.sh's, and have no blanks
# What inside.sh needs of pacman. Sourced.

# pack TREE NAME VERSION [LINE...]
pack()
{
	/bin/bash /run/e2e/pacman/prepare-pack.sh "$2" "$3" "$1" $PACKAGES "${@:4}"
	rm -r "$1"
}

# package NAME VERSION
package()
{
	echo "$PACKAGES/$1-$2-any.pkg.tar.zst"
}

make_prepare()
{
	local k n=0 name v work=/tmp/work dir
	mkdir -p $PACKAGES
	for k in $K1 $K2; do
		n=$((n + 1))
		dir=$work/image/usr/lib/modules/$k
		mkdir -p "$dir"
		tree_image $k "$dir"
		echo linux >"$dir/pkgbase"
		echo $k >"$dir/vmlinuz"
		pack $work/image linux $n-1 'pkgbase = linux'
		tree_headers $k $work/headers/usr/lib/modules/$k/build
		pack $work/headers linux-headers $n-1 'pkgbase = linux'
	done
	for name in 'faults 1.0' 'faults 1.1' 'next 1.0'; do
		read -r name v <<<"$name"
		tree_source "$name" "$v" "$work/source/usr/src/$name-$v"
		pack $work/source "$name-source" "$v-1"
	done
	rm -r $work
	# In the place of the tests' own, which looks for other modules.
	write_image_tool /usr/bin/mkinitcpio <<-'END'
	for preset in /etc/mkinitcpio.d/${2:-*}.preset; do
		[ -e "$preset" ] || continue
		. "$preset"
		make_image "$(cat "${preset%.preset}.release")" "$default_image"
	done
	END
}

pac()
{
	pacman --noconfirm "$@"
}

make_kmodpkg()
{
	pac -U /run/packages/*
}

make_start_headers()
{
	pac -U "$(package linux 1-1)" "$(package linux-headers 1-1)"
}

make_start_source()
{
	pac -U "$(package linux 1-1)" "$(package faults-source 1.0-1)"
}

make_start_all()
{
	pac -U "$(package linux 1-1)" "$(package linux-headers 1-1)" "$(package faults-source 1.0-1)"
}

# The command of an operation, in COMMAND.
op_command()
{
	case $1 in
	install-source) COMMAND=(pacman --noconfirm -U "$(package faults-source 1.0-1)") ;;
	install-headers) COMMAND=(pacman --noconfirm -U "$(package linux-headers 1-1)") ;;
	upgrade-source) COMMAND=(pacman --noconfirm -U "$(package faults-source 1.1-1)") ;;
	upgrade-kernel) COMMAND=(pacman --noconfirm -U "$(package linux 2-1)" "$(package linux-headers 2-1)") ;;
	remove-source) COMMAND=(pacman --noconfirm -R faults-source) ;;
	remove-kernel) COMMAND=(pacman --noconfirm -R linux linux-headers) ;;
	esac
}

next_command()
{
	COMMAND=(pacman --noconfirm -U "$(package next-source 1.0-1)")
}

# What a person does whose pacman was killed, as it says itself.
recover()
{
	rm -f /var/lib/pacman/db.lck
}

package_list()
{
	pacman -Q | grep -E 'faults|next|linux|kmodpkg'
}

owner_of()
{
	pacman -Qoq "$1" 2>/dev/null
}

database_faults()
{
	local name
	pacman -Dk 2>&1 | grep -v '^No database errors have been found!$'
	find /var/lib/pacman -maxdepth 1 -name '*.lck' | sed 's/^/lock left: /'
	while read -r name; do
		pacman -Qkk "$name" 2>&1 | grep -vE ': [0-9]+ total files, 0 (missing|altered) files$' |
			sed "s/^/pacman -Qkk $name: /"
	done < <(pacman -Qq | grep -E 'faults|next|linux')
}
