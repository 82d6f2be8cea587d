# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Keys that do not lie open on the disk: encrypted, or in a token.

# signature_of KO DIRECTORY: the signature of a module and what it is over, as files. The kernel's
# marker is at the end, before it 12 bytes of which the last four are the signature's length.
signature_of()
{
	local ko=$1 dir=$2 size len
	[ "$(tail -c 28 "$ko")" = '~Module signature appended~' ] || fail "$ko is not signed"
	size=$(stat -c %s "$ko")
	len=$((16#$(tail -c 32 "$ko" | head -c 4 | od -An -tx1 | tr -d ' \n')))
	head -c $((size - 40 - len)) "$ko" >"$dir/module"
	tail -c $((40 + len)) "$ko" | head -c "$len" >"$dir/signature"
}

# assert_signed_by CERT-IN-DER: by that key, over just these bytes, and modinfo says so.
assert_signed_by()
{
	local cert=$1 ko dir
	ko=$(module_file "$K1" kmodpkg_hello)
	dir=$(mktemp -d)
	case $ko in
	*.xz) xz -dc "$ko" >"$dir/ko" ;;
	*) cp "$ko" "$dir/ko" ;;
	esac
	signature_of "$dir/ko" "$dir"
	openssl x509 -inform DER -in "$cert" -out "$dir/cert"
	openssl cms -verify -binary -noverify -inform DER -in "$dir/signature" \
		-content "$dir/module" -certfile "$dir/cert" -out /dev/null ||
		fail "$ko is not signed with the key of $cert"
	[ "$(modinfo -F sig_key "$ko" | tr -d :)" = \
		"$(openssl x509 -in "$dir/cert" -noout -serial | cut -d= -f2)" ] ||
		fail "modinfo says: $(modinfo -F sig_key "$ko")"
}

# sign_with KEY CERT: from now on.
sign_with()
{
	cat >/etc/kmodpkg/kmodpkg.conf.d/sign.conf <<-END
		sign_key = $1
		sign_cert = $2
		sign_pin_file = /root/pin
	END
	(umask 077 && : >/root/pin)
}

# A prompt would be one at the terminal that the command has, whatever its input is.
with_terminal()
{
	run timeout 300 script -qec "$*" /dev/null
}

scenario signed_with_an_encrypted_key kernel
signed_with_an_encrypted_key()
{
	run apt-get install openssl
	run openssl req -new -x509 -newkey rsa:2048 -passout pass:right -days 10 -subj /CN=mine \
		-keyout /root/my.key -outform DER -out /root/my.der
	sign_with /root/my.key /root/my.der
	sed -i '/pin_file/d' /etc/kmodpkg/kmodpkg.conf.d/sign.conf
	# apt does not fail, and nothing that the kernel would refuse is installed.
	with_terminal apt-get install -y "$(source_deb kmodpkg-hello)"
	assert_output "the key '/root/my.key' is encrypted: write its passphrase into a file"
	assert_no_output 'Enter'
	assert_modules "$K1"
	sign_with /root/my.key /root/my.der
	echo wrong >/root/pin
	run_fails kmodpkg sync
	assert_output "is the passphrase of '/root/my.key' right \(/root/pin\)"
	assert_modules "$K1"
	echo right >/root/pin
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_signed_by /root/my.der
	# From the environment.
	sed -i '/pin_file/d' /etc/kmodpkg/kmodpkg.conf.d/sign.conf
	run env KBUILD_SIGN_PIN=right kmodpkg build --force kmodpkg-hello -k "$K1"
	run kmodpkg sync
	assert_signed_by /root/my.der
}

# Debian's sign-file asks OpenSSL's provider for tokens, which came with trixie.
scenario signed_with_a_token kernel trixie
signed_with_a_token()
{
	local module=/usr/lib/softhsm/libsofthsm2.so uri='pkcs11:token=kmodpkg;object=sign'
	run apt-get install --no-install-recommends "${TOKEN_PACKAGES[@]}"
	run softhsm2-util --init-token --free --label kmodpkg --pin 1234 --so-pin 5678
	run pkcs11-tool --module $module --token-label kmodpkg --login --pin 1234 \
		--keypairgen --key-type rsa:2048 --label sign --id 01
	# As whoever has a token sets up OpenSSL; the last line is SoftHSM's, which uses it too.
	cat >/etc/ssl/openssl.cnf <<-END
		openssl_conf = init
		[init]
		providers = providers
		[providers]
		default = builtin
		pkcs11 = pkcs11
		[builtin]
		activate = 1
		[pkcs11]
		activate = 1
		pkcs11-module-path = $module
		pkcs11-module-quirks = no-deinit no-operation-state
		[req]
		distinguished_name = name
		[name]
	END
	run openssl req -new -x509 -key "$uri?pin-value=1234" -subj /CN=token -days 10 \
		-outform DER -out /root/my.der
	sign_with "$uri" /root/my.der
	echo 999 >/root/pin
	with_terminal apt-get install -y "$(source_deb kmodpkg-hello)"
	assert_output "not signed: .*look at sign_key '$uri', at the PIN \(/root/pin\)"
	assert_no_output 'Enter'
	assert_modules "$K1"
	# A token locks itself after a few.
	run_fails kmodpkg sync
	assert_output 'not tried again lest the token locks itself; correct it'
	echo 1234 >/root/pin
	run kmodpkg sync
	assert_modules "$K1" kmodpkg_hello
	assert_signed_by /root/my.der
	# From the environment; and without any nobody is asked either.
	sed -i '/pin_file/d' /etc/kmodpkg/kmodpkg.conf.d/sign.conf
	run env KBUILD_SIGN_PIN=1234 kmodpkg build --force kmodpkg-hello -k "$K1"
	run kmodpkg sync
	assert_signed_by /root/my.der
	run_fails script -qec "timeout 300 kmodpkg build --force kmodpkg-hello -k $K1" /dev/null
	assert_output 'at the PIN \(no sign_pin_file is set\)'
	assert_modules "$K1" kmodpkg_hello
	assert_signed_by /root/my.der
}

# copy_file FILE ROOT: with what its name is a link to, where /lib is one itself.
copy_file()
{
	cp -a --parents "$(realpath "$1")" "$2/"
	cp -a --parents "$(realpath "${1%/*}")/${1##*/}" "$2/"
}

# The files of this system that it takes to boot, load modules, and run kmodpkg and dpkg: a root
# file system that fits into memory.
make_guest()
{
	local guest=$1 headers=/usr/src/linux-headers-$K1 path lib
	local tools=(kmodpkg dpkg dpkg-deb dpkg-query dpkg-split tar sh rm diff ldconfig start-stop-daemon
		kmod depmod modprobe insmod mokutil mount grep cat)
	mkdir -p "$guest"/{proc,sys,dev,run,tmp,root,boot}
	for path in /bin /sbin /lib /lib64; do
		cp -a "$path" "$guest/"
	done
	for path in "${tools[@]}"; do
		copy_file "$(command -v "$path")" "$guest"
	done
	cp -a --parents /usr/lib/kmodpkg /usr/share/kmodpkg /usr/lib/os-release /etc/os-release \
		/etc/kmodpkg /etc/dpkg /etc/kernel /var/lib/dpkg /var/lib/dkms /var/lib/kmodpkg \
		/usr/src/kmodpkg-hello-1.0 "$headers" "$guest/"
	# Of the rest of the headers only that they are there: dpkg says what they are.
	for path in "${headers%-cloud-*}-common" /usr/lib/linux-kbuild-*; do
		find "$path" -maxdepth 1 -type d -exec mkdir -p "$guest{}" \;
		find "$path" -maxdepth 1 -type f -exec cp --parents {} "$guest/" \;
	done
	cp -a --parents "/lib/modules/$K1"/{modules.*,updates,build,source} \
		"/lib/modules/$K1/kernel/fs/efivarfs" "$guest/"
	# ldd fails where one of them is no program of this system's.
	{ find "$guest/usr" -type f \( -perm -100 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null || :; } |
		sed -n 's,.* => \(/[^ ]*\) .*,\1,p; s,^\t\(/lib64/[^ ]*\) .*,\1,p' | sort -u |
		while read -r lib; do
			copy_file "$lib" "$guest"
		done
	echo 'initramfs = no' >>"$guest/etc/kmodpkg/kmodpkg.conf"
}

# Secure Boot, booted for real: what the firmware, shim and the kernel make of a module that was
# signed with the key that kmodpkg makes, and what is said about it.
scenario secure_boot kernel long secureboot
secure_boot()
{
	local ko
	run apt-get install openssl mokutil
	# By itself it makes a key only where it was booted.
	run dkms generate_mok
	run apt-get install "$(source_deb kmodpkg-hello)"
	assert_modules "$K1" kmodpkg_hello
	assert_signed_by /var/lib/dkms/mok.pub
	ko=$(module_file "$K1" kmodpkg_hello)
	make_guest /run/out/guest
	objcopy --strip-debug "$ko" /run/out/guest/root/unsigned.ko
	cp "/boot/vmlinuz-$K1" /var/lib/dkms/mok.pub /run/out/
	cat >/run/out/guest/init <<-END
		#!/bin/sh
		export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
		mount -t proc proc /proc
		mount -t devtmpfs dev /dev
		mount -t sysfs sys /sys
		insmod /lib/modules/$K1/kernel/fs/efivarfs/efivarfs.ko
		mount -t efivarfs efivarfs /sys/firmware/efi/efivars
		mount -t securityfs security /sys/kernel/security
		# The firmware leaves no line of its own.
		echo
		echo "e2e: lockdown \$(cat /sys/kernel/security/lockdown)"
		insmod /root/unsigned.ko
		echo "e2e: unsigned rc=\$?"
		insmod $ko
		echo "e2e: signed rc=\$?"
		kmodpkg doctor
		echo "e2e: \$(kmodpkg doctor | grep -c ^signing) findings"
		# A change by a person, with a package for the result.
		kmodpkg uninstall kmodpkg-hello
		kmodpkg install kmodpkg-hello
		echo "e2e: install rc=\$?"
		kmodpkg owner $ko
		# As the finding says; a person would be asked for the password.
		mokutil --generate-hash=word >/root/hash
		mokutil --import /var/lib/dkms/mok.pub --hash-file /root/hash
		echo "e2e: import rc=\$?"
		kmodpkg doctor
		echo "e2e: end"
		echo o >/proc/sysrq-trigger
		while :; do read -r line </dev/console; done
	END
	chmod 755 /run/out/guest/init
	cat >/run/out/unknown <<-'END'
		^e2e: lockdown none \[integrity\]
		^e2e: unsigned rc=[1-9]
		Key was rejected by service
		^e2e: signed rc=[1-9]
		^signing: Secure Boot is on and does not know the key /var/lib/dkms/mok.key that modules are signed with$
		^    mokutil --import /var/lib/dkms/mok.pub$
		^e2e: 1 findings$
		^kmodpkg: warning: Secure Boot is on and does not know the key .* until it is enrolled: mokutil --import /var/lib/dkms/mok.pub, then reboot$
		^e2e: install rc=0$
		/kmodpkg_hello.ko: kmodpkg-hello-modules-
		^e2e: import rc=0$
		^signing: the key /var/lib/dkms/mok.key is to be confirmed at the next boot$
	END
	cat >/run/out/enrolled <<-'END'
		^e2e: lockdown none \[integrity\]
		^e2e: unsigned rc=[1-9]
		^e2e: signed rc=0$
		^e2e: 0 findings$
		^e2e: install rc=0$
	END
}
