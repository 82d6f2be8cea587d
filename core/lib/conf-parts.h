// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the files conf*.c share with each other, and with nobody else.
 *
 * Evaluation (conf-plain.c, conf-shell.c) gives shell variables. Interpretation (conf.c)
 * reads the directives among them: conf-expand.c expands their values a second time,
 * conf-rules.c makes modules, make line, patches and switches of them, conf-exclude.c
 * decides about the kernel, conf-lint.c finds what is doubtful.
 */
#pragma once

#include <stdbool.h>

#include "lib/conf.h"

/* Names of directives, those that DKMS once knew included; NULL-terminated. The order is
 * that in which DKMS expands their values for the second time. */
extern const char *const kp_conf_directives[];
bool kp_conf_is_directive(const char *name);

/*
 * Does the variable belong to bash: set by it, taken from the environment, or changing
 * what bash does? The plain evaluator refuses to read or assign such a one; the shell
 * evaluator does not return it; the second expansion leaves it to the shell that runs
 * the value. Source: bash(1), "Shell Variables", and what the lists of set(1) and
 * env(1) show.
 */
bool kp_conf_name_special(const char *name);

/* Does what bash makes of confs with these texts depend on nothing but the variables GIVEN (NULL: none that
 * are known), the running kernel, the headers and certain files? *PATHS and *SOURCED are vectors that get, each
 * once, the absolute paths of these files, and those of them whose text is run as well: it has to be among the
 * texts. NULL: they do not matter. */
bool kp_conf_is_closed(char *const *texts, const struct kp_vars *given, char ***paths,
		       char ***sourced);

/* The absolute paths that bash may look at when it evaluates these files, besides what the key of a source and
 * its kernel covers. *ret: a vector, each once. -ENOTSUP: at others as well. */
int kp_conf_reads(const struct kp_ctx *ctx, char *const *files,
		  const struct kp_vars *given, char ***ret);

/*
 * What bash made of these files before (conf-memo.c). GIVEN: the variables that it gets. True:
 * *ret, which is freed, has them and the directives, expanded, and *ret_reads what kp_conf_reads()
 * said. Without env->basis nothing is remembered.
 */
bool kp_conf_recall(struct kp_ctx *ctx, const struct kp_conf_env *env, char *const *files,
		    const struct kp_vars *given, struct kp_vars **ret, char ***ret_reads);
/* VARS: the result, expanded. Where that cannot be written, nothing is. */
void kp_conf_remember(struct kp_ctx *ctx, const struct kp_conf_env *env,
		      char *const *files, const struct kp_vars *given,
		      const struct kp_vars *vars, char *const *reads);

/* Second expansion, on all directives (conf.h says what it is). *ret_cr: some value ended
 * in a carriage return. -EINVAL: a value became too long. */
int kp_conf_expand(struct kp_vars *vars, bool *ret_cr, struct kp_err *err);

/* Fill everything but the exclusions. FILE is the conf for error texts. */
int kp_conf_rules(struct kp_conf *conf, const struct kp_conf_env *env, const char *file,
		  struct kp_err *err);

/* Decide about BUILD_EXCLUSIVE_* for env->kernelver (NULL: nothing is excluded). */
int kp_conf_exclude(struct kp_ctx *ctx, struct kp_conf *conf,
		    const struct kp_conf_env *env, struct kp_err *err);

void kp_conf_lint(struct kp_ctx *ctx, struct kp_conf *conf,
		  const struct kp_conf_env *env);

/* Does the unanchored extended regular expression match? One that does not compile
 * matches nothing, as in bash, and gives a warning that names DIRECTIVE. */
bool kp_conf_match(struct kp_conf *conf, const char *directive, const char *regex,
		   const char *text);

/* "" for an element that is not set. */
const char *kp_conf_value(const struct kp_conf *conf, const char *name,
			  unsigned int index);
