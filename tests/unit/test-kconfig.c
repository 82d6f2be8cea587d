// SPDX-License-Identifier: GPL-2.0-or-later
/* A kernel's configuration text, and names of compressed modules. */
#include "lib/kernel.h"
#include "test.h"

static void expect(const char *text, const char *name, const char *value)
{
	_cleanup_free_ char *got = kp_kconfig_get(text, name);

	if (!value)
		assert_null(got);
	else if (!got)
		fail_msg("%s: not found", name);
	else
		assert_string_equal(got, value);
}

static void values(void **state)
{
	static const char text[] =
		"#\n# Automatically generated file; DO NOT EDIT.\n#\n"
		"CONFIG_MODULES=y\n"
		"CONFIG_DUMMY=m\n"
		"# CONFIG_OFF is not set\n"
		"CONFIG_HZ=250\n"
		"CONFIG_PAGE_OFFSET=0xC0000000\n"
		"CONFIG_EMPTY=\n"
		"CONFIG_NO_STRING=\"\"\n"
		"CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14) 12.2.0\"\n"
		"CONFIG_ESCAPED=\"a \\\"b\\\" c\\\\d\"\n"
		"CONFIG_TWICE=1\n"
		"CONFIG_TWICE=2\n"
		" CONFIG_INDENTED=y\n"
		"CONFIG_LAST=y";

	(void)state;
	expect(text, "CONFIG_MODULES", "y");
	expect(text, "CONFIG_DUMMY", "m");
	expect(text, "CONFIG_OFF", NULL);
	expect(text, "CONFIG_HZ", "250");
	expect(text, "CONFIG_PAGE_OFFSET", "0xC0000000");
	expect(text, "CONFIG_EMPTY", "");
	expect(text, "CONFIG_NO_STRING", "");
	expect(text, "CONFIG_CC_VERSION_TEXT", "gcc-12 (Debian 12.2.0-14) 12.2.0");
	expect(text, "CONFIG_ESCAPED", "a \"b\" c\\d");
	expect(text, "CONFIG_TWICE", "2");
	expect(text, "CONFIG_INDENTED", NULL);
	expect(text, "CONFIG_LAST", "y");
	expect(text, "CONFIG_MODULE", NULL);
	expect(text, "CONFIG_MODULESS", NULL);
	expect("", "CONFIG_X", NULL);
	expect("CONFIG_X", "CONFIG_X", NULL);
	expect("CONFIG_X=y\r\nCONFIG_Y=\"a\"\r\n", "CONFIG_X", "y");
	expect("CONFIG_X=y\r\nCONFIG_Y=\"a\"\r\n", "CONFIG_Y", "a");
	expect("CONFIG_X=\"open", "CONFIG_X", "open");
	expect("CONFIG_X=\"end\\", "CONFIG_X", "end\\");
}

static void module_names(void **state)
{
	static const struct {
		const char *name;
		int rc;
		enum kp_compression c;
	} cases[] = {
		{ "a.ko", 0, KP_COMPRESS_NONE },
		{ "a.ko.gz", 0, KP_COMPRESS_GZ },
		{ "a.ko.xz", 0, KP_COMPRESS_XZ },
		{ "a.ko.zst", 0, KP_COMPRESS_ZST },
		{ "a.ko.ko.xz", 0, KP_COMPRESS_XZ },
		{ "a.koala.ko", 0, KP_COMPRESS_NONE },
		{ "a.ko.lz4", -ENOTSUP, 0 },
		{ "a.ko.", -ENOTSUP, 0 },
		{ "a.koala", -EINVAL, 0 },
		{ "modules.order", -EINVAL, 0 },
		{ ".ko", -EINVAL, 0 },
		{ "ko", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		enum kp_compression c = 99;

		if (kp_compression_of_name(cases[i].name, &c) != cases[i].rc ||
		    (!cases[i].rc && c != cases[i].c))
			fail_msg("'%s'", cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(module_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
