// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * To make an image takes longer than all the rest, and most modules are in none. An image concerns those that it
 * holds: by their names, since one that is built here may take the place of the kernel's own. It is
 * to hold those that its tool's configuration, or a hook of it, names, and those that another
 * kernel's image holds: this one's may have been made before they could be built. What tools choose
 * by other means is the kernel's own, or the machine started without it: what that takes is in an
 * image. (dracut by itself takes modules, all or those in use, from the directories that depmod searches first.)
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/image-parts.h"
#include "lib/initramfs-image.h"
#include "lib/initramfs.h"
#include "lib/kernel.h"
#include "lib/tool.h"

/* Larger ones are no configuration. */
#define TEXT_MAX (1024 * 1024)
#define SEEN_MAX 4096
#define DEPTH_MAX 4

/* Where tools are told what to take: all in a directory whose name begins so, with what is below. */
static const struct {
	const char *dir, *prefix;
	const char *tool; /* it alone reads it; NULL: it is there only with its tool */
} places[] = {
	{ "/etc", "initramfs-tools", NULL },
	{ "/usr/share", "initramfs-tools", NULL },
	{ "/etc", "dracut", NULL },
	{ "/usr/lib/dracut", "dracut.conf.d", NULL },
	{ "/usr/lib/dracut", "modules.d", NULL },
	{ "/etc", "modules-load.d", "dracut" },
	{ "/usr/lib", "modules-load.d", "dracut" },
	{ "/etc", "mkinitcpio", NULL },
	{ "/etc/initcpio", "", NULL },
	{ "/usr/lib/initcpio", "install", NULL },
	{ "/usr/lib/initcpio", "hooks", NULL },
};

char *kp_initramfs_module(const char *path)
{
	const char *base = strrchr(path, '/');
	const char *name = base ? base + 1 : path, *end = kp_image_ko(name);
	char *module = kp_strndup(name, end ? (size_t)(end - name) : strlen(name));

	for (char *c = module; *c; c++)
		if (*c == '-')
			*c = '_';
	return module;
}

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* Is the word of LEN bytes the name of a module, where - and _ are the same? */
static bool is_module(const char *word, size_t len, const char *module)
{
	if (strlen(module) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((word[i] == '-' ? '_' : word[i]) != module[i])
			return false;
	return true;
}

static const char *word_of_line(const char *s, const char *end, char *const *modules)
{
	while (s < end) {
		const char *word = s;

		while (s < end && is_word_char(*s))
			s++;
		kp_strv_foreach(module, modules)
			if (s > word && is_module(word, (size_t)(s - word), *module))
				return *module;
		s += s == word;
	}
	return NULL;
}

/* A comment, or what dracut is to leave out, and nothing else. */
static bool is_left_out(const char *line, const char *end)
{
	static const char omit[] = "omit_drivers";
	const char *equals;

	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	if (line == end || *line == '#')
		return true;
	equals = memchr(line, '=', (size_t)(end - line));
	return (size_t)(end - line) > strlen(omit) && !memcmp(line, omit, strlen(omit)) &&
	       equals && !memchr(equals + 1, '=', (size_t)(end - equals - 1));
}

bool kp_initramfs_text_names(const char *text, size_t len, char *const *modules,
			     const char **ret)
{
	const char *end = text + len;

	for (const char *line = text, *stop; line < end; line = stop + 1) {
		stop = memchr(line, '\n', (size_t)(end - line)) ?: end;
		*ret = is_left_out(line, stop) ? NULL : word_of_line(line, stop, modules);
		if (*ret)
			return true;
	}
	return false;
}

struct search {
	struct kp_ctx *ctx;
	char *const *modules;
	size_t seen; /* files and directories */
};

static char *cannot_search(const char *path, const char *why)
{
	return kp_strf("cannot tell what its tool is told: '%s': %s", path, why);
}

static char *search_path(struct search *s, const char *path, int depth);

static char *search_dir(struct search *s, const char *dir, const char *prefix, int depth)
{
	_cleanup_strv_ char **names = NULL;
	int r = kp_list_in(s->ctx->root_fd, dir, &names);
	char *why = NULL;

	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return cannot_search(dir, strerror(-r));
	for (char *const *name = names; !why && name && *name; name++) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);

		/* udev's name no modules, but have many a word. */
		if (kp_str_starts(*name, prefix) && !kp_str_ends(*name, ".rules"))
			why = search_path(s, path, depth);
	}
	return why;
}

static char *search_file(struct search *s, const char *path)
{
	_cleanup_free_ char *text = NULL;
	const char *module;
	size_t len;
	int r = kp_read_in(s->ctx->root_fd, path, TEXT_MAX, &text, &len);

	switch (r) {
	case 0:
		return kp_initramfs_text_names(text, len, s->modules, &module)
			       ? kp_strf("%s names %s", path, module)
			       : NULL;
	/* A link that leads nowhere, something that is no file, or too large. */
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EINVAL:
	case -EFBIG:
		return NULL;
	}
	return cannot_search(path, strerror(-r));
}

/* What names a module in the file PATH, or in all files below it. */
static char *search_path(struct search *s, const char *path, int depth)
{
	if (s->seen++ >= SEEN_MAX)
		return cannot_search(path, "there are too many files");
	if (!kp_is_dir_in(s->ctx->root_fd, path))
		return search_file(s, path);
	return depth < DEPTH_MAX ? search_dir(s, path, "", depth + 1) : NULL;
}

static void add_aliases_of_line(const char *line, char *const *modules, char ***names)
{
	_cleanup_strv_ char **words = kp_strv_split(line, " \t");

	if (kp_strv_len(words) != 3 || strcmp(words[0], "alias") != 0)
		return;
	kp_strv_foreach(module, modules)
		if (is_module(words[2], strlen(words[2]), *module))
			kp_strv_take(names, kp_initramfs_module(words[1]));
}

/* The names that modprobe.d(5) gives modules besides their own: Debian's nvidia is nvidia-current. */
static void add_aliases(struct kp_ctx *ctx, char *const *modules, char ***names)
{
	static const char *const dirs[] = { "/etc/modprobe.d", "/usr/lib/modprobe.d",
					    "/lib/modprobe.d" };

	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++) {
		_cleanup_strv_ char **files = NULL;

		(void)kp_list_in(ctx->root_fd, dirs[i], &files);
		kp_strv_foreach(file, files) {
			_cleanup_free_ char *path = kp_path_join(dirs[i], *file);
			_cleanup_free_ char *text = NULL;
			_cleanup_strv_ char **lines = NULL;
			size_t len;

			if (kp_read_in(ctx->root_fd, path, TEXT_MAX, &text, &len) == 0)
				lines = kp_strv_split(text, "\n");
			kp_strv_foreach(line, lines)
				add_aliases_of_line(*line, modules, names);
		}
	}
}

static char *is_asked_for(struct kp_ctx *ctx, char *const *modules)
{
	_cleanup_strv_ char **names = kp_strv_dup(modules);
	struct search s = { .ctx = ctx };
	char *why = NULL;

	add_aliases(ctx, modules, &names);
	s.modules = names;
	for (size_t i = 0; !why && i < KP_ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *tool =
			places[i].tool ? kp_tool_find(ctx, places[i].tool) : NULL;

		if (tool || !places[i].tool)
			why = search_dir(&s, places[i].dir, places[i].prefix, 0);
	}
	return why;
}

static char *is_held(struct kp_ctx *ctx, const char *kernel, char *const *modules)
{
	_cleanup_strv_ char **images = kp_initramfs_images(ctx, kernel);

	kp_strv_foreach(image, images) {
		_cleanup_strv_ char **held = NULL;
		struct kp_err err = KP_ERR_INIT;
		int r = kp_initramfs_modules(ctx, *image, &held, &err);

		if (r < 0)
			return kp_strf("as it cannot be told what one holds: %s",
				       kp_err_text(&err, r));
		kp_strv_foreach(module, modules)
			if (kp_strv_has(held, *module))
				return kp_strf("%s is in %s", *module, *image);
	}
	return NULL;
}

static char *is_held_by_another(struct kp_ctx *ctx, const char *kernel,
				char *const *modules)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);
	char *why = NULL;

	kp_strv_foreach(tree, trees) {
		_cleanup_strv_ char **names = NULL;

		(void)kp_list_in(ctx->root_fd, *tree, &names);
		for (char *const *other = names; !why && other && *other; other++)
			if (kp_name_ok(*other) && strcmp(*other, kernel) != 0)
				why = is_held(ctx, *other, modules);
	}
	return why;
}

char *kp_initramfs_why(struct kp_ctx *ctx, const char *kernel, char *const *modules)
{
	char *why;

	if (ctx->config.initramfs == KP_REFRESH_YES)
		return kp_strdup("as configured");
	if (kp_strv_has(modules, KP_ANY_MODULE))
		return kp_strdup("whatever changed");
	if (!modules)
		return NULL;
	why = is_asked_for(ctx, modules);
	if (!why)
		why = is_held(ctx, kernel, modules);
	return why ? why : is_held_by_another(ctx, kernel, modules);
}
