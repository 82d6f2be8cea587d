// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pacman's local database: a directory per package, named NAME-VERSION-RELEASE, in it the
 * texts desc and files. These have sections, "%KEY%" and the lines that follow up to an empty
 * one (lib/libalpm/be_local.c; alpm-db-desc(5), alpm-db-files(5)).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

#define VERSION_FILE "ALPM_DB_VERSION"
#define VERSION "9"

/* Neither a version nor a release has a '-' in it. */
static bool split(struct kp_local_pkg *pkg)
{
	char *end = strrchr(pkg->dir, '-');

	while (end && end > pkg->dir && *--end != '-')
		;
	if (!end || end == pkg->dir || end[1] == '-')
		return false;
	*end = '\0';
	pkg->name = pkg->dir;
	pkg->version = end + 1;
	return true;
}

char *kp_local_dir(const struct kp_local_pkg *pkg)
{
	return kp_strf("%s-%s", pkg->name, pkg->version);
}

static int check_version(struct kp_pkgdb *db, const struct kp_local *local,
			 struct kp_err *err)
{
	_cleanup_free_ char *text = NULL;
	int rc = kp_read_in(local->fd, VERSION_FILE, 4096, &text, NULL);

	/* libalpm makes the file when it is first needed. */
	if (rc == -ENOENT && !local->n)
		return 0;
	if (rc < 0) {
		kp_err_sys(err, rc, "read '%s/local/%s'", db->dbpath, VERSION_FILE);
		return -EIO;
	}
	if (strcmp(kp_str_strip(text), VERSION) != 0)
		return kp_err_set(err, -EIO,
				  "the database in %s is of version %s, this program "
				  "knows version %s",
				  db->dbpath, text, VERSION);
	return 0;
}

int kp_local_open(struct kp_pkgdb *db, struct kp_local *ret, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_path_join(db->dbpath, "local");
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	_cleanup_strv_ char **names = NULL;
	int rc;

	local.fd = kp_open_in(db->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
	rc = local.fd < 0 ? local.fd : kp_list_fd(local.fd, &names);
	if (rc < 0 && rc != -ENOENT) {
		kp_err_sys(err, rc, "read '%s'", path);
		return -EIO;
	}
	kp_strv_foreach(name, names) {
		struct kp_local_pkg pkg = { .dir = kp_strdup(*name) };

		if (!split(&pkg)) {
			free(pkg.dir);
			continue;
		}
		KP_GROW(local.pkgs, local.n, local.alloc);
		local.pkgs[local.n++] = pkg;
	}
	rc = local.fd < 0 ? 0 : check_version(db, &local, err);
	if (rc < 0)
		return rc;
	*ret = local;
	local = (struct kp_local){ .fd = -1 };
	return 0;
}

void kp_local_close(struct kp_local *local)
{
	for (size_t i = 0; i < local->n; i++)
		free(local->pkgs[i].dir);
	free(local->pkgs);
	if (local->fd >= 0)
		close(local->fd);
	*local = (struct kp_local){ .fd = -1 };
}

/* When an entry was written: what is taken out of it later leaves that as it is. */
static struct timespec written(const struct kp_local *local,
			       const struct kp_local_pkg *pkg)
{
	_cleanup_free_ char *dir = kp_local_dir(pkg), *path = kp_path_join(dir, "desc");
	struct stat st = { 0 };

	(void)fstatat(local->fd, path, &st, AT_SYMLINK_NOFOLLOW);
	return st.st_mtim;
}

static bool is_older(const struct kp_local *local, const struct kp_local_pkg *a,
		     const struct kp_local_pkg *b)
{
	struct timespec x = written(local, a), y = written(local, b);

	return x.tv_sec != y.tv_sec ? x.tv_sec < y.tv_sec : x.tv_nsec < y.tv_nsec;
}

const struct kp_local_pkg *kp_local_find(const struct kp_local *local, const char *name)
{
	const struct kp_local_pkg *found = NULL;

	for (size_t i = 0; i < local->n; i++)
		if (!strcmp(local->pkgs[i].name, name) &&
		    (!found || is_older(local, found, &local->pkgs[i])))
			found = &local->pkgs[i];
	return found;
}

bool kp_local_is_whole(const struct kp_local *local, const struct kp_local_pkg *pkg)
{
	static const char *const files[] = { "desc", "files", "mtree" };
	_cleanup_free_ char *dir = kp_local_dir(pkg);

	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = kp_path_join(dir, files[i]);
		struct stat st;

		if (fstatat(local->fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !st.st_size)
			return false;
	}
	for (size_t i = 0; i < local->n; i++)
		if (&local->pkgs[i] != pkg && !strcmp(local->pkgs[i].name, pkg->name))
			return false;
	return true;
}

int kp_local_read(const struct kp_local *local, const struct kp_local_pkg *pkg,
		  const char *file, char **ret, size_t *ret_len, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_local_dir(pkg), *path = kp_path_join(dir, file);
	int rc = kp_read_in(local->fd, path, 0, ret, ret_len);

	if (rc == -ENOENT || rc >= 0)
		return rc;
	kp_err_sys(err, rc, "read '%s' of pacman's database", path);
	return -EIO;
}

int kp_local_files(const struct kp_local *local, const struct kp_local_pkg *pkg,
		   bool dirs, char ***ret, struct kp_err *err)
{
	_cleanup_free_ char *text = NULL;
	const char *p, *line;
	size_t len;
	int rc = kp_local_read(local, pkg, "files", &text, NULL, err);

	if (rc < 0)
		return rc;
	p = kp_desc_find(text, "FILES");
	while (p && kp_desc_next(&p, &line, &len))
		if (dirs || line[len - 1] != '/')
			kp_strv_addf(ret, "/%.*s", (int)len, line);
	return 0;
}

const char *kp_desc_find(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (p[0] == '%' && !strncmp(p + 1, key, len) && p[len + 1] == '%' &&
		    p[len + 2] == '\n')
			return p + len + 3;
		if (!*p)
			break;
	}
	return NULL;
}

int kp_desc_next(const char **p, const char **ret, size_t *ret_len)
{
	const char *end = strchrnul(*p, '\n');

	if (end == *p)
		return 0;
	*ret = *p;
	*ret_len = (size_t)(end - *p);
	*p = *end ? end + 1 : end;
	return 1;
}

char *kp_desc_get(const char *text, const char *key)
{
	const char *p = kp_desc_find(text, key), *line;
	size_t len;

	return p && kp_desc_next(&p, &line, &len) ? kp_strndup(line, len) : NULL;
}
