// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A system in a directory for tests of whole builds, with a tiny stand-in for a kernel's
 * headers: a Makefile that makes a relocatable file with a module's description out of each C file.
 * Everything else is real. To be included after cmocka.h.
 */
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/artifact.h"
#include "lib/build-job.h"
#include "lib/source.h"

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
	assert_int_equal(kp_source_register(&f->ctx, name, "1", f->sources[i].dir, NULL),
			 0);
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
	/* Also of one that was built before, and kept. */
	assert_true(kp_strv_has(job->record->licenses, "GPL"));
}

static inline void assert_failed(const struct kp_build_job *job, int exit_code,
				 bool machine, const char *words)
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

/* Nothing is left of private directories and temporary names, but the log of what failed. */
static inline void assert_clean(struct fixture *f)
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
		_cleanup_free_ char *build = kp_path_join(parent, "build");

		kp_list_in(f->ctx.root_fd, dir, &names);
		kp_strv_foreach(name, names)
			assert_string_equal(*name, "x86_64");
		kp_list_in(f->ctx.root_fd, build, &top);
		kp_strv_foreach(name, top)
			assert_string_equal(*name, "make.log");
	}
}
