# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The states from which scenarios start, each on top of the one before. Run inside a root by
# scenario.sh, the result is kept by root_layer.

# As bootstrapped, and kmodpkg can be installed without a network. The only layer made with one.
layer_prepared()
{
	run apt-get install --download-only "$KMODPKG"
}

# kmodpkg is installed, there is no kernel and no source.
layer_kmodpkg()
{
	run apt-get install "$KMODPKG"
}

# And the older kernel with its headers.
layer_kernel()
{
	run apt-get install "linux-image-$K1" "linux-headers-$K1"
	assert_system
	assert_modules "$K1"
}

# And kmodpkg-hello 1.0, built for it.
layer_hello()
{
	run apt-get install "$(source_deb kmodpkg-hello)"
	assert_system
	assert_modules "$K1" kmodpkg_hello
}
