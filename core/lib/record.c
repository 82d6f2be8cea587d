// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "lib/jsonfile.h"
#include "lib/record.h"

static const char *const result_names[] = {
	[KP_BUILD_OK] = "ok",
	[KP_BUILD_FAILED] = "failed",
	[KP_BUILD_EXCLUDED] = "excluded",
};

void kp_record_free(struct kp_record *rec)
{
	if (!rec)
		return;
	for (size_t i = 0; i < rec->n_files; i++) {
		free(rec->files[i].name);
		free(rec->files[i].dest);
		free(rec->files[i].sha256);
	}
	free(rec->files);
	free(rec->key);
	free(rec->reason);
	free(rec->unprotected);
	free(rec->log);
	free(rec->content);
	kp_strv_free(rec->licenses);
	free(rec);
}

void kp_record_set_content(struct kp_record *rec)
{
	char content[KP_HASH_HEX];
	struct kp_hash h;

	kp_hash_init(&h);
	for (size_t i = 0; i < rec->n_files; i++) {
		kp_hash_field(&h, "dest", rec->files[i].dest);
		kp_hash_field(&h, "sha256", rec->files[i].sha256);
	}
	kp_hash_hex(&h, content);
	free(rec->content);
	rec->content = kp_strdup(content);
}

/* What the members of a record may hold, read or to be written; NULL: all is well. */
static const char *record_fault(const struct kp_record *rec)
{
	if (!kp_json_is_token(rec->key))
		return "expected a key in \"key\"";
	if (rec->reason && !kp_str_is_printable(rec->reason))
		return "expected one line of text in \"reason\"";
	if (rec->unprotected && !kp_str_is_printable(rec->unprotected))
		return "expected one line of text in \"unprotected\"";
	if (rec->log && !kp_path_ok(rec->log))
		return "expected an absolute path in \"log\"";
	if (rec->content ? !kp_json_is_token(rec->content) : rec->result == KP_BUILD_OK)
		return "expected a hash in \"content\"";
	if (rec->result != KP_BUILD_OK && rec->n_files)
		return "files without a build";
	kp_strv_foreach(p, rec->licenses)
		if (!**p || !kp_str_is_printable(*p))
			return "expected lines of text in \"licenses\"";
	for (size_t i = 0; i < rec->n_files; i++) {
		const struct kp_record_file *f = &rec->files[i];

		if (!f->name || !kp_name_ok(f->name))
			return "expected a file name in \"name\"";
		if (!f->dest || !kp_relpath_ok(f->dest))
			return "expected a relative path in \"dest\"";
		if (!kp_json_is_sha256(f->sha256))
			return "expected a hash in \"sha256\"";
		if (f->size > INT64_MAX)
			return "expected a size in \"size\"";
	}
	return NULL;
}

static int parse_file(json_t *object, const char *file, struct kp_record_file *f,
		      struct kp_err *err)
{
	const char *name, *dest, *sha256;
	json_int_t size;
	int r;

	r = kp_json_unpack(object, file, err, "{s:s, s:s, s:s, s:I}", "name", &name,
			   "dest", &dest, "sha256", &sha256, "size", &size);
	if (r < 0)
		return r;
	*f = (struct kp_record_file){
		.name = kp_strdup(name),
		.dest = kp_strdup(dest),
		.sha256 = kp_strdup(sha256),
		.size = (uint64_t)size,
	};
	return 0;
}

/* ---- limits ---- */

enum { MINUTES, PROCESSES, MEMORY, DISK };

static void limits_of(const struct kp_config *config, int64_t ret[KP_RECORD_LIMITS])
{
	ret[MINUTES] = config->timeout_minutes;
	ret[PROCESSES] = config->limits.processes;
	ret[MEMORY] = (int64_t)(config->limits.memory >> 20);
	ret[DISK] = (int64_t)(config->limits.disk >> 20);
}

void kp_record_set_limits(struct kp_record *rec, const struct kp_config *config, int code)
{
	int64_t now[KP_RECORD_LIMITS];

	limits_of(config, now);
	for (int i = 0; i < KP_RECORD_LIMITS; i++)
		rec->limits[i] = code == (i == MINUTES ? -ETIME : -EDQUOT) ? now[i] : 0;
}

bool kp_record_limits_raised(const struct kp_record *rec, const struct kp_config *config)
{
	int64_t now[KP_RECORD_LIMITS];

	limits_of(config, now);
	for (int i = 0; i < KP_RECORD_LIMITS; i++) {
		/* A share of all memory differs a little from kernel to kernel. */
		int64_t more = i == MEMORY ? rec->limits[i] / 32 : 0;

		if (rec->limits[i] && (!now[i] || now[i] - more > rec->limits[i]))
			return true;
	}
	return false;
}

/* ---- JSON ---- */

static int parse_object(json_t *object, const char *file, struct kp_record *rec,
			struct kp_err *err)
{
	const char *result, *key, *reason = NULL, *log = NULL, *content = NULL;
	const char *unprotected = NULL;
	int schema, machine = 0, is_signed = 0, cached = 0, exit_code = 0, r;
	json_int_t when, elapsed;
	json_int_t limits[KP_RECORD_LIMITS] = { 0 };
	json_t *files = NULL, *licenses = NULL;
	size_t i;

	r = kp_json_unpack(
		object, file, err,
		"{s:i, s:s, s:s, s?s, s?b, s?i, s?s, s:I, s:I, s?s, s?o, s?b, s?b, s?[IIII], s?s, s?o}",
		"schema", &schema, "result", &result, "key", &key, "reason", &reason,
		"machine", &machine, "exit_code", &exit_code, "log", &log, "time", &when,
		"elapsed_ms", &elapsed, "content", &content, "licenses", &licenses,
		"signed", &is_signed, "cached", &cached, "limits", &limits[MINUTES],
		&limits[PROCESSES], &limits[MEMORY], &limits[DISK], "unprotected",
		&unprotected, "files", &files);
	if (r < 0)
		return r;
	for (i = 0; i < KP_ARRAY_SIZE(result_names); i++)
		if (!strcmp(result, result_names[i]))
			break;
	if (i == KP_ARRAY_SIZE(result_names) || (files && !json_is_array(files)))
		return kp_err_set(err, -EINVAL, "%s: unknown \"result\" or \"files\"",
				  file);
	rec->result = (enum kp_build_result)i;
	rec->key = kp_strdup(key);
	rec->reason = kp_strdup(reason);
	rec->unprotected = kp_strdup(unprotected);
	rec->machine = machine;
	rec->exit_code = exit_code;
	rec->log = kp_strdup(log);
	rec->time = when;
	rec->elapsed_ms = elapsed;
	rec->content = kp_strdup(content);
	rec->is_signed = is_signed;
	rec->cached = cached;
	for (i = 0; i < KP_RECORD_LIMITS; i++)
		rec->limits[i] = limits[i];
	if (licenses)
		r = kp_json_to_strings(licenses, file, "licenses", &rec->licenses, err);
	if (r < 0)
		return r;
	rec->files = kp_calloc(json_array_size(files), sizeof(*rec->files));
	for (i = 0; i < json_array_size(files); i++) {
		r = parse_file(json_array_get(files, i), file, &rec->files[i], err);
		if (r < 0)
			return r;
		rec->n_files++;
	}
	return 0;
}

static int from_json(json_t *object, const char *file, struct kp_record **ret,
		     struct kp_err *err)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = kp_calloc(1, sizeof(*rec));
	const char *fault;
	int r;

	r = parse_object(object, file, rec, err);
	if (r < 0)
		return r;
	fault = record_fault(rec);
	if (fault)
		return kp_err_set(err, -EINVAL, "%s: %s", file, fault);
	*ret = kp_steal(&rec);
	return 0;
}

int kp_record_parse(const char *text, size_t len, const char *file,
		    struct kp_record **ret, struct kp_err *err)
{
	_cleanup_json_ json_t *object = NULL;
	int r;

	r = kp_json_parse(text, len, file, &object, err);
	return r < 0 ? r : from_json(object, file, ret, err);
}

/* NULL: a string is no UTF-8. */
static json_t *to_json(const struct kp_record *rec)
{
	_cleanup_json_ json_t *files = json_array();
	_cleanup_json_ json_t *licenses =
		rec->licenses ? kp_json_strings(rec->licenses) : NULL;

	for (size_t i = 0; i < rec->n_files; i++) {
		const struct kp_record_file *f = &rec->files[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:I}", "name", f->name, "dest",
					 f->dest, "sha256", f->sha256, "size",
					 (json_int_t)f->size);

		if (!item)
			return NULL;
		json_array_append_new(files, item);
	}
	return json_pack(
		"{s:s, s:s, s:o*, s:b, s:i, s:s*, s:I, s:I, s:s*, s:O*, s:b, s:b, s:[IIII], s:s*, s:O}",
		"result", result_names[rec->result], "key", rec->key, "reason",
		kp_json_text(rec->reason), "machine", (int)rec->machine, "exit_code",
		rec->exit_code, "log", rec->log, "time", (json_int_t)rec->time,
		"elapsed_ms", (json_int_t)rec->elapsed_ms, "content", rec->content,
		"licenses", licenses, "signed", (int)rec->is_signed, "cached",
		(int)rec->cached, "limits", (json_int_t)rec->limits[MINUTES],
		(json_int_t)rec->limits[PROCESSES], (json_int_t)rec->limits[MEMORY],
		(json_int_t)rec->limits[DISK], "unprotected", rec->unprotected, "files",
		files);
}

static int check_names(const char *module, const char *version, const char *kernel,
		       struct kp_err *err)
{
	if (kp_name_ok(module) && kp_name_ok(version) && kp_name_ok(kernel))
		return 0;
	return kp_err_set(
		err, -EINVAL,
		"\"%.100s/%.100s\", kernel \"%.100s\": unsafe name, expected one "
		"without slashes, white space and control characters",
		module, version, kernel);
}

char *kp_record_path(const struct kp_ctx *ctx, const char *module, const char *version,
		     const char *kernel)
{
	return kp_strf("%s/builds/%s/%s/%s-%s.json", ctx->state_dir, module, version,
		       kernel, ctx->arch);
}

char *kp_record_dir(struct kp_ctx *ctx, const char *module, const char *version,
		    const char *kernel)
{
	return kp_strf("%s/%s/%s/%s/%s", ctx->dkms_tree, module, version, kernel,
		       ctx->arch);
}

char *kp_record_symvers(struct kp_ctx *ctx, const char *module, const char *version,
			const char *kernel)
{
	_cleanup_free_ char *dir = kp_record_dir(ctx, module, version, kernel);
	_cleanup_free_ char *own = kp_path_join(dir, "Module.symvers");
	_cleanup_free_ char *top = kp_path_join(dir, "module/Module.symvers");

	/* One that the recipe put there itself is the better one. */
	if (kp_exists_in(ctx->root_fd, own))
		return kp_steal(&own);
	return kp_exists_in(ctx->root_fd, top) ? kp_steal(&top) : NULL;
}

int kp_record_load(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, struct kp_record **ret, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_record_path(ctx, module, version, kernel);
	_cleanup_json_ json_t *object = NULL;
	struct kp_err why = KP_ERR_INIT;
	int r;

	r = check_names(module, version, kernel, err);
	if (r < 0)
		return r;
	r = kp_json_load(ctx->root_fd, path, &object, &why);
	if (!r)
		r = from_json(object, path, ret, &why);
	if (r == -EINVAL || r == -ENOTSUP) {
		kp_warn_once("%s, taking it as not built", kp_err_text(&why, r));
		return -ENOENT;
	}
	if (r < 0 && r != -ENOENT)
		return kp_err_set(err, r, "%s", kp_err_text(&why, r));
	return r;
}

int kp_record_save(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, const struct kp_record *rec, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_record_path(ctx, module, version, kernel);
	_cleanup_free_ char *dir = kp_strndup(path, (size_t)(strrchr(path, '/') - path));
	_cleanup_json_ json_t *object = NULL;
	struct kp_record checked = *rec;
	const char *fault;
	int r;

	r = check_names(module, version, kernel, err);
	if (r < 0)
		return r;
	checked.reason = NULL; /* made fit by to_json() */
	fault = record_fault(&checked);
	if (fault)
		return kp_err_set(err, -EINVAL, "%s: not written: %s", path, fault);
	object = to_json(rec);
	if (!object)
		return kp_err_set(err, -EINVAL, "%s: not written: a name is no UTF-8",
				  path);
	r = kp_mkdir_durably_in(ctx->root_fd, dir, err);
	if (r < 0)
		return r;
	return kp_json_save(ctx->root_fd, path, object, err);
}

/* Remove the directories PATH and above as long as they are empty, up to ROOT. */
static int rmdir_up(struct kp_ctx *ctx, const char *path, const char *root)
{
	_cleanup_free_ char *dir = kp_strdup(path);
	int r = 0;

	while (!r && strlen(dir) > strlen(root)) {
		r = kp_rmdir_in(ctx->root_fd, dir);
		*strrchr(dir, '/') = '\0';
	}
	return r;
}

int kp_record_drop(struct kp_ctx *ctx, const char *module, const char *version,
		   const char *kernel, struct kp_err *err)
{
	_cleanup_free_ char *path = kp_record_path(ctx, module, version, kernel);
	_cleanup_free_ char *builds = kp_path_join(ctx->state_dir, "builds");
	_cleanup_free_ char *published = kp_record_dir(ctx, module, version, kernel);
	int r;

	r = check_names(module, version, kernel, err);
	if (r < 0)
		return r;
	/* The record last: it is by this that what is left of a build is found. One without its
	 * files counts for nothing, kp_record_intact(). */
	r = kp_rm_rf_in(ctx->root_fd, published, err);
	if (r < 0)
		return r;
	r = kp_unlink_in(ctx->root_fd, path);
	if (r < 0)
		return kp_err_sys(err, r, "removing %s", path);
	*strrchr(path, '/') = '\0';
	*strrchr(published, '/') = '\0';
	r = rmdir_up(ctx, path, builds);
	if (!r)
		r = rmdir_up(ctx, published, ctx->dkms_tree);
	if (r < 0)
		return kp_err_sys(err, r, "removing empty directories of %s/%s", module,
				  version);
	return 0;
}

char **kp_record_kernels(struct kp_ctx *ctx, const char *module, const char *version)
{
	_cleanup_free_ char *dir =
		kp_strf("%s/builds/%s/%s", ctx->state_dir, module, version);
	_cleanup_free_ char *end = kp_strf("-%s.json", ctx->arch);
	_cleanup_strv_ char **names = NULL;
	char **kernels = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		if (!kp_str_ends(*name, end))
			continue;
		(*name)[strlen(*name) - strlen(end)] = '\0';
		if (kp_name_ok(*name))
			kp_strv_add(&kernels, *name);
	}
	return kernels;
}

bool kp_record_intact(struct kp_ctx *ctx, const char *module, const char *version,
		      const char *kernel, const struct kp_record *rec)
{
	_cleanup_free_ char *dir = kp_record_dir(ctx, module, version, kernel);

	if (rec->result != KP_BUILD_OK)
		return false;
	for (size_t i = 0; i < rec->n_files; i++) {
		_cleanup_free_ char *file =
			kp_strf("%s/module/%s", dir, rec->files[i].name);
		struct stat st;

		if (kp_lstat_in(ctx->root_fd, file, &st) < 0 || !S_ISREG(st.st_mode) ||
		    (uint64_t)st.st_size != rec->files[i].size)
			return false;
	}
	return true;
}
