// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/str.h"
#include "lib/conf-parts.h"

const char *const kp_conf_directives[] = {
	"PACKAGE_NAME",
	"PACKAGE_VERSION",
	"POST_ADD",
	"POST_BUILD",
	"POST_INSTALL",
	"POST_REMOVE",
	"PRE_BUILD",
	"PRE_INSTALL",
	"BUILD_DEPENDS",
	"BUILD_EXCLUSIVE_ARCH",
	"BUILD_EXCLUSIVE_CONFIG",
	"BUILD_EXCLUSIVE_KERNEL",
	"BUILD_EXCLUSIVE_KERNEL_MIN",
	"BUILD_EXCLUSIVE_KERNEL_MAX",
	"OBSOLETE_BY",
	"MAKE",
	"MAKE_MATCH",
	"PATCH",
	"PATCH_MATCH",
	"BUILT_MODULE_NAME",
	"BUILT_MODULE_LOCATION",
	"DEST_MODULE_NAME",
	"DEST_MODULE_LOCATION",
	"STRIP",
	"AUTOINSTALL",
	"NO_WEAK_MODULES",
	"BUILD_DEPENDS_REBUILD",
	"CLEAN",
	"REMAKE_INITRD",
	"MODULES_CONF",
	"MODULES_CONF_OBSOLETES",
	"MODULES_CONF_ALIAS_TYPE",
	"MODULES_CONF_OBSOLETE_ONLY",
	NULL,
};

static const char *const special_names[] = {
	"_",
	"CHILD_MAX",
	"COLUMNS",
	"COMPREPLY",
	"COPROC",
	"DIRSTACK",
	"EMACS",
	"ENV",
	"EPOCHREALTIME",
	"EPOCHSECONDS",
	"EUID",
	"EXECIGNORE",
	"FCEDIT",
	"FIGNORE",
	"FUNCNAME",
	"FUNCNEST",
	"GLOBIGNORE",
	"GLOBSORT",
	"GROUPS",
	"HOME",
	"HOSTFILE",
	"HOSTNAME",
	"HOSTTYPE",
	"IFS",
	"IGNOREEOF",
	"INPUTRC",
	"INSIDE_EMACS",
	"LANG",
	"LANGUAGE",
	"LINENO",
	"LINES",
	"LOGNAME",
	"MACHTYPE",
	"MAIL",
	"MAILCHECK",
	"MAILPATH",
	"MAPFILE",
	"OLDPWD",
	"OPTARG",
	"OPTERR",
	"OPTIND",
	"OSTYPE",
	"PATH",
	"PIPESTATUS",
	"POSIXLY_CORRECT",
	"PPID",
	"PROMPT_COMMAND",
	"PROMPT_DIRTRIM",
	"PS0",
	"PS1",
	"PS2",
	"PS3",
	"PS4",
	"PWD",
	"RANDOM",
	"REPLY",
	"SECONDS",
	"SHELL",
	"SHELLOPTS",
	"SHLVL",
	"SRANDOM",
	"TERM",
	"TEXTDOMAIN",
	"TEXTDOMAINDIR",
	"TIMEFORMAT",
	"TMOUT",
	"TMPDIR",
	"TZ",
	"UID",
	"USER",
	"auto_resume",
	"histchars",
};

/* "__kp_" is the evaluation script's own (conf-shell.c). */
static const char *const special_prefixes[] = {
	"BASH", "COMP_", "HIST", "LC_", "READLINE_", "__kp_",
};

bool kp_conf_is_directive(const char *name)
{
	for (size_t i = 0; kp_conf_directives[i]; i++)
		if (!strcmp(kp_conf_directives[i], name))
			return true;
	return false;
}

bool kp_conf_name_special(const char *name)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(special_names); i++)
		if (!strcmp(special_names[i], name))
			return true;
	for (size_t i = 0; i < KP_ARRAY_SIZE(special_prefixes); i++)
		if (kp_str_starts(name, special_prefixes[i]))
			return true;
	return false;
}
