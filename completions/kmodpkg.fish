# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion of kmodpkg

function __kmodpkg_sources
	for link in /var/lib/dkms/*/*/source
		set -l words (string split / $link)
		echo $words[5]
		echo $words[5]/$words[6]
	end
end

function __kmodpkg_kernels
	for dir in /lib/modules/*/
		string split / $dir | tail -n 2 | head -n 1
	end
end

set -l verbs status sync add build install uninstall remove owner log conf doctor adopt
complete -c kmodpkg -f
complete -c kmodpkg -l root -x -a '(__fish_complete_directories)' -d 'Work on the system below a directory'
complete -c kmodpkg -s q -l quiet -d 'Say nothing but warnings and errors'
complete -c kmodpkg -s v -l verbose -d 'Say more'
complete -c kmodpkg -s h -l help -d 'Print help'
complete -c kmodpkg -n "not __fish_seen_subcommand_from $verbs" -l version -d 'Print the version'

function __kmodpkg_verb -a name description
	complete -c kmodpkg -n "not __fish_seen_subcommand_from status sync add build install uninstall remove owner log conf doctor adopt" -a $name -d $description
end
__kmodpkg_verb status 'Show each module\'s state, package and what is wrong'
__kmodpkg_verb sync 'Build, install and erase until the system is as it should be'
__kmodpkg_verb add 'Register a module source'
__kmodpkg_verb build 'Build a module without installing it'
__kmodpkg_verb install 'Build a module and install its package'
__kmodpkg_verb uninstall 'Erase a module\'s package and keep it away'
__kmodpkg_verb remove 'Unregister a module source, and erase its packages'
__kmodpkg_verb owner 'Print the package that owns a file'
__kmodpkg_verb log 'Print the log of a module\'s last build'
__kmodpkg_verb conf 'Print what a dkms.conf says'
__kmodpkg_verb doctor 'Say what is wrong, and the command that mends it'
__kmodpkg_verb adopt 'Take over what DKMS built and installed'
functions -e __kmodpkg_verb

complete -c kmodpkg -n '__fish_seen_subcommand_from status sync build install uninstall remove log conf' -a '(__kmodpkg_sources)'
complete -c kmodpkg -n '__fish_seen_subcommand_from status sync build install uninstall remove log conf' -s k -l kernel -x -a '(__kmodpkg_kernels)' -d 'For this kernel'
complete -c kmodpkg -n '__fish_seen_subcommand_from owner conf' -F
complete -c kmodpkg -n '__fish_seen_subcommand_from add' -a '(__fish_complete_directories)'
complete -c kmodpkg -n '__fish_seen_subcommand_from status conf doctor' -l json -d 'For programs'
complete -c kmodpkg -n '__fish_seen_subcommand_from sync adopt' -s n -l dry-run -d 'Print what would be done'
complete -c kmodpkg -n '__fish_seen_subcommand_from sync' -l boot -d 'Only what the running kernel lacks'
complete -c kmodpkg -n '__fish_seen_subcommand_from add sync build install' -s f -l force -d 'Even if nothing changed'
complete -c kmodpkg -n '__fish_seen_subcommand_from sync build install' -s j -l jobs -x -d 'Run that many jobs at once'
complete -c kmodpkg -n '__fish_seen_subcommand_from build install uninstall remove' -s a -l all -d 'For all kernels'
complete -c kmodpkg -n '__fish_seen_subcommand_from sync adopt install uninstall remove' -l no-initramfs -d 'Leave the initramfs as it is'
complete -c kmodpkg -n '__fish_seen_subcommand_from log' -l path -d 'Print only where it is'
