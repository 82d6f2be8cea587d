// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "rpm.h"

static void backend_close(struct kp_pkgdb *db)
{
	if (db->client_fd >= 0)
		close(db->client_fd);
	free(db->root);
	free(db->dbpath);
	kp_strv_free(db->erased);
	free(db);
}

static int backend_open(int root_fd, unsigned int flags, struct kp_pkgdb **ret,
			struct kp_err *err)
{
	struct kp_pkgdb *db;
	int rc = kp_rpm_init(err);

	if (rc < 0)
		return rc;
	db = kp_calloc(1, sizeof(*db));
	*db = (struct kp_pkgdb){
		.root_fd = root_fd,
		.nested = flags & KP_OPEN_NESTED,
		.client_fd = -1,
	};
	if (kp_rpm_is_slash(root_fd)) {
		db->root = kp_strdup("/");
	} else {
		db->root = kp_strf("/proc/self/fd/%d", root_fd);
		db->dbpath = kp_rpm_foreign_dbpath(root_fd);
	}
	if (db->nested) {
		kp_rpm_client_load(db);
		/* of transaction.c */
		db->erased = kp_strv_split(getenv("KMODPKG_RPM_ERASES") ?: "", " ");
	}
	*ret = db;
	return 0;
}

/* Does any of the installed kernels belong to a package? */
static bool owns_kernel(struct kp_pkgdb *db)
{
	_cleanup_strv_ char **kernels = NULL, **paths = NULL;
	struct kp_owner *owners;
	bool found = false;
	size_t n;

	if (kp_list_in(db->root_fd, "/lib/modules", &kernels) < 0)
		return false;
	kp_strv_foreach(k, kernels) {
		kp_strv_addf(&paths, "/lib/modules/%s/kernel", *k);
		kp_strv_addf(&paths, "/lib/modules/%s/modules.builtin", *k);
		kp_strv_addf(&paths, "/boot/vmlinuz-%s", *k);
	}
	n = kp_strv_len(paths);
	owners = kp_calloc(n, sizeof(*owners));
	kp_rpm_owner(db, (const char *const *)paths, n, owners, NULL);
	for (size_t i = 0; i < n; i++)
		found |= owners[i].package != NULL;
	kp_owners_free(owners, n);
	return found;
}

static int backend_probe(int root_fd)
{
	_cleanup_free_ char *dbpath = NULL;
	struct kp_pkgdb *db;
	int score = 0;

	if (backend_open(root_fd, 0, &db, NULL) < 0)
		return 0;
	dbpath = kp_rpm_dbpath(db);
	if (kp_rpm_has_db(root_fd, dbpath))
		score = owns_kernel(db) ? 2 : 1;
	backend_close(db);
	return score;
}

/*
 * sqlite commits to its log, and from there to the file; ndb to its file. Not by the time of the last
 * status change, which sqlite sets when root only reads. Of Berkeley DB it is not known when what
 * is in memory is written.
 */
static char *backend_stamp(struct kp_pkgdb *db, int64_t *newest_s)
{
	static const char *const names[] = { "rpmdb.sqlite", "rpmdb.sqlite-wal",
					     "Packages.db" };
	_cleanup_free_ char *dbpath = kp_rpm_dbpath(db);
	_cleanup_free_ char *berkeley = kp_path_join(dbpath, "Packages");
	struct kp_buf b = KP_BUF_INIT;

	if (kp_exists_in(db->root_fd, berkeley))
		return NULL;
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_path_join(dbpath, names[i]);
		struct stat st = { 0 };

		(void)kp_stat_in(db->root_fd, path, &st);
		if (st.st_mtim.tv_sec > *newest_s)
			*newest_s = st.st_mtim.tv_sec;
		kp_buf_addf(&b, "%jd %ju %jd.%09ld, ", (intmax_t)st.st_size,
			    (uintmax_t)st.st_ino, (intmax_t)st.st_mtim.tv_sec,
			    st.st_mtim.tv_nsec);
	}
	return kp_buf_steal(&b);
}

static const char *const lock_files[] = {
	"/var/lib/rpm/.rpm.lock",
	"/usr/lib/sysimage/rpm/.rpm.lock",
	NULL,
};

extern const struct kp_pkgdb_ops kp_pkgdb_ops;
__attribute__((visibility("default"))) const struct kp_pkgdb_ops kp_pkgdb_ops = {
	.abi = KP_PKGDB_ABI,
	.size = sizeof(struct kp_pkgdb_ops),
	.name = "rpm",
	.probe = backend_probe,
	.open = backend_open,
	.close = backend_close,
	.state = kp_rpm_lock_state,
	.list = kp_rpm_list,
	.owner = kp_rpm_owner,
	.write = kp_rpm_write,
	.commit = kp_rpm_commit,
	.suggest_headers = kp_rpm_suggest_headers,
	.check_hooks = kp_rpm_check_hooks,
	.install = kp_rpm_install,
	.lock_files = lock_files,
	.stamp = backend_stamp,
	.stamps_list = true,
};
