// SPDX-License-Identifier: GPL-2.0-or-later
/* Files of kbuild's around a module: which they are, and what is known of them. */
#include "test.h"

#include "modc-fixture.h"

static const char module_common[] = "// SPDX-License-Identifier: GPL-2.0\n"
				    "\n"
				    "#include <linux/module.h>\n"
				    "/*\n"
				    " * Include build-salt.h after module.h in order to\n"
				    " */\n"
				    "#define INCLUDE_VERMAGIC\n"
				    "#include <linux/build-salt.h>\n"
				    "\n"
				    "#ifdef CONFIG_UNWINDER_ORC\n"
				    "#include <asm/orc_header.h>\n"
				    "ORC_HEADER;\n"
				    "#endif\n"
				    "\n"
				    "MODULE_INFO(vermagic, VERMAGIC_STRING);\n";

static void test_files(void **state)
{
	static const char *const bad[] = {
		"#include \"linux/module.h\"\n",
		"#include </etc/passwd>\n",
		"#include <linux/../x.h>\n",
		"#include <linux/module.h> x\n",
		"#include_next <linux/module.h>\n",
		"#define MODULE_INFO(a, b)\n",
		"#define INCLUDE_VERMAGIC 1\n",
		"#undef CONFIG_MODULE_UNLOAD\n",
		"#if 1\n",
		"#ifdef CONFIG_SMP\n",
		"# include <linux/module.h>\n",
		"#pragma x\n",
		"%:include <x>\n",
		"\?\?=include <x>\n",
		"_Pragma(\"x\")\n",
		"int x;\n",
		"struct task_struct *name;\n",
		"name = __COUNTER__;\n",
		"name = '\\0';\n",
		"name \\\n",
		"// x \\\n",
		"\"x\n\"\n",
		"\"x\\\n\"\n",
		"\"x",
		"/* x",
		"name @\n",
		"KSYMTAB_FUNC (foo)\n",
		"KSYMTAB_FUNC(\"\", foo)\n",
		"KSYMTAB_FUNC(foo, bar)\n",
		"MODULE_INFO(foo, \"\");\n",
	};
	char head[KP_MODC_HEAD_MAX];
	size_t open = 9;

	(void)state;
	assert_true(head_of(file_6_1, head));
	assert_string_equal(head, "#include <linux/module.h>\n#define INCLUDE_VERMAGIC\n"
				  "#include <linux/build-salt.h>\n"
				  "#include <linux/vermagic.h>\n");
	assert_true(kp_modc_head_ok(head, &open));
	assert_int_equal(open, 0);
	assert_true(head_of(file_6_12, head));
	assert_true(head_of(module_common, head));
	assert_string_equal(head, "#include <linux/module.h>\n#define INCLUDE_VERMAGIC\n"
				  "#include <linux/build-salt.h>\n"
				  "#ifdef CONFIG_UNWINDER_ORC\n"
				  "#include <asm/orc_header.h>\n");
	assert_true(kp_modc_head_ok(head, &open));
	assert_int_equal(open, 1);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *text =
			kp_strf("#include <linux/module.h>\n%s", bad[i]);

		if (head_of(text, head))
			fail_msg("it may have '%s'", bad[i]);
	}
	/* Headers behind code could count on from it. */
	assert_false(head_of("#include <linux/module.h>\nBUILD_SALT;\n"
			     "#include <linux/compiler.h>\n",
			     head));
	assert_false(head_of("MODULE_INFO(name, \"\");\n", head));
	assert_false(kp_modc_head("#include <linux/a.h>\n\0", 22, head));
}

/* A symbol that is a macro would come out as what that is. */
static void test_symbols(void **state)
{
	char macros[2 * KP_MODC_HASH + 1];
	const char *symbol = "foo_f";

	(void)state;
	kp_modc_name_hash("current", 7, macros);
	assert_true(kp_modc_fits(file_6_12, strlen(file_6_12), macros, KP_MODC_HASH));
	assert_true(kp_modc_fits(file_6_12, strlen(file_6_12), macros, 0));
	kp_modc_name_hash(symbol, strlen(symbol), macros);
	assert_false(kp_modc_fits(file_6_12, strlen(file_6_12), macros, KP_MODC_HASH));
	assert_true(kp_modc_fits(file_6_1, strlen(file_6_1), macros, KP_MODC_HASH));
}

#define CALL(more)                                                                       \
	"-Wp,-MMD,/b/.x.mod.o.d -nostdinc -I/h/include -I./include -include "            \
	"/h/include/linux/kconfig.h -D__KERNEL__ -fmacro-prefix-map=/h/= -O2 -g -g0 "    \
	"-DMODULE " more " -DKBUILD_BASENAME=\"x.mod\" -DKBUILD_MODNAME=\"x\" "          \
	"-D__KBUILD_MODNAME=kmod_x -c -o /b/x.mod.o "

static void calls(const char *line, bool expect)
{
	_cleanup_strv_ char **argv = words(line);
	struct kp_modc m;

	if (kp_modc_parse(argv, &m) != expect)
		fail_msg("'%s' is %sone", line, expect ? "not " : "");
}

static void test_calls(void **state)
{
	static const char *const bad[] = { "-g",
					   "-gdwarf-5",
					   "-fplugin=x",
					   "-save-temps",
					   "-iquote x",
					   "-imacros x",
					   "-E",
					   "-S",
					   "-MD",
					   "-Wa,-al=x",
					   "-Wp,-MD,x",
					   "-x c",
					   "/b/y.c",
					   "@file",
					   "-I/b*/",
					   "-I",
					   "-I/a\\b",
					   "-specs=x",
					   "-march=native",
					   "-O0",
					   "-fkeep-inline-functions",
					   "-fkeep-static-functions",
					   "-fno-toplevel-reorder",
					   "-fno-unit-at-a-time",
					   "-frecord-gcc-switches" };

	(void)state;
	calls(CALL("") "/b/x.mod.c", true);
	calls(CALL("-fdiagnostics-show-context=2") "x.mod.c", true);
	calls(CALL("") "/h/scripts/module-common.c", true);
	calls(CALL("") "/b/x.c", false);
	calls(CALL(""), false);
	calls("-c -O2 -o x.mod.o -g x.mod.c", false);
	calls("-O2 -o x.mod.o x.mod.c", false);
	calls("-c -o x.mod.o x.mod.c", false);
	calls("-c -O0 -O1 -o x.mod.o x.mod.c", true);
	calls("-c -O2 x.mod.c", false);
	calls("-c -O2 x.mod.c -o", false);
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *line = kp_strf(CALL("%s") "/b/x.mod.c", bad[i]);

		calls(line, false);
	}
}

static void test_key(void **state)
{
	const struct {
		const char *line, *text;
		bool same;
	} others[] = {
		{ CALL("") "/b/x.mod.c", file_6_1, true },
		{ "-Wp,-MMD,/c/.y.mod.o.d -nostdinc -I/h/include -I./include -include "
		  "/h/include/linux/kconfig.h -D__KERNEL__ -fmacro-prefix-map=/h/= -O2 -g "
		  "-g0 -DMODULE -DKBUILD_BASENAME=\"y.mod\" -DKBUILD_MODNAME=\"y\" -c "
		  "-o /c/y.mod.o y.mod.c",
		  file_6_1, true },
		{ CALL("-DX") "/b/x.mod.c", file_6_1, false },
		{ CALL("-I/h/more") "/b/x.mod.c", file_6_1, false },
		{ CALL("") "/b/x.mod.c", file_6_12, false },
	};
	size_t len, its_len;
	_cleanup_free_ char *key = key_of(others[0].line, others[0].text, &len);

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *its =
			key_of(others[i].line, others[i].text, &its_len);

		assert_int_equal(len == its_len && !memcmp(key, its, len),
				 others[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
