// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The last build of one source for one kernel: result, key, log.
 *
 * JSON, <state_dir>/builds/MODULE/VERSION/KERNEL-ARCH.json, replaced as a whole by the process
 * that holds the pair's build lock. A record that cannot be parsed counts as absent (the
 * pair is built again) with a warning. What was built lies in
 * <dkms_tree>/MODULE/VERSION/KERNEL/ARCH/{module/,log/make.log}, with Module.symvers of the
 * build's top in module/; a record says "built" only for what was published there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "lib/ctx.h"

enum kp_build_result { KP_BUILD_OK, KP_BUILD_FAILED, KP_BUILD_EXCLUDED };

struct kp_record_file {
	char *name;   /* file name below module/: "hello.ko.xz" */
	char *dest;   /* below the kernel's directory: "updates/dkms/hello.ko.xz" */
	char *sha256; /* of the bytes, hex */
	uint64_t size;
};

/* Of the configuration, as a record keeps them: minutes, processes, MiB of memory, MiB of disk. */
#define KP_RECORD_LIMITS 4

struct kp_record {
	enum kp_build_result result;
	char *key;     /* stale key it was built from */
	char *reason;  /* FAILED: one line */
	bool machine;  /* FAILED: the machine's fault (full disk, killed, no toolchain) */
	int exit_code; /* FAILED: as DKMS has it (10 make, 7 missing .ko, 6 patch...) */
	/* FAILED: limits that it can have run into; 0: not into that one. */
	int64_t limits[KP_RECORD_LIMITS];
	char *unprotected; /* FAILED: kp_sandbox_missing() as it was built, NULL: nothing */
	char *log;	   /* absolute path of the log */
	int64_t time;	   /* seconds since the epoch, end of the build */
	int64_t elapsed_ms;
	char *content;	 /* OK: hash over dest and sha256 of all files */
	char **licenses; /* OK: of the modules, in their own words, each once; NULL: none */
	bool is_signed; /* OK: every file carries a signature */
	bool cached;	/* OK: built before, and kept (cache.h) */
	struct kp_record_file *files;
	size_t n_files;
};

/* -ENOENT: none, or none that can be parsed. */
int kp_record_load(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, struct kp_record **ret, struct kp_err *err);
/* The text of a record file; FILE is for messages. Pure; fuzzed. */
int kp_record_parse(const char *text, size_t len, const char *file,
		    struct kp_record **ret, struct kp_err *err);
/* -EINVAL: a member is not what the file may hold (the reason is made fit instead). */
int kp_record_save(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, const struct kp_record *rec, struct kp_err *err);
/* Fill rec->limits if CODE, by which it failed, is that of one (-ETIME, -EDQUOT). */
void kp_record_set_limits(struct kp_record *rec, const struct kp_config *config,
			  int code);
/* Is one of those higher now, so that it may succeed? */
bool kp_record_limits_raised(const struct kp_record *rec, const struct kp_config *config);
/* Make rec->content of its files. */
void kp_record_set_content(struct kp_record *rec);
/* Drop the record and the published files of the pair; with the empty directories. */
int kp_record_drop(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, struct kp_err *err);
void kp_record_free(struct kp_record *rec);
KP_DEFINE_CLEANUP(struct kp_record *, kp_record_free);
/* The kernels that there are records for, a string vector. */
char **kp_record_kernels(struct kp_ctx *ctx, const char *module, const char *version);
/* Are all published files there with their size? No bytes are read. */
bool kp_record_intact(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, const struct kp_record *rec);
/* Where the record lies, to be freed; the names passed kp_name_ok(). */
char *kp_record_path(const struct kp_ctx *ctx, const char *module, const char *version,
		     const char *kernel);
/* <dkms_tree>/M/V/K/ARCH, to be freed. */
char *kp_record_dir(struct kp_ctx *ctx, const char *module, const char *version,
		    const char *kernel);
/* The Module.symvers of what is built there, absolute, to be freed; NULL: none. */
char *kp_record_symvers(struct kp_ctx *ctx, const char *module, const char *version,
			const char *kernel);
