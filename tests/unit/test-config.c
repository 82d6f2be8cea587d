// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

#include "lib/ctx.h"

static void assert_defaults(const struct kp_config *c)
{
	assert_int_equal(c->jobs, 0);
	assert_null(c->backend);
	assert_int_equal(c->sign, KP_SIGN_AUTO);
	assert_null(c->sign_key);
	assert_null(c->sign_cert);
	assert_null(c->sign_tool);
	assert_null(c->sign_pin_file);
	assert_int_equal(c->initramfs, KP_REFRESH_AUTO);
	assert_true(c->install_scripts);
	assert_null(c->script_modules);
	assert_true(c->probe_answers);
	assert_false(c->debug_info);
	assert_false(c->depend_on_kernel);
	assert_false(c->sandbox_required);
	assert_int_equal(c->timeout_minutes, 120);
	assert_int_equal(c->limits.processes, 4096);
	assert_true(c->limits.memory > 1 << 20);
	assert_int_equal(c->limits.disk, 32ULL << 30);
	assert_int_equal(c->limits.keep_free, 256ULL << 20);
	assert_int_equal(c->cache_mib, 1024);
	assert_null(c->optional);
	assert_null(c->required);
}

static void parse_anything(const char *text, const char *file, struct kp_config *c)
{
	kp_config_init(c);
	kp_config_parse(text, file, c);
}

/* Nothing is wrong with it. */
static void parse(const char *text, const char *file, struct kp_config *c)
{
	parse_anything(text, file, c);
	assert_null(c->problems);
	assert_int_equal(c->wrong.code, 0);
}

static void nothing_gives_defaults(void **state)
{
	static const char *const texts[] = { "", "\n\n", "# jobs = 4", "  \t\n#x",
					     "\r\n" };

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(texts); i++) {
		struct kp_config c;

		parse(texts[i], "f", &c);
		assert_defaults(&c);
		kp_config_clear(&c);
	}
}

static void every_key(void **state)
{
	struct kp_config c;

	(void)state;
	parse("jobs = 3 # three\n"
	      "backend=fake\n"
	      "\t sign =  yes \r\n"
	      "sign_key = pkcs11:token=a;object=b#c\n"
	      "sign_cert = /etc/keys/a b.der\n"
	      "sign_tool = /usr/bin/kmodsign\n"
	      "sign_pin_file = /etc/keys/pin\n"
	      "initramfs = no\n"
	      "install_scripts = no\n"
	      "probe_answers = no\n"
	      "debug_info = yes\n"
	      "depend_on_kernel = yes\n"
	      "sandbox = required\n"
	      "timeout = 5\n"
	      "limit_processes = 100\n"
	      "limit_memory = 50%\n"
	      "limit_disk = 3G\n"
	      "keep_free = no\n"
	      "cache_size = 7\n"
	      "optional = a  b\tc\n"
	      "required = zfs",
	      "f", &c);
	assert_int_equal(c.jobs, 3);
	assert_string_equal(c.backend, "fake");
	assert_int_equal(c.sign, KP_SIGN_YES);
	assert_string_equal(c.sign_key, "pkcs11:token=a;object=b#c");
	assert_string_equal(c.sign_cert, "/etc/keys/a b.der");
	assert_string_equal(c.sign_tool, "/usr/bin/kmodsign");
	assert_string_equal(c.sign_pin_file, "/etc/keys/pin");
	assert_int_equal(c.initramfs, KP_REFRESH_NO);
	assert_false(c.install_scripts);
	assert_false(c.probe_answers);
	assert_true(c.debug_info);
	assert_true(c.depend_on_kernel);
	assert_true(c.sandbox_required);
	assert_int_equal(c.timeout_minutes, 5);
	assert_int_equal(c.limits.processes, 100);
	assert_true(c.limits.memory > 1 << 20);
	assert_int_equal(c.limits.disk, 3ULL << 30);
	assert_int_equal(c.limits.keep_free, 0);
	assert_int_equal(c.cache_mib, 7);
	assert_int_equal(kp_strv_len(c.optional), 3);
	assert_string_equal(c.optional[1], "b");
	assert_int_equal(kp_strv_len(c.required), 1);
	kp_config_clear(&c);
}

static void the_last_line_counts_and_empty_is_the_default(void **state)
{
	struct kp_config c;

	(void)state;
	parse("jobs = 3\njobs = 0\nbackend = x\nbackend =\n"
	      "sign_key = /k\nsign_key = \noptional = a b\n"
	      "optional = # none\nsandbox = required\n"
	      "sandbox = available\n",
	      "f", &c);
	assert_defaults(&c);
	kp_config_clear(&c);
}

static void install_scripts_by_name(void **state)
{
	struct kp_config c;

	(void)state;
	parse("install_scripts = zfs\tnvidia\n", "f", &c);
	assert_true(c.install_scripts);
	assert_int_equal(kp_strv_len(c.script_modules), 2);
	assert_string_equal(c.script_modules[1], "nvidia");
	kp_config_parse("install_scripts = no\n", "g", &c);
	assert_false(c.install_scripts);
	assert_null(c.script_modules);
	kp_config_parse("install_scripts = yes\n", "g", &c);
	assert_defaults(&c);
	kp_config_clear(&c);
}

static void a_second_text_is_read_over_the_first(void **state)
{
	struct kp_config c;

	(void)state;
	parse("jobs = 3\nbackend = x\noptional = a b\n", "f", &c);
	kp_config_parse("backend = y\noptional =\n", "g", &c);
	assert_int_equal(c.jobs, 3);
	assert_string_equal(c.backend, "y");
	assert_null(c.optional);
	kp_config_clear(&c);
}

static void errors_name_line_and_what_is_expected(void **state)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{ "jobs = many",
		  "/c:1: jobs = \"many\": expected a number from 0 to 4096" },
		{ "\njobs = -1",
		  "/c:2: jobs = \"-1\": expected a number from 0 to 4096" },
		{ "jobs =", "/c:1: jobs = \"\": expected a number from 0 to 4096" },
		{ "jobs = 99999999999999999999",
		  "/c:1: jobs = \"99999999999999999999\": expected a number from 0 to 4096" },
		{ "limit_disk = 80%",
		  "/c:1: limit_disk = \"80%\": expected a size such as 8G or 512M, or no" },
		{ "limit_memory = 0M",
		  "/c:1: limit_memory = \"0M\": expected a size such as 8G or 512M, a "
		  "share such as 80%, or no" },
		{ "timeout = 0",
		  "/c:1: timeout = \"0\": expected a number from 1 to 10080" },
		{ "# ok\nsign = maybe",
		  "/c:2: sign = \"maybe\": expected auto, yes or no" },
		{ "install_scripts = a,b",
		  "/c:1: install_scripts = \"a,b\": expected yes, no or module names, separated by spaces" },
		{ "optional = a, b",
		  "/c:1: optional = \"a,\": expected module names, separated by spaces" },
		{ "initramfs = 1", "/c:1: initramfs = \"1\": expected auto, yes or no" },
		{ "install_scripts =",
		  "/c:1: install_scripts = \"\": expected yes, no or module names, separated by spaces" },
		{ "install_scripts = hello no",
		  "/c:1: install_scripts = \"hello no\": expected yes, no or module names, separated by spaces" },
		{ "install_scripts = a/b",
		  "/c:1: install_scripts = \"a/b\": expected yes, no or module names, separated by spaces" },
		{ "sandbox = yes",
		  "/c:1: sandbox = \"yes\": expected required or available" },
		{ "sign_key = key.pem",
		  "/c:1: sign_key = \"key.pem\": expected an absolute path or a pkcs11: URI" },
		{ "sign_cert = pkcs11:x",
		  "/c:1: sign_cert = \"pkcs11:x\": expected an absolute path" },
		{ "backend = ../evil",
		  "/c:1: backend = \"../evil\": expected the name of a backend" },
		{ "optional = a ..",
		  "/c:1: optional = \"..\": expected module names, separated by spaces" },
		{ "jobs 4", "/c:1: expected \"key = value\", found \"jobs 4\"" },
		{ "= 4", "/c:1: expected \"key = value\", found \"= 4\"" },
		{ "j\033b", "/c:1: expected \"key = value\", found \"j?b\"" },
	};

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		struct kp_config c;

		parse_anything(bad[i].text, "/c", &c);
		assert_int_equal(c.wrong.code, -EINVAL);
		assert_string_equal(c.wrong.text, bad[i].message);
		assert_int_equal(kp_strv_len(c.problems), 1);
		assert_true(kp_str_starts(c.problems[0], bad[i].message));
		kp_config_clear(&c);
	}
}

static void the_rest_counts_where_a_line_is_wrong(void **state)
{
	struct kp_config c;

	(void)state;
	parse_anything("jobs = 3\njobs = many\ntimeout = 0\ncache_size = 7\n", "/c", &c);
	assert_int_equal(c.jobs, 3);
	assert_int_equal(c.timeout_minutes, 120);
	assert_int_equal(c.cache_mib, 7);
	assert_string_equal(c.wrong.text,
			    "/c:2: jobs = \"many\": expected a number from 0 "
			    "to 4096");
	assert_int_equal(kp_strv_len(c.problems), 2);
	assert_string_equal(c.problems[1],
			    "/c:3: timeout = \"0\": expected a number from "
			    "1 to 10080, ignoring");
	assert_false(c.sandbox_required);
	assert_true(c.install_scripts);
	assert_null(c.sign_wrong);
	kp_config_clear(&c);
}

/* A mistake does not make a run less safe than what was meant, be it in a value, in a key, or in how
 * the two stand there. */
static void what_protects_is_taken_at_its_strictest(void **state)
{
	static const char *const sandbox[] = { "sandbox = requierd",
					       "sandbx = required",
					       "sandbox required",
					       "Sandbox = required",
					       "export sandbox=required",
					       "[sandbox]",
					       "sandbox = available\nsandbox =" };
	static const char *const scripts[] = { "install_scripts =", "instal_scripts = no",
					       "install_scrpit = no",
					       "install_scripts no",
					       "install_scripts = x\nsrcipts_install\n"
					       "install-scripts = no" };
	static const char *const sign[] = { "sign = maybe",	    "sing = yes",
					    "sign_key = mok.key",   "sign_kye = /k",
					    "sign_cert = x",	    "sign_tool = x",
					    "sign_pin_file = x",    "sign",
					    "sign = no\nsign = yse" };
	struct kp_config c;

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(sandbox); i++) {
		parse_anything(sandbox[i], "/c", &c);
		assert_int_equal(c.wrong.code, -EINVAL);
		assert_true(c.sandbox_required);
		assert_true(kp_str_ends(c.problems[0], ", taking it for required"));
		assert_true(c.install_scripts);
		assert_null(c.sign_wrong);
		kp_config_clear(&c);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(scripts); i++) {
		parse_anything(scripts[i], "/c", &c);
		assert_int_equal(c.wrong.code, -EINVAL);
		assert_false(c.install_scripts);
		assert_null(c.script_modules);
		assert_false(c.sandbox_required);
		kp_config_clear(&c);
	}
	for (size_t i = 0; i < KP_ARRAY_SIZE(sign); i++) {
		parse_anything(sign[i], "/c", &c);
		assert_int_equal(c.wrong.code, -EINVAL);
		assert_string_equal(c.sign_wrong, c.wrong.text);
		assert_int_equal(c.sign, KP_SIGN_YES);
		assert_true(kp_str_ends(
			c.problems[0],
			", building nothing for kernels that verify signatures"));
		assert_false(c.sandbox_required);
		kp_config_clear(&c);
	}
}

static void a_misspelt_key_is_named(void **state)
{
	struct kp_config c;

	(void)state;
	parse_anything("jbos = 2\n", "/c", &c);
	assert_string_equal(c.wrong.text, "/c:1: unknown key \"jbos\" (jobs?)");
	assert_string_equal(c.problems[0],
			    "/c:1: unknown key \"jbos\" (jobs?), ignoring");
	kp_config_clear(&c);
}

/* It may be one of a later version. */
static void other_keys_are_no_error(void **state)
{
	static const char *const keys[] = { "colour", "weight", "si", "job_server", "x" };
	struct kp_config c;

	(void)state;
	parse_anything("colour = red\njobs = 2\n", "/c", &c);
	assert_int_equal(kp_strv_len(c.problems), 1);
	assert_string_equal(c.problems[0], "/c:1: unknown key \"colour\", ignoring");
	assert_int_equal(c.wrong.code, 0);
	assert_int_equal(c.jobs, 2);
	kp_config_clear(&c);
	for (size_t i = 0; i < KP_ARRAY_SIZE(keys); i++) {
		_cleanup_free_ char *line = kp_strf("%s = 1", keys[i]);

		parse_anything(line, "/c", &c);
		assert_int_equal(c.wrong.code, 0);
		kp_config_clear(&c);
	}
}

/* The sample says nothing as it is, and nothing but defaults when its lines are taken. */
static void sample_is_the_defaults(void **state)
{
	_cleanup_close_ int fd = open("packaging/kmodpkg.conf", O_RDONLY | O_CLOEXEC);
	_cleanup_buf_ struct kp_buf taken = KP_BUF_INIT;
	_cleanup_strv_ char **lines = NULL;
	_cleanup_free_ char *text = NULL;
	size_t n_taken = 0;
	struct kp_config c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(kp_read_fd(fd, 0, &text, NULL), 0);
	parse(text, "f", &c);
	assert_defaults(&c);
	kp_config_clear(&c);

	lines = kp_strv_split(text, "\n");
	kp_strv_foreach(p, lines) {
		assert_int_equal(**p, '#');
		if ((*p)[1] == ' ' || !(*p)[1])
			continue;
		kp_buf_addf(&taken, "%s\n", *p + 1);
		n_taken++;
	}
	assert_int_equal(n_taken, 21);
	parse(taken.s, "f", &c);
	assert_defaults(&c);
	kp_config_clear(&c);
}

static void a_limit_that_was_met_is_named(void **state)
{
	const struct kp_limits limits = { 64, 2ULL << 30, 300 << 20, 0 };
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	assert_int_equal(kp_limit_met(&limits, KP_LIMIT_PROCESSES, &err), -EDQUOT);
	assert_string_equal(err.text,
			    "met limit_processes (64); raise limit_processes in "
			    "/etc/kmodpkg/kmodpkg.conf");
	assert_int_equal(kp_limit_met(&limits, KP_LIMIT_MEMORY, &err), -EDQUOT);
	assert_string_equal(err.text, "met limit_memory (2 GiB); raise limit_memory in "
				      "/etc/kmodpkg/kmodpkg.conf");
	assert_int_equal(kp_limit_met(&limits, KP_LIMIT_DISK, &err), -EDQUOT);
	assert_string_equal(err.text, "met limit_disk (300 MiB); raise limit_disk in "
				      "/etc/kmodpkg/kmodpkg.conf");
	assert_int_equal(kp_timeout_met(1, &err), -ETIME);
	assert_string_equal(err.text, "met timeout (1 minute); raise timeout in "
				      "/etc/kmodpkg/kmodpkg.conf");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_gives_defaults),
		cmocka_unit_test(every_key),
		cmocka_unit_test(the_last_line_counts_and_empty_is_the_default),
		cmocka_unit_test(install_scripts_by_name),
		cmocka_unit_test(a_second_text_is_read_over_the_first),
		cmocka_unit_test(errors_name_line_and_what_is_expected),
		cmocka_unit_test(the_rest_counts_where_a_line_is_wrong),
		cmocka_unit_test(what_protects_is_taken_at_its_strictest),
		cmocka_unit_test(a_misspelt_key_is_named),
		cmocka_unit_test(other_keys_are_no_error),
		cmocka_unit_test(sample_is_the_defaults),
		cmocka_unit_test(a_limit_that_was_met_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
