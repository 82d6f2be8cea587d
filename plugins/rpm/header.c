// SPDX-License-Identifier: GPL-2.0-or-later
/* The header of a package: names, dependencies, files. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <rpm/rpmcrypto.h>
#include <rpm/rpmds.h>
#include <rpm/rpmfi.h>
#include <rpm/rpmfiles.h>
#include <rpm/rpmlib.h>
#include <rpm/rpmtd.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "rpm.h"

#define RELEASE "1"

/* ---- the files ---- */

void kp_rpm_payload_clear(struct kp_rpm_payload *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->files[i].dir);
		free(p->files[i].base);
	}
	free(p->files);
}

static int by_path(const void *va, const void *vb)
{
	const struct kp_rpm_payload_file *a = va, *b = vb;
	_cleanup_free_ char *pa = kp_strf("%s%s", a->dir, a->base),
			    *pb = kp_strf("%s%s", b->dir, b->base);

	return strcmp(pa, pb);
}

static void add(struct kp_rpm_payload *p, size_t *alloc, const char *path, size_t len,
		const struct kp_pkg_file *file)
{
	_cleanup_free_ char *whole = kp_strndup(path, len);
	const char *base = strrchr(whole, '/') + 1;

	KP_GROW(p->files, p->n, *alloc);
	p->files[p->n++] = (struct kp_rpm_payload_file){
		.dir = kp_strndup(whole, (size_t)(base - whole)),
		.base = kp_strdup(base),
		.file = file,
	};
}

static bool has_dir(const struct kp_rpm_payload *p, const char *path, size_t len)
{
	for (size_t i = 0; i < p->n; i++) {
		size_t dir = strlen(p->files[i].dir);

		if (!p->files[i].file && dir + strlen(p->files[i].base) == len &&
		    !memcmp(p->files[i].dir, path, dir) &&
		    !memcmp(p->files[i].base, path + dir, len - dir))
			return true;
	}
	return false;
}

/* The directories above a file that are the kernel's own, /lib/modules/KERNEL and what is below:
 * so that they go with the last package that has something in them. */
static void add_dirs(struct kp_rpm_payload *p, size_t *alloc, const char *path,
		     const char *kernel)
{
	bool below = false;

	for (const char *s = path; (s = strchr(s + 1, '/'));) {
		const char *name = s;

		while (name[-1] != '/')
			name--;
		below |= strlen(kernel) == (size_t)(s - name) &&
			 !memcmp(name, kernel, strlen(kernel));
		if (below && !has_dir(p, path, (size_t)(s - path)))
			add(p, alloc, path, (size_t)(s - path), NULL);
	}
}

int kp_rpm_payload_load(struct kp_rpm_payload *p, const struct kp_pkg *pkg,
			struct kp_err *err)
{
	uint64_t total = 0;
	size_t alloc = 0;

	for (size_t i = 0; i < pkg->n_files; i++) {
		const char *path = pkg->files[i].path;

		if (!kp_path_ok(path))
			return kp_err_set(err, -EINVAL,
					  "'%s' is no usable path for a package", path);
		add_dirs(p, &alloc, path, pkg->id.kernel);
		add(p, &alloc, path, strlen(path), &pkg->files[i]);
		total += pkg->files[i].size;
	}
	/* Room for the archive's own headers. */
	if (total > UINT32_MAX / 2)
		return kp_err_set(err, -EFBIG, "the files of a package may have 2 GiB");
	if (p->n)
		qsort(p->files, p->n, sizeof(*p->files), by_path);
	for (size_t i = 1; i < p->n; i++)
		if (!by_path(&p->files[i - 1], &p->files[i]))
			return kp_err_set(err, -EINVAL, "'%s%s' is there twice",
					  p->files[i].dir, p->files[i].base);
	return 0;
}

/* ---- putting things in ---- */

static void put_strv(Header h, rpmTagVal tag, const char *const *v, size_t n)
{
	struct rpmtd_s td;

	rpmtdReset(&td);
	td.tag = tag;
	td.type = RPM_STRING_ARRAY_TYPE;
	td.data = (void *)v;
	td.count = (rpm_count_t)n;
	headerPut(h, &td, HEADERPUT_DEFAULT);
}

struct dep {
	char *name, *version; /* version NULL: any */
	uint32_t flags;
};

struct deps {
	struct dep *list;
	size_t n, alloc;
};

static void deps_clear(struct deps *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->list[i].name);
		free(d->list[i].version);
	}
	free(d->list);
}

static void deps_add(struct deps *d, const char *name, const char *version,
		     uint32_t flags)
{
	KP_GROW(d->list, d->n, d->alloc);
	d->list[d->n++] = (struct dep){ kp_strdup(name), kp_strdup(version), flags };
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct dep *)a)->name, ((const struct dep *)b)->name);
}

/* rpm searches in them by halves. */
static void deps_put(struct deps *d, Header h, rpmTagVal name, rpmTagVal version,
		     rpmTagVal flags)
{
	const char **names = kp_calloc(d->n, sizeof(*names));
	const char **versions = kp_calloc(d->n, sizeof(*versions));
	uint32_t *senses = kp_calloc(d->n, sizeof(*senses));

	qsort(d->list, d->n, sizeof(*d->list), by_name);
	for (size_t i = 0; i < d->n; i++) {
		names[i] = d->list[i].name;
		versions[i] = d->list[i].version ?: "";
		senses[i] = d->list[i].flags;
	}
	put_strv(h, name, names, d->n);
	put_strv(h, version, versions, d->n);
	headerPutUint32(h, flags, senses, (rpm_count_t)d->n);
	free(names);
	free(versions);
	free(senses);
}

static void put_provides(Header h, const struct kp_pkg *pkg, const char *name,
			 const char *evr)
{
	_cleanup_(deps_clear) struct deps d = { 0 };
	_cleanup_free_ char *capability = kp_rpm_capability(pkg->id.module);
	_cleanup_strv_ char **identity = kp_rpm_identity_provides(&pkg->id);

	deps_add(&d, name, evr, RPMSENSE_EQUAL);
	/* What Fedora's packages of modules provide. */
	deps_add(&d, capability, evr, RPMSENSE_EQUAL);
	deps_add(&d, "kernel-modules-for-kernel", pkg->id.kernel, RPMSENSE_EQUAL);
	kp_strv_foreach(i, identity)
		deps_add(&d, *i, NULL, RPMSENSE_ANY);
	deps_put(&d, h, RPMTAG_PROVIDENAME, RPMTAG_PROVIDEVERSION, RPMTAG_PROVIDEFLAGS);
}

static void put_requires(Header h, const struct kp_pkg *pkg, bool require_kernel)
{
	/* What a reader must know of the file's form; names and versions are rpm's. */
	static const char *const features[][2] = {
		{ "rpmlib(CompressedFileNames)", "3.0.4-1" },
		{ "rpmlib(FileDigests)", "4.6.0-1" },
		{ "rpmlib(PayloadFilesHavePrefix)", "4.0-1" },
		{ "rpmlib(PayloadIsZstd)", "5.4.18-1" },
	};
	_cleanup_(deps_clear) struct deps d = { 0 };

	for (size_t i = 0; i < KP_ARRAY_SIZE(features); i++)
		deps_add(&d, features[i][0], features[i][1],
			 RPMSENSE_RPMLIB | RPMSENSE_LESS | RPMSENSE_EQUAL);
	if (require_kernel)
		deps_add(&d, "kernel-uname-r", pkg->id.kernel, RPMSENSE_EQUAL);
	deps_put(&d, h, RPMTAG_REQUIRENAME, RPMTAG_REQUIREVERSION, RPMTAG_REQUIREFLAGS);
}

/* ---- the arrays that describe the files ---- */

char *kp_rpm_sha256_fd(int fd, size_t n)
{
	DIGEST_CTX ctx = rpmDigestInit(RPM_HASH_SHA256, RPMDIGEST_NONE);
	_cleanup_free_ char *buf = kp_malloc(128 * 1024);
	void *hex = NULL;
	size_t done = 0, len;
	ssize_t r = 1;

	while (done < n && r > 0) {
		r = pread(fd, buf, 128 * 1024, (off_t)done);
		if (r < 0 && errno == EINTR) {
			r = 1;
			continue;
		}
		if (r > 0) {
			rpmDigestUpdate(ctx, buf, (size_t)r);
			done += (size_t)r;
		}
	}
	rpmDigestFinal(ctx, &hex, &len, 1);
	if (done == n)
		return hex;
	free(hex);
	return NULL;
}

/* One value for each file; rpm wants them all. */
struct columns {
	const char **base, **digest, **user, **empty;
	char **dirs;
	uint32_t *dir, *size, *mtime, *zero, *device, *inode, *verify;
	uint16_t *mode, *rdev;
};

static void columns_clear(struct columns *c)
{
	free(c->base);
	for (size_t i = 0; c->digest && c->digest[i]; i++)
		if (*c->digest[i])
			free((char *)c->digest[i]);
	free(c->digest);
	free(c->user);
	free(c->empty);
	kp_strv_free(c->dirs);
	free(c->dir);
	free(c->size);
	free(c->mtime);
	free(c->zero);
	free(c->device);
	free(c->inode);
	free(c->verify);
	free(c->mode);
	free(c->rdev);
}

static void columns_alloc(struct columns *c, size_t n)
{
	c->base = kp_calloc(n, sizeof(*c->base));
	c->digest = kp_calloc(n + 1, sizeof(*c->digest));
	c->user = kp_calloc(n, sizeof(*c->user));
	c->empty = kp_calloc(n, sizeof(*c->empty));
	c->dir = kp_calloc(n, sizeof(*c->dir));
	c->size = kp_calloc(n, sizeof(*c->size));
	c->mtime = kp_calloc(n, sizeof(*c->mtime));
	c->zero = kp_calloc(n, sizeof(*c->zero));
	c->device = kp_calloc(n, sizeof(*c->device));
	c->inode = kp_calloc(n, sizeof(*c->inode));
	c->verify = kp_calloc(n, sizeof(*c->verify));
	c->mode = kp_calloc(n, sizeof(*c->mode));
	c->rdev = kp_calloc(n, sizeof(*c->rdev));
}

/* Index of a directory in their list, in which the last one was added last. */
static uint32_t dir_index(struct columns *c, const char *dir)
{
	size_t n = kp_strv_len(c->dirs);

	for (size_t i = n; i > 0; i--)
		if (!strcmp(c->dirs[i - 1], dir))
			return (uint32_t)(i - 1);
	kp_strv_add(&c->dirs, dir);
	return (uint32_t)n;
}

static int columns_fill(struct columns *c, const struct kp_rpm_payload *p, int64_t mtime,
			struct kp_err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct kp_rpm_payload_file *f = &p->files[i];

		c->base[i] = f->base;
		c->dir[i] = dir_index(c, f->dir);
		c->user[i] = "root";
		c->empty[i] = "";
		c->mtime[i] = (uint32_t)mtime;
		c->device[i] = 1;
		c->inode[i] = (uint32_t)i + 1;
		if (!f->file) {
			/* Others have it too, and may have it otherwise. */
			c->verify[i] = RPMVERIFY_NONE;
			c->mode[i] = S_IFDIR | 0755;
			c->digest[i] = "";
			continue;
		}
		c->verify[i] = ~0U;
		c->mode[i] = (uint16_t)(S_IFREG | (f->file->mode & 07777));
		c->size[i] = (uint32_t)f->file->size;
		c->digest[i] = kp_rpm_sha256_fd(f->file->fd, f->file->size);
		if (!c->digest[i])
			return kp_err_set(err, -EIO, "what becomes '%s' cannot be read",
					  f->file->path);
	}
	return 0;
}

static int put_files(Header h, const struct kp_rpm_payload *p, int64_t mtime,
		     struct kp_err *err)
{
	_cleanup_(columns_clear) struct columns c = { 0 };
	uint32_t algo = RPM_HASH_SHA256, total = 0;
	rpm_count_t n = (rpm_count_t)p->n;
	int rc;

	columns_alloc(&c, p->n);
	rc = columns_fill(&c, p, mtime, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p->n; i++)
		total += c.size[i];
	put_strv(h, RPMTAG_BASENAMES, c.base, p->n);
	put_strv(h, RPMTAG_DIRNAMES, (const char *const *)c.dirs, kp_strv_len(c.dirs));
	headerPutUint32(h, RPMTAG_DIRINDEXES, c.dir, n);
	headerPutUint32(h, RPMTAG_FILESIZES, c.size, n);
	headerPutUint16(h, RPMTAG_FILEMODES, c.mode, n);
	headerPutUint16(h, RPMTAG_FILERDEVS, c.rdev, n);
	headerPutUint32(h, RPMTAG_FILEMTIMES, c.mtime, n);
	put_strv(h, RPMTAG_FILEDIGESTS, c.digest, p->n);
	put_strv(h, RPMTAG_FILELINKTOS, c.empty, p->n);
	headerPutUint32(h, RPMTAG_FILEFLAGS, c.zero, n);
	put_strv(h, RPMTAG_FILEUSERNAME, c.user, p->n);
	put_strv(h, RPMTAG_FILEGROUPNAME, c.user, p->n);
	headerPutUint32(h, RPMTAG_FILEVERIFYFLAGS, c.verify, n);
	headerPutUint32(h, RPMTAG_FILEDEVICES, c.device, n);
	headerPutUint32(h, RPMTAG_FILEINODES, c.inode, n);
	put_strv(h, RPMTAG_FILELANGS, c.empty, p->n);
	headerPutUint32(h, RPMTAG_FILEDIGESTALGO, &algo, 1);
	headerPutUint32(h, RPMTAG_SIZE, &total, 1);
	return 0;
}

/* ---- the whole ---- */

static void put_description(Header h, const struct kp_pkg *pkg)
{
	static const char *const locales[] = { "C" };
	_cleanup_free_ char *text =
		kp_strf("Built on this machine by kmodpkg from the module source %s %s\n"
			"for the kernel %s. It comes and goes with them; to do without\n"
			"it, use \"kmodpkg uninstall\".",
			pkg->id.module, pkg->id.version, pkg->id.kernel);

	put_strv(h, RPMTAG_HEADERI18NTABLE, locales, 1);
	headerAddI18NString(h, RPMTAG_SUMMARY, pkg->summary, NULL);
	headerAddI18NString(h, RPMTAG_DESCRIPTION, text, NULL);
	headerAddI18NString(h, RPMTAG_GROUP, "System Environment/Kernel", NULL);
}

int kp_rpm_header_make(const struct kp_pkg *pkg, const struct kp_rpm_payload *p,
		       bool require_kernel, Header *ret, struct kp_err *err)
{
	_cleanup_header_ Header h = headerNew();
	_cleanup_free_ char *name = kp_rpm_name(pkg->id.module, pkg->id.kernel);
	_cleanup_free_ char *version = kp_rpm_version(pkg->id.version);
	_cleanup_free_ char *evr = kp_strf("%s-" RELEASE, version);
	_cleanup_free_ char *source = kp_strf("%s-%s.src.rpm", name, evr);
	_cleanup_free_ char *platform = NULL;
	const char *arch = NULL, *os = NULL;
	uint32_t time = (uint32_t)pkg->mtime;
	int rc;

	/* rpm's own name for this machine: what it lets us install. */
	rpmGetArchInfo(&arch, NULL);
	rpmGetOsInfo(&os, NULL);
	platform = kp_strf("%s-%s", arch, os);
	headerPutString(h, RPMTAG_NAME, name);
	headerPutString(h, RPMTAG_VERSION, version);
	headerPutString(h, RPMTAG_RELEASE, RELEASE);
	put_description(h, pkg);
	headerPutUint32(h, RPMTAG_BUILDTIME, &time, 1);
	headerPutString(h, RPMTAG_BUILDHOST, "localhost");
	headerPutString(h, RPMTAG_VENDOR, "kmodpkg on this machine");
	headerPutString(h, RPMTAG_LICENSE, pkg->license ? pkg->license : "unknown");
	headerPutString(h, RPMTAG_OS, os);
	headerPutString(h, RPMTAG_ARCH, arch);
	headerPutString(h, RPMTAG_PLATFORM, platform);
	headerPutString(h, RPMTAG_RPMVERSION, RPMVERSION);
	/* Without it, it would be a source package. */
	headerPutString(h, RPMTAG_SOURCERPM, source);
	headerPutString(h, RPMTAG_ENCODING, "utf-8");
	put_provides(h, pkg, name, evr);
	put_requires(h, pkg, require_kernel);
	rc = put_files(h, p, pkg->mtime, err);
	if (rc < 0)
		return rc;
	*ret = kp_steal(&h);
	return 0;
}
