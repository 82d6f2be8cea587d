// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a build read: the files that its compiler names in the dependency files which kbuild leaves, the
 * compiler, and kbuild's own files and tools; and whether that is all.
 *
 * Dependency files are the build's own and could lie. It would deceive itself alone: the same
 * source is in the key. But they are not believed about where a path leads: none is opened before it
 * is known to be a file of the system.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/build-job.h"
#include "lib/probe.h"
#include "lib/recipe-scan.h"
#include "lib/tool.h"
#include "probe-front/question.h"

#define DEPTH_MAX 16
#define MAKEFILE_MAX (256 * 1024)
#define CMD_MAX (16 * 1024 * 1024)
#define PATHS_MAX 20000
#define ROUNDS_MAX 8 /* of make files that others include */
/* Each object names its headers again: when that many are noted, duplicates go. */
#define NOTED_MAX (2 * PATHS_MAX)

struct reads {
	struct kp_build_work *w;
	char **list; /* as they were named, with duplicates */
	size_t n, alloc;
	char **compilers; /* absolute, each once */
	char *why;	  /* it cannot be kept */
	char **places;	  /* see known_places() */
	char **linked;	  /* products that kbuild has linked, wherever they are now */
	char **includes;  /* names, or patterns, of make files that others include */
	char *dir, *real; /* the directory of the last path, and where that leads */
};

static void reads_clear(struct reads *rd)
{
	for (size_t i = 0; i < rd->n; i++)
		free(rd->list[i]);
	free(rd->list);
	kp_strv_free(rd->compilers);
	kp_strv_free(rd->places);
	kp_strv_free(rd->linked);
	kp_strv_free(rd->includes);
	free(rd->why);
	free(rd->dir);
	free(rd->real);
}

static void refuse(struct reads *rd, char *why)
{
	if (rd->why)
		free(why);
	else
		rd->why = why;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void drop_duplicates(struct reads *rd)
{
	size_t n = 0;

	if (rd->n)
		qsort(rd->list, rd->n, sizeof(*rd->list), by_path);
	for (size_t i = 0; i < rd->n; i++)
		if (n && !strcmp(rd->list[i], rd->list[n - 1]))
			free(rd->list[i]);
		else
			rd->list[n++] = rd->list[i];
	rd->n = n;
	if (n > PATHS_MAX)
		refuse(rd, kp_strdup("it reads too many files"));
}

static void add_path(struct reads *rd, const char *path)
{
	if (rd->why)
		return;
	if (strlen(path) >= PATH_MAX) {
		refuse(rd, kp_strf("it reads '%.60s...'", path));
		return;
	}
	if (rd->n >= NOTED_MAX)
		drop_duplicates(rd);
	KP_GROW(rd->list, rd->n, rd->alloc);
	rd->list[rd->n++] = kp_strdup(path);
}

/* Does the clock, or somebody, say that it is enough? */
static bool is_ended(struct reads *rd)
{
	struct kp_err err = KP_ERR_INIT;
	int r = kp_build_go_on(rd->w, &err);

	if (r < 0)
		refuse(rd, kp_strdup(kp_err_text(&err, r)));
	return rd->why;
}

/* ---- where a path leads */

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

static bool is_really_below(struct kp_ctx *ctx, const char *path, const char *dir)
{
	_cleanup_free_ char *real = NULL, *real_dir = NULL;

	return !kp_realpath_in(ctx->root_fd, path, &real) &&
	       !kp_realpath_in(ctx->root_fd, dir, &real_dir) && is_below(real, real_dir);
}

/* The directories of the system, without links, whose files can be opened without a side effect and
 * are the same later. To be freed. */
static char **known_places(const struct kp_build_work *w)
{
	const struct kp_kernel *k = w->job->kernel;
	const char *const dirs[] = { k->headers, k->moddir, w->ctx->install_tree, "/usr",
				     w->ctx->dkms_tree };
	_cleanup_strv_ char **all = NULL;
	char **places = NULL;

	kp_strv_foreach(tree, k->trees)
		kp_strv_add(&all, *tree);
	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++)
		kp_strv_add(&all, dirs[i]);
	kp_strv_foreach(dir, all) {
		char *real;

		if (!kp_realpath_in(w->ctx->root_fd, *dir, &real))
			kp_strv_take(&places, real);
	}
	return places;
}

/* Where the path of a file leads. They come sorted, and most share their directory with the last one. To be
 * freed; NULL: nowhere. */
static char *lead(struct reads *rd, const char *path)
{
	int root = rd->w->ctx->root_fd;
	_cleanup_free_ char *dir = kp_path_dir(path), *at = NULL;
	const char *name = strrchr(path, '/') + 1;
	char *real = NULL;
	struct stat st;

	if (!kp_str_eq(dir, rd->dir)) {
		free(kp_steal(&rd->dir));
		free(kp_steal(&rd->real));
		if (kp_realpath_in(root, dir, &rd->real) < 0)
			return NULL;
		rd->dir = kp_steal(&dir);
	}
	at = kp_path_join(rd->real, name);
	if (kp_lstat_in(root, at, &st) < 0)
		return NULL;
	if (!S_ISLNK(st.st_mode))
		return kp_steal(&at);
	return kp_realpath_in(root, at, &real) < 0 ? NULL : real;
}

/* What stands for a path that was read. *ret, to be freed: an input, or NULL: it is of the source, which
 * the key has. False: it is of somewhere else, or gone. */
static bool find_input(struct reads *rd, const char *path, char **ret)
{
	const struct kp_build_work *w = rd->w;
	struct kp_ctx *ctx = w->ctx;
	const struct {
		const char *seen, *dir;
	} own[] = { { w->seen, w->build }, { w->seen_out, w->out } };
	_cleanup_free_ char *absolute = NULL, *real = NULL;

	*ret = NULL;
	if (*path != '/') {
		/* kbuild runs in the directory of the headers, or (since 6.13) in the module's. */
		if (!kp_relpath_ok(path))
			return false;
		absolute = kp_path_join(w->job->kernel->headers, path);
		if (!kp_exists_in(ctx->root_fd, absolute))
			return true;
		path = absolute;
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(own); i++) {
		_cleanup_free_ char *at = NULL;

		if (!is_below(path, own[i].seen))
			continue;
		at = kp_path_join(own[i].dir, path + strlen(own[i].seen));
		return is_really_below(ctx, at, own[i].dir);
	}
	real = kp_path_ok(path) ? lead(rd, path) : NULL;
	kp_strv_foreach(place, real ? rd->places : NULL)
		if (is_below(real, *place)) {
			*ret = kp_strdup(path);
			return true;
		}
	return false;
}

/* ---- the build directory */

static bool is_clang(const char *name)
{
	return kp_str_starts(name, "clang") &&
	       !name[5 + strspn(name + 5, "-.0123456789")];
}

/* "cmd_x.o := gcc-12 -Wp,-MMD,..." */
static void add_compiler(struct reads *rd, const char *line)
{
	const char *command = strstr(line, ":="), *name;
	_cleanup_free_ char *word = NULL, *path = NULL;

	if (strstr(line, "rustc"))
		refuse(rd, kp_strdup("its compiler is rustc"));
	if (!command || !strstr(command, " -Wp,-M"))
		return;
	command += 2;
	command += strspn(command, " \t");
	word = kp_strndup(command, strcspn(command, " \t"));
	path = *word == '/' ? kp_strdup(word) : kp_tool_find(rd->w->ctx, word);
	name = path ? strrchr(path, '/') + 1 : "";
	if (!kp_question_is_compiler(name) && !is_clang(name)) {
		refuse(rd,
		       kp_strf("its compiler '%.60s' is not one that is known", word));
		return;
	}
	if (!kp_strv_has(rd->compilers, path))
		kp_strv_take(&rd->compilers, kp_steal(&path));
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
				add_path(rd, path);
			deps = more;
		} else {
			deps = more && kp_str_starts(line, "deps_");
		}
	}
}

static bool is_included(const struct reads *rd, const char *name)
{
	kp_strv_foreach(p, rd->includes) {
		const char *star = strchr(*p, '*');
		size_t n = star ? (size_t)(star - *p) : 0;

		if (star ? !strncmp(name, *p, n) && kp_str_ends(name + n, star + 1)
			 : kp_str_eq(name, *p))
			return true;
	}
	return false;
}

/* Our own uname names the kernel that is built for. */
static void read_makefile(struct reads *rd, const char *name, const char *text,
			  unsigned int levels)
{
	/* Which any make file may include, so that it may count from the top. */
	bool part = kp_str_ends(name, ".mk") || kp_str_ends(name, ".mak") ||
		    is_included(rd, name);
	struct kp_scan_file file = { .levels = part ? 0 : levels };
	_cleanup_free_ char *why =
		kp_scan_makefile(text, rd->w->job->conf->make, rd->w->seen, &file);

	if (why)
		refuse(rd, kp_strf("its %s %s", name, why));
	else if (file.running && !kp_tool_is(rd->w->ctx, KP_LIBEXEC_DIR "/uname"))
		refuse(rd, kp_strf("its %s asks for the running kernel", name));
	kp_strv_foreach(p, file.includes)
		if (!kp_strv_has(rd->includes, *p))
			kp_strv_add(&rd->includes, *p);
	kp_strv_free(file.includes);
}

/* A module that kbuild linked has its command where that was. */
static void note_linked(struct reads *rd, const char *name)
{
	const struct kp_build_work *w = rd->w;

	for (size_t i = 0; i < w->n_products; i++) {
		const char *module = w->products[i].module->built_name;
		_cleanup_free_ char *cmd = kp_strf(".%s.ko.cmd", module);

		if (kp_str_eq(name, cmd) && !kp_strv_has(rd->linked, module))
			kp_strv_add(&rd->linked, module);
	}
}

static void read_file(struct reads *rd, int dir_fd, const char *name, unsigned int levels)
{
	bool makefile = kp_scan_is_makefile(name) || is_included(rd, name);
	bool cmd = *name == '.' && kp_str_ends(name, ".cmd");
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (!makefile && !cmd)
		return;
	note_linked(rd, name);
	fd = kp_collect_open(dir_fd, name, NULL);
	if (fd < 0 ||
	    kp_read_fd(fd, makefile ? MAKEFILE_MAX : CMD_MAX, &text, &len) < 0 ||
	    strlen(text) != len) {
		refuse(rd, kp_strf("its '%s' cannot be read", name));
		return;
	}
	if (makefile)
		read_makefile(rd, name, text, levels);
	if (cmd)
		read_cmd(rd, text);
}

/* A link out of the build directory is no part of the key: what is behind it may change. */
static void check_link(struct reads *rd, int dir_fd, const char *name,
		       unsigned int levels)
{
	_cleanup_free_ char *text = NULL;

	if (kp_readlink_at(dir_fd, name, &text) < 0 || !kp_link_stays(levels, text))
		refuse(rd, kp_strf("its '%s' is a link that leads out of it", name));
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
	if (levels > DEPTH_MAX)
		refuse(rd, kp_strdup("its directories are nested too deeply"));
	while (!is_ended(rd) && (e = readdir(dir))) {
		struct stat st;
		int sub;

		if (kp_str_eq(e->d_name, ".") || kp_str_eq(e->d_name, "..") ||
		    kp_str_eq(e->d_name, ".git"))
			continue;
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			st.st_mode = 0;
		if (S_ISLNK(st.st_mode))
			check_link(rd, dirfd(dir), e->d_name, levels);
		if (!S_ISDIR(st.st_mode)) {
			read_file(rd, dirfd(dir), e->d_name, levels);
			continue;
		}
		sub = openat(dirfd(dir), e->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			read_build(rd, sub, levels + 1);
		else
			refuse(rd, kp_strf("its '%s' cannot be read", e->d_name));
	}
}

static void check_products(struct reads *rd)
{
	const struct kp_build_work *w = rd->w;

	for (size_t i = 0; i < w->n_products; i++) {
		const char *name = w->products[i].module->built_name;

		if (!kp_strv_has(rd->linked, name))
			refuse(rd, kp_strf("kbuild did not make %s.ko", name));
	}
	if (!rd->compilers)
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
	_cleanup_free_ char *path = kp_path_join(dir, name);

	if (is_file(rd->w->ctx, path))
		add_path(rd, path);
}

static void add_below(struct reads *rd, const char *dir, int depth)
{
	_cleanup_strv_ char **names = NULL;

	if (depth > DEPTH_MAX)
		refuse(rd, kp_strf("'%s' is nested too deeply", dir));
	else
		(void)kp_list_in(rd->w->ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		struct stat st;

		if (kp_lstat_in(rd->w->ctx->root_fd, path, &st))
			continue;
		if (S_ISREG(st.st_mode))
			add_path(rd, path);
		else if (S_ISDIR(st.st_mode))
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

/* gcc starts another program, which may come with another package. */
static void add_compilers(struct reads *rd)
{
	struct kp_build_work *w = rd->w;
	_cleanup_free_ char *room = kp_path_join(w->private, "room");

	kp_strv_foreach(p, rd->compilers) {
		_cleanup_free_ char *cc1 = NULL;

		add_path(rd, *p);
		if (is_clang(strrchr(*p, '/') + 1))
			continue;
		cc1 = kp_probe_cc1(w->ctx, w->slot, room, *p);
		if (cc1)
			add_path(rd, cc1);
		else
			refuse(rd, kp_strf("'%s' does not say where its cc1 is", *p));
	}
}

/* ---- all of it */

static void collect(struct reads *rd, char ***ret)
{
	rd->places = known_places(rd->w);
	drop_duplicates(rd);
	for (size_t i = 0; i < rd->n && !is_ended(rd); i++) {
		char *input;

		if (!find_input(rd, rd->list[i], &input))
			refuse(rd, kp_strf("it reads '%s'", rd->list[i]));
		else if (input)
			kp_strv_take(ret, input);
	}
}

int kp_reads_find(struct kp_build_work *w, char ***ret, struct kp_err *err)
{
	_cleanup_(reads_clear) struct reads rd = { .w = w };
	size_t n = 0;

	check_recipe(&rd);
	/* Again, as long as there are make files that were not known to be some. */
	for (int i = 0; !rd.why && (!i || kp_strv_len(rd.includes) > n); i++) {
		int fd = kp_open_in(w->ctx->root_fd, w->build,
				    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

		if (fd < 0)
			return kp_err_sys(err, fd, "open '%s'", w->build);
		n = kp_strv_len(rd.includes);
		read_build(&rd, fd, 0);
		if (i == ROUNDS_MAX)
			refuse(&rd, kp_strdup("its make files include many others"));
	}
	if (!rd.why)
		check_products(&rd);
	if (!rd.why) {
		add_compilers(&rd);
		add_kbuild(&rd, w->job->kernel->headers);
		kp_strv_foreach(tree, w->job->kernel->trees)
			add_kbuild(&rd, *tree);
		collect(&rd, ret);
	}
	return rd.why ? kp_err_set(err, -EOPNOTSUPP, "%s", rd.why) : 0;
}
