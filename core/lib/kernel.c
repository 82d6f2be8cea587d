// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <kmodpkg/log.h>
#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/kernel.h"

char **kp_kernel_trees(const struct kp_ctx *ctx)
{
	static const char *const standard[] = { "/lib/modules", "/usr/lib/modules" };
	struct stat first, other;
	char **trees = NULL;

	kp_strv_add(&trees, ctx->install_tree);
	for (size_t i = 0; i < KP_ARRAY_SIZE(standard); i++) {
		const char *sibling = standard[!i];

		if (strcmp(ctx->install_tree, standard[i]))
			continue;
		if (kp_stat_in(ctx->root_fd, sibling, &other) < 0 ||
		    !S_ISDIR(other.st_mode))
			continue;
		if (!kp_stat_in(ctx->root_fd, ctx->install_tree, &first) &&
		    first.st_dev == other.st_dev && first.st_ino == other.st_ino)
			continue; /* /lib is a link to /usr/lib */
		kp_strv_add(&trees, sibling);
	}
	return trees;
}

/* A disk that cannot be read right now has not lost its kernels: only "there is no such
 * file" says that. (Who may not look, and so changes nothing, is not told of ghosts.) */
static bool may_exist(const struct kp_ctx *ctx, const char *path, bool directory)
{
	struct stat st;
	int r = kp_stat_in(ctx->root_fd, path, &st);

	if (!r)
		return !directory || S_ISDIR(st.st_mode);
	return r != -ENOENT && r != -ENOTDIR && r != -ELOOP && r != -ENAMETOOLONG &&
	       (r != -EACCES || geteuid() == 0);
}

static bool has_image(const struct kp_ctx *ctx, const char *release)
{
	_cleanup_free_ char *image = kp_strf("/boot/vmlinuz-%s", release);

	return may_exist(ctx, image, false);
}

/* Not modules.order or modules.builtin: packages of headers and of links bring those too,
 * without a kernel. */
static bool has_tree(const struct kp_ctx *ctx, const char *tree, const char *release)
{
	_cleanup_free_ char *modules = kp_strf("%s/%s/kernel", tree, release);
	_cleanup_free_ char *image = kp_strf("%s/%s/vmlinuz", tree, release);

	return may_exist(ctx, modules, true) || may_exist(ctx, image, false);
}

bool kp_kernel_is_present(const struct kp_ctx *ctx, const char *release)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);

	kp_strv_foreach(tree, trees)
		if (has_tree(ctx, *tree, release))
			return true;
	return has_image(ctx, release);
}

static struct kp_kernel *add_kernel(struct kp_kernels *k, size_t *alloc,
				    const char *release)
{
	KP_GROW(k->list, k->n, *alloc);
	k->list[k->n] = (struct kp_kernel){ .release = kp_strdup(release) };
	return &k->list[k->n++];
}

/* Kernels are called by their version; what else lies there (extramodules of Arch, build
 * scratch) is not a kernel's. */
bool kp_kernel_is_release(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return digits && name[digits] == '.';
}

static int list_tree(struct kp_ctx *ctx, const char *tree, struct kp_kernels *k,
		     size_t *alloc, struct kp_err *err)
{
	_cleanup_strv_ char **names = NULL;
	int r;

	r = kp_list_in(ctx->root_fd, tree, &names);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return kp_err_sys(err, r, "list '%s'", tree);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *dir = kp_path_join(tree, *name);
		struct kp_kernel *kernel;

		if (!kp_kernel_is_release(*name) || !kp_is_dir_in(ctx->root_fd, dir))
			continue;
		if (!kp_name_ok(*name)) {
			kp_warn_once("'%s': not usable as the name of a kernel, skipping",
				     dir);
			continue;
		}
		kernel = kp_kernels_find(k, *name);
		if (!kernel)
			kernel = add_kernel(k, alloc, *name);
		/* In both trees: where its modules are. */
		if (!kernel->moddir || has_tree(ctx, tree, *name)) {
			free(kernel->moddir);
			kernel->moddir = kp_steal(&dir);
		}
	}
	return 0;
}

/* What is asked of the database about each kernel. */
enum { OWNED_MODULES, OWNED_IMAGE, OWNED_BUILD, OWNED_BOOT, OWNED_N };

/* The directory part of a path below the module tree, as the database spells it. */
static char *literal_moddir(const struct kp_kernel *k, const struct kp_owner *o,
			    const char *leaf)
{
	_cleanup_free_ char *end = kp_strf("/%s/%s", k->release, leaf);

	if (!o->package || !o->path || !kp_str_ends(o->path, end))
		return NULL;
	return kp_strndup(o->path, strlen(o->path) - strlen(leaf) - 1);
}

static void apply_owners(struct kp_ctx *ctx, struct kp_kernel *k,
			 const struct kp_owner *o)
{
	char *literal = literal_moddir(k, &o[OWNED_MODULES], "kernel");

	k->in_database = o[OWNED_MODULES].package || o[OWNED_IMAGE].package ||
			 o[OWNED_BOOT].package;
	if (!literal)
		literal = literal_moddir(k, &o[OWNED_IMAGE], "vmlinuz");
	if (!literal)
		literal = literal_moddir(k, &o[OWNED_BUILD], "build");
	if (!literal) {
		_cleanup_free_ char *tree =
			kp_strndup(k->moddir, strlen(k->moddir) - strlen(k->release) - 1);
		_cleanup_free_ char *real = NULL;

		if (!kp_realpath_in(ctx->root_fd, tree, &real))
			literal = kp_path_join(real, k->release);
	}
	if (literal) {
		free(k->moddir);
		k->moddir = literal;
	}
}

static int ask_owners(struct kp_ctx *ctx, struct kp_kernels *k, struct kp_err *err)
{
	_cleanup_strv_ char **paths = kp_calloc(k->n * OWNED_N + 1, sizeof(*paths));
	struct kp_owner *owners;
	int r;

	for (size_t i = 0; i < k->n; i++) {
		const struct kp_kernel *kernel = &k->list[i];
		char **p = paths + i * OWNED_N;

		p[OWNED_MODULES] = kp_path_join(kernel->moddir, "kernel");
		p[OWNED_IMAGE] = kp_path_join(kernel->moddir, "vmlinuz");
		p[OWNED_BUILD] = kp_path_join(kernel->moddir, "build");
		p[OWNED_BOOT] = kp_strf("/boot/vmlinuz-%s", kernel->release);
	}
	r = kp_backend_owners(ctx, paths, &owners, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < k->n; i++)
		apply_owners(ctx, &k->list[i], &owners[i * OWNED_N]);
	kp_owners_free(owners, k->n * OWNED_N);
	return 0;
}

static void look_at_disk(struct kp_ctx *ctx, struct kp_kernel *k)
{
	_cleanup_free_ char *build = kp_path_join(k->moddir, "build");
	_cleanup_free_ char *real = NULL, *makefile = NULL, *include = NULL;

	k->present = kp_kernel_is_present(ctx, k->release);
	if (kp_realpath_in(ctx->root_fd, build, &real) < 0)
		return;
	makefile = kp_path_join(real, "Makefile");
	include = kp_path_join(real, "include");
	if (kp_exists_in(ctx->root_fd, makefile) && kp_is_dir_in(ctx->root_fd, include))
		k->headers = kp_steal(&real);
}

/* Its files may still be there, for the kernel that runs until the next boot. */
static int drop_superseded(struct kp_ctx *ctx, struct kp_kernels *k, struct kp_err *err)
{
	const struct kp_backend *b = ctx->backend;

	for (size_t i = 0; b && b->ops->superseded && i < k->n; i++) {
		int r = b->ops->superseded(b->db, k->list[i].release, err);

		if (r < 0)
			return r;
		if (r)
			k->list[i].present = k->list[i].in_database = false;
	}
	return 0;
}

static int by_version(const void *a, const void *b)
{
	const struct kp_kernel *x = a, *y = b;
	int c = kp_version_cmp(x->release, y->release);

	return c ? c : strcmp(x->release, y->release);
}

int kp_kernels_load(struct kp_ctx *ctx, char *const *extra, struct kp_kernels *ret,
		    struct kp_err *err)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);
	struct kp_kernels k = { 0 };
	size_t alloc = 0;
	int r = 0;

	kp_strv_foreach(tree, trees) {
		r = list_tree(ctx, *tree, &k, &alloc, err);
		if (r < 0)
			goto fail;
	}
	kp_strv_foreach(release, extra) {
		if (kp_kernels_find(&k, *release))
			continue;
		if (!kp_name_ok(*release)) {
			kp_warn_once("'%s': not usable as the name of a kernel, skipping",
				     *release);
			continue;
		}
		add_kernel(&k, &alloc, *release)->moddir = kp_path_join(*trees, *release);
	}
	r = ask_owners(ctx, &k, err);
	if (r < 0)
		goto fail;
	for (size_t i = 0; i < k.n; i++)
		look_at_disk(ctx, &k.list[i]);
	r = drop_superseded(ctx, &k, err);
	if (r < 0)
		goto fail;
	if (k.n)
		qsort(k.list, k.n, sizeof(*k.list), by_version);
	*ret = k;
	return 0;
fail:
	kp_kernels_clear(&k);
	return r;
}

void kp_kernels_clear(struct kp_kernels *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->list[i].release);
		free(k->list[i].moddir);
		free(k->list[i].headers);
		free(k->list[i].headers_key);
		kp_strv_free(k->list[i].trees);
	}
	free(k->list);
	*k = (struct kp_kernels){ 0 };
}

struct kp_kernel *kp_kernels_find(const struct kp_kernels *k, const char *release)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->list[i].release, release))
			return &k->list[i];
	return NULL;
}

/* Is this process' root that of the first process? Where one cannot tell, it is not. */
static bool same_root_as_init(void)
{
	struct stat ours, init;

	return !stat("/", &ours) && !stat("/proc/1/root", &init) &&
	       ours.st_dev == init.st_dev && ours.st_ino == init.st_ino;
}

const char *kp_kernel_running(void)
{
	static struct utsname uts;

	if (!same_root_as_init() || uname(&uts) < 0)
		return NULL;
	return uts.release;
}

bool kp_kernel_booted_us(void)
{
	/* Inode of the first pid namespace, which never changes: PROC_PID_INIT_INO of
	 * Linux' include/linux/proc_ns.h. Every kind of container has another one. */
	static const ino_t first_pid_ns = 0xEFFFFFFCU;
	struct stat st;

	return same_root_as_init() && !stat("/proc/self/ns/pid", &st) &&
	       st.st_ino == first_pid_ns;
}

const char *kp_kernel_dest(const struct kp_ctx *ctx)
{
	if (kp_ctx_distro_is(ctx, "debian ubuntu arch"))
		return "updates/dkms";
	if (kp_ctx_distro_is(ctx, "fedora rhel centos"))
		return "extra";
	if (kp_ctx_distro_is(ctx, "suse opensuse sles"))
		return "updates";
	return NULL;
}
