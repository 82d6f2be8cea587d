// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/looks.h"
#include "base/str.h"
#include "lib/jsonfile.h"
#include "lib/key.h"
#include "lib/tree-hash.h"

#define CONF_MAX (1024 * 1024)

/* ---- source trees */

static char *tree_cache_path(struct kp_ctx *ctx, const char *dir)
{
	char hex[KP_HASH_HEX];
	struct kp_hash h;

	kp_hash_init(&h);
	kp_hash_field(&h, "tree", dir);
	kp_hash_hex(&h, hex);
	return kp_strf("%s/trees/%s.json", ctx->state_dir, hex);
}

/* The remembered content hash of DIR if its stat hash is still STAT. */
static bool tree_cache_get(struct kp_ctx *ctx, const char *dir, const char *stat,
			   char ret[KP_HASH_HEX])
{
	_cleanup_free_ char *path = tree_cache_path(ctx, dir);
	_cleanup_json_ json_t *object = NULL;
	const char *its_dir, *its_stat, *content;
	int schema;

	/* Whatever is wrong with it: it is made again. */
	if (kp_json_load(ctx->root_fd, path, &object, NULL) < 0 ||
	    kp_json_unpack(object, path, NULL, "{s:i, s:s, s:s, s:s}", "schema", &schema,
			   "dir", &its_dir, "stat", &its_stat, "content", &content) < 0 ||
	    strcmp(its_dir, dir) != 0 || strcmp(its_stat, stat) != 0 ||
	    !kp_json_is_sha256(content))
		return false;
	memcpy(ret, content, KP_HASH_HEX);
	return true;
}

static void tree_cache_put(struct kp_ctx *ctx, const char *dir,
			   const struct kp_tree_hash *hash)
{
	_cleanup_free_ char *path = tree_cache_path(ctx, dir);
	_cleanup_free_ char *parent = kp_path_dir(path);
	_cleanup_json_ json_t *object = NULL;
	struct kp_err why = KP_ERR_INIT;
	int r;

	object = json_pack("{s:s, s:s, s:s}", "dir", dir, "stat", hash->stat, "content",
			   hash->content);
	if (!object)
		return; /* a path that is no UTF-8 */
	r = kp_mkdir_in(ctx->root_fd, parent, 0755, &why);
	if (!r)
		r = kp_json_save(ctx->root_fd, path, object, &why);
	/* Whoever only asks for the status may be nobody special, on a read-only system.
	 */
	if (r < 0)
		kp_debug("%s, not remembering the hash of %s", kp_err_text(&why, r), dir);
}

int kp_key_tree(struct kp_ctx *ctx, const char *dir, char ret[KP_HASH_HEX],
		struct kp_err *err)
{
	struct kp_tree_hash hash;
	struct timespec start;
	int r;

	r = kp_tree_hash(ctx->root_fd, dir, KP_TREE_STAT, &hash, err);
	if (r < 0)
		return r;
	if (tree_cache_get(ctx, dir, hash.stat, ret))
		return 0;
	clock_gettime(CLOCK_REALTIME, &start);
	r = kp_tree_hash(ctx->root_fd, dir, KP_TREE_CONTENT, &hash, err);
	if (r < 0)
		return r;
	if (hash.newest_s + KP_RACY_S < start.tv_sec)
		tree_cache_put(ctx, dir, &hash);
	memcpy(ret, hash.content, KP_HASH_HEX);
	return 0;
}

void kp_key_tree_forget(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_free_ char *path = tree_cache_path(ctx, dir);

	(void)kp_unlink_in(ctx->root_fd, path);
}

void kp_key_sources(struct kp_ctx *ctx, struct kp_sources *sources)
{
	struct kp_tree_hash hash;

	for (size_t i = 0; i < sources->n; i++) {
		struct kp_source *s = &sources->list[i];
		time_t start = time(NULL);

		if (s->missing || s->tree_looks ||
		    kp_tree_hash(ctx->root_fd, s->dir, KP_TREE_STAT, &hash, NULL) < 0)
			continue;
		s->tree_looks = kp_strdup(hash.stat);
		s->tree_fresh = hash.newest_s + KP_RACY_S >= start;
	}
}

void kp_key_source(struct kp_ctx *ctx, struct kp_source *s)
{
	char hex[KP_HASH_HEX];

	if (!s->tree_looks || s->tree_key)
		return;
	if (tree_cache_get(ctx, s->dir, s->tree_looks, hex) ||
	    kp_key_tree(ctx, s->dir, hex, NULL) == 0)
		s->tree_key = kp_strdup(hex);
}

/* ---- a source for a kernel */

/* Does the jobs option WORD have its number in the next word? */
static bool is_jobs_option(const char *word, bool *ret_takes_next)
{
	const char *number;

	*ret_takes_next = !strcmp(word, "-j") || !strcmp(word, "--jobs");
	if (kp_str_starts(word, "--jobs"))
		number = word + strlen("--jobs") + (word[strlen("--jobs")] == '=');
	else if (kp_str_starts(word, "-j"))
		number = word + strlen("-j");
	else
		return false;
	return !number[strspn(number, "0123456789")];
}

/* A command without its -jN: how many run at once changes with the machine (-j$(nproc)),
 * and not what comes out. To be freed. */
static char *without_jobs(const char *command)
{
	_cleanup_strv_ char **words = kp_strv_split(command, " \t");
	_cleanup_strv_ char **kept = NULL;

	for (char **p = words; p && *p; p++) {
		bool takes_next;

		if (!is_jobs_option(*p, &takes_next))
			kp_strv_add(&kept, *p);
		else if (takes_next && p[1] && !p[1][strspn(p[1], "0123456789")])
			p++;
	}
	return kp_strv_join(kept, " ");
}

static void add_conf(struct kp_hash *h, const struct kp_conf *conf)
{
	_cleanup_free_ char *make = conf->make ? without_jobs(conf->make) : NULL;

	kp_hash_field(h, "name", conf->name);
	kp_hash_field(h, "version", conf->version);
	kp_hash_field(h, "make", make);
	kp_hash_field(h, "pre-build", conf->scripts[KP_SCRIPT_PRE_BUILD]);
	kp_hash_field(h, "post-build", conf->scripts[KP_SCRIPT_POST_BUILD]);
	kp_strv_foreach(p, conf->patches)
		kp_hash_field(h, "patch", *p);
	for (size_t i = 0; i < conf->n_modules; i++) {
		const struct kp_conf_module *m = &conf->modules[i];

		kp_hash_field(h, "module", m->built_name);
		kp_hash_field(h, "location", m->built_location);
		kp_hash_field(h, "dest", m->dest_name);
		kp_hash_field(h, "dest-location", m->dest_location);
		kp_hash_field(h, "strip", m->strip ? "yes" : "no");
		kp_hash_field(h, "excluded", m->excluded ? "yes" : "no");
	}
}

static int add_file(struct kp_ctx *ctx, struct kp_hash *h, const char *path,
		    struct kp_err *err)
{
	_cleanup_free_ char *text = NULL;
	struct kp_hash sub;
	char hex[KP_HASH_HEX];
	size_t len;
	int r;

	r = kp_read_in(ctx->root_fd, path, CONF_MAX, &text, &len);
	if (r < 0)
		return kp_err_sys(err, r, "reading %s", path);
	kp_hash_init(&sub);
	kp_hash_add(&sub, text, len);
	kp_hash_hex(&sub, hex);
	kp_hash_field(h, path, hex);
	return 0;
}

/* The conf files outside of the source tree, which its hash does not cover. */
static int add_overrides(struct kp_ctx *ctx, struct kp_hash *h,
			 const struct kp_source *source, const struct kp_conf *conf,
			 struct kp_err *err)
{
	_cleanup_free_ char *inside = kp_strf("%s/", source->dir);
	int r;

	kp_strv_foreach(p, conf->files) {
		if (kp_str_starts(*p, inside))
			continue;
		r = add_file(ctx, h, *p, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int kp_key_overlay(struct kp_ctx *ctx, const char *module, char ret[KP_HASH_HEX],
		   struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_join("/etc/dkms", module);

	if (!kp_is_dir_in(ctx->root_fd, dir))
		return -ENOENT;
	return kp_key_tree(ctx, dir, ret, err);
}

static int add_overlay(struct kp_ctx *ctx, struct kp_hash *h, const char *module,
		       struct kp_err *err)
{
	char hex[KP_HASH_HEX];
	int r = kp_key_overlay(ctx, module, hex, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	kp_hash_field(h, "overlay", hex);
	return 0;
}

int kp_key_pair(struct kp_ctx *ctx, const struct kp_source *source,
		const struct kp_conf *conf, const struct kp_kernel *kernel,
		char ret[KP_HASH_HEX], struct kp_err *err)
{
	const char *tree = source->tree_key;
	char hex[KP_HASH_HEX];
	struct kp_hash h;
	int r;

	if (!kernel->headers_key)
		return kp_err_set(err, -ENODATA,
				  "kernel %s: no headers to make a key from",
				  kernel->release);
	if (!tree) {
		r = kp_key_tree(ctx, source->dir, hex, err);
		if (r < 0)
			return r;
		tree = hex;
	}
	kp_hash_init(&h);
	kp_hash_field(&h, "key", "1");
	kp_hash_field(&h, "tree", tree);
	kp_hash_field(&h, "headers", kernel->headers_key);
	kp_hash_field(&h, "kernel", kernel->release);
	kp_hash_field(&h, "arch", ctx->arch);
	add_conf(&h, conf);
	r = add_overrides(ctx, &h, source, conf, err);
	if (!r)
		r = add_overlay(ctx, &h, source->module, err);
	if (r < 0)
		return r;
	kp_hash_hex(&h, ret);
	return 0;
}

void kp_key_with_deps(const char *key, const char *const *dep_keys, size_t n,
		      char ret[KP_HASH_HEX])
{
	struct kp_hash h;

	if (!n) {
		snprintf(ret, KP_HASH_HEX, "%s", key);
		return;
	}
	kp_hash_init(&h);
	kp_hash_field(&h, "key", key);
	for (size_t i = 0; i < n; i++)
		kp_hash_field(&h, "depends", dep_keys[i]);
	kp_hash_hex(&h, ret);
}
