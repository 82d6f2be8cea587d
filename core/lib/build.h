// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Building modules: a graph of (source, kernel) jobs, run side by side.
 *
 * Each job runs in a process of its own (build-job.c) under the pair's lock: private
 * directory, patches, PRE_BUILD, make, POST_BUILD, collect, strip, sign, compress, verify,
 * publish (record.h). A job whose pair was built with the same key meanwhile joins that result.
 * All share one jobserver. Dependencies are edges: a job starts when those it names are built,
 * with their Module.symvers; when one failed, it is not started (-ENOLINK, "blocked").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/conf.h"
#include "lib/ctx.h"
#include "lib/kernel.h"
#include "lib/record.h"
#include "lib/source.h"

struct kp_build_job {
	const struct kp_source *source;
	const struct kp_conf *conf;
	const struct kp_kernel *kernel;
	const char *key;    /* stale key to record */
	const size_t *deps; /* indices of jobs that come first */
	size_t n_deps;
	char *const
		*symvers; /* absolute Module.symvers of dependencies built before; NULL */
	bool force;	  /* build even when the record says it is built with this key */

	/* out */
	struct kp_record *record; /* of this run, or the one joined; NULL when not run,
				   * interrupted, or it could not be written */
	int rc; /* 0; -ENOLINK blocked; -EOPNOTSUPP excluded; -EINTR; -ESTALE: its
				   * source was unregistered meanwhile; other negative: failed */
	struct kp_err err; /* one line: what failed, where the log is */
};

enum kp_build_event {
	KP_BUILD_QUEUED,
	KP_BUILD_STARTED,
	KP_BUILD_STAGE,
	KP_BUILD_DONE,
	KP_BUILD_TICK,
};

/* The stage that begins what the cache does not have. */
#define KP_BUILD_STAGE_ANEW "copy"

/* Called in this process. STAGE: "patch", "make", "sign"... (KP_BUILD_STAGE). TICK comes with
 * no job, about ten times a second while jobs run, so that a display can show that time
 * passes. */
typedef void kp_build_progress(enum kp_build_event event, const struct kp_build_job *job,
			       const char *stage, void *data);

struct kp_build_opts {
	int jobs; /* tokens, 0: config, then online processors */
	kp_build_progress *progress;
	void *data;
};

/* Run all; a failure stops only what depends on it. 0 when all were tried (look at each
 * rc); negative only when nothing could be run at all. SIGINT and SIGTERM end all jobs and
 * give -EINTR; nothing is left behind but logs. */
int kp_build_run(struct kp_ctx *ctx, struct kp_build_job *jobs, size_t n,
		 const struct kp_build_opts *opts, struct kp_err *err);
void kp_build_job_clear(struct kp_build_job *job); /* the out members */

/* Path of the log of a pair: <log_dir>/MODULE/VERSION/KERNEL-ARCH.log; to be freed. */
char *kp_build_log_path(struct kp_ctx *ctx, const char *module, const char *version,
			const char *kernel);
/* At most N lines of a log that say best why its last step failed: those at the first error of a
 * compiler, else the last. Control characters are replaced; to be freed. */
char *kp_build_log_excerpt(struct kp_ctx *ctx, const char *log, size_t n);
