// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The system that is managed: its root, its directories, its configuration.
 *
 * Made once by main and passed to everything. All directories are absolute paths of the
 * managed system, resolved below root_fd with base/fs.h; reading verbs work on any root, verbs that
 * build or commit enter it first (kp_ctx_enter_root), after which root_fd is "/".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <kmodpkg/err.h>

#include "base/cleanup.h"

/* Signing: what the configuration asks for. */
enum kp_sign_mode {
	KP_SIGN_AUTO, /* if the kernel verifies signatures and not in a chroot */
	KP_SIGN_YES,  /* a failure to sign fails the build */
	KP_SIGN_NO,
};

/* Which initramfs is made again after the modules of its kernel changed. */
enum kp_refresh_mode {
	KP_REFRESH_AUTO, /* one that holds such a module, or is to: initramfs.h */
	KP_REFRESH_YES,
	KP_REFRESH_NO,
};

/* What one build may use; 0: no limit. Sizes in bytes. */
struct kp_limits {
	int processes;
	uint64_t memory;    /* each of its processes, and all together */
	uint64_t disk;	    /* each of its files, and all together */
	uint64_t keep_free; /* of the file systems that it writes to */
};

/* Those of them that stop what meets them. */
enum kp_limit { KP_LIMIT_PROCESSES, KP_LIMIT_MEMORY, KP_LIMIT_DISK };

/* /etc/kmodpkg/kmodpkg.conf, then kmodpkg.conf.d/NAME.conf beside it in the order of their
 * names: "key = value" lines, '#' comments.
 *
 * A line that is wrong stops a person's command before it changes anything, and nothing else
 * (cli.c): it is said, and the rest goes on with what the setting was before. What would be less
 * safe by that is taken at its strictest: no install scripts, no build with less than all
 * protections, and nothing that is signed in another way than was asked for. */
struct kp_config {
	int jobs;	  /* 0: one per online processor */
	char *backend;	  /* NULL: probe; recorded by the first run */
	char *backend_at; /* where that is set, for messages */
	enum kp_sign_mode sign;
	/* NULL: as facts of the distribution say, see artifact.h; kp_framework_path() makes paths
	 * of these. */
	char *sign_key;
	char *sign_cert;
	char *sign_tool;
	char *sign_pin_file; /* NULL: KBUILD_SIGN_PIN of the environment */
	char *sign_wrong;    /* why it cannot be told how to sign; NULL: it can */
	enum kp_refresh_mode initramfs;
	/* Allow PRE_INSTALL, POST_INSTALL, POST_ADD and POST_REMOVE: of the modules in script_modules,
	 * of all where that is NULL. */
	bool install_scripts;
	char **script_modules;
	bool depend_on_kernel; /* packages have a hard dependency on the kernel's */
	bool sandbox_required; /* a missing protection is an error */
	bool probe_answers;    /* remember what kbuild asks compilers; default true */
	bool debug_info; /* keep it: made where the kernel's configuration says, not stripped */
	int timeout_minutes; /* of one build; default 120 */
	struct kp_limits limits;
	int cache_mib;	 /* size of the cache of builds; 0: none; default 1024 */
	char **optional; /* module names: a failure is only noted */
	char **required;
	/* Of DKMS's configuration, for its command. */
	bool probe_devices; /* modprobe_on_install */
	char *install_tree; /* one that is not the system's, NULL */
	char **problems; /* the lines that were not taken as they are, and what is done about it */
	/* The first of them but for keys that resemble none; code 0: there is none. */
	struct kp_err wrong;
};

#define KP_RUN_DIR "/run/kmodpkg"

struct kp_ctx {
	int root_fd;
	char *root;	    /* for messages; "/" */
	char *dkms_tree;    /* /var/lib/dkms */
	char *source_tree;  /* /usr/src */
	char *install_tree; /* /lib/modules */
	char *state_dir;    /* /var/lib/kmodpkg */
	char *log_dir;	    /* /var/log/kmodpkg */
	char *run_dir;	    /* KP_RUN_DIR */
	char *work_dir;	    /* /var/lib/kmodpkg/work: private build directories */
	char *cache_dir;    /* /var/cache/kmodpkg: builds that are kept; NULL: none are */
	char *arch;	    /* uname -m */
	char *distro;	    /* ID of os-release, "" when unknown */
	char *distro_like;  /* ID and ID_LIKE, words */
	struct kp_config config;
	char **ignored; /* directives of DKMS's framework.conf that have no effect here */
	bool nested; /* our caller is a transaction that lets us commit (KP_OPEN_NESTED) */
	struct kp_backend *backend; /* NULL until kp_backend_open() */
	int programs_fd; /* our directory of programs (kp_tool_own()); 0: not opened yet */
};

/* ROOT NULL means "/". What is wrong with the configuration is in config.problems. */
int kp_ctx_open(const char *root, struct kp_ctx **ret, struct kp_err *err);
/* Does not close the backend: that comes before. */
void kp_ctx_close(struct kp_ctx *ctx);
KP_DEFINE_CLEANUP(struct kp_ctx *, kp_ctx_close);
/* chroot into the root; no-op for "/". Before kp_backend_open(), since root_fd changes.
 * -EPERM: says that it needs root. */
int kp_ctx_enter_root(struct kp_ctx *ctx, struct kp_err *err);
/* Does ID or ID_LIKE of os-release name one of these (space separated) words? */
bool kp_ctx_distro_is(const struct kp_ctx *ctx, const char *words);

/* The defaults; to be cleared. */
void kp_config_init(struct kp_config *config);
/* Read configuration text over what *config holds. The last of several lines with one key
 * counts, an empty path or list stands for the default. Fuzzed. */
void kp_config_parse(const char *text, const char *file, struct kp_config *config);
/* WHY a file could not be read, and may have said anything. */
void kp_config_distrust(struct kp_config *config, const struct kp_err *why);
/* WHY config->backend cannot be had: the default takes its place. */
void kp_config_no_backend(struct kp_config *config, const char *why);
void kp_config_clear(struct kp_config *config);
/* -EDQUOT, with words: which limit was met, and where to raise it. */
int kp_limit_met(const struct kp_limits *limits, enum kp_limit which, struct kp_err *err);
/* -ETIME, likewise. */
int kp_timeout_met(int minutes, struct kp_err *err);
