// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who owns a path: one pass over the file lists of all packages, for any number of paths.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/pathset.h"
#include "base/str.h"

#include "dpkg.h"

#define DIVERSIONS KP_DPKG_DIR "/diversions"

/* What a path in the lists answers. */
struct want {
	size_t query;
	/* A diverted path: the file at it is that of `by` alone, that at the other
	 * name is everybody else's. ":" is no package: the administrator diverted it. */
	char *by;
	bool by_only;
};

struct search {
	struct kp_pathset paths; /* literal; the tag is that of the want */
	struct want *wants;
	size_t n, alloc;
	const struct kp_dpkg_pkg **found; /* per query */
	const struct kp_pathset_entry **found_path;
};

static void search_clear(struct search *s)
{
	kp_pathset_clear(&s->paths);
	for (size_t i = 0; i < s->n; i++)
		free(s->wants[i].by);
	free(s->wants);
	free(s->found);
	free(s->found_path);
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
	kp_pathset_add(&s->paths, path, s->n);
	KP_GROW(s->wants, s->n, s->alloc);
	s->wants[s->n++] = (struct want){
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

static void consider(struct search *s, const struct kp_pathset_entry *e,
		     const struct kp_dpkg_pkg *pkg)
{
	const struct want *w = &s->wants[e->tag];
	const struct kp_dpkg_pkg **found = &s->found[w->query];

	if (w->by && !strcmp(w->by, pkg->name) != w->by_only)
		return;
	/* Directories have many owners: name one that is there without us. */
	if (*found && !(kp_dpkg_pkg_is_ours(*found) && !kp_dpkg_pkg_is_ours(pkg)))
		return;
	*found = pkg;
	s->found_path[w->query] = e;
}

static int search_list(const struct kp_dpkg_pkg *pkg, const char *text, size_t len,
		       void *data)
{
	const char *p = text, *end = text + len, *line;
	struct search *s = data;
	size_t line_len;

	while (kp_dpkg_list_next(&p, end, &line, &line_len)) {
		const struct kp_pathset_entry *e = NULL;

		while ((e = kp_pathset_find(&s->paths, line, line_len, e)))
			consider(s, e, pkg);
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
	s.found_path = kp_calloc(n, sizeof(*s.found_path));
	kp_pathset_seal(&s.paths);
	rc = kp_dpkg_lists_walk(root_fd, st, search_list, &s, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct kp_owner){ 0 };
		if (!s.found[i])
			continue;
		ret[i].package = package_name(s.found[i]);
		ret[i].version = kp_strdup(s.found[i]->version);
		ret[i].path = kp_strdup(s.found_path[i]->path);
	}
	return 0;
}
