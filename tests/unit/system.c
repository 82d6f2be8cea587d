// SPDX-License-Identifier: GPL-2.0-or-later
#include <dlfcn.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <kmodpkg/proc.h>

#include "base/hash.h"
#include "lib/artifact.h"
#include "lib/record.h"
#include "system.h"

static const struct kp_pkgdb_ops *fake_ops;
static char *ko; /* bytes of a module */
static size_t ko_len;

static const char *const lists[] = { "modules.order", "modules.builtin",
				     "modules.builtin.modinfo" };

/* ---- the copy of the system ---- */

static bool load_fake(const char *program)
{
	/* Not /proc/self/exe: below a root that was mounted elsewhere it has no name. */
	_cleanup_free_ char *exe = realpath(program, NULL), *dir = NULL, *path = NULL;
	_cleanup_free_ char *tests = NULL;
	void *handle;

	if (!exe) {
		fprintf(stderr, "%s: %s\n", program, strerror(errno));
		return false;
	}
	dir = kp_path_dir(exe);
	tests = kp_path_dir(dir);
	path = kp_path_join(tests, "fake.so");
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		fprintf(stderr, "%s\n", dlerror());
	fake_ops = handle ? dlsym(handle, KP_PKGDB_SYMBOL) : NULL;
	return fake_ops != NULL;
}

/* Something that depmod takes for a module. */
static bool make_ko(void)
{
	_cleanup_root_ struct test_root dir = test_root_new();
	_cleanup_free_ char *path = kp_path_join(dir.path, "x.ko");
	const char *argv[] = { "/usr/bin/cc", "-c", "-x",	 "c",
			       "-o",	      path, "/dev/null", NULL };
	struct kp_proc proc = { .argv = argv };

	return kp_proc_run(&proc, NULL, NULL) == 0 &&
	       kp_read_in(dir.fd, "/x.ko", 0, &ko, &ko_len) == 0;
}

/* A sync by a command of its own, as a script of a module would run it: without backend, which
 * only one that is not nested would miss. */
static int run_nested(void)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;
	struct kp_sync_opts opts = { 0 };
	struct kp_sync_result result;

	return kp_ctx_open("/", &ctx, NULL) < 0 || !kp_sync_is_nested() ||
	       kp_sync(ctx, &opts, &result, NULL) < 0;
}

bool test_system_prepare(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "nested"))
		exit(run_nested());
	if (geteuid() || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	unsetenv("KMODPKG_SYNC");
	unsetenv("SOURCE_DATE_EPOCH");
	return load_fake(argv[0]) && make_ko();
}

/* A directory of the upper layer that hides what this machine has there. */
static void hide(const char *upper, const char *dir)
{
	_cleanup_free_ char *path = kp_path_join(upper, dir);
	_cleanup_close_ int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	TEST_TRY(kp_mkdir_in(slash, path, 0755, err));
	assert_int_equal(setxattr(path, "trusted.overlay.opaque", "y", 1, 0), 0);
}

static void enter_copy(struct test_system *s)
{
	static const char *const hidden[] = { "/usr/src",
					      "/usr/lib/modules",
					      "/boot",
					      "/var/lib/dkms",
					      "/var/lib/kmodpkg",
					      "/var/log/kmodpkg",
					      "/etc/dkms",
					      "/run",
					      "/tmp" };
	_cleanup_free_ char *upper = NULL, *work = NULL, *merged = NULL, *options = NULL;
	struct stat st;

	s->mount = kp_strdup("/tmp/kmodpkg-test-XXXXXX");
	assert_non_null(mkdtemp(s->mount));
	assert_int_equal(mount("tmpfs", s->mount, "tmpfs", 0, "mode=755"), 0);
	upper = kp_path_join(s->mount, "u");
	work = kp_path_join(s->mount, "w");
	merged = kp_path_join(s->mount, "m");
	assert_int_equal(mkdir(upper, 0755) | mkdir(work, 0755) | mkdir(merged, 0755), 0);
	for (size_t i = 0; i < KP_ARRAY_SIZE(hidden); i++)
		hide(upper, hidden[i]);
	if (lstat("/lib", &st) == 0 && S_ISDIR(st.st_mode))
		hide(upper, "/lib/modules");
	options = kp_strf("lowerdir=/,upperdir=%s,workdir=%s", upper, work);
	assert_int_equal(mount("overlay", merged, "overlay", 0, options), 0);
	for (const char *const *d = (const char *const[]){ "/dev", "/proc", NULL }; *d;
	     d++) {
		_cleanup_free_ char *at = kp_path_join(merged, *d);

		assert_int_equal(mount(*d, at, NULL, MS_BIND, NULL), 0);
	}
	s->outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->outside >= 0);
	assert_int_equal(chroot(merged) | chdir("/") | chmod("/tmp", 01777), 0);
	s->root = (struct test_root){ .path = kp_strdup("/"),
				      .fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) };
}

int test_system_setup(void **state)
{
	struct test_system *s = kp_calloc(1, sizeof(*s));

	*state = s;
	if (!fake_ops)
		return 0; /* see test_system() */
	enter_copy(s);
	kp_log_set_sink(test_sink, &s->log);
	test_put(&s->root, "/etc/os-release", "ID=debian\n");
	test_put(&s->root, "/etc/kmodpkg/kmodpkg.conf", "sign = no\n");
	TEST_TRY(kp_mkdir_in(s->root.fd, TEST_FAKEDB "/packages", 0755, err));
	TEST_TRY(kp_ctx_open("/", &s->ctx, err));
	s->ctx->backend = kp_calloc(1, sizeof(*s->ctx->backend));
	s->ctx->backend->ops = fake_ops;
	TEST_TRY(fake_ops->open(s->ctx->root_fd, 0, &s->ctx->backend->db, err));
	test_add_kernel(s, K1);
	test_add_kernel(s, K2);
	return 0;
}

int test_system_teardown(void **state)
{
	struct test_system *s = *state;

	kp_log_set_sink(NULL, NULL);
	if (s->ctx) {
		kp_world_clear(&s->world);
		kp_sync_result_clear(&s->result);
		kp_backend_close(s->ctx);
		kp_ctx_close(s->ctx);
		close(s->root.fd);
		assert_int_equal(fchdir(s->outside) | chroot(".") | chdir("/"), 0);
		close(s->outside);
		assert_int_equal(umount2(s->mount, MNT_DETACH) | rmdir(s->mount), 0);
	}
	kp_buf_free(&s->log);
	free(s->root.path);
	free(s->mount);
	free(s);
	return 0;
}

struct test_system *test_system(void **state)
{
	struct test_system *s = *state;

	if (!s->ctx)
		skip();
	return s;
}

/* ---- making it as the test wants it ---- */

static void put_f(struct test_system *s, char *path, const char *text)
{
	test_put(&s->root, path, text);
	free(path);
}

void test_fake(struct test_system *s, const char *file, const char *text)
{
	_cleanup_free_ char *path = kp_path_join(TEST_FAKEDB, file);

	if (text)
		test_put(&s->root, path, text);
	else
		assert_int_equal(kp_unlink_in(s->root.fd, path), 0);
}

/* The lines of `owned` but those of PACKAGE, with LINE. */
static void change_owned(struct test_system *s, const char *package, const char *line)
{
	_cleanup_free_ char *text = test_exists(s, TEST_FAKEDB "/owned")
					    ? test_get(&s->root, TEST_FAKEDB "/owned")
					    : kp_strdup("");
	_cleanup_free_ char *prefix = kp_strf("%s ", package);
	_cleanup_strv_ char **lines = kp_strv_split(text, "\n");
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_strv_foreach(l, lines)
		if (line || !kp_str_starts(*l, prefix))
			kp_buf_addf(&b, "%s\n", *l);
	kp_buf_addf(&b, "%s", line ? line : "");
	test_fake(s, "owned", b.s);
}

void test_own(struct test_system *s, const char *package, const char *path)
{
	_cleanup_free_ char *line = kp_strf("%s 1 %s\n", package, path);

	change_owned(s, package, line);
}

void test_disown(struct test_system *s, const char *package)
{
	change_owned(s, package, NULL);
}

void test_add_kernel(struct test_system *s, const char *kernel)
{
	_cleanup_free_ char *package = kp_strf("linux-image-%s", kernel);
	_cleanup_free_ char *module = kp_strf("/lib/modules/%s/kernel/a.ko", kernel);
	_cleanup_free_ char *image = kp_strf("/boot/vmlinuz-%s", kernel);
	_cleanup_free_ char *headers = kp_strf("/usr/src/linux-headers-%s", kernel);
	const char *headers_package = strrchr(headers, '/') + 1;
	_cleanup_free_ char *build = kp_strf("/lib/modules/%s/build", kernel);

	put_f(s, kp_strf("/usr/src/linux-headers-%s/Makefile", kernel),
	      "all: $(patsubst %.c,%.ko,$(wildcard $(M)/*.c))\n"
	      "%.ko: %.c\n\tcc -c -DRELEASE='\"$(KERNELRELEASE)\"' -o $@ $<\n");
	put_f(s, kp_strf("/usr/src/linux-headers-%s/include/x.h", kernel), "");
	put_f(s, kp_strf("/usr/src/linux-headers-%s/.config", kernel),
	      "CONFIG_64BIT=y\n");
	test_put(&s->root, module, "");
	TEST_TRY(kp_write_in(s->root.fd, module, ko, ko_len, 0644, err));
	for (size_t i = 0; i < KP_ARRAY_SIZE(lists); i++)
		put_f(s, kp_strf("/lib/modules/%s/%s", kernel, lists[i]), "");
	test_put(&s->root, image, "image");
	TEST_TRY(kp_symlink_in(s->root.fd, headers, build, err));
	test_own(s, package, module);
	test_own(s, package, image);
	test_own(s, headers_package, build);
}

/* As dpkg does when image and headers go: what they shipped. */
void test_remove_kernel(struct test_system *s, const char *kernel)
{
	_cleanup_free_ char *image = kp_strf("linux-image-%s", kernel);
	_cleanup_free_ char *headers = kp_strf("linux-headers-%s", kernel);
	_cleanup_strv_ char **paths = NULL;

	kp_strv_addf(&paths, "/lib/modules/%s/kernel", kernel);
	kp_strv_addf(&paths, "/lib/modules/%s/build", kernel);
	kp_strv_addf(&paths, "/boot/vmlinuz-%s", kernel);
	kp_strv_addf(&paths, "/usr/src/linux-headers-%s", kernel);
	for (size_t i = 0; i < KP_ARRAY_SIZE(lists); i++)
		kp_strv_addf(&paths, "/lib/modules/%s/%s", kernel, lists[i]);
	kp_strv_foreach(path, paths)
		TEST_TRY(kp_rm_rf_in(s->root.fd, *path, err));
	test_disown(s, image);
	test_disown(s, headers);
}

void test_add_source(struct test_system *s, const char *module, const char *version,
		     const char *more)
{
	_cleanup_free_ char *conf =
		kp_strf("PACKAGE_NAME=%s\nPACKAGE_VERSION=%s\nBUILT_MODULE_NAME=%s\n"
			"DEST_MODULE_LOCATION=/updates\nAUTOINSTALL=yes\n%s",
			module, version, module, more ? more : "");
	_cleanup_free_ char *code = NULL;

	put_f(s, kp_strf("/usr/src/%s-%s/dkms.conf", module, version), conf);
	code = kp_strf(
		"#define INFO(n, s) static const char n[] "
		"__attribute__((used, section(\".modinfo\"), aligned(1))) = s\n"
		"INFO(a, \"name=%s\");\nINFO(b, \"vermagic=\" RELEASE \" SMP \");\n",
		module);
	put_f(s, kp_strf("/usr/src/%s-%s/%s.c", module, version, module), code);
}

void test_register(struct test_system *s, const char *module, const char *version,
		   const char *more)
{
	_cleanup_free_ char *dir = kp_strf("/usr/src/%s-%s", module, version);

	test_add_source(s, module, version, more);
	TEST_TRY(kp_source_register(s->ctx, module, version, dir, err));
}

/* The key as it is now, to be freed. */
static char *key_of(struct test_system *s, const char *module, const char *version,
		    const char *kernel)
{
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	struct kp_sync_opts opts = { .requested = true };

	TEST_TRY(kp_world_load(s->ctx, &opts, &w, err));
	for (size_t i = 0; i < w.plan.n_rows; i++) {
		const struct kp_plan_row *row = &w.plan.rows[i];

		if (kp_str_eq(row->module, module) && kp_str_eq(row->version, version) &&
		    kp_str_eq(row->kernel, kernel) && row->key)
			return kp_strdup(row->key);
	}
	fail_msg("%s/%s has no key for %s", module, version, kernel);
	return NULL;
}

static void publish_file(struct test_system *s, struct kp_record *rec, const char *dir,
			 const char *module, const char *mark)
{
	_cleanup_free_ char *path = kp_strf("%s/module/%s.ko", dir, module);
	_cleanup_buf_ struct kp_buf bytes = KP_BUF_INIT;
	struct kp_record_file *f = &rec->files[rec->n_files++];
	char hex[KP_HASH_HEX];
	struct kp_hash h;

	/* An ELF file may be followed by anything. */
	kp_buf_add(&bytes, ko, ko_len);
	kp_buf_adds(&bytes, mark);
	test_put(&s->root, path, "");
	TEST_TRY(kp_write_in(s->root.fd, path, bytes.s, bytes.len, 0644, err));
	kp_hash_init(&h);
	kp_hash_add(&h, bytes.s, bytes.len);
	kp_hash_hex(&h, hex);
	f->name = kp_strf("%s.ko", module);
	f->dest = kp_strf("updates/dkms/%s.ko", module);
	f->sha256 = kp_strdup(hex);
	f->size = bytes.len;
}

void test_publish(struct test_system *s, const char *module, const char *version,
		  const char *kernel, ...)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = kp_calloc(1, sizeof(*rec));
	_cleanup_free_ char *dir = kp_record_dir(s->ctx, module, version, kernel);
	_cleanup_free_ char *mark = kp_strf("%s %s", version, kernel);
	const char *name;
	char hex[KP_HASH_HEX];
	struct kp_hash h;
	va_list ap;

	rec->result = KP_BUILD_OK;
	rec->key = key_of(s, module, version, kernel);
	rec->files = kp_calloc(8, sizeof(*rec->files));
	va_start(ap, kernel);
	name = va_arg(ap, const char *);
	for (; name; name = va_arg(ap, const char *))
		publish_file(s, rec, dir, name, mark);
	va_end(ap);
	if (!rec->n_files)
		publish_file(s, rec, dir, module, mark);
	kp_hash_init(&h);
	for (size_t i = 0; i < rec->n_files; i++) {
		kp_hash_field(&h, "dest", rec->files[i].dest);
		kp_hash_field(&h, "sha256", rec->files[i].sha256);
	}
	kp_hash_hex(&h, hex);
	rec->content = kp_strdup(hex);
	TEST_TRY(kp_record_save(s->ctx, module, version, kernel, rec, err));
}

void test_fail(struct test_system *s, const char *module, const char *version,
	       const char *kernel, const char *reason, bool machine)
{
	_cleanup_(kp_record_freep) struct kp_record *rec = kp_calloc(1, sizeof(*rec));

	rec->result = KP_BUILD_FAILED;
	rec->key = key_of(s, module, version, kernel);
	rec->reason = kp_strdup(reason);
	rec->machine = machine;
	TEST_TRY(kp_record_save(s->ctx, module, version, kernel, rec, err));
}

static void change_intent(struct test_system *s, const char *module, const char *version,
			  const char *kernel, enum kp_intent_kind kind)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;

	TEST_TRY(kp_intent_load(s->ctx, &in, err));
	if (kernel)
		kp_intent_set(in, module, version, kernel, kind);
	else
		kp_intent_set_removed(in, module, version, true);
	TEST_TRY(kp_intent_save(s->ctx, in, err));
}

void test_say(struct test_system *s, const char *module, const char *version,
	      const char *kernel, enum kp_intent_kind kind)
{
	change_intent(s, module, version, kernel, kind);
}

void test_bury(struct test_system *s, const char *module, const char *version)
{
	change_intent(s, module, version, NULL, KP_INTENT_NONE);
}

/* ---- running ---- */

int test_sync_rc(struct test_system *s, const struct kp_sync_opts *opts)
{
	static const struct kp_sync_opts plain;

	kp_sync_result_clear(&s->result);
	kp_buf_reset(&s->log);
	kp_log_set_sink(test_sink, &s->log); /* warnings are said again */
	s->err = (struct kp_err)KP_ERR_INIT;
	return kp_sync(s->ctx, opts ? opts : &plain, &s->result, &s->err);
}

void test_sync(struct test_system *s)
{
	int rc = test_sync_rc(s, NULL);

	if (rc < 0)
		fail_msg("%s", kp_err_text(&s->err, rc));
}

void test_drain(struct test_system *s)
{
	kp_buf_reset(&s->log);
	TEST_TRY(kp_drain(s->ctx, err));
}

int test_child(struct test_system *s, void (*fn)(struct test_system *s))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		fn(s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void test_copy_self(struct test_system *s, const char *path)
{
	_cleanup_close_ int in = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out =
		kp_open_in(s->root.fd, path, O_WRONLY | O_CREAT | O_EXCL, 0755);

	assert_true(in >= 0 && out >= 0);
	TEST_TRY(kp_copy_fd(in, out, err));
}
