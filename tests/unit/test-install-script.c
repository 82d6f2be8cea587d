// SPDX-License-Identifier: GPL-2.0-or-later
/* The scripts of a source that run as root: which, with what, and what their failure means. */
#include "lib/install.h"
#include "system.h"

#define NOTED "/noted"

/* A script that notes how it was called, then does BODY. */
static void put_script(struct test_system *s, const char *path, const char *body)
{
	_cleanup_free_ char *text = kp_strf("#!/bin/sh\n"
					    "echo \"$0 $* $kernelver $arch $module "
					    "$module_version $PWD\" >>" NOTED "\n%s\n",
					    body);

	test_put(&s->root, path, text);
	assert_int_equal(chmod(path, 0755), 0);
}

static void assert_noted(struct test_system *s, const char *text)
{
	_cleanup_free_ char *noted =
		test_exists(s, NOTED) ? test_get(&s->root, NOTED) : kp_strdup("");

	assert_string_equal(noted, text);
	unlink(NOTED);
}

/* One kernel, one source with these scripts, published. */
static struct test_system *with_scripts(void **state, const char *more)
{
	struct test_system *s = test_system(state);

	free(s->ctx->arch);
	s->ctx->arch = kp_strdup("x86_64");
	test_remove_kernel(s, K2);
	test_register(s, "hello", "1.0", more);
	return s;
}

static void order_and_environment(void **state)
{
	struct test_system *s = with_scripts(state, "PRE_INSTALL=\"sub/pre a  'b\"\n"
						    "POST_INSTALL=post\n"
						    "POST_REMOVE=\"gone $kernelver\"\n");

	put_script(s, "/usr/src/hello-1.0/sub/pre",
		   "ls /lib/modules/" K1 "/updates/dkms 2>/dev/null >>" NOTED "; :");
	put_script(s, "/usr/src/hello-1.0/post",
		   "ls /lib/modules/" K1 "/updates/dkms >>" NOTED);
	put_script(s, "/usr/src/hello-1.0/gone", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	test_assert_not_said(s, "warning");
	assert_noted(s, "/usr/src/hello-1.0/sub/pre a 'b " K1
			" x86_64 hello 1.0 /usr/src/hello-1.0\n"
			"/usr/src/hello-1.0/post  " K1
			" x86_64 hello 1.0 /usr/src/hello-1.0\nhello.ko\n");
	test_say(s, "hello", "1.0", K1, KP_INTENT_HOLD);
	test_sync(s);
	assert_noted(s, "/usr/src/hello-1.0/gone " K1 " " K1
			" x86_64 hello 1.0 /usr/src/hello-1.0\n");
}

/* What the plan was made from also says which scripts there are. */
static void conf_is_not_evaluated_again(void **state)
{
	struct test_system *s =
		with_scripts(state, "POST_INSTALL=$(echo post) n=$RANDOM\n");
	const char *installed;

	put_script(s, "/usr/src/hello-1.0/post", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	kp_log_set_level(KP_LOG_DEBUG);
	test_sync(s);
	kp_log_set_level(KP_LOG_INFO);
	test_assert_said(s, "evaluated by bash");
	installed = strstr(s->log.s, "installed hello/1.0");
	assert_non_null(installed);
	assert_null(strstr(installed, "evaluated by bash"));
	assert_noted(s, "/usr/src/hello-1.0/post  " K1
			" x86_64 hello 1.0 /usr/src/hello-1.0\n");
}

/* `remove` unregisters a source before its packages go. */
static void post_remove_of_a_removed_source(void **state)
{
	struct test_system *s = with_scripts(state, "POST_REMOVE=gone\n");

	put_script(s, "/usr/src/hello-1.0/gone", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	test_bury(s, "hello", "1.0");
	assert_int_equal(kp_source_unregister(s->ctx, "hello", "1.0", NULL), 0);
	test_sync(s);
	test_assert_absent(s, "hello", K1);
	test_assert_not_said(s, "warning");
	assert_noted(s, "/usr/src/hello-1.0/gone  " K1
			" x86_64 hello 1.0 /usr/src/hello-1.0\n");
}

static void administrators_script_comes_first(void **state)
{
	struct test_system *s = with_scripts(state, "POST_INSTALL=post\n");

	put_script(s, "/usr/src/hello-1.0/post", "");
	put_script(s, "/etc/dkms/hello/post", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	assert_noted(s,
		     "/etc/dkms/hello/post  " K1 " x86_64 hello 1.0 /etc/dkms/hello\n");
}

static void pre_install_can_refuse(void **state)
{
	struct test_system *s = with_scripts(state, "PRE_INSTALL=pre\n");

	put_script(s, "/usr/src/hello-1.0/pre", "exit 3");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	assert_int_equal(s->result.failed, 1);
	assert_string_equal(
		s->result.failures[0],
		"hello/1.0, kernel " K1
		": PRE_INSTALL: /usr/src/hello-1.0/pre ended with exit code 3");
	test_assert_absent(s, "hello", K1);
	test_assert_settled(s);
}

static void post_install_cannot(void **state)
{
	struct test_system *s = with_scripts(state, "POST_INSTALL=post\n");

	put_script(s, "/usr/src/hello-1.0/post", "exit 3");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	assert_int_equal(s->result.failed, 0);
	test_assert_said(s, "hello/1.0, kernel " K1
			    ": POST_INSTALL: /usr/src/hello-1.0/post ended with "
			    "exit code 3");
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_settled(s);
}

static void what_is_not_run(void **state)
{
	struct test_system *s = with_scripts(state, "PRE_INSTALL=plain\n"
						    "POST_INSTALL=../out/post\n"
						    "POST_REMOVE=\" \"\n");

	test_put(&s->root, "/usr/src/hello-1.0/plain", "echo oops >" NOTED "\n");
	put_script(s, "/usr/src/out/post", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	test_assert_said(
		s, "PRE_INSTALL /usr/src/hello-1.0/plain is not executable, skipping");
	test_assert_said(s, "POST_INSTALL \"../out/post\" leads out of the source tree, "
			    "skipping");
	assert_noted(s, "");
	test_assert_installed(s, "hello", "1.0", K1);
}

static void switched_off(void **state)
{
	struct test_system *s = with_scripts(state, "POST_INSTALL=post\n");

	s->ctx->config.install_scripts = false;
	put_script(s, "/usr/src/hello-1.0/post", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_sync(s);
	test_assert_said(
		s, "warning: hello/1.0: POST_INSTALL not run, install_scripts is no");
	assert_noted(s, "");
	test_assert_installed(s, "hello", "1.0", K1);
}

static void allowed_by_name(void **state)
{
	static const char line[] =
		"other/1.0: PRE_INSTALL, POST_INSTALL not run, install_scripts does not "
		"name other";
	struct test_system *s = with_scripts(state, "POST_INSTALL=post\n");
	_cleanup_(kp_world_clear) struct kp_world w = { 0 };
	_cleanup_strv_ char **refusals = NULL;
	struct kp_sync_opts opts = { 0 };

	test_register(s, "other", "1.0", "PRE_INSTALL=pre\nPOST_INSTALL=post\n");
	kp_config_parse("install_scripts = hello hello2", "c", &s->ctx->config);
	put_script(s, "/usr/src/hello-1.0/post", "");
	put_script(s, "/usr/src/other-1.0/pre", "exit 1");
	put_script(s, "/usr/src/other-1.0/post", "");
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "other", "1.0", K1, NULL);
	test_sync(s);
	/* One line, whatever the number of its scripts. */
	test_assert_said(s, line);
	assert_null(strstr(strstr(s->log.s, line) + strlen(line), "not run"));
	assert_noted(s, "/usr/src/hello-1.0/post  " K1
			" x86_64 hello 1.0 /usr/src/hello-1.0\n");
	test_assert_installed(s, "hello", "1.0", K1);
	test_assert_installed(s, "other", "1.0", K1);
	assert_int_equal(kp_world_load(s->ctx, &opts, &w, NULL), 0);
	refusals = kp_script_refusals(s->ctx, &w);
	assert_int_equal(kp_strv_len(refusals), 1);
	assert_string_equal(refusals[0], line);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(order_and_environment),
		SYSTEM_TEST(conf_is_not_evaluated_again),
		SYSTEM_TEST(post_remove_of_a_removed_source),
		SYSTEM_TEST(administrators_script_comes_first),
		SYSTEM_TEST(pre_install_can_refuse),
		SYSTEM_TEST(post_install_cannot),
		SYSTEM_TEST(what_is_not_run),
		SYSTEM_TEST(switched_off),
		SYSTEM_TEST(allowed_by_name),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
