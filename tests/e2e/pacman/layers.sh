# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The states from which scenarios start, each on top of the one before. Run inside a root by
# scenario.sh, the result is kept by root_layer.

# Nothing is to be fetched for kmodpkg.
layer_prepared()
{
	pacman -Dk
}

# kmodpkg is installed, there is no kernel and no source.
layer_kmodpkg()
{
	# shellcheck disable=SC2086 # one package, which has no space in its name
	pac -U $KMODPKG
}

# And the older kernel with its headers.
layer_kernel()
{
	repo_linux "$K1"
	pac -Sy linux linux-headers
	assert_system
	assert_modules "$K1"
}

# And kmodpkg-hello 1.0, built for it.
layer_hello()
{
	pac -U "$(source_file kmodpkg-hello)"
	assert_system
	assert_modules "$K1" kmodpkg_hello
}
