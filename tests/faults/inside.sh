#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in a root: makes the states from which operations start, and does one with a fault in it.
#
# usage: inside.sh prepare|kmodpkg|start-STATE	make a layer
#        inside.sh list OP HEAL			one run without a fault
#        inside.sh try OP HEAL NAME POINT KIND	one with it
#	OP	what the package manager is called for, see START in run
#	HEAL	sync: all that comes then is "kmodpkg sync"; next: another transaction
# MANAGER.sh beside this has what differs between package managers, MANAGER is in the environment.
#
# A run leaves in /run/out/NAME:
#	report	what fault(1) wrote
#	state	what the system is like in the end
#	log	what was said, for people
#	faults	what is wrong with it, nothing if all is well
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # for MANAGER.sh
PACKAGES=/srv/faults
KMODPKG_PROGRAM=$(command -v kmodpkg || true)
# shellcheck disable=SC2034
K1=6.1.0-1-faults K2=6.1.0-2-faults
# shellcheck source=/dev/null
. "$here/$MANAGER.sh"

# ---- what packages are made of

# compile NAME K VERSION OUT: all that a loader, and we, look at in a module.
compile()
{
	local n=0 info
	{
		for info in "name=$1" "vermagic=$2 SMP mod_unload " "version=$3" license=GPL; do
			printf 'static const char info%d[] __attribute__((used, section(".modinfo"), aligned(1))) = "%s";\n' \
				$((n++)) "$info"
		done
		echo 'int init_module(void) { return 0; }'
	} | gcc -x c -c -O1 -fno-pic -o "$4" -
}

# tree_image K DIR: the modules of a kernel, below DIR.
tree_image()
{
	mkdir -p "$2/kernel/fs"
	compile dummyfs "$1" 1 "$2/kernel/fs/dummyfs.ko"
	xz --check=crc32 "$2/kernel/fs/dummyfs.ko"
	echo kernel/fs/dummyfs.ko >"$2/modules.order"
	echo kernel/fs/other.ko >"$2/modules.builtin"
}

tree_headers()
{
	mkdir -p "$2"/include/{config,generated}
	echo 'all:' >"$2/Makefile"
	printf 'CONFIG_MODULES=y\nCONFIG_X86_64=y\nCONFIG_64BIT=y\n' >"$2/.config"
	cp "$2/.config" "$2/include/config/auto.conf"
	echo "$1" >"$2/include/config/kernel.release"
	echo "#define UTS_RELEASE \"$1\"" >"$2/include/generated/utsrelease.h"
	printf '0x00000000\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n' >"$2/Module.symvers"
}

# tree_source NAME VERSION DIR: a source of two modules. Its build puts names of the same length into what
# was compiled here, for a compiler takes longer than all the rest.
tree_source()
{
	local name=$1 dir=$3 make='' i=0 module
	mkdir -p "$dir"
	compile "${name}_x" ${K1/-?-/-x-} "$2" "$dir/object"
	for module in "${name}_a" "${name}_b"; do
		make+="${make:+; }sed 's/${name}_x/$module/; s/${K1/-?-/-x-}/\$kernelver/' object >$module.ko"
		printf '%s\n' "BUILT_MODULE_NAME[$i]=$module" "DEST_MODULE_LOCATION[$((i++))]=/updates/dkms"
	done >"$dir/dkms.conf"
	printf '%s\n' "PACKAGE_NAME=$name" "PACKAGE_VERSION=$2" AUTOINSTALL=yes "MAKE=\"$make\"" >>"$dir/dkms.conf"
}

# Instead of a generator, which takes seconds: an image has the names and sums of what there is to put into it, of
# ours what the generator is told to take. So the image of a kernel without it lacks nothing, and a mark has
# to know which module changed.
write_image_tool()
{
	mkdir -p /etc/initramfs-tools
	printf '%s\n' faults_a faults_b >>/etc/initramfs-tools/modules
	cat >"$1" <<-'END'
	#!/bin/bash
	# pad LENGTH: to a multiple of four
	pad()
	{
		head -c $((-$1 & 3)) /dev/zero
	}
	# member NAME CONTENT: of a cpio archive, newc
	member()
	{
		printf 070701
		printf %08x 1 $((0100644)) 0 0 1 0 ${#2} 0 0 0 0 $((${#1} + 1)) 0
		printf '%s\0' "$1"
		pad $((110 + ${#1} + 1))
		printf %s "$2"
		pad ${#2}
	}
	# make_image K FILE
	make_image()
	{
		local files file
		mapfile -t files < <(find /lib/modules/"$1"/ -name '*.ko*' ! -name 'next_*' | LC_ALL=C sort)
		{
			member init "$(sha256sum "${files[@]}"; grep -c dkms/faults "/lib/modules/$1/modules.dep")"
			for file in "${files[@]}"; do
				member "${file#/}" ''
			done
			member 'TRAILER!!!' ''
		} >"$2.new"
		mv "$2.new" "$2"
	}
	END
	cat >>"$1"
	chmod 755 "$1"
}

# Everything is there, and as DKMS leaves it: nobody's, known to depmod and in the initramfs.
make_start_dkms()
{
	make_start_all
	tar -cPf /tmp/kept /lib/modules/$K1/updates /var/lib/dkms /var/log/kmodpkg /boot/init*
	kmodpkg uninstall faults
	rm -rf /var/lib/kmodpkg /var/lib/dkms /var/log/kmodpkg
	tar -xPf /tmp/kept
	rm /tmp/kept
	depmod $K1
	touch /boot/init*
}

# ---- the end

# All that is left on the system that is ours or could be, without times and what tells of them; without
# what is remembered to save time, locks that nobody holds, that a sync is asked for, empty directories
# among our own, the scriptlet that librpm was about to run, and our lock file beside rpm's own, which stays too.
state()
{
	local file
	# They do no harm.
	find /var/lib/dkms /var/lib/kmodpkg /var/log/kmodpkg /run/kmodpkg -mindepth 1 -type d -empty -delete 2>/dev/null
	kmodpkg status --json | sed -E '/"(build_time|build_ms)"/d'
	rm -rf /var/lib/kmodpkg/{trees,confs,pairs,packages,images,owners.json}
	package_list
	{
		find /lib/modules/ /usr/src /boot /tmp /var/tmp /etc/kmodpkg /etc/dkms -printf '%M %U:%G %p -> %l\n'
		find /var/lib/dkms /var/lib/kmodpkg /var/log/kmodpkg /run/kmodpkg \
			-path /run/kmodpkg/build -prune -o \
			! -path /run/kmodpkg/request -printf '%M %U:%G %p -> %l\n'
		find /etc /usr/lib /usr/sbin /var -xdev -name '*kmodpkg*' ! -name .rpm.lock.kmodpkg -printf '%M %p\n'
		find / -xdev \( -name '.kp-*' -o -name '*.kmodpkg-*' \) -printf '%M %p\n'
	} 2>/dev/null | LC_ALL=C sort -u | grep -vE ' /(var/)?tmp/?( |$)| /usr/src/?( |$)| /var/tmp/rpm-tmp\.'
	cat /boot/init* | tr '\0' '\n'
	find /lib/modules/ /boot /var/lib/kmodpkg /var/lib/dkms -type f ! -name '*.log' \
		! -path '*/kmodpkg/builds/*' -exec sha256sum {} + 2>/dev/null | LC_ALL=C sort -k 2
	for file in /var/lib/kmodpkg/builds/*/*/*; do
		[ ! -f "$file" ] || sed -E "/\"(time|elapsed_ms)\"/d; s,^,$file: ," "$file"
	done
}

# Nothing of these depends on what was done.
find_faults()
{
	local file
	database_faults
	find /lib/modules/ -name '*.ko*' | while read -r file; do
		[ -n "$(owner_of "$file")" ] || echo "unowned: $file"
	done
	for file in /var/lib/kmodpkg/{queue,unsettled} /var/lib/kmodpkg/leave; do
		[ ! -e "$file" ] || echo "left: $(find "$file" -printf '%p ')"
	done
	kmodpkg status --json >/dev/null || echo "kmodpkg status fails"
	# What another sync would do, when all is well.
	kmodpkg sync --dry-run 2>&1 | grep -vE '^kmodpkg: nothing to do$|^$' | sed 's/^/to do: /'
}

# try OP HEAL NAME [POINT KIND]
try()
{
	local op=$1 heal=$2 out=/run/out/$3 point=("${@:4}") status
	mkdir -p "$out"
	{
		"op_command" "$op"
		echo "$ ${COMMAND[*]}"
		/run/faults/fault "$KMODPKG_PROGRAM" "$out/report" ${point[@]+"${point[@]}"} -- "${COMMAND[@]}"
		status=$?
		echo "[$status]"
		if [ "${point[1]:-}" = all ]; then
			# Who sees that a machine broke down.
			recover
			"${COMMAND[@]}"
			echo "[repeated: $?]"
		elif [ $status -ne 0 ]; then
			echo "the package manager's command ended with $status" >>"$out/faults"
		fi
		if [ "$heal" = next ]; then
			next_command
			echo "$ ${COMMAND[*]}"
			"${COMMAND[@]}" || echo "the next command ended with $?" >>"$out/faults"
		else
			echo '$ kmodpkg sync'
			kmodpkg sync || echo "kmodpkg sync ended with $?" >>"$out/faults"
		fi
		find_faults >>"$out/faults"
		state >"$out/state"
	} >"$out/log" 2>&1 </dev/null
	grep '^left ' "$out/report" >>"$out/faults"
	return 0
}

verb=$1
shift
case $verb in
list | try) try "$@" ;;
*)
	set -e
	"make_${verb//-/_}"
	;;
esac
