// SPDX-License-Identifier: GPL-2.0-or-later
/* Module files as libkmod sees them, and Module.symvers. */
#include "inside/modinfo.h"
#include "ko.h"

static void fields(void **state)
{
	struct art *a = *state;
	struct kp_modinfo m = { 0 };
	struct kp_err err = KP_ERR_INIT;

	test_compile(a, "hello.ko",
		     TEST_MODULE("hello", "6.1.0") TEST_INFO("version", "1.2 beta")
			     TEST_INFO("srcversion", "0123ABCD")
				     TEST_INFO("depends", "one,two")
					     TEST_INFO("license", "GPL"));
	if (kp_modinfo_read(a->ko, &m, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(m.name, "hello");
	assert_string_equal(m.vermagic, "6.1.0 SMP preempt mod_unload modversions ");
	assert_string_equal(m.version, "1.2 beta");
	assert_string_equal(m.srcversion, "0123ABCD");
	assert_string_equal(m.depends, "one,two");
	assert_string_equal(m.license, "GPL");
	assert_null(m.signer);
	kp_modinfo_clear(&m);
	assert_null(m.name);
}

static void compressed(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *xz = kp_strf("%s.xz", a->ko);
	const char *argv[] = { "/usr/bin/xz", "--check=crc32", a->ko, NULL };
	struct kp_proc proc = { .argv = argv };
	struct kp_modinfo m = { 0 };

	assert_int_equal(kp_proc_run(&proc, NULL, NULL), 0);
	assert_int_equal(kp_modinfo_read(xz, &m, NULL), 0);
	assert_string_equal(m.name, "hello");
	kp_modinfo_clear(&m);
}

static void no_module(void **state)
{
	struct art *a = *state;
	struct kp_modinfo m = { 0 };
	struct kp_symbols s = { 0 };
	struct kp_err err = KP_ERR_INIT;

	test_put(&a->root, "/hello.ko", "no module");
	assert_int_equal(kp_modinfo_read(a->ko, &m, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "hello.ko"));
	assert_int_equal(kp_symbols_read(a->ko, &s, &err), -ENOEXEC);
	assert_int_equal(unlink(a->ko), 0);
	assert_true(kp_modinfo_read(a->ko, &m, &err) < 0);
}

static void symbols(void **state)
{
	struct art *a = *state;
	struct kp_symbols s = { 0 };

	test_compile(
		a, "hello.ko",
		TEST_MODULE(
			"hello",
			"6.1.0") "extern int zeta(void), alpha(void);\n"
				 "extern int maybe(void) __attribute__((weak));\n"
				 "int own(void) { return 0; }\n"
				 "int f(void) { return own() + zeta() + alpha() + maybe(); }\n"
				 "static const struct { unsigned long crc; char name[64 - sizeof(long)]; }\n"
				 "versions[] __attribute__((used, section(\"__versions\"))) = {\n"
				 "	{ 0x89abcdef, \"zeta\" } };\n");
	assert_int_equal(kp_symbols_read(a->ko, &s, NULL), 0);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.list[0].name, "alpha");
	assert_int_equal(s.list[0].crc, 0);
	assert_false(s.list[0].weak);
	assert_string_equal(s.list[1].name, "maybe");
	assert_true(s.list[1].weak);
	assert_string_equal(s.list[2].name, "zeta");
	assert_int_equal(s.list[2].crc, 0x89abcdef);
	kp_symbols_clear(&s);
}

/* One symbol "sym" with this CRC against a text: is it exported, does the CRC differ? */
static void resolve(const char *text, uint32_t crc, bool exported, bool differs)
{
	struct kp_symbol list[] = { { .name = (char *)"other" },
				    { .name = (char *)"sym", .crc = crc } };
	struct kp_symbols s = { list, KP_ARRAY_SIZE(list) };

	kp_symvers_resolve(text, strlen(text), &s);
	assert_false(list[0].exported);
	if (list[1].exported != exported || list[1].crc_differs != differs)
		fail_msg("\"%s\"", text);
}

static void symvers(void **state)
{
	(void)state;
	resolve("", 0, false, false);
	resolve("0x00000001\tsym\tvmlinux\tEXPORT_SYMBOL\t\n", 1, true, false);
	resolve("0x00000001\tsym\tvmlinux\tEXPORT_SYMBOL\t", 1, true, false);
	resolve("0x00000001\tsym", 1, true, false);
	resolve("0xABCDEF01\tsym\tvmlinux\tEXPORT_SYMBOL\tNS\n", 0xabcdef01, true, false);
	resolve("0x00000002\tsym\tvmlinux\tEXPORT_SYMBOL\t\n", 1, true, true);
	resolve("0x00000000\tsym\tvmlinux\tEXPORT_SYMBOL\t\n", 1, true, false);
	resolve("0x00000002\tsym\tvmlinux\tEXPORT_SYMBOL\t\n", 0, true, false);
	resolve("0x00000002\tsym\ta\tE\t\n0x00000001\tsym\tb\tE\t\n", 1, true, false);
	resolve("0x00000001\tsym\ta\tE\t\n0x00000002\tsym\tb\tE\t\n", 1, true, false);
	resolve("0x00000003\tsym\ta\tE\t\n0x00000002\tsym\tb\tE\t\n", 1, true, true);
	resolve("0x00000001\tsymb\tvmlinux\n0x00000001\tsy\tvmlinux\n", 1, false, false);
	resolve("0x00000001 sym vmlinux\n", 1, false, false);
	resolve("sym\n\t\n\tsym\t\n0x\tsym\t\n1\tsym\n0xg\tsym\n0x000000001\tsym\n", 1,
		false, false);
	resolve("\n\n0x1\tsym\n", 1, true, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, art_setup, art_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields),  TEST(compressed),	  TEST(no_module),
		TEST(symbols), cmocka_unit_test(symvers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
