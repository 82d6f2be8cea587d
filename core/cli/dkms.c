// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/dkms.h"
#include "lib/backend.h"
#include "lib/kernel.h"

/* What module packages and scripts compare with. */
#define COMPATIBLE "3.4.3"

static const struct dkms_action actions[] = {
	{ "add", dkms_add, DKMS_MUTATES },
	{ "build", dkms_build, DKMS_MUTATES | DKMS_KERNEL },
	{ "install", dkms_install,
	  DKMS_MUTATES | DKMS_ROOT | DKMS_KERNEL | DKMS_DATABASE | DKMS_FOREIGN },
	{ "uninstall", dkms_uninstall,
	  DKMS_MUTATES | DKMS_ROOT | DKMS_RUNNING | DKMS_ALL | DKMS_DATABASE |
		  DKMS_FOREIGN },
	{ "unbuild", dkms_unbuild, DKMS_MUTATES | DKMS_RUNNING | DKMS_ALL },
	{ "remove", dkms_remove, DKMS_MUTATES | DKMS_RUNNING | DKMS_ALL },
	{ "status", dkms_status, 0 },
	{ "match", dkms_match, DKMS_MUTATES | DKMS_ROOT | DKMS_RUNNING | DKMS_DATABASE },
	{ "autoinstall", dkms_autoinstall,
	  DKMS_MUTATES | DKMS_ROOT | DKMS_RUNNING | DKMS_ONE_KERNEL | DKMS_DATABASE },
	{ "mktarball", dkms_mktarball, DKMS_RUNNING | DKMS_ALL },
	{ "ldtarball", dkms_ldtarball, DKMS_MUTATES },
	{ "generate_mok", dkms_generate_mok, DKMS_MUTATES },
	{ "kernel_preinst", dkms_kernel_preinst,
	  DKMS_MUTATES | DKMS_ROOT | DKMS_ONE_KERNEL | DKMS_DATABASE },
	{ "kernel_postinst", dkms_kernel_postinst,
	  DKMS_MUTATES | DKMS_ROOT | DKMS_ONE_KERNEL | DKMS_DATABASE },
	{ "kernel_prerm", dkms_kernel_prerm,
	  DKMS_MUTATES | DKMS_ROOT | DKMS_ONE_KERNEL | DKMS_DATABASE },
};

const struct dkms_action *dkms_find_action(const char *word)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(actions); i++)
		if (kp_str_eq(actions[i].name, word))
			return &actions[i];
	return NULL;
}

static void print_usage(FILE *f)
{
	fputs("Usage: dkms ACTION [OPTION]... [MODULE[/VERSION] | DIRECTORY | ARCHIVE]\n"
	      "Register, build and install kernel modules, as packages.\n\nActions:\n ",
	      f);
	for (size_t i = 0; i < KP_ARRAY_SIZE(actions); i++)
		fprintf(f, "%s%s", i && i % 6 == 0 ? "\n  " : " ", actions[i].name);
	fputs("\n\nOptions, among them:\n"
	      "  -m M[/V], -v V         the module and its version\n"
	      "  -k KERNEL[/ARCH], -a ARCH, --all\n"
	      "                         for which kernels; without: the running one\n"
	      "  --force                build anew, replace what is there\n"
	      "  -j N                   run N jobs at once\n"
	      "  -q                     say nothing\n\n"
	      "dkms(8) has all of it. This is the command of kmodpkg that serves what was\n"
	      "written for DKMS " COMPATIBLE "; kmodpkg(8) is the manual of the whole.\n",
	      f);
}

static void silence(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0))
		kp_log_set_level(KP_LOG_ERR);
}

/* ---- the system ---- */

static bool same_directory(const char *a, const char *b)
{
	struct stat x, y;

	return kp_str_eq(a, b) || (stat(a, &x) == 0 && stat(b, &y) == 0 &&
				   x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static void set_dir(char **dir, char *path)
{
	free(*dir);
	*dir = path;
}

/* Take the trees that were named. One that is not the system's has its own state, and its
 * modules are none of the package database's business. */
static void set_trees(struct dkms *d)
{
	struct kp_ctx *ctx = d->cli->ctx;
	unsigned int flags = d->action->flags;
	const char *tree = d->dkms_tree, *install_tree = d->install_tree;

	/* What the package manager's hooks call goes on with the system's. */
	if (!install_tree && (!(flags & DKMS_DATABASE) || (flags & DKMS_FOREIGN)))
		install_tree = ctx->config.install_tree;
	if (d->source_tree)
		set_dir(&ctx->source_tree, kp_strdup(d->source_tree));
	if (install_tree && !same_directory(install_tree, ctx->install_tree)) {
		set_dir(&ctx->install_tree, kp_strdup(install_tree));
		d->foreign = true;
	}
	if (!tree || same_directory(tree, ctx->dkms_tree))
		return;
	set_dir(&ctx->dkms_tree, kp_strdup(tree));
	set_dir(&ctx->state_dir, kp_path_join(tree, ".kmodpkg"));
	set_dir(&ctx->log_dir, kp_path_join(tree, ".kmodpkg/log"));
	set_dir(&ctx->run_dir, kp_path_join(tree, ".kmodpkg/run"));
	set_dir(&ctx->work_dir, kp_path_join(tree, ".kmodpkg/work"));
	set_dir(&ctx->cache_dir, kp_path_join(tree, ".kmodpkg/cache"));
	d->foreign = true;
}

static int check_user(struct dkms *d)
{
	struct kp_ctx *ctx = d->cli->ctx;
	_cleanup_free_ char *parent = NULL;

	if (geteuid() == 0 || !(d->action->flags & (DKMS_ROOT | DKMS_MUTATES)))
		return 0;
	if (d->action->flags & DKMS_ROOT)
		return cli_fail(d->cli, DKMS_USAGE, "only root can do this");
	parent = kp_path_dir(ctx->dkms_tree);
	if (access(ctx->dkms_tree, W_OK) < 0 &&
	    (errno != ENOENT || access(parent, W_OK) < 0))
		return cli_fail(d->cli, DKMS_NOT_WRITABLE, "%s cannot be written: %s",
				ctx->dkms_tree, strerror(errno));
	return 0;
}

/* As cli_open() knows them: who is not root changes a tree of his own only. */
static unsigned int open_flags(const struct dkms *d)
{
	return geteuid() == 0 && (d->action->flags & DKMS_MUTATES) ? CLI_MUTATES : 0;
}

static int open_database(struct dkms *d)
{
	struct cli *cli = d->cli;
	unsigned int flags = d->action->flags;
	int rc;

	if (d->foreign && (flags & DKMS_DATABASE) && !(flags & DKMS_FOREIGN))
		return cli_fail(cli, DKMS_USAGE,
				"%s works on the system's own trees only",
				d->action->name);
	if (d->foreign)
		return 0;
	rc = cli_open_backend(cli, open_flags(d));
	if (rc == -ENOENT && !(flags & DKMS_DATABASE)) {
		kp_debug("%s", cli->err.text);
		cli->err = (struct kp_err)KP_ERR_INIT;
		return 0;
	}
	return rc;
}

static int open_system(struct dkms *d)
{
	unsigned int flags = open_flags(d);
	int rc = cli_open(d->cli, flags | CLI_CHECKS_LATER);

	if (rc < 0)
		return rc;
	set_trees(d);
	rc = check_user(d);
	if (!rc)
		rc = open_database(d);
	return rc ? rc : cli_check_configuration(d->cli, flags);
}

/* ---- kernels ---- */

void dkms_drop_pairs(struct dkms *d, size_t keep)
{
	for (; d->n_pairs > keep; d->n_pairs--) {
		free(d->pairs[d->n_pairs - 1].kernel);
		free(d->pairs[d->n_pairs - 1].arch);
	}
}

static void add_pair(struct dkms *d, const char *kernel)
{
	d->pairs = kp_reallocarray(d->pairs, d->n_pairs + 1, sizeof(*d->pairs));
	d->pairs[d->n_pairs++] = (struct dkms_pair){ .kernel = kp_strdup(kernel) };
}

/* In a chroot the kernel that runs is another system's: all that are installed, for what is to
 * be built; nothing goes but what is named. */
static int add_default_kernels(struct dkms *d)
{
	_cleanup_(kp_kernels_clear) struct kp_kernels kernels = { 0 };
	struct utsname uts;
	int rc;

	if ((d->action->flags & DKMS_RUNNING) || kp_kernel_running()) {
		if (uname(&uts) < 0)
			return kp_err_sys(&d->cli->err, -errno, "uname");
		add_pair(d, uts.release);
		return 0;
	}
	rc = kp_kernels_load(d->cli->ctx, NULL, &kernels, &d->cli->err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < kernels.n; i++)
		if (kernels.list[i].present)
			add_pair(d, kernels.list[i].release);
	if (!d->n_pairs)
		return cli_fail(d->cli, DKMS_USAGE,
				"no kernel is installed here; name one with -k");
	return 0;
}

static int fill_pairs(struct dkms *d)
{
	unsigned int flags = d->action->flags;
	int rc;

	if (!d->n_pairs && !d->all_kernels && (flags & (DKMS_KERNEL | DKMS_RUNNING))) {
		rc = add_default_kernels(d);
		if (rc)
			return rc;
	}
	if ((flags & DKMS_ONE_KERNEL) && d->n_pairs != 1)
		return cli_fail(d->cli, DKMS_NO_CONF, "%s is for one kernel: -k KERNEL",
				d->action->name);
	for (size_t i = 0; i < d->n_pairs && (flags & DKMS_MUTATES); i++)
		if (!d->pairs[i].arch)
			d->pairs[i].arch =
				kp_strdup(d->arch ? d->arch : d->cli->ctx->arch);
	return 0;
}

/* ---- the command ---- */

static void print_directives(const struct dkms *d)
{
	kp_strv_foreach(p, d->directives) {
		const char *equals = strchr(*p, '=');

		printf("DIRECTIVE: %.*s=\"%s\"\n", (int)(equals - *p), *p, equals + 1);
	}
}

static int no_action(struct dkms *d, const char *word)
{
	static const char *const dropped[] = { "mkdeb", "mkdsc", "mkbmdeb",
					       "mkrpm", "mkkmp", "mkdriverdisk" };

	if (!word || *word == '-') {
		print_usage(stderr);
		return DKMS_USAGE;
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(dropped); i++)
		if (kp_str_eq(word, dropped[i]))
			return cli_fail(d->cli, DKMS_USAGE,
					"DKMS dropped %s in 2.8.8; install makes a "
					"package, mktarball an archive",
					word);
	return cli_fail(d->cli, DKMS_USAGE, "unknown action '%s'; dkms --help lists them",
			word);
}

static int run(struct dkms *d, int argc, char **argv)
{
	static struct cli_cmd cmd;
	int rc = dkms_parse(d, argc, argv);

	if (d->action) {
		cmd.name = d->action->name;
		d->cli->cmd = &cmd;
	}
	if (rc)
		return rc;
	if (d->help) {
		print_usage(stdout);
		return DKMS_OK;
	}
	if (d->show_version) {
		puts("dkms-" COMPATIBLE);
		return DKMS_OK;
	}
	if (!d->action)
		return no_action(d, argv[1]);
	if (d->quiet)
		silence();
	d->cli->verbose = d->verbose || d->debug;
	print_directives(d);
	rc = open_system(d);
	if (rc == 0)
		rc = fill_pairs(d);
	return rc ? rc : d->action->run(d);
}

int dkms_main(struct cli *cli, int argc, char **argv)
{
	_cleanup_(dkms_clear) struct dkms d = { .cli = cli };

	cli->program = "dkms";
	kp_log_set_program("dkms");
	return run(&d, argc, argv);
}
