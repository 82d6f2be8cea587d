# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion of dkms, as kmodpkg brings it

# Of the live state, without starting a program.
_dkms_sources() {
	local dir
	for dir in /var/lib/dkms/*/*/; do
		[[ -L ${dir}source ]] || continue
		dir=${dir#/var/lib/dkms/}
		printf '%s\n' "${dir%/}"
	done
}

# What lies in /usr/src and is not added.
_dkms_trees() {
	local conf name
	for conf in /usr/src/*/dkms.conf; do
		[[ -f $conf ]] || continue
		name=${conf%/dkms.conf}
		name=${name##*/}
		[[ -L /var/lib/dkms/${name%-*}/${name##*-}/source ]] ||
			printf '%s\n' "${name%-*}/${name##*-}"
	done
}

_dkms_kernels() {
	local dir
	for dir in /lib/modules/*/; do
		[[ -d $dir ]] || continue
		dir=${dir#/lib/modules/}
		printf '%s\n' "${dir%/}"
	done
}

_dkms_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_dkms() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} action='' i
	local actions='add build install uninstall unbuild remove status match autoinstall
		mktarball ldtarball generate_mok kernel_preinst kernel_postinst kernel_prerm'
	local options='-m --module -v -k --kernelver -a --arch --all -c --config
		--kernelsourcedir --dkmstree --sourcetree --installtree --archive --templatekernel
		--directive -j --force --force-version-override --no-depmod --modprobe-on-install
		--symlink-modules --rpm_safe_upgrade --source-only --binaries-only --verbose -q
		--quiet --debug --help --version'

	# --option=VALUE comes as three words.
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ " ${actions//[[:space:]]/ } " != *" ${COMP_WORDS[i]} "* ]] ||
			action=${COMP_WORDS[i]}
	done
	COMPREPLY=()
	case $prev in
	-k | --kernelver | --templatekernel) _dkms_words "$(_dkms_kernels)" ;;
	-m | --module) _dkms_words "$(_dkms_sources; _dkms_trees)" ;;
	-a | --arch) _dkms_words "$(uname -m)" ;;
	--kernelsourcedir | --dkmstree | --sourcetree | --installtree)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	-c | --config | --archive) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	-v | -j | --directive) ;;
	*)
		if [[ $cur == -* ]]; then
			_dkms_words "$options"
		elif [[ -z $action ]]; then
			_dkms_words "$actions"
		elif [[ $cur == [./]* || $action == ldtarball ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		elif [[ $action == add ]]; then
			_dkms_words "$(_dkms_trees)"
		elif [[ $action == build || $action == install ]]; then
			_dkms_words "$(_dkms_sources; _dkms_trees)"
		else
			_dkms_words "$(_dkms_sources)"
		fi
		;;
	esac
}

complete -F _dkms dkms
