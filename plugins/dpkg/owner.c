// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who owns a path: one pass over the file lists of all packages, for any number of paths.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "dpkg.h"

#define DIVERSIONS KP_DPKG_DIR "/diversions"

/* A literal path to look for in the lists, on behalf of a query. */
struct want {
	char *path;
	size_t len;
	size_t query;
	/* A diverted path: the file at `path` is that of `by` alone, that at the other
	 * name is everybody else's. ":" is no package: the administrator diverted it. */
	char *by;
	bool by_only;
};

struct search {
	struct want *wants;
	size_t n, alloc;
	/* Of the sorted wants: the first of each length; most lines end here. */
	size_t *first_of_len, max_len;
	const struct kp_dpkg_pkg **found; /* per query */
	const struct want **found_want;
};

static void search_clear(struct search *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->wants[i].path);
		free(s->wants[i].by);
	}
	free(s->wants);
	free(s->first_of_len);
	free(s->found);
	free(s->found_want);
}

/* Three lines each: the path, its new name, the package whose own file stays. */
static int load_diversions(int root_fd, char ***ret, struct kp_err *err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_strv_ char **lines = NULL;
	size_t len;
	int rc;

	rc = kp_read_in(root_fd, DIVERSIONS, 0, &text, &len);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0) {
		kp_err_sys(err, rc, "read '%s'", DIVERSIONS);
		return -EIO;
	}
	lines = kp_strv_split(text, "\n");
	if (kp_strv_len(lines) % 3)
		return kp_err_set(err, -EIO, "%s is cut off", DIVERSIONS);
	*ret = kp_steal(&lines);
	return 0;
}

static void add_want(struct search *s, const char *path, size_t query, const char *by,
		     bool by_only)
{
	KP_GROW(s->wants, s->n, s->alloc);
	s->wants[s->n++] = (struct want){
		.path = kp_strdup(path),
		.len = strlen(path),
		.query = query,
		.by = kp_strdup(by),
		.by_only = by_only,
	};
}

static void add_name(struct search *s, const char *path, size_t query,
		     char *const *diversions)
{
	const char *by = NULL;

	for (char *const *d = diversions; d && *d; d += 3) {
		if (!strcmp(d[0], path))
			by = d[2];
		if (!strcmp(d[1], path))
			add_want(s, d[0], query, d[2], false);
	}
	add_want(s, path, query, by, by);
}

static int by_len(const void *pa, const void *pb)
{
	const struct want *a = pa, *b = pb;

	return a->len < b->len ? -1 : a->len > b->len;
}

static void search_prepare(struct search *s)
{
	qsort(s->wants, s->n, sizeof(*s->wants), by_len);
	s->max_len = s->wants[s->n - 1].len;
	s->first_of_len = kp_calloc(s->max_len + 1, sizeof(*s->first_of_len));
	for (size_t i = 0; i <= s->max_len; i++)
		s->first_of_len[i] = SIZE_MAX;
	for (size_t i = s->n; i-- > 0;)
		s->first_of_len[s->wants[i].len] = i;
}

static void consider(struct search *s, const struct want *w,
		     const struct kp_dpkg_pkg *pkg)
{
	const struct kp_dpkg_pkg **found = &s->found[w->query];

	if (w->by && !strcmp(w->by, pkg->name) != w->by_only)
		return;
	/* Directories have many owners: name one that is there without us. */
	if (*found && !(kp_dpkg_pkg_is_ours(*found) && !kp_dpkg_pkg_is_ours(pkg)))
		return;
	*found = pkg;
	s->found_want[w->query] = w;
}

static int search_list(const struct kp_dpkg_pkg *pkg, const char *text, size_t len,
		       void *data)
{
	const char *p = text, *end = text + len, *line;
	struct search *s = data;
	size_t line_len;

	while (kp_dpkg_list_next(&p, end, &line, &line_len)) {
		if (line_len > s->max_len)
			continue;
		for (size_t i = s->first_of_len[line_len];
		     i < s->n && s->wants[i].len == line_len; i++)
			if (!memcmp(s->wants[i].path, line, line_len))
				consider(s, &s->wants[i], pkg);
	}
	return 0;
}

/* As `dpkg -S` writes it. */
static char *package_name(const struct kp_dpkg_pkg *pkg)
{
	if (pkg->multi_arch_same && pkg->arch)
		return kp_strf("%s:%s", pkg->name, pkg->arch);
	return kp_strdup(pkg->name);
}

int kp_dpkg_owner(int root_fd, const struct kp_dpkg_status *st, const char *const *paths,
		  size_t n, struct kp_owner *ret, struct kp_err *err)
{
	_cleanup_(search_clear) struct search s = { 0 };
	_cleanup_strv_ char **diversions = NULL;
	int rc;

	if (!n)
		return 0;
	rc = load_diversions(root_fd, &diversions, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *other = kp_path_alias_in(root_fd, paths[i]);

		add_name(&s, paths[i], i, diversions);
		if (other)
			add_name(&s, other, i, diversions);
	}
	s.found = kp_calloc(n, sizeof(*s.found));
	s.found_want = kp_calloc(n, sizeof(*s.found_want));
	search_prepare(&s);
	rc = kp_dpkg_lists_walk(root_fd, st, search_list, &s, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		if (!s.found[i])
			continue;
		ret[i].package = package_name(s.found[i]);
		ret[i].version = kp_strdup(s.found[i]->version);
		ret[i].path = kp_strdup(s.found_want[i]->path);
	}
	return 0;
}
