// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf.h"

static struct kp_ctx *ctx;
static char dir[] = "/tmp/test-conf-shell.XXXXXX";

static int setup(void **state KP_UNUSED)
{
	struct kp_err err = KP_ERR_INIT;

	return !mkdtemp(dir) || chmod(dir, 0755) || kp_ctx_open(NULL, &ctx, &err);
}

static int teardown(void **state KP_UNUSED)
{
	kp_rm_rf_in(ctx->root_fd, dir, NULL);
	kp_ctx_close(ctx);
	return 0;
}

static char *write_file(const char *name, const char *text, mode_t mode)
{
	char *path = kp_path_join(dir, name);

	assert_int_equal(kp_write_in(ctx->root_fd, path, text, strlen(text), mode, NULL),
			 0);
	return path;
}

static int evaluate(const char *text, struct kp_vars *vars, struct kp_err *err)
{
	_cleanup_free_ char *path = write_file("dkms.conf", text, 0644);
	char *const files[] = { path, NULL };

	return kp_conf_shell(ctx, files, vars, true, err);
}

static void assert_value(const struct kp_vars *vars, const char *name, unsigned int index,
			 const char *expect)
{
	const char *value = kp_vars_get(vars, name, index);

	if (!expect) {
		if (value)
			fail_msg("%s[%u] is '%s', not unset", name, index, value);
		return;
	}
	if (!value)
		fail_msg("%s[%u] is not set, not '%s'", name, index, expect);
	else
		assert_string_equal(value, expect);
}

static void test_values(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	struct kp_err err = KP_ERR_INIT;

	kp_vars_set(vars, "kernelver", 0, "6.1 'x'\n");
	kp_vars_set(vars, "given", 2, "two");
	if (evaluate("MAKE=(a \"b\n\" [5]='c  d')\n"
		     "if [ \"$kernelver\" ]; then PACKAGE_NAME=\"<$kernelver>\"; fi\n"
		     "CLEAN=$(echo x; echo y)\n"
		     "PATCH[${#given[@]}]=${given[2]}\n"
		     "unset given\nPATH=/nowhere\nempty=\nnone=()\n",
		     vars, &err))
		fail_msg("%s", err.text);
	assert_value(vars, "MAKE", 0, "a");
	assert_value(vars, "MAKE", 1, "b\n");
	assert_value(vars, "MAKE", 5, "c  d");
	assert_value(vars, "PACKAGE_NAME", 0, "<6.1 'x'\n>");
	assert_value(vars, "CLEAN", 0, "x\ny");
	assert_value(vars, "PATCH", 1, "two");
	assert_value(vars, "kernelver", 0, "6.1 'x'\n");
	assert_value(vars, "empty", 0, "");
	assert_null(kp_vars_find(vars, "given"));
	assert_null(kp_vars_find(vars, "none"));
	assert_null(kp_vars_find(vars, "PATH"));
	assert_int_equal(kp_vars_find(vars, "MAKE")->n_elems, 3);
}

static void test_several_files(void **state KP_UNUSED)
{
	_cleanup_free_ char *a = write_file("a.conf", "A=1 B=1\nreturn\nB=2\n", 0644);
	_cleanup_free_ char *b = write_file("b.conf", "break\nC=$A\nA=3\n", 0644);
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	char *const files[] = { a, b, NULL };
	struct kp_err err = KP_ERR_INIT;

	if (kp_conf_shell(ctx, files, vars, true, &err))
		fail_msg("%s", err.text);
	assert_value(vars, "A", 0, "3");
	assert_value(vars, "B", 0, "1");
	assert_value(vars, "C", 0, "1");
}

/* Things that a result has to survive. */
static void test_survives(void **state KP_UNUSED)
{
	static const char *const texts[] = {
		"echo noise; echo noise >&2; exec >&- 2>&-; PACKAGE_NAME=x",
		"builtin() { :; }; unset() { :; }; eval() { :; }; printf() { echo $1; }\n"
		"set() { :; }; trap() { :; }; PACKAGE_NAME=x",
		"shopt -s expand_aliases\nalias builtin=: printf=false eval=:\nPACKAGE_NAME=x",
		"set -eu; set -f; IFS=PACKGE_NM; PACKAGE_NAME=x",
		"set -o posix; PACKAGE_NAME=x",
		"trap 'echo trap' DEBUG ERR RETURN EXIT; PACKAGE_NAME=x; false",
		"shift 3; set -- a b; PACKAGE_NAME=x; [ -e /nowhere ]",
		"sleep 1000 & PACKAGE_NAME=x",
		"no-such-command; . /no/such/file; PACKAGE_NAME=x; cd /nowhere",
		"PACKAGE_NAME=x; break; continue; return 7",
		"head -c 1000000 /dev/zero | tr '\\0' x >&2; PACKAGE_NAME=x",
		"declare -A helper=([a]=b ['x]y']=z); declare -n ref=PACKAGE_NAME; ref=x",
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
		struct kp_err err = KP_ERR_INIT;

		if (evaluate(texts[i], vars, &err))
			fail_msg("%s: %s", texts[i], err.text);
		assert_value(vars, "PACKAGE_NAME", 0, "x");
	}
}

static const struct {
	const char *text;
	int code;
	const char *words;
} failing[] = {
	{ "A=1\nexit 0\n", -EINVAL, "exit or exec" },
	{ "A=1\nexit 3\n", -EINVAL, "exited with 3" },
	{ "A=1\nexec true\n", -EINVAL, "exit or exec" },
	{ "A=1\nkill -9 $$\n", -ECANCELED, "signal 9" },
	{ "set -e\nA=1\nfalse\n", -EINVAL, "exited with 1" },
	{ "set -u\nA=$nothing\n", -EINVAL, "nothing: unbound variable" },
	{ "set -n\nA=1\n", -EINVAL, "before the end" },
	{ "enable -n printf\nA=1\n", -EINVAL, "before the end" },
	{ "readonly IFS=,\n", -EINVAL, "before the end" },
	{ "exec 60>&- 61>&- 62>&-\n", -EINVAL, "before the end" },
	{ "if true; then\n", -EINVAL, "dkms.conf: line 2: syntax error" },
	{ "A=1\nfi\nB=1\n", -EINVAL, "dkms.conf: line 2: syntax error near" },
	{ "A=\"x\n", -EINVAL, "dkms.conf: line 1: unexpected EOF" },
	{ "A=1\nB=(a & b)\nC=2\n", -EINVAL, "dkms.conf: line 2: syntax error near" },
	{ "[[ a b ]]\n", -EINVAL, "dkms.conf: line 1: conditional binary operator" },
	{ "declare -A MAKE=([x]=y)\n", -EINVAL, "MAKE[x]: expected an index" },
	{ "MAKE[123456]=y\n", -EINVAL, "MAKE[123456]: expected an index" },
	{ "printf 'v%s\\x000\\x00x\\x00' {1..33000} >&$__kp_fd\n", -EFBIG,
	  "it sets more than 32768 variables" },
	{ "a=$(head -c 5000000 /dev/zero | tr '\\0' x); A=$a B=$a\n", -EFBIG,
	  "variables" },
	{ "kill -STOP $$\n", -ETIME, "within 10 seconds" },
};

static void test_failing(void **state KP_UNUSED)
{
	for (size_t i = 0; i < KP_ARRAY_SIZE(failing); i++) {
		_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
		struct kp_err err = KP_ERR_INIT;
		int r;

		kp_vars_set(vars, "before", 0, "x");
		r = evaluate(failing[i].text, vars, &err);
		if (r != failing[i].code)
			fail_msg("%s: %d %s", failing[i].text, r, err.text);
		if (!strstr(err.text, failing[i].words))
			fail_msg("%s: '%s' lacks '%s'", failing[i].text, err.text,
				 failing[i].words);
		assert_int_equal(vars->n_vars, 1);
		assert_value(vars, "before", 0, "x");
	}
}

static void test_unprivileged(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	_cleanup_free_ char *secret = write_file("secret", "A=1\n", 0600);
	char *const files[] = { secret, NULL };
	struct kp_err err = KP_ERR_INIT;

	if (geteuid())
		skip();
	if (evaluate("echo x >${BASH_SOURCE%/*}/made; echo x >/usr/made; A=$(id -u)\n",
		     vars, &err))
		fail_msg("%s", err.text);
	assert_string_not_equal(kp_vars_get(vars, "A", 0), "0");
	assert_false(kp_exists_in(ctx->root_fd, "/usr/made"));
	assert_int_equal(kp_conf_shell(ctx, files, vars, true, &err), -EACCES);
	assert_non_null(strstr(err.text, "secret: not readable"));
}

/* The way digimend, v4l2loopback and lttng look at the kernel. */
static void test_kernel_config(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	_cleanup_free_ char *config = NULL;
	struct kp_err err = KP_ERR_INIT;

	/* as many as there are: handing them over must not take square time */
	for (int i = 0; i < 7000; i++)
		kp_buf_addf(&text, "CONFIG_N%d=y\n# CONFIG_X is not set\n", i);
	kp_buf_adds(&text, "CONFIG_A=y\nCONFIG_LONG=\"a b\"\n");
	config = write_file(".config", text.s, 0644);
	kp_vars_set(vars, "kernel_source_dir", 0, dir);
	if (evaluate("if [ -f $kernel_source_dir/.config ]; then\n"
		     ". $kernel_source_dir/.config\nfi\n"
		     "[ \"${CONFIG_A:-n}\" = n ] && BUILD_EXCLUSIVE_KERNEL=A\n"
		     "[ \"${CONFIG_B:-n}\" = n ] && BUILD_EXCLUSIVE_ARCH=B\n",
		     vars, &err))
		fail_msg("%s", err.text);
	assert_value(vars, "BUILD_EXCLUSIVE_KERNEL", 0, NULL);
	assert_value(vars, "BUILD_EXCLUSIVE_ARCH", 0, "B");
	assert_value(vars, "CONFIG_LONG", 0, "a b");
	assert_value(vars, "CONFIG_N6999", 0, "y");
}

/* Directives, and what their values name for the second expansion. */
static void test_few(void **state KP_UNUSED)
{
	static const char text[] =
		"IFS=x nothing=1 many=1 ALL=1 a1=1 b=1 c=1 d=(1 2) e=1 kernelver=other\n"
		"PACKAGE_NAME=x$nothing\n"
		"MAKE='make $a1-$many/ ${b} \\$c'\n"
		"PATCH=(no '${d[1]}$PATH$$$1 $' [7]='x\n$e')\n"
		"set -u; shopt -s extglob nocasematch; CLEAN='*$kernelver?'\n";
	_cleanup_free_ char *path = write_file("dkms.conf", text, 0644);
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	char *const files[] = { path, NULL };
	struct kp_err err = KP_ERR_INIT;

	kp_vars_set(vars, "arch", 0, "given");
	if (kp_conf_shell(ctx, files, vars, false, &err))
		fail_msg("%s", err.text);
	assert_value(vars, "PACKAGE_NAME", 0, "x1");
	assert_value(vars, "MAKE", 0, "make $a1-$many/ ${b} \\$c");
	assert_value(vars, "PATCH", 7, "x\n$e");
	assert_value(vars, "d", 1, "2");
	assert_value(vars, "kernelver", 0, "other");
	for (const char *name = "a1\0many\0b\0c\0e\0"; *name; name += strlen(name) + 1)
		assert_value(vars, name, 0, "1");
	assert_null(kp_vars_find(vars, "nothing"));
	assert_null(kp_vars_find(vars, "ALL"));
	assert_null(kp_vars_find(vars, "arch"));
	assert_null(kp_vars_find(vars, "PATH"));
	assert_int_equal(vars->n_vars, 11);
}

/* A source tree that is a link into what the sandbox hides. */
static void test_linked_tree(void **state KP_UNUSED)
{
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	_cleanup_free_ char *text = write_file("text", "there\n", 0644), *conf = NULL;
	_cleanup_free_ char *link = NULL, *file = NULL;
	char place[] = "/var/tmp/test-conf-shell.XXXXXX";
	char *files[] = { NULL, NULL };
	struct kp_err err = KP_ERR_INIT;
	int r;

	conf = write_file("dkms.conf", "A=$(cat ${BASH_SOURCE%/*}/text) B=$BASH_SOURCE\n",
			  0644);
	assert_non_null(mkdtemp(place));
	assert_int_equal(chmod(place, 0755), 0);
	link = kp_path_join(place, "link");
	files[0] = file = kp_path_join(link, "dkms.conf");
	assert_int_equal(kp_symlink_in(ctx->root_fd, dir, link, &err), 0);
	r = kp_conf_shell(ctx, files, vars, true, &err);
	kp_rm_rf_in(ctx->root_fd, place, NULL);
	if (r)
		fail_msg("%s", err.text);
	assert_value(vars, "A", 0, "there");
	assert_value(vars, "B", 0, file);
}

static void test_no_bash(void **state KP_UNUSED)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *other = NULL;
	_cleanup_(kp_vars_freep) struct kp_vars *vars = kp_vars_new();
	char *const files[] = { (char *)"/dkms.conf", NULL };
	struct kp_err err = KP_ERR_INIT;

	if (geteuid())
		skip();
	assert_int_equal(kp_ctx_open(dir, &other, &err), 0);
	assert_int_equal(kp_conf_shell(other, files, vars, true, &err), -ENOPKG);
	assert_non_null(strstr(err.text, "/dkms.conf: it needs bash"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	     cmocka_unit_test(test_several_files),
		cmocka_unit_test(test_survives),     cmocka_unit_test(test_failing),
		cmocka_unit_test(test_unprivileged), cmocka_unit_test(test_kernel_config),
		cmocka_unit_test(test_few),	     cmocka_unit_test(test_linked_tree),
		cmocka_unit_test(test_no_bash),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
