// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dkms.conf: what a module source says about itself, for one kernel.
 *
 * Two evaluators give the same variables (vars.h): the plain one (conf-plain.c) in C,
 * for files of assignments; it refuses with -ENOTSUP at the first construct that it
 * does not know for certain. Then bash does it (conf-shell.c): unprivileged, without
 * network, nothing of it trusted. kp_conf_load() tries them in that order and
 * interprets the result: defaults, array rules, overrides of /etc/dkms, exclusions.
 * DKMS 3.4.3 is the reference for the rules.
 *
 * Both see the variables of struct kp_conf_env and of the context, and nothing of our
 * own environment: module, module_version, kernelver, arch, kernel_source_dir,
 * kernel_config, dkms_tree, source_tree, install_tree, parallel_jobs (number of jobs
 * configured, else of online processors), running_distribution, tmp_location (/tmp).
 * Files are read in one shell, dkms.conf first, then the overrides of /etc/dkms from
 * the general to the special: MODULE.conf, MODULE-VERSION.conf,
 * MODULE-VERSION-KERNEL.conf, MODULE-VERSION-KERNEL-ARCH.conf, MODULE--KERNEL.conf,
 * MODULE--KERNEL-ARCH.conf.
 *
 * The value of every directive is then expanded a second time, as DKMS does and confs
 * rely on (MAKE='make -C $kernel_source_dir'): a carriage return at its end is dropped;
 * each run of blanks and line breaks becomes one blank; \$ \` \" and \\ lose the
 * backslash; $name, ${name} and ${name[n]} are replaced by that variable as it then is,
 * by nothing when it is not set. Variables of bash itself ($PATH, $PWD, $1), $( ), ` `
 * and " stay: MAKE and scripts are shell lines, and their shell gets them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "lib/ctx.h"
#include "lib/vars.h"

/* What a conf sees as variables. All may be NULL, but source_dir or conf_file. */
struct kp_conf_env {
	const char *module, *version; /* of the registered source; module NULL or
				       * "": both as the conf says */
	const char *kernelver;	      /* NULL: no particular kernel (status of "added") */
	const char *arch;	      /* NULL: the context's */
	const char *kernel_source_dir; /* NULL: <install_tree>/<kernelver>/build */
	const char *kernel_config; /* NULL: include/config/auto.conf or .config there */
	const char *source_dir;	   /* where dkms.conf lies, absolute */
	const char *conf_file;	   /* NULL: <source_dir>/dkms.conf */
	char *const *directives;   /* --directive NAME=VALUE, NULL: none */
	/* Stands for the content of source and headers: what bash made of the conf with the same basis may be
	 * used again, and there are no warnings. NULL: evaluate, whatever is remembered. */
	const char *basis;
	bool anew; /* evaluate, and remember that instead */
};

struct kp_conf_module {
	char *built_name;     /* BUILT_MODULE_NAME, without .ko */
	char *built_location; /* relative to the build directory, "" or ending in '/' */
	char *dest_name;
	char *dest_location; /* "/updates/...", without "." and repeated slashes */
	bool strip;
	char *excluded; /* reason, NULL: wanted */
};

enum kp_conf_script {
	KP_SCRIPT_PRE_BUILD,
	KP_SCRIPT_POST_BUILD,
	KP_SCRIPT_PRE_INSTALL,
	KP_SCRIPT_POST_INSTALL,
	KP_SCRIPT_POST_ADD,
	KP_SCRIPT_POST_REMOVE,
	KP_SCRIPT_COUNT
};

struct kp_conf {
	char *name, *version; /* PACKAGE_NAME, PACKAGE_VERSION */
	struct kp_conf_module *modules;
	size_t n_modules;
	char *make;	/* MAKE line chosen by MAKE_MATCH; NULL: the default make */
	char **patches; /* names below patches/, chosen by PATCH_MATCH, in order */
	char *scripts[KP_SCRIPT_COUNT]; /* "script args"; NULL: none */
	char **build_depends;
	bool build_depends_rebuild;
	bool autoinstall, no_weak_modules;
	bool remake_initrd; /* the initramfs is to be made again, whatever it holds */
	char *excluded;	    /* why nothing is for this kernel (exit 77); NULL: not so */
	const char *evaluator; /* "plain" or "shell" */
	char *why_shell; /* "<file>: line <n>: <construct>" that was not plain; NULL */
	/* By bash: what it may have looked at is nothing but the files, what the keys of source and kernel cover,
	 * and these paths, absolute. */
	bool closed;
	char **reads;
	char **files;	 /* conf files that were read, absolute, in order */
	char **warnings; /* lint: deprecated and doubtful things, a line each */
	struct kp_vars
		*vars; /* all that was set; of bash, with a basis, perhaps not all */
};

/* Evaluate and interpret. -ENOENT: no dkms.conf; -EINVAL: bad conf, err's text is
 * "<file>: <reason>"; others: it could not be evaluated, -ENOPKG
 * (no bash), -ETIME (bash took too long), -ECANCELED (it was killed), -EACCES and what
 * files and the sandbox give. */
int kp_conf_load(struct kp_ctx *ctx, const struct kp_conf_env *env, struct kp_conf **ret,
		 struct kp_err *err);
/* Is R, of kp_conf_load(), the conf's own fault (exit code 8 of DKMS)? Also when it ran into a limit. */
bool kp_conf_is_bad(int r);
/* Drop what is remembered of a source's conf. */
void kp_conf_forget(struct kp_ctx *ctx, const char *module, const char *version);
void kp_conf_free(struct kp_conf *conf);
KP_DEFINE_CLEANUP(struct kp_conf *, kp_conf_free);

/* The plain evaluator on one text. VARS holds what is set before and gets what the text
 * sets. -ENOTSUP: something it does not know (err: line and construct), vars untouched.
 * Pure; fuzzed. */
int kp_conf_plain(const char *text, size_t len, struct kp_vars *vars, struct kp_err *err);
/* bash on files, in order, in the sandbox; results as from the plain one: on success
 * VARS has all variables that are then set, but bash's own; without ALL, which takes bash
 * longer than a conf that sources the kernel's .config, only the directives and the variables that their
 * values name. What a conf prints goes to the debug log. -EINVAL: syntax error, or the conf ended the shell; -ETIME: it took
 * too long; -ECANCELED: bash was killed; -EFBIG: too many variables; -ENOPKG: no bash. */
int kp_conf_shell(struct kp_ctx *ctx, char *const *files, struct kp_vars *vars, bool all,
		  struct kp_err *err);

const char *kp_conf_script_name(enum kp_conf_script s); /* "PRE_BUILD" */
