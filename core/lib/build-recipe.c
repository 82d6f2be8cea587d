// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Patches, scripts and make: what a module source brings, run in the sandbox, in the
 * environment that DKMS gives it.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"
#include "lib/probe.h"
#include "lib/tool.h"
#include "probe-front/question.h"

/* A person's own flags reach the recipe; nothing else of our environment does. */
static const char *const passed[] = {
	"KCFLAGS", "KAFLAGS",  "KCPPFLAGS",	    "KBUILD_VERBOSE",
	"LLVM",	   "LLVM_IAS", "SOURCE_DATE_EPOCH",
};

/* Debug information is stripped from what is built, so making it is wasted (a tenth of the
 * time), unless something else needs it: BTF, and symbol versions made from DWARF. */
static bool skip_debug_info(const struct kp_build_work *w)
{
	const struct kp_conf *conf = w->job->conf;
	_cleanup_free_ char *text = NULL, *versions = NULL;

	if (w->ctx->config.debug_info || w->kb.btf || !w->kb.config_path)
		return false;
	for (size_t i = 0; i < conf->n_modules; i++)
		if (!conf->modules[i].excluded && !conf->modules[i].strip)
			return false;
	if (kp_read_in(w->ctx->root_fd, w->kb.config_path, 0, &text, NULL) < 0)
		return false;
	versions = kp_kconfig_get(text, "CONFIG_GENDWARFKSYMS");
	return !kp_str_eq(versions, "y");
}

static void add_flags(const struct kp_build_work *w, char ***env)
{
	const char *flags = getenv("KCFLAGS");

	for (size_t i = 0; i < KP_ARRAY_SIZE(passed); i++) {
		const char *value = getenv(passed[i]);

		if (value && !kp_str_eq(passed[i], "KCFLAGS"))
			kp_strv_addf(env, "%s=%s", passed[i], value);
	}
	if (skip_debug_info(w))
		kp_strv_addf(env, "KCFLAGS=%s%s-g0", flags ?: "", flags ? " " : "");
	else if (flags)
		kp_strv_addf(env, "KCFLAGS=%s", flags);
}

/* Where the sandbox shows something else, so that a kernel tree there has to be bound. */
static bool below_hidden(const char *path)
{
	return kp_str_starts(path, "/home/") || kp_str_starts(path, "/root/") ||
	       kp_str_starts(path, "/run/") || kp_str_starts(path, "/tmp/");
}

/* The path by which DKMS knows the headers (recipes take it apart: ".../build" has a
 * ".../source" beside it); the real one where that is another's, or not to be seen. To be freed. */
static char *headers_path(const struct kp_build_work *w)
{
	const struct kp_kernel *k = w->job->kernel;
	_cleanup_free_ char *real = NULL;
	char *path = kp_strf("%s/%s/build", w->ctx->install_tree, k->release);

	if (!below_hidden(path) && !kp_realpath_in(w->ctx->root_fd, path, &real) &&
	    kp_str_eq(real, k->headers))
		return path;
	free(path);
	return kp_strdup(k->headers);
}

char **kp_recipe_env(const struct kp_build_work *w)
{
	const struct kp_build_job *job = w->job;
	_cleanup_free_ char *headers = headers_path(w);
	struct kp_ctx *ctx = w->ctx;
	const struct {
		const char *name, *value;
	} vars[] = {
		{ "HOME", "/tmp" },
		{ "LANG", "C.UTF-8" },
		{ "LC_ALL", "C.UTF-8" },
		/* Those that DKMS exports, then those that its own shell would expand in a
		 * MAKE line. */
		{ "kernelver", job->kernel->release },
		{ "arch", ctx->arch },
		{ "module", job->source->module },
		{ "module_version", job->source->version },
		{ "CC", w->kb.cc },
		{ "KERNEL_CC", w->kb.cc },
		{ "LD", w->kb.ld },
		{ "KERNEL_LD", w->kb.ld },
		{ "dkms_tree", ctx->dkms_tree },
		{ "source_tree", ctx->source_tree },
		{ "install_tree", ctx->install_tree },
		{ "kernel_source_dir", headers },
		{ "kernel_config", w->kb.config_path },
		{ "tmp_location", "/tmp" },
	};
	char **env = NULL;

	kp_strv_addf(&env, "PATH=%s%s" KP_LIBEXEC_DIR ":" KP_STANDARD_PATH,
		     w->fronts ?: "", w->fronts ? ":" : "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(vars); i++)
		if (vars[i].value)
			kp_strv_addf(&env, "%s=%s", vars[i].name, vars[i].value);
	kp_strv_addf(&env, "parallel_jobs=%d", w->js->n);
	kp_strv_take(&env, kp_jobserver_env(w->js));
	if (w->symvers) {
		_cleanup_free_ char *list = kp_strv_join(w->symvers, " ");

		kp_strv_addf(&env, "KBUILD_EXTRA_SYMBOLS=%s", list);
	}
	add_flags(w, &env);
	return env;
}

/* ---- running ---- */

struct binds {
	struct kp_sandbox_bind list[10];
	size_t n;
	char *source_link; /* where the kernel's own "source" leads */
	char *answers;
};

static void bind(struct binds *b, const char *from, const char *at, bool writable)
{
	b->list[b->n++] = (struct kp_sandbox_bind){ from, at, writable };
}

static void binds_clear(struct binds *b)
{
	free(b->source_link);
	free(b->answers);
}

/* What is bound where. Without private mounts all is at its place already, and this says what may
 * be read and written. */
static void make_binds(struct kp_build_work *w, struct binds *b, const char *source_at)
{
	const char *headers = w->job->kernel->headers;
	_cleanup_free_ char *link = kp_path_join(headers, "source");
	bool private = kp_sandbox_has_mounts();

	bind(b, w->build, w->seen, true);
	bind(b, w->out, w->seen_out, true);
	if (w->fronts) {
		b->answers = kp_probe_answers(w->ctx);
		bind(b, b->answers, b->answers, false);
		bind(b, w->fronts, w->fronts, true); /* ours, but for how to ask */
	}
	bind(b, w->job->source->dir, private ? source_at : w->job->source->dir, false);
	if (private)
		bind(b, w->tmp, "/tmp", true);
	if (w->source)
		bind(b, w->source, w->job->source->dir, true);
	/* Self-built kernels: the tree lies where somebody built it. */
	if (below_hidden(headers))
		bind(b, headers, headers, false);
	if (!kp_realpath_in(w->ctx->root_fd, link, &b->source_link) &&
	    below_hidden(b->source_link))
		bind(b, b->source_link, b->source_link, false);
}

static int seconds_left(const struct kp_build_work *w)
{
	int64_t left;

	if (!w->deadline)
		return 0;
	left = w->deadline - kp_now_ms() / 1000;
	return left > 0 ? (int)left : 1;
}

/* Run ARGV in CWD, output to the log under the heading WHAT. */
static int run(struct kp_build_work *w, const char *what, char *const *argv,
	       const char *cwd, struct kp_proc_end *end, struct kp_err *err)
{
	_cleanup_free_ char *shown = kp_strv_join(argv, " ");
	_cleanup_free_ char *scratch = kp_path_dir(w->seen);
	_cleanup_free_ char *source_at = kp_path_join(scratch, "source");
	_cleanup_(binds_clear) struct binds binds = { .n = 0 };
	_cleanup_strv_ char **env = kp_recipe_env(w);
	const int keep[] = { w->js->read_fd, w->js->write_fd };
	const struct kp_proc proc = {
		.argv = (const char *const *)argv,
		.env = (const char *const *)env,
		.cwd = cwd,
		.out_fd = w->log.fd,
		.err_fd = w->log.fd,
		.keep_fds = keep,
		.n_keep_fds = 2,
	};
	struct kp_sandbox sb = {
		.slot = w->slot,
		.scratch = kp_sandbox_has_mounts() ? scratch : NULL,
		.release = w->job->kernel->release,
		.timeout_s = seconds_left(w),
		.max_output = KP_BUILD_LOG_MAX,
		.met = &w->met,
	};
	int rc;

	make_binds(w, &binds, source_at);
	sb.binds = binds.list;
	sb.n_binds = binds.n;
	*end = (struct kp_proc_end){ -1, 0 };
	w->met = 0;
	kp_build_log_begin(&w->log, what, shown);
	rc = kp_sandbox_run(w->ctx, &sb, &proc, end, err);
	if (rc == -ETIME)
		kp_timeout_met(w->ctx->config.timeout_minutes, err);
	if (rc && rc != -ECHILD)
		kp_build_log_line(&w->log, "%s", kp_err_text(err, rc));
	kp_build_log_end(&w->log, end->signal ? 128 + end->signal : end->exit_code);
	if (rc == -ECHILD)
		w->recipe = end->signal != SIGKILL && end->signal != SIGTERM;
	else /* of a disk that is full it may not be the cause */
		w->recipe = rc == -ETIME || rc == -EDQUOT;
	return rc;
}

/* Run a shell command line, as DKMS evaluates it. */
static char **shell(struct kp_build_work *w, const char *line, struct kp_err *err)
{
	char **argv = NULL, *bash;

	if (kp_tool_need(w->ctx, "bash", "bash", &bash, err) < 0)
		return NULL;
	kp_strv_take(&argv, bash);
	kp_strv_add(&argv, "-c");
	kp_strv_add(&argv, line);
	return argv;
}

/* ---- patches ---- */

static int patch(struct kp_build_work *w, const char *tool, const char *name,
		 struct kp_err *err)
{
	_cleanup_free_ char *file = kp_strf("patches/%s", name);
	_cleanup_free_ char *path = kp_path_join(w->build, file);
	_cleanup_free_ char *what = kp_strf("Applying patch %s", name);
	const char *const argv[] = { tool, "-p1", "-f", "-i", file, NULL };
	struct kp_proc_end end;
	int rc;

	if (!kp_relpath_ok(name) || !kp_exists_in(w->ctx->root_fd, path)) {
		w->exit_code = KP_EXIT_PATCH_MISSING;
		w->recipe = true;
		return kp_err_set(err, -ENOENT,
				  "patch '%s' of dkms.conf is not in patches/", name);
	}
	rc = run(w, what, (char *const *)argv, w->seen, &end, err);
	if (rc != -ECHILD)
		return rc;
	w->exit_code = KP_EXIT_PATCH;
	return kp_err_set(err, rc, "patch '%s' does not apply", name);
}

int kp_recipe_patch(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_free_ char *tool = NULL;
	int rc;

	if (!w->job->conf->patches)
		return 0;
	rc = kp_build_stage(w, "patch", err);
	if (!rc)
		rc = kp_tool_need(w->ctx, "patch", "patch", &tool, err);
	kp_strv_foreach(name, w->job->conf->patches) {
		if (rc < 0)
			break;
		rc = patch(w, tool, *name, err);
	}
	return rc;
}

/* ---- scripts ---- */

static bool is_executable(struct kp_ctx *ctx, const char *path)
{
	struct stat st;

	return !kp_stat_in(ctx->root_fd, path, &st) && S_ISREG(st.st_mode) &&
	       (st.st_mode & 0111);
}

int kp_recipe_script(struct kp_build_work *w, enum kp_conf_script which,
		     struct kp_err *err)
{
	const char *name = kp_conf_script_name(which),
		   *line = w->job->conf->scripts[which];
	_cleanup_free_ char *word = NULL, *dir = NULL, *over = NULL, *here = NULL,
			    *command = NULL,
			    *what = kp_strf("Running the %s script", name);
	_cleanup_strv_ char **argv = NULL;
	struct kp_proc_end end;
	int rc;

	if (kp_str_empty(line))
		return 0;
	rc = kp_build_stage(w, which == KP_SCRIPT_PRE_BUILD ? "pre-build" : "post-build",
			    err);
	if (rc < 0)
		return rc;
	word = kp_strndup(line, strcspn(line, " \t\n"));
	dir = kp_strf("/etc/dkms/%s", w->job->source->module);
	over = kp_path_join(dir, word);
	here = kp_path_join(w->build, word);
	if (!is_executable(w->ctx, over)) {
		free(dir);
		dir = kp_strdup(w->seen);
		if (!is_executable(w->ctx, here)) {
			kp_build_log_line(&w->log, "\n%s %s is not executable, skipping",
					  name, word);
			return 0;
		}
	}
	command = kp_strf("%s/%s", dir, line); /* arguments as they are */
	argv = shell(w, command, err);
	if (!argv)
		return -ENOPKG;
	rc = run(w, what, argv, dir, &end, err);
	if (rc != -ECHILD)
		return rc;
	w->exit_code = end.signal ? 128 + end.signal : end.exit_code;
	return kp_err_set(err, rc, "%s script '%s' failed with exit code %d", name, word,
			  w->exit_code);
}

/* ---- make ---- */

static bool word_ends(char c)
{
	return !c || strchr(" \t\n;&|()<>", c);
}

char *kp_recipe_make_line(const struct kp_build_work *w, char ***ret_argv)
{
	const char *line = w->job->conf->make, *llvm = w->kb.clang ? " LLVM=1" : "";
	const char *release = w->job->kernel->release;

	if (!line) {
		kp_strv_addf(ret_argv, "KERNELRELEASE=%s", release);
		kp_strv_add(ret_argv, "-C");
		kp_strv_take(ret_argv, headers_path(w));
		kp_strv_addf(ret_argv, "M=%s", w->seen);
		if (w->kb.clang)
			kp_strv_add(ret_argv, "LLVM=1");
		return NULL;
	}
	/* "'make'" in quotes asks for no addition. */
	if (kp_str_starts(line, "make") && word_ends(line[4]))
		return kp_strf("make KERNELRELEASE=%s%s%s", release, line + 4, llvm);
	return kp_strf("%s%s", line, llvm);
}

/* The first compiler that a build will look for, and make. */
static int need_tools(struct kp_build_work *w, char **ret_make, struct kp_err *err)
{
	_cleanup_free_ char *cc = NULL;
	const char *name = w->kb.cc ? w->kb.cc : w->kb.clang ? "clang" : "gcc";
	int rc;

	rc = kp_tool_need(w->ctx, "make", "make", ret_make, err);
	if (!rc && !strpbrk(name, " /"))
		rc = kp_tool_need(w->ctx, name, name, &cc, err);
	return rc;
}

bool kp_recipe_machine_fault(const char *log_end)
{
	static const char *const signs[] = {
		"No space left on device",
		"Disk quota exceeded",
		"Cannot allocate memory",
		"virtual memory exhausted",
		"out of memory",
		"Input/output error",
		"Resource temporarily unavailable", /* fork */
		"Killed signal terminated program", /* gcc: the kernel's memory killer */
		"Too many open files in system",
		/* A compiler of which only a part is unpacked yet. */
		"cannot execute 'cc1'",
		("cannot execute \xe2\x80\x98"
		 "cc1\xe2\x80\x99"),
		"error trying to exec 'cc1'",
		"error while loading shared libraries",
		"gcc: not found",
		"gcc: command not found",
		"cc: not found",
		"ld: not found",
		"ld: command not found",
		"as: not found",
		"make: not found",
		"make: command not found",
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(signs); i++)
		if (strstr(log_end, signs[i]))
			return true;
	return false;
}

int kp_recipe_limit(const struct kp_limits *limits, unsigned int met, const char *log_end,
		    struct kp_err *err)
{
	/* In the words of the C library, and of those that have their own. */
	static const struct {
		enum kp_limit limit;
		const char *words;
	} signs[] = {
		{ KP_LIMIT_PROCESSES, "Resource temporarily unavailable" },
		{ KP_LIMIT_MEMORY, "Cannot allocate" },
		{ KP_LIMIT_MEMORY, "memory exhausted" },
		{ KP_LIMIT_MEMORY, "out of memory" },
		{ KP_LIMIT_MEMORY, "memory allocation of" }, /* rustc */
		{ KP_LIMIT_MEMORY, "MemoryError" },
		{ KP_LIMIT_MEMORY, "bad_alloc" },
		{ KP_LIMIT_DISK, "File size limit exceeded" }, /* SIGXFSZ */
		{ KP_LIMIT_DISK, "# exit code: 153\n" }, /* likewise, nobody said so */
		{ KP_LIMIT_DISK, "File too large" },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(signs); i++)
		if (met & 1U << signs[i].limit && strcasestr(log_end, signs[i].words))
			return kp_limit_met(limits, signs[i].limit, err);
	return 0;
}

int kp_recipe_make(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_free_ char *front = kp_path_join(KP_LIBEXEC_DIR, "make");
	_cleanup_free_ char *make = NULL, *line = NULL;
	_cleanup_strv_ char **argv = NULL, **args = NULL;
	struct kp_proc_end end;
	int rc;

	rc = kp_build_stage(w, "make", err);
	if (!rc)
		rc = need_tools(w, &make, err);
	if (rc < 0)
		return rc;
	line = kp_recipe_make_line(w, &args);
	if (line) {
		argv = shell(w, line, err);
		if (!argv)
			return -ENOPKG;
	} else {
		kp_strv_add(&argv, is_executable(w->ctx, front) ? front : make);
		kp_strv_foreach(arg, args)
			kp_strv_add(&argv, *arg);
	}
	rc = run(w, "Building module(s)", argv, w->seen, &end, err);
	if (rc != -ECHILD)
		return rc;
	w->exit_code = KP_EXIT_MAKE;
	if (end.signal)
		return kp_err_set(err, rc, "make was killed by signal %d", end.signal);
	return kp_err_set(err, rc, "make failed with exit code %d", end.exit_code);
}
