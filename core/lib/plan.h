// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Wanted minus present: the rules of what is built, installed, erased and kept.
 *
 * Pure: everything comes in through struct kp_plan_input, nothing is read from disk;
 * tests/plan/ has the rules as data files. The rows that come out are also what
 * `kmodpkg status` shows.
 *
 * - Target: registered source x kernel whose image or module tree is there. Buildable: with headers.
 *   A kernel that was not there when it was asked or pinned for is a target by its headers.
 * - One version per (module, kernel): the pinned one, else the highest that is not
 *   excluded and has AUTOINSTALL. Held: none.
 * - Erase only on positive evidence: kernel gone from disk and database; source removed by
 *   a person (tombstone) or gone together with the package that owned it; excluded by its
 *   conf; held. Whatever cannot be read keeps its package, as stale.
 * - A failed build is tried again when its key changed, on request, or when the machine was
 *   at fault; also one of what is installed, and was to be built anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/intent.h"

enum kp_plan_conf { KP_PLAN_CONF_OK, KP_PLAN_CONF_EXCLUDED, KP_PLAN_CONF_BAD };

struct kp_plan_source {
	const char *module, *version;
	bool missing; /* tree is not there or cannot be read; `problem` says why */
	const char *problem;
};

struct kp_plan_kernel {
	const char *release;
	bool present, in_database, headers;
};

/* One registered source for one kernel. */
struct kp_plan_pair {
	size_t source, kernel; /* indices */
	enum kp_plan_conf conf;
	const char *conf_reason; /* EXCLUDED, BAD */
	bool autoinstall;
	const char *key;	    /* without dependencies; NULL: cannot be known */
	const char *const *depends; /* BUILD_DEPENDS, module names, NULL-terminated */
	enum kp_intent_kind intent;
	bool headers_only;	   /* PIN: made while the kernel was not there */
	const char *built_key;	   /* key of the published build, NULL: none */
	const char *built_content; /* hash over its files, NULL: none */
	const char *failed_key;	   /* key of the last failure, NULL: none */
	const char *failed_reason;
	bool failed_otherwise; /* it may not fail again: it was the machine, a limit... */
	bool requested; /* a person asked for this pair now: retry, no autoinstall needed */
};

/* A package of ours: in the database, or queued to be. */
struct kp_plan_package {
	const char *module, *version, *kernel, *key, *name;
	const char *content; /* hash over its files, NULL: not known */
	bool queued;
	bool removed;	 /* tombstone for its source */
	bool incomplete; /* a file of it is not on disk, though its kernel is */
	bool source_gone; /* its source tree was owned by a package, and neither is there any more */
	enum kp_intent_kind intent;
	bool headers_only; /* as of the pair */
};

struct kp_plan_input {
	const struct kp_plan_source *sources;
	size_t n_sources;
	const struct kp_plan_kernel *kernels;
	size_t n_kernels;
	const struct kp_plan_pair *pairs;
	size_t n_pairs;
	const struct kp_plan_package *packages;
	size_t n_packages;
	bool no_autoinstall; /* /etc/dkms/no-autoinstall: build nothing that was not requested */
	char *const *only_modules; /* NULL: all; rows of others get no action */
	char *const *only_kernels;
	bool force; /* rebuild what is requested even when the key is the same */
	bool reinstall; /* install what is requested, built already, even when it is installed */
	bool build_only; /* what is requested is to be there as a build, installed or not */
	bool anyway; /* build what is requested without those of its BUILD_DEPENDS that lack */
};

enum kp_state {
	KP_STATE_ADDED, /* registered, nothing built (AUTOINSTALL=no, older version...) */
	KP_STATE_BUILT, /* built, not installed */
	KP_STATE_INSTALLED,
	KP_STATE_STALE,	  /* installed, but not what it should be; note says why */
	KP_STATE_QUEUED,  /* placed, the database gets it at the end of the transaction */
	KP_STATE_HELD,	  /* a person uninstalled it */
	KP_STATE_BLOCKED, /* its BUILD_DEPENDS are not there */
	KP_STATE_FAILED,
	KP_STATE_EXCLUDED,
	KP_STATE_NO_HEADERS,
};

enum kp_action {
	KP_ACTION_NONE,
	KP_ACTION_BUILD, /* build, then install */
	KP_ACTION_INSTALL, /* the published build has the right key: package and install it */
	KP_ACTION_ERASE,
};

struct kp_plan_row {
	char *module, *version;
	char *kernel;	     /* NULL: the source as such ("added") */
	enum kp_state state; /* as it is now, before the action */
	enum kp_action action;
	bool wanted;	/* the one version that is to be installed for this kernel */
	char *note;	/* why this state or action, one line, NULL */
	char *package;	/* installed or queued package of this row, NULL */
	bool outdated;	/* package is of another version than this row */
	char *key;	/* key with dependencies, NULL */
	size_t pair;	/* index into pairs, SIZE_MAX: none */
	char **depends; /* modules of this plan that must be built before (same kernel) */
};

struct kp_plan {
	struct kp_plan_row *rows; /* by module, version, kernel */
	size_t n_rows, alloc;
	size_t n_actions;
};

void kp_plan_make(const struct kp_plan_input *in, struct kp_plan *ret);
void kp_plan_clear(struct kp_plan *plan);
/* Do WORDS ("M" or "M/V"; NULL: all) name this version of the module? */
bool kp_plan_names(char *const *words, const char *module, const char *version);
const char *kp_state_name(enum kp_state s);   /* "no-headers" */
const char *kp_action_name(enum kp_action a); /* "build", "" for none */
