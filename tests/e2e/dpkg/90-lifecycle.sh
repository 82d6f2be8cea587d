# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# kmodpkg itself comes and goes.

scenario kmodpkg_removed hello
kmodpkg_removed()
{
	local package=kmodpkg-hello-modules-$K1 key=/var/lib/dkms/mok.key
	mkdir -p "${key%/*}"
	echo secret >$key
	initramfs_reset
	run apt-get remove kmodpkg
	assert_output "to remove them: apt-get remove ${package//./\\.}[[:space:]]*\$"
	assert_modules "$K1" kmodpkg_hello
	# What is left of us in dpkg's configuration is harmless.
	small_deb /tmp e2e-unrelated 1
	run dpkg -i /tmp/e2e-unrelated_1_all.deb
	assert_no_output 'error|not found'
	run apt-get purge kmodpkg
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
	[ ! -e /var/lib/kmodpkg ] || fail "/var/lib/kmodpkg is left after a purge"
	[ "$(cat $key)" = secret ] || fail "the purge has taken a signing key"
	# In DKMS's tree are registrations, which it could go on with.
	fail_on "files of ours are left" "$(find /etc /usr /var \( -path /var/cache/apt -o \
		-path /var/lib/dpkg -o -path /var/lib/dkms -o -path /var/log/apt -o \
		-path /usr/src -o -path /usr/lib/modules \) -prune -o -name '*kmodpkg*' -print)"
	# The packages can be removed like any others, and the kernel stays tidy.
	run dpkg -r "$package"
	fail_on "the package is left" "$(generated_packages "$K1")"
}

scenario kmodpkg_installed_again hello
kmodpkg_installed_again()
{
	local before
	before=$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")
	run apt-get purge kmodpkg
	initramfs_reset
	run apt-get install "$KMODPKG"
	assert_modules "$K1" kmodpkg_hello
	assert_status kmodpkg-hello 1.0 "$K1" installed
	[ "$before" = "$(stat -c '%i %Y' "$(module_file "$K1" kmodpkg_hello)")" ] ||
		fail "a package that was there was made anew"
	assert_initramfs_made
	run apt-get install "$(source_deb kmodpkg-hello 1.1)"
	assert_modules "$K1" kmodpkg_hello
	assert_generated "$K1" 1.1 kmodpkg-hello
}

scenario kmodpkg_reinstalled hello
kmodpkg_reinstalled()
{
	initramfs_reset
	run apt-get install --reinstall "$KMODPKG"
	assert_modules "$K1" kmodpkg_hello
	assert_initramfs_made
}

# dpkg reads its hooks when it starts, so those that come with a package are not run by the dpkg
# that installs it; the next one makes up for it.
scenario kmodpkg_by_dpkg prepared
kmodpkg_by_dpkg()
{
	local depends
	run apt-get install "linux-image-$K1" "linux-headers-$K1" "$(source_deb kmodpkg-hello)"
	# Headers of another kind would bring another kernel along.
	run apt-get install -s -o APT::Install-Recommends=true "$KMODPKG"
	assert_no_output '^Inst linux-'
	mapfile -t depends < <(apt-get install -s "$KMODPKG" |
		sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -vx kmodpkg)
	[ ${#depends[@]} -eq 0 ] || run apt-get install "${depends[@]}"
	run dpkg -i "$KMODPKG"
	small_deb /tmp e2e-unrelated 1
	run dpkg -i /tmp/e2e-unrelated_1_all.deb
	assert_modules "$K1" kmodpkg_hello
}

# Modules' packages that need a dkms go in the same run of apt as the last one that is theirs: what
# their scripts asked for is done, although we are gone when it is over.
scenario kmodpkg_removed_with_all prepared
kmodpkg_removed_with_all()
{
	local verb
	for verb in remove purge; do
		run apt-get install "$KMODPKG" "linux-image-$K1" "linux-headers-$K1" \
			"$(dkms_deb kmodpkg-hello 1.0)" "$(dkms_deb kmodpkg-multi 1.0)"
		assert_modules "$K1" kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_sub
		initramfs_reset
		run apt-get "$verb" kmodpkg kmodpkg-hello-dkms kmodpkg-multi-dkms
		assert_no_output 'that it built stay installed'
		fail_on "packages are left ($verb)" "$(generated_packages "$K1")"
		fail_on "modules are left ($verb)" "$(find "$(kernel_dir "$K1")/updates" 2>/dev/null)"
		fail_on "registrations are left ($verb)" \
			"$(find /var/lib/dkms -mindepth 1 -maxdepth 1 -type d 2>/dev/null)"
		assert_initramfs_made "$K1=1"
		[ "$verb" = remove ] || [ ! -e /var/lib/kmodpkg ] || fail "/var/lib/kmodpkg is left"
		[ ! -e /var/lib/kmodpkg/leave ] || fail "/var/lib/kmodpkg/leave is left"
		assert_database
	done
}
