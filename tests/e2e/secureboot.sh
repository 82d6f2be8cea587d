#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Boot a system with Secure Boot, the way a machine does: firmware with Microsoft's keys, shim, GRUB,
# Debian's kernel. Twice: with the machine owner key unknown, and enrolled in shim's list.
#
# usage: secureboot.sh DIRECTORY
#	DIRECTORY/vmlinuz-*	a kernel with Debian's signature
#	DIRECTORY/guest		the root file system; its /init is started and powers off, it prints
#				what is to be looked at
#	DIRECTORY/mok.pub	the certificate (DER) that is enrolled the second time
#	DIRECTORY/unknown, DIRECTORY/enrolled
#				extended regular expressions, a line each, of what has to be printed
#
# Emulated: half a minute for each boot, or more.
set -euo pipefail

# shellcheck source=SCRIPTDIR/lib/root.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/root.sh"

LIMIT=${KMODPKG_TEST_QEMU_LIMIT:-400}
FIRMWARE=/usr/share/OVMF
SHIM_GUID=605dab50-e046-4300-abb6-3dd810dd8b23

[ $# -eq 1 ] || die "usage: secureboot.sh DIRECTORY"
dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Unpacked, not installed: their maintainer scripts set up boot loaders. Plain files of a layer.
root_prepare bookworm
root_layer bookworm secureboot - "$ROOT_BASE" -n /bin/bash -c "cd /srv && apt-get -q update &&
	apt-get -q download shim-signed grub-efi-amd64-signed &&
	for deb in *.deb; do dpkg-deb -x \$deb /srv/efi; done"
efi=${ROOT_LAYER%%:*}/srv/efi

# The disk: an EFI system partition without a partition table, which the firmware takes as well.
(cd "$dir/guest" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/initrd"
cat >"$work/grub.cfg" <<'END'
linux /vmlinuz console=ttyS0 panic=-1 rdinit=/init quiet loglevel=4 no_timer_check mitigations=off nokaslr random.trust_cpu=on
initrd /initrd
boot
END
truncate -s 160M "$work/disk"
mkfs.vfat -F 32 "$work/disk" >/dev/null
export MTOOLS_SKIP_CHECK=1
mmd -i "$work/disk" ::EFI ::EFI/BOOT ::EFI/debian
mcopy -i "$work/disk" "$efi"/usr/lib/shim/shimx64.efi.signed ::EFI/BOOT/BOOTX64.EFI
mcopy -i "$work/disk" "$efi"/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::EFI/BOOT/grubx64.efi
mcopy -i "$work/disk" "$work/grub.cfg" ::EFI/debian/grub.cfg
mcopy -i "$work/disk" "$dir"/vmlinuz-* ::vmlinuz
mcopy -i "$work/disk" "$work/initrd" ::initrd

# boot VARIABLES EXPECTED: what the guest prints is kept beside VARIABLES.
boot()
{
	local vars=$1 expected=$2 line
	timeout "$LIMIT" qemu-system-x86_64 -M q35,smm=on -accel tcg,thread=multi,tb-size=256 -m 768 \
		-global driver=cfi.pflash01,property=secure,value=on \
		-nodefaults -nographic -serial stdio -no-reboot \
		-drive "if=pflash,format=raw,readonly=on,file=$FIRMWARE/OVMF_CODE_4M.secboot.fd" \
		-drive "if=pflash,format=raw,file=$vars" \
		-drive "if=none,id=disk,format=raw,readonly=on,file=$work/disk" \
		-device virtio-blk-pci,drive=disk </dev/null 2>&1 | tr -d '\r' | tee "$vars.out" ||
		die "no end after $LIMIT seconds"
	while IFS= read -r line; do
		grep -qE -- "$line" "$vars.out" || die "${expected##*/}: nothing says '$line'"
	done <"$expected"
	grep -q '^e2e: end$' "$vars.out" || die "init did not come to its end"
}

cp "$FIRMWARE/OVMF_VARS_4M.ms.fd" "$work/unknown.fd"
boot "$work/unknown.fd" "$dir/unknown"

# What MokManager does when a person has typed the password. Debian has the tool since trixie.
root_prepare trixie
root_layer trixie virt-firmware - "$ROOT_BASE" -n \
	apt-get install -y --no-install-recommends python3-virt-firmware
mkdir "$work/keys"
cp "$FIRMWARE/OVMF_VARS_4M.ms.fd" "$work/keys/vars.fd"
openssl x509 -inform DER -in "$dir/mok.pub" -out "$work/keys/mok.pem"
root_run -b "$work/keys /srv/keys rw" "$ROOT_LAYER" \
	virt-fw-vars --inplace /srv/keys/vars.fd --add-mok $SHIM_GUID /srv/keys/mok.pem
boot "$work/keys/vars.fd" "$dir/enrolled"
echo "booted twice with Secure Boot"
