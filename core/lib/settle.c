// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/log.h>
#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/initramfs.h"
#include "lib/kernel.h"
#include "lib/settle.h"

/* The lines behind it are names of modules. */
#define HEAD "depmod and initramfs are to be done, after changes of:\n"
#define MARK_MAX (4 * 1024 * 1024)

/* Modes of a mark. A change of mode needs no room on a disk that is full, and leaves its time. */
#define MODE_DUE 0644
#define MODE_INITRAMFS 0640 /* depmod is done */
#define MODE_FAILED 0600

static char *marks_dir(const struct kp_ctx *ctx)
{
	return kp_path_join(ctx->state_dir, "unsettled");
}

static char *mark_path(const struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_free_ char *dir = marks_dir(ctx);

	return kp_path_join(dir, kernel);
}

/* What a mark names; nothing where there is none. One that another version wrote, or that is not whole,
 * stands for any module. */
static char **read_modules(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_free_ char *path = mark_path(ctx, kernel), *text = NULL;
	char **modules = NULL;
	size_t len;
	int r = kp_read_in(ctx->root_fd, path, MARK_MAX, &text, &len);

	if (r == -ENOENT)
		return NULL;
	if (!r && strlen(text) == len && kp_str_starts(text, HEAD))
		return kp_strv_split(text + strlen(HEAD), "\n");
	kp_strv_add(&modules, KP_ANY_MODULE);
	return modules;
}

static void add_modules(char ***modules, char *const *paths)
{
	kp_strv_foreach(path, paths) {
		_cleanup_free_ char *name = kp_initramfs_module(*path);

		if (!kp_strv_has(*modules, name))
			kp_strv_take(modules, kp_steal(&name));
	}
}

int kp_unsettled_mark(struct kp_ctx *ctx, const char *kernel, char *const *paths,
		      struct kp_err *err)
{
	_cleanup_free_ char *dir = marks_dir(ctx), *path = NULL;
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	_cleanup_strv_ char **modules = NULL;
	int r;

	if (!kp_name_ok(kernel))
		return kp_err_set(err, -EINVAL, "'%s' is not the name of a kernel",
				  kernel);
	modules = read_modules(ctx, kernel);
	add_modules(&modules, paths);
	kp_buf_adds(&text, HEAD);
	kp_strv_foreach(module, modules)
		kp_buf_addf(&text, "%s\n", *module);
	path = mark_path(ctx, kernel);
	r = kp_mkdir_durably_in(ctx->root_fd, dir, err);
	if (r < 0)
		return r;
	/* A new file each time: its time is that of the last mark. */
	return kp_write_in(ctx->root_fd, path, text.s, text.len, MODE_DUE, err);
}

bool kp_unsettled_names(struct kp_ctx *ctx, const char *kernel, char *const *paths)
{
	_cleanup_strv_ char **marked = read_modules(ctx, kernel), **modules = NULL;

	add_modules(&modules, paths);
	kp_strv_foreach(module, modules)
		if (!kp_strv_has(marked, *module))
			return false;
	return kp_unsettled_get(ctx, kernel) != KP_MARK_NONE;
}

int kp_unsettled_list(struct kp_ctx *ctx, char ***ret, struct kp_err *err)
{
	_cleanup_free_ char *dir = marks_dir(ctx);
	_cleanup_strv_ char **names = NULL;
	char **marks = NULL;
	int r;

	r = kp_list_in(ctx->root_fd, dir, &names);
	if (r < 0 && r != -ENOENT)
		return kp_err_sys(err, r, "list '%s'", dir);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		struct stat st;

		/* Temporary files of a writer that died begin with a dot. */
		if (**name != '.' && kp_name_ok(*name) &&
		    !kp_lstat_in(ctx->root_fd, path, &st) && S_ISREG(st.st_mode))
			kp_strv_add(&marks, *name);
	}
	*ret = marks;
	return 0;
}

static enum kp_mark mark_of(const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;

	return mode == MODE_FAILED	? KP_MARK_FAILED
	       : mode == MODE_INITRAMFS ? KP_MARK_INITRAMFS
					: KP_MARK_DUE;
}

const char *kp_mark_text(enum kp_mark mark)
{
	static const char *const words[] = {
		[KP_MARK_NONE] = NULL,
		[KP_MARK_DUE] = "depmod and initramfs are still to be done",
		[KP_MARK_INITRAMFS] = "its initramfs may still have to be made",
		[KP_MARK_FAILED] = "depmod or its initramfs was tried in vain",
	};

	return words[mark];
}

enum kp_mark kp_unsettled_get(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_free_ char *path = mark_path(ctx, kernel);
	struct stat st;

	return kp_lstat_in(ctx->root_fd, path, &st) ? KP_MARK_NONE : mark_of(&st);
}

static void set_mode(struct kp_ctx *ctx, const char *path, mode_t mode)
{
	_cleanup_close_ int fd = kp_open_in(ctx->root_fd, path, O_RDONLY | O_NOFOLLOW, 0);

	if (fd >= 0)
		(void)!fchmod(fd, mode);
}

void kp_unsettled_set_indexed(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_free_ char *path = mark_path(ctx, kernel);

	set_mode(ctx, path, MODE_INITRAMFS);
}

bool kp_unsettled_is_overtaken(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_free_ char *path = mark_path(ctx, kernel);
	struct stat st;

	return !kp_lstat_in(ctx->root_fd, path, &st) &&
	       kp_initramfs_is_newer(ctx, kernel, &st.st_mtim);
}

int kp_unsettled_keep(struct kp_ctx *ctx, const char *kernel, char *const *paths,
		      struct kp_err *err)
{
	if (kp_unsettled_get(ctx, kernel) == KP_MARK_DUE &&
	    !kp_unsettled_is_overtaken(ctx, kernel) &&
	    kp_unsettled_names(ctx, kernel, paths))
		return 0;
	return kp_unsettled_mark(ctx, kernel, paths, err);
}

static bool index_is_newer(struct kp_ctx *ctx, const char *kernel,
			   const struct timespec *since)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);
	struct stat index;

	kp_strv_foreach(tree, trees) {
		_cleanup_free_ char *dep = kp_strf("%s/%s/modules.dep", *tree, kernel);

		if (kp_stat_in(ctx->root_fd, dep, &index) == 0)
			return index.st_mtim.tv_sec != since->tv_sec
				       ? index.st_mtim.tv_sec > since->tv_sec
				       : index.st_mtim.tv_nsec >= since->tv_nsec;
	}
	return false;
}

bool kp_unsettled_is_indexed(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_free_ char *path = mark_path(ctx, kernel);
	struct stat st;

	return !kp_lstat_in(ctx->root_fd, path, &st) &&
	       index_is_newer(ctx, kernel, &st.st_mtim);
}

bool kp_is_settled_since(struct kp_ctx *ctx, const char *kernel, char *const *paths)
{
	_cleanup_strv_ char **modules = NULL;
	_cleanup_free_ char *why = NULL;
	bool image_is_due = false;
	struct stat st;

	/* A file may have come with an old time of modification. */
	kp_strv_foreach(path, paths) {
		if (kp_lstat_in(ctx->root_fd, *path, &st) < 0 ||
		    !index_is_newer(ctx, kernel, &st.st_ctim))
			return false;
		image_is_due =
			image_is_due || kp_initramfs_is_due(ctx, kernel, &st.st_ctim);
	}
	add_modules(&modules, paths);
	why = image_is_due ? kp_initramfs_why(ctx, kernel, modules) : NULL;
	return !why;
}

/* All files below DIR that are no directories, as absolute paths. */
static int list_files(struct kp_ctx *ctx, const char *dir, char ***files,
		      struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	int r = kp_list_in(ctx->root_fd, dir, &names);

	if (r < 0)
		return r == -ENOENT ? 0 : kp_err_sys(err, r, "list '%s'", dir);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		struct stat st;

		if (kp_lstat_in(ctx->root_fd, path, &st) < 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			kp_strv_take(files, kp_steal(&path));
			continue;
		}
		r = list_files(ctx, path, files, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* 1: a package owns something below DIR, 0: nobody does. */
static int has_owner(struct kp_ctx *ctx, const char *dir, struct kp_err *err)
{
	_cleanup_strv_ char **files = NULL;
	struct kp_owner *owners;
	bool owned = false;
	size_t n;
	int r;

	r = list_files(ctx, dir, &files, err);
	if (!r)
		r = kp_backend_owners(ctx, files, &owners, err);
	if (r < 0)
		return r;
	n = kp_strv_len(files);
	for (size_t i = 0; i < n; i++)
		owned |= owners[i].package != NULL;
	kp_owners_free(owners, n);
	return owned;
}

static int bury(struct kp_ctx *ctx, const char *dir, struct kp_err *err)
{
	/* All that depmod writes; what a kernel package ships (modules.order,
	 * modules.builtin, modules.builtin.modinfo) is its own to remove. */
	static const char *const outputs[] = {
		"modules.dep",	       "modules.dep.bin",	    "modules.alias",
		"modules.alias.bin",   "modules.symbols",	    "modules.symbols.bin",
		"modules.softdep",     "modules.weakdep",	    "modules.devname",
		"modules.builtin.bin", "modules.builtin.alias.bin",
	};
	static const char *const dirs[] = { "updates/dkms", "updates", "extra" };
	int r = has_owner(ctx, dir, err);

	if (r)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < KP_ARRAY_SIZE(outputs); i++) {
		_cleanup_free_ char *path = kp_path_join(dir, outputs[i]);

		r = kp_unlink_in(ctx->root_fd, path);
		if (r < 0 && r != -ENOTDIR)
			return kp_err_sys(err, r, "remove '%s'", path);
	}
	for (size_t i = 0; i <= KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = i < KP_ARRAY_SIZE(dirs)
						    ? kp_path_join(dir, dirs[i])
						    : kp_strdup(dir);

		r = kp_rmdir_in(ctx->root_fd, path);
		if (r < 0 && r != -ENOTDIR)
			return kp_err_sys(err, r, "remove '%s'", path);
	}
	return 0;
}

/* What is left of a release whose kernel is gone. */
static int settle_dead(struct kp_ctx *ctx, const char *kernel, struct kp_err *err)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);

	if (!ctx->backend) {
		kp_debug("kernel %s: nobody to ask who owns what is left", kernel);
		return 0;
	}
	kp_strv_foreach(tree, trees) {
		_cleanup_free_ char *dir = kp_path_join(*tree, kernel);
		int r;

		if (!kp_is_dir_in(ctx->root_fd, dir))
			continue;
		r = bury(ctx, dir, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a writer that died left would keep the directory. */
static void remove_temporary(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(ctx->root_fd, dir, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);

		if (**name == '.')
			(void)kp_unlink_in(ctx->root_fd, path);
	}
}

int kp_unsettled_sweep(struct kp_ctx *ctx, struct kp_err *err)
{
	_cleanup_free_ char *dir = marks_dir(ctx);
	int r;

	remove_temporary(ctx, dir);
	r = kp_rmdir_in(ctx->root_fd, dir);
	return r < 0 ? kp_err_sys(err, r, "remove '%s'", dir) : 0;
}

static int remove_mark(struct kp_ctx *ctx, const char *path, struct kp_err *err)
{
	int r = kp_unlink_in(ctx->root_fd, path);

	if (r < 0)
		return kp_err_sys(err, r, "remove '%s'", path);
	return kp_unsettled_sweep(ctx, err);
}

/* 1: the initramfs is left to somebody who comes later. */
static int settle_present(struct kp_ctx *ctx, const char *kernel, const char *path,
			  struct stat *mark, enum kp_settle_initramfs initramfs,
			  struct kp_err *err)
{
	_cleanup_strv_ char **modules = NULL;
	int r = 0;

	if (mark_of(mark) != KP_MARK_INITRAMFS)
		r = kp_settle_depmod(ctx, kernel, err);
	/* Which may have marked it again. */
	if (r == 0 && kp_lstat_in(ctx->root_fd, path, mark) < 0)
		return 0;
	if (r < 0 || initramfs == KP_INITRAMFS_NEVER ||
	    !kp_initramfs_is_due(ctx, kernel, &mark->st_mtim))
		return r;
	if (initramfs == KP_INITRAMFS_LATER)
		return 1;
	modules = read_modules(ctx, kernel);
	return kp_initramfs_refresh(ctx, kernel, modules, err);
}

int kp_settle(struct kp_ctx *ctx, const char *kernel, enum kp_settle_initramfs initramfs,
	      struct kp_err *err)
{
	_cleanup_free_ char *path = NULL;
	struct stat mark;
	int r;

	if (!kp_name_ok(kernel))
		return kp_err_set(err, -EINVAL, "'%s' is not the name of a kernel",
				  kernel);
	path = mark_path(ctx, kernel);
	r = kp_lstat_in(ctx->root_fd, path, &mark);
	if (r < 0)
		return r == -ENOENT ? 0 : kp_err_sys(err, r, "look at '%s'", path);
	if (kp_kernel_is_present(ctx, kernel))
		r = settle_present(ctx, kernel, path, &mark, initramfs, err);
	else
		r = settle_dead(ctx, kernel, err);
	if (r < 0) {
		/* Lest the end of every transaction tries it again. */
		set_mode(ctx, path, MODE_FAILED);
		return r;
	}
	return r ? 0 : remove_mark(ctx, path, err);
}
