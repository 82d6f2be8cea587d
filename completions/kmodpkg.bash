# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion of kmodpkg

_kmodpkg_sources() {
	local dir
	for dir in /var/lib/dkms/*/*/; do
		[[ -L ${dir}source ]] || continue
		dir=${dir#/var/lib/dkms/}
		printf '%s\n' "${dir%/}" "${dir%%/*}"
	done
}

_kmodpkg_kernels() {
	local dir
	for dir in /lib/modules/*/; do
		[[ -d $dir ]] || continue
		dir=${dir#/lib/modules/}
		printf '%s\n' "${dir%/}"
	done
}

_kmodpkg() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verbs='status sync add build install uninstall remove owner log conf doctor adopt'
	local options='--root --quiet --verbose --help' verb='' i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--root) ((i++)) ;;
		-*) ;;
		*)
			verb=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	COMPREPLY=()
	case $prev in
	--root)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	-k | --kernel)
		mapfile -t COMPREPLY < <(compgen -W "$(_kmodpkg_kernels)" -- "$cur")
		return
		;;
	-j | --jobs) return ;;
	esac
	case $verb in
	'') options+=' --version' ;;
	status) options+=' -k --kernel --json' ;;
	sync) options+=' -k --kernel -n --dry-run -f --force -j --jobs --boot --no-initramfs' ;;
	add) options+=' -f --force' ;;
	build) options+=' -k --kernel -a --all -f --force -j --jobs' ;;
	install) options+=' -k --kernel -a --all -f --force -j --jobs --no-initramfs' ;;
	uninstall) options+=' -k --kernel -a --all --no-initramfs' ;;
	remove) options+=' -k --kernel -a --all --no-initramfs' ;;
	log) options+=' -k --kernel --path' ;;
	conf) options+=' -k --kernel --json' ;;
	doctor) options+=' --json' ;;
	adopt) options+=' -n --dry-run --no-initramfs' ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ -z $verb ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
	elif [[ $verb == doctor || $verb == adopt ]]; then
		:
	elif [[ $verb == owner ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ $verb == add ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	elif [[ $verb == conf && $cur == [./]* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_kmodpkg_sources | sort -u)" -- "$cur")
	fi
}

complete -F _kmodpkg kmodpkg
