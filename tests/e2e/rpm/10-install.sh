# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Kernels, headers and sources arrive, in every order.

# install TOOL FILE...: package files, by rpm, dnf, dnf5 or zypper.
install_by()
{
	local tool=$1
	shift
	case $tool in
	rpm) run rpm -U "$@" ;;
	dnf | dnf5) run "$tool" -y install "$@" ;;
	zypper) run zypper --non-interactive --no-gpg-checks install --allow-unsigned-rpm "$@" ;;
	esac
}

# Kernel and headers in one transaction; the module is there before kernel-core's %posttrans.
both_at_once()
{
	local tool=$1
	install_by rpm "$(source_rpm kmodpkg-hello)" "$(source_rpm kmodpkg-multi)"
	initramfs_reset
	# shellcheck disable=SC2046
	install_by "$tool" $(kernel_rpms "$K1")
	assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_posttrans "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
	assert_initramfs_made "$K1=1"
	assert_generated "$K1" 1.0 kmodpkg-hello kmodpkg-multi
	assert_marked kmodpkg-hello "$K1"
	assert_no_output $'\e'
	assert_status kmodpkg-hello 1.0 "$K1" installed
	[ "$(kmodpkg owner "$(module_file "$K1" kmodpkg_hello)" |
		grep -c "kmod-kmodpkg-hello-$K1")" = 1 ] ||
		fail "kmodpkg owner does not name the package"
}

scenario both_by_rpm kmodpkg smoke
both_by_rpm()
{
	both_at_once rpm
}

scenario both_by_dnf kmodpkg smoke
both_by_dnf()
{
	both_at_once dnf
}

scenario both_by_dnf5 kmodpkg smoke forky
both_by_dnf5()
{
	both_at_once dnf5
}

scenario everything_at_once kmodpkg
everything_at_once()
{
	# shellcheck disable=SC2046
	run rpm -i "$(source_rpm kmodpkg-hello)" $(kernel_rpms "$K1")
	assert_modules "$K1" kmodpkg_hello
	assert_posttrans "$K1" kmodpkg_hello
	assert_initramfs_made "$K1=1"
}
