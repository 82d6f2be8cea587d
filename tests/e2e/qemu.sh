#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Boot a kernel in qemu with nothing but a few modules, load each and power off.
#
# usage: qemu.sh VMLINUZ MODULE...
#	VMLINUZ	a Debian cloud kernel: those have what is needed here built in
#	MODULE	a .ko, in any of the kernel's compressions; loaded in this order, together with the
#		kernel's own modules only if they are named as well
#
# Every module must load; kmodpkg_hello must also say that it was built for the kernel that runs.
# Without KVM, which nested virtual machines seldom have: a few seconds of emulation.
set -euo pipefail

LIMIT=${KMODPKG_TEST_QEMU_LIMIT:-180}

die()
{
	echo "FAILED: qemu: $*" >&2
	exit 1
}

[ $# -ge 2 ] || die "usage: qemu.sh VMLINUZ MODULE..."
vmlinuz=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/bin" "$work/root/m"
cp /bin/busybox "$work/root/bin/"

names=()
for ko; do
	name=$(basename "$ko" | sed 's/\.ko.*//')
	names+=("$name")
	case $ko in
	*.ko) cat "$ko" ;;
	*.ko.xz) xz -dc "$ko" ;;
	*.ko.zst) zstd -qdc "$ko" ;;
	*.ko.gz) gzip -dc "$ko" ;;
	*) die "$ko is not a module" ;;
	esac >"$work/root/m/$name.ko"
done

# "loaded" is only printed for a module that /proc/modules has, so an insmod that lies is found.
cat >"$work/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox dmesg -n 8
echo "e2e: running $(/bin/busybox uname -r)"
for name in $(/bin/busybox cat /names); do
	/bin/busybox insmod /m/$name.ko
	echo "e2e: $name rc=$?"
	/bin/busybox grep -q "^$name " /proc/modules && echo "e2e: $name loaded"
done
echo "e2e: end"
/bin/busybox poweroff -f
END
chmod +x "$work/root/init"
printf '%s\n' "${names[@]}" >"$work/root/names"
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/initrd"

# panic=-1 with -no-reboot ends qemu when the kernel panics; timeout is for all else.
start=$SECONDS
timeout "$LIMIT" qemu-system-x86_64 -M pc -accel tcg,thread=multi,tb-size=256 -m 256 \
	-nodefaults -nographic -serial stdio -no-reboot -kernel "$vmlinuz" -initrd "$work/initrd" \
	-append "console=ttyS0 panic=-1 rdinit=/init quiet loglevel=7 no_timer_check mitigations=off nokaslr random.trust_cpu=on" \
	</dev/null 2>&1 | tr -d '\r' | tee "$work/serial" || die "no end after $LIMIT seconds"

release=$(sed -n 's/^e2e: running //p' "$work/serial")
[ -n "$release" ] || die "the kernel did not come to its init"
for name in "${names[@]}"; do
	grep -q "^e2e: $name rc=0$" "$work/serial" || die "$release does not load $name"
	grep -q "^e2e: $name loaded$" "$work/serial" || die "$name is not among the modules of $release"
	[ "$name" != kmodpkg_hello ] ||
		grep -q "kmodpkg_hello: .* built for $release\$" "$work/serial" ||
		die "kmodpkg_hello was not built for $release"
done
grep -q '^e2e: end$' "$work/serial" || die "init did not come to its end"
echo "booted $release, loaded ${names[*]}, $((SECONDS - start))s"
