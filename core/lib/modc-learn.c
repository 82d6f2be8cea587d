// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "lib/modc-learn.h"
#include "lib/reduce.h"
#include "probe-front/modc.h"

/* Kernels times compilers of which headers are remembered. */
#define FILES_MAX 32
#define FILE_MAX (4 << 20)

/* Where the headers end and the uses begin. */
#define COUNTER "int kp_modc_counter["
/* In the place of names, so that headers that make anything of them are seen. */
#define MARK "kp_modc_name"

/* What such files make of macros. */
static const char uses[] = COUNTER "__COUNTER__ + 0];\n"
				   "BUILD_SALT;\n"
				   "BUILD_LTO_INFO;\n"
				   "ORC_HEADER;\n"
				   "MODULE_INFO(vermagic, VERMAGIC_STRING);\n"
				   "MODULE_INFO(name, \"\");\n"
				   "MODULE_ALIAS(\"\");\n"
				   "__visible struct module __this_module "
				   "__section(\"x\") = { .arch = MODULE_ARCH_INIT };\n"
				   "static const struct modversion_info ____versions[] "
				   "__used = { };\n";

/* ---- the key ---- */

struct question {
	char **argv;
	const char *cwd, *head; /* in the key */
	size_t cwd_len;
};

/* KEY ends with a NUL. q->argv to be freed. */
static bool parse(const char *key, size_t len, struct question *q)
{
	const char *p = key, *end = key + len;

	*q = (struct question){ .argv = NULL };
	for (; p < end && *p; p += strlen(p) + 1)
		if (kp_strv_len(q->argv) == KP_QUESTION_ARGS_MAX)
			return false;
		else
			kp_strv_add(&q->argv, p);
	if (p >= end || !q->argv)
		return false;
	q->cwd = p + 1;
	q->cwd_len = strcspn(q->cwd, "\n");
	q->head = q->cwd + q->cwd_len + 1;
	return q->head < end && q->head + strlen(q->head) == end;
}

/* Is PATH in a tree of kernel headers? A source can bring one of its own, and its build may see other
 * files there than we do; that is between the two, since the paths are in the key. *TREES: those that
 * were found to be ones. */
static bool is_in_headers(const struct kp_ctx *ctx, const char *path, char ***trees)
{
	static const char *const marks[] = { "include/linux/kconfig.h",
					     "include/generated/autoconf.h" };
	_cleanup_free_ char *dir = kp_strdup(path);
	const char *dots = strstr(path, "/..");
	char *slash;

	if (*path != '/' || (dots && (!dots[3] || dots[3] == '/')))
		return false;
	kp_strv_foreach(tree, *trees)
		if (kp_str_starts(path, *tree) && path[strlen(*tree)] == '/')
			return true;
	while ((slash = strrchr(dir, '/')) && slash != dir) {
		*slash = '\0';
		for (size_t i = 0; i < KP_ARRAY_SIZE(marks); i++) {
			_cleanup_free_ char *file = kp_path_join(dir, marks[i]);
			struct stat st;

			if (!kp_stat_in(ctx->root_fd, file, &st)) {
				kp_strv_add(trees, dir);
				return true;
			}
		}
	}
	return false;
}

static char *absolute(const struct question *q, const char *path)
{
	if (*path == '/')
		return kp_strdup(path);
	/* The compiler names files without it. */
	if (kp_str_starts(path, "./"))
		path += 2;
	return kp_strf("%.*s/%s", (int)q->cwd_len, q->cwd, path);
}

bool kp_modc_key_ok(const struct kp_ctx *ctx, const char *key, size_t len)
{
	_cleanup_free_ char *again = kp_malloc(KP_QUESTION_KEY_MAX), *cwd = NULL;
	_cleanup_strv_ char **argv = NULL, **trees = NULL;
	struct kp_modc m = { 0 };
	struct question q;
	bool ok = parse(key, len, &q);
	size_t n, open;

	argv = q.argv;
	if (!ok || !kp_modc_head_ok(q.head, &open))
		return false;
	for (char **p = argv + 1; *p; p += n) {
		const char *path;
		enum kp_modc_arg kind = kp_modc_arg(p, &n, &path);
		_cleanup_free_ char *whole = path ? absolute(&q, path) : NULL;

		if (kind == KP_MODC_NO || kind == KP_MODC_NAMES ||
		    (whole && !is_in_headers(ctx, whole, &trees)))
			return false;
		m.relative |= whole && *path != '/';
	}
	/* It says the same when it is put together again. */
	m.argv = argv;
	m.n_args = kp_strv_len(argv);
	cwd = kp_strndup(q.cwd, q.cwd_len);
	return kp_modc_key(&m, cwd, q.head, again) == len && !memcmp(again, key, len);
}

/* ---- the call ---- */

char **kp_modc_call(const char *key, size_t len, const char *out, const char *dep,
		    char **ret_input)
{
	static const char *const more[] = { "-DKBUILD_BASENAME=\"" MARK "\"",
					    "-DKBUILD_MODNAME=\"" MARK "\"",
					    "-D__KBUILD_MODNAME=" MARK,
					    "-DKBUILD_MODFILE=\"" MARK "\"",
					    "-E",
					    "-dD",
					    "-P",
					    "-MMD",
					    "-ftrack-macro-expansion=0",
					    "-MTx" };
	_cleanup_strv_ char **argv = NULL;
	_cleanup_buf_ struct kp_buf input = KP_BUF_INIT;
	char **call = NULL;
	struct question q;
	size_t n, open = 0;

	(void)parse(key, len, &q);
	argv = q.argv;
	kp_strv_add(&call, argv[0]);
	for (char **p = argv + 1; *p; p += n) {
		const char *path;
		enum kp_modc_arg kind = kp_modc_arg(p, &n, &path);
		_cleanup_free_ char *whole =
			kind == KP_MODC_PATH ? absolute(&q, path) : NULL;

		if (!strcmp(*p, "-c"))
			continue;
		if (!whole || n == 2)
			kp_strv_add(&call, *p);
		if (whole)
			kp_strv_addf(&call, "%s%s", n == 2 ? "" : "-I", whole);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(more); i++)
		kp_strv_add(&call, more[i]);
	kp_strv_addf(&call, "-MF%s", dep);
	kp_strv_addf(&call, "-o%s", out);
	kp_strv_add(&call, "-xc");
	kp_strv_add(&call, "-");
	kp_buf_adds(&input, q.head);
	(void)kp_modc_head_ok(q.head, &open);
	while (open--)
		kp_buf_adds(&input, "#endif\n");
	kp_buf_adds(&input, uses);
	*ret_input = kp_buf_steal(&input);
	return call;
}

/* ---- the file ---- */

/* An identity line for each of DEPS, a make rule's right side. */
static bool add_headers(const struct kp_ctx *ctx, struct kp_buf *file, const char *deps,
			time_t since)
{
	char line[KP_QUESTION_LINE_MAX];
	_cleanup_strv_ char **trees = NULL;
	const char *p = strstr(deps, "x:");

	if (!p)
		return false;
	for (p += 2; *(p += strspn(p, " \\\n"));) {
		size_t n = strcspn(p, " \\\n");
		_cleanup_free_ char *path = kp_strndup(p, n);
		struct stat st;

		p += n;
		if (!is_in_headers(ctx, path, &trees) || stat(path, &st) ||
		    !S_ISREG(st.st_mode) || st.st_ctim.tv_sec >= since ||
		    !kp_question_identity(path, line))
			return false;
		kp_buf_adds(file, line);
	}
	return true;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, KP_MODC_HASH);
}

/* The names of the macros that need no arguments. */
static void add_macros(struct kp_buf *file, const char *text, const char *end)
{
	static const char define[] = "\n#define ";
	_cleanup_buf_ struct kp_buf hashes = KP_BUF_INIT;

	while ((text = memmem(text, (size_t)(end - text), define, strlen(define)))) {
		char hash[KP_MODC_HASH + 1];
		size_t n;

		text += strlen(define);
		n = strcspn(text, " (\n");
		if (text[n] == '(')
			continue;
		kp_modc_name_hash(text, n, hash);
		kp_buf_add(&hashes, hash, KP_MODC_HASH);
	}
	if (hashes.len)
		qsort(hashes.s, hashes.len / KP_MODC_HASH, KP_MODC_HASH, by_bytes);
	kp_buf_add(file, hashes.s, hashes.len);
	kp_buf_addc(file, '\n');
}

/* The reduced headers without what defines the names of a module. */
static bool add_reduced(struct kp_buf *file, const char *text, size_t len,
			const char *end)
{
	static const char *const mine[] = { "#define KBUILD_BASENAME ",
					    "#define KBUILD_MODNAME ",
					    "#define __KBUILD_MODNAME ",
					    "#define KBUILD_MODFILE " };
	_cleanup_buf_ struct kp_buf all = KP_BUF_INIT;
	char *rest, *line;

	if (!kp_reduce(text, (size_t)(end - text), end, len - (size_t)(end - text),
		       kp_modc_names, &all))
		return false;
	rest = all.s;
	while ((line = strsep(&rest, "\n"))) {
		bool skip = false;

		for (size_t i = 0; i < KP_ARRAY_SIZE(mine); i++)
			skip |= kp_str_starts(line, mine[i]);
		if (skip)
			continue;
		if (strstr(line, MARK))
			return false;
		kp_buf_adds(file, line);
		kp_buf_addc(file, '\n');
	}
	return true;
}

bool kp_modc_make(const struct kp_ctx *ctx, const struct kp_modc_read *read,
		  struct kp_buf *ret)
{
	const char *end = memmem(read->text, read->len, COUNTER, strlen(COUNTER));
	char *behind = NULL;
	unsigned long counter = end ? strtoul(end + strlen(COUNTER), &behind, 10) : 0;

	if (!end || behind == end + strlen(COUNTER) || counter > 100000)
		return false;
	kp_buf_adds(ret, KP_MODC_BEGIN);
	kp_buf_adds(ret, read->identity);
	if (!add_headers(ctx, ret, read->deps, read->since))
		return false;
	kp_buf_addc(ret, '\n');
	for (size_t i = 0; i < read->key_len; i++)
		kp_buf_addc(ret, read->key[i] ?: '\n');
	add_macros(ret, read->text, end);
	kp_buf_adds(ret, KP_MODC_END "#pragma GCC system_header\n");
	if (!add_reduced(ret, read->text, read->len, end))
		return false;
	/* Names that are numbered by it are to have the same numbers. */
	while (counter--)
		kp_buf_adds(ret, "#if __COUNTER__\n#endif\n");
	return ret->len <= FILE_MAX;
}

/* ---- where it lies ---- */

bool kp_modc_is_known(const struct kp_ctx *ctx, const char *answers, const char *key,
		      size_t len)
{
	_cleanup_free_ char *name = kp_strf(KP_MODC_NAME, kp_modc_hash(key, len));
	_cleanup_free_ char *path = kp_path_join(answers, name), *text = NULL;
	struct kp_modc_known known;
	size_t text_len;

	return !kp_read_in(ctx->root_fd, path, FILE_MAX, &text, &text_len) &&
	       kp_modc_is_true(text, text_len, key, key, len, &known);
}

static int make_empty(struct kp_ctx *ctx, const char *answers, const char *head)
{
	int rc = 0;

	for (const char *p = head; !rc && (p = strchr(p, '<')); p++) {
		_cleanup_free_ char *path = kp_strf("%s/" KP_MODC_EMPTY "/%.*s", answers,
						    (int)strcspn(p + 1, ">"), p + 1);
		_cleanup_free_ char *dir = kp_path_dir(path);

		struct stat st;

		if (!kp_lstat_in(ctx->root_fd, path, &st))
			continue;
		rc = kp_mkdir_in(ctx->root_fd, dir, 0755, NULL);
		rc = rc ?: kp_write_in(ctx->root_fd, path, "", 0, 0644, NULL);
	}
	return rc;
}

static int drop_oldest(struct kp_ctx *ctx, const char *answers)
{
	_cleanup_strv_ char **names = NULL;
	_cleanup_free_ char *oldest = NULL;
	struct timespec least = { 0 };
	size_t n = 0;
	int rc = kp_list_in(ctx->root_fd, answers, &names);

	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(answers, *name);
		struct stat st;

		if (!kp_str_ends(*name, ".h") || kp_lstat_in(ctx->root_fd, path, &st))
			continue;
		n++;
		if (oldest && (st.st_mtim.tv_sec > least.tv_sec ||
			       (st.st_mtim.tv_sec == least.tv_sec &&
				st.st_mtim.tv_nsec >= least.tv_nsec)))
			continue;
		free(oldest);
		oldest = kp_steal(&path);
		least = st.st_mtim;
	}
	return rc < 0 || n < FILES_MAX ? rc : kp_unlink_in(ctx->root_fd, oldest);
}

int kp_modc_save(struct kp_ctx *ctx, const char *answers, const char *key, size_t len,
		 const struct kp_buf *file)
{
	_cleanup_free_ char *name = kp_strf(KP_MODC_NAME, kp_modc_hash(key, len));
	_cleanup_free_ char *path = kp_path_join(answers, name);
	_cleanup_strv_ char **argv = NULL;
	struct question q;
	int rc;

	(void)parse(key, len, &q);
	argv = q.argv;
	rc = make_empty(ctx, answers, q.head);
	rc = rc ?: drop_oldest(ctx, answers);
	return rc ?: kp_write_in(ctx->root_fd, path, file->s, file->len, 0644, NULL);
}
