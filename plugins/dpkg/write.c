// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing a .deb (deb(5)): an ar archive of debian-binary, control.tar and data.tar. The
 * members are not compressed: the package is installed at once and thrown away.
 *
 * Same input, same bytes: entries are sorted, owned by root, and have the caller's time.
 */
#include <errno.h>
#include <md5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/payload.h"
#include "base/pkgfile.h"
#include "base/str.h"

#include "../archive-util.h"
#include "dpkg.h"

static int file_to_md5(void *data, const void *p, size_t len, struct kp_err *err)
{
	(void)err;
	MD5Update(data, p, len);
	return 0;
}

/* A tar that goes to FN in the pieces that libarchive makes, without padding at the end
 * other than the format's own. */
static int tar_open(struct archive **ret, archive_write_callback *fn, void *data,
		    struct kp_err *err)
{
	*ret = archive_write_new();
	if (archive_write_set_format_gnutar(*ret) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(*ret, 0) != ARCHIVE_OK ||
	    archive_write_open(*ret, data, NULL, fn, NULL) != ARCHIVE_OK)
		return archive_err(*ret, err, "begin tar");
	return 0;
}

static int tar_close(struct archive *tar, struct kp_err *err)
{
	return archive_write_close(tar) == ARCHIVE_OK ? 0
						      : archive_err(tar, err, "end tar");
}

static la_ssize_t tar_to_count(struct archive *tar, void *data, const void *p, size_t len)
{
	(void)tar;
	(void)p;
	*(uint64_t *)data += len;
	return (la_ssize_t)len;
}

static la_ssize_t tar_to_archive(struct archive *tar, void *data, const void *p,
				 size_t len)
{
	la_ssize_t n = archive_write_data(data, p, len);

	if (n < 0)
		archive_set_error(tar, archive_errno(data), "%s",
				  archive_error_string(data));
	return n;
}

/* ar wants a member's size before its bytes: the tar is written twice, first without the
 * files' bytes (libarchive fills in zeros) only to be counted. */
static int put_data_tar(const struct kp_payload *p, archive_write_callback *fn,
			void *data, bool with_bytes, struct kp_err *err)
{
	_cleanup_archive_ struct archive *tar = NULL;
	int rc = tar_open(&tar, fn, data, err);

	if (rc < 0)
		return rc;
	rc = archive_put_header(tar, "./", S_IFDIR | 0755, 0, p->pkg->mtime, err);
	if (rc < 0)
		return rc;
	kp_strv_foreach(dir, p->dirs) {
		_cleanup_free_ char *path = kp_strf("./%s", *dir);

		rc = archive_put_header(tar, path, S_IFDIR | 0755, 0, p->pkg->mtime, err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < p->pkg->n_files; i++) {
		const struct kp_pkg_file *f = p->files[i];
		_cleanup_free_ char *path = kp_strf(".%s", f->path);

		rc = archive_put_header(tar, path, S_IFREG | (f->mode & 07777), f->size,
					p->pkg->mtime, err);
		if (!rc && with_bytes)
			rc = kp_payload_read(f, archive_put_bytes, tar, err);
		if (rc < 0)
			return rc;
	}
	return tar_close(tar, err);
}

/* The control file md5sums: what `dpkg -V` compares with. */
static int make_md5sums(const struct kp_payload *p, struct kp_buf *ret,
			struct kp_err *err)
{
	for (size_t i = 0; i < p->pkg->n_files; i++) {
		char hex[MD5_DIGEST_STRING_LENGTH];
		MD5_CTX ctx;
		int rc;

		MD5Init(&ctx);
		rc = kp_payload_read(p->files[i], file_to_md5, &ctx, err);
		if (rc < 0)
			return rc;
		MD5End(&ctx, hex);
		kp_buf_addf(ret, "%s  %s\n", hex, p->files[i]->path + 1);
	}
	return 0;
}

/* KiB, as dpkg-gencontrol counts: each file rounded up, one for each directory. */
static uint64_t installed_size(const struct kp_payload *p)
{
	uint64_t kib = kp_strv_len(p->dirs);

	for (size_t i = 0; i < p->pkg->n_files; i++)
		kib += (p->files[i]->size + 1023) / 1024;
	return kib;
}

static int add_field(struct kp_buf *b, const char *name, const char *value,
		     struct kp_err *err)
{
	size_t len = strlen(value);

	/* dpkg drops white space at the ends, and a line break would begin another field.
	 */
	if (!len || value[0] == ' ' || value[len - 1] == ' ')
		return kp_err_set(err, -EINVAL, "'%s' cannot be the value of %s", value,
				  name);
	for (const char *s = value; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return kp_err_set(err, -EINVAL, "'%s' cannot be the value of %s",
					  value, name);
	kp_buf_addf(b, "%s: %s\n", name, value);
	return 0;
}

static int make_control(const struct kp_payload *p, const char *name, const char *version,
			const char *arch, struct kp_buf *ret, struct kp_err *err)
{
	const char *fields[KP_DPKG_N_FIELDS];
	const struct kp_pkg_id *id = &p->pkg->id;
	int rc;

	kp_buf_addf(ret,
		    "Package: %s\n"
		    "Version: %s\n"
		    "Architecture: %s\n"
		    "Maintainer: kmodpkg on this machine <root@localhost>\n"
		    "Installed-Size: %llu\n"
		    "Section: kernel\n"
		    "Priority: optional\n",
		    name, version, arch, (unsigned long long)installed_size(p));
	kp_dpkg_id_fields(id, fields);
	for (int i = 0; i < KP_DPKG_N_FIELDS; i++) {
		if (i == KP_DPKG_SOURCE_PACKAGE && !fields[i])
			continue;
		rc = add_field(ret, kp_dpkg_field_names[i], fields[i] ?: "", err);
		if (rc < 0)
			return rc;
	}
	rc = add_field(ret, "Description", p->pkg->summary, err);
	if (rc < 0)
		return rc;
	kp_buf_addf(ret,
		    " Built on this machine by kmodpkg from the module source %s %s\n"
		    " for the kernel %s. It comes and goes with them; to do without\n"
		    " it, use \"kmodpkg uninstall\".\n",
		    id->module, id->version, id->kernel);
	return 0;
}

static int make_control_tar(const struct kp_payload *p, const struct kp_buf *control,
			    struct kp_buf *ret, struct kp_err *err)
{
	_cleanup_archive_ struct archive *tar = NULL;
	_cleanup_buf_ struct kp_buf md5sums = KP_BUF_INIT;
	int rc = make_md5sums(p, &md5sums, err);

	if (rc < 0)
		return rc;
	rc = tar_open(&tar, archive_to_buf, ret, err);
	if (!rc)
		rc = archive_put_header(tar, "./", S_IFDIR | 0755, 0, p->pkg->mtime, err);
	if (!rc)
		rc = archive_put_file(tar, "./control", control, p->pkg->mtime, err);
	if (!rc)
		rc = archive_put_file(tar, "./md5sums", &md5sums, p->pkg->mtime, err);
	return rc < 0 ? rc : tar_close(tar, err);
}

static int write_deb(const struct kp_payload *p, const struct kp_buf *control, int fd,
		     struct kp_err *err)
{
	_cleanup_archive_ struct archive *ar = archive_write_new();
	_cleanup_buf_ struct kp_buf format_version = KP_BUF_INIT;
	_cleanup_buf_ struct kp_buf control_tar = KP_BUF_INIT;
	uint64_t size = 0;
	int rc;

	rc = make_control_tar(p, control, &control_tar, err);
	if (!rc)
		rc = put_data_tar(p, tar_to_count, &size, false, err);
	if (rc < 0)
		return rc;
	/* The BSD form of ar: member names without a slash at the end. */
	if (archive_write_set_format_ar_bsd(ar) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(ar, 1) != ARCHIVE_OK ||
	    archive_write_open_fd(ar, fd) != ARCHIVE_OK)
		return archive_err(ar, err, "begin package");
	kp_buf_adds(&format_version, "2.0\n");
	rc = archive_put_file(ar, "debian-binary", &format_version, p->pkg->mtime, err);
	if (!rc)
		rc = archive_put_file(ar, "control.tar", &control_tar, p->pkg->mtime,
				      err);
	if (!rc)
		rc = archive_put_header(ar, "data.tar", S_IFREG | 0644, size,
					p->pkg->mtime, err);
	if (!rc)
		rc = put_data_tar(p, tar_to_archive, ar, true, err);
	if (rc < 0)
		return rc;
	if (archive_write_close(ar) != ARCHIVE_OK)
		return archive_err(ar, err, "end package");
	return 0;
}

/* The architecture that dpkg itself was built for is that of what it installs. */
static int native_arch(const struct kp_dpkg_status *st, const char **ret,
		       struct kp_err *err)
{
	const struct kp_dpkg_pkg *pkg = kp_dpkg_status_find(st, "dpkg");

	if (!pkg || kp_str_empty(pkg->arch))
		return kp_err_set(err, -EIO,
				  "%s/status does not say what architecture dpkg has",
				  KP_DPKG_DIR);
	*ret = pkg->arch;
	return 0;
}

int kp_dpkg_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		  char **ret_file, char **ret_name, struct kp_err *err)
{
	_cleanup_status_ struct kp_dpkg_status st = { 0 };
	_cleanup_(kp_payload_clear) struct kp_payload payload = { 0 };
	_cleanup_buf_ struct kp_buf control = KP_BUF_INIT;
	_cleanup_free_ char *name = NULL, *version = NULL, *file = NULL;
	_cleanup_pkgfile_ struct kp_pkgfile out = KP_PKGFILE_INIT;
	const struct kp_dpkg_pkg *there;
	const char *arch = NULL;
	int rc;

	rc = kp_dpkg_status_load(db->root_fd, &st, err);
	if (!rc)
		rc = native_arch(&st, &arch, err);
	if (!rc)
		rc = kp_payload_load(pkg, &payload, err);
	if (rc < 0)
		return rc;
	name = kp_dpkg_name(pkg->id.module, pkg->id.kernel);
	version = kp_dpkg_version(pkg->id.version);
	there = kp_dpkg_status_find(&st, name);
	if (there && there->state != KP_DPKG_NOT_INSTALLED && !kp_dpkg_pkg_is_ours(there))
		return kp_err_set(
			err, -EEXIST,
			"package %s %s is installed and was not made by kmodpkg; "
			"remove it to let kmodpkg install its own",
			name, there->version ?: "");
	rc = make_control(&payload, name, version, arch, &control, err);
	if (rc < 0)
		return rc;
	file = kp_strf("%s_%s_%s.deb", name, version, arch);
	rc = kp_pkgfile_create(&out, dir_fd, file, err);
	if (rc < 0)
		return rc;
	rc = write_deb(&payload, &control, out.fd, err);
	if (!rc)
		rc = kp_pkgfile_publish(&out, ret_file, err);
	if (rc < 0) {
		kp_err_prefix(err, "package %s", name);
		return rc;
	}
	*ret_name = kp_steal(&name);
	return 0;
}
