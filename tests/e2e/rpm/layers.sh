# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The states from which scenarios start, each on top of the one before. Run inside a root by
# scenario.sh, the result is kept by root_layer.

# As prepared, with packages of the module sources.
layer_prepared()
{
	local deb
	for deb in "$DEBS"/kmodpkg-*_all.deb; do
		run pack_source "$deb"
	done
	run createrepo_c -q --update "$RPMS"
}

# kmodpkg is installed, there is no kernel and no source.
layer_kmodpkg()
{
	run rpm -i "${KMODPKG_RPMS[@]}"
}

# And the older kernel with its headers.
layer_kernel()
{
	# shellcheck disable=SC2046
	run rpm -i $(kernel_rpms "$K1")
	assert_system
	assert_modules "$K1"
}

# And kmodpkg-hello 1.0, built for it.
layer_hello()
{
	run rpm -i "$(source_rpm kmodpkg-hello)"
	assert_system
	assert_modules "$K1" kmodpkg_hello
}
