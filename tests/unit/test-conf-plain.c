// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/str.h"
#include "lib/conf.h"

/* "A[0]=x|A[2]=y|": all variables but those that were set before. */
static char *dump(const struct kp_vars *vars)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	for (size_t i = 0; i < vars->n_vars; i++) {
		const struct kp_var *var = &vars->vars[i];

		if (!strcmp(var->name, "kernelver") || !strcmp(var->name, "old"))
			continue;
		for (size_t j = 0; j < var->n_elems; j++)
			kp_buf_addf(&b, "%s[%u]=%s|", var->name, var->elems[j].index,
				    var->elems[j].value);
	}
	return kp_buf_steal(&b);
}

static struct kp_vars *make_vars(void)
{
	struct kp_vars *vars = kp_vars_new();

	kp_vars_set(vars, "kernelver", 0, "6.1.0-56-amd64");
	kp_vars_set(vars, "old", 0, "o0");
	kp_vars_set(vars, "old", 3, "o3");
	return vars;
}

/* What bash makes of them; tests/conf/run compares with bash itself. */
static const struct {
	const char *text, *expect;
} accepted[] = {
	{ "", "" },
	{ "\n\n \t\n# comment \\\n", "" },
	{ "A=1", "A[0]=1|" },
	{ "A=", "A[0]=|" },
	{ "A=1 B=2;C=3 ; D=4 # E=5\n", "A[0]=1|B[0]=2|C[0]=3|D[0]=4|" },
	{ "A=1#2", "A[0]=1#2|" },
	{ "A[2]=x\nA[0]=y\nA[10]=z", "A[0]=y|A[2]=x|A[10]=z|" },
	{ "A[1]=x A=y", "A[0]=y|A[1]=x|" },
	{ "A=(a 'b c' \"d\" [7]=e f)", "A[0]=a|A[1]=b c|A[2]=d|A[7]=e|A[8]=f|" },
	{ "A=(\n a # one\n\n b\\\n c)\n", "A[0]=a|A[1]=b|A[2]=c|" },
	{ "A=(a b)\nA=(c)", "A[0]=c|" },
	{ "A=(a b)\nA=()", "" },
	{ "A=(\"\" '')", "A[0]=|A[1]=|" },
	{ "A+=x A+=y", "A[0]=xy|" },
	{ "A=x A+=(y z)", "A[0]=x|A[1]=y|A[2]=z|" },
	{ "A[4]=x\nA+=(y)", "A[4]=x|A[5]=y|" },
	{ "A=(a b) A[1]+=c A+=d", "A[0]=ad|A[1]=bc|" },
	{ "A=(x [0]+=y)", "A[0]=xy|" },
	{ "A=\"a b\"'c d'e\\ f", "A[0]=a bc de f|" },
	{ "A=\"x\\\ny\"", "A[0]=xy|" },
	{ "A=x\\\ny", "A[0]=xy|" },
	{ "A='x\\\ny'", "A[0]=x\\\ny|" },
	{ "A=1 \\\nB=2", "A[0]=1|B[0]=2|" },
	{ "A=\"a\\$b\\`c\\\"d\\\\e\\f\"", "A[0]=a$b`c\"d\\e\\f|" },
	{ "A=$kernelver B=\"${kernelver}x\" C='$kernelver'",
	  "A[0]=6.1.0-56-amd64|B[0]=6.1.0-56-amd64x|C[0]=$kernelver|" },
	{ "A=$old B=${old[3]} C=${old[0]} D=x${old[1]}y$unset",
	  "A[0]=o0|B[0]=o3|C[0]=o0|D[0]=xy|" },
	{ "A=$old[3]", "A[0]=o0[3]|" },
	{ "E= A=${E:-d} B=${E-d} C=${nil-d} D=${old:-d} F=${nil:-}",
	  "A[0]=d|B[0]=|C[0]=d|D[0]=o0|E[0]=|F[0]=|" },
	{ "E= A=${E:+s} B=${E+s} C=${nil+s} D=${old:+s}/${old[3]:+t}",
	  "A[0]=|B[0]=s|C[0]=|D[0]=s/t|E[0]=|" },
	{ "A=\"5$\" B=\"a$.b\" C=$", "A[0]=5$|B[0]=a$.b|C[0]=$|" },
	{ "A=0~2022+git B='~' C=\"~/x\"", "A[0]=0~2022+git|B[0]=~|C[0]=~/x|" },
	{ "A=*?[a-z]{b,c}! B=x=y", "A[0]=*?[a-z]{b,c}!|B[0]=x=y|" },
	{ "A=1\r\n\r\nB=\"2\"\r\n# c\r\n", "A[0]=1\r|B[0]=2\r|" },
	{ "A=\"a\nb\"", "A[0]=a\nb|" },
	{ "A=\xc3\xa9", "A[0]=\xc3\xa9|" },
	{ "A=(\"$old\" x${kernelver}y)", "A[0]=o0|A[1]=x6.1.0-56-amd64y|" },
};

static void test_accepted(void **state KP_UNUSED)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(accepted); i++) {
		_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars();
		struct kp_err err = KP_ERR_INIT;
		_cleanup_free_ char *got = NULL;
		int r = kp_conf_plain(accepted[i].text, strlen(accepted[i].text), vars,
				      &err);

		if (r < 0)
			fail_msg("%s: %s", accepted[i].text, err.text);
		got = dump(vars);
		assert_string_equal(got, accepted[i].expect);
	}
}

/* The words that say where and what. */
static const struct {
	const char *text, *words;
} refused[] = {
	{ "A=1\n\nif true; then", "line 3: command 'if'" },
	{ "A=1 make", "line 1: command 'make'" },
	{ "export A=1", "line 1: command 'export'" },
	{ "A =1", "line 1: command 'A'" },
	{ "A=$(nproc)", "substitution '$(nproc)'" },
	{ "A=\"`nproc`\"", "substitution by '`'" },
	{ "A=$((1+1))", "substitution '$((1+1))'" },
	{ "A=$[1+1]", "arithmetic expansion" },
	{ "A=$1", "special parameter '$1'" },
	{ "A=$$", "special parameter" },
	{ "A=$'x'", "quoting by" },
	{ "A=$\"x\"", "quoting by" },
	{ "A=${#B}", "parameter expansion" },
	{ "A=${B%x}", "parameter expansion" },
	{ "A=${B[@]}", "array index" },
	{ "A=${B:-$C}", "parameter expansion with" },
	{ "A[i]=1", "array index" },
	{ "A[08]=1", "array index" },
	{ "A[99999]=1", "array index" },
	{ "A=~/x", "home directory" },
	{ "A=x:~/y", "home directory" },
	{ "A=(*.c)", "unquoted character" },
	{ "A=(a{1,2})", "unquoted character" },
	{ "B='x y' A=($B)", "unquoted expansion in an array" },
	{ "A=($unset)", "unquoted expansion in an array" },
	{ "A=(x) A=(y $A)", "variable '$A)'" },
	{ "A[1]=(x)", "array as an element" },
	{ "A=(x)y", "text behind an array" },
	{ "A=(x", "a ( without its partner" },
	{ "A='x\n\n", "line 1: a ' without its partner" },
	{ "A=\"x\n\n", "line 1: a \" without its partner" },
	{ "A=1 & B=2", "command '&'" },
	{ "A=b|c", "unquoted character '|c'" },
	{ "A=<x", "unquoted character" },
	{ ";", "';' without a command" },
	{ "A=1;;", "';' without a command" },
	{ "A=1 \r\n", "command" },
	{ "A=1\\", "before nothing" },
	{ "PATH=/x", "variable 'PATH=/x'" },
	{ "IFS=", "variable" },
	{ "A=$HOME", "variable '$HOME'" },
	{ "A=${BASH_SOURCE[0]}", "variable" },
	{ "A=\x01", "control character" },
	{ "A='\x7f'", "control character" },
	{ "A=$\\\nB", "line continuation" },
	{ "A=$B\\\nC", "line continuation" },
};

static void test_refused(void **state KP_UNUSED)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(refused); i++) {
		_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars();
		struct kp_err err = KP_ERR_INIT;
		_cleanup_free_ char *got = NULL;

		if (kp_conf_plain(refused[i].text, strlen(refused[i].text), vars, &err) !=
		    -ENOTSUP)
			fail_msg("accepted: %s", refused[i].text);
		if (!strstr(err.text, refused[i].words))
			fail_msg("%s: '%s' lacks '%s'", refused[i].text, err.text,
				 refused[i].words);
		/* untouched, although some statements came before */
		got = dump(vars);
		assert_string_equal(got, "");
	}
}

static void test_nul(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars();

	assert_int_equal(kp_conf_plain("A=1\0", 4, vars, NULL), -ENOTSUP);
	assert_int_equal(kp_conf_plain(NULL, 0, vars, NULL), 0);
}

/* 2^40 bytes, were they made. */
static void test_doubling(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars();
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, "A=x\n");
	for (int i = 0; i < 40; i++)
		kp_buf_adds(&b, "A=$A$A\n");
	assert_int_equal(kp_conf_plain(b.s, b.len, vars, NULL), -ENOTSUP);
}

/* Each is short enough, and there may be 100000 of them. */
static void test_many_long_values(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = make_vars();
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	struct kp_err err = KP_ERR_INIT;

	kp_buf_adds(&b, "A=");
	for (int i = 0; i < 500 * 1024; i++)
		kp_buf_addc(&b, 'x');
	for (int i = 0; i < 10; i++)
		kp_buf_addf(&b, "\nB%d=$A", i);
	assert_int_equal(kp_conf_plain(b.s, b.len, vars, &err), -ENOTSUP);
	assert_string_equal(err.text, "line 9: values of more than 4 MiB");
}

static void test_vars(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new(), *copy = NULL;

	kp_vars_set(vars, "b", 2, "b2");
	kp_vars_set(vars, "a", 0, "a0");
	kp_vars_set(vars, "c", 1, "c1");
	kp_vars_set(vars, "b", 0, "b0");
	kp_vars_set(vars, "b", 1, "b1");
	kp_vars_set(vars, "b", 1, kp_vars_get(vars, "b", 1));
	kp_vars_set(vars, "b", 2, "new");
	copy = kp_vars_dup(vars);
	kp_vars_unset(vars, "b");
	kp_vars_unset(vars, "d");
	assert_null(kp_vars_find(vars, "b"));
	assert_int_equal(vars->n_vars, 2);
	assert_string_equal(kp_vars_get(vars, "c", 1), "c1");
	assert_null(kp_vars_get(vars, "c", 0));
	assert_int_equal(kp_vars_find(copy, "b")->n_elems, 3);
	assert_string_equal(kp_vars_get(copy, "b", 1), "b1");
	assert_string_equal(kp_vars_get(copy, "b", 2), "new");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vars),	 cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),	 cmocka_unit_test(test_nul),
		cmocka_unit_test(test_doubling), cmocka_unit_test(test_many_long_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
