# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What makes builds faster changes nothing: the modules are the same without it.

# Sources of Debian's module packages, or of the packages that are given as files, without the packages. Prints NAME/VERSION of each.
unpack_sources()
{
	local package dir source name
	for package; do
		dir=$(mktemp -d)
		[ -e "$package" ] || package=$(find /var/cache/apt/archives -name "${package}_*.deb")
		dpkg-deb -x "$package" "$dir"
		# Whoever reads the names goes there at once.
		cp -r "$dir/usr/src/." /usr/src/
		for source in "$dir"/usr/src/*/dkms.conf; do
			source=$(basename "$(dirname "$source")")
			# A version begins with a digit and may have hyphens.
			name=${source%%-[0-9]*}
			echo "$name/${source#"$name"-}"
		done
		rm -r "$dir"
	done
}

# build_as NAME K SOURCE [SETTING]...: build it, and keep in /tmp/NAME what is published and what the
# build left: objects, generated files, what kbuild recorded of each command (-v keeps it).
build_as()
{
	local name=$1 k=$2 source=$3 m=${3%/*} v=${3#*/}
	shift 3
	printf '%s\n' "$@" >/etc/kmodpkg/kmodpkg.conf.d/same.conf
	rm -rf "/tmp/$name"
	mkdir "/tmp/$name"
	run kmodpkg -v build -f -k "$k" "$source"
	mv "/var/lib/kmodpkg/work/$m-$v-$k-x86_64/build" "/tmp/$name/build"
	cp -r "/var/lib/dkms/$m/$v/$k/x86_64/module" "/tmp/$name/module"
	find "/tmp/$name/module" -name '*.xz' -exec unxz {} +
	grep -q . < <(find "/tmp/$name/module" -name '*.ko') || fail "$source has no module"
}

# The same bytes, but for what holds the time of day.
assert_same_files()
{
	diff -rq --no-dereference -x '*.log' -x '.tmp_*' "/tmp/$1" "/tmp/$2" ||
		fail "$3 differs between $1 and $2"
}

# describe KO: its sections' contents, symbols, relocations; the build id is a hash of what strip
# removed, too.
describe()
{
	cp "$1" /tmp/ko
	strip -g /tmp/ko
	objdump -s /tmp/ko | sed -e 1,2d |
		awk '/^Contents of section / { skip = $4 == ".note.gnu.build-id:" } !skip'
	readelf -SW /tmp/ko | sed -nE 's/^ *\[ *[0-9]+\] //p' | awk '{ print $1, $2, $5, $7 }'
	readelf -sW /tmp/ko
	readelf -rW /tmp/ko
}

assert_same_code()
{
	local ko
	while read -r ko; do
		diff <(describe "/tmp/$1/module/$ko") <(describe "/tmp/$2/module/$ko") | head -n 20 |
			grep . && fail "$ko of $3 differs between $1 and $2"
	done < <(cd "/tmp/$1/module" && find . -name '*.ko')
	true
}

# same_modules K PACKAGE...
same_modules()
{
	local k=$1 source answers=/var/lib/kmodpkg/probes
	shift
	run apt-get install "linux-headers-$k"
	while read -r source; do
		run kmodpkg add "$source"
		build_as asked "$k" "$source" 'probe_answers = no'
		rm -rf $answers
		build_as learnt "$k" "$source"
		assert_output 'asked compilers [1-9][0-9]* questions'
		build_as answered "$k" "$source"
		assert_no_output 'asked compilers [1-9]'
		[ "$(cat $answers/*gcc* | wc -c)" -gt 10000 ] || fail "no answers are remembered"
		assert_same_files asked learnt "$source"
		assert_same_files asked answered "$source"
		build_as debug "$k" "$source" 'debug_info = yes'
		grep -q '\.debug_info' < <(find /tmp/debug/module -name '*.ko' -exec readelf -SW {} +) ||
			fail "debug information is not kept"
		assert_same_code asked debug "$source"
		run kmodpkg remove "$source"
		rm -rf "/usr/src/${source/\//-}" /var/lib/kmodpkg/work
	done < <(unpack_sources "$@")
	rm /etc/kmodpkg/kmodpkg.conf.d/same.conf
}

# With one that exports symbols.
scenario same_modules_own kernel
same_modules_own()
{
	same_modules "$K1" "$(source_deb kmodpkg-multi)"
	# Where modules get BTF, which is made of debug information, all headers are needed.
	[ -e "/lib/modules/$K1/build/vmlinux" ] ||
		[ -n "$(find /var/lib/kmodpkg/probes -name "*.h")" ] || fail "no headers are remembered"
}

scenario same_modules_one kernel
same_modules_one()
{
	same_modules "$K1" acpi-call-dkms
}

# All that build for bookworm, but for zfs and openafs, which take longer than all others together.
scenario same_modules_small modules long
same_modules_small()
{
	# For ./configure of ipt-netflow; the packages of sources are only unpacked.
	run apt-get install libxtables-dev pkg-config
	same_modules "$K1" adv-17v35x-dkms apfs-dkms bbswitch-dkms broadcom-sta-dkms dm-writeboost-dkms \
		dpdk-kmods-dkms falcosecurity-scap-dkms gost-crypto-dkms iptables-netflow-dkms langford-dkms \
		lime-forensics-dkms nat-rtsp-dkms openvpn-dco-dkms r8125-dkms r8168-dkms rapiddisk-dkms \
		rtpengine-kernel-dkms tp-smapi-dkms vpoll-dkms xtrx-dkms
}

scenario same_modules_large modules long
same_modules_large()
{
	same_modules "$K1" jool-dkms xtables-addons-dkms nvidia-kernel-dkms
}

scenario same_modules_full modules long
same_modules_full()
{
	same_modules "$KFULL" ddcci-dkms digimend-dkms evdi-dkms v4l2loopback-dkms dahdi-dkms
}
