// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What libkmod knows of a module file; the only user of libkmod.
 *
 * libkmod parses the ELF file in this process, and ends it over some that are damaged: only the
 * half of the check that runs in the sandbox calls it (check.c, by kp_artifact_check()).
 * PATH is resolved as the process sees it, below its own root; compressed files are read too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kmodpkg/err.h>

/* The fields of `modinfo`. Members are NULL when absent. */
struct kp_modinfo {
	char *name, *vermagic, *version, *srcversion, *depends, *signer, *license;
};

/* -ENOEXEC: not a module. */
int kp_modinfo_read(const char *path, struct kp_modinfo *ret, struct kp_err *err);
void kp_modinfo_clear(struct kp_modinfo *m);

/* A symbol that a module needs from elsewhere. */
struct kp_symbol {
	char *name;
	uint32_t crc; /* version it was built for, 0: none recorded */
	bool weak;    /* may stay undefined */

	/* filled by kp_symvers_resolve() */
	bool exported;
	bool crc_differs; /* exported, but only with other CRCs */

	/* filled by kp_modpost_resolve() */
	bool undefined; /* modpost knew nobody who exports it */
};

struct kp_symbols {
	struct kp_symbol *list; /* by name */
	size_t n;
};

int kp_symbols_read(const char *path, struct kp_symbols *ret, struct kp_err *err);
void kp_symbols_clear(struct kp_symbols *s);

/* Mark those that TEXT, a Module.symvers (lines "CRC<TAB>symbol<TAB>...",
 * Documentation/kbuild/modules.rst), exports. Lines that are none are passed over. May be called
 * with several texts: one matching CRC in any of them is enough. Pure; fuzzed. */
void kp_symvers_resolve(const char *text, size_t len, struct kp_symbols *symbols);

/* Mark those that modpost complained about when it linked MODULE, by TEXT, the log of a
 * build. Where it left complaints out, all are marked. Returns whether modpost ran at all.
 * Pure; fuzzed. */
bool kp_modpost_resolve(const char *text, size_t len, const char *module,
			struct kp_symbols *symbols);
/* Do two names mean one module? '-' and '_' are the same. */
bool kp_module_name_eq(const char *a, const char *b);
