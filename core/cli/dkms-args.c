// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The dkms command line: options and operands in any order; an option's argument is the
 * next word or, with a long option, what follows its '='. Not getopt's rules: short options
 * are not joined with each other or with their arguments, long ones are not abbreviated.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/dkms.h"

enum opt {
	OPT_FLAG,     /* sets a bool */
	OPT_PATH,     /* a path, made absolute */
	OPT_TEXT,     /* kept as it is */
	OPT_MODULE,   /* M or M/V */
	OPT_VERSION,  /* V */
	OPT_KERNEL,   /* K or K/A, may be repeated */
	OPT_ARCH,     /* A, may be repeated */
	OPT_TEMPLATE, /* K */
	OPT_DIRECTIVE,
	OPT_JOBS,
	OPT_OBSOLETE, /* says so and does nothing */
};

static const struct option_def {
	const char *name;
	enum opt kind;
	size_t offset; /* of the member, for FLAG, PATH and TEXT */
} options[] = {
	{ "-m", OPT_MODULE, 0 },
	{ "--module", OPT_MODULE, 0 },
	{ "-v", OPT_VERSION, 0 },
	{ "-k", OPT_KERNEL, 0 },
	{ "--kernelver", OPT_KERNEL, 0 },
	{ "-a", OPT_ARCH, 0 },
	{ "--arch", OPT_ARCH, 0 },
	{ "--all", OPT_FLAG, offsetof(struct dkms, all_kernels) },
	{ "-c", OPT_PATH, offsetof(struct dkms, conf_file) },
	{ "--config", OPT_PATH, offsetof(struct dkms, kernel_config) },
	{ "--kernelsourcedir", OPT_PATH, offsetof(struct dkms, kernel_source_dir) },
	{ "--dkmstree", OPT_PATH, offsetof(struct dkms, dkms_tree) },
	{ "--sourcetree", OPT_PATH, offsetof(struct dkms, source_tree) },
	{ "--installtree", OPT_PATH, offsetof(struct dkms, install_tree) },
	{ "--archive", OPT_TEXT, offsetof(struct dkms, archive) },
	{ "--templatekernel", OPT_TEMPLATE, offsetof(struct dkms, template_kernel) },
	{ "--directive", OPT_DIRECTIVE, 0 },
	{ "-j", OPT_JOBS, 0 },
	{ "--force", OPT_FLAG, offsetof(struct dkms, force) },
	{ "--force-version-override", OPT_FLAG,
	  offsetof(struct dkms, force_version_override) },
	{ "--no-depmod", OPT_FLAG, offsetof(struct dkms, no_depmod) },
	{ "--modprobe-on-install", OPT_FLAG, offsetof(struct dkms, modprobe_on_install) },
	{ "--symlink-modules", OPT_FLAG, offsetof(struct dkms, symlink_modules) },
	{ "--rpm_safe_upgrade", OPT_FLAG, offsetof(struct dkms, safe_upgrade) },
	{ "--source-only", OPT_FLAG, offsetof(struct dkms, source_only) },
	{ "--binaries-only", OPT_FLAG, offsetof(struct dkms, binaries_only) },
	{ "--verbose", OPT_FLAG, offsetof(struct dkms, verbose) },
	{ "-q", OPT_FLAG, offsetof(struct dkms, quiet) },
	{ "--quiet", OPT_FLAG, offsetof(struct dkms, quiet) },
	{ "--debug", OPT_FLAG, offsetof(struct dkms, debug) },
	{ "--no-initrd", OPT_OBSOLETE, 0 },
	{ "--no-clean-kernel", OPT_OBSOLETE, 0 },
	{ "--no-prepare-kernel", OPT_OBSOLETE, 0 },
};

/* What is gathered before kernels and arches are paired. */
struct words {
	char **kernels, **arches;
};

static void words_clear(struct words *w)
{
	kp_strv_free(w->kernels);
	kp_strv_free(w->arches);
}

static bool takes_argument(enum opt kind)
{
	return kind != OPT_FLAG && kind != OPT_OBSOLETE;
}

static const struct option_def *find_option(const char *word)
{
	const char *equals = kp_str_starts(word, "--") ? strchr(word, '=') : NULL;
	size_t len = equals ? (size_t)(equals - word) : strlen(word);

	for (size_t i = 0; i < KP_ARRAY_SIZE(options); i++) {
		if (strncmp(options[i].name, word, len) || options[i].name[len])
			continue;
		return equals && !takes_argument(options[i].kind) ? NULL : &options[i];
	}
	return NULL;
}

static void set_text(char **member, char *text)
{
	free(*member);
	*member = text;
}

static int set_path(struct dkms *d, char **member, const char *path)
{
	_cleanup_free_ char *cwd = NULL;

	if (*path != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return kp_err_sys(&d->cli->err, -errno, "the current directory");
	}
	set_text(member, kp_path_join(cwd ? cwd : path, cwd ? path : ""));
	return 0;
}

static int check_name(struct dkms *d, const char *what, const char *name)
{
	return kp_name_ok(name) ? 0
				: cli_fail(d->cli, DKMS_USAGE,
					   "'%s' is not the name of a %s", name, what);
}

/* M or M/V. */
static int set_module(struct dkms *d, const char *word)
{
	const char *slash = strchr(word, '/');
	_cleanup_free_ char *module =
		slash ? kp_strndup(word, (size_t)(slash - word)) : kp_strdup(word);
	int rc = check_name(d, "module", module);

	if (rc == 0 && slash)
		rc = check_name(d, "version", slash + 1);
	if (rc)
		return rc;
	set_text(&d->module, kp_steal(&module));
	if (slash)
		set_text(&d->version, kp_strdup(slash + 1));
	return 0;
}

/* K or K/A. */
static int add_kernel(struct dkms *d, struct words *w, const char *word)
{
	const char *slash = strchr(word, '/');
	_cleanup_free_ char *kernel =
		slash ? kp_strndup(word, (size_t)(slash - word)) : kp_strdup(word);
	int rc = check_name(d, "kernel", kernel);

	if (rc == 0 && slash)
		rc = check_name(d, "machine", slash + 1);
	if (rc)
		return rc;
	kp_strv_add(&w->kernels, kernel);
	if (slash)
		kp_strv_add(&w->arches, slash + 1);
	return 0;
}

static int set_jobs(struct dkms *d, const char *word)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(word, &end, 10);
	if (end == word || *end || errno || n < 0 || n > 4096)
		return cli_fail(d->cli, DKMS_USAGE,
				"-j %s: expected a number of jobs, 0 to 4096", word);
	d->jobs = (int)n;
	return 0;
}

static int add_directive(struct dkms *d, const char *word)
{
	const char *equals = strchr(word, '=');

	if (!equals || equals == word)
		return cli_fail(d->cli, DKMS_USAGE, "--directive %s: expected NAME=VALUE",
				word);
	kp_strv_add(&d->directives, word);
	return 0;
}

static int apply(struct dkms *d, struct words *w, const struct option_def *o,
		 const char *arg)
{
	char **text = (char **)((char *)d + o->offset);

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)((char *)d + o->offset) = true;
		return 0;
	case OPT_PATH:
		return set_path(d, text, arg);
	case OPT_TEXT:
		set_text(text, kp_strdup(arg));
		return 0;
	case OPT_TEMPLATE:
		set_text(text, kp_strdup(arg));
		return check_name(d, "kernel", arg);
	case OPT_MODULE:
		return set_module(d, arg);
	case OPT_VERSION:
		set_text(&d->version, kp_strdup(arg));
		return check_name(d, "version", arg);
	case OPT_KERNEL:
		return add_kernel(d, w, arg);
	case OPT_ARCH:
		kp_strv_add(&w->arches, arg);
		return check_name(d, "machine", arg);
	case OPT_DIRECTIVE:
		return add_directive(d, arg);
	case OPT_JOBS:
		return set_jobs(d, arg);
	case OPT_OBSOLETE:
		kp_warn("%s does nothing any more", o->name);
		return 0;
	}
	return 0;
}

/* A directory that holds a dkms.conf, or that file. */
static bool is_tree(const char *word)
{
	_cleanup_free_ char *conf = kp_path_join(word, "dkms.conf");
	struct stat st;

	if (stat(word, &st) < 0)
		return false;
	if (S_ISREG(st.st_mode))
		return kp_str_ends(word, "dkms.conf");
	return S_ISDIR(st.st_mode) && stat(conf, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_file(const char *word)
{
	struct stat st;

	return stat(word, &st) == 0 && S_ISREG(st.st_mode);
}

/* The directory, or that of the file. */
static int set_tree(struct dkms *d, const char *word)
{
	int rc = set_path(d, &d->tree, word);

	if (rc == 0 && is_file(word))
		set_text(&d->tree, kp_path_dir(d->tree));
	return rc;
}

static int operand(struct dkms *d, const char *word)
{
	const struct dkms_action *action = dkms_find_action(word);

	if (action && d->action)
		return cli_fail(d->cli, DKMS_NO_CONF,
				"two actions, %s and %s; one at a time", d->action->name,
				word);
	if (action)
		d->action = action;
	else if (is_tree(word))
		return set_tree(d, word);
	else if (is_file(word))
		set_text(&d->archive, kp_strdup(word));
	else if (!d->module)
		return set_module(d, word);
	else
		kp_warn("%s: the module is %s already, ignoring this word", word,
			d->module);
	return 0;
}

/* One arch serves all kernels; several have to be as many as the kernels. */
static int pair(struct dkms *d, const struct words *w)
{
	size_t kernels = kp_strv_len(w->kernels), arches = kp_strv_len(w->arches);

	if (arches > 1 && arches != kernels)
		return cli_fail(d->cli, DKMS_USAGE,
				"%zu kernels and %zu machines: name one machine, or one "
				"for each kernel",
				kernels, arches);
	if (arches == 1)
		d->arch = kp_strdup(w->arches[0]);
	d->pairs = kp_calloc(kernels, sizeof(*d->pairs));
	for (size_t i = 0; i < kernels; i++) {
		const char *arch = arches > 1 ? w->arches[i] : d->arch;

		d->pairs[i].kernel = kp_strdup(w->kernels[i]);
		d->pairs[i].arch = kp_strdup(arch);
	}
	d->n_pairs = kernels;
	return 0;
}

static int check_all(struct dkms *d)
{
	if (!d->all_kernels)
		return 0;
	if (d->n_pairs)
		return cli_fail(d->cli, DKMS_OPTION, "-k and --all exclude each other");
	if (d->arch)
		return cli_fail(d->cli, DKMS_UNKNOWN, "-a and --all exclude each other");
	if (d->action && !(d->action->flags & DKMS_ALL))
		return cli_fail(d->cli, DKMS_NOT_ALL,
				"%s takes no --all; name kernels "
				"with -k",
				d->action->name);
	return 0;
}

int dkms_parse(struct dkms *d, int argc, char **argv)
{
	_cleanup_(words_clear) struct words w = { 0 };
	int rc = 0;

	for (int i = 1; rc == 0 && i < argc; i++) {
		const char *word = argv[i], *arg = NULL;
		const struct option_def *o;

		if (*word != '-') {
			rc = operand(d, word);
			continue;
		}
		if (kp_str_eq(word, "-h") || kp_str_eq(word, "--help")) {
			d->help = true;
			return 0;
		}
		if (kp_str_eq(word, "-V") || kp_str_eq(word, "--version")) {
			d->show_version = true;
			return 0;
		}
		o = find_option(word);
		if (!o)
			return cli_fail(d->cli, DKMS_OPTION,
					"unknown option '%s'; dkms --help lists them",
					word);
		if (takes_argument(o->kind)) {
			arg = kp_str_starts(word, "--") ? strchr(word, '=') : NULL;
			arg = arg ? arg + 1 : argv[++i];
			if (!arg)
				return cli_fail(d->cli, DKMS_USAGE,
						"option '%s' needs an argument", word);
		}
		rc = apply(d, &w, o, arg);
	}
	if (rc == 0)
		rc = pair(d, &w);
	return rc ? rc : check_all(d);
}

void dkms_clear(struct dkms *d)
{
	char *const texts[] = {
		d->module,	  d->version,	      d->arch,
		d->tree,	  d->archive,	      d->conf_file,
		d->kernel_config, d->dkms_tree,	      d->source_tree,
		d->install_tree,  d->template_kernel, d->kernel_source_dir
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < d->n_pairs; i++) {
		free(d->pairs[i].kernel);
		free(d->pairs[i].arch);
	}
	free(d->pairs);
	kp_strv_free(d->directives);
	*d = (struct dkms){ 0 };
}
