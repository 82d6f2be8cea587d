// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who owns a path: one pass over the file lists of all packages, for any number of paths.
 * The lists have paths without the first slash, and directories with one at the end.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

/* A path to look for in the lists, on behalf of a query. */
struct want {
	char *path; /* as in the lists, without a slash at either end */
	size_t len;
	size_t query;
};

struct search {
	struct want *wants;
	size_t n, alloc;
	/* Of the sorted wants: the first of each length; most lines end here. */
	size_t *first_of_len, max_len;
	const struct kp_local_pkg **found; /* per query */
	const struct want **found_want;
};

static void search_clear(struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->wants[i].path);
	free(s->wants);
	free(s->first_of_len);
	free(s->found);
	free(s->found_want);
}

static void add_want(struct search *s, const char *path, size_t query)
{
	_cleanup_free_ char *clean = kp_path_join("/", path);

	KP_GROW(s->wants, s->n, s->alloc);
	s->wants[s->n++] = (struct want){
		.path = kp_strdup(clean + 1),
		.len = strlen(clean + 1),
		.query = query,
	};
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

static bool is_ours(const struct kp_local *local, const struct kp_local_pkg *pkg)
{
	struct kp_alpm_identity identity;

	if (kp_alpm_identity_load(local, pkg, &identity, NULL) < 0)
		return false;
	kp_alpm_identity_clear(&identity);
	return true;
}

static void consider(struct search *s, const struct kp_local *local, const struct want *w,
		     const struct kp_local_pkg *pkg)
{
	const struct kp_local_pkg **found = &s->found[w->query];

	/* Directories have many owners: name one that is there without us. */
	if (*found && (*found == pkg || !is_ours(local, *found) || is_ours(local, pkg)))
		return;
	*found = pkg;
	s->found_want[w->query] = w;
}

static void search_text(struct search *s, const struct kp_local *local,
			const struct kp_local_pkg *pkg, const char *text)
{
	const char *p = kp_desc_find(text, "FILES"), *line;
	size_t len;

	while (p && kp_desc_next(&p, &line, &len)) {
		len -= line[len - 1] == '/';
		if (len > s->max_len)
			continue;
		for (size_t i = s->first_of_len[len]; i < s->n && s->wants[i].len == len;
		     i++)
			if (!memcmp(s->wants[i].path, line, len))
				consider(s, local, &s->wants[i], pkg);
	}
}

static int search_all(struct search *s, const struct kp_local *local, struct kp_err *err)
{
	for (size_t i = 0; i < local->n; i++) {
		const struct kp_local_pkg *pkg = &local->pkgs[i];
		_cleanup_free_ char *text = NULL;
		int rc = kp_local_read(local, pkg, "files", &text, NULL, err);

		if (rc == -ENOENT)
			kp_debug("%s %s: pacman has no list of its files", pkg->name,
				 pkg->version);
		else if (rc < 0)
			return rc;
		else
			search_text(s, local, pkg, text);
	}
	return 0;
}

int kp_local_owner(struct kp_pkgdb *db, const struct kp_local *local,
		   const char *const *paths, size_t n, struct kp_owner *ret,
		   struct kp_err *err)
{
	_cleanup_(search_clear) struct search s = { 0 };
	int rc;

	if (!n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *alias = kp_path_alias_in(db->root_fd, paths[i]);

		add_want(&s, paths[i], i);
		if (alias)
			add_want(&s, alias, i);
	}
	s.found = kp_calloc(n, sizeof(*s.found));
	s.found_want = kp_calloc(n, sizeof(*s.found_want));
	search_prepare(&s);
	rc = search_all(&s, local, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		if (!s.found[i])
			continue;
		ret[i].package = kp_strdup(s.found[i]->name);
		ret[i].version = kp_strdup(s.found[i]->version);
		ret[i].path = kp_strf("/%s", s.found_want[i]->path);
	}
	return 0;
}

static bool matches(const char *const *patterns, const char *text)
{
	const char *p = kp_desc_find(text, "FILES"), *line;
	size_t len;

	while (p && kp_desc_next(&p, &line, &len)) {
		/* Most lines are of no interest, and fnmatch() wants strings. */
		for (const char *const *pattern = patterns; *pattern; pattern++) {
			_cleanup_free_ char *path = NULL;
			size_t fixed = strcspn(*pattern, "*");

			if (len < fixed || memcmp(line, *pattern, fixed) != 0)
				continue;
			path = kp_strndup(line, len);
			if (!fnmatch(*pattern, path, FNM_PATHNAME))
				return true;
		}
	}
	return false;
}

bool kp_local_owns_match(const struct kp_local *local, const char *const *patterns)
{
	for (size_t i = 0; i < local->n; i++) {
		_cleanup_free_ char *text = NULL;

		if (kp_local_read(local, &local->pkgs[i], "files", &text, NULL, NULL) >=
			    0 &&
		    matches(patterns, text))
			return true;
	}
	return false;
}
