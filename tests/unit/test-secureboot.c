// SPDX-License-Identifier: GPL-2.0-or-later
/* EFI variables as the firmware and shim leave them. */
#include <kmodpkg/proc.h>

#include "test.h"

#include "lib/ctx.h"
#include "lib/secureboot.h"

#define LOCKDOWN "/sys/kernel/security/lockdown"
#define SIG_ENFORCE "/sys/module/module/parameters/sig_enforce"
#define VARS "/sys/firmware/efi/efivars/"
#define SECURE_BOOT VARS "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define SHIM "605dab50-e046-4300-abb6-3dd810dd8b23"
#define CERT "/var/lib/dkms/mok.pub"
#define CERT_LEN 800

struct machine {
	struct test_root root;
	struct kp_ctx *ctx;
	char cert[CERT_LEN];
};

static int setup(void **state)
{
	struct machine *m = kp_calloc(1, sizeof(*m));

	m->root = test_root_new();
	assert_int_equal(kp_ctx_open(m->root.path, &m->ctx, NULL), 0);
	for (size_t i = 0; i < CERT_LEN; i++)
		m->cert[i] = (char)(i * 7 + i / 256);
	test_put(&m->root, CERT, "");
	assert_int_equal(kp_write_in(m->root.fd, CERT, m->cert, CERT_LEN, 0644, NULL), 0);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	kp_ctx_close(m->ctx);
	test_root_free(&m->root);
	free(m);
	return 0;
}

static void put_flag(struct machine *m, const char *path, const char *value, size_t len)
{
	test_put(&m->root, path, "");
	assert_int_equal(kp_write_in(m->root.fd, path, value, len, 0644, NULL), 0);
}

/* Attributes (if any), the head of a signature list, LEN bytes of the certificate, a tail. */
static void put_list(struct machine *m, const char *path, size_t attributes, size_t len)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	static const char head[28 + 16], tail[99];

	kp_buf_add(&b, "\6\0\0\0", attributes);
	kp_buf_add(&b, head, sizeof(head));
	kp_buf_add(&b, m->cert, len);
	kp_buf_add(&b, tail, sizeof(tail));
	put_flag(m, path, b.s, b.len);
}

static void on_and_off(void **state)
{
	struct machine *m = *state;

	assert_false(kp_secure_boot_is_on(m->ctx));
	put_flag(m, SECURE_BOOT, "\6\0\0\0\0", 5);
	assert_false(kp_secure_boot_is_on(m->ctx));
	put_flag(m, SECURE_BOOT, "\6\0\0\0\1", 5);
	assert_true(kp_secure_boot_is_on(m->ctx));
	/* mokutil --disable-validation */
	put_flag(m, VARS "MokSBStateRT-" SHIM, "\6\0\0\0\1", 5);
	assert_false(kp_secure_boot_is_on(m->ctx));
	put_flag(m, VARS "MokSBStateRT-" SHIM, "\6\0\0\0\0", 5);
	assert_true(kp_secure_boot_is_on(m->ctx));
	put_flag(m, SECURE_BOOT, "\1", 1);
	assert_false(kp_secure_boot_is_on(m->ctx));
}

/* The kernel decides what Secure Boot means for modules. */
static void enforced_or_not(void **state)
{
	struct machine *m = *state;

	assert_false(kp_secure_boot_enforces(m->ctx));
	test_put(&m->root, LOCKDOWN, "[none] integrity confidentiality\n");
	test_put(&m->root, SIG_ENFORCE, "N\n");
	assert_false(kp_secure_boot_enforces(m->ctx));
	test_put(&m->root, SIG_ENFORCE, "Y\n");
	assert_true(kp_secure_boot_enforces(m->ctx));
	test_put(&m->root, SIG_ENFORCE, "N\n");
	test_put(&m->root, LOCKDOWN, "none [integrity] confidentiality\n");
	assert_true(kp_secure_boot_enforces(m->ctx));
}

/* The certificate as PEM, as openssl writes it. */
static void put_pem(struct machine *m)
{
	_cleanup_free_ char *der = kp_path_join(m->root.path, "der");
	_cleanup_free_ char *base64 = NULL;
	const char *argv[] = { "/usr/bin/base64", "-w", "64", der, NULL };
	struct kp_proc proc = { .argv = argv };
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;

	put_flag(m, "/der", m->cert, CERT_LEN);
	assert_int_equal(kp_proc_capture(&proc, 4096, &base64, NULL, NULL), 0);
	kp_buf_addf(&b,
		    "subject=CN = x\n-----BEGIN CERTIFICATE-----\n%s"
		    "-----END CERTIFICATE-----\n",
		    base64);
	test_put(&m->root, CERT, b.s);
}

static void a_certificate_in_pem(void **state)
{
	struct machine *m = *state;
	_cleanup_free_ char *command = NULL;

	put_pem(m);
	put_list(m, VARS "MokListRT-" SHIM, 4, CERT_LEN - 1);
	assert_int_equal(kp_secure_boot_knows(m->ctx, CERT), KP_ENROLLED_NO);
	command = kp_secure_boot_command(m->ctx, CERT);
	assert_string_equal(command,
			    "openssl x509 -in " CERT " -outform DER -out " CERT ".der && "
			    "mokutil --import " CERT ".der (of the package mokutil)");
	put_list(m, VARS "MokListRT-" SHIM, 4, CERT_LEN);
	assert_int_equal(kp_secure_boot_knows(m->ctx, CERT), KP_ENROLLED_YES);
}

static void enrolled_or_not(void **state)
{
	static const struct {
		const char *path;
		size_t attributes;
		enum kp_enrolment is;
	} lists[] = {
		{ VARS "MokListRT-" SHIM, 4, KP_ENROLLED_YES },
		{ VARS "MokListRT2-" SHIM, 4, KP_ENROLLED_YES },
		{ "/sys/firmware/efi/mok-variables/MokListRT", 0, KP_ENROLLED_YES },
		{ VARS "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", 4, KP_ENROLLED_YES },
		{ VARS "dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f", 4, KP_ENROLLED_NO },
		{ VARS "MokNew-" SHIM, 4, KP_ENROLLED_PENDING },
		{ VARS "MokListXRT-" SHIM, 4, KP_ENROLLED_NO }, /* forbidden ones */
	};
	struct machine *m = *state;

	assert_int_equal(kp_secure_boot_knows(m->ctx, CERT), KP_ENROLLED_NO);
	for (size_t i = 0; i < KP_ARRAY_SIZE(lists); i++) {
		put_list(m, lists[i].path, lists[i].attributes, CERT_LEN - 1);
		assert_int_equal(kp_secure_boot_knows(m->ctx, CERT), KP_ENROLLED_NO);
		put_list(m, lists[i].path, lists[i].attributes, CERT_LEN);
		assert_int_equal(kp_secure_boot_knows(m->ctx, CERT), lists[i].is);
		assert_int_equal(kp_unlink_in(m->root.fd, lists[i].path), 0);
	}
}

static void what_is_no_certificate(void **state)
{
	struct machine *m = *state;

	put_list(m, VARS "MokListRT-" SHIM, 4, CERT_LEN);
	assert_int_equal(kp_secure_boot_knows(m->ctx, "/none"), KP_ENROLLED_NO);
	test_put(&m->root, CERT, "");
	assert_int_equal(kp_secure_boot_knows(m->ctx, CERT), KP_ENROLLED_NO);
}

static void the_command_names_what_is_missing(void **state)
{
	struct machine *m = *state;
	_cleanup_free_ char *without = NULL, *with = NULL;
	_cleanup_free_ char *path = kp_path_join(m->root.path, "usr/bin/mokutil");

	/* Booted without shim: nobody would look at what mokutil asks for. */
	assert_null(kp_secure_boot_command(m->ctx, CERT));
	put_list(m, VARS "MokListRT-" SHIM, 4, 10);
	without = kp_secure_boot_command(m->ctx, CERT);
	assert_string_equal(without,
			    "mokutil --import " CERT " (of the package mokutil)");
	test_put(&m->root, "/usr/bin/mokutil", "");
	assert_int_equal(chmod(path, 0755), 0);
	with = kp_secure_boot_command(m->ctx, CERT);
	assert_string_equal(with, "mokutil --import " CERT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(on_and_off, setup, teardown),
		cmocka_unit_test_setup_teardown(enforced_or_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_certificate_in_pem, setup, teardown),
		cmocka_unit_test_setup_teardown(enrolled_or_not, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(the_command_names_what_is_missing, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
