// SPDX-License-Identifier: GPL-2.0-or-later
/* Files of kbuild's around a module, and calls of a compiler that translate them. To be included after test.h. */
#pragma once

#include "probe-front/modc.h"

#define GCC "/usr/bin/gcc"

/* As modpost of 6.1 writes it, and 6.12 for a module that exports. */
static const char file_6_1[] = "#include <linux/module.h>\n"
			       "#define INCLUDE_VERMAGIC\n"
			       "#include <linux/build-salt.h>\n"
			       "#include <linux/vermagic.h>\n"
			       "\n"
			       "BUILD_SALT;\n"
			       "\n"
			       "MODULE_INFO(vermagic, VERMAGIC_STRING);\n"
			       "MODULE_INFO(name, KBUILD_MODNAME);\n"
			       "\n"
			       "__visible struct module __this_module\n"
			       "__section(\".gnu.linkonce.this_module\") = {\n"
			       "\t.name = KBUILD_MODNAME,\n"
			       "\t.init = init_module,\n"
			       "#ifdef CONFIG_MODULE_UNLOAD\n"
			       "\t.exit = cleanup_module,\n"
			       "#endif\n"
			       "\t.arch = MODULE_ARCH_INIT,\n"
			       "};\n"
			       "\n"
			       "static const struct modversion_info ____versions[]\n"
			       "__used __section(\"__versions\") = {\n"
			       "\t{ 0x77456e0a, \"acpi_root_dir\" },\n"
			       "\t{ 0x9060323f, \"module_layout\" },\n"
			       "};\n"
			       "\n"
			       "MODULE_INFO(depends, \"\");\n"
			       "\n"
			       "MODULE_ALIAS(\"hid:b0003g*v000028BDp00000071?x\\\"\");\n"
			       "MODULE_INFO(srcversion, \"2B1BF72E1FF4D2B2B1D8E1F\");\n";
static const char file_6_12[] = "#include <linux/module.h>\n"
				"#include <linux/export-internal.h>\n"
				"#include <linux/compiler.h>\n"
				"\n"
				"MODULE_INFO(name, KBUILD_MODNAME);\n"
				"KSYMTAB_FUNC(foo_f, \"_gpl\", \"\");\n"
				"SYMBOL_CRC(foo_f, 0x347b8f5a, \"_gpl\");\n";

static inline bool head_of(const char *text, char *head)
{
	/* Without a NUL behind it. */
	_cleanup_free_ char *copy = kp_memdup(text, strlen(text));

	return kp_modc_head(copy, strlen(text), head);
}

static inline char **words(const char *line)
{
	char **argv = kp_strv_split(line, " "), **all = NULL;

	kp_strv_add(&all, GCC);
	kp_strv_foreach(w, argv)
		kp_strv_add(&all, *w);
	kp_strv_free(argv);
	return all;
}

/* The key of a call in the directory /h; to be freed. */
static inline char *key_of(const char *line, const char *text, size_t *ret_len)
{
	_cleanup_strv_ char **argv = words(line);
	char *key = kp_malloc(KP_QUESTION_KEY_MAX + 1), head[KP_MODC_HEAD_MAX];
	struct kp_modc m;

	assert_true(kp_modc_parse(argv, &m));
	assert_true(head_of(text, head));
	*ret_len = kp_modc_key(&m, "/h", head, key);
	assert_true(*ret_len > 0);
	key[*ret_len] = '\0';
	return key;
}
