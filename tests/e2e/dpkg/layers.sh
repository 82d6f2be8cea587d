# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The states from which scenarios start, each on top of the one before. Run inside a root by
# scenario.sh, the result is kept by root_layer.

# As bootstrapped, and kmodpkg and some of Debian's module packages can be installed without a
# network; this layer is made with one.
layer_prepared()
{
	run apt-get install --download-only "$KMODPKG"
	run apt-get install --download-only "${DKMS_PACKAGES[@]}" v4l2loopback-dkms openssl mokutil \
		"${TOKEN_PACKAGES[@]}" "${UKI_PACKAGES[@]}"
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

# kmodpkg is installed, and all module packages that can be expected to build for the release's
# kernel can be; made with a network. The mirror is the one that the root has been made from.
layer_modules()
{
	sed 's/ main$/ contrib non-free non-free-firmware/' /etc/apt/sources.list \
		>/etc/apt/sources.list.d/e2e-more.list
	run apt-get update
	run apt-get install --download-only "${DKMS_PACKAGES_ALL[@]}"
	# For apt's cache to be warm.
	apt-get check
}
