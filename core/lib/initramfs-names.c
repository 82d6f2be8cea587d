// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <string.h>

#include <kmodpkg/pkgdb.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/backend.h"
#include "lib/initramfs.h"
#include "lib/kernel.h"

/* The first line of a small file, if it is usable as a name. */
static char *read_name(struct kp_ctx *ctx, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (kp_read_in(ctx->root_fd, path, 4096, &text, &len) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return kp_name_ok(text) ? kp_steal(&text) : NULL;
}

static bool is_superseded(struct kp_ctx *ctx, const char *kernel)
{
	const struct kp_backend *b = ctx->backend;

	return b && b->ops->superseded && b->ops->superseded(b->db, kernel, NULL) == 1;
}

char *kp_initramfs_pkgbase(struct kp_ctx *ctx, const char *kernel)
{
	_cleanup_strv_ char **trees = kp_kernel_trees(ctx);

	kp_strv_foreach(tree, trees) {
		_cleanup_free_ char *path = kp_strf("%s/%s/pkgbase", *tree, kernel);
		char *name = read_name(ctx, path);

		if (name && !is_superseded(ctx, kernel))
			return name;
		free(name);
	}
	return NULL;
}

/* A word of bash that stands for itself, in quotes or not; NULL for any other. */
static char *literal(const char *s, const char *end)
{
	char quote = s < end && (*s == '"' || *s == '\'') ? *s : '\0';
	const char *special = quote == '\'' ? "" : quote ? "$`\\" : "$`\\\"'*?[(&|<>";
	const char *start = quote ? s + 1 : s;

	for (s = start; s < end && *s != quote; s++) {
		if (!quote && strchr("\t #;", *s))
			break;
		if (!*s || strchr(special, *s))
			return NULL;
	}
	if (quote && (s == end || (s + 1 < end && !strchr("\t #;", s[1]))))
		return NULL;
	return kp_strndup(start, (size_t)(s - start));
}

static const char *skip_blanks(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	return s;
}

/* The variable that a line assigns to, to be freed, and behind the '=' its value; else NULL. */
static char *variable_of_line(const char *line, const char *end, const char **ret_value)
{
	const char *name = skip_blanks(line, end), *s = name;

	while (s < end && (isalnum((unsigned char)*s) || *s == '_'))
		s++;
	if (s == end || *s != '=')
		return NULL;
	*ret_value = s + 1;
	return kp_strndup(name, (size_t)(s - name));
}

/* The words of an array on one line; NULL: it has none, or something else is there. */
static char **literals(const char *s, const char *end)
{
	_cleanup_strv_ char **words = NULL;

	if (s == end || *s != '(')
		return NULL;
	for (s = skip_blanks(s + 1, end); s < end && *s != ')'; s = skip_blanks(s, end)) {
		const char *start = s;
		char *word;

		while (s < end && !strchr(" \t)", *s))
			s++;
		/* Where it does not move on is a NUL. */
		word = s > start ? literal(start, s) : NULL;
		if (!word)
			return NULL;
		kp_strv_take(&words, word);
	}
	return s < end ? kp_steal(&words) : NULL;
}

/* Is the variable NAME that of an image of one of PRESETS, or if these are not known of any? */
static bool is_image(const char *name, char *const *presets)
{
	const char *end = strrchr(name, '_');
	_cleanup_free_ char *preset = NULL;

	if (!kp_str_eq(end, "_image") && !kp_str_eq(end, "_uki"))
		return false;
	preset = kp_strndup(name, (size_t)(end - name));
	return !presets || kp_strv_has(presets, preset);
}

/* The last one counts, as to the shell that reads it. */
static char **find_presets(const char *text, const char *end)
{
	char **presets = NULL;

	for (const char *line = text, *stop; line < end; line = stop + 1) {
		_cleanup_free_ char *name = NULL;
		const char *value;

		stop = memchr(line, '\n', (size_t)(end - line)) ?: end;
		name = variable_of_line(line, stop, &value);
		if (!kp_str_eq(name, "PRESETS"))
			continue;
		kp_strv_free(presets);
		presets = literals(value, stop);
	}
	return presets;
}

void kp_initramfs_preset_parse(const char *text, size_t len, char ***images)
{
	const char *end = text + len;
	_cleanup_strv_ char **presets = find_presets(text, end);

	for (const char *line = text, *stop; line < end; line = stop + 1) {
		_cleanup_free_ char *name = NULL, *image = NULL;
		const char *value;

		stop = memchr(line, '\n', (size_t)(end - line)) ?: end;
		name = variable_of_line(line, stop, &value);
		if (!name || !is_image(name, presets))
			continue;
		image = literal(value, stop);
		if (kp_path_ok(image) && !kp_strv_has(*images, image))
			kp_strv_take(images, kp_steal(&image));
	}
}

void kp_initramfs_preset(struct kp_ctx *ctx, const char *pkgbase, char ***images)
{
	_cleanup_free_ char *path = kp_strf("/etc/mkinitcpio.d/%s.preset", pkgbase);
	_cleanup_free_ char *text = NULL;
	_cleanup_strv_ char **named = NULL;
	size_t len;

	if (kp_read_in(ctx->root_fd, path, 65536, &text, &len) < 0)
		return;
	kp_initramfs_preset_parse(text, len, &named);
	/* Without any that we understand, those that mkinitcpio's own script assumes. */
	if (!named)
		kp_strv_addf(&named, "/boot/initramfs-%s.img", pkgbase);
	kp_strv_foreach(image, named)
		kp_strv_add(images, *image);
}

/* What stands for this system in the names of its boot loader entries, in the order in which
 * kernel-install(8) looks for it. */
static char **entry_tokens(struct kp_ctx *ctx)
{
	static const char *const files[] = { "/etc/kernel/entry-token",
					     "/etc/machine-id" };
	char **tokens = NULL;

	for (size_t i = 0; i < KP_ARRAY_SIZE(files); i++) {
		char *token = read_name(ctx, files[i]);

		if (token)
			kp_strv_take(&tokens, token);
	}
	if (!kp_str_empty(ctx->distro))
		kp_strv_add(&tokens, ctx->distro);
	kp_strv_add(&tokens, "Default");
	return tokens;
}

/* TOKEN-KERNEL.efi, or with the tries that it has left TOKEN-KERNEL+3-0.efi: the unified
 * kernel images of the Boot Loader Specification, type 2. */
static void add_unified(struct kp_ctx *ctx, const char *boot, const char *token,
			const char *kernel, char ***images)
{
	_cleanup_free_ char *dir = kp_path_join(boot, "EFI/Linux");
	_cleanup_free_ char *stem = kp_strf("%s-%s", token, kernel);
	_cleanup_strv_ char **names = NULL;

	if (kp_list_in(ctx->root_fd, dir, &names) < 0)
		return;
	kp_strv_foreach(name, names) {
		const char *rest = *name + strlen(stem);

		if (kp_str_starts(*name, stem) &&
		    (kp_str_eq(rest, ".efi") ||
		     (*rest == '+' && kp_str_ends(rest, ".efi"))))
			kp_strv_take(images, kp_path_join(dir, *name));
	}
}

void kp_initramfs_entries(struct kp_ctx *ctx, const char *kernel, char ***images)
{
	static const char *const boots[] = { "/efi", "/boot", "/boot/efi" };
	_cleanup_strv_ char **tokens = entry_tokens(ctx);

	for (size_t i = 0; i < KP_ARRAY_SIZE(boots); i++) {
		kp_strv_foreach(token, tokens) {
			kp_strv_addf(images, "%s/%s/%s/initrd", boots[i], *token, kernel);
			add_unified(ctx, boots[i], *token, kernel, images);
		}
	}
}
