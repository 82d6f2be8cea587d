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
#include "base/fs.h"
#include "base/payload.h"
#include "base/pkgfile.h"
#include "base/str.h"
#include "base/tar.h"

#include "dpkg.h"

#define AR_SIZE_MAX 9999999999ULL /* ten digits */

static int file_to_md5(void *data, const void *p, size_t len, struct kp_err *err)
{
	(void)err;
	MD5Update(data, p, len);
	return 0;
}

static int to_buf(void *buf, const void *p, size_t len, struct kp_err *err)
{
	(void)err;
	kp_buf_add(buf, p, len);
	return 0;
}

static int to_count(void *size, const void *p, size_t len, struct kp_err *err)
{
	(void)p;
	(void)err;
	*(uint64_t *)size += len;
	return 0;
}

static int to_file(void *fd, const void *p, size_t len, struct kp_err *err)
{
	int rc = kp_write_all(*(int *)fd, p, len);

	return rc < 0 ? kp_err_sys(err, rc, "write package") : 0;
}

static int put_file(struct kp_buf *tar, const char *path, const struct kp_buf *content,
		    int64_t mtime, struct kp_err *err)
{
	int rc = kp_tar_head(to_buf, tar, path, S_IFREG | 0644, content->len, mtime, NULL,
			     err);

	if (rc < 0)
		return rc;
	kp_buf_add(tar, content->s ?: "", content->len);
	return kp_tar_pad(to_buf, tar, content->len, err);
}

static int put_payload(const struct kp_pkg_file *f, int64_t mtime, kp_tar_sink *sink,
		       void *data, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_strf(".%s", f->path);
	int rc = kp_tar_head(sink, data, path, S_IFREG | (f->mode & 07777), f->size,
			     mtime, NULL, err);

	if (!rc && sink == to_count)
		*(uint64_t *)data += f->size;
	else if (!rc)
		rc = kp_payload_read(f, sink, data, err);
	return rc ? rc : kp_tar_pad(sink, data, f->size, err);
}

/* ar wants a member's size before its bytes: the tar is first made to be counted, without those of the files. */
static int put_data_tar(const struct kp_payload *p, kp_tar_sink *sink, void *data,
			struct kp_err *err)
{
	int64_t mtime = p->pkg->mtime;
	int rc = kp_tar_head(sink, data, "./", S_IFDIR | 0755, 0, mtime, NULL, err);

	kp_strv_foreach(dir, p->dirs) {
		_cleanup_free_ char *path = kp_strf("./%s", *dir);

		if (!rc)
			rc = kp_tar_head(sink, data, path, S_IFDIR | 0755, 0, mtime, NULL,
					 err);
	}
	for (size_t i = 0; i < p->pkg->n_files && !rc; i++)
		rc = put_payload(p->files[i], mtime, sink, data, err);
	return rc ? rc : kp_tar_end(sink, data, err);
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
	_cleanup_buf_ struct kp_buf md5sums = KP_BUF_INIT;
	int64_t mtime = p->pkg->mtime;
	int rc = make_md5sums(p, &md5sums, err);

	if (!rc)
		rc = kp_tar_head(to_buf, ret, "./", S_IFDIR | 0755, 0, mtime, NULL, err);
	if (!rc)
		rc = put_file(ret, "./control", control, mtime, err);
	if (!rc)
		rc = put_file(ret, "./md5sums", &md5sums, mtime, err);
	return rc ? rc : kp_tar_end(to_buf, ret, err);
}

/* The head of a member of an ar archive, ar(5). Those that we have are of an even size, so nothing is filled up. */
static void add_member(struct kp_buf *b, const char *name, uint64_t size, int64_t mtime)
{
	kp_buf_addf(b, "%-16s%-12lld%-6d%-6d%-8o%-10llu`\n", name, (long long)mtime, 0, 0,
		    S_IFREG | 0644, (unsigned long long)size);
}

static int write_deb(const struct kp_payload *p, const struct kp_buf *control, int fd,
		     struct kp_err *err)
{
	_cleanup_buf_ struct kp_buf head = KP_BUF_INIT, control_tar = KP_BUF_INIT;
	static const char version[] = "2.0\n";
	uint64_t size = 0;
	int rc;

	rc = make_control_tar(p, control, &control_tar, err);
	if (!rc)
		rc = put_data_tar(p, to_count, &size, err);
	if (rc < 0)
		return rc;
	if (size > AR_SIZE_MAX)
		return kp_err_set(err, -EFBIG, "its files are too large for a package");
	kp_buf_adds(&head, "!<arch>\n");
	add_member(&head, "debian-binary", strlen(version), p->pkg->mtime);
	kp_buf_adds(&head, version);
	add_member(&head, "control.tar", control_tar.len, p->pkg->mtime);
	kp_buf_add(&head, control_tar.s, control_tar.len);
	add_member(&head, "data.tar", size, p->pkg->mtime);
	rc = to_file(&fd, head.s, head.len, err);
	return rc ? rc : put_data_tar(p, to_file, &fd, err);
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
