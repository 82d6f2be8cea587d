# SPDX-License-Identifier: GPL-2.0-or-later
# Signing as DKMS's configuration has it.
# shellcheck shell=bash disable=SC2154,SC2034,SC2016

signing_system()
{
	new_system
	new_module hello 1.0
	printf '%s\n' CONFIG_MODULE_SIG=y 'CONFIG_MODULE_SIG_HASH="sha512"' \
		>>"$root/usr/src/linux-headers-$K1"/.config
	echo 'backend = fake' >"$root"/etc/kmodpkg/kmodpkg.conf
	printf '%s\n' 'try_sign_modules=true' 'sign_file="/usr/local/sign-$kernelver"' \
		'mok_signing_key=/root/my.key' 'mok_certificate=/root/my.pub' \
		>"$root"/etc/dkms/framework.conf
	touch "$root"/root/my.key "$root"/root/my.pub
}

test_dkms_sign()
{
	signing_system
	new_script "/usr/local/sign-$K1" 'echo "$1 $2 $3 ${4##*/}" >>/tmp/signed' \
		'printf "~Module signature appended~\n" >>"$4"'
	dkms_gives 0 install hello/1.0 -k "$K1"
	cp "$root"/tmp/signed "$T"/out
	expect out <<<'sha512 /root/my.key /root/my.pub hello.ko'
	[ "$(tail -c 28 "$root/$(module_file hello "$K1")")" = '~Module signature appended~' ] ||
		fail 'the installed module is not signed'
	# A kernel that has nothing to do with signatures.
	dkms_gives 0 install hello/1.0 -k "$K2"
	[ "$(wc -l <"$root"/tmp/signed)" = 1 ] || fail "$(cat "$root"/tmp/signed)"
}

# What is to be signed is not installed without a signature.
test_dkms_sign_fails()
{
	signing_system
	new_script "/usr/local/sign-$K1" 'exit 1'
	dkms_gives "$(want sign-fails 1 0)" install hello/1.0 -k "$K1"
	grep -qi sign "$T"/out "$T"/err || fail 'nothing is said about it'
	dkms remove hello/1.0 --all
	rm "$root/usr/local/sign-$K1"
	dkms_gives "$(want sign-fails 1 0)" install hello/1.0 -k "$K1"
	grep -qi sign "$T"/out "$T"/err || fail 'nothing is said about it'
}

test_dkms_sign_not_wanted()
{
	signing_system
	new_script "/usr/local/sign-$K1" 'echo "$*" >>/tmp/signed'
	sed -i s/=true/=false/ "$root"/etc/dkms/framework.conf
	dkms_gives 0 install hello/1.0 -k "$K1"
	differs try-sign || gone /tmp/signed
}
