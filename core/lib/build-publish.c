// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From collected files to <dkms_tree>/MODULE/VERSION/KERNEL/ARCH: each module is stripped,
 * checked, signed and compressed in the stage directory beside it, which then takes its place in
 * one rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/build-job.h"

/* Run a step over all products. */
static int each(struct kp_build_work *w, const char *stage,
		int (*step)(struct kp_build_work *w, const struct kp_sandbox *sb,
			    struct kp_product *p, struct kp_err *err),
		struct kp_err *err)
{
	const struct kp_sandbox sb = { .slot = w->slot, .timeout_s = 600 };
	int rc = kp_build_stage(w, stage, err);

	for (size_t i = 0; !rc && i < w->n_products; i++) {
		rc = step(w, &sb, &w->products[i], err);
		if (rc < 0)
			kp_build_log_line(&w->log, "%s: %s", stage, kp_err_text(err, rc));
	}
	return rc;
}

static int check(struct kp_build_work *w, const struct kp_sandbox *sb,
		 struct kp_product *p, struct kp_err *err)
{
	_cleanup_(kp_artifact_facts_clear) struct kp_artifact_facts facts = { 0 };
	_cleanup_strv_ char **symvers = kp_strv_dup(w->symvers);
	struct kp_artifact_look look = {
		.ko = p->path,
		.name = p->module->built_name,
		.kernel = w->job->kernel,
		.kb = &w->kb,
		.log = w->log.path,
	};
	int rc;

	kp_strv_foreach(own, w->own_symvers)
		kp_strv_add(&symvers, *own);
	look.symvers = symvers;
	rc = kp_artifact_check(w->ctx, sb, &look, &facts, err);
	if (facts.note)
		kp_build_log_line(&w->log, "%s", facts.note);
	if (facts.license && !kp_strv_has(w->licenses, facts.license))
		kp_strv_add(&w->licenses, facts.license);
	if (rc == -ENOEXEC) {
		w->exit_code = KP_EXIT_MAKE;
		w->recipe = true;
	}
	return rc;
}

static int strip(struct kp_build_work *w, const struct kp_sandbox *sb,
		 struct kp_product *p, struct kp_err *err)
{
	struct kp_err own = KP_ERR_INIT;
	int rc;

	if (!p->module->strip || w->ctx->config.debug_info)
		return 0;
	rc = kp_artifact_strip(w->ctx, sb, p->path, &w->kb, w->log.fd, err);
	/* strip says of what is no module only that it failed; the check knows what it is. */
	if (rc == -ECHILD && check(w, sb, p, &own) == -ENOEXEC)
		rc = kp_err_set(err, -ENOEXEC, "%s", own.text);
	return rc;
}

static int sign(struct kp_build_work *w, const struct kp_sandbox *sb,
		struct kp_product *p, struct kp_err *err)
{
	_cleanup_free_ char *why = NULL;
	int rc;

	(void)sb; /* the key is root's */
	rc = kp_artifact_sign(w->ctx, p->path, w->job->kernel, &w->kb, w->log.fd,
			      &p->is_signed, &why, err);
	if (why)
		kp_build_log_line(&w->log, "%s.ko is not signed: %s",
				  p->module->dest_name, why);
	return rc;
}

static int compress(struct kp_build_work *w, const struct kp_sandbox *sb,
		    struct kp_product *p, struct kp_err *err)
{
	char *path = NULL;
	int rc;

	rc = kp_artifact_compress(w->ctx, sb, p->path, w->kb.compression, w->log.fd,
				  &path, err);
	if (rc < 0)
		return rc;
	free(p->path);
	p->path = path;
	return 0;
}

int kp_publish_check(struct kp_build_work *w, struct kp_err *err)
{
	int rc;

	kp_build_log_begin(&w->log, "Stripping and checking", NULL);
	rc = each(w, "strip", strip, err);
	if (!rc)
		rc = each(w, "check", check, err);
	/* Each looks at one file: it is the file that keeps them. */
	if (rc == -ETIME || rc == -EDQUOT)
		w->recipe = true;
	kp_build_log_end(&w->log, rc < 0);
	return rc;
}

int kp_publish_finish(struct kp_build_work *w, struct kp_err *err)
{
	int rc;

	kp_build_log_begin(&w->log, "Signing and compressing", NULL);
	rc = each(w, "sign", sign, err);
	if (!rc)
		rc = each(w, "compress", compress, err);
	kp_build_log_end(&w->log, rc < 0);
	return rc;
}

/* ---- the record ---- */

static int describe(struct kp_build_work *w, const struct kp_product *p,
		    struct kp_record_file *f, struct kp_err *err)
{
	const char *dest = kp_kernel_dest(w->ctx), *name = strrchr(p->path, '/') + 1;
	_cleanup_close_ int fd =
		kp_open_in(w->ctx->root_fd, p->path, O_RDONLY | O_NOFOLLOW, 0);
	struct stat st;
	char hash[KP_HASH_HEX];
	int rc;

	if (fd < 0)
		return kp_err_sys(err, fd, "open '%s'", p->path);
	if (fstat(fd, &st))
		return kp_err_sys(err, -errno, "stat '%s'", p->path);
	rc = kp_hash_fd(fd, hash, err);
	if (rc < 0)
		return rc;
	if (!dest)
		dest = p->module->dest_location;
	f->name = kp_strdup(name);
	f->dest = kp_path_join(dest + strspn(dest, "/"), name);
	f->sha256 = kp_strdup(hash);
	f->size = (uint64_t)st.st_size;
	return 0;
}

static int describe_all(struct kp_build_work *w, struct kp_record *rec,
			struct kp_err *err)
{
	int rc;

	rec->files = kp_calloc(w->n_products + 1, sizeof(*rec->files));
	rec->licenses = kp_strv_dup(w->licenses);
	rec->is_signed = w->n_products > 0;
	for (size_t i = 0; i < w->n_products; i++) {
		struct kp_record_file *f = &rec->files[i];

		rc = describe(w, &w->products[i], f, err);
		if (rc < 0)
			return rc;
		rec->n_files++;
		rec->is_signed = rec->is_signed && w->products[i].is_signed;
	}
	kp_record_set_content(rec);
	return 0;
}

static int sync_files(struct kp_build_work *w, const char *dir, struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	int rc = kp_list_in(w->ctx->root_fd, dir, &names);

	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (kp_lstat_in(w->ctx->root_fd, path, &st) || !S_ISREG(st.st_mode))
			continue;
		fd = kp_open_in(w->ctx->root_fd, path, O_RDONLY | O_NOFOLLOW, 0);
		if (fd < 0 || fsync(fd))
			rc = rc < 0 ? rc : -errno;
	}
	if (!rc)
		rc = kp_sync_dir_in(w->ctx->root_fd, dir);
	return rc < 0 ? kp_err_sys(err, rc, "write '%s' to disk", dir) : 0;
}

/* A record of what is about to be replaced must not outlive it, should we be killed between
 * the two. */
static int retract_record(struct kp_build_work *w, struct kp_err *err)
{
	const struct kp_build_job *job = w->job;
	_cleanup_(kp_record_freep) struct kp_record *old = NULL;
	const struct kp_record between = {
		.result = KP_BUILD_FAILED,
		.key = (char *)job->key,
		.reason = (char *)"killed while publishing",
		.machine = true,
		.exit_code = KP_EXIT_OTHER,
		.log = w->log.path,
	};

	if (kp_record_load(w->ctx, job->source->module, job->source->version,
			   job->kernel->release, &old, NULL) < 0 ||
	    old->result != KP_BUILD_OK)
		return 0;
	return kp_record_save(w->ctx, job->source->module, job->source->version,
			      job->kernel->release, &between, err);
}

int kp_publish_commit(struct kp_build_work *w, struct kp_record *rec, struct kp_err *err)
{
	const struct kp_build_job *job = w->job;
	_cleanup_free_ char *to = kp_record_dir(
		w->ctx, job->source->module, job->source->version, job->kernel->release);
	_cleanup_free_ char *parent = kp_path_dir(to);
	_cleanup_free_ char *module = kp_path_join(w->stage, "module");
	_cleanup_free_ char *logs = kp_path_join(w->stage, "log");
	_cleanup_free_ char *link = kp_path_join(logs, "make.log");
	int rc;

	rc = kp_build_stage(w, "publish", err);
	if (!rc)
		rc = describe_all(w, rec, err);
	if (!rc)
		rc = kp_mkdir_in(w->ctx->root_fd, logs, 0755, err);
	if (!rc)
		rc = kp_symlink_in(w->ctx->root_fd, w->log.path, link, err);
	if (!rc)
		rc = sync_files(w, module, err);
	if (!rc)
		rc = sync_files(w, w->stage, err);
	if (!rc)
		rc = retract_record(w, err);
	if (!rc)
		rc = kp_swap_in(w->ctx->root_fd, w->stage, to, err);
	if (rc < 0)
		return rc;
	rc = kp_sync_dir_in(w->ctx->root_fd, parent);
	return rc < 0 ? kp_err_sys(err, rc, "write '%s' to disk", parent) : 0;
}

void kp_publish_failure(struct kp_build_work *w, bool failed)
{
	_cleanup_free_ char *link = kp_path_join(w->seen, "make.log");
	int root = w->ctx->root_fd;

	if (failed && kp_mkdir_in(root, w->seen, 0755, NULL) == 0) {
		kp_symlink_in(root, w->log.path, link, NULL);
	} else {
		kp_unlink_in(root, link);
		kp_rmdir_in(root, w->seen);
	}
}
