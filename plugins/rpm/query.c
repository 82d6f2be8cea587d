// SPDX-License-Identifier: GPL-2.0-or-later
/* Questions to the database: which packages are ours, who owns a path. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <rpm/rpmfiles.h>
#include <rpm/rpmmacro.h>
#include <rpm/rpmtd.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "rpm.h"

KP_DEFINE_CLEANUP(rpmdbMatchIterator, rpmdbFreeIterator);
#define _cleanup_iterator_ _cleanup_(rpmdbFreeIteratorp)
KP_DEFINE_CLEANUP(rpmfiles, rpmfilesFree);

/* ---- list ---- */

struct list {
	struct kp_pkg_installed *pkgs;
	uint32_t *times; /* when each was installed */
	size_t n, alloc;
};

static void list_clear(struct list *l)
{
	kp_pkg_list_free(l->pkgs, l->n);
	free(l->times);
}

char **kp_rpm_regular_files(Header h)
{
	_cleanup_(rpmfilesFreep) rpmfiles files =
		rpmfilesNew(NULL, h, 0, RPMFI_KEEPHEADER);
	char **paths = NULL;

	for (int i = 0; i < (int)rpmfilesFC(files); i++)
		if (S_ISREG(rpmfilesFMode(files, i)))
			kp_strv_take(&paths, rpmfilesFN(files, i));
	return paths ?: kp_calloc(1, sizeof(*paths));
}

/*
 * A package is in the database when all its files are in place, and its older version goes
 * after that. Where rpm was killed between, both are there: one package of uncertain
 * content. Without keys it is stale, so it is installed again and the other goes.
 */
static void merge_twin(struct kp_pkg_installed *pkg, struct kp_pkg_installed *twin,
		       bool newer)
{
	if (newer) {
		struct kp_pkg_installed t = *pkg;

		*pkg = *twin;
		*twin = t;
	}
	kp_strv_foreach(f, twin->files)
		if (!kp_strv_has(pkg->files, *f))
			kp_strv_add(&pkg->files, *f);
	kp_pkg_installed_clear(twin);
	pkg->id.key[0] = '\0';
	pkg->id.content[0] = '\0';
}

static void list_add(struct list *l, Header h)
{
	uint32_t time = (uint32_t)headerGetNumber(h, RPMTAG_INSTALLTIME);
	struct kp_pkg_installed pkg = { 0 };

	if (!kp_rpm_identity_load(h, &pkg.id))
		return;
	pkg.name = headerGetAsString(h, RPMTAG_NAME);
	pkg.pkg_version = kp_rpm_header_evr(h);
	pkg.files = kp_rpm_regular_files(h);
	for (size_t i = 0; i < l->n; i++) {
		if (!kp_str_eq(l->pkgs[i].name, pkg.name))
			continue;
		merge_twin(&l->pkgs[i], &pkg, time >= l->times[i]);
		if (time > l->times[i])
			l->times[i] = time;
		return;
	}
	if (l->n == l->alloc) {
		l->alloc = l->alloc ? l->alloc * 2 : 8;
		l->pkgs = kp_reallocarray(l->pkgs, l->alloc, sizeof(*l->pkgs));
		l->times = kp_reallocarray(l->times, l->alloc, sizeof(*l->times));
	}
	l->times[l->n] = time;
	l->pkgs[l->n++] = pkg;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kp_pkg_installed *)a)->name,
		      ((const struct kp_pkg_installed *)b)->name);
}

int kp_rpm_list(struct kp_pkgdb *db, struct kp_pkg_installed **ret, size_t *ret_n,
		struct kp_err *err)
{
	_cleanup_session_ struct kp_rpm_session s = { 0 };
	_cleanup_(list_clear) struct list l = { 0 };
	int rc;

	rc = kp_rpm_begin(db, &s, err);
	if (!rc) {
		_cleanup_iterator_ rpmdbMatchIterator it =
			rpmtsInitIterator(s.ts, RPMDBI_PROVIDENAME, KP_RPM_MARKER, 0);
		Header h;

		while ((h = rpmdbNextIterator(it)))
			list_add(&l, h);
		rc = kp_rpm_check(&s, err);
	}
	if (rc < 0)
		return rc;
	if (l.n)
		qsort(l.pkgs, l.n, sizeof(*l.pkgs), by_name);
	*ret = kp_steal(&l.pkgs);
	*ret_n = l.n;
	l.n = 0;
	return 0;
}

/* ---- owner ---- */

/* The path with the links of directories above it followed, even where some of it is
 * missing; to be freed. */
static char *resolve(int root_fd, const char *path)
{
	_cleanup_free_ char *dir = kp_path_dir(path), *real = NULL;
	_cleanup_free_ char *rest = kp_strdup(strrchr(path, '/'));

	while (kp_realpath_in(root_fd, dir, &real) < 0 && strcmp(dir, "/")) {
		char *up = kp_path_dir(dir);
		char *longer = kp_strf("%s%s", strrchr(dir, '/'), rest);

		free(dir);
		free(rest);
		dir = up;
		rest = longer;
	}
	return kp_path_join(real ?: dir, rest);
}

/* The names that a path has below a root which is not ours; librpm follows the links of our
 * own root. */
static char **names_in(int root_fd, const char *path)
{
	_cleanup_free_ char *real = resolve(root_fd, path), *alias = NULL;
	char **names = NULL;

	kp_strv_add(&names, path);
	if (!kp_strv_has(names, real))
		kp_strv_add(&names, real);
	/* /lib -> usr/lib: what lies in /usr/lib is also below /lib. */
	if (!kp_str_starts(real, "/usr/"))
		return names;
	alias = resolve(root_fd, real + 4);
	if (kp_str_eq(alias, real) && !kp_strv_has(names, real + 4))
		kp_strv_add(&names, real + 4);
	return names;
}

/* Element I of an array of strings in a header, to be freed; NULL: there is none. */
static char *string_at(Header h, rpmTagVal tag, unsigned int i)
{
	struct rpmtd_s td;
	char *ret = NULL;

	if (headerGet(h, tag, &td, HEADERGET_MINMEM) && rpmtdSetIndex(&td, (int)i) >= 0)
		ret = kp_strdup(rpmtdGetString(&td));
	rpmtdFreeData(&td);
	return ret;
}

/* The literal path of file number I of a package, to be freed; NULL: none. An rpmfiles would know it,
 * too, but hashes all names of a kernel's thousands of files first. */
static char *file_path(Header h, unsigned int i)
{
	_cleanup_free_ char *base = string_at(h, RPMTAG_BASENAMES, i), *dir = NULL;
	const uint32_t *index = NULL;
	struct rpmtd_s td;

	if (base && headerGet(h, RPMTAG_DIRINDEXES, &td, HEADERGET_MINMEM)) {
		if (rpmtdSetIndex(&td, (int)i) >= 0)
			index = rpmtdGetUint32(&td);
		if (index)
			dir = string_at(h, RPMTAG_DIRNAMES, *index);
		rpmtdFreeData(&td);
	}
	return dir ? kp_strf("%s%s", dir, base) : NULL;
}

/* Is the first the better answer? Packages that we did not make go first. */
static bool is_better(const struct kp_owner *a, bool a_ours, const struct kp_owner *b,
		      bool b_ours)
{
	int c;

	if (!b->package || a_ours != b_ours)
		return !b->package || b_ours;
	c = strcmp(a->package, b->package);
	return c < 0 || (!c && strcmp(a->version, b->version) < 0);
}

/* NAMES NULL: librpm knows the other names of the path itself. */
static void find_owner(rpmts ts, const char *path, char *const *names,
		       struct kp_owner *ret, bool *ours)
{
	_cleanup_iterator_ rpmdbMatchIterator it =
		rpmtsInitIterator(ts, RPMDBI_INSTFILENAMES, path, 0);
	Header h;

	while ((h = rpmdbNextIterator(it))) {
		bool is_ours = kp_rpm_is_ours(h);
		struct kp_owner o = {
			.package = headerGetAsString(h, RPMTAG_NAME),
			.version = kp_rpm_header_evr(h),
			.path = file_path(h, rpmdbGetIteratorFileNum(it)),
		};

		if ((!names || (o.path && kp_strv_has(names, o.path))) &&
		    is_better(&o, is_ours, ret, *ours)) {
			kp_owner_clear(ret);
			*ret = o;
			*ours = is_ours;
		} else {
			kp_owner_clear(&o);
		}
	}
}

int kp_rpm_owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
		 struct kp_owner *ret, struct kp_err *err)
{
	_cleanup_session_ struct kp_rpm_session s = { 0 };
	int rc = kp_rpm_begin(db, &s, err);

	for (size_t i = 0; i < n && !rc; i++) {
		_cleanup_strv_ char **names = NULL;
		_cleanup_free_ char *path = kp_path_join("/", paths[i]);
		bool ours = false;

		ret[i] = (struct kp_owner){ 0 };
		if (!db->dbpath) {
			find_owner(s.ts, path, NULL, &ret[i], &ours);
		} else {
			names = names_in(db->root_fd, path);
			kp_strv_foreach(name, names)
				find_owner(s.ts, *name, names, &ret[i], &ours);
		}
		rc = kp_rpm_check(&s, err);
	}
	return rc;
}

/* ---- headers ---- */

/* "kernel-core" -> "kernel-devel", "kernel-default" -> "kernel-default-devel": the names of
 * Fedora and of SUSE for the package with the headers, by that with the image. */
static char *headers_package(const char *image)
{
	static const char *const parts[] = { "-modules-core", "-core", "-modules",
					     "-base" };
	size_t len = strlen(image);

	for (size_t i = 0; i < KP_ARRAY_SIZE(parts); i++) {
		if (!kp_str_ends(image, parts[i]))
			continue;
		len -= strlen(parts[i]);
		break;
	}
	return kp_strf("%.*s-devel", (int)len, image);
}

int kp_rpm_suggest_headers(struct kp_pkgdb *db, const char *kernel, char **ret,
			   struct kp_err *err)
{
	static const char *const files[] = { "modules.builtin", "modules.order",
					     "kernel" };
	struct kp_owner owners[KP_ARRAY_SIZE(files)] = { 0 };
	_cleanup_strv_ char **paths = NULL;
	enum kp_rpm_frontend frontend = kp_rpm_frontend(db);
	int rc;

	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++)
		kp_strv_addf(&paths, "/lib/modules/%s/%s", kernel, files[i]);
	rc = kp_rpm_owner(db, (const char *const *)paths, KP_ARRAY_SIZE(files), owners,
			  err);
	for (size_t i = 0; i < KP_ARRAY_SIZE(files) && !rc; i++) {
		_cleanup_free_ char *package = NULL;

		if (!owners[i].package)
			continue;
		package = headers_package(owners[i].package);
		if (frontend == KP_RPM_ZYPPER)
			*ret = kp_strf("zypper install %s=%s", package,
				       owners[i].version);
		else if (frontend == KP_RPM_DNF)
			*ret = kp_strf("dnf install %s-%s", package, owners[i].version);
		else
			rc = -ENOENT;
		break;
	}
	if (!rc && !*ret)
		rc = -ENOENT;
	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++)
		kp_owner_clear(&owners[i]);
	return rc;
}
