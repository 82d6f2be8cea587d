// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/looks.h"
#include "base/str.h"

#include "pacman.h"

static int backend_open(int root_fd, unsigned int flags, struct kp_pkgdb **ret,
			struct kp_err *err)
{
	_cleanup_(kp_pacman_conf_clear) struct kp_pacman_conf conf = { 0 };
	struct kp_pkgdb *db = kp_calloc(1, sizeof(*db));

	(void)err;
	kp_pacman_conf_load(root_fd, &conf);
	db->root_fd = root_fd;
	db->nested = flags & KP_OPEN_NESTED;
	db->parent = getppid();
	/* The pacman around us may have been told another place on its command line. */
	db->dbpath = kp_alpm_dbpath_above(root_fd);
	if (!db->dbpath)
		db->dbpath = kp_steal(&conf.dbpath);
	db->logfile = kp_steal(&conf.logfile);
	*ret = db;
	return 0;
}

static void backend_close(struct kp_pkgdb *db)
{
	free(db->dbpath);
	free(db->logfile);
	free(db);
}

static int backend_probe(int root_fd)
{
	static const char *const kernels[] = { "usr/lib/modules/*/vmlinuz",
					       "usr/lib/modules/*/kernel/",
					       "boot/vmlinuz-*", NULL };
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	struct kp_pkgdb *db;
	int score;

	backend_open(root_fd, 0, &db, NULL);
	if (kp_local_open(db, &local, NULL) < 0)
		score = 1;
	else if (local.fd < 0)
		score = 0;
	else
		score = kp_local_owns_match(&local, kernels) ? 2 : 1;
	backend_close(db);
	return score;
}

static int describe(const struct kp_local *local, const struct kp_local_pkg *pkg,
		    struct kp_pkg_installed *ret, struct kp_err *err)
{
	struct kp_alpm_identity identity = { 0 };
	int rc = kp_alpm_identity_load(local, pkg, &identity, err);

	if (rc == -EBADMSG)
		kp_warn_once("package %s %s is broken in pacman's database, skipping",
			     pkg->name, pkg->version);
	if (rc < 0)
		return rc == -EBADMSG ? -ENOENT : rc;
	if (kp_local_find(local, pkg->name) != pkg) {
		kp_alpm_identity_clear(&identity);
		return -ENOENT;
	}
	*ret = (struct kp_pkg_installed){
		.id = identity.id,
		.name = kp_strdup(pkg->name),
		.pkg_version = kp_strdup(pkg->version),
	};
	free(identity.pkgbase);
	rc = kp_local_files(local, pkg, false, &ret->files, err);
	if (!kp_local_is_whole(local, pkg)) {
		/* Without keys it is stale, so it is installed again. */
		ret->id.key[0] = '\0';
		ret->id.content[0] = '\0';
	}
	if (rc == -ENOENT)
		rc = 0;
	if (rc < 0)
		kp_pkg_installed_clear(ret);
	return rc;
}

static int backend_list(struct kp_pkgdb *db, struct kp_pkg_installed **ret, size_t *ret_n,
			struct kp_err *err)
{
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	struct kp_pkg_installed *list = NULL;
	size_t n = 0, alloc = 0;
	int rc = kp_local_open(db, &local, err);

	for (size_t i = 0; i < local.n && rc >= 0; i++) {
		struct kp_pkg_installed one;

		rc = describe(&local, &local.pkgs[i], &one, err);
		if (rc == -ENOENT) {
			rc = 0;
			continue;
		}
		if (rc < 0)
			break;
		KP_GROW(list, n, alloc);
		list[n++] = one;
	}
	if (rc < 0) {
		kp_pkg_list_free(list, n);
		return rc;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static int backend_owner(struct kp_pkgdb *db, const char *const *paths, size_t n,
			 struct kp_owner *ret, struct kp_err *err)
{
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	int rc = kp_local_open(db, &local, err);

	return rc < 0 ? rc : kp_local_owner(db, &local, paths, n, ret, err);
}

static const char *backend_install(struct kp_pkgdb *db)
{
	(void)db;
	return "pacman -S";
}

/* libalpm makes a directory for what it installs or upgrades, and fills it later: while its lock is held
 * nothing counts that is not of the same lock. */
static char *backend_stamp(struct kp_pkgdb *db, int64_t *newest_s)
{
	static const char *const names[] = { "local", "db.lck", NULL };

	return kp_looks_all_in(db->root_fd, db->dbpath, names, newest_s);
}

static const char *const lock_files[] = { "/var/lib/pacman/db.lck", NULL };

extern const struct kp_pkgdb_ops kp_pkgdb_ops;
__attribute__((visibility("default"))) const struct kp_pkgdb_ops kp_pkgdb_ops = {
	.abi = KP_PKGDB_ABI,
	.size = sizeof(struct kp_pkgdb_ops),
	.name = "alpm",
	.probe = backend_probe,
	.open = backend_open,
	.close = backend_close,
	.state = kp_alpm_lock_state,
	.list = backend_list,
	.owner = backend_owner,
	.write = kp_alpm_write,
	.commit = kp_alpm_commit,
	.suggest_headers = kp_alpm_suggest_headers,
	.superseded = kp_alpm_superseded,
	.check_hooks = kp_alpm_check_hooks,
	.install = backend_install,
	.lock_files = lock_files,
	.stamp = backend_stamp,
};
