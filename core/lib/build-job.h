// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One build, in a process of its own: plain sequential code. Only for build.c, build-*.c.
 *
 * build-job.c is the sequence, build-source.c copies the source, build-recipe.c runs what the
 * recipe brings (patches, scripts, make), build-collect.c takes files out of the build directory,
 * build-publish.c turns them into what is published and recorded, build-cache.c knows what was
 * built before, by what build-reads.c finds that it read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/hash.h"
#include "lib/build.h"
#include "lib/build-log.h"
#include "lib/jobserver.h"
#include "lib/kernel.h"
#include "lib/sandbox.h"

/* What a job's process writes to its pipe; below PIPE_BUF, so each comes whole. */
enum kp_build_msg_kind { KP_MSG_STAGE, KP_MSG_LOG, KP_MSG_DONE };

struct kp_build_msg {
	enum kp_build_msg_kind kind;
	int code;	       /* LOG: level; DONE: rc */
	char text[KP_ERR_MAX]; /* STAGE: its name; LOG: the line; DONE: err */
};

/* Exit codes of DKMS that a record keeps. */
enum {
	KP_EXIT_OTHER = 1,
	KP_EXIT_PATCH_MISSING = 5,
	KP_EXIT_PATCH = 6,
	KP_EXIT_NO_PRODUCT = 7,
	KP_EXIT_NO_SOURCE = 8,
	KP_EXIT_MAKE = 10,
	KP_EXIT_EXCLUDED = 77,
};

/* A module file on its way from the build directory to its package. */
struct kp_product {
	const struct kp_conf_module *module;
	char *path; /* absolute: in stage, named as it will be */
	bool is_signed;
};

struct kp_build_work {
	struct kp_ctx *ctx;
	const struct kp_build_job *job;
	char **symvers; /* absolute Module.symvers of all dependencies */
	const struct kp_jobserver *js;
	struct kp_kernel_build kb;

	unsigned int slot;
	int locks[3];	  /* pair, source (without private mounts), slot; -1 */
	int64_t deadline; /* monotonic seconds; 0: none */

	char *link; /* by which the source is registered, and how it was; all zero: no longer */
	struct stat registered;

	char *seen; /* the build directory as the recipe sees it (where DKMS has it) */
	char *seen_out; /* likewise K/ARCH, which some recipes write to */
	char *private;	/* our directory for this job; the next five lie in it */
	char *build, *out, *tmp;
	char *fronts; /* first in its PATH, see probe.h; NULL: none */
	char *source; /* seen at the source's own place by a recipe that names that; NULL */
	char *stage;	    /* <dkms_tree>/M/V/K/.tmp_ARCH_x: root's, becomes K/ARCH */
	char **own_symvers; /* copies of each Module.symvers that the build made */
	struct kp_product *products;
	size_t n_products;
	uint64_t taken;	 /* bytes that were collected */
	char **licenses; /* of them all, each once */
	struct kp_build_log log;

	bool can_keep; /* in the cache, under cache_key, what is built from files as they were
			* at since */
	char cache_key[KP_HASH_HEX];
	struct timespec since;

	/* Of a failure, for the record. */
	int exit_code;	  /* 0: KP_EXIT_OTHER */
	bool recipe;	  /* the source is to blame, unless the log says otherwise */
	unsigned int met; /* limits that it can have met, as kp_sandbox.met */

	int msg_fd;
};

/* Do all of it. Returns the process's exit code; what happened goes to msg_fd and to the
 * record. */
int kp_build_job_main(struct kp_build_work *w);

/* Tell the parent which stage begins. -EINTR when the build is to end. */
int kp_build_stage(struct kp_build_work *w, const char *name, struct kp_err *err);
/* For what may take long: -EINTR: it is to end; -ETIME: its time is over. */
int kp_build_go_on(const struct kp_build_work *w, struct kp_err *err);
void kp_build_send(struct kp_build_work *w, enum kp_build_msg_kind kind, int code,
		   const char *text);

/* build-order.c */
/* How much work each of N jobs is, with that of those that wait for it: only good for an order. To be
 * freed. */
uint64_t *kp_build_weigh(struct kp_ctx *ctx, const struct kp_build_job *jobs, size_t n);

/* build-source.c: the source, and what the administrator has put over its patches. */
int kp_build_copy_source(struct kp_build_work *w, struct kp_err *err);

/* build-recipe.c */
int kp_recipe_patch(struct kp_build_work *w, struct kp_err *err);
int kp_recipe_script(struct kp_build_work *w, enum kp_conf_script which,
		     struct kp_err *err);
int kp_recipe_make(struct kp_build_work *w, struct kp_err *err);
/* The command line of MAKE, for a shell; NULL: the default one, *ret_argv its vector. */
char *kp_recipe_make_line(const struct kp_build_work *w, char ***ret_argv);
char **kp_recipe_env(const struct kp_build_work *w);
/* Does the end of the log say that the machine is to blame? */
bool kp_recipe_machine_fault(const char *log_end);
/* -EDQUOT, with words: it says that one of the limits MET, which can have been, was. 0: none. */
int kp_recipe_limit(const struct kp_limits *limits, unsigned int met, const char *log_end,
		    struct kp_err *err);

/* build-collect.c */
/* Open a regular file below DIR_FD that is no link of any kind and is the only name of its
 * bytes. PATH must not lead out; links in it are refused. -ENOENT: not there; -ELOOP, -EMLINK,
 * -EINVAL with words. */
int kp_collect_open(int dir_fd, const char *path, struct kp_err *err);
/* The modules, and each Module.symvers. -EDQUOT, -ENOSPC: more than limit_disk, or than there is
 * room for; nothing of it was copied. */
int kp_collect_products(struct kp_build_work *w, struct kp_err *err);
/* Files that the recipe left in K/ARCH. Likewise; -E2BIG: too many. */
int kp_collect_extra(struct kp_build_work *w, struct kp_err *err);

/* build-cache.c */
/* Fill stage with what was built of the same before. 1: done; 0: it is to be built. */
int kp_kept_take(struct kp_build_work *w, struct kp_err *err);
/* Keep what is in stage, if it can be; the log says why not. */
void kp_kept_put(struct kp_build_work *w, int64_t elapsed_ms);

/* build-reads.c */
/* When make is done: the files of the system that the build read, absolute, each once; *ret is a string
 * vector to be freed. -EOPNOTSUPP: not all of them can be known, or they cannot be looked at again. */
int kp_reads_find(struct kp_build_work *w, char ***ret, struct kp_err *err);

/* build-publish.c */
int kp_publish_check(struct kp_build_work *w, struct kp_err *err);  /* strip, check */
int kp_publish_finish(struct kp_build_work *w, struct kp_err *err); /* sign, compress */
/* Rename into place; fill REC's list of files, content, is_signed. */
int kp_publish_commit(struct kp_build_work *w, struct kp_record *rec, struct kp_err *err);
/* Leave the log of a build that failed where DKMS does, until the next one; or remove it. A view: what
 * goes wrong with it is no fault of the build. */
void kp_publish_failure(struct kp_build_work *w, bool failed);
