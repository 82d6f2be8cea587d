// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Signing: which key, which tool, and what happens when there is none. The key is made by
 * the real openssl. A stand-in for sign-file appends the marker and its arguments; the
 * real one runs in the end-to-end tests.
 */
#include "ko.h"

#define MARKER "~Module signature appended~\n"
#define STAND_IN                                                                         \
	"#!/bin/sh\nprintf '%s|%s|%s\\n" MARKER "' \"$1\" \"$2\" \"$3\" >>\"$4\"\n"

static int setup(void **state)
{
	struct art *a;

	assert_int_equal(art_setup(state), 0);
	a = *state;
	a->ctx.config.sign = KP_SIGN_YES;
	a->kb.module_sig = true;
	a->kb.sig_hash = kp_strdup("sha256");
	return 0;
}

static int teardown(void **state)
{
	struct art *a = *state;

	free(a->kb.sig_hash);
	return art_teardown(state);
}

static void put_tool(struct art *a, const char *name, const char *text)
{
	_cleanup_free_ char *path = art_path(a, name), *below = kp_strf("/%s", name);

	test_put(&a->root, below, text);
	assert_int_equal(chmod(path, 0755), 0);
}

static int make_key(struct art *a)
{
	_cleanup_close_ int log = open("/dev/null", O_WRONLY | O_CLOEXEC);

	return kp_mok_generate(&a->ctx, log, NULL);
}

static int sign(struct art *a, bool *ret_signed, char **ret_why, struct kp_err *err)
{
	_cleanup_close_ int log = open("/dev/null", O_WRONLY | O_CLOEXEC);

	return kp_artifact_sign(&a->ctx, a->ko, &a->kernel, &a->kb, log, ret_signed,
				ret_why, err);
}

static void assert_signs(struct art *a)
{
	struct kp_err err = KP_ERR_INIT;
	bool is_signed = false;
	char *why = (char *)"";

	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	if (sign(a, &is_signed, &why, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(is_signed);
	assert_null(why);
	assert_true(kp_artifact_is_signed(&a->ctx, a->ko));
}

static void assert_why(struct art *a, const char *expect)
{
	_cleanup_free_ char *why = NULL;
	struct kp_err err = KP_ERR_INIT;
	bool is_signed = true;

	if (sign(a, &is_signed, &why, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(is_signed);
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	if (!strstr(why, expect))
		fail_msg("'%s' does not say '%s'", why, expect);
}

static void assert_fails(struct art *a, int code, const char *expect)
{
	struct kp_err err = KP_ERR_INIT;
	bool is_signed;
	char *why;

	assert_int_equal(sign(a, &is_signed, &why, &err), code);
	if (!strstr(err.text, expect))
		fail_msg("'%s' does not say '%s'", err.text, expect);
}

/* The same is known before there is anything to sign. */
static void assert_hopeless(struct art *a, int code, const char *expect)
{
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(kp_sign_check(&a->ctx, &a->kernel, &a->kb, &err), code);
	if (!strstr(err.text, expect))
		fail_msg("'%s' does not say '%s'", err.text, expect);
	assert_fails(a, code, err.text);
}

static void assert_promising(struct art *a)
{
	struct kp_err err = KP_ERR_INIT;

	if (kp_sign_check(&a->ctx, &a->kernel, &a->kb, &err) < 0)
		fail_msg("%s", err.text);
}

static void own_key(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *key = art_path(a, "dkms/mok.key");
	_cleanup_free_ char *cert = art_path(a, "dkms/mok.pub");
	_cleanup_free_ char *args = kp_strf("sha256|%s|%s\n" MARKER, key, cert);
	_cleanup_free_ char *first = NULL, *second = NULL, *text = NULL;
	_cleanup_strv_ char **names = NULL;
	const char *show[] = { "/usr/bin/openssl",
			       "x509",
			       "-inform",
			       "DER",
			       "-noout",
			       "-text",
			       "-in",
			       cert,
			       NULL };
	struct kp_proc proc = { .argv = show };
	struct stat st;
	size_t len, bytes_len;
	_cleanup_free_ char *bytes = NULL;

	put_tool(a, "headers/scripts/sign-file", STAND_IN);
	/* It is made when it is needed. */
	assert_promising(a);
	assert_false(kp_exists_in(a->root.fd, "/dkms/mok.key"));
	assert_signs(a);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(stat(cert, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(kp_list_in(a->root.fd, "/dkms", &names), 0);
	assert_int_equal(kp_strv_len(names), 2);

	assert_int_equal(kp_proc_capture(&proc, 1 << 16, &text, &len, NULL), 0);
	assert_non_null(strstr(text, "2048 bit"));
	assert_non_null(strstr(text, "Code Signing"));
	assert_non_null(strstr(text, "CN = DKMS module signing key"));

	bytes = test_bytes(a->ko, &bytes_len);
	assert_memory_equal(bytes + bytes_len - strlen(args), args, strlen(args));

	/* The same key the next time. */
	first = test_get(&a->root, "/dkms/mok.key");
	test_compile(a, "hello.ko", TEST_MODULE("hello", TEST_RELEASE));
	assert_signs(a);
	assert_int_equal(make_key(a), 0);
	second = test_get(&a->root, "/dkms/mok.key");
	assert_string_equal(first, second);
}

static void stale_certificate_without_key(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *text = NULL;

	put_tool(a, "headers/scripts/sign-file", STAND_IN);
	test_put(&a->root, "/dkms/mok.pub", "old");
	assert_signs(a);
	text = test_get(&a->root, "/dkms/mok.pub");
	assert_string_not_equal(text, "old");
}

static void key_without_certificate(void **state)
{
	struct art *a = *state;

	put_tool(a, "headers/scripts/sign-file", STAND_IN);
	test_put(&a->root, "/dkms/mok.key", "precious");
	assert_hopeless(a, -ENOENT, "without its certificate");
	a->ctx.config.sign = KP_SIGN_AUTO;
	assert_hopeless(a, -ENOENT, "without its certificate");
}

static void automatic_key_only_where_booted(void **state)
{
	struct art *a = *state;

	a->ctx.config.sign = KP_SIGN_AUTO;
	put_tool(a, "headers/scripts/sign-file", STAND_IN);
	if (kp_kernel_booted_us()) {
		assert_signs(a);
		return;
	}
	assert_why(a, "none is made in a chroot or container");
	/* One that is there is used. */
	assert_int_equal(make_key(a), 0);
	assert_signs(a);
}

static void configured(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *key = art_path(a, "my.key"), *cert = art_path(a, "my.der");
	_cleanup_free_ char *tool = art_path(a, "tool");
	_cleanup_free_ char *bytes = NULL;
	size_t len;

	put_tool(a, "tool", STAND_IN);
	a->ctx.config.sign_tool = tool;
	a->ctx.config.sign_key = key;
	assert_hopeless(a, -EINVAL, "only one of sign_key and sign_cert");
	a->ctx.config.sign_cert = cert;
	assert_hopeless(a, -ENOENT, "sign_key");
	test_put(&a->root, "/my.key", "");
	assert_hopeless(a, -ENOENT, "sign_cert");
	test_put(&a->root, "/my.der", "");
	assert_promising(a);
	assert_signs(a);
	/* The URI goes to the tool as it is. */
	a->ctx.config.sign_key = (char *)"pkcs11:token=x;object=y";
	test_compile(a, "hello.ko", TEST_MODULE("hello", TEST_RELEASE));
	assert_signs(a);
	bytes = test_bytes(a->ko, &len);
	assert_non_null(memmem(bytes, len, "|pkcs11:token=x;object=y|", 25));
	a->ctx.config.sign_tool = (char *)"/nonexistent/tool";
	assert_hopeless(a, -ENOENT, "/nonexistent/tool");
}

/* A line of the configuration that is wrong: in no other way than was asked for. */
static void wrong_setting(void **state)
{
	struct art *a = *state;

	put_tool(a, "headers/scripts/sign-file", STAND_IN);
	assert_int_equal(make_key(a), 0);
	a->ctx.config.sign_wrong = (char *)"c:1: sign_key = \"k\": expected a path";
	assert_hopeless(a, -EINVAL, "c:1: sign_key = \"k\"");
	a->ctx.config.sign = KP_SIGN_AUTO;
	assert_hopeless(a, -EINVAL, "c:1: sign_key = \"k\"");
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	/* Where nothing is to be signed it does not matter. */
	a->ctx.config.sign = KP_SIGN_NO;
	assert_why(a, "switched off in the configuration");
}

static void no_way_to_sign(void **state)
{
	struct art *a = *state;

	assert_hopeless(a, -ENOPKG, "no scripts/sign-file");
	a->ctx.config.sign = KP_SIGN_AUTO;
	assert_why(a, "no scripts/sign-file");
	put_tool(a, "headers/scripts/sign-file", STAND_IN);
	a->kb.module_sig = false;
	assert_why(a, "CONFIG_MODULE_SIG");
	a->ctx.config.sign = KP_SIGN_YES;
	assert_hopeless(a, -EOPNOTSUPP, "CONFIG_MODULE_SIG");
	a->kb.module_sig = true;
	a->ctx.config.sign = KP_SIGN_NO;
	assert_why(a, "switched off");
}

static void tool_fails(void **state)
{
	struct art *a = *state;

	a->ctx.config.sign = KP_SIGN_AUTO;
	assert_int_equal(make_key(a), 0);
	put_tool(a, "headers/scripts/sign-file", "#!/bin/sh\nexit 3\n");
	assert_fails(a, -ECHILD, "sign-file ended with exit code 3");
	put_tool(a, "headers/scripts/sign-file", "#!/bin/sh\nexit 0\n");
	assert_fails(a, -EIO, "signed nothing");
}

static void marker(void **state)
{
	struct art *a = *state;

	test_put(&a->root, "/hello.ko", MARKER);
	assert_true(kp_artifact_is_signed(&a->ctx, a->ko));
	test_put(&a->root, "/hello.ko", MARKER "\n");
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	test_put(&a->root, "/hello.ko", "Module signature appended~\n");
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	test_put(&a->root, "/hello.ko", "");
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	assert_int_equal(unlink(a->ko), 0);
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
	assert_int_equal(mkfifo(a->ko, 0600), 0);
	assert_false(kp_artifact_is_signed(&a->ctx, a->ko));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The PIN reaches the tool from a file that is root's alone, else from our environment. */
static void pin_of_the_key(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *file = art_path(a, "pin"), *bytes = NULL;
	size_t len;

	put_tool(a, "headers/scripts/sign-file",
		 "#!/bin/sh\nprintf 'pin=%s\\n" MARKER
		 "' \"$KBUILD_SIGN_PIN\" >>\"$4\"\n");
	setenv("KBUILD_SIGN_PIN", "environment", 1);
	a->ctx.config.sign_pin_file = file;
	assert_hopeless(a, -ENOENT, "is not there");
	test_put(&a->root, "/pin", "secret word\r\nsecond line\n");
	assert_hopeless(a, -EPERM, "is not for root alone: chmod 600 ");
	assert_int_equal(chmod(file, 0600), 0);
	assert_signs(a);
	bytes = test_bytes(a->ko, &len);
	assert_non_null(memmem(bytes, len, "pin=secret word\n~", 17));
	free(bytes);
	a->ctx.config.sign_pin_file = NULL;
	assert_int_equal(truncate(a->ko, (off_t)len - 2), 0);
	assert_signs(a);
	bytes = test_bytes(a->ko, &len);
	assert_non_null(memmem(bytes, len, "pin=environment\n", 16));
	unsetenv("KBUILD_SIGN_PIN");
}

/* An encrypted key without a passphrase is not even tried. */
static void encrypted_key(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *key = art_path(a, "my.key"), *cert = art_path(a, "my.pub");

	put_tool(a, "headers/scripts/sign-file", "#!/bin/sh\nexit 1\n");
	a->ctx.config.sign_key = key;
	a->ctx.config.sign_cert = cert;
	test_put(&a->root, "/my.pub", "x");
	test_put(&a->root, "/my.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
	assert_hopeless(a, -EACCES,
			"my.key' is encrypted: write its passphrase into a file");
	setenv("KBUILD_SIGN_PIN", "wrong", 1);
	assert_fails(a, -ECHILD, "exit code 1; is the passphrase of '");
	assert_fails(a, -ECHILD, "right (KBUILD_SIGN_PIN)?");
	test_put(&a->root, "/my.key",
		 "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n");
	unsetenv("KBUILD_SIGN_PIN");
	assert_hopeless(a, -EACCES, "is encrypted");
	a->ctx.config.sign_key = a->ctx.config.sign_cert = NULL;
}

/* Signs if the PIN that the URI names is 1234, and notes that it was asked. No terminal. */
#define TOKEN                                                                            \
	"#!/bin/sh\n"                                                                    \
	"read -r stat <\"/proc/$$/stat\"\n"                                              \
	"[ \"$(echo \"$stat\" | cut -d' ' -f6)\" = $$ ] || exit 3\n"                     \
	"echo x >>\"${3%/*}/asked\"\n"                                                   \
	"case $2 in pkcs11:token=a\\?pin-source=file:*) ;; *) exit 4 ;; esac\n"          \
	"[ \"$(cat \"${2##*file:}\")\" = 1234 ] || exit 5\n"                             \
	"printf '" MARKER "' >>\"$4\"\n"

/* The PIN of a token goes by way of the URI, and a wrong one is not tried until the token locks
 * itself. */
static void token(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *cert = art_path(a, "my.pub"), *pin = art_path(a, "pin");
	_cleanup_free_ char *failed = kp_path_join(a->ctx.run_dir, "token-failed");
	_cleanup_free_ char *remove = kp_strf("rm %s", failed), *asked = NULL;

	put_tool(a, "headers/scripts/sign-file", TOKEN);
	a->ctx.config.sign_key = (char *)"pkcs11:token=a";
	a->ctx.config.sign_cert = cert;
	test_put(&a->root, "/my.pub", "x");
	assert_fails(a, -ECHILD, "at the PIN (no sign_pin_file is set)");
	a->ctx.config.sign_pin_file = pin;
	test_put(&a->root, "/pin", "999\n");
	assert_int_equal(chmod(pin, 0600), 0);
	assert_fails(a, -ECHILD, "exit code 5; look at sign_key 'pkcs11:token=a'");
	assert_fails(a, -EACCES, remove);
	/* Another one is. */
	test_put(&a->root, "/pin", "1234\n");
	assert_int_equal(chmod(pin, 0600), 0);
	assert_signs(a);
	assert_false(kp_exists_in(a->root.fd, failed));
	asked = test_get(&a->root, "/asked");
	assert_string_equal(asked, "x\nx\nx\n");
	/* The URI may say it itself. */
	a->ctx.config.sign_key = (char *)"pkcs11:token=a?pin-value=1234";
	assert_fails(
		a, -ECHILD,
		"exit code 4; look at sign_key 'pkcs11:token=a', at the PIN (of sign_key)");
	assert_fails(a, -EACCES,
		     "signing with 'pkcs11:token=a' failed with this PIN (of sign_key)");
	a->ctx.config.sign_key = a->ctx.config.sign_cert = a->ctx.config.sign_pin_file =
		NULL;
}

/* Another PIN is another one wherever it is written; and what says nothing about a PIN is not held
 * against it. */
static void token_again(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *cert = art_path(a, "my.pub"), *pin = art_path(a, "pin");
	_cleanup_free_ char *uri = kp_strf("pkcs11:token=a?pin-source=file:%s", pin);

	a->ctx.config.sign_key = uri;
	a->ctx.config.sign_cert = cert;
	test_put(&a->root, "/my.pub", "x");
	test_put(&a->root, "/pin", "999");
	put_tool(a, "headers/scripts/sign-file", "#!/nonexistent\n");
	assert_fails(a, -ENOENT, "sign-file");
	put_tool(a, "headers/scripts/sign-file", "#!/bin/sh\nkill -ALRM $$\n");
	assert_fails(a, -ECHILD, "was killed by signal 14");
	put_tool(a, "headers/scripts/sign-file", TOKEN);
	assert_fails(a, -ECHILD, "exit code 5");
	assert_hopeless(a, -EACCES, "failed with this PIN (of sign_key)");
	test_put(&a->root, "/pin", "1234");
	assert_signs(a);
	a->ctx.config.sign_key = a->ctx.config.sign_cert = NULL;
}

static void assert_secret(struct art *a, const char *key, const char *path)
{
	_cleanup_strv_ char **paths = NULL;

	a->ctx.config.sign_key = (char *)key;
	kp_sign_secrets(&a->ctx, "6.1-kp", &paths);
	if (!kp_strv_has(paths, path))
		fail_msg("%s: %s is not secret", key, path);
	a->ctx.config.sign_key = NULL;
}

static void secrets(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *own = art_path(a, "dkms/mok.key");

	assert_secret(a, NULL, own);
	assert_secret(a, "/etc/my.key", "/etc/my.key");
	/* As $kernelver of DKMS's configuration is kept. */
	assert_secret(a, "/etc/keys/\nkernelver\n.key", "/etc/keys/6.1-kp.key");
	assert_secret(a, "pkcs11:token=a?pin-source=file:/etc/pin", "/etc/pin");
	assert_secret(a, "pkcs11:token=a?pin-source=/etc/pin&x=y", "/etc/pin");
	assert_secret(a, "pkcs11:token=a?x=y&pin-source=file:///etc/my%20pin",
		      "/etc/my pin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(own_key),
		TEST(stale_certificate_without_key),
		TEST(key_without_certificate),
		TEST(automatic_key_only_where_booted),
		TEST(configured),
		TEST(wrong_setting),
		TEST(no_way_to_sign),
		TEST(tool_fails),
		TEST(marker),
		TEST(pin_of_the_key),
		TEST(encrypted_key),
		TEST(token),
		TEST(token_again),
		TEST(secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
