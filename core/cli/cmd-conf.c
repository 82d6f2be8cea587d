// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/table.h"
#include "lib/conf.h"
#include "lib/kernel.h"
#include "lib/source.h"

/* Of the JSON; kmodpkg(8) describes it. */
#define SCHEMA 1

struct subject {
	char *module, *version; /* NULL: not a registered source */
	char *dir, *file;	/* one of them */
	const char *kernel;	/* NULL: none in particular */
};

static void subject_clear(struct subject *s)
{
	free(s->module);
	free(s->version);
	free(s->dir);
	free(s->file);
}

/* ---- for people */

static void add_row(struct cli_table *t, const char *name, const char *value)
{
	_cleanup_free_ char *copy = kp_strdup(value);

	kp_str_printable(copy);
	cli_table_add(t, name);
	cli_table_add(t, copy);
}

static void add_rows(struct cli_table *t, const char *name, char *const *values)
{
	kp_strv_foreach(p, values)
		add_row(t, name, *p);
}

static void add_module(struct cli_table *t, const struct kp_conf_module *m)
{
	const char *slash = kp_str_ends(m->dest_location, "/") ? "" : "/";
	_cleanup_free_ char *line = kp_strf(
		"%s%s.ko -> %s%s%s.ko%s%s%s", m->built_location, m->built_name,
		m->dest_location, slash, m->dest_name, m->strip ? "" : ", not stripped",
		m->excluded ? ", excluded: " : "", m->excluded ? m->excluded : "");

	add_row(t, "module", line);
}

static void print_text(const struct kp_conf *conf, const struct subject *s,
		       const char *arch)
{
	_cleanup_(cli_table_clear) struct cli_table t = { .n_columns = 2 };

	printf("%s/%s for %s%s (%s)\n", conf->name, conf->version,
	       s->kernel ? "kernel " : "no kernel", s->kernel ? s->kernel : "", arch);
	add_rows(&t, "file", conf->files);
	add_row(&t, "evaluator", conf->evaluator);
	if (conf->why_shell)
		add_row(&t, "why", conf->why_shell);
	if (conf->excluded)
		add_row(&t, "excluded", conf->excluded);
	for (size_t i = 0; i < conf->n_modules; i++)
		add_module(&t, &conf->modules[i]);
	add_row(&t, "make", conf->make ? conf->make : "(the default)");
	add_rows(&t, "patch", conf->patches);
	for (enum kp_conf_script i = 0; i < KP_SCRIPT_COUNT; i++)
		if (conf->scripts[i])
			add_row(&t, kp_conf_script_name(i), conf->scripts[i]);
	add_rows(&t, "depends on", conf->build_depends);
	add_row(&t, "autoinstall", conf->autoinstall ? "yes" : "no");
	if (conf->no_weak_modules)
		add_row(&t, "weak modules", "no");
	if (conf->build_depends_rebuild)
		add_row(&t, "rebuilt with dependencies", "yes");
	add_rows(&t, "warning", conf->warnings);
	cli_table_print(&t, stdout, 0);
}

/* ---- for programs */

static json_t *module_json(const struct kp_conf_module *m)
{
	json_t *o = json_object();

	cli_json_set(o, "built_name", cli_json_text(m->built_name));
	cli_json_set(o, "built_location", cli_json_text(m->built_location));
	cli_json_set(o, "dest_name", cli_json_text(m->dest_name));
	cli_json_set(o, "dest_location", cli_json_text(m->dest_location));
	cli_json_set(o, "strip", json_boolean(m->strip));
	cli_json_set(o, "excluded", cli_json_text(m->excluded));
	return o;
}

static json_t *scripts_json(const struct kp_conf *conf)
{
	json_t *o = json_object();

	for (enum kp_conf_script i = 0; i < KP_SCRIPT_COUNT; i++)
		cli_json_set(o, kp_conf_script_name(i), cli_json_text(conf->scripts[i]));
	return o;
}

/* Names in bash are ASCII, so they are good keys. */
static json_t *variables_json(const struct kp_vars *vars)
{
	json_t *o = json_object();

	for (size_t i = 0; i < vars->n_vars; i++) {
		const struct kp_var *var = &vars->vars[i];
		json_t *elements = json_object();

		for (size_t j = 0; j < var->n_elems; j++) {
			_cleanup_free_ char *index = kp_strf("%u", var->elems[j].index);

			cli_json_set(elements, index, cli_json_text(var->elems[j].value));
		}
		cli_json_set(o, var->name, elements);
	}
	return o;
}

static void print_json(const struct kp_conf *conf, const struct subject *s,
		       const char *arch)
{
	json_t *root = json_object(), *modules = json_array();

	for (size_t i = 0; i < conf->n_modules; i++)
		json_array_append_new(modules, module_json(&conf->modules[i]));
	cli_json_set(root, "schema", json_integer(SCHEMA));
	cli_json_set(root, "name", cli_json_text(conf->name));
	cli_json_set(root, "version", cli_json_text(conf->version));
	cli_json_set(root, "kernel", cli_json_text(s->kernel));
	cli_json_set(root, "arch", cli_json_text(arch));
	cli_json_set(root, "files", cli_json_texts(conf->files));
	cli_json_set(root, "evaluator", cli_json_text(conf->evaluator));
	cli_json_set(root, "why_shell", cli_json_text(conf->why_shell));
	cli_json_set(root, "excluded", cli_json_text(conf->excluded));
	cli_json_set(root, "modules", modules);
	cli_json_set(root, "make", cli_json_text(conf->make));
	cli_json_set(root, "patches", cli_json_texts(conf->patches));
	cli_json_set(root, "scripts", scripts_json(conf));
	cli_json_set(root, "build_depends", cli_json_texts(conf->build_depends));
	cli_json_set(root, "build_depends_rebuild",
		     json_boolean(conf->build_depends_rebuild));
	cli_json_set(root, "autoinstall", json_boolean(conf->autoinstall));
	cli_json_set(root, "no_weak_modules", json_boolean(conf->no_weak_modules));
	cli_json_set(root, "warnings", cli_json_texts(conf->warnings));
	cli_json_set(root, "variables", variables_json(conf->vars));
	cli_json_print(root);
}

/* ---- */

/* The path that WORD names: of this process's directory, or below --root. NULL: none. */
static char *find_path(struct cli *cli, const char *word)
{
	_cleanup_free_ char *path = NULL;
	char *real = NULL;

	if (*word != '/') {
		_cleanup_free_ char *here = NULL;

		if (cli->root || !(here = getcwd(NULL, 0)))
			return NULL;
		path = kp_path_join(here, word);
	}
	if (!path)
		path = kp_strdup(word);
	return kp_realpath_in(cli->ctx->root_fd, path, &real) < 0 ? NULL : real;
}

static int find_registered(struct cli *cli, const char *word, struct subject *s)
{
	_cleanup_(kp_sources_clear) struct kp_sources sources = { 0 };
	const struct kp_source *found;
	int rc;

	rc = cli_parse_module(cli, word, &s->module, &s->version);
	if (rc)
		return rc;
	rc = kp_sources_load(cli->ctx, &sources, &cli->err);
	if (rc < 0)
		return rc;
	found = kp_sources_find(&sources, s->module, s->version);
	if (!found)
		return cli_fail(cli, CLI_NOT_REGISTERED,
				"%s is neither registered nor a file", word);
	if (!s->version)
		s->version = kp_strdup(found->version);
	s->dir = kp_strdup(found->dir);
	return 0;
}

/* A path when it says so by its form, else a registered source, else a path. */
static int find_subject(struct cli *cli, const char *word, struct subject *s)
{
	_cleanup_free_ char *path = NULL;

	if (*word == '/' || *word == '.' || kp_str_ends(word, ".conf"))
		path = find_path(cli, word);
	if (!path)
		return find_registered(cli, word, s);
	if (kp_is_dir_in(cli->ctx->root_fd, path))
		s->dir = kp_steal(&path);
	else
		s->file = kp_steal(&path);
	return 0;
}

static int print_conf(struct cli *cli, const char *word, struct subject *s, bool json)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = { .kernelver = s->kernel };
	_cleanup_free_ char *dir = NULL;
	int rc;

	rc = find_subject(cli, word, s);
	if (rc)
		return rc;
	env.module = s->module;
	env.version = s->version;
	env.conf_file = s->file;
	if (s->file)
		dir = kp_path_dir(s->file);
	env.source_dir = dir ? dir : s->dir;
	rc = kp_conf_load(cli->ctx, &env, &conf, &cli->err);
	if (kp_conf_is_bad(rc))
		return CLI_BAD_CONF;
	if (rc < 0)
		return rc;
	if (json)
		print_json(conf, s, cli->ctx->arch);
	else
		print_text(conf, s, cli->ctx->arch);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'J' },
		{ NULL, 0, NULL, 0 },
	};
	_cleanup_(subject_clear) struct subject s = { 0 };
	_cleanup_strv_ char **kernels = NULL;
	bool json = false;
	int c, rc;

	while ((c = cli_getopt(cli, argc, argv, "k:", opts, &rc)) >= 0) {
		if (c == 'J') {
			json = true;
			continue;
		}
		if (kernels)
			return cli_usage(cli, "one kernel at a time");
		rc = cli_parse_kernel(cli, optarg, &kernels);
		if (rc)
			return rc;
	}
	if (c == CLI_OPT_END)
		return rc;
	if (argc - optind != 1)
		return cli_usage(cli, argc == optind ? "no source is named"
						     : "one source at a time");
	rc = cli_open(cli, cli->cmd->flags);
	if (rc < 0)
		return rc;
	s.kernel = kernels ? kernels[0] : cli->root ? NULL : kp_kernel_running();
	return print_conf(cli, argv[optind], &s, json);
}

const struct cli_cmd cmd_conf = {
	.name = "conf",
	.args = "[-k K] [--json] M[/V] | DIR | FILE",
	.summary = "Print what a dkms.conf says, who evaluated it, and what is doubtful",
	.options =
		"  -k, --kernel K  for this kernel; without it the running one, in another\n"
		"                  root none\n"
		"      --json      for programs: JSON; kmodpkg(8) describes it\n\n"
		"DIR (with a dkms.conf) and FILE begin with '/' or '.', or end in .conf; with\n"
		"--root they are absolute paths below it. Exit status 8: a bad conf.\n",
	.run = run,
	.flags = CLI_NEEDS_CTX,
};
