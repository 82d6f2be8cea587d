// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing a binary package of format 4 (https://rpm.org/docs/ "Package Format"): lead, signature
 * header, header, compressed cpio. librpm makes the headers and the archive; putting them
 * together is in none of its public functions.
 *
 * Same input, same bytes: files are sorted, owned by root, and have the caller's time.
 * It is not signed: it does not leave this machine, and commit() asks for digests only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <rpm/rpmcrypto.h>
#include <rpm/rpmfi.h>
#include <rpm/rpmfiles.h>
#include <rpm/rpmio.h>
#include <rpm/rpmlib.h>
#include <rpm/rpmtd.h>
/* It needs those above. */
#include <rpm/rpmarchive.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/pkgfile.h"

#include "rpm.h"

/* It is read once, soon; a module is compressed already, or its kernel wants it plain. */
#define IO_MODE "w1.zstdio"
#define LEVEL "1"

/* By number: 6.x has other names for them than 4.x. */
#define TAG_PAYLOAD_DIGEST 5092
#define TAG_PAYLOAD_DIGEST_ALGO 5093

KP_DEFINE_CLEANUP(rpmfiles, rpmfilesFree);
KP_DEFINE_CLEANUP(rpmfi, rpmfiFree);

/* A header in the form that it has in a file, without the magic bytes. */
struct blob {
	void *data;
	unsigned int size;
};

static void blob_clear(struct blob *b)
{
	free(b->data);
}

#define _cleanup_blob_ _cleanup_(blob_clear)

static const unsigned char header_magic[8] = { 0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0 };

/* Add a file's bytes to the archive, which wants to have as many as were said. */
static int put_file(rpmfi fi, const struct kp_pkg_file *f, struct kp_err *err)
{
	_cleanup_fd_ FD_t in = NULL;
	struct stat st;

	if (fstat(f->fd, &st) < 0 || lseek(f->fd, 0, SEEK_SET) < 0)
		return kp_err_sys(err, -errno, "read what becomes '%s'", f->path);
	if ((uint64_t)st.st_size != f->size)
		return kp_err_set(err, -EIO, "what becomes '%s' changed its size",
				  f->path);
	in = fdDup(f->fd);
	if (!in || rpmfiArchiveWriteFile(fi, in))
		return kp_err_set(err, -EIO, "put '%s' into the package", f->path);
	return 0;
}

/* The compressed archive, into FD. *ret_size: its size uncompressed. */
static int write_archive(Header h, const struct kp_rpm_payload *p, int fd,
			 uint32_t *ret_size, struct kp_err *err)
{
	_cleanup_fd_ FD_t raw = fdDup(fd), z = NULL;
	_cleanup_(rpmfilesFreep) rpmfiles files =
		rpmfilesNew(NULL, h, 0, RPMFI_KEEPHEADER);
	_cleanup_(rpmfiFreep) rpmfi fi = NULL;
	int rc, ix;

	z = raw ? Fdopen(raw, IO_MODE) : NULL;
	if (!z)
		return kp_err_set(err, -ENOTSUP, "rpm cannot compress with zstd");
	raw = NULL; /* it is z's now */
	fi = rpmfiNewArchiveWriter(z, files);
	while ((ix = rpmfiNext(fi)) >= 0) {
		const struct kp_pkg_file *f = p->files[rpmfiFX(fi)].file;

		rc = f ? put_file(fi, f, err) : 0;
		if (rc < 0)
			return rc;
	}
	if (ix != RPMERR_ITER_END || rpmfiArchiveClose(fi))
		return kp_err_set(err, -EIO, "the archive cannot be written");
	*ret_size = (uint32_t)rpmfiArchiveTell(fi);
	if (Fflush(z) || Ferror(z))
		return kp_err_set(err, -EIO, "the archive cannot be written: %s",
				  Fstrerror(z));
	return 0;
}

/* Hash over a header with its magic bytes, hexadecimal, to be freed. */
static char *hash_header(int algo, const struct blob *b)
{
	DIGEST_CTX ctx = rpmDigestInit(algo, RPMDIGEST_NONE);
	void *hex = NULL;
	size_t len;

	/* Not every hash is allowed everywhere (FIPS). */
	if (!ctx)
		return NULL;
	rpmDigestUpdate(ctx, header_magic, sizeof(header_magic));
	rpmDigestUpdate(ctx, b->data, b->size);
	rpmDigestFinal(ctx, &hex, &len, 1);
	return hex;
}

/* Seal a header with its region tag and put it into file form. */
static int seal(Header *h, rpmTagVal region, struct blob *ret, struct kp_err *err)
{
	*h = headerReload(*h, region);
	if (*h)
		ret->data = headerExport(*h, &ret->size);
	return ret->data ? 0 : kp_err_set(err, -EIO, "rpm cannot make a header");
}

static int make_header(Header *h, int payload_fd, size_t payload_size, struct blob *ret,
		       struct kp_err *err)
{
	_cleanup_free_ char *digest = kp_rpm_sha256_fd(payload_fd, payload_size);
	const char *const digests[] = { digest };
	uint32_t algo = RPM_HASH_SHA256;
	struct rpmtd_s td;

	if (!digest)
		return kp_err_set(err, -EIO, "the archive cannot be read back");
	rpmtdReset(&td);
	td.tag = TAG_PAYLOAD_DIGEST;
	td.type = RPM_STRING_ARRAY_TYPE;
	td.data = (void *)digests;
	td.count = 1;
	headerPut(*h, &td, HEADERPUT_DEFAULT);
	headerPutUint32(*h, TAG_PAYLOAD_DIGEST_ALGO, &algo, 1);
	return seal(h, RPMTAG_HEADERIMMUTABLE, ret, err);
}

static void put_signature(Header sig, rpmTagVal tag, rpmTagType type, const void *data)
{
	struct rpmtd_s td;

	rpmtdReset(&td);
	td.tag = tag;
	td.type = type;
	td.data = (void *)data;
	td.count = 1;
	headerPut(sig, &td, HEADERPUT_DEFAULT);
}

/* The "signature" header: what guards the other one. */
static int make_signature(const struct blob *header, size_t payload_size,
			  uint32_t archive_size, struct blob *ret, struct kp_err *err)
{
	_cleanup_header_ Header sig = headerNew();
	_cleanup_free_ char *sha256 = hash_header(RPM_HASH_SHA256, header);
	_cleanup_free_ char *sha1 = hash_header(RPM_HASH_SHA1, header);
	uint32_t size = (uint32_t)(sizeof(header_magic) + header->size + payload_size);

	put_signature(sig, RPMSIGTAG_SHA256, RPM_STRING_TYPE, sha256);
	/* dnf 4 tells packages apart by it. */
	if (sha1)
		put_signature(sig, RPMSIGTAG_SHA1, RPM_STRING_TYPE, sha1);
	put_signature(sig, RPMSIGTAG_SIZE, RPM_INT32_TYPE, &size);
	put_signature(sig, RPMSIGTAG_PAYLOADSIZE, RPM_INT32_TYPE, &archive_size);
	return seal(&sig, RPMTAG_HEADERSIGNATURES, ret, err);
}

static int put(int fd, const void *data, size_t len, struct kp_err *err)
{
	int rc = kp_write_all(fd, data, len);

	return rc < 0 ? kp_err_sys(err, rc, "write package") : 0;
}

/* Only file(1) and the like still read it; rpm looks at its first bytes. */
static int put_lead(int fd, const char *nevr, struct kp_err *err)
{
	struct {
		unsigned char magic[4], major, minor;
		uint16_t type, arch;
		char name[66];
		uint16_t os, signature;
		char reserved[16];
	} lead = {
		.magic = { 0xed, 0xab, 0xee, 0xdb },
		.major = 3,
		.arch = htons(1),
		.os = htons(1),
		.signature = htons(5), /* a header */
	};

	_Static_assert(sizeof(lead) == 96, "the size of a lead");
	strncpy(lead.name, nevr, sizeof(lead.name) - 1);
	return put(fd, &lead, sizeof(lead), err);
}

static int put_header(int fd, const struct blob *b, bool padded, struct kp_err *err)
{
	static const char zeros[8];
	int rc = put(fd, header_magic, sizeof(header_magic), err);

	if (!rc)
		rc = put(fd, b->data, b->size, err);
	if (!rc && padded)
		rc = put(fd, zeros, (8 - b->size % 8) % 8, err);
	return rc;
}

static int write_package(Header *h, const struct kp_rpm_payload *p, int fd,
			 struct kp_err *err)
{
	_cleanup_blob_ struct blob header = { 0 }, signature = { 0 };
	_cleanup_close_ int payload = memfd_create("package payload", MFD_CLOEXEC);
	_cleanup_free_ char *nevr = NULL;
	uint32_t archive_size = 0;
	struct stat st;
	int rc;

	if (payload < 0)
		return kp_err_sys(err, -errno, "make a buffer for the archive");
	rc = write_archive(*h, p, payload, &archive_size, err);
	if (rc < 0)
		return rc;
	if (fstat(payload, &st) < 0 || lseek(payload, 0, SEEK_SET) < 0)
		return kp_err_sys(err, -errno, "read the archive back");
	rc = make_header(h, payload, (size_t)st.st_size, &header, err);
	if (!rc)
		rc = make_signature(&header, (size_t)st.st_size, archive_size, &signature,
				    err);
	if (rc < 0)
		return rc;
	nevr = headerGetAsString(*h, RPMTAG_NEVR);
	rc = put_lead(fd, nevr, err);
	if (!rc)
		rc = put_header(fd, &signature, true, err);
	if (!rc)
		rc = put_header(fd, &header, false, err);
	if (!rc)
		rc = kp_copy_fd(payload, fd, err);
	if (rc < 0)
		return rc;
	return 0;
}

/* What the database says about a package that is to be written. */
static int look(struct kp_pkgdb *db, const struct kp_pkg *pkg, const char *name,
		bool *ret_require_kernel, struct kp_err *err)
{
	_cleanup_session_ struct kp_rpm_session s = { 0 };
	rpmdbMatchIterator it;
	int rc = kp_rpm_begin(db, &s, err);
	Header h;

	*ret_require_kernel = false;
	if (rc < 0)
		return rc;
	it = rpmtsInitIterator(s.ts, RPMDBI_NAME, name, 0);
	while (!rc && (h = rpmdbNextIterator(it))) {
		_cleanup_free_ char *evr = kp_rpm_header_evr(h);

		if (!kp_rpm_is_ours(h))
			rc = kp_err_set(err, -EEXIST,
					"package %s %s is installed and was not made by "
					"kmodpkg; remove it to let kmodpkg install its "
					"own",
					name, evr);
	}
	rpmdbFreeIterator(it);
	/* A kernel that nobody's package is cannot be required. */
	if (!rc && pkg->depend_on_kernel) {
		it = rpmtsInitIterator(s.ts, RPMDBI_PROVIDENAME, "kernel-uname-r", 0);
		while ((h = rpmdbNextIterator(it))) {
			_cleanup_strv_ char **versions =
				kp_rpm_header_strv(h, RPMTAG_PROVIDEVERSION);

			*ret_require_kernel |= kp_strv_has(versions, pkg->id.kernel);
		}
		rpmdbFreeIterator(it);
	}
	return rc < 0 ? rc : kp_rpm_check(&s, err);
}

int kp_rpm_write(struct kp_pkgdb *db, const struct kp_pkg *pkg, int dir_fd,
		 char **ret_file, char **ret_name, struct kp_err *err)
{
	_cleanup_(kp_rpm_payload_clear) struct kp_rpm_payload payload = { 0 };
	_cleanup_header_ Header h = NULL;
	_cleanup_free_ char *name = kp_rpm_name(pkg->id.module, pkg->id.kernel);
	_cleanup_free_ char *nevra = NULL, *file = NULL;
	_cleanup_pkgfile_ struct kp_pkgfile out = KP_PKGFILE_INIT;
	bool require_kernel;
	int rc;

	rc = look(db, pkg, name, &require_kernel, err);
	if (!rc)
		rc = kp_rpm_payload_load(&payload, pkg, err);
	if (!rc)
		rc = kp_rpm_header_make(pkg, &payload, require_kernel, &h, err);
	if (rc < 0)
		return rc;
	nevra = headerGetAsString(h, RPMTAG_NEVRA);
	file = kp_strf("%s.rpm", nevra);
	rc = kp_pkgfile_create(&out, dir_fd, file, err);
	if (rc < 0)
		return rc;
	headerPutString(h, RPMTAG_PAYLOADFORMAT, "cpio");
	headerPutString(h, RPMTAG_PAYLOADCOMPRESSOR, "zstd");
	headerPutString(h, RPMTAG_PAYLOADFLAGS, LEVEL);
	rc = write_package(&h, &payload, out.fd, err);
	if (!rc)
		rc = kp_pkgfile_publish(&out, ret_file, err);
	if (rc < 0) {
		kp_err_prefix(err, "package %s", name);
		return rc;
	}
	*ret_name = kp_steal(&name);
	return 0;
}
