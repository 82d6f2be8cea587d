// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pacman.conf(5), as far as it says where things are: DBPath, LogFile, HookDir and Include of
 * the section [options]. pacman keeps the first value that it sees, but all HookDirs.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

#include "pacman.h"

#define CONF "/etc/pacman.conf"
#define MAX_DEPTH 10 /* of files that include each other; pacman's own limit */
#define MAX_SIZE (1024 * 1024)

static void take(char **to, const char *value)
{
	if (!*to && value[0] == '/')
		*to = kp_path_join("/", value);
}

static void add_dirs(char ***to, const char *value)
{
	_cleanup_strv_ char **words = kp_strv_split(value, " ");

	kp_strv_foreach(w, words) {
		if (**w == '/')
			kp_strv_add(to, *w);
	}
}

void kp_pacman_conf_parse(struct kp_pacman_conf *conf, char *text,
			  kp_pacman_include_fn *include, void *data)
{
	bool options = true; /* what is included begins in its includer's section */
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n"))) {
		char *value, *key;

		line = kp_str_strip(line);
		if (*line == '[') {
			options = !strcmp(line, "[options]");
			continue;
		}
		value = strchr(line, '=');
		if (!options || *line == '#' || !value)
			continue;
		*value++ = '\0';
		key = kp_str_strip(line);
		value = kp_str_strip(value);
		if (!strcmp(key, "DBPath"))
			take(&conf->dbpath, value);
		else if (!strcmp(key, "LogFile"))
			take(&conf->logfile, value);
		else if (!strcmp(key, "HookDir"))
			add_dirs(&conf->hookdirs, value);
		else if (!strcmp(key, "Include") && value[0] == '/')
			include(value, data);
	}
}

struct reader {
	struct kp_pacman_conf *conf;
	int root_fd;
	int depth;
};

static void read_matches(const char *pattern, void *data);

static void read_conf(struct reader *r, const char *path)
{
	_cleanup_free_ char *text = NULL;

	if (r->depth == MAX_DEPTH ||
	    kp_read_in(r->root_fd, path, MAX_SIZE, &text, NULL) < 0)
		return;
	r->depth++;
	kp_pacman_conf_parse(r->conf, text, read_matches, r);
	r->depth--;
}

/* A pattern with wild cards in the file's name; those in directories' names are nowhere in
 * use. */
static void read_matches(const char *pattern, void *data)
{
	_cleanup_free_ char *dir = kp_path_dir(pattern);
	const char *name = strrchr(pattern, '/') + 1;
	_cleanup_strv_ char **names = NULL;
	struct reader *r = data;

	if (!strpbrk(name, "*?[")) {
		read_conf(r, pattern);
		return;
	}
	(void)kp_list_in(r->root_fd, dir, &names);
	kp_strv_foreach(n, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *n);

		if (!fnmatch(name, *n, FNM_PERIOD))
			read_conf(r, path);
	}
}

void kp_pacman_conf_load(int root_fd, struct kp_pacman_conf *ret)
{
	struct reader r = { .conf = ret, .root_fd = root_fd };

	*ret = (struct kp_pacman_conf){ 0 };
	read_conf(&r, CONF);
	take(&ret->dbpath, "/var/lib/pacman");
	take(&ret->logfile, "/var/log/pacman.log");
	if (!ret->hookdirs)
		kp_strv_add(&ret->hookdirs, "/etc/pacman.d/hooks");
}

void kp_pacman_conf_clear(struct kp_pacman_conf *conf)
{
	free(conf->dbpath);
	free(conf->logfile);
	kp_strv_free(conf->hookdirs);
	*conf = (struct kp_pacman_conf){ 0 };
}
