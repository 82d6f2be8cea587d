// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing a package file (alpm-package(7), BUILDINFO left out): a tar with .PKGINFO, .MTREE,
 * directories and files, compressed by zstd.
 *
 * .MTREE is what pacman -Qkk compares with; libalpm 13 knows files by their MD5 alone, later
 * ones by their SHA-256. Same input, same bytes: entries are sorted, owned by root, and have the
 * caller's time.
 *
 * depend_on_kernel is not looked at: a dependency on a version of the kernel makes pacman refuse
 * to upgrade it, one on any version to remove it.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/payload.h"
#include "base/pkgfile.h"
#include "base/str.h"

#include "../archive-util.h"
#include "pacman.h"

struct package {
	struct kp_payload payload;
	struct kp_alpm_identity identity;
	char *name, *version, *desc;
};

static void package_clear(struct package *p)
{
	kp_payload_clear(&p->payload);
	kp_alpm_identity_clear(&p->identity);
	free(p->name);
	free(p->version);
	free(p->desc);
}

static int put_files(const struct kp_payload *p, struct archive *a, const char *prefix,
		     struct kp_err *err)
{
	kp_strv_foreach(dir, p->dirs) {
		_cleanup_free_ char *path = kp_strf("%s%s", prefix, *dir);
		int rc;

		/* mtree has no slash at the end of a directory's name. */
		if (*prefix)
			path[strlen(path) - 1] = '\0';
		rc = archive_put_header(a, path, S_IFDIR | 0755, 0, p->pkg->mtime, err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < p->pkg->n_files; i++) {
		const struct kp_pkg_file *f = p->files[i];
		_cleanup_free_ char *path = kp_strf("%s%s", prefix, f->path + 1);
		int rc = archive_put_header(a, path, S_IFREG | (f->mode & 07777), f->size,
					    p->pkg->mtime, err);

		if (!rc)
			rc = kp_payload_read(f, archive_put_bytes, a, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void make_pkginfo(const struct package *p, struct kp_buf *ret)
{
	kp_buf_addf(ret,
		    "pkgname = %s\n"
		    "pkgbase = %s\n"
		    "xdata = pkgtype=pkg\n"
		    "pkgver = %s\n"
		    "pkgdesc = %s\n"
		    "builddate = %lld\n"
		    "packager = kmodpkg on this machine\n"
		    "size = %llu\n"
		    "arch = %s\n",
		    p->name, p->name, p->version, p->desc,
		    (long long)p->payload.pkg->mtime,
		    (unsigned long long)kp_payload_size(&p->payload),
		    p->payload.pkg->id.arch);
	if (p->payload.pkg->license)
		kp_buf_addf(ret, "license = %s\n", p->payload.pkg->license);
}

static int make_mtree(const struct package *p, const struct kp_buf *pkginfo,
		      struct kp_buf *ret, struct kp_err *err)
{
	_cleanup_archive_ struct archive *a = archive_write_new();
	int rc;

	if (archive_write_set_format_mtree(a) != ARCHIVE_OK ||
	    archive_write_add_filter_gzip(a) != ARCHIVE_OK ||
	    archive_write_set_options(a, "!all,use-set,type,uid,gid,mode,time,size,md5,"
					 "sha256,link,gzip:!timestamp") != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
	    archive_write_open(a, ret, NULL, archive_to_buf, NULL) != ARCHIVE_OK)
		return archive_err(a, err, "begin .MTREE");
	rc = archive_put_file(a, "./.PKGINFO", pkginfo, p->payload.pkg->mtime, err);
	if (!rc)
		rc = put_files(&p->payload, a, "./", err);
	if (!rc && archive_write_close(a) != ARCHIVE_OK)
		rc = archive_err(a, err, "end .MTREE");
	return rc;
}

static int write_package(const struct package *p, int fd, struct kp_err *err)
{
	_cleanup_archive_ struct archive *a = archive_write_new();
	_cleanup_buf_ struct kp_buf pkginfo = KP_BUF_INIT, mtree = KP_BUF_INIT;
	int64_t mtime = p->payload.pkg->mtime;
	int rc;

	make_pkginfo(p, &pkginfo);
	rc = make_mtree(p, &pkginfo, &mtree, err);
	if (rc < 0)
		return rc;
	/* It is installed at once and thrown away. */
	if (archive_write_set_format_pax_restricted(a) != ARCHIVE_OK ||
	    archive_write_add_filter_zstd(a) != ARCHIVE_OK ||
	    archive_write_set_filter_option(a, "zstd", "compression-level", "1") !=
		    ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
	    archive_write_open_fd(a, fd) != ARCHIVE_OK)
		return archive_err(a, err, "begin package");
	rc = archive_put_file(a, ".PKGINFO", &pkginfo, mtime, err);
	if (!rc)
		rc = archive_put_file(a, ".MTREE", &mtree, mtime, err);
	if (!rc)
		rc = put_files(&p->payload, a, "", err);
	if (rc < 0)
		return rc;
	if (archive_write_close(a) != ARCHIVE_OK)
		return archive_err(a, err, "end package");
	return 0;
}

/* Where the kernel has no pkgbase file (its headers alone are installed), what is there from when
 * it had one keeps its name. */
static char *find_pkgbase(struct kp_pkgdb *db, const struct kp_local *local,
			  const struct kp_pkg_id *id)
{
	char *pkgbase = kp_alpm_pkgbase(db->root_fd, id->kernel);

	for (size_t i = 0; i < local->n && !pkgbase; i++) {
		struct kp_alpm_identity identity;

		if (kp_alpm_identity_load(local, &local->pkgs[i], &identity, NULL) < 0)
			continue;
		if (!strcmp(identity.id.module, id->module) &&
		    !strcmp(identity.id.kernel, id->kernel))
			pkgbase = kp_steal(&identity.pkgbase);
		kp_alpm_identity_clear(&identity);
	}
	return pkgbase ?: kp_strdup(id->kernel);
}

static int check_name(const struct kp_local *local, const struct package *p,
		      struct kp_err *err)
{
	const struct kp_local_pkg *there = kp_local_find(local, p->name);
	struct kp_alpm_identity identity;
	int rc;

	if (strlen(p->name) + 1 + strlen(p->version) > NAME_MAX)
		return kp_err_set(err, -ENAMETOOLONG, "'%s-%s' is too long for pacman",
				  p->name, p->version);
	if (!there)
		return 0;
	rc = kp_alpm_identity_load(local, there, &identity, NULL);
	if (!rc)
		kp_alpm_identity_clear(&identity);
	if (rc == -ENOENT)
		return kp_err_set(
			err, -EEXIST,
			"package %s %s is installed and was not made by kmodpkg; "
			"remove it to let kmodpkg install its own",
			p->name, there->version);
	return 0;
}

static int prepare(struct kp_pkgdb *db, const struct kp_pkg *pkg, struct package *ret,
		   struct kp_err *err)
{
	_cleanup_local_ struct kp_local local = { .fd = -1 };
	int rc = kp_local_open(db, &local, err);

	if (!rc)
		rc = kp_payload_load(pkg, &ret->payload, err);
	if (rc < 0)
		return rc;
	kp_pkg_id_copy(&ret->identity.id, &pkg->id);
	ret->identity.pkgbase = find_pkgbase(db, &local, &pkg->id);
	ret->name = kp_alpm_name(pkg->id.module, ret->identity.pkgbase);
	ret->version = kp_alpm_version(pkg->id.version, pkg->id.kernel);
	rc = check_name(&local, ret, err);
	return rc < 0 ? rc
		      : kp_alpm_desc_make(pkg->summary, &ret->identity, &ret->desc, err);
}

int kp_alpm_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		  char **ret_file, char **ret_name, struct kp_err *err)
{
	_cleanup_(package_clear) struct package p = { 0 };
	_cleanup_free_ char *file = NULL;
	_cleanup_pkgfile_ struct kp_pkgfile out = KP_PKGFILE_INIT;
	int rc = prepare(db, pkg, &p, err);

	if (rc < 0)
		return rc;
	file = kp_strf("%s.pkg.tar.zst", p.name);
	rc = kp_pkgfile_create(&out, dir_fd, file, err);
	if (rc < 0)
		return rc;
	rc = write_package(&p, out.fd, err);
	if (!rc)
		rc = kp_pkgfile_publish(&out, ret_file, err);
	if (rc < 0) {
		kp_err_prefix(err, "package %s", p.name);
		return rc;
	}
	*ret_name = kp_steal(&p.name);
	return 0;
}
