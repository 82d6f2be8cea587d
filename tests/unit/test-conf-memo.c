// SPDX-License-Identifier: GPL-2.0-or-later
/* What bash made of a conf is remembered as long as nothing that it looked at has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "lib/conf-parts.h"
#include "test.h"

#define PAIR "/state/confs/hello/1/6.1-x86_64.json"
#define OPEN_PAIR "/state/confs/open/1/6.1-x86_64.json"

struct fixture {
	struct kp_ctx *ctx;
	char dir[32];
	struct kp_conf_env env;
	char *source, *named, *open;
};

static void put(struct fixture *f, const char *name, const char *text)
{
	_cleanup_free_ char *path = kp_strf("%s/%s", f->dir, name);

	assert_int_equal(
		kp_write_in(f->ctx->root_fd, path, text, strlen(text), 0644, NULL), 0);
}

static int setup(void **state)
{
	struct fixture *f = kp_calloc(1, sizeof(*f));
	_cleanup_free_ char *text = NULL;

	strcpy(f->dir, "/var/tmp/kp-memo-XXXXXX");
	if (!mkdtemp(f->dir) || chmod(f->dir, 0755) || kp_ctx_open(NULL, &f->ctx, NULL))
		return -1;
	free(f->ctx->state_dir);
	f->ctx->state_dir = kp_strf("%s/state", f->dir);
	free(f->ctx->install_tree);
	f->ctx->install_tree = kp_strf("%s/modules", f->dir);
	free(f->ctx->arch);
	f->ctx->arch = kp_strdup("x86_64");
	f->source = kp_strf("%s/src", f->dir);
	f->named = kp_strf("%s/named", f->dir);
	f->open = kp_strf("%s/open", f->dir);
	assert_int_equal(mkdir(f->source, 0755), 0);
	text = kp_strf("%s/modules/6.1/kernel", f->dir);
	assert_int_equal(kp_mkdir_in(f->ctx->root_fd, text, 0755, NULL), 0);
	free(kp_steal(&text));
	text = kp_strf("PACKAGE_NAME=hello\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=hello\n"
		       "DEST_MODULE_LOCATION=/extra\n"
		       "[ -e %s ] && PATCH[0]=named.diff\n"
		       "MAKE=\"make $(cat %s/value) K=\\$kernelver\"\n",
		       f->named, f->dir);
	put(f, "value", "one");
	put(f, "src/dkms.conf", text);
	free(kp_steal(&text));
	/* It reads one by a name that is made up. */
	text = kp_strf("PACKAGE_NAME=open\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=open\n"
		       "DEST_MODULE_LOCATION=/extra\nx=al\n"
		       "MAKE=\"make $(cat %s/v${x}ue) K=\\$kernelver\"\n",
		       f->dir);
	assert_int_equal(mkdir(f->open, 0755), 0);
	put(f, "open/dkms.conf", text);
	f->env = (struct kp_conf_env){ .module = "hello",
				       .version = "1",
				       .kernelver = "6.1",
				       .source_dir = f->source,
				       .basis = "a" };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kp_rm_rf_in(f->ctx->root_fd, f->dir, NULL);
	kp_ctx_close(f->ctx);
	free(f->source);
	free(f->named);
	free(f->open);
	free(f);
	return 0;
}

static void assert_make(struct fixture *f, const char *expect, const char *patch)
{
	_cleanup_(kp_conf_freep) struct kp_conf *conf = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (kp_conf_load(f->ctx, &f->env, &conf, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(conf->evaluator, "shell");
	assert_string_equal(conf->make, expect);
	if (patch)
		assert_string_equal(conf->patches[0], patch);
	else
		assert_null(conf->patches);
}

/* What was remembered now says "make two", to see whether it is used. */
static void edit(struct fixture *f)
{
	_cleanup_free_ char *path = kp_strf("%s%s", f->dir, PAIR), *text = NULL;
	char *at;

	assert_int_equal(kp_read_in(f->ctx->root_fd, path, 0, &text, NULL), 0);
	at = strstr(text, "make one");
	assert_non_null(at);
	memcpy(at, "make two", strlen("make two"));
	put(f, PAIR, text);
}

static void test_remembered(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *memo = kp_strf("%s%s", f->dir, PAIR);
	_cleanup_free_ char *open = kp_strf("%s%s", f->dir, OPEN_PAIR);
	struct stat st;

	/* What may change again without a new time is not. */
	assert_make(f, "make one K=6.1", NULL);
	assert_int_equal(access(memo, F_OK), -1);
	test_let_age();
	assert_make(f, "make one K=6.1", NULL);
	assert_int_equal(access(memo, F_OK), 0);
	edit(f);
	assert_make(f, "make two K=6.1", NULL);
	/* Who asks for no memory gets none, and leaves it alone. */
	f->env.basis = NULL;
	assert_make(f, "make one K=6.1", NULL);
	f->env.basis = "a";
	assert_make(f, "make two K=6.1", NULL);
	/* By force, for those that come later as well. */
	f->env.anew = true;
	assert_make(f, "make one K=6.1", NULL);
	f->env.anew = false;
	assert_make(f, "make one K=6.1", NULL);
	/* The source or the headers. */
	edit(f);
	f->env.basis = "b";
	assert_make(f, "make one K=6.1", NULL);
	edit(f);
	assert_make(f, "make two K=6.1", NULL);
	/* Another kernel is another one. */
	f->env.kernelver = "6.2";
	assert_make(f, "make one K=6.2", NULL);
	f->env.kernelver = "6.1";
	/* Damaged: made again. */
	put(f, PAIR, "{");
	assert_make(f, "make one K=6.1", NULL);
	edit(f);
	assert_make(f, "make two K=6.1", NULL);
	put(f, PAIR,
	    "{\"schema\": 1, \"key\": \"x\", \"paths\": {}, \"directives\": {}}");
	assert_make(f, "make one K=6.1", NULL);
	/* What bash may have looked at by itself is looked at each time. */
	f->env.module = "open";
	f->env.source_dir = f->open;
	assert_make(f, "make one K=6.1", NULL);
	assert_int_equal(access(open, F_OK), -1);
	put(f, "value", "three");
	assert_make(f, "make three K=6.1", NULL);
	f->env.module = "hello";
	f->env.source_dir = f->source;
	/* A file that it names changes, or appears. */
	assert_make(f, "make three K=6.1", NULL);
	put(f, "named", "");
	assert_make(f, "make three K=6.1", "named.diff");
	kp_conf_forget(f->ctx, "hello", "1");
	assert_int_equal(stat(memo, &st), -1);
}

static bool is_closed(const char *text, char ***paths, char ***sourced)
{
	char *const texts[] = { (char *)text, NULL };

	return kp_conf_is_closed(texts, NULL, paths, sourced);
}

/* What bash makes of a conf depends on what is looked at, or it does not. */
static void test_closed(void **state)
{
	static const char *const closed[] = {
		"",
		"MAKE=\"make -j$(nproc) KVER=$kernelver\" # $(ls)\n",
		"if [ -f /etc/x ] && ! grep -q \"a b*\" /etc/x; then\n\tX[0]=y\nelse :\nfi",
		"V=`uname -r | cut -d. -f1`; W=$((V + 1)) X=${V%%-*} Y=${V//a/b}",
		"X=\"$(echo $kernelver | sed 's/[^0-9].*//')\"",
		"case $kernelver in\n5.*|6.*) X=a ;;\n\t*) X=b\nesac",
		"case $kernelver in 5.*) X=a;; (6.*) X=b;; esac",
		"[[ $kernelver =~ ^(5|6)\\.[0-9]+ && $arch != x/* ]] || X=b\n",
		"for m in a b c; do\n\tN[$i]=$m\ndone 2>/dev/null",
		"X=$(awk '{ print $1 }' \"${kernel_source_dir}/include/x.h\" 2>&1)",
		"[ \"$a\" = \"$b\" ] && [ -n \"$c\" ] && [ -e $kernel_source_dir/x ]",
		"X=$(cat < /etc/x); cut -c1 <<< $X; X='$(ls)'; Y=\\$\\(ls\\)",
		"LC_ALL=C sort /etc/x | head -n 1",
		"DEST_MODULE_LOCATION[0]=\"/updates\"",
		"MAKE[0]=\"env X=1 \\\n\tmake ${parallel_jobs+-j$parallel_jobs} modules\"",
		"grep -q \"^X=[ym]$\" \"$kernel_source_dir/.config\" || X=n",
		"if [ -f $kernel_source_dir/.config ]; then\n\t. $kernel_source_dir/.config\nfi",
		"{ echo \"$kernelver\"; echo 5.18; } | sort -V -C",
		"X=(a b 'c d' $kernelver \"$(uname -r)\"); Y+=(\n\tz\n)",
		"if [ $a ] && ( [ $b -ge 3 -a $c -lt 4 ] || [ $d ] ); then X=a; fi",
		"[[ $kernelver =~ \"-rt-\" ]] && X=y",
		"[[ -r ${a} ]] \\\n  && \\\n  {\n echo b\n }; a=/etc/x; ",
		"F=/etc/x; F=/etc/x; [ -e \"${F}\" ] && shopt -s extglob && . $F",
		"V=1; [ $a ] && V=2; sed \"s/XX\\$/$V/\" < /etc/x",
		"pushd `dirname $BASH_SOURCE`\nX=a\npopd",
		"MAKE=\"make && mv x/*/y.ko .\"; MAKE[1]=\"cp /x/*\"; X=$MAKE_X",
		"find /usr/src -maxdepth 1 -type d -name 'x-*' -print | sort | tail -1",
	};
	static const char *const open[] = {
		"CC=$(ls /usr/bin/gcc-[0-9]* | tail -1)",
		"CC=$(command -v gcc-12 || command -v gcc)",
		"X=`rpm -q x`",
		"X=\"a $(modinfo -F version nvidia)\"",
		". /etc/default/$other",
		". x",
		". $kernel_source_dir/x",
		"X[0]=\"/x/*\"; echo $X",
		"X=\"/x/*\"; Y=X; echo ${!Y}",
		"X='/x/*'; echo \"${#X}\" ${X[0]}",
		"X=/x/* ls",
		"for f in /usr/bin/gcc-*; do X=$f; done",
		"x='/usr/bin/gcc-*'; echo $x",
		"X=$(echo /usr/bin/gcc-[0-9])",
		"[ -e /usr/x/$module ] && X=y",
		"test $f -nt /etc/x && X=y",
		"[[ $a == b && -d $c ]] && X=y",
		"X=$(cat $f)",
		"X=$(cat /etc/*.conf)",
		"X=$(cat $kernel_source_dir/../x)",
		"X=$(cat <$f)",
		"X=$(cat \"`ls`\")",
		"X=$(grep -rl x /etc/y)",
		"X=$(sed -f/x y)",
		"X=$(awk 'BEGIN { getline < \"x\" }')",
		"PATH=/opt:$PATH",
		"export PATH=/opt",
		"kernel_source_dir=/x; cat $kernel_source_dir/y",
		"X=$(uname -v)",
		"X=${Y:-$(ls)}",
		"X=${Y:-${Z}}",
		"X=$(cat $'\\x2fx')",
		"f() { X=y; }",
		"X=(/a/*)",
		"X=($(ls))",
		"X=(a b",
		"(ls)",
		"X=y (ls)",
		"[ -e ${module/x/y} ]",
		"[ -e ${module/%$x/y} ]",
		"F=/etc/x; F=$Y; [ -e $F ]",
		"F=/etc/x; F=/etc/y; [ -e $F ]",
		"F=/etc/x; F+=y; [ -e $F ]",
		"F=/etc/x; for F in a b; do [ -e $F ]; done",
		"F=/etc/x; echo ${F:=y}; [ -e $F ]",
		"F=/etc/x; export F=$y; [ -e $F ]",
		"F=/etc/x; printf -v F y; [ -e $F ]",
		"F=/etc/x; declare -n G=F; G=y; [ -e $F ]",
		"F=/etc/x; [ -e $F/y ]",
		"F='/etc/x y'; [ -e $F ]",
		"kernelver=x; . /boot/config-$kernelver",
		"F=/etc/x; . $F; F=/etc/y",
		"[ x -o -a $f ]",
		"[ ! -a $f ]",
		"V=1; sed \"s/a/b/w $V\" /etc/x",
		"V=1; sed \"s/a/b/;r$V\" /etc/x",
		"V=a/b; sed \"s/x/$V/\" /etc/x",
		"V=`cat /x`; sed \"s/x/$V/\" /etc/x",
		"find /usr/src -name 'x-*'",
		"find /usr/src",
		"find /usr/src -maxdepth 2 -name x",
		"find $d -maxdepth 1",
		"find / -maxdepth 1 -exec ls {} +",
		"find /usr/src -maxdepth 1 -name x-* ",
		"find -L /usr/src -maxdepth 1",
		"pushd /usr/src",
		"pushd `dirname $0`",
		"`which x`",
		"cat <<E\n$(ls)\nE",
		"case $(ls) in *) ;; esac",
		"case x in `ls`) X=y ;; esac",
		"case x in\n$(ls)) X=y ;; esac",
		"X=y\n$X",
		"if ls; then X=y; fi",
		"X=\"y",
		"X=$(uname",
		"X=`uname",
		")",
		"$(($(($(($((1))))))))",
		"eval X=y",
		"((i++))",
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(closed); i++)
		if (!is_closed(closed[i], NULL, NULL))
			fail_msg("%s", closed[i]);
	for (size_t i = 0; i < KP_ARRAY_SIZE(open); i++)
		if (is_closed(open[i], NULL, NULL))
			fail_msg("%s", open[i]);
}

/* The files that are looked at, and those that are run: each line a text, what it depends on, and what of it is run. */
static void test_reads(void **state)
{
	static const char *const texts[][3] = {
		{ "X=`cat /etc/x`; Y=$a/b; [ -e ${c}/d ] || :", NULL, NULL },
		{ "[ -f /etc/x ] && Y=/usr/y", "/etc/x:/usr/y", "" },
		{ ". /boot/config-$kernelver", "/boot/config-6.1:/boot/config-",
		  "/boot/config-6.1" },
		{ "[ -e \"${kernel_source_dir/%build/source}\" ]",
		  "/lib/modules/6.1/source", "" },
		{ "[ -e ${kernel_source_dir/%x/source} ]", "/lib/modules/6.1/build", "" },
		{ "F=/etc/x\n[[ -r ${F} ]] && source ${F}", "/etc/x", "/etc/x" },
		{ "[ -e $kernel_source_dir/x ]", "", "" },
		{ ". $kernel_source_dir/.config", "", "" },
		{ ". /etc/default/$module", "/etc/default/hello:/etc/default/",
		  "/etc/default/hello" },
	};
	_cleanup_(kp_vars_freep) struct kp_vars *given = kp_vars_new();

	(void)state;
	kp_vars_set(given, "module", 0, "hello");
	kp_vars_set(given, "kernelver", 0, "6.1");
	kp_vars_set(given, "kernel_source_dir", 0, "/lib/modules/6.1/build");
	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		char *const text[] = { (char *)texts[i][0], NULL };
		_cleanup_strv_ char **paths = NULL, **sourced = NULL;
		_cleanup_free_ char *all = NULL, *run = NULL;
		bool closed = kp_conf_is_closed(text, given, &paths, &sourced);

		assert_int_equal(closed, texts[i][1] != NULL);
		if (!closed)
			continue;
		all = kp_strv_join(paths, ":");
		run = kp_strv_join(sourced, ":");
		assert_string_equal(all, texts[i][1]);
		assert_string_equal(run, texts[i][2]);
	}
}

/* Nobody special: what root remembered is used; it needs no process, so no sandbox. */
static void test_unprivileged(void **state)
{
	struct fixture *f = *state;
	struct kp_conf *conf = NULL;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	test_let_age();
	assert_make(f, "make one K=6.1", NULL);
	edit(f);
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
		    setrlimit(RLIMIT_NPROC, &none))
			_exit(2);
		if (fork() >= 0)
			_exit(3);
		_exit(kp_conf_load(f->ctx, &f->env, &conf, NULL) < 0 ||
		      strcmp(conf->make, "make two K=6.1") != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_reads),
		cmocka_unit_test_setup_teardown(test_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unprivileged, setup, teardown),
	};

	return cmocka_run_group_tests_name("conf-memo", tests, NULL, NULL);
}
