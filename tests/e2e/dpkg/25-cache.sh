# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What was built before is not built again. kmodpkg-multi has a recipe that can be kept, unlike
# kmodpkg-hello with its gate.

scenario cache kernel
cache()
{
	local first
	run apt-get install "$(source_deb kmodpkg-multi)"
	assert_output 'built kmodpkg-multi/1\.0'
	assert_modules "$K1" kmodpkg_core kmodpkg_extra kmodpkg_sub
	first=$(module_hashes "$K1")
	[ "$(stat -c %a /var/cache/kmodpkg)" = 700 ] || fail "the cache is open to others"

	# Removed and installed again: the headers alone, the source, the kernel.
	run apt-get remove "linux-headers-$K1"
	run apt-get install "linux-headers-$K1"
	assert_no_output 'built '
	run apt-get purge kmodpkg-multi
	assert_modules "$K1"
	run apt-get install "$(source_deb kmodpkg-multi)"
	assert_output 'took kmodpkg-multi/1\.0 for .* from the cache'
	assert_no_output 'building kmodpkg-multi'
	assert_output ' taken from the cache 1, '
	assert_no_output 'built [0-9]'
	[ "$(module_hashes "$K1")" = "$first" ] || fail "what the cache has is not what was built"
	run kmodpkg log kmodpkg-multi
	assert_output '^from the cache: '
	run apt-get purge "linux-image-$K1" "linux-headers-$K1"
	assert_kernel_gone "$K1"
	run apt-get install "linux-image-$K1" "linux-headers-$K1"
	assert_output 'took kmodpkg-multi/1\.0 for .* from the cache'
	[ "$(module_hashes "$K1")" = "$first" ] || fail "what the cache has is not what was built"
	assert_system

	# Another version, and back.
	run apt-get install "$(source_deb kmodpkg-multi 1.1)"
	assert_output 'built kmodpkg-multi/1\.1'
	run apt-get install --allow-downgrades "$(source_deb kmodpkg-multi)"
	assert_output 'took kmodpkg-multi/1\.0 for .* from the cache'
	[ "$(module_hashes "$K1")" = "$first" ] || fail "what the cache has is not what was built"
	run apt-get install "$(source_deb kmodpkg-multi 1.1)"
	assert_output 'took kmodpkg-multi/1\.1 for .* from the cache'

	# Who asks for a build gets one, with the same bytes.
	run apt-get install --allow-downgrades "$(source_deb kmodpkg-multi)"
	run kmodpkg build --force kmodpkg-multi/1.0 -k "$K1"
	assert_output 'built kmodpkg-multi/1\.0'
	run kmodpkg sync
	[ "$(module_hashes "$K1")" = "$first" ] || fail "a module that is built again has other bytes"
	run kmodpkg doctor -v
	assert_output '^cache: 2 builds, '
}

# A recipe whose modules are moved behind make, and whose make files include others by variables and patterns.
scenario cache_moved modules long
cache_moved()
{
	local first
	run apt-get install "linux-image-$K1" "linux-headers-$K1" xtables-addons-dkms
	assert_output 'built xtables-addons/'
	first=$(module_hashes "$K1")
	run apt-get purge xtables-addons-dkms
	assert_modules "$K1"
	run apt-get install xtables-addons-dkms
	assert_output 'took xtables-addons/.* from the cache'
	[ "$(module_hashes "$K1")" = "$first" ] || fail "what the cache has is not what was built"
}

# again: forget what was built for K1 and build it; the messages are the output.
again()
{
	rm -rf /var/lib/dkms/kmodpkg-multi/1.0/"$K1" /var/lib/kmodpkg/builds/kmodpkg-multi
	run kmodpkg build kmodpkg-multi/1.0 -k "$K1"
}

# Where something else would come out, the cache is of no use.
scenario cache_missed kernel long
cache_missed()
{
	local header autoconf gcc
	add_by_hand kmodpkg-multi
	again
	assert_output '^kmodpkg: built'
	again
	assert_output '^kmodpkg: took'
	# The content of a header, whatever the version of its package says.
	header=$(echo /usr/src/linux-headers-*-common)/include/linux/module.h
	echo '/* e2e */' >>"$header"
	again
	assert_output '^kmodpkg: built'
	again
	assert_output '^kmodpkg: took'
	autoconf=/usr/src/linux-headers-$K1/include/config/auto.conf
	[ ! -e "$autoconf" ] || echo '# e2e' >>"$autoconf"
	[ ! -e "/usr/src/linux-headers-$K1/.config" ] || echo '# e2e' >>"/usr/src/linux-headers-$K1/.config"
	again
	assert_output '^kmodpkg: built'
	# The compiler, as a new version of its package would leave it.
	gcc=$(readlink -f /usr/bin/gcc)
	cp "$gcc" "$gcc.e2e"
	printf x >>"$gcc.e2e"
	mv "$gcc.e2e" "$gcc"
	again
	assert_output '^kmodpkg: built'
	# An override of the administrator's.
	mkdir /etc/dkms
	# shellcheck disable=SC2016 # for dkms.conf
	echo 'MAKE[0]="make V=1 -C ${kernel_source_dir} M=${dkms_tree}/kmodpkg-multi/1.0/build modules"' \
		>/etc/dkms/kmodpkg-multi.conf
	again
	assert_output '^kmodpkg: built'
	rm -r /etc/dkms
	# A damaged entry is no harm.
	find /var/cache/kmodpkg -name '*.ko' -exec truncate -s 100 {} +
	again
	assert_output '^kmodpkg: built'
	rm -rf /var/cache/kmodpkg
	again
	assert_output '^kmodpkg: built'
	again
	assert_output '^kmodpkg: took'
	echo 'cache_size = 0' >/etc/kmodpkg/kmodpkg.conf.d/e2e.conf
	again
	assert_output '^kmodpkg: built'
	apt-get purge -y kmodpkg >/dev/null
	[ ! -e /var/cache/kmodpkg ] || fail "the cache is left behind"
	run apt-get install "$KMODPKG"
}
