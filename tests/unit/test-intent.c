// SPDX-License-Identifier: GPL-2.0-or-later
#include "test.h"

#include "lib/intent.h"

#define FILE_PATH "/var/lib/kmodpkg/intent.json"

static struct kp_ctx *open_ctx(struct test_root *root)
{
	struct kp_err err = KP_ERR_INIT;
	struct kp_ctx *ctx = NULL;

	if (kp_ctx_open(root->path, &ctx, &err) < 0)
		fail_msg("%s", err.text);
	return ctx;
}

static void list(const char *module, const char *version, const char *kernel,
		 enum kp_intent_kind kind, void *data)
{
	kp_buf_addf(data, "%s/%s %s %s\n", kind == KP_INTENT_PIN ? "pin" : "hold", module,
		    version, kernel);
}

static void pins_and_holds(void **state)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new();

	(void)state;
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_NONE);
	kp_intent_set(in, "a", "1", "k", KP_INTENT_HOLD);
	kp_intent_set(in, "a", "2", "k", KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "a", "2", "k"), KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "2", "other"), KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "b", "2", "k"), KP_INTENT_NONE);
	/* One pin per module and kernel; holds stay. */
	kp_intent_set(in, "a", "3", "k", KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "a", "2", "k"), KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "a", "3", "k"), KP_INTENT_PIN);
	kp_intent_set(in, "a", "1", "k", KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "3", "k"), KP_INTENT_NONE);
	kp_intent_set(in, "a", "1", "k", KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_NONE);
	/* "1.0" and "1.00" are different versions, though neither is higher. */
	kp_intent_set(in, "a", "1.0", "k", KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "a", "1.00", "k"), KP_INTENT_NONE);
}

static void a_module_is_held_whatever_its_version(void **state)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new();

	(void)state;
	kp_intent_set(in, "a", "1", "k", KP_INTENT_PIN);
	kp_intent_set(in, "a", "2", "k", KP_INTENT_HOLD);
	kp_intent_set(in, "a", "1", "k2", KP_INTENT_PIN);
	kp_intent_set(in, "a", "", "k", KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "a", "2", "k"), KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "a", "99", "k"), KP_INTENT_HOLD);
	assert_true(kp_intent_holds_module(in, "a", "k"));
	/* Elsewhere nothing was said. */
	assert_int_equal(kp_intent_get(in, "a", "1", "k2"), KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "b", "1", "k"), KP_INTENT_NONE);
	assert_false(kp_intent_holds_module(in, "a", "k2"));
	/* Forgetting a source does not let its module come back by another one. */
	kp_intent_forget(in, "a", "1");
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_HOLD);
	kp_intent_forget(in, "a", "");
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_NONE);
	/* A pin and such a hold exclude each other. */
	kp_intent_set(in, "a", "", "k", KP_INTENT_HOLD);
	kp_intent_set(in, "a", "2", "k", KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "2", "k"), KP_INTENT_PIN);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_NONE);
	/* Lifted is all that was said. */
	kp_intent_set(in, "a", "1", "k", KP_INTENT_HOLD);
	kp_intent_set(in, "a", "", "k", KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "a", "2", "k"), KP_INTENT_NONE);
}

static void tombstones(void **state)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new();

	(void)state;
	assert_false(kp_intent_removed(in, "a", "1"));
	kp_intent_set_removed(in, "a", "1", true);
	kp_intent_set_removed(in, "a", "1", true);
	assert_true(kp_intent_removed(in, "a", "1"));
	assert_false(kp_intent_removed(in, "a", "2"));
	kp_intent_set_removed(in, "a", "1", false);
	kp_intent_set_removed(in, "a", "1", false);
	assert_false(kp_intent_removed(in, "a", "1"));
}

static void forget_is_of_one_source(void **state)
{
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new();

	(void)state;
	kp_intent_set(in, "a", "1", "k1", KP_INTENT_PIN);
	kp_intent_set(in, "a", "1", "k2", KP_INTENT_HOLD);
	kp_intent_set(in, "a", "2", "k2", KP_INTENT_HOLD);
	kp_intent_set(in, "b", "1", "k1", KP_INTENT_PIN);
	kp_intent_set_removed(in, "a", "1", true);
	kp_intent_forget(in, "a", "1");
	assert_int_equal(kp_intent_get(in, "a", "1", "k1"), KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "a", "1", "k2"), KP_INTENT_NONE);
	assert_int_equal(kp_intent_get(in, "a", "2", "k2"), KP_INTENT_HOLD);
	assert_int_equal(kp_intent_get(in, "b", "1", "k1"), KP_INTENT_PIN);
	assert_false(kp_intent_removed(in, "a", "1"));
}

static void all_of_it_comes_back(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new(), *back = NULL;
	_cleanup_buf_ struct kp_buf text = KP_BUF_INIT;
	_cleanup_free_ char *first = NULL, *second = NULL;
	struct kp_err err = KP_ERR_INIT;

	(void)state;
	kp_intent_set(in, "zfs", "2.10", "k", KP_INTENT_HOLD);
	kp_intent_set(in, "zfs", "2.9", "k2", KP_INTENT_PIN);
	kp_intent_set(in, "b", "1", "k", KP_INTENT_PIN);
	kp_intent_set_headers_only(in, "zfs", "2.9", "k2", true);
	kp_intent_set_headers_only(in, "zfs", "2.10", "k", true); /* is no pin */
	kp_intent_set(in, "all", "", "k", KP_INTENT_HOLD);
	kp_intent_set_removed(in, "gone", "1", true);
	if (kp_intent_save(ctx, in, &err) < 0 || kp_intent_load(ctx, &back, &err) < 0)
		fail_msg("%s", err.text);
	kp_intent_foreach(back, list, &text);
	assert_string_equal(text.s, "hold/all  k\npin/b 1 k\npin/zfs 2.9 k2\n"
				    "hold/zfs 2.10 k\n");
	assert_true(kp_intent_holds_module(back, "all", "k"));
	assert_true(kp_intent_removed(back, "gone", "1"));
	assert_true(kp_intent_headers_only(back, "zfs", "2.9", "k2"));
	assert_false(kp_intent_headers_only(back, "zfs", "2.10", "k"));
	assert_false(kp_intent_headers_only(back, "b", "1", "k"));
	/* The order in which things were said leaves no trace. */
	first = test_get(&root, FILE_PATH);
	kp_intent_set(back, "b", "1", "k", KP_INTENT_NONE);
	kp_intent_set(back, "b", "1", "k", KP_INTENT_PIN);
	assert_int_equal(kp_intent_save(ctx, back, NULL), 0);
	second = test_get(&root, FILE_PATH);
	assert_string_equal(first, second);
}

/* "M/V K kind" of each that is pending. */
static char *pending_of(const struct kp_intent *in)
{
	const char *module, *version, *kernel;
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	enum kp_intent_kind kind;

	for (size_t i = 0; kp_intent_pending(in, i, &module, &version, &kernel, &kind);
	     i++)
		kp_buf_addf(&b, "%s/%s %s %s\n", module, version, kernel,
			    kind == KP_INTENT_REMOVE ? "remove" : "uninstall");
	return kp_buf_steal(&b);
}

static void what_is_pending(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new(), *back = NULL;
	_cleanup_free_ char *text = NULL, *rest = NULL;

	(void)state;
	kp_intent_set_pending(in, "b", "1", "k1", KP_INTENT_REMOVE);
	kp_intent_set_pending(in, "b", "1", "k1", KP_INTENT_UNINSTALL);
	kp_intent_set_pending(in, "b", "1", "k2", KP_INTENT_REMOVE);
	kp_intent_set_pending(in, "a", "1", "k1", KP_INTENT_REMOVE);
	/* The whole includes its parts, before and after. */
	kp_intent_set_pending(in, "a", "1", "", KP_INTENT_REMOVE);
	kp_intent_set_pending(in, "a", "1", "k2", KP_INTENT_UNINSTALL);
	assert_int_equal(kp_intent_save(ctx, in, NULL), 0);
	assert_int_equal(kp_intent_load(ctx, &back, NULL), 0);
	text = pending_of(back);
	assert_string_equal(text, "a/1  remove\nb/1 k1 uninstall\nb/1 k2 remove\n");
	kp_intent_set_pending(back, "b", "1", "k2", KP_INTENT_NONE);
	assert_true(kp_intent_drop_pending(back, "a", "1"));
	assert_false(kp_intent_drop_pending(back, "a", "1"));
	rest = pending_of(back);
	assert_string_equal(rest, "b/1 k1 uninstall\n");
}

static void what_it_is_built_with(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new(), *back = NULL;
	char *words[] = { (char *)"A=b c", (char *)"B=", NULL };
	const struct kp_build_with with = { .conf_file = (char *)"/etc/x.conf",
					    .directives = words };
	const struct kp_build_with *found;

	(void)state;
	kp_intent_set_with(in, "a", "1", "k", &with);
	kp_intent_set_with(in, "a", "1", "k", &with);
	kp_intent_set_with(in, "a", "2", "k", &with);
	assert_int_equal(kp_intent_save(ctx, in, NULL), 0);
	assert_int_equal(kp_intent_load(ctx, &back, NULL), 0);
	found = kp_intent_with(back, "a", "1", "k");
	assert_non_null(found);
	assert_string_equal(found->conf_file, "/etc/x.conf");
	assert_null(found->kernel_source_dir);
	assert_string_equal(found->directives[0], "A=b c");
	assert_string_equal(found->directives[1], "B=");
	assert_null(found->directives[2]);
	assert_null(kp_intent_with(back, "a", "1", "k2"));
	kp_intent_set_with(back, "a", "1", "k", NULL);
	assert_null(kp_intent_with(back, "a", "1", "k"));
	kp_intent_forget(back, "a", "2");
	assert_null(kp_intent_with(back, "a", "2", "k"));
}

static void absent_says_nothing(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	_cleanup_(kp_intent_freep) struct kp_intent *in = NULL;

	(void)state;
	assert_int_equal(kp_intent_load(ctx, &in, NULL), 0);
	assert_int_equal(kp_intent_get(in, "a", "1", "k"), KP_INTENT_NONE);
}

#define FULL "{\"schema\":1,\"pins\":[],\"holds\":[],\"removed\":[],"
#define EMPTY_TAIL ",\"holds\":[],\"removed\":[]}"
#define PIN_A1 "{\"module\":\"a\",\"version\":\"1\",\"kernel\":\"k\"}"
#define PIN_A2 "{\"module\":\"a\",\"version\":\"2\",\"kernel\":\"k\"}"

static void what_cannot_be_parsed_is_an_error(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", ":1: " },
		{ "{\"schema\":1}", "pins" },
		{ "{\"schema\":\"1\"}", "expected an object with a schema number" },
		{ "{\"schema\":1,\"pins\":{}" EMPTY_TAIL, "expected arrays" },
		{ "{\"schema\":1,\"pins\":[\"a\"]" EMPTY_TAIL, "Expected object" },
		{ "{\"schema\":1,\"wish\":1,\"pins\":[]" EMPTY_TAIL, "wish" },
		{ "{\"schema\":1,\"pins\":[{\"module\":\"a\",\"version\":\"1\"}]" EMPTY_TAIL,
		  "kernel" },
		{ "{\"schema\":1,\"pins\":[{\"module\":\"a/b\",\"version\":\"1\","
		  "\"kernel\":\"k\"}]" EMPTY_TAIL,
		  "item 1 of \"pins\": unsafe name" },
		{ "{\"schema\":1,\"pins\":[],\"holds\":[],\"removed\":[{\"module\":\"a\","
		  "\"version\":\"..\"}]}",
		  "item 1 of \"removed\": unsafe name" },
		{ "{\"schema\":1,\"pins\":[" PIN_A1 "," PIN_A2 "]" EMPTY_TAIL,
		  "item 2 of \"pins\": contradicts another one" },
		{ "{\"schema\":1,\"pins\":[" PIN_A1 "],\"holds\":[" PIN_A1
		  "],\"removed\":[]}",
		  "item 1 of \"holds\": contradicts another one" },
		{ "{\"schema\":1,\"pins\":[{\"module\":\"a\",\"kernel\":\"k\"}]" EMPTY_TAIL,
		  "item 1 of \"pins\": unsafe name" },
		{ "{\"schema\":1,\"pins\":[" PIN_A1 "],\"holds\":[{\"module\":\"a\","
		  "\"kernel\":\"k\"}],\"removed\":[]}",
		  "item 1 of \"holds\": contradicts another one" },
		{ FULL "\"pending\":[{\"module\":\"a\",\"version\":\"1\",\"what\":"
		       "\"uninstall\"}]}",
		  "item 1 of \"pending\": unknown \"what\"" },
		{ FULL "\"pending\":{}}", "expected arrays" },
		{ FULL "\"with\":[{\"module\":\"a\",\"version\":\"1\",\"kernel\":\"k\","
		       "\"conf_file\":\"x\"}]}",
		  "item 1 of \"with\": expected an absolute path" },
		{ FULL "\"with\":[{\"module\":\"a\",\"version\":\"1\",\"kernel\":\"k\","
		       "\"directives\":[\"=\"]}]}",
		  "item 1 of \"with\": expected NAME=VALUE" },
	};
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	struct kp_intent *in = NULL;

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		struct kp_err err = KP_ERR_INIT;

		test_put(&root, FILE_PATH, bad[i].text);
		assert_int_equal(kp_intent_load(ctx, &in, &err), -EINVAL);
		assert_null(in);
		assert_true(kp_str_starts(err.text, FILE_PATH ":"));
		if (!strstr(err.text, bad[i].why))
			fail_msg("%s: %s", bad[i].text, err.text);
		assert_non_null(strstr(err.text, "move it away"));
	}
}

static void newer_schema_is_left_alone(void **state)
{
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);
	struct kp_err err = KP_ERR_INIT;
	struct kp_intent *in = NULL;

	(void)state;
	test_put(&root, FILE_PATH, "{\"schema\":2}");
	assert_int_equal(kp_intent_load(ctx, &in, &err), -ENOTSUP);
	assert_string_equal(err.text,
			    FILE_PATH ": schema 2 is not known to this version of "
				      "kmodpkg");
}

static void unsafe_names_are_not_written(void **state)
{
	static const char *const names[] = { "a b", "..", "a/b", "", "\xff", "a\nb" };
	_cleanup_root_ struct test_root root = test_root_new();
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = open_ctx(&root);

	(void)state;
	for (size_t i = 0; i < KP_ARRAY_SIZE(names); i++) {
		_cleanup_(kp_intent_freep) struct kp_intent *in = kp_intent_new();
		_cleanup_(kp_intent_freep) struct kp_intent *out = kp_intent_new();
		_cleanup_(kp_intent_freep) struct kp_intent *kernel = kp_intent_new();
		struct kp_err err = KP_ERR_INIT;

		kp_intent_set(in, names[i], "1", "k", KP_INTENT_PIN);
		assert_int_equal(kp_intent_save(ctx, in, &err), -EINVAL);
		assert_non_null(strstr(err.text, "unsafe name"));
		kp_intent_set_removed(out, "a", names[i], true);
		assert_int_equal(kp_intent_save(ctx, out, &err), -EINVAL);
		kp_intent_set(kernel, "a", "1", names[i], KP_INTENT_HOLD);
		assert_int_equal(kp_intent_save(ctx, kernel, &err), -EINVAL);
	}
	assert_false(kp_exists_in(root.fd, FILE_PATH));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins_and_holds),
		cmocka_unit_test(a_module_is_held_whatever_its_version),
		cmocka_unit_test(tombstones),
		cmocka_unit_test(forget_is_of_one_source),
		cmocka_unit_test(all_of_it_comes_back),
		cmocka_unit_test(what_is_pending),
		cmocka_unit_test(what_it_is_built_with),
		cmocka_unit_test(absent_says_nothing),
		cmocka_unit_test(what_cannot_be_parsed_is_an_error),
		cmocka_unit_test(newer_schema_is_left_alone),
		cmocka_unit_test(unsafe_names_are_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
