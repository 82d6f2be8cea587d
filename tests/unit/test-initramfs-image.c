// SPDX-License-Identifier: GPL-2.0-or-later
/* Which modules an image holds: asked of the sandbox, and remembered. */
#include <sys/wait.h>

#include "image-fixture.h"
#include "lib/image-parts.h"
#include "lib/initramfs-image.h"

#define IMAGE "/boot/initrd.img-6.1"
#define OTHER "/boot/initrd.img-6.2"
#define MEMO "/state/images"

struct images {
	struct test_root root;
	char *image, *other; /* as the machine has them */
};

static void put(struct images *s, const char *path, const char *name)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	_cleanup_free_ char *module = kp_strf(MODULES "%s.ko", name);
	struct kp_err err = KP_ERR_INIT;

	add(&b, 0100755, "init", "");
	add(&b, 0100644, MODULES "other.ko.xz", "x");
	add(&b, 0100644, module, "x");
	add_end(&b);
	if (kp_write_in(s->root.fd, path, b.s, b.len, 0600, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct images *s = kp_calloc(1, sizeof(*s));

	s->root = test_root_new();
	s->image = kp_path_join(s->root.path, IMAGE);
	s->other = kp_path_join(s->root.path, OTHER);
	test_put(&s->root, "/boot/x", "");
	test_put(&s->root, "/state/x", "");
	put(s, IMAGE, "hello-world");
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct images *s = *state;

	test_root_free(&s->root);
	free(s->image);
	free(s->other);
	free(s);
	return 0;
}

/* By a process of its own. *ret_names: joined, to be freed. */
static int ask(struct images *s, const char *image, char **ret_names, struct kp_err *err)
{
	_cleanup_(kp_ctx_closep) struct kp_ctx *ctx = NULL;
	_cleanup_strv_ char **names = NULL;
	int r;

	assert_int_equal(kp_ctx_open(NULL, &ctx, NULL), 0);
	free(ctx->state_dir);
	ctx->state_dir = kp_path_join(s->root.path, "/state");
	r = kp_initramfs_modules(ctx, image, &names, err);
	*ret_names = kp_strv_join(names, " ");
	return r;
}

static void assert_has(struct images *s, const char *image, const char *expect)
{
	_cleanup_free_ char *names = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (ask(s, image, &names, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(names, expect);
}

static void assert_fails(struct images *s, const char *image, int code, const char *why)
{
	_cleanup_free_ char *names = NULL;
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(ask(s, image, &names, &err), code);
	assert_non_null(strstr(err.text, image));
	if (!strstr(err.text, why))
		fail_msg("'%s' does not say '%s'", err.text, why);
}

/* Is it known without a process? */
static bool is_known(struct images *s, const char *image, const char *expect)
{
	_cleanup_free_ char *programs = kp_strdup(getenv("KMODPKG_LIBEXEC_DIR"));
	_cleanup_free_ char *names = NULL;
	int r;

	setenv("KMODPKG_LIBEXEC_DIR", s->root.path, 1);
	r = ask(s, image, &names, NULL);
	setenv("KMODPKG_LIBEXEC_DIR", programs, 1);
	if (r == 0)
		assert_string_equal(names, expect);
	else
		assert_int_equal(r, -ENOPKG);
	return r == 0;
}

static void answers(void **state)
{
	struct images *s = *state;
	_cleanup_free_ char *dir = kp_path_join(s->root.path, "/boot");

	assert_has(s, s->image, "hello_world other");
	assert_fails(s, s->other, -ENOENT, "cannot be opened");
	assert_fails(s, dir, -EINVAL, "not a file");
	test_put(&s->root, OTHER, "no image");
	assert_fails(s, s->other, -EINVAL, "no known format");
	test_put(&s->root, OTHER, "");
	assert_fails(s, s->other, -EINVAL, "no /init");
	sh(&s->root, "cd boot && gzip -9 <initrd.img-6.1 >initrd.img-6.2");
	assert_has(s, s->other, "hello_world other");
	sh(&s->root,
	   "mkdir t && cd t && touch init && echo init | cpio -o -H newc --quiet "
	   "| xz --check=crc32 >../boot/initrd.img-6.2");
	assert_has(s, s->other, "");
}

/* Memory that a stream says it needs. */
static void dictionary(void **state)
{
	struct images *s = *state;

	sh(&s->root, "cd boot && xz --format=lzma <initrd.img-6.1 >initrd.img-6.2");
	assert_has(s, s->other, "hello_world other");
	sh(&s->root, "cd boot && printf '\\xf0' | dd of=initrd.img-6.2 bs=1 seek=4 "
		     "conv=notrunc status=none");
#ifndef __SANITIZE_ADDRESS__ /* has no limit, see inside/initramfs.c */
	assert_fails(s, s->other, -EINVAL, "what is compressed in it cannot be read");
#endif
}

static void remembered(void **state)
{
	struct images *s = *state;
	_cleanup_free_ char *text = NULL, *more = NULL, *bad = NULL;

	if (geteuid() != 0)
		skip(); /* nothing is written */
	/* Young: it may change again unseen. */
	assert_has(s, s->image, "hello_world other");
	assert_false(is_known(s, s->image, NULL));
	put(s, OTHER, "a");
	sh(&s->root, "cd t 2>/dev/null || mkdir t && cd t && touch init && echo init | "
		     "cpio -o -H newc --quiet >../boot/none");
	test_let_age();
	assert_has(s, s->image, "hello_world other");
	assert_true(is_known(s, s->image, "hello_world other"));
	assert_has(s, s->other, "a other");
	assert_true(is_known(s, s->other, "a other"));
	assert_true(is_known(s, s->image, "hello_world other"));
	/* That there are none is an answer, too. */
	more = kp_path_join(s->root.path, "/boot/none");
	assert_has(s, more, "");
	assert_true(is_known(s, more, ""));
	/* What is not whole, or not what we write. */
	text = test_get(&s->root, MEMO);
	bad = kp_strndup(text, strlen(text) - 2);
	test_put(&s->root, MEMO, bad);
	assert_false(is_known(s, s->image, NULL));
	free(kp_steal(&bad));
	bad = kp_strdup(text);
	memcpy(strstr(bad, "hello"), "z", 1);
	test_put(&s->root, MEMO, bad);
	assert_false(is_known(s, s->image, NULL));
	assert_true(is_known(s, s->other, "a other"));
	assert_has(s, s->image, "hello_world other");
	assert_true(is_known(s, s->image, "hello_world other"));
	assert_true(is_known(s, s->other, "a other"));
	/* One that changed, or is gone, is forgotten with the next that is written. */
	put(s, IMAGE, "changed");
	assert_int_equal(kp_unlink_in(s->root.fd, OTHER), 0);
	assert_false(is_known(s, s->image, NULL));
	test_let_age();
	assert_has(s, s->image, "changed other");
	assert_true(is_known(s, s->image, "changed other"));
	free(kp_steal(&text));
	text = test_get(&s->root, MEMO);
	assert_null(strstr(text, OTHER));
	assert_null(strstr(text, "hello"));
	assert_non_null(strstr(text, "/boot/none"));
	/* Nothing is made where nothing of ours is. */
	assert_int_equal(kp_rm_rf_in(s->root.fd, "/state", NULL), 0);
	assert_has(s, s->image, "changed other");
	assert_false(kp_exists_in(s->root.fd, "/state"));
}

/* In a child, since what a process may is found out once. */
static void ask_as(struct images *s, uid_t uid, const char *image, int expect)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		char *names;
		int r;

		if (uid && (setgid(uid) || setuid(uid)))
			_exit(2);
		r = ask(s, image, &names, NULL);
		_exit(r == expect && (r < 0 || !strcmp(names, "hello_world other")) ? 0
										    : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Who is not root finds what root was told, and remembers nothing. */
static void another_user(void **state)
{
	struct images *s = *state;

	if (geteuid() != 0)
		skip();
	sh(&s->root, "chmod 755 . && chmod 777 state && cd boot && "
		     "cp -p initrd.img-6.1 initrd.img-6.2 && chmod 644 initrd.img-6.2 && "
		     "cp -p initrd.img-6.1 initrd.img-6.3");
	test_let_age();
	ask_as(s, 0, s->image, 0);
	ask_as(s, 65534, s->image, 0);
	ask_as(s, 65534, s->other, 0);
	assert_true(is_known(s, s->image, "hello_world other"));
	assert_false(is_known(s, s->other, NULL));
	free(s->other);
	s->other = kp_path_join(s->root.path, "/boot/initrd.img-6.3");
	ask_as(s, 65534, s->other, -EACCES);
}

/* What was parsed there is not trusted. */
static void what_is_said(void **state KP_UNUSED)
{
	static const char *const bad[] = {
		"",	      "\n",	   ".",		"a\n",	    "a\n.",
		".\na\n",     "b\na\n.\n", "a\na\n.\n", "a b\n.\n", "a/b\n.\n",
		"a\033\n.\n", "..\n.\n",   "a\n.\n.\n", "\tb\n.\n",
	};
	_cleanup_strv_ char **names = NULL;
	_cleanup_buf_ struct kp_buf many = KP_BUF_INIT;

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		if (kp_image_parse(bad[i], strlen(bad[i]), &names) != -EINVAL)
			fail_msg("'%s' is an answer", bad[i]);
		assert_null(names);
	}
	assert_int_equal(kp_image_parse("a\0b\n.\n", 6, &names), -EINVAL);
	for (int i = 0; i <= KP_IMAGE_MODULES; i++)
		kp_buf_addf(&many, "%06d\n", i);
	kp_buf_adds(&many, ".\n");
	assert_int_equal(kp_image_parse(many.s, many.len, &names), -EINVAL);
	assert_int_equal(kp_image_parse(many.s + 7, many.len - 7, &names), 0);
	assert_int_equal(kp_strv_len(names), KP_IMAGE_MODULES);
	kp_strv_free(kp_steal(&names));
	assert_int_equal(kp_image_parse(".\n", 2, &names), 0);
	assert_null(names);
	assert_int_equal(kp_image_parse("a\nb\n.\n", 6, &names), 0);
	assert_int_equal(kp_strv_len(names), 2);
}

/* libarchive, and what parses, run in the sandbox only. */
static void nowhere_else(void **state KP_UNUSED)
{
	_cleanup_free_ char *path =
		kp_strf("%s/initramfs", getenv("KMODPKG_LIBEXEC_DIR"));
	const char *const argv[] = { path, KP_IMAGE_PROTOCOL, NULL };
	const struct kp_proc proc = { .argv = argv };
	struct kp_proc_end end;

	assert_int_equal(kp_proc_run(&proc, &end, NULL), -ECHILD);
	assert_int_equal(end.exit_code, KP_IMAGE_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* The first: see ask_as(). */
		cmocka_unit_test_setup_teardown(another_user, setup, teardown),
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(dictionary, setup, teardown),
		cmocka_unit_test_setup_teardown(remembered, setup, teardown),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(nowhere_else),
	};

	return cmocka_run_group_tests_name("initramfs-image", tests, NULL, NULL);
}
