// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who owns a path: one pass over the file lists of all packages, for any number of paths.
 * The lists have paths without the first slash, and directories with one at the end.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/pathset.h"
#include "base/str.h"

#include "pacman.h"

struct search {
	/* As in the lists, without a slash at either end; the tag is the query. */
	struct kp_pathset paths;
	const struct kp_local_pkg **found; /* per query */
	const struct kp_pathset_entry **found_path;
};

static void search_clear(struct search *s)
{
	kp_pathset_clear(&s->paths);
	free(s->found);
	free(s->found_path);
}

static void add_path(struct search *s, const char *path, size_t query)
{
	_cleanup_free_ char *clean = kp_path_join("/", path);

	kp_pathset_add(&s->paths, clean + 1, query);
}

static bool is_ours(const struct kp_local *local, const struct kp_local_pkg *pkg)
{
	struct kp_alpm_identity identity;

	if (kp_alpm_identity_load(local, pkg, &identity, NULL) < 0)
		return false;
	kp_alpm_identity_clear(&identity);
	return true;
}

static void consider(struct search *s, const struct kp_local *local,
		     const struct kp_pathset_entry *e, const struct kp_local_pkg *pkg)
{
	const struct kp_local_pkg **found = &s->found[e->tag];

	/* Directories have many owners: name one that is there without us. */
	if (*found && (*found == pkg || !is_ours(local, *found) || is_ours(local, pkg)))
		return;
	*found = pkg;
	s->found_path[e->tag] = e;
}

static void search_text(struct search *s, const struct kp_local *local,
			const struct kp_local_pkg *pkg, const char *text)
{
	const char *p = kp_desc_find(text, "FILES"), *line;
	size_t len;

	while (p && kp_desc_next(&p, &line, &len)) {
		const struct kp_pathset_entry *e = NULL;

		len -= line[len - 1] == '/';
		while ((e = kp_pathset_find(&s->paths, line, len, e)))
			consider(s, local, e, pkg);
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

/* Is this entry of ours one that a commit which was killed, or failed, left half written? The next
 * commit replaces it, and it must not be in its way. */
static bool is_half(const struct kp_local *local, const struct kp_local_pkg *pkg)
{
	struct kp_alpm_identity identity;
	int rc;

	if (!kp_str_starts(pkg->name, "kmod-"))
		return false;
	rc = kp_alpm_identity_load(local, pkg, &identity, NULL);
	if (rc == 0)
		kp_alpm_identity_clear(&identity);
	return rc == -EBADMSG;
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

		add_path(&s, paths[i], i);
		if (alias)
			add_path(&s, alias, i);
	}
	s.found = kp_calloc(n, sizeof(*s.found));
	s.found_path = kp_calloc(n, sizeof(*s.found_path));
	kp_pathset_seal(&s.paths);
	rc = search_all(&s, local, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		if (!s.found[i] || is_half(local, s.found[i]))
			continue;
		ret[i].package = kp_strdup(s.found[i]->name);
		ret[i].version = kp_strdup(s.found[i]->version);
		ret[i].path = kp_strf("/%s", s.found_path[i]->path);
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
