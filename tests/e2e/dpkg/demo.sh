#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The part of ../demo that runs in the root.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/../lib/assert.sh
. "$here/../lib/assert.sh"
# shellcheck source=SCRIPTDIR/../lib/inside.sh
. "$here/../lib/inside.sh"
# shellcheck source=SCRIPTDIR/assert.sh
. "$here/assert.sh"
# shellcheck source=SCRIPTDIR/inside.sh
. "$here/inside.sh"

bold='' plain=''
if [ -t 1 ]; then
	bold=$'\e[1m' plain=$'\e[0m'
fi

title()
{
	printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

# A command as a person types it, with what they would read of its output.
show()
{
	printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
	"$@" 2>&1 </dev/null | { grep -vE "^($noise)" || true; } || fail "'$*' failed"
}
noise='\(Reading|Reading|Building dep|Get:|Fetched|Need to|debconf:|Selecting|Preparing|After this'
noise+='|[0-9]+ upgraded|Note, selecting|The following|  |W: |I: |Suggested|Recommended'
# The postrm of a kernel removes a directory that went with the last file in it.
noise+='|rmdir: failed to remove ./lib/modules/'

. /etc/os-release
title "$PRETTY_NAME in a throw-away root: no kernel yet"
show apt-get install "$KMODPKG"

title "Two module sources, packages that only ship /usr/src/NAME-VERSION"
show apt-get install "$(source_deb kmodpkg-hello)" "$(source_deb v4l2loopback)"

title "A kernel and its headers"
show apt-get install "linux-image-$KFULL" "linux-headers-$KFULL"

title "Every module has an owner"
dir=$(kernel_dir "$KFULL")
for ko in "$dir"/updates/dkms/*.ko*; do
	show dpkg -S "$ko"
done
for package in $(generated_packages "$KFULL"); do
	show dpkg -V "$package"
done
show kmodpkg status
show modinfo -k "$KFULL" -F vermagic v4l2loopback

title "And is in the initramfs, for which the configuration asks"
initramfs_list "$KFULL" | grep updates/dkms/

# What was shown is also true.
assert_modules "$KFULL" kmodpkg_hello v4l2loopback
assert_initramfs_made "$KFULL=1"
assert_system

title "The kernel goes, its modules with it"
mapfile -t names < <(kernel_packages "$KFULL")
show apt-get purge "${names[@]}"
show find /lib/modules -maxdepth 1
show kmodpkg status
assert_kernel_gone "$KFULL"
assert_database
title "Done: nothing of this was installed on the machine itself"
