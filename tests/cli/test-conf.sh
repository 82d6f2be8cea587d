# SPDX-License-Identifier: GPL-2.0-or-later
# kmodpkg conf
# shellcheck shell=bash disable=SC2154,SC2016

test_conf_text()
{
	new_source hello 1.0 "MAKE='make -C \$kernel_source_dir'" 'PATCH=(a.patch)' \
		'BUILD_DEPENDS=dep' 'PRE_BUILD="prepare $kernelver"' 'CLEAN="make clean"'
	run conf -k 6.1.0-2-test hello
	expect_status 0
	expect err </dev/null
	expect out <<-EOT
		hello/1.0 for kernel 6.1.0-2-test ($(uname -m))
		file         /usr/src/hello-1.0/dkms.conf
		evaluator    plain
		module       hello.ko -> /updates/hello.ko
		make         make -C /lib/modules/6.1.0-2-test/build
		patch        a.patch
		PRE_BUILD    prepare 6.1.0-2-test
		depends on   dep
		autoinstall  yes
		warning      CLEAN is deprecated and ignored
	EOT
	# the same tree by its path below the root, and by its file
	cp "$T"/out "$T"/first
	run conf -k 6.1.0-2-test /usr/src/hello-1.0
	expect out <"$T"/first
	run conf -k 6.1.0-2-test /usr/src/hello-1.0/dkms.conf
	expect out <"$T"/first
}

test_conf_excluded()
{
	new_source hello 1.0 'BUILD_EXCLUSIVE_CONFIG="CONFIG_MODULES CONFIG_NOT"'
	run conf -k 6.1.0-2-test hello/1.0
	expect_status 0
	grep -qx 'excluded     CONFIG_NOT is not set in this kernel' "$T"/out ||
		fail "no reason: $(cat "$T"/out)"
	run conf hello/1.0
	expect_status 0
	grep -q excluded "$T"/out && fail "excluded for no kernel"
	return 0
}

test_conf_bad()
{
	new_source hello 1.0 'DEST_MODULE_LOCATION=/lib'
	run conf hello
	expect_status 8
	expect out </dev/null
	expect err <<-'EOT'
		kmodpkg conf: /usr/src/hello-1.0/dkms.conf: DEST_MODULE_LOCATION[0] is '/lib': it must begin with /kernel, /updates or /extra
	EOT
	run conf other
	expect_status 3
	run conf
	expect_status 2
	run conf -k a -k b hello
	expect_status 2
}

test_conf_json()
{
	# The shell's $'' is not plain; bash is that of this machine, so the conf is too.
	new_source hello 1.0 "MAKE=$'make \\'a\\n b\\''" 'STRIP=no' 'PATCH[2]=p'
	conf=$root/usr/src/hello-1.0/dkms.conf
	"$KMODPKG" conf --json "$conf" >"$T"/out 2>"$T"/err || fail "$(cat "$T"/err)"
	expect err </dev/null
	sed -i -e '/"variables"/,$d' -e 's/"kernel": ".*"/"kernel": null/' "$T"/out
	expect out <<-END
	{
	  "schema": 1,
	  "name": "hello",
	  "version": "1.0",
	  "kernel": null,
	  "arch": "$(uname -m)",
	  "files": [
	    "$conf"
	  ],
	  "evaluator": "shell",
	  "why_shell": "$conf: line 6: quoting by '\$'make'",
	  "excluded": null,
	  "modules": [
	    {
	      "built_name": "hello",
	      "built_location": "",
	      "dest_name": "hello",
	      "dest_location": "/updates",
	      "strip": false,
	      "excluded": null
	    }
	  ],
	  "make": "make 'a b'",
	  "patches": [],
	  "scripts": {
	    "PRE_BUILD": null,
	    "POST_BUILD": null,
	    "PRE_INSTALL": null,
	    "POST_INSTALL": null,
	    "POST_ADD": null,
	    "POST_REMOVE": null
	  },
	  "build_depends": [],
	  "build_depends_rebuild": false,
	  "autoinstall": true,
	  "no_weak_modules": false,
	  "warnings": [
	    "PATCH[2] is ignored, because PATCH has holes before it"
	  ],
	END
}

# The manual names each key that is printed.
test_conf_json_is_documented()
{
	local key

	run conf --json hello
	sed -n '/^\.Sh CONF AS JSON/,/^\.Sh STATUS/p' "$here"/../../man/kmodpkg.8 >"$T"/section
	while read -r key; do
		grep -qw -e "$key" "$T"/section || fail "$key is not described"
	done < <(sed '/"variables"/q' "$T"/out | grep -oE '"[A-Za-z_]+":' | tr -d '":')
}
