#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs once in a root: make the initramfs generator quick, tell it which modules the tests want
# in an initramfs, and count its runs.
#
# Each run appends the kernel's release to /var/log/e2e-initramfs. The counter is a hook of the
# generator itself, so it sees every way in: postinst.d, triggers, direct calls.
set -euo pipefail

modules=(kmodpkg_hello kmodpkg_core kmodpkg_extra kmodpkg_user v4l2loopback)
log=/var/log/e2e-initramfs

if command -v mkinitramfs >/dev/null; then
	printf '%s\n' "${modules[@]}" >>/etc/initramfs-tools/modules
	# Nothing in this initramfs has to boot: only the modules named above and what they need.
	printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nRESUME=none\n' >/etc/initramfs-tools/conf.d/e2e
	cat >/etc/initramfs-tools/hooks/e2e-count <<-END
		#!/bin/sh
		[ "\$1" != prereqs ] || exit 0
		echo "\$version" >>$log
	END
	chmod +x /etc/initramfs-tools/hooks/e2e-count
fi

if command -v dracut >/dev/null; then
	cat >/etc/dracut.conf.d/e2e.conf <<-END
		hostonly=no
		compress=cat
		dracutmodules=" base kernel-modules e2e-count "
		filesystems=" "
		drivers=" ${modules[*]} "
	END
	mkdir /usr/lib/dracut/modules.d/99e2e-count
	# dracut sources this file for each image it makes and calls install() once.
	cat >/usr/lib/dracut/modules.d/99e2e-count/module-setup.sh <<-END
		#!/bin/bash
		check() { return 0; }
		depends() { return 0; }
		# shellcheck disable=SC2154
		install() { echo "\$kernel" >>$log; }
	END
	chmod +x /usr/lib/dracut/modules.d/99e2e-count/module-setup.sh
fi
