// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/work.h"
#include "lib/conf.h"
#include "lib/install.h"
#include "lib/register.h"
#include "lib/source.h"

/* Where a tree is copied to before it is known what it is; one add at a time, our lock is
 * held. */
#define INCOMING ".kmodpkg-incoming"

static int bad_conf(struct cli *cli, int rc)
{
	return kp_conf_is_bad(rc) ? cli_fail(cli, CLI_BAD_CONF, "%s", cli->err.text) : rc;
}

static int load_conf(struct cli *cli, const char *dir, const char *module,
		     const char *version, struct kp_conf **ret)
{
	struct kp_conf_env env = {
		.module = module,
		.version = version,
		.arch = cli->ctx->arch,
		.source_dir = dir,
	};

	return bad_conf(cli, kp_conf_load(cli->ctx, &env, ret, &cli->err));
}

/* Register DIR as MODULE/VERSION; our lock is held. */
static int register_tree(struct cli *cli, struct cli_intent *i, const char *module,
			 const char *version, const char *dir)
{
	int rc;

	rc = kp_register_note(cli->ctx, module, version, dir, &cli->err);
	if (rc == 0)
		rc = kp_source_register(cli->ctx, module, version, dir, &cli->err);
	if (rc < 0)
		return rc;
	kp_intent_set_removed(i->in, module, version, false);
	kp_intent_drop_pending(i->in, module, version);
	rc = cli_intent_save(cli, i);
	if (rc < 0)
		return rc;
	kp_info("registered %s/%s (%s)", module, version, dir);
	return 0;
}

/* A script that fails makes the exit status; the source stays registered, as with DKMS.
 */
static int run_post_add(struct cli *cli, const char *module, const char *version,
			const char *dir, const struct kp_conf *conf)
{
	struct kp_source s = {
		.module = (char *)module,
		.version = (char *)version,
		.dir = (char *)dir,
	};

	int exit_code = CLI_FAILED;
	int rc = kp_script_run(cli->ctx, &s, conf, KP_SCRIPT_POST_ADD, NULL, &exit_code,
			       &cli->err);

	return rc == -ECHILD ? exit_code : rc;
}

bool cli_is_registered(struct cli *cli, const char *module, const char *version)
{
	_cleanup_(kp_sources_clear) struct kp_sources known = { 0 };
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;

	return kp_sources_load(cli->ctx, &known, NULL) == 0 &&
	       kp_sources_find(&known, module, version) &&
	       !(kp_intent_load(cli->ctx, &in, NULL) == 0 &&
		 kp_intent_removes(in, module, version));
}

int cli_register(struct cli *cli, const char *module, const char *version)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	_cleanup_free_ char *name = kp_strf("%s-%s", module, version), *dir = NULL;
	int rc;

	dir = kp_path_join(cli->ctx->source_tree, name);
	rc = cli_intent_open(cli, &i);
	if (rc < 0)
		return rc;
	rc = load_conf(cli, dir, module, version, &conf);
	if (rc)
		return rc;
	if (!kp_str_eq(conf->name, module) || !kp_str_eq(conf->version, version))
		kp_warn("%s/dkms.conf says %s/%s, registering it as %s/%s", dir,
			conf->name, conf->version, module, version);
	rc = register_tree(cli, &i, module, version, dir);
	cli_intent_close(&i);
	return rc ? rc : run_post_add(cli, module, version, dir, conf);
}

static int merge_into(struct cli *cli, const char *incoming, const char *dir)
{
	_cleanup_close_ int to =
		kp_open_in(cli->ctx->root_fd, dir, O_RDONLY | O_DIRECTORY, 0);

	if (to < 0)
		return kp_err_sys(&cli->err, to, "opening %s", dir);
	return kp_copy_tree(cli->ctx->root_fd, incoming, to, 0, 0, &cli->err);
}

/* Put the copy INCOMING in the place of DIR, which may exist if HOW allows. */
static int move_into_place(struct cli *cli, const char *incoming, const char *dir,
			   enum cli_add_how how)
{
	int root = cli->ctx->root_fd;
	_cleanup_close_ int fd = -1;

	if (kp_exists_in(root, dir)) {
		if (how == CLI_ADD_MERGE)
			return merge_into(cli, incoming, dir);
		if (how != CLI_ADD_REPLACE)
			return cli_fail(cli, CLI_FAILED,
					"%s is there already; --force replaces it", dir);
	}
	/* On disk as a whole before it has its name. */
	fd = kp_open_in(root, incoming, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0 || syncfs(fd) < 0)
		return kp_err_sys(&cli->err, fd < 0 ? fd : -errno, "writing %s",
				  incoming);
	return kp_swap_in(root, incoming, dir, &cli->err);
}

static bool is_same_directory(struct cli *cli, int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && kp_stat_in(cli->ctx->root_fd, path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void cli_name_tree(struct cli *cli, const char *dir, const char *name)
{
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	const char *rest = cli->err.text, *at;

	while ((at = strstr(rest, dir))) {
		kp_buf_add(&text, rest, (size_t)(at - rest));
		kp_buf_adds(&text, name);
		rest = at + strlen(dir);
	}
	kp_buf_adds(&text, rest);
	(void)kp_err_set(&cli->err, cli->err.code, "%s", text.s);
}

/* The copy says what it is; give it its place and register it. */
static int take_in(struct cli *cli, struct cli_intent *i, int from, const char *incoming,
		   const char *tree, enum cli_add_how how)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	_cleanup_free_ char *name = NULL, *dir = NULL;
	int rc;

	rc = load_conf(cli, incoming, "", NULL, &conf);
	if (rc) {
		cli_name_tree(cli, incoming, tree);
		return rc;
	}
	if (cli_is_registered(cli, conf->name, conf->version) && how != CLI_ADD_REPLACE)
		return cli_fail(cli, CLI_NOT_REGISTERED, "%s/%s is registered already",
				conf->name, conf->version);
	name = kp_strf("%s-%s", conf->name, conf->version);
	dir = kp_path_join(cli->ctx->source_tree, name);
	if (!is_same_directory(cli, from, dir)) {
		rc = move_into_place(cli, incoming, dir, how);
		if (rc)
			return rc;
	}
	rc = register_tree(cli, i, conf->name, conf->version, dir);
	if (rc)
		return rc;
	cli_intent_close(i);
	return run_post_add(cli, conf->name, conf->version, dir, conf);
}

int cli_add_tree(struct cli *cli, int from, const char *name, enum cli_add_how how)
{
	_cleanup_(cli_intent_close) struct cli_intent i = { .lock = -1 };
	_cleanup_free_ char *incoming = kp_path_join(cli->ctx->source_tree, INCOMING);
	_cleanup_close_ int to = -1;
	int root = cli->ctx->root_fd, rc;

	rc = cli_intent_open(cli, &i);
	if (rc < 0)
		return rc;
	rc = kp_rm_rf_in(root, incoming, &cli->err);
	if (rc < 0)
		return rc;
	rc = kp_mkdir_in(root, incoming, 0755, &cli->err);
	if (rc < 0)
		return rc;
	to = kp_open_in(root, incoming, O_RDONLY | O_DIRECTORY, 0);
	if (to < 0)
		return kp_err_sys(&cli->err, to, "opening %s", incoming);
	rc = kp_copy_tree(from, "/", to, 0, 0, &cli->err);
	if (rc == 0)
		rc = take_in(cli, &i, from, incoming, name, how);
	(void)kp_rm_rf_in(root, incoming, NULL);
	return rc;
}

int cli_open_tree(const char *word, char **ret_name)
{
	_cleanup_close_ int dir = -1;
	_cleanup_free_ char *name = kp_strdup(word);

	if (kp_str_ends(name, "/dkms.conf"))
		name[strlen(name) - strlen("/dkms.conf")] = '\0';
	else if (kp_str_eq(name, "dkms.conf"))
		strcpy(name, ".");
	/* Opened here and now: it is the caller's directory, not one of --root. */
	dir = open(*name ? name : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || faccessat(dir, "dkms.conf", F_OK, 0) < 0)
		return -1;
	*ret_name = kp_steal(&name);
	return kp_steal_fd(&dir);
}
