// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whole builds, with a tiny stand-in for a kernel's headers: a Makefile that makes a relocatable
 * file with a module's description out of each C file. Everything else is real.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/build-job.h"

#define JOBS_MAX 4

struct fixture {
	struct kp_ctx ctx;
	char dir[32];
	struct kp_kernel kernels[2];
	struct kp_source sources[JOBS_MAX];
	struct kp_conf confs[JOBS_MAX];
	struct kp_conf_module modules[JOBS_MAX];
	struct kp_build_job jobs[JOBS_MAX];
	size_t n;
};

static char *below(struct fixture *f, const char *path)
{
	return kp_path_join(f->dir, path);
}

static void write_mode(struct fixture *f, const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = below(f, name), *dir = kp_path_dir(path);

	assert_int_equal(kp_mkdir_in(f->ctx.root_fd, dir, 0755, NULL), 0);
	assert_int_equal(
		kp_write_in(f->ctx.root_fd, path, text, strlen(text), mode, NULL), 0);
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
	write_mode(f, name, text, 0644);
}

static char *read_file(struct fixture *f, const char *name)
{
	_cleanup_free_ char *path = below(f, name);
	char *text = NULL;

	if (kp_read_in(f->ctx.root_fd, path, 0, &text, NULL) < 0)
		return kp_strdup("");
	return text;
}

static const char *const kernel_makefile =
	"all: $(patsubst %.c,%.ko,$(wildcard $(M)/*.c))\n"
	"\techo 'symbols of' $(M) >$(M)/Module.symvers\n"
	"%.ko: %.c\n"
	"\tgcc -c -DRELEASE='\"$(KERNELRELEASE)\"' -o $@ $<\n";

static const char *const module_source =
	"#define INFO(n, s) static const char n[] "
	"__attribute__((used, section(\".modinfo\"), aligned(1))) = s\n"
	"INFO(a, \"name=\" NAME);\n"
	"INFO(b, \"vermagic=\" RELEASE \" SMP \");\n"
	"INFO(c, \"license=GPL\");\n";

static int setup(void **state)
{
	static const char *const releases[] = { "6.6.1-kp", "6.6.2-kp" };
	struct fixture *f = kp_calloc(1, sizeof(*f));

	strcpy(f->dir, "/var/tmp/kp-build-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	f->ctx = (struct kp_ctx){
		.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.root = kp_strdup("/"),
		.dkms_tree = below(f, "dkms"),
		.source_tree = below(f, "src"),
		.install_tree = below(f, "modules"),
		.state_dir = below(f, "state"),
		.log_dir = below(f, "log"),
		.run_dir = below(f, "run"),
		.work_dir = below(f, "state/work"),
		.arch = kp_strdup("x86_64"),
		.distro = kp_strdup("debian"),
		.distro_like = kp_strdup("debian"),
		.config = { .timeout_minutes = 5, .sign = KP_SIGN_NO },
	};
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *makefile =
			kp_strf("modules/%s/build/Makefile", releases[i]);
		_cleanup_free_ char *config =
			kp_strf("modules/%s/build/.config", releases[i]);
		_cleanup_free_ char *moddir = kp_strf("modules/%s", releases[i]);
		_cleanup_free_ char *headers = kp_strf("modules/%s/build", releases[i]);

		write_file(f, makefile, kernel_makefile);
		write_file(f, config, "CONFIG_MODULES=y\n");
		f->kernels[i].release = kp_strdup(releases[i]);
		f->kernels[i].moddir = below(f, moddir);
		f->kernels[i].headers = below(f, headers);
	}
	*state = f;
	return 0;
}

static void clear_results(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++)
		kp_build_job_clear(&f->jobs[i]);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clear_results(f);
	kp_rm_rf_in(f->ctx.root_fd, f->dir, NULL);
	for (size_t i = 0; i < f->n; i++) {
		free(f->sources[i].module);
		free(f->sources[i].version);
		free(f->sources[i].dir);
		free(f->modules[i].built_name);
		kp_strv_free(f->confs[i].patches);
	}
	for (size_t i = 0; i < 2; i++) {
		free(f->kernels[i].release);
		free(f->kernels[i].moddir);
		free(f->kernels[i].headers);
	}
	close(f->ctx.root_fd);
	free(f->ctx.root);
	free(f->ctx.dkms_tree);
	free(f->ctx.source_tree);
	free(f->ctx.install_tree);
	free(f->ctx.state_dir);
	free(f->ctx.log_dir);
	free(f->ctx.run_dir);
	free(f->ctx.work_dir);
	free(f->ctx.arch);
	free(f->ctx.distro);
	free(f->ctx.distro_like);
	free(f);
	return 0;
}

/* A source NAME/1 with one module, for kernel K, as a further job. */
static struct kp_build_job *add(struct fixture *f, const char *name, size_t k)
{
	size_t i = f->n++;
	_cleanup_free_ char *dir = kp_strf("src/%s-1", name);
	_cleanup_free_ char *conf = kp_strf("%s/dkms.conf", dir);
	_cleanup_free_ char *file = kp_strf("%s/%s.c", dir, name);
	_cleanup_free_ char *text =
		kp_strf("#define NAME \"%s\"\n%s", name, module_source);

	write_file(f, conf, "# not read here\n");
	write_file(f, file, text);
	f->sources[i] = (struct kp_source){ .module = kp_strdup(name),
					    .version = kp_strdup("1"),
					    .dir = below(f, dir) };
	f->modules[i] = (struct kp_conf_module){ .built_name = kp_strdup(name),
						 .built_location = "",
						 .dest_location = "/extra",
						 .strip = true };
	f->modules[i].dest_name = f->modules[i].built_name;
	f->confs[i] = (struct kp_conf){ .modules = &f->modules[i], .n_modules = 1 };
	f->jobs[i] = (struct kp_build_job){ .source = &f->sources[i],
					    .conf = &f->confs[i],
					    .kernel = &f->kernels[k],
					    .key = "0123" };
	return &f->jobs[i];
}

static void build(struct fixture *f)
{
	const struct kp_build_opts opts = { .jobs = 2 };
	struct kp_err err = KP_ERR_INIT;

	clear_results(f);
	if (kp_build_run(&f->ctx, f->jobs, f->n, &opts, &err))
		fail_msg("%s", err.text);
}

static char *log_of(struct fixture *f, const struct kp_build_job *job)
{
	_cleanup_free_ char *name = kp_strf("log/%s/1/%s-x86_64.log", job->source->module,
					    job->kernel->release);

	return read_file(f, name);
}

static void assert_built(struct fixture *f, const struct kp_build_job *job)
{
	_cleanup_free_ char *log = log_of(f, job);

	if (job->rc)
		fail_msg("%s\n%s", job->err.text, log);
	assert_non_null(job->record);
	assert_int_equal(job->record->result, KP_BUILD_OK);
	assert_true(kp_record_intact(&f->ctx, job->source->module, "1",
				     job->kernel->release, job->record));
}

static void assert_failed(const struct kp_build_job *job, int exit_code, bool machine,
			  const char *words)
{
	assert_true(job->rc < 0);
	assert_non_null(job->record);
	assert_int_equal(job->record->result, KP_BUILD_FAILED);
	if (!strstr(job->err.text, words))
		fail_msg("'%s' does not say '%s'", job->err.text, words);
	assert_int_equal(job->record->exit_code, exit_code);
	assert_int_equal(job->record->machine, machine);
	assert_int_equal(job->record->n_files, 0);
}

/* Nothing is left of private directories and temporary names. */
static void assert_clean(struct fixture *f)
{
	_cleanup_strv_ char **work = NULL;

	kp_list_in(f->ctx.root_fd, f->ctx.work_dir, &work);
	assert_null(work);
	for (size_t i = 0; i < f->n; i++) {
		_cleanup_strv_ char **names = NULL, **top = NULL;
		_cleanup_free_ char *dir =
			kp_strf("%s/%s/1/%s", f->ctx.dkms_tree, f->jobs[i].source->module,
				f->jobs[i].kernel->release);
		_cleanup_free_ char *parent = kp_path_dir(dir);

		kp_list_in(f->ctx.root_fd, dir, &names);
		kp_strv_foreach(name, names)
			assert_string_equal(*name, "x86_64");
		kp_list_in(f->ctx.root_fd, parent, &top);
		assert_false(kp_strv_has(top, "build"));
	}
}

static void test_publish(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "hello", 0), *b = add(f, "hello", 1);
	_cleanup_free_ char *symvers = NULL, *log = NULL, *link = NULL, *path = NULL;
	struct stat st;

	build(f);
	assert_built(f, a);
	assert_built(f, b);
	assert_clean(f);
	assert_int_equal(a->record->n_files, 1);
	assert_string_equal(a->record->files[0].name, "hello.ko");
	assert_string_equal(a->record->files[0].dest, "updates/dkms/hello.ko");
	assert_string_equal(a->record->key, "0123");
	/* Their vermagic differs, nothing else. */
	assert_string_not_equal(a->record->content, b->record->content);
	/* The recipe saw DKMS's path. */
	symvers = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/Module.symvers");
	path = kp_strf("symbols of %s/hello/1/build\n", f->ctx.dkms_tree);
	assert_string_equal(symvers, path);
	log = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/log/make.log");
	assert_non_null(
		strstr(log, "make.log for hello/1 for kernel 6.6.1-kp (x86_64)\n"));
	assert_non_null(strstr(log, "\nBuilding module(s)\n# command: "));
	assert_non_null(strstr(log, "KERNELRELEASE=6.6.1-kp -C "));
	assert_non_null(strstr(log, "\n# exit code: 0\n# elapsed time: 00:0"));
	free(path);
	path = below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void test_join(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	struct stat first, second, third;
	_cleanup_free_ char *ko =
		below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");

	build(f);
	assert_built(f, job);
	assert_int_equal(stat(ko, &first), 0);
	build(f);
	assert_built(f, job);
	assert_int_equal(stat(ko, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	job->force = true;
	build(f);
	assert_built(f, job);
	assert_int_equal(stat(ko, &third), 0);
	assert_true(first.st_mtim.tv_nsec != third.st_mtim.tv_nsec ||
		    first.st_mtim.tv_sec != third.st_mtim.tv_sec);
	assert_clean(f);
	/* Another key, or a file that is gone. */
	job->force = false;
	job->key = "4567";
	build(f);
	assert_built(f, job);
	assert_string_equal(job->record->key, "4567");
	assert_int_equal(unlink(ko), 0);
	build(f);
	assert_built(f, job);
	assert_int_equal(access(ko, F_OK), 0);
}

static void tell_stage(enum kp_build_event event, const struct kp_build_job *job,
		       const char *stage, void *data)
{
	(void)job;
	if (event == KP_BUILD_STAGE &&
	    (!strcmp(stage, "wait") || !strcmp(stage, "prepare")))
		assert_int_equal(write(*(int *)data, stage, 1), 1);
}

/* Three programs want the same: one builds, the others get its result, failures too. */
static void test_join_running(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *fifo = below(f, "fifo");
	char text[8] = "";
	pid_t pids[3];
	int fds[2], go, waiting = 0, status;

	assert_int_equal(mkfifo(fifo, 0644), 0);
	go = open(fifo, O_RDWR | O_CLOEXEC);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	_cleanup_free_ char *make = kp_strf("read x <%s; exit 3", fifo);
	f->confs[0].make = make;
	for (size_t i = 0; i < 3; i++) {
		const struct kp_build_opts opts = { .progress = tell_stage,
						    .data = &fds[1] };

		pids[i] = fork();
		if (pids[i] == 0) {
			kp_log_set_level(KP_LOG_WARNING);
			kp_build_run(&f->ctx, f->jobs, f->n, &opts, NULL);
			_exit(!job->record || job->rc != -ECHILD ||
			      job->record->exit_code != KP_EXIT_MAKE);
		}
	}
	/* The builder waits until the others wait for it. */
	while (waiting < 2) {
		assert_int_equal(read(fds[0], text, 1), 1);
		waiting += *text == 'w';
	}
	assert_int_equal(write(go, "\n", 1), 1);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	/* At most the builder's "prepare" is left; nobody else built. */
	close(fds[1]);
	assert_true(read(fds[0], text, sizeof(text)) <= 1);
	close(fds[0]);
	close(go);
	assert_clean(f);
}

static void test_depends(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *top = add(f, "top", 0), *low = add(f, "low", 0),
			    *other = add(f, "other", 0);
	static const size_t on_low[] = { 1 }, on_top[] = { 0 };
	_cleanup_free_ char *seen = NULL, *expect = NULL, *before = NULL;
	char *list[] = { NULL, NULL };

	write_file(f, "before.symvers", "0x00000000\tx\tbefore\tEXPORT_SYMBOL\t\n");
	list[0] = before = below(f, "before.symvers");
	top->deps = on_low;
	top->n_deps = 1;
	top->symvers = list;
	other->deps = on_top;
	other->n_deps = 1;
	f->confs[0].make = "make -C $kernel_source_dir M=$PWD && "
			   "echo $KBUILD_EXTRA_SYMBOLS >"
			   "$dkms_tree/$module/$module_version/$kernelver/$arch/seen";
	build(f);
	assert_built(f, top);
	assert_built(f, low);
	assert_built(f, other);
	seen = read_file(f, "dkms/top/1/6.6.1-kp/x86_64/seen");
	expect = kp_strf("%s %s/low/1/6.6.1-kp/x86_64/Module.symvers\n", before,
			 f->ctx.dkms_tree);
	assert_string_equal(seen, expect);
}

static void test_blocked(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "a", 0), *b = add(f, "b", 0), *c = add(f, "c", 0),
			    *d = add(f, "d", 0);
	static const size_t on_a[] = { 0 }, on_b[] = { 1 };

	b->deps = on_a;
	b->n_deps = 1;
	c->deps = on_b;
	c->n_deps = 1;
	f->confs[0].make = "false";
	build(f);
	assert_failed(a, KP_EXIT_MAKE, false, "make failed with exit code 1; see /");
	assert_int_equal(b->rc, -ENOLINK);
	assert_string_equal(b->err.text, "it needs a, which is not built");
	assert_int_equal(c->rc, -ENOLINK);
	assert_null(c->record);
	assert_built(f, d);
	/* In a circle. */
	a->deps = on_b;
	a->n_deps = 1;
	build(f);
	assert_int_equal(a->rc, -ENOLINK);
	assert_int_equal(b->rc, -ENOLINK);
	assert_built(f, d);
}

static void test_patches(void **state)
{
	static const char *const good = "--- a/hello.c\n+++ b/hello.c\n@@ -1 +1,2 @@\n"
					" #define NAME \"hello\"\n+#define PATCHED 1\n";
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	kp_strv_add(&f->confs[0].patches, "one.diff");
	build(f);
	assert_failed(job, KP_EXIT_PATCH_MISSING, false, "'one.diff'");
	write_file(f, "src/hello-1/patches/one.diff", good);
	build(f);
	assert_built(f, job);
	kp_strv_add(&f->confs[0].patches, "two.diff");
	write_file(f, "src/hello-1/patches/two.diff",
		   "--- a/hello.c\n+++ b/hello.c\n@@ -1 +1 @@\n-no such line\n+x\n");
	job->key = "2";
	build(f);
	assert_failed(job, KP_EXIT_PATCH, false, "patch 'two.diff' does not apply");
	free(f->confs[0].patches[1]);
	f->confs[0].patches[1] = kp_strdup("../../x");
	build(f);
	assert_failed(job, KP_EXIT_PATCH_MISSING, false, "'../../x'");
	assert_clean(f);
}

static void test_scripts(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *seen = NULL, *log = NULL;

	write_mode(f, "src/hello-1/sub/pre.sh",
		   "#!/bin/sh\necho $1 $kernelver $module/$module_version >here\n", 0755);
	write_mode(f, "src/hello-1/post.sh",
		   "#!/bin/sh\nmv here $dkms_tree/hello/1/$kernelver/$arch/seen\n"
		   "rm hello.ko\n",
		   0755);
	f->confs[0].scripts[KP_SCRIPT_PRE_BUILD] = "./sub/pre.sh \"a  b\"";
	f->confs[0].scripts[KP_SCRIPT_POST_BUILD] = "post.sh";
	build(f);
	/* Collected before POST_BUILD, which may clean up. */
	assert_built(f, job);
	seen = read_file(f, "dkms/hello/1/6.6.1-kp/x86_64/seen");
	assert_string_equal(seen, "a b 6.6.1-kp hello/1\n");

	write_mode(f, "src/hello-1/post.sh", "#!/bin/sh\nexit 9\n", 0755);
	job->key = "2";
	build(f);
	assert_failed(job, 9, false,
		      "POST_BUILD script 'post.sh' failed with exit code 9");
	write_mode(f, "src/hello-1/sub/pre.sh", "#!/bin/sh\nexit 3\n", 0755);
	build(f);
	assert_failed(job, 3, false, "PRE_BUILD script './sub/pre.sh' failed");
	write_mode(f, "src/hello-1/sub/pre.sh", "#!/bin/sh\nexit 3\n", 0644);
	write_mode(f, "src/hello-1/post.sh", "", 0644);
	build(f);
	assert_built(f, job);
	log = log_of(f, job);
	assert_non_null(
		strstr(log, "PRE_BUILD ./sub/pre.sh is not executable, skipping"));
	assert_clean(f);
}

static void test_failures(void **state)
{
	static const struct {
		const char *make;
		int exit_code;
		bool machine;
		const char *words;
	} cases[] = {
		{ "exit 4", KP_EXIT_MAKE, false, "make failed with exit code 4; see " },
		{ "true", KP_EXIT_NO_PRODUCT, false, "'hello.ko' is not there" },
		{ "ln -s /etc/shadow hello.ko", KP_EXIT_NO_PRODUCT, false,
		  "symbolic link" },
		{ "echo x >a; ln a hello.ko", KP_EXIT_NO_PRODUCT, false, "hard links" },
		{ "mkfifo hello.ko", KP_EXIT_NO_PRODUCT, false, "not a regular file" },
		{ "echo x >hello.ko", KP_EXIT_MAKE, false, "hello" },
		{ "make -C $kernel_source_dir M=$PWD KERNELRELEASE=5", KP_EXIT_MAKE,
		  false, "5" },
		{ "kill -9 $$", KP_EXIT_MAKE, true, "killed by signal 9" },
		{ "echo 'cc1: error: No space left on device'; exit 1", KP_EXIT_MAKE,
		  true, "exit code 1" },
		{ "echo \"gcc: fatal error: cannot execute 'cc1'\"; exit 1", KP_EXIT_MAKE,
		  true, "exit code 1" },
	};
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		f->confs[0].make = (char *)cases[i].make;
		f->modules[0].strip = false;
		build(f);
		assert_failed(job, cases[i].exit_code, cases[i].machine, cases[i].words);
		assert_clean(f);
	}
}

static void test_no_source(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *file = below(f, "src/hello-1/hello.c");

	assert_int_equal(unlink(file), 0);
	build(f);
	assert_failed(job, KP_EXIT_NO_SOURCE, false, "holds no module source");
}

static void test_excluded(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);

	f->modules[0].excluded = "not for this kernel";
	build(f);
	assert_int_equal(job->rc, -EOPNOTSUPP);
	assert_int_equal(job->record->result, KP_BUILD_EXCLUDED);
	assert_int_equal(job->record->exit_code, KP_EXIT_EXCLUDED);
}

/* A failed build leaves what is published alone. */
static void test_keeps_old(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *ko =
		below(f, "dkms/hello/1/6.6.1-kp/x86_64/module/hello.ko");

	build(f);
	assert_built(f, job);
	f->confs[0].make = "false";
	job->key = "2";
	build(f);
	assert_failed(job, KP_EXIT_MAKE, false, "exit code 1");
	assert_int_equal(access(ko, F_OK), 0);
}

static void interrupt_at_make(enum kp_build_event event, const struct kp_build_job *job,
			      const char *stage, void *data)
{
	(void)job;
	(void)data;
	if (event == KP_BUILD_STAGE && kp_str_eq(stage, "make"))
		raise(SIGTERM);
}

static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *a = add(f, "hello", 0), *b = add(f, "hello", 1);
	const struct kp_build_opts opts = { .jobs = 1, .progress = interrupt_at_make };
	struct kp_err err = KP_ERR_INIT;

	f->confs[0].make = f->confs[1].make = "sleep 1000";
	assert_int_equal(kp_build_run(&f->ctx, f->jobs, f->n, &opts, &err), -EINTR);
	assert_int_equal(a->rc, -EINTR);
	assert_int_equal(b->rc, -EINTR);
	assert_null(a->record);
	assert_clean(f);
}

static void test_make_line(void **state)
{
	static const char *const cases[][2] = {
		{ "make", "make KERNELRELEASE=6.6.1-kp" },
		{ "make -j4 x && make y", "make KERNELRELEASE=6.6.1-kp -j4 x && make y" },
		{ "make; x", "make KERNELRELEASE=6.6.1-kp; x" },
		{ "'make' -j4", "'make' -j4" },
		{ "makeit", "makeit" },
		{ "./x; make", "./x; make" },
	};
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	struct kp_build_work w = { .ctx = &f->ctx, .job = job, .seen = "/seen" };

	for (size_t i = 0; i < 2 * KP_ARRAY_SIZE(cases); i++) {
		const char *const *c = cases[i / 2];
		_cleanup_free_ char *line = NULL, *expect = NULL;

		w.kb.clang = i % 2;
		f->confs[0].make = (char *)c[0];
		line = kp_recipe_make_line(&w, NULL);
		expect = kp_strf("%s%s", c[1], w.kb.clang ? " LLVM=1" : "");
		assert_string_equal(line, expect);
	}
	_cleanup_strv_ char **argv = NULL;
	f->confs[0].make = NULL;
	assert_null(kp_recipe_make_line(&w, &argv));
	_cleanup_free_ char *text = kp_strv_join(argv, " ");
	_cleanup_free_ char *expect = kp_strf(
		"KERNELRELEASE=6.6.1-kp -C %s M=/seen LLVM=1", f->kernels[0].headers);
	assert_string_equal(text, expect);
}

static void test_log_tail(void **state)
{
	struct fixture *f = *state;
	struct kp_build_job *job = add(f, "hello", 0);
	_cleanup_free_ char *log =
		kp_build_log_path(&f->ctx, "hello", "1", job->kernel->release);
	_cleanup_free_ char *tail = NULL, *none = NULL;

	f->confs[0].make =
		"for i in 1 2 3 4 5; do printf 'line\\t\\033[1m%s\\n' $i; done; false";
	build(f);
	tail = kp_build_log_tail(&f->ctx, log, 2);
	assert_string_equal(tail, "line ?[1m4\nline ?[1m5\n");
	none = kp_build_log_tail(&f->ctx, "/nonexistent", 2);
	assert_string_equal(none, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_publish),   TEST(test_join),	    TEST(test_join_running),
		TEST(test_depends),   TEST(test_blocked),   TEST(test_patches),
		TEST(test_scripts),   TEST(test_failures),  TEST(test_no_source),
		TEST(test_excluded),  TEST(test_keeps_old), TEST(test_interrupt),
		TEST(test_make_line), TEST(test_log_tail),
	};

	if (argc > 1 && !strcmp(argv[1], KP_ARTIFACT_CHECK_ARG))
		return kp_artifact_check_main(argc, argv);
	return cmocka_run_group_tests_name("build", tests, NULL, NULL);
}
