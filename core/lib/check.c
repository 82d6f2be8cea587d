// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The check has two halves with a process border between them: kp_artifact_check() opens
 * what is to be read and starts this program anew in the sandbox;
 * kp_artifact_check_main() there parses and answers by its exit code, with the reason on
 * its standard output.
 */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/modinfo.h"

/* Standard input by a name that libkmod can open. */
#define KO_PATH "/proc/self/fd/0"

/* Exit codes of the half in the sandbox. */
enum { VERDICT_GOOD = 0, VERDICT_BAD = 1, VERDICT_NONE = 2 };

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

static int check_info(const char *name, const char *release, struct kp_err *err)
{
	struct kp_modinfo m = { 0 };
	size_t word;
	int r;

	r = kp_modinfo_read(KO_PATH, &m, NULL);
	if (r < 0)
		return kp_err_set(err, -ENOEXEC, "has no module information");
	word = m.vermagic ? strcspn(m.vermagic, " ") : 0;
	if (!word)
		r = kp_err_set(err, -ENOEXEC, "has no vermagic");
	else if (strlen(release) != word || memcmp(m.vermagic, release, word))
		r = kp_err_set(
			err, -ENOEXEC,
			"was built for kernel %.*s, not %s: its recipe does not use "
			"$kernel_source_dir",
			(int)word, m.vermagic, release);
	/* Kernels before 4.13 do not write the name into a module. */
	else if (m.name && !kp_module_name_eq(m.name, name))
		r = kp_err_set(err, -ENOEXEC, "calls itself '%s', not '%s'", m.name,
			       name);
	kp_modinfo_clear(&m);
	return r;
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
static int judge_symbols(const struct kp_symbols *symbols, bool linked, char **ret_note,
			 struct kp_err *err)
{
	struct unknown missing = { 0 }, elsewhere = { 0 };
	_cleanup_free_ char *text = NULL;
	const struct kp_symbol *differs = NULL;

	for (size_t i = 0; i < symbols->n; i++) {
		const struct kp_symbol *s = &symbols->list[i];

		if (!s->exported && !s->weak && !by_loader(s->name))
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
		*ret_note =
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

static int check_symbols(const char *name, const char *log_fd, char **fds,
			 char **ret_note, struct kp_err *err)
{
	struct kp_symbols symbols = { 0 };
	bool linked;
	int r;

	if (!*fds)
		return 0;
	r = kp_symbols_read(KO_PATH, &symbols, NULL);
	if (r < 0)
		return kp_err_set(err, -ENOEXEC,
				  "has a symbol table that cannot be read");
	for (; *fds; fds++) {
		_cleanup_free_ char *text = NULL;
		size_t len = 0;

		r = kp_read_fd(atoi(*fds), 0, &text, &len);
		if (r < 0) {
			kp_err_sys(err, r, "read Module.symvers");
			goto out;
		}
		kp_symvers_resolve(text, len, &symbols);
	}
	r = read_log(log_fd, name, &symbols, &linked, err);
	if (!r)
		r = judge_symbols(&symbols, linked, ret_note, err);
out:
	kp_symbols_clear(&symbols);
	return r;
}

/* NAME RELEASE MACHINE BITS LOG [FD of a Module.symvers...]; LOG: descriptor or "-" */
int kp_artifact_check_main(int argc, char **argv)
{
	_cleanup_free_ char *note = NULL;
	struct kp_err err = KP_ERR_INIT;
	const char *text;
	int r;

	if (argc < 7)
		return VERDICT_NONE;
	r = check_elf((unsigned int)strtoul(argv[4], NULL, 10), !strcmp(argv[5], "64"),
		      &err);
	if (!r)
		r = check_info(argv[2], argv[3], &err);
	if (!r)
		r = check_symbols(argv[2], argv[6], argv + 7, &note, &err);
	text = r ? err.text : note ? note : "";
	if (kp_write_all(STDOUT_FILENO, text, strlen(text)) < 0)
		return VERDICT_NONE;
	if (!r)
		return VERDICT_GOOD;
	return r == -ENOEXEC ? VERDICT_BAD : VERDICT_NONE;
}

/* Descriptors that the half in the sandbox gets: the symbol tables, then the log if there is
 * one; in an array of room for all. */
struct files {
	int *fds;
	size_t n, n_tables;
};

static void close_files(struct files *f)
{
	while (f->n)
		close(f->fds[--f->n]);
	free(f->fds);
}

static int add_file(struct kp_ctx *ctx, const char *path, struct files *f,
		    struct kp_err *err)
{
	int fd = kp_open_in(ctx->root_fd, path, O_RDONLY, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", path);
	f->fds[f->n++] = fd;
	return 0;
}

static int open_files(struct kp_ctx *ctx, const struct kp_kernel *kernel,
		      char *const *symvers, const char *log, struct files *f,
		      struct kp_err *err)
{
	_cleanup_free_ char *own = kp_path_join(kernel->headers, "Module.symvers");
	int r;

	if (!kp_exists_in(ctx->root_fd, own)) {
		kp_debug("no '%s': symbols of modules are not checked", own);
		return 0;
	}
	f->fds = kp_calloc(kp_strv_len(symvers) + 2, sizeof(*f->fds));
	r = add_file(ctx, own, f, err);
	for (char *const *path = symvers; !r && path && *path; path++)
		r = add_file(ctx, *path, f, err);
	f->n_tables = f->n;
	if (!r && log)
		r = add_file(ctx, log, f, err);
	return r;
}

/* Start the half in the sandbox; *ret_words is what it has to say, NULL when it did not run. */
static int run_check(struct kp_ctx *ctx, const struct kp_sandbox *sb, int ko,
		     const char *const *argv, const struct files *files,
		     struct kp_proc_end *ret_end, char **ret_words, struct kp_err *err)
{
	static const char *const env[] = { "LANG=C.UTF-8",
#ifdef __SANITIZE_ADDRESS__ /* looks for leaks by ptrace(2), which is refused inside */
					   "ASAN_OPTIONS=detect_leaks=0",
#endif
					   NULL };
	struct kp_sandbox own = { .slot = sb->slot, .timeout_s = sb->timeout_s };
	struct kp_proc proc = { .argv = argv, .env = env, .in_fd = ko };
	_cleanup_close_ int out = memfd_create("verdict", MFD_CLOEXEC);
	size_t len;
	int r;

	if (out < 0)
		return kp_err_sys(err, -errno, "memfd_create");
	proc.out_fd = out;
	proc.keep_fds = files->fds;
	proc.n_keep_fds = files->n;
	r = kp_sandbox_run(ctx, &own, &proc, ret_end, err);
	if (r < 0 && r != -ECHILD)
		return r;
	if (lseek(out, 0, SEEK_SET) < 0)
		return kp_err_sys(err, -errno, "lseek");
	if (kp_read_fd(out, KP_ERR_MAX, ret_words, &len) < 0)
		*ret_words = kp_strdup("");
	kp_str_printable(*ret_words);
	return r;
}

int kp_artifact_check(struct kp_ctx *ctx, const struct kp_sandbox *sb, const char *ko,
		      const char *name, const struct kp_kernel *kernel,
		      const struct kp_kernel_build *kb, char *const *symvers,
		      const char *log, char **ret_note, struct kp_err *err)
{
	_cleanup_(close_files) struct files files = { 0 };
	_cleanup_strv_ char **argv = NULL;
	_cleanup_free_ char *words = NULL;
	_cleanup_close_ int fd = -1;
	struct kp_proc_end end = { 0 };
	int r;

	fd = kp_open_in(ctx->root_fd, ko, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", ko);
	r = open_files(ctx, kernel, symvers, log, &files, err);
	if (r < 0)
		return r;
	/* Not by a path: the file that runs now may have been replaced by an upgrade. */
	kp_strv_add(&argv, "/proc/self/exe");
	kp_strv_add(&argv, KP_ARTIFACT_CHECK_ARG);
	kp_strv_add(&argv, name);
	kp_strv_add(&argv, kernel->release);
	kp_strv_addf(&argv, "%u", kb->elf_machine);
	kp_strv_add(&argv, kb->elf_64 ? "64" : "32");
	if (files.n > files.n_tables)
		kp_strv_addf(&argv, "%d", files.fds[files.n_tables]);
	else
		kp_strv_add(&argv, "-");
	for (size_t i = 0; i < files.n_tables; i++)
		kp_strv_addf(&argv, "%d", files.fds[i]);
	r = run_check(ctx, sb, fd, (const char *const *)argv, &files, &end, &words, err);
	if (r == -ECHILD && end.exit_code == VERDICT_BAD)
		return kp_err_set(err, -ENOEXEC, "module '%s' %s", name, words);
	/* libkmod asserts what a file is to be like. */
	if (r == -ECHILD &&
	    (end.signal == SIGABRT || end.signal == SIGSEGV || end.signal == SIGBUS))
		return kp_err_set(err, -ENOEXEC,
				  "module '%s' is damaged: reading it ends in signal %d",
				  name, end.signal);
	if (r < 0) {
		bool told = !kp_str_empty(words);

		kp_err_prefix(err, "check of module '%s'%s%s", name, told ? ": " : "",
			      told ? words : "");
		return r;
	}
	*ret_note = *words ? kp_strf("module '%s' %s", name, words) : NULL;
	return 0;
}
