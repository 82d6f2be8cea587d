// SPDX-License-Identifier: GPL-2.0-or-later
#include "lib/conf.h"
#include "test.h"

/* The least that is a valid conf. */
#define HEAD "PACKAGE_NAME=hello PACKAGE_VERSION=1.0\n"
#define ONE HEAD "DEST_MODULE_LOCATION=/extra\n"
#define TWO HEAD "BUILT_MODULE_NAME=(a b) DEST_MODULE_LOCATION=(/extra /updates/dkms)\n"

#define KERNEL "6.1.0-56-amd64"

static struct kp_ctx *ctx;
static char dir[] = "/tmp/test-conf-rules.XXXXXX";

static int setup(void **state KP_UNUSED)
{
	struct kp_err err = KP_ERR_INIT;

	return !mkdtemp(dir) || kp_ctx_open(dir, &ctx, &err) ||
	       kp_mkdir_in(ctx->root_fd, "/usr/src/hello-1.0", 0755, &err) ||
	       kp_mkdir_in(ctx->root_fd, "/etc/dkms", 0755, &err);
}

static int teardown(void **state KP_UNUSED)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY);

	kp_rm_rf_in(root, dir, NULL);
	kp_ctx_close(ctx);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	assert_int_equal(kp_write_in(ctx->root_fd, path, text, strlen(text), 0644, NULL),
			 0);
}

static const struct kp_conf_env base_env = {
	.module = "hello",
	.version = "1.0",
	.kernelver = KERNEL,
	.arch = "x86_64",
	.source_dir = "/usr/src/hello-1.0",
};

static int load_with(const struct kp_conf_env *env, const char *text,
		     struct kp_conf **ret, struct kp_err *err)
{
	write_file("/usr/src/hello-1.0/dkms.conf", text);
	return kp_conf_load(ctx, env, ret, err);
}

static struct kp_conf *load(const char *text)
{
	struct kp_conf *conf = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (load_with(&base_env, text, &conf, &err))
		fail_msg("%s: %s", text, err.text);
	return conf;
}

static void assert_bad(const char *text, const char *words)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_err err = KP_ERR_INIT;
	int r = load_with(&base_env, text, &conf, &err);

	if (r != -EINVAL)
		fail_msg("%s: %d, not -EINVAL", text, r);
	if (!kp_str_starts(err.text, "/usr/src/hello-1.0/dkms.conf: "))
		fail_msg("%s: '%s' does not name the file", text, err.text);
	if (!strstr(err.text, words))
		fail_msg("%s: '%s' lacks '%s'", text, err.text, words);
}

static bool warns(const struct kp_conf *conf, const char *words)
{
	kp_strv_foreach(p, conf->warnings)
		if (strstr(*p, words))
			return true;
	return false;
}

static void test_defaults(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = load(ONE);

	assert_string_equal(conf->name, "hello");
	assert_string_equal(conf->version, "1.0");
	assert_string_equal(conf->evaluator, "plain");
	assert_null(conf->why_shell);
	assert_int_equal(conf->n_modules, 1);
	assert_string_equal(conf->modules[0].built_name, "hello");
	assert_string_equal(conf->modules[0].built_location, "");
	assert_string_equal(conf->modules[0].dest_name, "hello");
	assert_string_equal(conf->modules[0].dest_location, "/extra");
	assert_true(conf->modules[0].strip);
	assert_false(conf->autoinstall);
	assert_false(conf->no_weak_modules);
	assert_false(conf->remake_initrd);
	assert_null(conf->make);
	assert_null(conf->patches);
	assert_null(conf->excluded);
	assert_null(conf->warnings);
	assert_null(conf->build_depends);
	for (int i = 0; i < KP_SCRIPT_COUNT; i++)
		assert_null(conf->scripts[i]);
	assert_int_equal(kp_strv_len(conf->files), 1);
}

static void test_records(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = load(
		HEAD
		"BUILT_MODULE_NAME=(a b c)\n"
		"BUILT_MODULE_LOCATION=(./src//x . /y/)\n"
		"DEST_MODULE_NAME[1]=bb\n"
		"DEST_MODULE_LOCATION=(/kernel/a /updates /extra/)\n"
		"STRIP=(no YES)\nAUTOINSTALL=Yes NO_WEAK_MODULES=yEs REMAKE_INITRD=Y "
		"BUILD_DEPENDS_REBUILD=NO\n"
		"BUILD_DEPENDS=(dep 'one two' dep)\n"
		"PRE_BUILD='prepare $kernelver' POST_INSTALL=done\n");

	assert_int_equal(conf->n_modules, 3);
	assert_string_equal(conf->modules[0].built_location, "src/x/");
	assert_string_equal(conf->modules[1].built_location, "");
	assert_string_equal(conf->modules[2].built_location, "y/");
	assert_string_equal(conf->modules[1].dest_name, "bb");
	assert_string_equal(conf->modules[2].dest_name, "c");
	assert_string_equal(conf->modules[2].dest_location, "/extra");
	assert_false(conf->modules[0].strip);
	assert_true(conf->modules[1].strip);
	assert_false(conf->modules[2].strip); /* as STRIP[0] */
	assert_true(conf->autoinstall);
	assert_true(conf->no_weak_modules);
	assert_true(conf->remake_initrd);
	assert_false(conf->build_depends_rebuild);
	assert_int_equal(kp_strv_len(conf->build_depends), 3);
	assert_string_equal(conf->build_depends[2], "two");
	assert_string_equal(conf->scripts[KP_SCRIPT_PRE_BUILD], "prepare " KERNEL);
	assert_string_equal(conf->scripts[KP_SCRIPT_POST_INSTALL], "done");
	assert_null(conf->scripts[KP_SCRIPT_POST_BUILD]);
}

static void test_bad(void **state KP_UNUSED)
{
	assert_bad("PACKAGE_VERSION=1\n", "PACKAGE_NAME is not set");
	assert_bad("PACKAGE_NAME=x\n", "PACKAGE_VERSION is not set");
	assert_bad("PACKAGE_NAME=x/y PACKAGE_VERSION=1\n", "PACKAGE_NAME is 'x/y'");
	assert_bad("PACKAGE_NAME=.. PACKAGE_VERSION=1\n", "PACKAGE_NAME is '..'");
	assert_bad("PACKAGE_NAME=x PACKAGE_VERSION='1\n2'\n", "PACKAGE_VERSION is '1 2'");
	assert_bad(HEAD "BUILT_MODULE_NAME='a b'\nDEST_MODULE_LOCATION=/extra\n",
		   "BUILT_MODULE_NAME[0] is 'a b'");
	assert_bad(HEAD "DEST_MODULE_NAME=../x\nDEST_MODULE_LOCATION=/extra\n",
		   "DEST_MODULE_NAME[0] is '../x'");
	assert_bad(HEAD "BUILT_MODULE_NAME=a.ko\nDEST_MODULE_LOCATION=/extra\n",
		   "must not end in .o or .ko");
	assert_bad(HEAD "DEST_MODULE_NAME=a.o\nDEST_MODULE_LOCATION=/extra\n",
		   "must not end in .o or .ko");
	assert_bad(HEAD "BUILT_MODULE_NAME=a\n", "DEST_MODULE_LOCATION[0] is not set");
	assert_bad(HEAD "DEST_MODULE_LOCATION=/lib\n", "must begin with /kernel");
	assert_bad(HEAD "DEST_MODULE_LOCATION=extra\n", "must begin with /kernel");
	assert_bad(HEAD "DEST_MODULE_LOCATION=/extra/../../etc\n", "'..'");
	assert_bad(ONE "BUILT_MODULE_LOCATION=../x\n",
		   "BUILT_MODULE_LOCATION[0] is '../x'");
	assert_bad(HEAD "DEST_MODULE_LOCATION=(/extra /extra)\n",
		   "BUILT_MODULE_NAME[0] is not set");
	assert_bad(HEAD "BUILT_MODULE_NAME=([0]=a [2]=c)\n"
			"DEST_MODULE_LOCATION=(/extra /extra /extra)\n",
		   "BUILT_MODULE_NAME[1] is not set");
	assert_bad(HEAD "DEST_MODULE_LOCATION[9999]=/extra\n",
		   "BUILT_MODULE_NAME[0] is not set");
	assert_bad(HEAD "BUILT_MODULE_NAME=(a a) DEST_MODULE_LOCATION=(/extra /extra)\n",
		   "BUILT_MODULE_NAME[0] and [1] are both 'a'");
	assert_bad(TWO "DEST_MODULE_NAME=(x x)\n", "DEST_MODULE_NAME[0] and [1]");
	assert_bad(ONE "AUTOINSTALL=maybe\n", "AUTOINSTALL is 'maybe'");
	assert_bad(ONE "NO_WEAK_MODULES=1\n", "NO_WEAK_MODULES is '1'");
	assert_bad(ONE "BUILD_DEPENDS=a/b\n", "BUILD_DEPENDS is 'a/b'");
}

static void test_same_file_elsewhere(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = load(
		HEAD "BUILT_MODULE_NAME=(a a) BUILT_MODULE_LOCATION=(x y)\n"
		     "DEST_MODULE_NAME=(a b) DEST_MODULE_LOCATION=(/extra /extra)\n");

	assert_int_equal(conf->n_modules, 2);
}

static void test_zero_modules(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf =
		load(HEAD "BUILD_EXCLUSIVE_ARCH=none\n");

	assert_int_equal(conf->n_modules, 0);
	assert_true(warns(conf, "no module is named"));
	assert_null(conf->excluded);
}

static void test_missing(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = base_env;
	struct kp_err err = KP_ERR_INIT;

	env.source_dir = "/usr/src/nothing";
	assert_int_equal(kp_conf_load(ctx, &env, &conf, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/usr/src/nothing/dkms.conf"));
	env.source_dir = NULL;
	env.conf_file = "/usr/src";
	assert_int_equal(kp_conf_load(ctx, &env, &conf, &err), -EINVAL);
	assert_non_null(strstr(err.text, "/usr/src: not a regular file"));
}

/* What needs bash, in a root that has none. */
static void test_shell_in_root(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (geteuid())
		skip();
	assert_int_equal(load_with(&base_env, ONE "MAKE=$(nproc)\n", &conf, &err),
			 -ENOPKG);
}

static void assert_make(const char *text, const char *expect)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = load(text);

	if (!expect)
		assert_null(conf->make);
	else
		assert_string_equal(conf->make, expect);
}

static void test_make(void **state KP_UNUSED)
{
	assert_make(ONE "MAKE=m0\n", "m0");
	assert_make(ONE "MAKE=(m0 m1)\n", "m0");
	assert_make(ONE "MAKE=(m0 m1) MAKE_MATCH[1]='^6\\.'\n", "m1");
	assert_make(ONE "MAKE=(m0 m1 m2) MAKE_MATCH=([1]=^6 [2]=amd64)\n", "m2");
	assert_make(ONE "MAKE=(m0 m1) MAKE_MATCH=(^5 ^5)\n", NULL);
	assert_make(ONE "MAKE=(m0 m1) MAKE_MATCH=(^6 ^5)\n", "m0");
	assert_make(ONE "MAKE=(m0 m1) MAKE_MATCH[1]='('\n", "m0");
	/* DKMS counts elements: [2] is beyond the count of 2 */
	assert_make(ONE "MAKE=([0]=m0 [2]=m2) MAKE_MATCH[2]=^6\n", "m0");
}

static void test_patches(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf =
		load(ONE "PATCH=(a b c '' e)\n"
			 "PATCH_MATCH=([1]='^6\\.(1|2)\\.' [2]=^5 [4]=arm)\n");

	assert_int_equal(kp_strv_len(conf->patches), 2);
	assert_string_equal(conf->patches[0], "a");
	assert_string_equal(conf->patches[1], "b");
}

/* The second expansion. */
static void test_expansion(void **state KP_UNUSED)
{
	assert_make(
		ONE
		"MAKE='make -C $kernel_source_dir M=${dkms_tree}/${BUILT_MODULE_NAME[1]}x'\n",
		"make -C /lib/modules/" KERNEL "/build M=/var/lib/dkms/x");
	assert_make(ONE "helper=h\nMAKE='a $helper $unset b'\n", "a h  b");
	assert_make(ONE "MAKE='a  b\n\t c'\n", "a b c");
	assert_make(ONE "MAKE=\"make \\\n\t&& make x\"\n", "make && make x");
	assert_make(ONE "MAKE='\\$kernelver \\\\ \\\" \\` \\x'\n",
		    "$kernelver \\ \" ` \\x");
	assert_make(ONE "MAKE='x \"$kernelver\"'\n", "x \"" KERNEL "\"");
	assert_make(ONE "MAKE='$PATH $PWD $1 $$ $(pwd) ${x%y} ${1}'\n",
		    "$PATH $PWD $1 $$ $(pwd) ${x%y} ${1}");
	assert_make(ONE "MAKE='$PACKAGE_NAME ${PACKAGE_VERSION}'\r\n", "hello 1.0");
	assert_make(ONE "MAKE='`uname`'\n", "`uname`");
}

/* 2^40 bytes, were they made. */
static void test_expansion_doubling(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, ONE "MAKE[0]=x\n");
	for (int i = 1; i < 40; i++)
		kp_buf_addf(&b, "MAKE[%d]='${MAKE[%d]}${MAKE[%d]}'\n", i, i - 1, i - 1);
	assert_bad(b.s, "MAKE[21] has more than a MiB");
}

/* It becomes part of a path that records and packages keep in one spelling. */
static void test_destination_spelling(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf =
		load(HEAD "DEST_MODULE_LOCATION=/extra/.//a/\n");

	assert_string_equal(conf->modules[0].dest_location, "/extra/a");
	assert_bad(HEAD "DEST_MODULE_LOCATION=/extra/\xff\n", "not allowed");
}

/* Each is short enough, and there may be thousands of them. */
static void test_expansion_of_many(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	kp_buf_adds(&b, ONE "A=");
	for (int i = 0; i < 500 * 1024; i++)
		kp_buf_addc(&b, 'x');
	for (int i = 0; i < 40; i++)
		kp_buf_addf(&b, "\nPATCH[%d]='$A'", i);
	assert_bad(b.s, "its values have more than 16 MiB");
}

/* Those that would end this process by its stack, its memory or its patience. */
static void test_regex_bombs(void **state KP_UNUSED)
{
	_cleanup_buf_ struct kp_buf deep = KP_BUF_INIT;
	const char *texts[] = {
		NULL,
		ONE "BUILD_EXCLUSIVE_KERNEL='((((a{1,200}){1,200}){200}){1,200}){9,}'\n",
		ONE "BUILD_EXCLUSIVE_KERNEL='6{99999999999999999999}'\n",
		ONE "BUILD_EXCLUSIVE_KERNEL='(.*)(.*)(.*)(.*)(.*)(.*)\\1\\2\\3\\4\\5'\n",
	};

	kp_buf_adds(&deep, ONE "BUILD_EXCLUSIVE_KERNEL='");
	for (int i = 0; i < 60000; i++)
		kp_buf_addc(&deep, i < 30000 ? '(' : ')');
	kp_buf_adds(&deep, "'\n");
	texts[0] = deep.s;
	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		_cleanup_(kp_conf_freep) struct kp_conf *conf = load(texts[i]);

		assert_non_null(conf->excluded);
		assert_true(warns(conf, "too much of one"));
	}
}

static void test_carriage_returns(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf =
		load("PACKAGE_NAME=\"hello\"\r\nPACKAGE_VERSION=1.0\r\n\r\n"
		     "DEST_MODULE_LOCATION[0]=/extra\r\nAUTOINSTALL=yes\r\n");

	assert_string_equal(conf->name, "hello");
	assert_string_equal(conf->modules[0].dest_location, "/extra");
	assert_true(conf->autoinstall);
	assert_true(warns(conf, "carriage returns"));
}

/* WORDS: what the reason has; NULL: not excluded. */
static void assert_excluded(const char *text, const char *words)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = load(text);

	if (!words) {
		if (conf->excluded)
			fail_msg("%s: excluded: %s", text, conf->excluded);
		return;
	}
	if (!conf->excluded)
		fail_msg("%s: not excluded", text);
	else if (!strstr(conf->excluded, words))
		fail_msg("%s: '%s' lacks '%s'", text, conf->excluded, words);
}

static void test_exclusive_kernel(void **state KP_UNUSED)
{
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL='^(5|6)\\.'\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL=amd64\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL='^5\\.'\n",
			"kernel 6.1.0-56-amd64 does not match BUILD_EXCLUSIVE_KERNEL");
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL='REQUIRES CONFIG_X'\n", "REQUIRES");
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL='('\n", "does not match");
	assert_excluded(ONE "BUILD_EXCLUSIVE_ARCH='x86|arm'\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_ARCH=^arm\n", "architecture x86_64");
}

static void test_exclusive_range(void **state KP_UNUSED)
{
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MIN=6.1\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MIN=5.19.17\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MIN=6.1.0-56-amd64\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MIN=6.1.0-100\n", "older than");
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MIN=6.10\n", "older than");
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MAX=6.10\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MAX=6.1.0-56-amd64\n", NULL);
	/* 6.1.0 is longer than 6.1, therefore newer */
	assert_excluded(ONE "BUILD_EXCLUSIVE_KERNEL_MAX=6.1\n", "newer than");
	assert_excluded(ONE "OBSOLETE_BY=6.2\n", NULL);
	assert_excluded(ONE "OBSOLETE_BY=6.1.0-56-amd64\n", "OBSOLETE_BY");
	assert_excluded(ONE "OBSOLETE_BY=5.10\n", "OBSOLETE_BY");
}

static void test_exclusive_config(void **state KP_UNUSED)
{
	static const char *const headers = "/lib/modules/" KERNEL "/build";
	_cleanup_free_ char *config = kp_path_join(headers, ".config");

	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG=CONFIG_X\n", NULL); /* not known */
	assert_int_equal(kp_mkdir_in(ctx->root_fd, headers, 0755, NULL), 0);
	write_file(config, "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=m\n"
			   "CONFIG_D=\"y\"\nXCONFIG_E=y\nCONFIG_B2=n\n");
	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG='CONFIG_B CONFIG_C'\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG='CONFIG_B  CONFIG_A'\n",
			"CONFIG_A is not set in this kernel");
	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG=CONFIG_D\n", "CONFIG_D is not set");
	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG=CONFIG_E\n", "CONFIG_E is not set");
	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG='!CONFIG_A'\n", NULL);
	assert_excluded(ONE "BUILD_EXCLUSIVE_CONFIG='!CONFIG_C'\n", "CONFIG_C is set");
}

static void test_exclusive_per_module(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;

	conf = load(TWO "BUILD_EXCLUSIVE_KERNEL[1]=^5\nBUILD_EXCLUSIVE_ARCH[1]=x86\n");
	assert_null(conf->excluded);
	assert_null(conf->modules[0].excluded);
	assert_non_null(conf->modules[1].excluded);
	kp_conf_free(kp_steal(&conf));

	conf = load(TWO "BUILD_EXCLUSIVE_KERNEL=(^5 ^6)\n");
	assert_non_null(conf->excluded);
	assert_non_null(conf->modules[1].excluded);
	assert_true(warns(conf, "BUILD_EXCLUSIVE_KERNEL[0] is for the whole package"));
}

static void test_no_kernel(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = base_env;
	struct kp_err err = KP_ERR_INIT;

	env.kernelver = NULL;
	assert_int_equal(load_with(&env,
				   ONE
				   "BUILD_EXCLUSIVE_KERNEL=^5\n"
				   "MAKE=(a b) MAKE_MATCH[1]=.\nPATCH=p PATCH_MATCH=.\n"
				   "POST_ADD=\"x$kernelver$kernel_source_dir\"\n",
				   &conf, &err),
			 0);
	assert_null(conf->excluded);
	assert_string_equal(conf->make, "a");
	assert_null(conf->patches);
	assert_string_equal(conf->scripts[KP_SCRIPT_POST_ADD], "x");
}

static void test_overrides(void **state KP_UNUSED)
{
	static const char *const names[] = {
		"hello.conf",
		"hello-1.0.conf",
		"hello-1.0-" KERNEL ".conf",
		"hello-1.0-" KERNEL "-x86_64.conf",
		"hello--" KERNEL ".conf",
		"hello--" KERNEL "-x86_64.conf",
	};
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;

	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_path_join("/etc/dkms", names[i]);
		_cleanup_free_ char *text = kp_strf("MAKE+=' %zu'\n", i);

		write_file(path, text);
	}
	write_file("/etc/dkms/hello-2.0.conf", "MAKE+=' wrong'\n");
	conf = load(ONE "MAKE=make\n");
	assert_string_equal(conf->make, "make 0 1 2 3 4 5");
	assert_int_equal(kp_strv_len(conf->files), 7);
	assert_string_equal(conf->files[6], "/etc/dkms/hello--" KERNEL "-x86_64.conf");
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = kp_path_join("/etc/dkms", names[i]);

		assert_int_equal(kp_unlink_in(ctx->root_fd, path), 0);
	}
}

static void test_directives(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL, *other = NULL;
	char *const good[] = { (char *)"MAKE=a=b $x", (char *)"BUILT_MODULE_NAME=c",
			       NULL };
	char *const bad[] = { (char *)"MAKE", NULL };
	struct kp_conf_env env = base_env;
	struct kp_err err = KP_ERR_INIT;

	env.directives = good;
	assert_int_equal(load_with(&env, TWO, &conf, &err), 0);
	assert_string_equal(conf->make, "a=b $x");
	assert_string_equal(conf->modules[0].built_name, "c");
	assert_string_equal(conf->modules[1].built_name, "b");
	env.directives = bad;
	assert_int_equal(load_with(&env, TWO, &other, &err), -EINVAL);
}

/* A tree that is not registered takes its name from its conf, and then its overrides. */
static void test_unnamed(void **state KP_UNUSED)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_conf_env env = base_env;
	struct kp_err err = KP_ERR_INIT;

	env.module = env.version = NULL;
	write_file("/etc/dkms/hello.conf", "PATCH=p\n");
	assert_int_equal(load_with(&env, ONE "MAKE=\"$module/$module_version\"\n", &conf,
				   &err),
			 0);
	assert_string_equal(conf->make, "hello/1.0");
	assert_int_equal(kp_strv_len(conf->patches), 1);
	assert_null(conf->warnings);
	assert_int_equal(kp_unlink_in(ctx->root_fd, "/etc/dkms/hello.conf"), 0);
}

static void assert_warns(const char *text, const char *words)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = load(text);
	_cleanup_free_ char *all = kp_strv_join(conf->warnings, "; ");

	if (words && !warns(conf, words))
		fail_msg("%s: '%s' lacks '%s'", text, all, words);
	if (!words && conf->warnings)
		fail_msg("%s: %s", text, all);
}

static void test_lint(void **state KP_UNUSED)
{
	assert_warns(
		"PACKAGE_NAME=other PACKAGE_VERSION=1.0\nDEST_MODULE_LOCATION=/extra\n",
		"PACKAGE_NAME is 'other', but it is registered as 'hello'");
	assert_warns(
		"PACKAGE_NAME=hello PACKAGE_VERSION=2\nDEST_MODULE_LOCATION=/extra\n",
		"PACKAGE_VERSION is '2'");
	assert_warns(ONE "CLEAN=/bin/true\n", NULL);
	assert_warns(ONE "CLEAN='make clean'\n", "CLEAN is deprecated");
	assert_warns(ONE "REMAKE_INITRD=yes\n", NULL);
	assert_warns(ONE "MODULES_CONF[0]=x\n", "MODULES_CONF is deprecated");
	assert_warns(ONE "OBSOLETE_BY=9\n", "OBSOLETE_BY is deprecated");
	assert_warns(ONE "MAKE='make KVER=`uname -r`'\n", "MAKE[0] asks for the running");
	assert_warns(ONE "MAKE='make -j'\n", "MAKE[0] sets its number of jobs");
	assert_warns(ONE "MAKE='(make -j8 all)'\n", "MAKE[0] sets its number of jobs");
	assert_warns(ONE "MAKE='make -j$parallel_jobs'\n",
		     "MAKE[0] sets its number of jobs");
	assert_warns(ONE "MAKE='make -C x-j2 -journal'\n", NULL);
	assert_warns(ONE "MAKE=([0]=a [2]=b)\n",
		     "MAKE[2] is ignored, because MAKE has holes");
	assert_warns(ONE "PATCH[3]=p\n", "PATCH[3] is ignored");
	assert_warns(ONE "MAKE=(a b)\n", "MAKE[1] is ignored, because MAKE_MATCH[1]");
	assert_warns(ONE "BUILT_MODULES_NAME=x\n", "is BUILT_MODULE_NAME meant?");
	assert_warns(ONE "AUTOINSTAL=yes\n", "is AUTOINSTALL meant?");
	assert_warns(ONE "PATCHES=x\n", NULL);
	assert_warns(ONE "ARCH=x KDIR=y VERSION=1 BUILD=2 CONFIG_MAKE=y\n", NULL);
	assert_warns(ONE "STRIP=maybe\n", "STRIP[0] is 'maybe'");
	assert_warns(ONE "PATCH=p PATCH_MATCH='['\n", "PATCH_MATCH: '['");
	write_file("/usr/src/hello-1.0/prepare", "#!/bin/sh\nv=$(uname -r)\n");
	assert_warns(ONE "PRE_BUILD='prepare x'\n",
		     "PRE_BUILD asks for the running kernel");
	assert_warns(ONE "PRE_BUILD='../../prepare x'\n", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_same_file_elsewhere),
		cmocka_unit_test(test_zero_modules),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_shell_in_root),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_patches),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_expansion_doubling),
		cmocka_unit_test(test_expansion_of_many),
		cmocka_unit_test(test_destination_spelling),
		cmocka_unit_test(test_regex_bombs),
		cmocka_unit_test(test_carriage_returns),
		cmocka_unit_test(test_exclusive_kernel),
		cmocka_unit_test(test_exclusive_range),
		cmocka_unit_test(test_exclusive_config),
		cmocka_unit_test(test_exclusive_per_module),
		cmocka_unit_test(test_no_kernel),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_directives),
		cmocka_unit_test(test_unnamed),
		cmocka_unit_test(test_lint),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
