# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion of dkms, as kmodpkg brings it

function __dkms_sources
	for link in /var/lib/dkms/*/*/source
		set -l words (string split / $link)
		echo $words[5]/$words[6]
	end
end

function __dkms_trees
	for conf in /usr/src/*/dkms.conf
		string replace -r '^/usr/src/(.*)-([^-]*)/dkms.conf$' '$1/$2' $conf
	end
end

function __dkms_kernels
	for dir in /lib/modules/*/
		string split / $dir | tail -n 2 | head -n 1
	end
end

set -l actions add build install uninstall unbuild remove status match autoinstall mktarball ldtarball generate_mok kernel_preinst kernel_postinst kernel_prerm
complete -c dkms -f
complete -c dkms -n "not __fish_seen_subcommand_from $actions" -a "$actions"
complete -c dkms -n '__fish_seen_subcommand_from add' -a '(__dkms_trees) (__fish_complete_directories)'
complete -c dkms -n '__fish_seen_subcommand_from build install' -a '(__dkms_sources) (__dkms_trees)'
complete -c dkms -n '__fish_seen_subcommand_from uninstall unbuild remove status match mktarball' -a '(__dkms_sources)'
complete -c dkms -n '__fish_seen_subcommand_from ldtarball' -F
complete -c dkms -s m -l module -x -a '(__dkms_sources)' -d 'The module'
complete -c dkms -s v -x -d 'Its version'
complete -c dkms -s k -l kernelver -x -a '(__dkms_kernels)' -d 'For this kernel'
complete -c dkms -s a -l arch -x -d 'Of this machine'
complete -c dkms -l all -d 'For all kernels'
complete -c dkms -s c -r -F -d 'Use this instead of dkms.conf'
complete -c dkms -l config -r -F -d 'The kernel\'s configuration'
complete -c dkms -l kernelsourcedir -x -a '(__fish_complete_directories)' -d 'The kernel\'s headers'
complete -c dkms -l dkmstree -x -a '(__fish_complete_directories)' -d 'Instead of /var/lib/dkms'
complete -c dkms -l sourcetree -x -a '(__fish_complete_directories)' -d 'Instead of /usr/src'
complete -c dkms -l installtree -x -a '(__fish_complete_directories)' -d 'Instead of /lib/modules'
complete -c dkms -l archive -r -F -d 'The archive'
complete -c dkms -l templatekernel -x -a '(__dkms_kernels)' -d 'The kernel that has the modules'
complete -c dkms -l directive -x -d 'Set NAME=VALUE of dkms.conf'
complete -c dkms -s j -x -d 'Run that many jobs at once'
complete -c dkms -l force -d 'Build anew, replace what is there'
complete -c dkms -l force-version-override -d 'Accepted without effect'
complete -c dkms -l no-depmod -d 'Accepted without effect'
complete -c dkms -l modprobe-on-install -d 'Load modules for the machine\'s devices'
complete -c dkms -l symlink-modules -d 'Accepted without effect'
complete -c dkms -l rpm_safe_upgrade -d 'Accepted without effect'
complete -c dkms -l source-only -d 'Pack no builds'
complete -c dkms -l binaries-only -d 'Pack no source'
complete -c dkms -l verbose -d 'Say more'
complete -c dkms -s q -l quiet -d 'Print nothing'
complete -c dkms -l debug -d 'Say more'
complete -c dkms -l help -d 'Print help'
complete -c dkms -l version -d 'Print the version'
