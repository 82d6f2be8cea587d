// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The identity of every tree that a build for a kernel reads.
 *
 * <moddir>/build is seldom all of it. Debian's Makefile there includes one in the -common
 * tree, and scripts and tools are links to the kbuild package, which serves several
 * kernels and is updated on its own; Ubuntu's tree consists of links, SUSE's and every O=
 * build's names its source directory in a generated Makefile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>
#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/key.h"
#include "lib/tree-hash.h"

#define MAKEFILE_MAX (1024 * 1024)
/* A generated Makefile that only leads elsewhere is smaller, the kernel's own is larger.
 */
#define WRAPPER_MAX 4096

struct tree {
	char *path;	/* without links */
	char **reaches; /* paths of the trees that it leads to */
	char **probes;	/* files by whose owner the tree is known */
	char *identity; /* NULL: cannot be read, `problem` says why */
	char **owners; /* the same with each package once, for a person; NULL: by looks */
	char *problem;
};

struct trees {
	struct tree *list;
	size_t n, alloc;
};

static void trees_clear(struct trees *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->list[i].path);
		kp_strv_free(t->list[i].reaches);
		kp_strv_free(t->list[i].probes);
		free(t->list[i].identity);
		kp_strv_free(t->list[i].owners);
		free(t->list[i].problem);
	}
	free(t->list);
}

static struct tree *trees_find(const struct trees *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->list[i].path, path))
			return &t->list[i];
	return NULL;
}

static void trees_add(struct trees *t, const char *path)
{
	if (trees_find(t, path))
		return;
	KP_GROW(t->list, t->n, t->alloc);
	t->list[t->n++] = (struct tree){ .path = kp_strdup(path) };
}

static bool is_inside(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/* Note that TREE leads to PATH, which exists and may have links. */
static void add_reached(struct kp_ctx *ctx, struct tree *tree, const char *path)
{
	_cleanup_free_ char *real = NULL;

	if (kp_realpath_in(ctx->root_fd, path, &real) < 0 || !strcmp(real, "/") ||
	    is_inside(real, tree->path) || kp_strv_has(tree->reaches, real))
		return;
	kp_strv_take(&tree->reaches, kp_steal(&real));
}

/* Links in DIR that lead out of TREE. */
static void scan_links(struct kp_ctx *ctx, struct tree *tree, const char *dir)
{
	_cleanup_closedir_ DIR *d = NULL;
	const struct dirent *e;
	int fd;

	fd = kp_open_in(ctx->root_fd, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return;
	}
	while ((e = readdir(d))) {
		_cleanup_free_ char *path = NULL;

		if (e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)
			continue;
		path = kp_path_join(dir, e->d_name);
		if (e->d_type == DT_UNKNOWN) {
			struct stat st;

			if (kp_lstat_in(ctx->root_fd, path, &st) < 0 ||
			    !S_ISLNK(st.st_mode))
				continue;
		}
		add_reached(ctx, tree, path);
	}
}

/* A word of a Makefile. If it is the absolute path of a directory with a Makefile, or of
 * a file in one, that directory is read. */
static void scan_word(struct kp_ctx *ctx, struct tree *tree, const char *word)
{
	_cleanup_free_ char *dir = NULL, *makefile = NULL;
	struct stat st;

	if (*word != '/' || strpbrk(word, "$*?%") ||
	    kp_stat_in(ctx->root_fd, word, &st) < 0)
		return;
	dir = S_ISDIR(st.st_mode) ? kp_path_join(word, "") : kp_path_dir(word);
	makefile = kp_path_join(dir, "Makefile");
	if (kp_exists_in(ctx->root_fd, makefile))
		add_reached(ctx, tree, dir);
}

/* `include` lines; of a generated wrapper, all lines: `MAKEARGS := -C /usr/src/linux`,
 * `KBUILD_OUTPUT=/usr/src/linux-obj`. */
static void scan_makefile(struct kp_ctx *ctx, struct tree *tree)
{
	_cleanup_free_ char *file = kp_path_join(tree->path, "Makefile"), *text = NULL;
	size_t len;

	if (kp_read_in(ctx->root_fd, file, MAKEFILE_MAX, &text, &len) < 0)
		return;
	for (char *line = text, *next; line; line = next) {
		_cleanup_strv_ char **words = NULL;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line += strspn(line, " \t");
		if (*line == '#' || !strchr(line, '/') ||
		    (len >= WRAPPER_MAX && !kp_str_starts(line, "include ") &&
		     !kp_str_starts(line, "-include ") &&
		     !kp_str_starts(line, "sinclude ")))
			continue;
		words = kp_strv_split(line, " \t:;=\"'");
		kp_strv_foreach(p, words)
			scan_word(ctx, tree, *p);
	}
}

/*
 * By what is the tree known? A tree is a package's if its Makefile is; a tree that was
 * configured where a package had put plain sources also has files that nobody owns, of
 * which utsrelease.h is one that every build reads.
 */
static void find_probes(struct kp_ctx *ctx, struct tree *tree)
{
	static const char *const anchors[] = { "Makefile", "Kbuild" };
	_cleanup_free_ char *generated =
		kp_path_join(tree->path, "include/generated/utsrelease.h");

	for (size_t i = 0; !tree->probes && i < KP_ARRAY_SIZE(anchors); i++) {
		_cleanup_free_ char *file = kp_path_join(tree->path, anchors[i]);
		struct stat st;

		/* A link says nothing of who put the tree there. */
		if (kp_lstat_in(ctx->root_fd, file, &st) == 0 && S_ISREG(st.st_mode))
			kp_strv_add(&tree->probes, file);
	}
	if (!tree->probes)
		kp_strv_add(&tree->probes, tree->path);
	if (kp_exists_in(ctx->root_fd, generated))
		kp_strv_add(&tree->probes, generated);
}

static void scan_tree(struct kp_ctx *ctx, struct tree *tree)
{
	static const char *const dirs[] = { "", "scripts", "tools", "include", "arch" };

	if (kp_is_dir_in(ctx->root_fd, tree->path)) {
		for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
			_cleanup_free_ char *dir = kp_path_join(tree->path, dirs[i]);
			_cleanup_free_ char *real = NULL;

			/* One that is a link itself was seen in the directory above. */
			if (kp_realpath_in(ctx->root_fd, dir, &real) == 0 &&
			    !strcmp(real, dir))
				scan_links(ctx, tree, dir);
		}
		scan_makefile(ctx, tree);
	}
	find_probes(ctx, tree);
}

/* Identity by packages, if each probe of the tree has an owner. */
static void identify_by_owners(struct tree *tree, const struct kp_owner *owners)
{
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	_cleanup_strv_ char **once = NULL;
	size_t n = kp_strv_len(tree->probes);

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *one = NULL;

		if (!owners[i].package)
			return;
		one = kp_strf("package %s %s", owners[i].package,
			      owners[i].version ? owners[i].version : "");
		kp_buf_addf(&text, "%s%s", i ? ", " : "", one);
		if (!kp_strv_has(once, one))
			kp_strv_take(&once, kp_steal(&one));
	}
	tree->identity = kp_buf_steal(&text);
	tree->owners = kp_steal(&once);
}

static int ask_owners(struct kp_ctx *ctx, struct trees *t, struct kp_err *err)
{
	_cleanup_strv_ char **paths = NULL;
	struct kp_owner *owners;
	size_t n = 0;
	int r;

	for (size_t i = 0; i < t->n; i++)
		kp_strv_foreach(p, t->list[i].probes)
			kp_strv_add(&paths, *p);
	r = kp_backend_owners(ctx, paths, &owners, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t->n; i++) {
		identify_by_owners(&t->list[i], &owners[n]);
		n += kp_strv_len(t->list[i].probes);
	}
	kp_owners_free(owners, n);
	return 0;
}

static void identify_by_looks(struct kp_ctx *ctx, struct tree *tree)
{
	struct kp_tree_hash hash;
	struct kp_err err = KP_ERR_INIT;
	int r;

	r = kp_tree_hash(ctx->root_fd, tree->path, KP_TREE_LOOKS, &hash, &err);
	if (r < 0)
		tree->problem = kp_strdup(kp_err_text(&err, r));
	else
		tree->identity = kp_strf("looks %s", hash.stat);
}

/* All trees reached from the one at START, by path. */
static char **closure(const struct trees *t, const char *start)
{
	char **seen = NULL;

	kp_strv_add(&seen, start);
	for (size_t i = 0; seen[i]; i++) {
		const struct tree *tree = trees_find(t, seen[i]);

		kp_strv_foreach(p, tree->reaches)
			if (!kp_strv_has(seen, *p))
				kp_strv_add(&seen, *p);
	}
	kp_strv_sort(seen);
	return seen;
}

static void set_key(const struct trees *t, const char *start, struct kp_kernel *k)
{
	_cleanup_strv_ char **paths = closure(t, start);
	char hex[KP_HASH_HEX];
	struct kp_hash h;

	kp_hash_init(&h);
	kp_strv_foreach(p, paths) {
		const struct tree *tree = trees_find(t, *p);
		_cleanup_free_ char *owners = NULL;

		if (!tree->identity) {
			kp_warn_once("headers of kernel %s: %s, skipping this kernel",
				     k->release, tree->problem);
			return;
		}
		owners = tree->owners ? kp_strv_join(tree->owners, ", ")
				      : kp_strdup(tree->identity);
		/* A sync looks more than once. */
		kp_log_once(KP_LOG_DEBUG, "headers of kernel %s: %s: %s", k->release,
			    tree->path, owners);
		kp_hash_field(&h, tree->path, tree->identity);
	}
	kp_hash_hex(&h, hex);
	free(k->headers_key);
	k->headers_key = kp_strdup(hex);
	kp_strv_free(k->trees);
	k->trees = kp_steal(&paths);
}

int kp_key_kernels(struct kp_ctx *ctx, struct kp_kernels *kernels, struct kp_err *err)
{
	_cleanup_(trees_clear) struct trees t = { 0 };
	_cleanup_strv_ char **starts = kp_calloc(kernels->n + 1, sizeof(*starts));
	int r;

	/* An empty string where a kernel has no headers. */
	for (size_t i = 0; i < kernels->n; i++) {
		const char *headers = kernels->list[i].headers;

		if (!headers || kp_realpath_in(ctx->root_fd, headers, &starts[i]) < 0)
			starts[i] = kp_strdup("");
		else
			trees_add(&t, starts[i]);
	}
	for (size_t i = 0; i < t.n; i++) {
		scan_tree(ctx, &t.list[i]);
		/* The list may move. */
		for (size_t j = 0; t.list[i].reaches && t.list[i].reaches[j]; j++)
			trees_add(&t, t.list[i].reaches[j]);
	}
	r = ask_owners(ctx, &t, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < t.n; i++)
		if (!t.list[i].identity)
			identify_by_looks(ctx, &t.list[i]);
	for (size_t i = 0; i < kernels->n; i++)
		if (*starts[i])
			set_key(&t, starts[i], &kernels->list[i]);
	return 0;
}
