// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dkms mktarball, ldtarball, generate_mok.
 *
 * An archive has dkms_main_tree/KERNEL/ARCH/{module,log} for what is built, and its source as
 * dkms_source_tree/, or of that only dkms_binaries_only/{dkms.conf,PACKAGE_NAME,PACKAGE_VERSION}.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/dkms.h"
#include "cli/work.h"
#include "lib/adopt.h"
#include "lib/archive.h"
#include "lib/artifact.h"
#include "lib/conf.h"
#include "lib/kernel.h"

#define MAIN "dkms_main_tree"
#define SOURCE "dkms_source_tree"
#define BINARIES "dkms_binaries_only"
/* A longer list of kernels is not spelled out in the name of an archive. */
#define NAME_MAX_KERNELS 200
#define SEARCH_DEPTH 16

/* ---- mktarball ---- */

/* "MODULE-VERSION-kernelK-A-kernelK-A.dkms.tar.gz", to be freed. */
static char *archive_name(const struct dkms *d)
{
	_cleanup_buf_ struct kp_buf kernels = KP_BUF_INIT;

	if (d->source_only)
		kp_buf_adds(&kernels, "source-only");
	for (size_t i = 0; i < d->n_pairs && !d->source_only; i++)
		kp_buf_addf(&kernels, "%skernel%s-%s", i ? "-" : "", d->pairs[i].kernel,
			    d->pairs[i].arch);
	if (kernels.len >= NAME_MAX_KERNELS) {
		kp_buf_reset(&kernels);
		kp_buf_adds(&kernels, "manykernels");
	}
	return kp_strf("%s-%s-%s.dkms.tar.gz", d->module, d->version, kernels.s);
}

static char *build_dir(const struct dkms *d, const char *kernel, const char *arch)
{
	return kp_strf("%s/%s/%s/%s/%s", d->cli->ctx->dkms_tree, d->module, d->version,
		       kernel, arch);
}

static int add_builds(struct dkms *d, struct kp_archive *a)
{
	int rc = kp_archive_add_dir(a, MAIN, &d->cli->err);

	for (size_t i = 0; rc == 0 && i < d->n_pairs && !d->source_only; i++) {
		const struct dkms_pair *p = &d->pairs[i];
		_cleanup_free_ char *dir = build_dir(d, p->kernel, p->arch);
		_cleanup_free_ char *at = kp_strf(MAIN "/%s/%s", p->kernel, p->arch);

		/* Its log lies with the others. */
		rc = kp_archive_add(a, d->cli->ctx->root_fd, dir, at,
				    d->cli->ctx->log_dir, &d->cli->err);
	}
	return rc;
}

static int add_source(struct dkms *d, struct kp_archive *a)
{
	_cleanup_free_ char *dir =
		kp_strf("%s/%s/%s/source", d->cli->ctx->dkms_tree, d->module, d->version);
	_cleanup_free_ char *conf =
		d->conf_file ? kp_strdup(d->conf_file) : kp_path_join(dir, "dkms.conf");
	_cleanup_free_ char *name = kp_strf("%s\n", d->module);
	_cleanup_free_ char *version = kp_strf("%s\n", d->version);
	struct kp_err *err = &d->cli->err;
	int root = d->cli->ctx->root_fd, rc;

	if (!d->binaries_only)
		return kp_archive_add(a, root, dir, SOURCE, NULL, err);
	rc = kp_archive_add(a, root, conf, BINARIES "/dkms.conf", NULL, err);
	if (rc == 0)
		rc = kp_archive_add_text(a, BINARIES "/PACKAGE_NAME", name, err);
	if (rc == 0)
		rc = kp_archive_add_text(a, BINARIES "/PACKAGE_VERSION", version, err);
	return rc;
}

/* Where the archive goes: absolute, to be freed. What is named without a directory lies with the
 * others. */
static char *archive_path(const struct dkms *d)
{
	_cleanup_free_ char *name = archive_name(d), *cwd = NULL;
	const char *named = d->archive;

	if (!named || !strchr(named, '/'))
		return kp_strf("%s/%s/%s/tarball/%s", d->cli->ctx->dkms_tree, d->module,
			       d->version, named ? named : name);
	if (*named == '/')
		return kp_strdup(named);
	cwd = getcwd(NULL, 0);
	return kp_path_join(cwd ? cwd : "/", named);
}

static int write_archive(struct dkms *d, int fd)
{
	_cleanup_(kp_archive_freep) struct kp_archive *a = NULL;
	int rc;

	rc = kp_archive_new(fd, &a, &d->cli->err);
	if (rc == 0)
		rc = add_builds(d, a);
	if (rc == 0)
		rc = add_source(d, a);
	if (rc == 0)
		rc = kp_archive_end(a, &d->cli->err);
	return rc;
}

static int flush(struct dkms *d, const char *path)
{
	_cleanup_close_ int fd = kp_open_in(d->cli->ctx->root_fd, path, O_RDONLY, 0);
	int rc = fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;

	return rc < 0 ? kp_err_sys(&d->cli->err, rc, "writing %s", path) : 0;
}

static int check_builds(struct dkms *d)
{
	int rc;

	if (!d->module || !d->version)
		return cli_fail(d->cli, DKMS_USAGE, "name the module: %s M/V",
				d->action->name);
	if (d->source_only && d->binaries_only)
		return cli_fail(d->cli, DKMS_ARCHIVE_ADDED,
				"--source-only and --binaries-only exclude each other");
	switch (dkms_registration(d->cli->ctx, d->module, d->version)) {
	case DKMS_IS_BROKEN:
		return dkms_broken(d);
	case DKMS_IS_UNKNOWN:
		return cli_fail(d->cli, DKMS_UNKNOWN, "%s/%s is not in the tree",
				d->module, d->version);
	default:
		break;
	}
	rc = d->all_kernels ? dkms_take_all(d, false) : 0;
	if (rc < 0)
		return rc;
	if (!d->n_pairs && !d->source_only)
		return cli_fail(d->cli, DKMS_NOT_BUILT,
				"%s/%s is not built for any kernel", d->module,
				d->version);
	for (size_t i = 0; i < d->n_pairs && !d->source_only; i++) {
		struct dkms_pair *p = &d->pairs[i];
		_cleanup_free_ char *dir = NULL;

		if (!p->arch)
			p->arch = kp_strdup(d->arch ? d->arch : d->cli->ctx->arch);
		dir = build_dir(d, p->kernel, p->arch);
		if (!kp_is_dir_in(d->cli->ctx->root_fd, dir))
			return cli_fail(d->cli, DKMS_NOT_BUILT,
					"%s/%s is not built for %s (%s)", d->module,
					d->version, p->kernel, p->arch);
	}
	return 0;
}

int dkms_mktarball(struct dkms *d)
{
	_cleanup_free_ char *path = NULL, *dir = NULL, *new = NULL;
	int root = d->cli->ctx->root_fd, rc = check_builds(d);
	_cleanup_close_ int fd = -1;

	if (rc)
		return rc;
	path = archive_path(d);
	dir = kp_path_dir(path);
	new = kp_strf("%s.new", path);
	rc = kp_mkdir_in(root, dir, 0755, &d->cli->err);
	if (rc == 0) {
		(void)kp_unlink_in(root, new);
		rc = fd = kp_open_in(root, new, O_WRONLY | O_CREAT | O_EXCL, 0644);
	}
	if (rc < 0)
		return cli_fail(d->cli, DKMS_NOT_WRITABLE, "%s cannot be written: %s",
				dir, strerror(-rc));
	rc = write_archive(d, fd);
	if (rc == 0)
		rc = kp_archive_compress(d->cli->ctx, new, path, &d->cli->err);
	if (rc == 0)
		rc = flush(d, new);
	if (rc == 0)
		rc = kp_rename_in(root, new, path);
	if (rc < 0) {
		_cleanup_free_ char *why = kp_strdup(kp_err_text(&d->cli->err, rc));

		(void)kp_unlink_in(root, new);
		return cli_fail(d->cli, DKMS_NOT_BUILT, "%s: %s", path, why);
	}
	kp_info("wrote %s", path);
	return DKMS_OK;
}

/* ---- ldtarball ---- */

struct load {
	struct dkms *d;
	char *dir; /* absolute: where the archive was unpacked */
	int fd;
};

static void load_clear(struct load *l)
{
	if (l->fd >= 0)
		close(l->fd);
	if (l->dir)
		(void)kp_rm_rf_in(l->d->cli->ctx->root_fd, l->dir, NULL);
	free(l->dir);
}

static int unpack(struct load *l)
{
	struct cli *cli = l->d->cli;
	_cleanup_close_ int in = -1;
	int root = cli->ctx->root_fd, rc;

	/* The caller's path, not one of --root. */
	in = open(l->d->archive, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return cli_fail(cli, DKMS_NO_ARCHIVE, "%s: %s", l->d->archive,
				strerror(errno));
	l->dir = kp_strf("%s/archive-%d", cli->ctx->work_dir, (int)getpid());
	rc = kp_rm_rf_in(root, l->dir, &cli->err);
	if (rc == 0)
		rc = kp_mkdir_in(root, l->dir, 0700, &cli->err);
	if (rc < 0)
		return rc;
	l->fd = kp_open_in(root, l->dir, O_RDONLY | O_DIRECTORY, 0);
	if (l->fd < 0)
		return kp_err_sys(&cli->err, l->fd, "opening %s", l->dir);
	rc = kp_archive_unpack(cli->ctx, in, l->fd, &cli->err);
	if (rc == -EINVAL || rc == -EFBIG) {
		_cleanup_free_ char *why = kp_strdup(cli->err.text);

		return cli_fail(cli, DKMS_BAD_ARCHIVE, "%s: %s", l->d->archive, why);
	}
	return rc;
}

/* The directory below AT ("/...") that has a dkms.conf, the first by name and not deeper than
 * need be; to be freed, NULL: none. */
static char *find_conf(int fd, const char *at, int depth)
{
	_cleanup_free_ char *conf = kp_path_join(at, "dkms.conf");
	_cleanup_strv_ char **names = NULL;

	if (kp_exists_in(fd, conf))
		return kp_strdup(at);
	(void)kp_list_in(fd, at, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *below = kp_path_join(at, *name);
		struct stat st;
		char *found = NULL;

		if (depth < SEARCH_DEPTH && kp_lstat_in(fd, below, &st) == 0 &&
		    S_ISDIR(st.st_mode))
			found = find_conf(fd, below, depth + 1);
		if (found)
			return found;
	}
	return NULL;
}

static int add_tree_at(struct load *l, const char *at)
{
	_cleanup_close_ int from = kp_open_in(l->fd, at, O_RDONLY | O_DIRECTORY, 0);

	if (from < 0)
		return kp_err_sys(&l->d->cli->err, from, "opening %s", at);
	return cli_add_tree(l->d->cli, from, l->d->archive,
			    l->d->force ? CLI_ADD_REPLACE : CLI_ADD_MERGE);
}

/* Fill d->module and d->version from the conf in AT, "" where there is none. */
static int identify(struct load *l, const char *at)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	_cleanup_free_ char *dir = kp_path_join(l->dir, at);
	struct kp_conf_env env = { .source_dir = dir };
	struct dkms *d = l->d;
	int rc = kp_conf_load(d->cli->ctx, &env, &conf, &d->cli->err);

	if (rc < 0)
		return rc;
	free(d->module);
	free(d->version);
	d->module = kp_strdup(conf->name);
	d->version = kp_strdup(conf->version);
	return 0;
}

/* Binaries need a source that says what they are: the system's, else the conf alone. They can be
 * installed and removed like any others; what they cannot is be built for another kernel. */
static int add_binaries(struct load *l)
{
	struct dkms *d = l->d;
	_cleanup_free_ char *name = kp_strf("%s-%s", d->module, d->version);
	_cleanup_free_ char *dir = kp_path_join(d->cli->ctx->source_tree, name);

	if (!kp_is_dir_in(d->cli->ctx->root_fd, dir))
		return add_tree_at(l, "/" BINARIES);
	if (dkms_registration(d->cli->ctx, d->module, d->version) == DKMS_IS_ADDED)
		return 0;
	return cli_register(d->cli, d->module, d->version);
}

static int load_source(struct load *l)
{
	static const char *const places[] = { "/" SOURCE, "/" BINARIES };
	struct dkms *d = l->d;

	for (size_t i = 0; i < KP_ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *conf = kp_path_join(places[i], "dkms.conf");

		if (!kp_exists_in(l->fd, conf))
			continue;
		if (identify(l, places[i]) < 0) {
			cli_name_tree(d->cli, l->dir, d->archive);
			kp_warn("%s of the archive: %s", conf, d->cli->err.text);
			d->cli->err = (struct kp_err)KP_ERR_INIT;
			continue;
		}
		if (!d->force && cli_is_registered(d->cli, d->module, d->version))
			return cli_fail(d->cli, DKMS_ARCHIVE_ADDED,
					"%s/%s is in the tree already", d->module,
					d->version);
		return i ? add_binaries(l) : add_tree_at(l, places[0]);
	}
	return cli_fail(d->cli, DKMS_BAD_ARCHIVE,
			"%s: no valid dkms.conf in " SOURCE " or " BINARIES, d->archive);
}

/* Put one build into the tree; what is known of its kernel decides whether it counts. */
static int load_build(struct load *l, const char *from, const char *kernel,
		      const char *arch)
{
	struct dkms *d = l->d;
	struct kp_ctx *ctx = d->cli->ctx;
	_cleanup_free_ char *to = build_dir(d, kernel, arch);
	_cleanup_close_ int fd = -1;
	struct kp_err why = KP_ERR_INIT;
	int rc;

	if (kp_is_dir_in(ctx->root_fd, to) && !d->force) {
		kp_warn("%s is there already, skipping", to);
		return 0;
	}
	rc = kp_record_drop(ctx, d->module, d->version, kernel, &d->cli->err);
	if (rc == 0)
		rc = kp_rm_rf_in(ctx->root_fd, to, &d->cli->err);
	if (rc == 0)
		rc = kp_mkdir_in(ctx->root_fd, to, 0755, &d->cli->err);
	if (rc < 0)
		return rc;
	fd = kp_open_in(ctx->root_fd, to, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return kp_err_sys(&d->cli->err, fd, "opening %s", to);
	rc = kp_copy_tree(l->fd, from, fd, (uid_t)-1, (gid_t)-1, &d->cli->err);
	if (rc < 0)
		return rc;
	kp_info("loaded %s/%s for %s (%s)", d->module, d->version, kernel, arch);
	if (strcmp(arch, ctx->arch) != 0)
		return 0;
	rc = kp_adopt_build(ctx, d->module, d->version, kernel, &why);
	if (rc < 0 && rc != -ENOENT)
		kp_warn("it is to be built anew: %s", kp_err_text(&why, rc));
	return 0;
}

static int load_builds(struct load *l)
{
	_cleanup_strv_ char **kernels = NULL;
	int rc = 0;

	(void)kp_list_in(l->fd, "/" MAIN, &kernels);
	kp_strv_foreach(k, kernels) {
		_cleanup_free_ char *at = kp_path_join("/" MAIN, *k);
		_cleanup_strv_ char **arches = NULL;

		/* "source", "build": not those of the tree. */
		if (!kp_kernel_is_release(*k) || !kp_name_ok(*k)) {
			kp_warn("%s of the archive is no kernel's, skipping", at);
			continue;
		}
		(void)kp_list_in(l->fd, at, &arches);
		kp_strv_foreach(a, arches) {
			_cleanup_free_ char *from = kp_path_join(at, *a);

			if (rc || !kp_is_dir_in(l->fd, from) || !kp_name_ok(*a))
				continue;
			rc = load_build(l, from, *k, *a);
		}
	}
	return rc;
}

int dkms_ldtarball(struct dkms *d)
{
	_cleanup_(load_clear) struct load l = { .d = d, .fd = -1 };
	_cleanup_free_ char *at = NULL;
	int rc;

	if (!d->archive)
		return cli_fail(d->cli, DKMS_NO_ARCHIVE, "name the archive: %s FILE",
				d->action->name);
	rc = unpack(&l);
	if (rc)
		return rc;
	if (kp_is_dir_in(l.fd, "/" MAIN)) {
		rc = load_source(&l);
		return rc ? rc : load_builds(&l);
	}
	at = find_conf(l.fd, "/", 0);
	if (!at)
		return cli_fail(d->cli, DKMS_ARCHIVE_NO_CONF,
				"%s: there is no dkms.conf in it", d->archive);
	return add_tree_at(&l, at);
}

/* ---- generate_mok ---- */

int dkms_generate_mok(struct dkms *d)
{
	struct kp_ctx *ctx = d->cli->ctx;
	_cleanup_free_ char *key = NULL, *cert = NULL;
	const char *running = kp_kernel_running();

	if (kp_sign_key(ctx, running ? running : "", &key, &cert, NULL) == 0) {
		kp_info("there is a key already: '%s', certificate '%s'", key, cert);
		return DKMS_OK;
	}
	return kp_mok_generate(ctx, STDERR_FILENO, &d->cli->err);
}
