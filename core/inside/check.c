// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The half of the check that runs in the sandbox, a program of its own: the only code that parses module
 * files.
 */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "inside/modinfo.h"
#include "lib/check-parts.h"

/* Standard input by a name that libkmod can open. */
#define KO_PATH "/proc/self/fd/0"

/* The head that ELF32 and ELF64 share: elf(5), up to e_machine. */
static int check_elf(unsigned int machine, bool is_64, struct kp_err *err)
{
	struct {
		unsigned char ident[EI_NIDENT];
		uint16_t type, machine;
	} h;
	uint16_t type, its_machine;

	if (pread(STDIN_FILENO, &h, sizeof(h), 0) != sizeof(h) ||
	    memcmp(h.ident, ELFMAG, SELFMAG))
		return kp_err_set(err, -ENOEXEC, "is not an ELF file");
	if (h.ident[EI_DATA] == ELFDATA2MSB) {
		type = be16toh(h.type);
		its_machine = be16toh(h.machine);
	} else {
		type = le16toh(h.type);
		its_machine = le16toh(h.machine);
	}
	if (type != ET_REL)
		return kp_err_set(err, -ENOEXEC, "is not a relocatable ELF file");
	if (!machine)
		return 0;
	if (its_machine != machine || is_64 != (h.ident[EI_CLASS] == ELFCLASS64))
		return kp_err_set(
			err, -ENOEXEC,
			"is for another architecture (ELF machine %u, %d bit; the "
			"kernel has %u, %d bit)",
			its_machine, h.ident[EI_CLASS] == ELFCLASS64 ? 64 : 32, machine,
			is_64 ? 64 : 32);
	return 0;
}

/* What was said on the command line, and what is answered. */
struct check {
	bool adopted;
	const char *name, *release;
	struct kp_artifact_facts facts;
};

/* In the module's own words ("GPL v2"), which are what the kernel goes by. */
static void note_facts(struct check *c, const struct kp_modinfo *m)
{
	if (!kp_str_empty(m->license) && kp_str_is_printable(m->license) &&
	    strlen(m->license) <= KP_LICENSE_MAX)
		c->facts.license = kp_strdup(m->license);
	c->facts.is_signed = m->signer != NULL;
}

static int check_info(struct check *c, struct kp_err *err)
{
	_cleanup_(kp_modinfo_clear) struct kp_modinfo m = { 0 };
	size_t word;

	if (kp_modinfo_read(KO_PATH, &m, NULL) < 0)
		return kp_err_set(err, -ENOEXEC, "has no module information");
	word = m.vermagic ? strcspn(m.vermagic, " ") : 0;
	if (!word)
		return kp_err_set(err, -ENOEXEC, "has no vermagic");
	if (strlen(c->release) != word || memcmp(m.vermagic, c->release, word) != 0)
		return kp_err_set(err, -ENOEXEC, "was built for kernel %.*s, not %s%s",
				  (int)word, m.vermagic, c->release,
				  c->adopted ? ""
					     : ": its recipe does not use "
					       "$kernel_source_dir");
	/* Kernels before 4.13 do not write the name into a module. */
	if (!c->adopted && m.name && !kp_module_name_eq(m.name, c->name))
		return kp_err_set(err, -ENOEXEC, "calls itself '%s', not '%s'", m.name,
				  c->name);
	note_facts(c, &m);
	return 0;
}

/* Names that the module loader defines or passes over itself (kernel/module/main.c,
 * simplify_symbols; arch/powerpc/kernel/module_64.c). */
static bool by_loader(const char *symbol)
{
	return !strcmp(symbol, "_GLOBAL_OFFSET_TABLE_") || !strcmp(symbol, ".TOC.") ||
	       !strcmp(symbol, "TOC.");
}

/* Symbols that nobody we know exports: "the symbol 'x' and 2 more". */
struct unknown {
	const char *first;
	size_t n;
};

static void add_unknown(struct unknown *u, const char *name)
{
	u->first = u->first ? u->first : name;
	u->n++;
}

/* To be freed. */
static char *describe_unknown(const struct unknown *u)
{
	_cleanup_free_ char *more = u->n > 1 ? kp_strf(" and %zu more", u->n - 1) : NULL;

	return kp_strf("needs the symbol '%s'%s", u->first, more ? more : "");
}

/* LINKED: modpost looked at them. Then it is its word that counts: it may have been told of
 * exports that we do not know. */
static int judge_symbols(struct check *c, const struct kp_symbols *symbols, bool linked,
			 struct kp_err *err)
{
	struct unknown missing = { 0 }, elsewhere = { 0 };
	_cleanup_free_ char *text = NULL;
	const struct kp_symbol *differs = NULL;

	for (size_t i = 0; i < symbols->n; i++) {
		const struct kp_symbol *s = &symbols->list[i];

		if (!c->adopted && !s->exported && !s->weak && !by_loader(s->name))
			add_unknown(linked && !s->undefined ? &elsewhere : &missing,
				    s->name);
		if (s->crc_differs && !differs)
			differs = s;
	}
	if (missing.n) {
		text = describe_unknown(&missing);
		return kp_err_set(err, -ENOEXEC,
				  "%s, which the kernel and its BUILD_DEPENDS do not "
				  "export",
				  text);
	}
	if (differs)
		return kp_err_set(err, -ENOEXEC,
				  "was built against another version of the symbol '%s' "
				  "than the kernel's Module.symvers has",
				  differs->name);
	if (elsewhere.n) {
		text = describe_unknown(&elsewhere);
		c->facts.note =
			kp_strf("%s, which modpost found elsewhere than in the kernel "
				"and its BUILD_DEPENDS",
				text);
	}
	return 0;
}

/* Let modpost's messages in the log speak; *ret_linked: there are some. */
static int read_log(const char *fd, const char *name, struct kp_symbols *symbols,
		    bool *ret_linked, struct kp_err *err)
{
	struct stat st;
	void *text;

	*ret_linked = false;
	if (!strcmp(fd, "-"))
		return 0;
	if (fstat(atoi(fd), &st) < 0)
		return kp_err_sys(err, -errno, "read the log");
	if (!st.st_size)
		return 0;
	text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, atoi(fd), 0);
	if (text == MAP_FAILED)
		return kp_err_sys(err, -errno, "read the log");
	*ret_linked = kp_modpost_resolve(text, (size_t)st.st_size, name, symbols);
	munmap(text, (size_t)st.st_size);
	return 0;
}

static int check_symbols(struct check *c, const char *log_fd, char **fds,
			 struct kp_err *err)
{
	_cleanup_(kp_symbols_clear) struct kp_symbols symbols = { 0 };
	bool linked;
	int r;

	if (!*fds)
		return 0;
	if (kp_symbols_read(KO_PATH, &symbols, NULL) < 0)
		return kp_err_set(err, -ENOEXEC,
				  "has a symbol table that cannot be read");
	for (; *fds; fds++) {
		_cleanup_free_ char *text = NULL;
		size_t len = 0;

		r = kp_read_fd(atoi(*fds), 0, &text, &len);
		if (r < 0)
			return kp_err_sys(err, r, "read Module.symvers");
		kp_symvers_resolve(text, len, &symbols);
	}
	r = read_log(log_fd, c->name, &symbols, &linked, err);
	return r ?: judge_symbols(c, &symbols, linked, err);
}

static int answer(const struct check *c, const char *says)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	_cleanup_free_ char *line = kp_strdup(says);

	if (c->facts.license)
		kp_buf_addf(&b, "license %s\n", c->facts.license);
	if (c->facts.is_signed)
		kp_buf_adds(&b, "signed\n");
	/* It quotes the module. */
	if (line) {
		kp_str_printable(line);
		kp_buf_addf(&b, "says %s\n", line);
	}
	return kp_write_all(STDOUT_FILENO, b.s, b.len);
}

/* PROTOCOL built|adopted NAME RELEASE MACHINE BITS LOG [FD of a Module.symvers...]; LOG: descriptor or
 * "-" */
int main(int argc, char **argv)
{
	struct kp_err err = KP_ERR_INIT;
	struct check c = { 0 };
	int r = 0;

	/* Nowhere but in the sandbox. */
	if (argc < 8 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return KP_CHECK_NONE;
	if (strcmp(argv[1], KP_CHECK_PROTOCOL) != 0) {
		(void)answer(&c, "kmodpkg was upgraded meanwhile: run it again");
		return KP_CHECK_NONE;
	}
	c.adopted = !strcmp(argv[2], "adopted");
	c.name = argv[3];
	c.release = argv[4];
	/* It may be compressed. */
	if (!c.adopted)
		r = check_elf((unsigned int)strtoul(argv[5], NULL, 10),
			      !strcmp(argv[6], "64"), &err);
	if (!r)
		r = check_info(&c, &err);
	if (!r)
		r = check_symbols(&c, argv[7], argv + 8, &err);
	if (answer(&c, r ? err.text : c.facts.note) < 0)
		r = -EIO;
	if (!r)
		return KP_CHECK_GOOD;
	return r == -ENOEXEC ? KP_CHECK_BAD : KP_CHECK_NONE;
}
