// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What makes a build one that can be kept, and by what it is known again.
 *
 * Known before a build, the key: the stale key, the environment and with it our flags, the symbol
 * versions of BUILD_DEPENDS, the tools. Known behind it, the inputs: each file of the system that the
 * compiler read, by the dependency files that kbuild leaves; and kbuild's own files and tools.
 * A recipe that could have read more is not kept (recipe-scan.h).
 *
 * Dependency files are the build's own and could lie. It would deceive itself alone: the same
 * source is in the key.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"
#include "lib/cache.h"
#include "lib/key.h"
#include "lib/recipe-scan.h"
#include "lib/tool.h"

#define DEPTH_MAX 8
#define MAKEFILE_MAX (1024 * 1024)
#define CMD_MAX (16 * 1024 * 1024)
#define PATHS_MAX 100000

/* ---- the key */

/* How wide a build runs does not change what comes out. */
static bool is_about_jobs(const char *variable)
{
	return kp_str_starts(variable, "MAKEFLAGS=") ||
	       kp_str_starts(variable, "parallel_jobs=");
}

/* A tool as it is installed; its package goes with each of its versions. */
static void add_tool(struct kp_ctx *ctx, struct kp_hash *h, const char *name)
{
	_cleanup_free_ char *path = kp_tool_find(ctx, name), *real = NULL, *text = NULL;
	struct stat st;

	if (path && kp_realpath_in(ctx->root_fd, path, &real) == 0 &&
	    kp_stat_in(ctx->root_fd, real, &st) == 0)
		text = kp_strf("%s %jd %jd.%09ld", real, (intmax_t)st.st_size,
			       (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	kp_hash_field(h, name, text);
}

static void add_tools(const struct kp_build_work *w, struct kp_hash *h)
{
	static const char *const gnu[] = { "gcc", "ld", "as", "objcopy", "strip" };
	static const char *const llvm[] = { "clang", "ld.lld", "llvm-objcopy",
					    "llvm-strip" };
	static const char *const both[] = { "make", "pahole" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(gnu); i++)
		add_tool(w->ctx, h, gnu[i]);
	for (size_t i = 0; w->kb.clang && i < KP_ARRAY_SIZE(llvm); i++)
		add_tool(w->ctx, h, llvm[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(both); i++)
		add_tool(w->ctx, h, both[i]);
	if (w->kb.cc)
		add_tool(w->ctx, h, w->kb.cc);
}

static int add_symvers(struct kp_ctx *ctx, struct kp_hash *h, const char *path)
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, path, O_RDONLY, 0);
	char hex[KP_HASH_HEX];
	int r = fd < 0 ? fd : kp_hash_fd(fd, hex, NULL);

	if (!r)
		kp_hash_field(h, path, hex);
	return r;
}

static int make_key(const struct kp_build_work *w, char ret[KP_HASH_HEX])
{
	_cleanup_strv_ char **env = kp_recipe_env(w);
	struct kp_hash h;
	int r = 0;

	kp_hash_init(&h);
	kp_hash_field(&h, "cache", "1");
	kp_hash_field(&h, "key", w->job->key);
	kp_strv_foreach(p, env)
		if (!is_about_jobs(*p))
			kp_hash_field(&h, "env", *p);
	kp_hash_field(&h, "debug_info", w->ctx->config.debug_info ? "kept" : NULL);
	kp_strv_foreach(p, w->symvers)
		r = r < 0 ? r : add_symvers(w->ctx, &h, *p);
	add_tools(w, &h);
	kp_hash_hex(&h, ret);
	return r;
}

/* ---- taking */

/* The products that the conf wants, in stage; false: one is not there. */
static bool find_products(struct kp_build_work *w)
{
	const struct kp_conf *conf = w->job->conf;

	w->products = kp_calloc(conf->n_modules + 1, sizeof(*w->products));
	w->n_products = 0;
	for (size_t i = 0; i < conf->n_modules; i++) {
		const struct kp_conf_module *m = &conf->modules[i];
		char *path = kp_strf("%s/module/%s.ko", w->stage, m->dest_name);

		if (!m->excluded)
			w->products[w->n_products++] =
				(struct kp_product){ m, path, false };
		else
			free(path);
		if (!m->excluded && !kp_exists_in(w->ctx->root_fd, path))
			return false;
	}
	return true;
}

static void tell(struct kp_build_work *w, const struct kp_cache_entry *e)
{
	char date[64] = "";
	struct tm tm;
	time_t when = (time_t)e->time;

	if (localtime_r(&when, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
	kp_build_log_line(
		&w->log,
		"\nfrom the cache: these modules were built on %s in %lld.%02lld s "
		"(kmodpkg build --force builds them anew)",
		date, (long long)e->elapsed_ms / 1000,
		(long long)e->elapsed_ms % 1000 / 10);
}

int kp_kept_take(struct kp_build_work *w, struct kp_err *err)
{
	_cleanup_(kp_cache_entry_clear) struct kp_cache_entry e = { 0 };
	_cleanup_free_ char *modules = kp_path_join(w->stage, "module");
	int r;

	clock_gettime(CLOCK_REALTIME_COARSE, &w->since);
	w->can_keep = kp_sandbox_uid(w->slot) != geteuid() && kp_cache_is_on(w->ctx) &&
		      make_key(w, w->cache_key) == 0;
	if (!w->can_keep || w->job->force)
		return 0;
	r = kp_cache_get(w->ctx, w->cache_key, w->stage, &e);
	if (r > 0 && find_products(w)) {
		r = kp_build_stage(w, "cache", err);
		tell(w, &e);
		return r ?: 1;
	}
	/* Whatever came of it. */
	for (size_t i = 0; i < w->n_products; i++)
		free(w->products[i].path);
	free(kp_steal(&w->products));
	w->n_products = 0;
	r = kp_rm_rf_in(w->ctx->root_fd, w->stage, err);
	return r ?: kp_mkdir_in(w->ctx->root_fd, modules, 0755, err);
}

/* ---- what a build read */

struct reads {
	struct kp_build_work *w;
	char **list; /* absolute paths, with duplicates */
	size_t n, alloc;
	size_t compiled; /* commands of the compiler */
	bool running;
	char *why; /* it cannot be kept */
};

static void reads_clear(struct reads *rd)
{
	for (size_t i = 0; i < rd->n; i++)
		free(rd->list[i]);
	free(rd->list);
	free(rd->why);
}

static void refuse(struct reads *rd, char *why)
{
	if (rd->why)
		free(why);
	else
		rd->why = why;
}

static void add_path(struct reads *rd, char *path)
{
	if (rd->n >= PATHS_MAX) {
		free(path);
		refuse(rd, kp_strdup("it reads too many files"));
		return;
	}
	KP_GROW(rd->list, rd->n, rd->alloc);
	rd->list[rd->n++] = path;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

/* Where files lie that can be opened without a side effect, and be the same later. */
static bool is_known_place(const struct kp_build_work *w, const char *path)
{
	const struct kp_kernel *k = w->job->kernel;

	kp_strv_foreach(tree, k->trees)
		if (is_below(path, *tree))
			return true;
	return is_below(path, k->headers) || is_below(path, k->moddir) ||
	       is_below(path, w->ctx->install_tree) || is_below(path, "/usr") ||
	       is_below(path, w->ctx->dkms_tree);
}

static void add_read(struct reads *rd, const char *path)
{
	const struct kp_build_work *w = rd->w;
	_cleanup_free_ char *absolute = NULL;

	if (*path != '/') {
		/* kbuild runs in the directory of the headers, or (since 6.13) in the module's. */
		absolute = kp_path_join(w->job->kernel->headers, path);
		if (!kp_exists_in(w->ctx->root_fd, absolute))
			return;
		path = absolute;
	}
	if (is_below(path, w->seen) || is_below(path, w->seen_out))
		return;
	if (!is_known_place(w, path))
		refuse(rd, kp_strf("it reads '%s'", path));
	else
		add_path(rd, kp_strdup(path));
}

/* "cmd_x.o := gcc-12 -Wp,-MMD,..." */
static void add_compiler(struct reads *rd, const char *line)
{
	const char *command = strstr(line, ":=");
	_cleanup_free_ char *word = NULL, *path = NULL;

	if (!command || !strstr(command, " -Wp,-M"))
		return;
	command += 2;
	command += strspn(command, " \t");
	word = kp_strndup(command, strcspn(command, " \t"));
	path = *word == '/' ? kp_strdup(word) : kp_tool_find(rd->w->ctx, word);
	rd->compiled++;
	if (path)
		add_read(rd, path);
	else
		refuse(rd,
		       kp_strf("its compiler '%s' is not a program that is known", word));
}

/* Dependencies of one object, as scripts/basic/fixdep writes them: a variable "deps_x := \" and a
 * file on each line. */
static void read_cmd(struct reads *rd, char *text)
{
	bool deps = false;

	for (char *line = text, *next; line; line = next) {
		size_t n;
		bool more;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (kp_str_starts(line, "cmd_") || kp_str_starts(line, "savedcmd_"))
			add_compiler(rd, line);
		n = strlen(line);
		more = n && line[n - 1] == '\\';
		if (more)
			line[n - 1] = '\0';
		if (deps) {
			char *path = kp_str_strip(line);

			if (*path && *path != '$')
				add_read(rd, path);
			deps = more;
		} else {
			deps = more && kp_str_starts(line, "deps_");
		}
	}
}

static void read_makefile(struct reads *rd, const char *name, const char *text,
			  unsigned int levels)
{
	_cleanup_free_ char *why = kp_scan_makefile(text, levels, &rd->running);

	if (why)
		refuse(rd, kp_strf("its %s %s", name, why));
}

static void read_file(struct reads *rd, int dir_fd, const char *name, unsigned int levels)
{
	bool makefile = kp_scan_is_makefile(name);
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (!makefile && !(*name == '.' && kp_str_ends(name, ".cmd")))
		return;
	fd = kp_collect_open(dir_fd, name, NULL);
	if (fd < 0 ||
	    kp_read_fd(fd, makefile ? MAKEFILE_MAX : CMD_MAX, &text, &len) < 0 ||
	    strlen(text) != len)
		refuse(rd, kp_strf("its '%s' cannot be read", name));
	else if (makefile)
		read_makefile(rd, name, text, levels);
	else
		read_cmd(rd, text);
}

/* Nobody else can write there any more. DIR_FD is taken over. */
static void read_build(struct reads *rd, int dir_fd, unsigned int levels)
{
	_cleanup_closedir_ DIR *dir = fdopendir(dir_fd);
	struct dirent *e;

	if (!dir) {
		close(dir_fd);
		refuse(rd, kp_strdup("its build directory cannot be read"));
		return;
	}
	while (!rd->why && (e = readdir(dir))) {
		int sub;

		if (kp_str_eq(e->d_name, ".") || kp_str_eq(e->d_name, "..") ||
		    kp_str_eq(e->d_name, ".git"))
			continue;
		sub = openat(dirfd(dir), e->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			read_file(rd, dirfd(dir), e->d_name, levels);
		else if (levels < DEPTH_MAX)
			read_build(rd, sub, levels + 1);
		else
			close(sub);
	}
}

/* A module that kbuild linked has its command beside it. */
static void check_products(struct reads *rd)
{
	const struct kp_build_work *w = rd->w;

	for (size_t i = 0; i < w->n_products; i++) {
		const struct kp_conf_module *m = w->products[i].module;
		_cleanup_free_ char *cmd = kp_strf("%s/%s.%s.ko.cmd", w->build,
						   m->built_location, m->built_name);

		if (!kp_exists_in(w->ctx->root_fd, cmd))
			refuse(rd, kp_strf("kbuild did not make %s.ko", m->built_name));
	}
	if (!rd->compiled)
		refuse(rd, kp_strdup("nothing says what its compiler read"));
}

static void check_recipe(struct reads *rd)
{
	const struct kp_build_work *w = rd->w;
	const struct kp_conf *conf = w->job->conf;
	_cleanup_free_ char *build = kp_path_join(w->job->kernel->moddir, "build");
	_cleanup_free_ char *known =
		kp_strf("%s/%s/build", w->ctx->install_tree, w->job->kernel->release);
	const char *const headers[] = { w->job->kernel->headers, build, known, NULL };

	if (conf->scripts[KP_SCRIPT_PRE_BUILD] || conf->scripts[KP_SCRIPT_POST_BUILD])
		refuse(rd, kp_strdup("it has PRE_BUILD or POST_BUILD"));
	else if (w->source)
		refuse(rd, kp_strdup("its recipe names the registered source"));
	else if (conf->make) {
		char *why = kp_scan_make_line(conf->make, w->seen, headers);

		if (why)
			refuse(rd, why);
	}
}

/* ---- kbuild's own files */

static bool is_file(struct kp_ctx *ctx, const char *path)
{
	struct stat st;

	return !kp_stat_in(ctx->root_fd, path, &st) && S_ISREG(st.st_mode);
}

static void add_if_there(struct reads *rd, const char *dir, const char *name)
{
	char *path = kp_path_join(dir, name);

	if (is_file(rd->w->ctx, path))
		add_path(rd, path);
	else
		free(path);
}

static void add_below(struct reads *rd, const char *dir, int depth)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(rd->w->ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		struct stat st;

		if (kp_lstat_in(rd->w->ctx->root_fd, path, &st))
			continue;
		if (S_ISREG(st.st_mode))
			add_path(rd, kp_steal(&path));
		else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			add_below(rd, path, depth + 1);
	}
}

/* Headers are in the dependency files; this is the rest of what a build reads of a tree. */
static void add_kbuild(struct reads *rd, const char *tree)
{
	static const char *const files[] = {
		"Makefile",
		"Kbuild",
		"Module.symvers",
		".config",
		".kernelvariables",
		"include/config/auto.conf",
		"include/config/kernel.release",
		"tools/objtool/objtool",
		"objtool/objtool",
		"tools/bpf/resolve_btfids/resolve_btfids",
	};
	_cleanup_free_ char *scripts = kp_path_join(tree, "scripts");
	_cleanup_free_ char *arch = kp_path_join(tree, "arch");
	_cleanup_strv_ char **names = NULL;

	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++)
		add_if_there(rd, tree, files[i]);
	add_below(rd, kp_str_ends(tree, "/scripts") ? tree : scripts, 0);
	(void)kp_list_in(rd->w->ctx->root_fd, arch, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *dir = kp_path_join(arch, *name);

		add_if_there(rd, dir, "Makefile");
		add_if_there(rd, dir, "module.lds");
	}
}

/* ---- keeping */

static int by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_inputs(struct reads *rd, struct kp_cache_entry *e, struct kp_err *err)
{
	struct kp_build_work *w = rd->w;

	if (rd->n)
		qsort(rd->list, rd->n, sizeof(*rd->list), by_path);
	for (size_t i = 0; i < rd->n; i++) {
		int r;

		if (i && !strcmp(rd->list[i], rd->list[i - 1]))
			continue;
		r = kp_cache_add_input(w->ctx, e, rd->list[i], &w->since, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The source may have changed between the making of its key and its copy. */
static int check_source(const struct kp_build_work *w, struct kp_err *err)
{
	const struct kp_source *s = w->job->source;
	char now[KP_HASH_HEX];
	int r = kp_key_tree(w->ctx, s->dir, now, err);

	if (!r && !kp_str_eq(s->tree_key, now))
		r = kp_err_set(err, -ESTALE, "its source changed meanwhile");
	return r;
}

static int find_reads(struct reads *rd, struct kp_err *err)
{
	struct kp_build_work *w = rd->w;
	int fd = kp_open_in(w->ctx->root_fd, w->build,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", w->build);
	check_recipe(rd);
	read_build(rd, fd, 0);
	if (!rd->why)
		check_products(rd);
	if (rd->why)
		return kp_err_set(err, -EOPNOTSUPP, "%s", rd->why);
	add_kbuild(rd, w->job->kernel->headers);
	kp_strv_foreach(tree, w->job->kernel->trees)
		add_kbuild(rd, *tree);
	return 0;
}

void kp_kept_put(struct kp_build_work *w, int64_t elapsed_ms)
{
	_cleanup_(kp_cache_entry_clear) struct kp_cache_entry e = { .elapsed_ms =
									    elapsed_ms };
	_cleanup_(reads_clear) struct reads rd = { .w = w };
	struct kp_err err = KP_ERR_INIT;
	int r;

	if (!w->can_keep)
		return;
	r = check_source(w, &err);
	if (!r)
		r = find_reads(&rd, &err);
	if (!r)
		r = add_inputs(&rd, &e, &err);
	e.time = time(NULL);
	/* Our own uname (core/uname-front) names the kernel that is built for. */
	if (!r && rd.running && !kp_exists_in(w->ctx->root_fd, KP_LIBEXEC_DIR "/uname"))
		kp_cache_note_running(&e);
	if (!r)
		r = kp_cache_put(w->ctx, w->cache_key, w->stage, &e, &err);
	if (r < 0)
		kp_build_log_line(&w->log, "\nnot kept in the cache: %s",
				  kp_err_text(&err, r));
}
