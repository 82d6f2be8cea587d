// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/payload.h"
#include "base/str.h"

#define BLOCK (128 * 1024)

void kp_payload_clear(struct kp_payload *p)
{
	free(p->files);
	kp_strv_free(p->dirs);
	*p = (struct kp_payload){ 0 };
}

static int by_path(const void *a, const void *b)
{
	return strcmp((*(const struct kp_pkg_file *const *)a)->path,
		      (*(const struct kp_pkg_file *const *)b)->path);
}

static void add_dirs(struct kp_payload *p, const char *path)
{
	for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
		_cleanup_free_ char *dir = kp_strndup(path, (size_t)(s - path) + 1);

		if (!kp_strv_has(p->dirs, dir))
			kp_strv_take(&p->dirs, kp_steal(&dir));
	}
}

int kp_payload_load(const struct kp_pkg *pkg, struct kp_payload *ret, struct kp_err *err)
{
	_cleanup_(kp_payload_clear) struct kp_payload p = { .pkg = pkg };

	p.files = kp_calloc(pkg->n_files + 1, sizeof(*p.files));
	for (size_t i = 0; i < pkg->n_files; i++)
		p.files[i] = &pkg->files[i];
	qsort(p.files, pkg->n_files, sizeof(*p.files), by_path);
	for (size_t i = 0; i < pkg->n_files; i++) {
		const char *path = p.files[i]->path;

		if (!kp_path_ok(path))
			return kp_err_set(err, -EINVAL,
					  "'%s' is no usable path for a package", path);
		if (i && !strcmp(path, p.files[i - 1]->path))
			return kp_err_set(err, -EINVAL, "'%s' is there twice", path);
		add_dirs(&p, path + 1);
	}
	kp_strv_sort(p.dirs);
	*ret = p;
	p = (struct kp_payload){ 0 };
	return 0;
}

uint64_t kp_payload_size(const struct kp_payload *p)
{
	uint64_t size = 0;

	for (size_t i = 0; i < p->pkg->n_files; i++)
		size += p->pkg->files[i].size;
	return size;
}

int kp_payload_read(const struct kp_pkg_file *f, kp_payload_fn *fn, void *data,
		    struct kp_err *err)
{
	_cleanup_free_ char *buf = kp_malloc(BLOCK);
	uint64_t offset = 0;

	for (;;) {
		ssize_t n = pread(f->fd, buf, BLOCK, (off_t)offset);
		int rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kp_err_sys(err, -errno, "read what becomes '%s'", f->path);
		if (offset + (uint64_t)n > f->size || (!n && offset != f->size))
			return kp_err_set(err, -EIO, "what becomes '%s' changed its size",
					  f->path);
		if (!n)
			return 0;
		rc = fn(data, buf, (size_t)n, err);
		if (rc < 0)
			return rc;
		offset += (uint64_t)n;
	}
}
