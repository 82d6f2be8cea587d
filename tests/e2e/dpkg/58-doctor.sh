# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What doctor finds, and that the commands it names mend it.

# Run the commands that doctor names, once each.
take_medicine()
{
	local command
	sed -n 's/^    //p' "$RUN_OUTPUT" | sort -u >/tmp/e2e-medicine
	while IFS= read -r command; do
		# No repository has it here.
		[[ $command != "apt install --reinstall"* ]] ||
			command=${command/% kmodpkg/ $KMODPKG}
		run bash -c "$command"
	done </tmp/e2e-medicine
}

scenario doctor hello smoke
doctor()
{
	local dir
	run kmodpkg doctor
	assert_output '^nothing is wrong$'
	run apt-get remove "linux-headers-$K1"
	rm /etc/dpkg/dpkg.cfg.d/kmodpkg /etc/kernel/postinst.d/aa-kmodpkg
	dir=$(kernel_dir "$K1")
	mkdir -p /lib/modules/6.1.0-1-dead/updates
	touch /lib/modules/6.1.0-1-dead/modules.dep
	cp -a /usr/src/kmodpkg-hello-1.0 /usr/src/kmodpkg-mine-1.0
	sed -i 's/^PACKAGE_NAME=.*/PACKAGE_NAME=kmodpkg-mine/
		s/^BUILT_MODULE_NAME.*/BUILT_MODULE_NAME=kmodpkg_hello\nDEST_MODULE_NAME=kmodpkg_mine/' \
		/usr/src/kmodpkg-mine-1.0/dkms.conf
	run_fails kmodpkg doctor
	assert_output "^headers: kernel $K1_RE has no headers: 1 module cannot be rebuilt$"
	assert_output "^    apt install linux-headers-$K1_RE$"
	assert_output '^hooks: /etc/dpkg/dpkg.cfg.d/kmodpkg is missing'
	assert_output '^hooks: /etc/kernel/postinst.d/aa-kmodpkg is missing'
	assert_output '^files: .*/lib/modules/6.1.0-1-dead is left of a kernel that is gone'
	assert_output '^    kmodpkg add kmodpkg-mine/1.0$'
	take_medicine
	# The source that was added is built by a sync.
	run kmodpkg remove kmodpkg-mine/1.0
	run kmodpkg doctor
	assert_output '^nothing is wrong$'
	cp "$(module_file "$K1" kmodpkg_hello)" "$dir/updates/by_hand.ko"
	run_fails kmodpkg doctor
	assert_output "^files: kernel $K1_RE: owned by no package, .*/updates/by_hand.ko$"
	rm "$dir/updates/by_hand.ko"
}
