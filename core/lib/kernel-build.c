// SPDX-License-Identifier: GPL-2.0-or-later
#include <elf.h>
#include <errno.h>
#include <string.h>

#include <kmodpkg/log.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/kernel.h"
#include "lib/tool.h"

static const struct {
	const char *suffix, *config;
} compressions[] = {
	[KP_COMPRESS_NONE] = { "", "CONFIG_MODULE_COMPRESS_NONE" },
	[KP_COMPRESS_GZ] = { ".gz", "CONFIG_MODULE_COMPRESS_GZIP" },
	[KP_COMPRESS_XZ] = { ".xz", "CONFIG_MODULE_COMPRESS_XZ" },
	[KP_COMPRESS_ZST] = { ".zst", "CONFIG_MODULE_COMPRESS_ZSTD" },
};

/* The symbol by which an architecture's Kconfig calls itself, and its ELF machine. */
static const struct {
	const char *config;
	unsigned int machine;
} machines[] = {
	{ "CONFIG_X86_64", EM_X86_64 },	  { "CONFIG_X86_32", EM_386 },
	{ "CONFIG_ARM64", EM_AARCH64 },	  { "CONFIG_ARM", EM_ARM },
	{ "CONFIG_PPC64", EM_PPC64 },	  { "CONFIG_PPC32", EM_PPC },
	{ "CONFIG_S390", EM_S390 },	  { "CONFIG_RISCV", EM_RISCV },
	{ "CONFIG_LOONGARCH", 258 },	  { "CONFIG_MIPS", EM_MIPS },
	{ "CONFIG_SPARC64", EM_SPARCV9 }, { "CONFIG_PARISC", EM_PARISC },
	{ "CONFIG_M68K", EM_68K },
};

const char *kp_compression_suffix(enum kp_compression c)
{
	return compressions[c].suffix;
}

int kp_compression_of_name(const char *file, enum kp_compression *ret)
{
	const char *ko = NULL;

	for (const char *p = file; (p = strstr(p, ".ko")); p += 3)
		if (!p[3] || p[3] == '.')
			ko = p;
	if (!ko || ko == file)
		return -EINVAL;
	for (size_t i = 0; i < KP_ARRAY_SIZE(compressions); i++) {
		if (strcmp(ko + 3, compressions[i].suffix))
			continue;
		*ret = (enum kp_compression)i;
		return 0;
	}
	return -ENOTSUP;
}

/* First module file below DIR in the order of names, to be freed; NULL: none. */
static char *first_module(struct kp_ctx *ctx, const char *dir)
{
	_cleanup_strv_ char **names = NULL;

	if (kp_list_in(ctx->root_fd, dir, &names) < 0)
		return NULL;
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(dir, *name);
		enum kp_compression c;
		struct stat st;
		char *found;

		if (kp_lstat_in(ctx->root_fd, path, &st) < 0)
			continue;
		if (S_ISREG(st.st_mode) && kp_compression_of_name(*name, &c) != -EINVAL)
			return kp_steal(&path);
		if (!S_ISDIR(st.st_mode))
			continue;
		found = first_module(ctx, path);
		if (found)
			return found;
	}
	return NULL;
}

static bool is_yes(const char *config, const char *name)
{
	_cleanup_free_ char *value = kp_kconfig_get(config, name);

	return value && !strcmp(value, "y");
}

/* Up to Linux 6.11 the choice of a compression says that modules are compressed when they
 * are installed; since 6.12 only together with CONFIG_MODULE_COMPRESS_ALL
 * (kernel/module/Kconfig). */
static int compression_of_config(const char *config, const char *config_path,
				 enum kp_compression *ret, struct kp_err *err)
{
	*ret = KP_COMPRESS_NONE;
	if (is_yes(config, "CONFIG_MODULE_COMPRESS_NONE") ||
	    strstr(config, "# CONFIG_MODULE_COMPRESS_ALL is not set"))
		return 0;
	for (size_t i = 0; i < KP_ARRAY_SIZE(compressions); i++) {
		if (!is_yes(config, compressions[i].config))
			continue;
		*ret = (enum kp_compression)i;
		return 0;
	}
	if (is_yes(config, "CONFIG_MODULE_COMPRESS"))
		return kp_err_set(
			err, -ENODATA,
			"%s: modules are compressed, but by no method known here "
			"(gzip, xz, zstd)",
			config_path);
	return 0;
}

static int find_compression(struct kp_ctx *ctx, const struct kp_kernel *k,
			    const char *config, const char *config_path,
			    enum kp_compression *ret, struct kp_err *err)
{
	_cleanup_free_ char *dir = kp_path_join(k->moddir, "kernel");
	_cleanup_free_ char *module = first_module(ctx, dir);

	if (!module)
		return compression_of_config(config, config_path, ret, err);
	if (kp_compression_of_name(module, ret) < 0)
		return kp_err_set(
			err, -ENODATA,
			"%s: compressed by no method known here (gzip, xz, zstd)",
			module);
	return 0;
}

static int read_config(struct kp_ctx *ctx, const struct kp_kernel *k, char **ret_path,
		       char **ret_text, struct kp_err *err)
{
	_cleanup_strv_ char **candidates = NULL;

	kp_strv_addf(&candidates, "%s/.config", k->headers);
	kp_strv_addf(&candidates, "%s/include/config/auto.conf", k->headers);
	kp_strv_addf(&candidates, "/boot/config-%s", k->release);
	kp_strv_addf(&candidates, "%s/config", k->moddir);
	kp_strv_foreach(path, candidates) {
		int r = kp_read_in(ctx->root_fd, *path, 0, ret_text, NULL);

		if (!r) {
			*ret_path = kp_strdup(*path);
			return 0;
		}
		if (r != -ENOENT && r != -ENOTDIR)
			return kp_err_sys(err, r, "read '%s'", *path);
	}
	*ret_path = NULL;
	*ret_text = kp_strdup("");
	kp_debug("kernel %s: no configuration file", k->release);
	return 0;
}

/* A kernel is built with a compiler of a certain name ("x86_64-linux-gnu-gcc-12");
 * modules want the same one where it is installed. */
static void find_toolchain(struct kp_ctx *ctx, const char *config,
			   struct kp_kernel_build *kb)
{
	_cleanup_free_ char *text = kp_kconfig_get(config, "CONFIG_CC_VERSION_TEXT");

	kb->clang = is_yes(config, "CONFIG_CC_IS_CLANG");
	if (is_yes(config, "CONFIG_LD_IS_LLD"))
		kb->ld = kp_strdup("ld.lld");
	if (text) {
		_cleanup_free_ char *word = NULL, *path = NULL;

		text[strcspn(text, " \t")] = '\0';
		word = kp_steal(&text);
		path = kp_name_ok(word) ? kp_tool_find(ctx, word) : NULL;
		if (path) {
			kb->cc = kp_steal(&word);
			return;
		}
	}
	if (kb->clang)
		kb->cc = kp_strdup("clang");
}

static void find_machine(const char *config, struct kp_kernel_build *kb)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(machines) && !kb->elf_machine; i++)
		if (is_yes(config, machines[i].config))
			kb->elf_machine = machines[i].machine;
	kb->elf_64 = is_yes(config, "CONFIG_64BIT");
}

int kp_kernel_build_load(struct kp_ctx *ctx, const struct kp_kernel *k,
			 struct kp_kernel_build *ret, struct kp_err *err)
{
	_cleanup_free_ char *config = NULL, *vmlinux = NULL;
	struct kp_kernel_build kb = { 0 };
	int r;

	r = read_config(ctx, k, &kb.config_path, &config, err);
	if (r < 0)
		return r;
	r = find_compression(ctx, k, config, kb.config_path, &kb.compression, err);
	if (r < 0) {
		kp_kernel_build_clear(&kb);
		return r;
	}
	find_toolchain(ctx, config, &kb);
	find_machine(config, &kb);
	kb.module_sig = is_yes(config, "CONFIG_MODULE_SIG");
	kb.sig_hash = kp_kconfig_get(config, "CONFIG_MODULE_SIG_HASH");
	vmlinux = kp_path_join(k->headers, "vmlinux");
	kb.btf = is_yes(config, "CONFIG_DEBUG_INFO_BTF_MODULES") &&
		 kp_exists_in(ctx->root_fd, vmlinux);
	*ret = kb;
	return 0;
}

void kp_kernel_build_clear(struct kp_kernel_build *b)
{
	free(b->config_path);
	free(b->cc);
	free(b->ld);
	free(b->sig_hash);
	*b = (struct kp_kernel_build){ 0 };
}
