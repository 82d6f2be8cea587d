# SPDX-License-Identifier: GPL-2.0-or-later
# The scripts of a source: when they run, where, with which environment, what their end means.
# shellcheck shell=bash disable=SC2154,SC2034,SC2016

# A source all of whose scripts note their name, arguments, directory and environment.
source_with_scripts()
{
	local when

	new_module hello 1.0
	for when in PRE_BUILD POST_BUILD PRE_INSTALL POST_INSTALL POST_ADD POST_REMOVE; do
		echo "$when=\"note.sh $when\"" >>"$root"/usr/src/hello-1.0/dkms.conf
	done
	new_script /usr/src/hello-1.0/note.sh "$note"
	: >"$root"/tmp/noted
	chmod 666 "$root"/tmp/noted
}
# What those of a build print is in its log, which no user of the build need reach.
note='line="$1 in $(pwd -P) for $module/$module_version $kernelver $arch"
case $1 in
*_BUILD) echo "$line" ;;
*) echo "$line" >>/tmp/noted ;;
esac'

noted()
{
	cp "$root"/tmp/noted "$T"/out
	: >"$root"/tmp/noted
	expect out
}

# A package brought the source, and no command of its scripts has added it.
test_dkms_scripts_of_a_source_that_registers_itself()
{
	ours_only || return 0
	new_system
	source_with_scripts
	echo 'AUTOINSTALL=no' >>"$root"/usr/src/hello-1.0/dkms.conf
	own hello-dkms /usr/src/hello-1.0/dkms.conf
	kmodpkg sync
	[ "$status" = 0 ] || fail "sync ended with $status: $(cat "$T"/err)"
	noted <<<"POST_ADD in /usr/src/hello-1.0 for hello/1.0  $A"
	kmodpkg sync
	noted </dev/null
	# One that fails is no reason not to register it.
	new_module bad 1.0 POST_ADD=say.sh AUTOINSTALL=no
	new_script /usr/src/bad-1.0/say.sh 'exit 3'
	own bad-dkms /usr/src/bad-1.0/dkms.conf
	kmodpkg sync
	[ "$status" = 0 ] || fail "sync ended with $status: $(cat "$T"/err)"
	grep -q 'bad/1.0: POST_ADD' "$T"/err || fail 'nothing is said about it'
	status_is bad/1.0 <<<'bad/1.0: added'
}

test_dkms_scripts_order_and_environment()
{
	new_system
	source_with_scripts
	dkms_gives 0 add hello/1.0
	# Of these the environment is empty.
	cut -d' ' -f1 <"$root"/tmp/noted >"$T"/out
	expect out <<<POST_ADD
	: >"$root"/tmp/noted
	dkms_gives 0 build hello/1.0 -k "$K1"
	noted </dev/null
	log_says hello 1.0 "$K1" \
		"PRE_BUILD in /var/lib/dkms/hello/1.0/build for hello/1.0 $K1 $A"
	log_says hello 1.0 "$K1" \
		"POST_BUILD in /var/lib/dkms/hello/1.0/build for hello/1.0 $K1 $A"
	dkms_gives 0 install hello/1.0 -k "$K1"
	noted <<-END
	PRE_INSTALL in /usr/src/hello-1.0 for hello/1.0 $K1 $A
	POST_INSTALL in /usr/src/hello-1.0 for hello/1.0 $K1 $A
	END
	dkms_gives 0 uninstall hello/1.0 -k "$K1"
	cut -d' ' -f1 <"$root"/tmp/noted >"$T"/out
	expect out <<<POST_REMOVE
	: >"$root"/tmp/noted
	dkms_gives 0 remove hello/1.0 --all
	noted </dev/null
}

test_dkms_scripts_of_the_administrator()
{
	new_system
	source_with_scripts
	new_script /etc/dkms/hello/note.sh 'case $1 in
		*_INSTALL) echo "mine in $PWD" >>/tmp/noted ;; *_BUILD) echo "mine in $PWD" ;; esac'
	dkms_gives 0 install hello/1.0 -k "$K1"
	differs scripts-overlay && return 0
	noted <<-END
	mine in /etc/dkms/hello
	mine in /etc/dkms/hello
	END
	log_says hello 1.0 "$K1" 'mine in /etc/dkms/hello'
}

# One that is not there, or cannot be run, is left out.
test_dkms_scripts_missing()
{
	new_system
	source_with_scripts
	chmod 644 "$root"/usr/src/hello-1.0/note.sh
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	dkms_gives 0 remove hello/1.0 --all
	rm "$root"/usr/src/hello-1.0/note.sh
	dkms_gives 0 install hello/1.0 -k "$K1"
	installed hello "$K1"
	noted </dev/null
}

test_dkms_scripts_that_fail()
{
	new_system
	new_module hello 1.0 'PRE_BUILD=fail.sh'
	new_script /usr/src/hello-1.0/fail.sh 'exit 42'
	dkms_gives 42 build hello/1.0 -k "$K1"
	dkms_gives 42 install hello/1.0 -k "$K1"
	status_is <<<'hello/1.0: added'
	sed -i s/PRE_BUILD/POST_BUILD/ "$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 42 install hello/1.0 -k "$K1"
	not_installed hello "$K1"
	differs post-build || status_is <<<'hello/1.0: added'
	dkms_gives 0 remove hello/1.0 --all
	sed -i s/POST_BUILD/POST_REMOVE/ "$root"/usr/src/hello-1.0/dkms.conf
	dkms_gives 0 install hello/1.0 -k "$K1"
	dkms_gives 0 remove hello/1.0 --all
	not_installed hello "$K1"
	status_is </dev/null
}
