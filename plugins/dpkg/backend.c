// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"

#include "dpkg.h"

static bool is_kernel_path(const char *path, size_t len)
{
	static const char image[] = "/boot/vmlinuz-", tree[] = "/lib/modules/";
	const char *slash;

	if (len > 4 && !memcmp(path, "/usr", 4)) {
		path += 4;
		len -= 4;
	}
	if (len >= sizeof(image) && !memcmp(path, image, sizeof(image) - 1))
		return true;
	if (len < sizeof(tree) || memcmp(path, tree, sizeof(tree) - 1))
		return false;
	path += sizeof(tree) - 1;
	len -= sizeof(tree) - 1;
	slash = memchr(path, '/', len);
	return slash && len - (size_t)(slash - path) >= 7 && !memcmp(slash, "/kernel", 7);
}

static int look_for_kernel(const struct kp_dpkg_pkg *pkg, const char *text, size_t len,
			   void *data)
{
	const char *p = text, *line;
	size_t line_len;

	(void)pkg;
	while (kp_dpkg_list_next(&p, text + len, &line, &line_len)) {
		if (!is_kernel_path(line, line_len))
			continue;
		*(bool *)data = true;
		return -ECANCELED; /* seen enough */
	}
	return 0;
}

static int backend_probe(int root_fd)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	bool found = false;

	if (!kp_exists_in(root_fd, KP_DPKG_DIR "/status"))
		return 0;
	if (kp_dpkg_status_load(root_fd, &st, NULL) < 0)
		return 1;
	kp_dpkg_lists_walk(root_fd, &st, look_for_kernel, &found, NULL);
	return found ? 2 : 1;
}

static int backend_open(int root_fd, unsigned int flags, struct kp_pkgdb **ret,
			struct kp_err *err)
{
	(void)flags;
	(void)err;
	*ret = kp_calloc(1, sizeof(**ret));
	(*ret)->root_fd = root_fd;
	return 0;
}

static void backend_close(struct kp_pkgdb *db)
{
	free(db);
}

static struct kp_pkg_installed describe(const struct kp_dpkg_pkg *pkg)
{
	/* Where dpkg was killed in the middle, or has lost the list, the package is there
	 * and its content is not what it says: without keys it is stale, so it is
	 * installed again. */
	bool whole = pkg->state > KP_DPKG_HALF_INSTALLED && !pkg->reinst_required;

	return (struct kp_pkg_installed){
		.id = {
			.module = kp_strdup(pkg->fields[KP_DPKG_MODULE]),
			.version = kp_strdup(pkg->fields[KP_DPKG_VERSION]),
			.kernel = kp_strdup(pkg->fields[KP_DPKG_KERNEL]),
			.arch = kp_strdup(pkg->fields[KP_DPKG_ARCH] ?: ""),
			.key = kp_strdup(whole ? pkg->fields[KP_DPKG_KEY] ?: "" : ""),
			.content = kp_strdup(whole ? pkg->fields[KP_DPKG_CONTENT] ?: "" : ""),
			.source_package = kp_strdup(pkg->fields[KP_DPKG_SOURCE_PACKAGE]),
		},
		.name = kp_strdup(pkg->name),
		.pkg_version = kp_strdup(pkg->version),
	};
}

static void forget_keys(struct kp_pkg_id *id)
{
	id->key[0] = '\0';
	id->content[0] = '\0';
}

static int backend_list(struct kp_pkgdb *db, struct kp_pkg_installed **ret, size_t *ret_n,
			struct kp_err *err)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	struct kp_pkg_installed *list = NULL;
	size_t n = 0, alloc = 0;
	int rc;

	rc = kp_dpkg_status_load(db->root_fd, &st, err);
	for (size_t i = 0; i < st.n && rc >= 0; i++) {
		const struct kp_dpkg_pkg *pkg = &st.pkgs[i];

		if (!kp_dpkg_pkg_is_ours(pkg) || !kp_dpkg_pkg_has_files(pkg))
			continue;
		KP_GROW(list, n, alloc);
		list[n++] = describe(pkg);
		rc = kp_dpkg_list_files(db->root_fd, pkg, &list[n - 1].files, err);
		if (rc == -ENOENT) {
			forget_keys(&list[n - 1].id);
			rc = 0;
		}
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
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	int rc = kp_dpkg_status_load(db->root_fd, &st, err);

	return rc < 0 ? rc : kp_dpkg_owner(db->root_fd, &st, paths, n, ret, err);
}

static const char *backend_install(struct kp_pkgdb *db)
{
	(void)db;
	return "apt install";
}

static const char *const lock_files[] = {
	KP_DPKG_DIR "/lock",
	KP_DPKG_DIR "/lock-frontend",
	KP_DPKG_DIR "/triggers/Lock",
	"/var/lib/apt/lists/lock",
	"/var/cache/apt/archives/lock",
	NULL,
};

/* dpkg writes the status anew, makes and removes files in the directories, or both. */
static char *backend_stamp(struct kp_pkgdb *db, int64_t *newest_s)
{
	static const char *const names[] = { "status", "updates", "info", "diversions",
					     NULL };

	return kp_looks_all_in(db->root_fd, KP_DPKG_DIR, names, newest_s);
}

extern const struct kp_pkgdb_ops kp_pkgdb_ops;
__attribute__((visibility("default"))) const struct kp_pkgdb_ops kp_pkgdb_ops = {
	.abi = KP_PKGDB_ABI,
	.size = sizeof(struct kp_pkgdb_ops),
	.name = "dpkg",
	.probe = backend_probe,
	.open = backend_open,
	.close = backend_close,
	.state = kp_dpkg_lock_state,
	.list = backend_list,
	.owner = backend_owner,
	.write = kp_dpkg_write,
	.commit = kp_dpkg_commit,
	.settle = kp_dpkg_settle,
	.suggest_headers = kp_dpkg_suggest_headers,
	.check_hooks = kp_dpkg_check_hooks,
	.install = backend_install,
	.sync_at_end = kp_dpkg_sync_at_end,
	.lock_files = lock_files,
	.stamp = backend_stamp,
	.stamps_list = true,
};
