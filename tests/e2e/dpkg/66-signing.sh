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
