#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of a throw-away root: mounts it, makes it /, and becomes the command.
# Started by root_run (root.sh) in mount and pid namespaces of its own, so whatever it mounts and
# whatever the command leaves running is gone when it ends.
#
# usage: enter.sh MOUNTPOINT LOWER UPPER BINDS -- COMMAND...
#	LOWER	lowerdir= of the overlay, topmost first; empty: UPPER itself is the root
#	UPPER	directory that takes the changes; empty: a tmpfs that vanishes with the namespace
#	BINDS	lines of "SOURCE DESTINATION", seen read-only; "SOURCE DESTINATION rw" is writable
set -euo pipefail

at=$1 lower=$2 upper=$3 binds=$4
shift 5

root=$at/root
mount -t tmpfs -o mode=0755 tmpfs "$at"
mkdir "$root"
if [ -z "$lower" ]; then
	mount --bind "$upper" "$root"
else
	# redirect_dir: a directory that lies in a lower layer can be renamed, as on a real disk.
	opts=lowerdir=$lower,redirect_dir=on,index=off,metacopy=off
	if [ -z "$upper" ]; then
		upper=$at/top/upper
		mkdir "$at/top"
		mount -t tmpfs -o mode=0755,size=75% tmpfs "$at/top"
	fi
	mkdir -p "$upper" "${upper%/*}/work"
	mount -t overlay -o "$opts,upperdir=$upper,workdir=${upper%/*}/work" overlay "$root"
fi

cd "$root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs sys
mount -t tmpfs -o nosuid,mode=0755 tmpfs run
mkdir -m 1777 run/lock
mount -t tmpfs -o nosuid,mode=0755 tmpfs dev
mkdir dev/pts
mkdir -m 1777 dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for i in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${i%:*}" "dev/${i#*:}"
done
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0

# Below /run, so that the mount points leave nothing behind in a layer; /etc/... exist already.
while read -r src dst mode; do
	[ -n "$src" ] || continue
	if [ -d "$src" ]; then
		mkdir -p "$root$dst"
	elif [ ! -e "$root$dst" ]; then
		: >"$root$dst"
	fi
	mount --bind "$src" "$root$dst"
	[ "$mode" = rw ] || mount -o remount,bind,ro "$root$dst"
done <<<"$binds"

# pivot_root and not chroot: programs cannot tell it from a real system (ischroot), and user
# namespaces, which a process in a chroot may not make, work as they do on one.
pivot_root . .
umount -l .
cd /
exec "$@"
