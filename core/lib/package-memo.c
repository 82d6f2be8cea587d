// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/package-memo.h"

#define FILE_NAME "packages"
#define FILE_MAX (16 * 1024 * 1024)
#define HEAD "1 "
#define END "end"
#define NONE "-" /* no source package; none is called so */

/* The fields of a line, separated by tabs; behind them are the files. */
#define N_FIELDS 9

static char *memo_path(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, FILE_NAME);
}

/* Where the fields of P are, in their order on a line. */
static void list_fields(struct kp_pkg_installed *p, char **ret[N_FIELDS])
{
	char **const fields[N_FIELDS] = {
		&p->name,	&p->pkg_version, &p->id.module,
		&p->id.version, &p->id.kernel,	 &p->id.arch,
		&p->id.key,	&p->id.content,	 &p->id.source_package,
	};

	memcpy(ret, fields, sizeof(fields));
}

static bool parse_line(const char *line, struct kp_pkg_installed *ret)
{
	_cleanup_strv_ char **words = kp_strv_split(line, "\t");
	char **fields[N_FIELDS];

	if (kp_strv_len(words) < N_FIELDS)
		return false;
	list_fields(ret, fields);
	for (size_t i = 0; i < N_FIELDS; i++)
		*fields[i] = kp_steal(&words[i]);
	if (!strcmp(ret->id.source_package, NONE)) {
		free(ret->id.source_package);
		ret->id.source_package = NULL;
	}
	for (size_t i = N_FIELDS; words[i]; i++)
		kp_strv_take(&ret->files, kp_steal(&words[i]));
	return true;
}

/* TEXT of LEN bytes; false: not whole, of another stamp, or not what this program would write. */
static bool parse(const char *text, size_t len, const char *stamp,
		  struct kp_pkg_installed **ret, size_t *ret_n)
{
	_cleanup_strv_ char **lines = NULL;
	struct kp_pkg_installed *list;
	size_t n;

	if (strlen(text) != len || !kp_str_ends(text, "\n" END "\n"))
		return false;
	lines = kp_strv_split(text, "\n");
	if (!kp_str_starts(lines[0], HEAD) || strcmp(lines[0] + strlen(HEAD), stamp))
		return false;
	n = kp_strv_len(lines) - 2;
	list = kp_calloc(n, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		if (!parse_line(lines[i + 1], &list[i])) {
			kp_pkg_list_free(list, n);
			return false;
		}
	*ret = list;
	*ret_n = n;
	return true;
}

bool kp_package_memo_load(const struct kp_ctx *ctx, const char *stamp,
			  struct kp_pkg_installed **ret, size_t *ret_n)
{
	_cleanup_free_ char *path = memo_path(ctx), *text = NULL;
	size_t len;

	return kp_read_in(ctx->root_fd, path, FILE_MAX, &text, &len) == 0 &&
	       parse(text, len, stamp, ret, ret_n);
}

static bool add_field(struct kp_buf *b, const char *text, char end)
{
	kp_buf_addf(b, "%s%c", text, end);
	return *text && !strpbrk(text, "\t\n");
}

void kp_package_memo_save(const struct kp_ctx *ctx, const char *stamp,
			  const struct kp_pkg_installed *list, size_t n)
{
	_cleanup_free_ char *path = memo_path(ctx);
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	bool ok = !strchr(stamp, '\n');

	/* Not where nothing of ours is, nor by somebody who may not. */
	if (geteuid() != 0 || !kp_is_dir_in(ctx->root_fd, ctx->state_dir))
		return;
	kp_buf_addf(&b, HEAD "%s\n", stamp);
	for (size_t i = 0; i < n; i++) {
		struct kp_pkg_installed p = list[i];
		char **fields[N_FIELDS];

		list_fields(&p, fields);
		for (size_t j = 0; j < N_FIELDS; j++)
			ok &= add_field(&b, *fields[j] ? *fields[j] : NONE,
					j + 1 < N_FIELDS || p.files ? '\t' : '\n');
		for (char **f = p.files; f && *f; f++)
			ok &= add_field(&b, *f, f[1] ? '\t' : '\n');
	}
	kp_buf_adds(&b, END "\n");
	if (ok)
		(void)kp_write_in(ctx->root_fd, path, b.s, b.len, 0644, NULL);
}
