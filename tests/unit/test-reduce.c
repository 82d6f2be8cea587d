// SPDX-License-Identifier: GPL-2.0-or-later
/* What of headers is left for a file that needs little of them. */
#include "test.h"

#include "lib/reduce.h"

static void check(const char *text, const char *uses, const char *const *names,
		  const char *want)
{
	_cleanup_buf_ struct kp_buf got = KP_BUF_INIT;

	assert_true(kp_reduce(text, strlen(text), uses, strlen(uses), names, &got));
	kp_buf_addc(&got, '\0');
	assert_string_equal(got.s, want);
}

static const char *const none[] = { NULL };

/* A structure in it is needed, one behind a pointer is not. */
static void test_structures(void **state)
{
	(void)state;
	check("struct far { int x; };\n"
	      "struct near { struct far *p; };\n"
	      "union u { int a; char b; };\n"
	      "struct unused { struct far f; };\n"
	      "struct module { struct near n; union u u; struct far *(*f)(struct far *); };\n"
	      "extern struct module __this_module;\n",
	      "struct module __this_module = { };", none,
	      "struct near { struct far *p; };\n"
	      "union u { int a; char b; };\n"
	      "struct module { struct near n; union u u; struct far *(*f)(struct far *); };\n"
	      "extern struct module __this_module;\n");
}

static void test_types(void **state)
{
	(void)state;
	check("typedef unsigned int u32;\n"
	      "typedef u32 id_t, *id_ptr;\n"
	      "typedef int (*fn_t)(struct a *);\n"
	      "typedef struct { fn_t f; } __attribute__((aligned(8))) ops_t;\n"
	      "typedef struct tag { int i; } other_t;\n"
	      "enum kind { A, B = 7, C };\n"
	      "enum { SIZE = C + 1 };\n"
	      "enum state { UP };\n"
	      "struct s { ops_t o; id_ptr p[SIZE]; enum state *e; struct { int A; } in; };\n",
	      "struct s x;", none,
	      "typedef unsigned int u32;\n"
	      "typedef u32 id_t, *id_ptr;\n"
	      "typedef int (*fn_t)(struct a *);\n"
	      "typedef struct { fn_t f; } __attribute__((aligned(8))) ops_t;\n"
	      "enum kind { A, B = 7, C };\n"
	      "enum { SIZE = C + 1 };\n"
	      "enum state { UP };\n"
	      "struct s { ops_t o; id_ptr p[SIZE]; enum state *e; struct { int A; } in; };\n");
}

/* A function is one by its body, and names what is in it. */
static void test_functions(void **state)
{
	(void)state;
	check("struct a { int i; };\n"
	      "int helper(struct a *);\n"
	      "static inline int f(struct a *x) { if (x) { return helper(x) + x->i; } return 0; }\n"
	      "static inline __attribute__((x)) int g(void) { return \"}\"[0]; }\n"
	      "bool __attribute__((warn)) h(void);\n"
	      "extern int init_module(void);\n",
	      "f(0); init_module; bool", none,
	      "struct a { int i; };\n"
	      "int helper(struct a *);\n"
	      "static inline int f(struct a *x) { if (x) { return helper(x) + x->i; } return 0; }\n"
	      "extern int init_module(void);\n");
}

/* The last definition counts; macros come behind what has none left in it. */
static void test_macros(void **state)
{
	static const char *const names[] = { "A", "GONE", "NOT_THERE", NULL };

	(void)state;
	check("#define A B(1)\n"
	      "#define B(x) C\n"
	      "int C;\n"
	      "#define C old\n"
	      "#undef C\n"
	      "#define C new_one + sizeof(struct s *)\n"
	      "struct s { int A; };\n"
	      "#define GONE\n"
	      "#undef GONE\n"
	      "#define UNUSED 1\n",
	      "", names,
	      "int C;\n"
	      "struct s { int A; };\n"
	      "#define A B(1)\n"
	      "#define B(x) C\n"
	      "#define C new_one + sizeof(struct s *)\n"
	      "#undef GONE\n");
}

/* What ends up in the output without being asked for. */
static void test_output(void **state)
{
	(void)state;
	check("asm(\".macro x\\n\"\n\".endm\");\n"
	      "static int a __attribute__((__used__)) = 1;\n"
	      "static int b = 2;\n",
	      "", none,
	      "asm(\".macro x\\n\"\n\".endm\");\n"
	      "static int a __attribute__((__used__)) = 1;\n");
}

static void test_broken(void **state)
{
	static const char *const texts[] = { "",       "struct",       "struct a {",
					     "}",      ")));;",	       "\"",
					     "'\\",    "#define A",    "#undef A",
					     "enum {", "#define A B\n" };
	static const char *const names[] = { "a", "A", "B", NULL };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		_cleanup_buf_ struct kp_buf got = KP_BUF_INIT;

		assert_true(kp_reduce(texts[i], strlen(texts[i]), "", 0, names, &got));
		assert_true(got.len <= 2 * strlen(texts[i]) + 2);
	}
}

/* What may give declarations another meaning, so that they are not enough. */
static void test_directives(void **state)
{
	static const char *const bad[] = {
		"#pragma pack(1)\n",
		"#pragma GCC visibility push(hidden)\n",
		"#pragma weak a = b\n",
		"#ident \"x\"\n",
		"#define",
		"#",
		"# 1 \"x.h\"\n",
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *text = kp_strf("%sstruct s { int i; };\n", bad[i]);
		_cleanup_buf_ struct kp_buf got = KP_BUF_INIT;

		if (kp_reduce(text, strlen(text), "struct s", 8, none, &got))
			fail_msg("'%s' is left out", bad[i]);
	}
	check("#pragma GCC diagnostic push\nstruct s { int i; };\n"
	      "static inline void f(void) {\n#pragma GCC unroll 3\nfor (;;) ; }\n",
	      "struct s", none, "struct s { int i; };\n");
}

/* As many that name it as that define it: looked at once each, else this would take hours. */
static void test_many(void **state)
{
	static const char *const names[] = { "x", NULL };
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT, got = KP_BUF_INIT;
	size_t len;

	(void)state;
	for (int i = 0; i < 250000; i++)
		kp_buf_adds(&text, "typedef x x;\n");
	len = text.len;
	assert_true(kp_reduce(text.s, text.len, "", 0, names, &got));
	assert_int_equal(got.len, len);
	/* More than any kernel has are not kept in memory. */
	for (int i = 0; i < 750000; i++)
		kp_buf_adds(&text, "x;");
	assert_false(kp_reduce(text.s, text.len, "", 0, names, &got));
	assert_int_equal(got.len, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structures), cmocka_unit_test(test_types),
		cmocka_unit_test(test_functions),  cmocka_unit_test(test_macros),
		cmocka_unit_test(test_output),	   cmocka_unit_test(test_broken),
		cmocka_unit_test(test_directives), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
