// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The check has two halves with a process border between them: kp_artifact_check() opens
 * what is to be read and starts another program (inside/check.c) in the sandbox, which parses and
 * answers, by its exit code and in lines on its standard output. What parsed an untrusted file is not trusted itself: its
 * answer is taken apart with the same care.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/check-parts.h"
#include "lib/tool.h"

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

static int open_files(struct kp_ctx *ctx, const struct kp_artifact_look *look,
		      struct files *f, struct kp_err *err)
{
	_cleanup_free_ char *own = NULL;
	int r;

	if (look->kernel->headers)
		own = kp_path_join(look->kernel->headers, "Module.symvers");
	if (!own || !kp_exists_in(ctx->root_fd, own)) {
		kp_debug("kernel %s has no Module.symvers: symbols of modules are not "
			 "checked",
			 look->kernel->release);
		return 0;
	}
	f->fds = kp_calloc(kp_strv_len(look->symvers) + 2, sizeof(*f->fds));
	r = add_file(ctx, own, f, err);
	for (char *const *path = look->symvers; !r && path && *path; path++)
		r = add_file(ctx, *path, f, err);
	f->n_tables = f->n;
	if (!r && look->log)
		r = add_file(ctx, look->log, f, err);
	return r;
}

void kp_artifact_facts_clear(struct kp_artifact_facts *f)
{
	free(f->license);
	free(f->note);
	*f = (struct kp_artifact_facts){ 0 };
}

static int parse_line(const char *line, struct kp_artifact_facts *f)
{
	const char *rest = strchr(line, ' ');

	if (!kp_str_is_printable(line))
		return -EINVAL;
	if (!strcmp(line, "signed") && !f->is_signed) {
		f->is_signed = true;
		return 0;
	}
	if (!rest || !*++rest)
		return -EINVAL;
	if (kp_str_starts(line, "license ") && strlen(rest) <= KP_LICENSE_MAX &&
	    !f->license) {
		f->license = kp_strdup(rest);
		return 0;
	}
	if (kp_str_starts(line, "says ") && !f->note) {
		f->note = kp_strdup(rest);
		return 0;
	}
	return -EINVAL;
}

int kp_check_parse(const char *text, size_t len, struct kp_artifact_facts *ret)
{
	struct kp_artifact_facts facts = { 0 };
	const char *end = text + len;
	int r = 0;

	while (!r && text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));
		_cleanup_free_ char *line = NULL;

		if (!eol || memchr(text, '\0', (size_t)(eol - text))) {
			r = -EINVAL;
			break;
		}
		line = kp_strndup(text, (size_t)(eol - text));
		r = parse_line(line, &facts);
		text = eol + 1;
	}
	if (r < 0)
		kp_artifact_facts_clear(&facts);
	else
		*ret = facts;
	return r;
}

/* Start the half in the sandbox, which is PROGRAM; *ret is its answer. -EBADMSG: it ended as one that answers, and
 * did not. */
static int run_check(struct kp_ctx *ctx, const struct kp_sandbox *sb, int program, int ko,
		     const char *const *argv, const struct files *files,
		     struct kp_proc_end *ret_end, struct kp_artifact_facts *ret,
		     struct kp_err *err)
{
	struct kp_sandbox own = { .slot = sb->slot, .timeout_s = sb->timeout_s };
	struct kp_proc proc = { .argv = argv, .env = kp_tool_own_env, .in_fd = ko };
	_cleanup_close_ int out = memfd_create("verdict", MFD_CLOEXEC);
	/* What a failed assertion prints is for nobody. */
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	_cleanup_free_ int *keep = kp_calloc(files->n + 1, sizeof(*keep));
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (out < 0)
		return kp_err_sys(err, -errno, "memfd_create");
	if (files->n)
		memcpy(keep, files->fds, files->n * sizeof(*keep));
	keep[files->n] = program;
	proc.out_fd = out;
	proc.err_fd = null < 0 ? out : null;
	proc.keep_fds = keep;
	proc.n_keep_fds = files->n + 1;
	r = kp_sandbox_run(ctx, &own, &proc, ret_end, err);
	if (r < 0 && (r != -ECHILD || ret_end->signal))
		return r;
	if (lseek(out, 0, SEEK_SET) < 0)
		return kp_err_sys(err, -errno, "lseek");
	if (kp_read_fd(out, KP_CHECK_ANSWER_MAX, &text, &len) < 0 ||
	    kp_check_parse(text, len, ret) < 0)
		return -EBADMSG;
	return r;
}

/* Why there is no good verdict. */
static int explain(const char *name, int r, const struct kp_proc_end *end,
		   const char *says, struct kp_err *err)
{
	if (r == -ECHILD && end->exit_code == KP_CHECK_BAD)
		return kp_err_set(err, -ENOEXEC, "module '%s' %s", name,
				  says ? says : "is no good");
	if (r == -EBADMSG)
		return kp_err_set(err, -ENOEXEC,
				  "module '%s' is damaged: reading it ends in nonsense",
				  name);
	/* libkmod asserts what a file is to be like. */
	if (r == -ECHILD && (end->signal == SIGABRT || end->signal == SIGSEGV ||
			     end->signal == SIGBUS || end->signal == SIGFPE))
		return kp_err_set(err, -ENOEXEC,
				  "module '%s' is damaged: reading it ends in signal %d",
				  name, end->signal);
	kp_err_prefix(err, "check of module '%s'%s%s", name, says ? ": " : "",
		      says ? says : "");
	return r;
}

static char **make_argv(const struct kp_artifact_look *look, int program,
			const struct files *files)
{
	const struct kp_kernel_build *kb = look->kb;
	char **argv = NULL;

	kp_strv_addf(&argv, "/proc/self/fd/%d", program);
	kp_strv_add(&argv, KP_CHECK_PROTOCOL);
	kp_strv_add(&argv, kb ? "built" : "adopted");
	kp_strv_add(&argv, look->name);
	kp_strv_add(&argv, look->kernel->release);
	kp_strv_addf(&argv, "%u", kb ? kb->elf_machine : 0);
	kp_strv_add(&argv, kb && kb->elf_64 ? "64" : "32");
	if (files->n > files->n_tables)
		kp_strv_addf(&argv, "%d", files->fds[files->n_tables]);
	else
		kp_strv_add(&argv, "-");
	for (size_t i = 0; i < files->n_tables; i++)
		kp_strv_addf(&argv, "%d", files->fds[i]);
	return argv;
}

int kp_artifact_check(struct kp_ctx *ctx, const struct kp_sandbox *sb,
		      const struct kp_artifact_look *look, struct kp_artifact_facts *ret,
		      struct kp_err *err)
{
	_cleanup_(kp_artifact_facts_clear) struct kp_artifact_facts facts = { 0 };
	_cleanup_(close_files) struct files files = { 0 };
	_cleanup_strv_ char **argv = NULL;
	_cleanup_close_ int fd = -1, program = kp_tool_own(ctx, "check", err);
	struct kp_proc_end end = { 0 };
	int r;

	if (program < 0)
		return program;
	fd = kp_open_in(ctx->root_fd, look->ko, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", look->ko);
	r = open_files(ctx, look, &files, err);
	if (r < 0)
		return r;
	argv = make_argv(look, program, &files);
	r = run_check(ctx, sb, program, fd, (const char *const *)argv, &files, &end,
		      &facts, err);
	if (r < 0)
		return explain(look->name, r, &end, facts.note, err);
	if (facts.note) {
		_cleanup_free_ char *says = kp_steal(&facts.note);

		facts.note = kp_strf("module '%s' %s", look->name, says);
	}
	*ret = facts;
	facts = (struct kp_artifact_facts){ 0 };
	return 0;
}
