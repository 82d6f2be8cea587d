// SPDX-License-Identifier: GPL-2.0-or-later
/* What is wrong, on a system where little else is. */
#include "lib/doctor.h"
#include "lib/install.h"
#include "system.h"

/* One line per finding of AREA (NULL: of any but the machine's): "AREA: WHAT [COMMAND]". */
static char *findings(struct test_system *s, const char *area)
{
	_cleanup_(kp_doctor_clear) struct kp_doctor d = { 0 };
	struct kp_buf b = KP_BUF_INIT;

	TEST_TRY(kp_doctor_look(s->ctx, &d, err));
	for (size_t i = 0; i < d.n; i++) {
		const struct kp_finding *f = &d.list[i];

		if (area ? strcmp(f->area, area) != 0
			 : !strcmp(f->area, "sandbox") || !strcmp(f->area, "compiler"))
			continue;
		kp_buf_addf(&b, "%s: %s%s%s%s\n", f->area, f->what, f->mend ? " [" : "",
			    f->mend ? f->mend : "", f->mend ? "]" : "");
	}
	return kp_buf_steal(&b);
}

static void assert_findings(struct test_system *s, const char *area, const char *text)
{
	_cleanup_free_ char *is = findings(s, area);

	assert_string_equal(is, text);
}

static void healthy(struct test_system *s)
{
	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_sync(s);
}

static void nothing_is_wrong(void **state)
{
	struct test_system *s = test_system(state);

	assert_findings(s, NULL, "");
	healthy(s);
	assert_findings(s, NULL, "");
}

static void kernels_without_headers(void **state)
{
	struct test_system *s = test_system(state);

	healthy(s);
	test_register(s, "other", "1.0", NULL);
	test_publish(s, "other", "1.0", K2, NULL);
	test_sync(s);
	TEST_TRY(kp_rm_rf_in(s->root.fd, "/var/lib/dkms/other/1.0/" K1, err));
	assert_int_equal(rename("/usr/src/linux-headers-" K1, "/usr/src/away"), 0);
	test_fake(s, "headers", K1 " fake-install headers-1\n");
	assert_findings(s, NULL,
			"headers: kernel " K1
			" has no headers: 2 modules cannot be rebuilt "
			"[fake-install headers-1]\n");
	test_register(s, "third", "1.0", NULL);
	test_publish(s, "third", "1.0", K2, NULL);
	test_sync(s);
	/* Only the headers were upgraded. */
	test_put(&s->root, "/usr/src/linux-headers-9.0/Makefile", "");
	test_put(&s->root, "/usr/src/linux-headers-9.0/include/x", "");
	assert_int_equal(mkdir("/lib/modules/9.0", 0755), 0);
	assert_int_equal(symlink("/usr/src/linux-headers-9.0", "/lib/modules/9.0/build"),
			 0);
	assert_findings(
		s, "headers",
		"headers: kernel " K1
		" has no headers (there are some for 9.0, which is not installed): "
		"1 module cannot be built, 2 modules cannot be rebuilt "
		"[fake-install headers-1]\n");
}

static void modules_in_a_bad_state(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	assert_findings(s, NULL,
			"modules: hello/1.0 for " K1 " is not built yet [kmodpkg sync]\n"
			"modules: hello/1.0 for " K2
			" is not built yet [kmodpkg sync]\n");
	test_fail(s, "hello", "1.0", K1, "no such luck", false);
	test_publish(s, "hello", "1.0", K2, NULL);
	assert_findings(s, NULL,
			"modules: hello/1.0 for " K1
			" failed: no such luck [kmodpkg log hello/1.0 -k " K1 "]\n"
			"modules: hello/1.0 for " K2
			" is built and not installed [kmodpkg sync]\n");
	test_sync(s);
	test_put(&s->root, "/usr/src/hello-1.0/new.h", "");
	assert_findings(s, NULL,
			"modules: hello/1.0 for " K1
			" failed: no such luck [kmodpkg sync]\n"
			"modules: hello/1.0 for " K2
			" is stale: its source or the kernel headers changed "
			"[kmodpkg sync]\n");
	test_add_source(s, "hello", "1.0", "BUILT_MODULE_NAME=x.ko\n");
	text = findings(s, "modules");
	assert_non_null(strstr(text, "hello/1.0 for " K1 " failed: "));
}

static void a_package_that_somebody_removed(void **state)
{
	struct test_system *s = test_system(state);

	healthy(s);
	test_fake(s, "packages/kmod-hello-" K1, NULL);
	TEST_TRY(kp_rm_rf_in(s->root.fd, "/lib/modules/" K1 "/updates", err));
	assert_findings(
		s, "modules",
		"modules: hello/1.0 for " K1
		" is built and not installed: its package was removed and a sync brings it back; "
		"to be rid of it: kmodpkg uninstall hello/1.0 -k " K1
		" [kmodpkg sync]\n");
}

static void sources_that_are_not_registered(void **state)
{
	struct test_system *s = test_system(state);

	test_add_source(s, "mine", "1.0", NULL);
	test_add_source(s, "packaged", "1.0", NULL);
	test_add_source(s, "removed", "1.0", NULL);
	test_own(s, "packaged-dkms", "/usr/src/packaged-1.0/dkms.conf");
	test_bury(s, "removed", "1.0");
	test_put(&s->root, "/usr/src/odd-1.0/dkms.conf",
		 "PACKAGE_NAME=other\nPACKAGE_VERSION=1.0\n");
	assert_findings(s, "sources",
			"sources: /usr/src/mine-1.0 is not registered, and belongs to no "
			"package that would do it [kmodpkg add mine/1.0]\n"
			"sources: /usr/src/odd-1.0: /usr/src/odd-1.0/dkms.conf says "
			"other-1.0, not the name of its directory\n"
			"sources: /usr/src/packaged-1.0 is not registered yet "
			"[kmodpkg sync]\n");
}

static void what_is_still_to_be_done(void **state)
{
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_publish(s, "hello", "1.0", K1, NULL);
	test_publish(s, "hello", "1.0", K2, NULL);
	test_fake(s, "lock", "must-defer");
	test_sync(s);
	/* Their files are in place, owned by nobody yet, and that is no finding. */
	assert_findings(s, "files", "");
	assert_findings(s, "queue",
			"queue: 2 package changes wait for the package manager "
			"[kmodpkg sync]\n"
			"queue: kernel " K1
			": its initramfs may still have to be made [kmodpkg sync]\n"
			"queue: kernel " K2
			": its initramfs may still have to be made [kmodpkg sync]\n");
}

static void a_lock_that_is_held(void **state)
{
	struct test_system *s = test_system(state);

	healthy(s);
	test_fake(s, "lock", "busy a process that is not to be seen");
	assert_findings(s, "queue",
			"queue: the package database is held by a process that is not to "
			"be seen\n");
}

static void files_that_nobody_owns(void **state)
{
	struct test_system *s = test_system(state);

	healthy(s);
	test_put(&s->root, "/lib/modules/" K1 "/extra/mine.ko.xz", "");
	assert_findings(s, NULL,
			"files: kernel " K1 ": owned by no package, from \"make "
			"modules_install\" or copied by hand: "
			"/lib/modules/" K1 "/extra/mine.ko.xz\n");
	test_put(&s->root, "/lib/modules/" K1 "/updates/dkms/old.ko", "");
	test_put(&s->root, "/var/lib/dkms/old/1.0/" K1 "/x86_64/module/old.ko", "");
	TEST_TRY(kp_view_set(s->ctx, "old", K1, "1.0", err));
	test_put(&s->root, "/lib/modules/" K1 "/extra/a.ko", "");
	assert_findings(s, NULL,
			"files: kernel " K1 ": built by DKMS, owned by no package: "
			"/lib/modules/" K1 "/updates/dkms/old.ko [kmodpkg adopt]\n"
			"files: kernel " K1 ": owned by no package, from \"make "
			"modules_install\" or copied by hand: 2 modules "
			"(/lib/modules/" K1 "/extra/a.ko ...)\n");
}

static void modules_that_dkms_moved_away(void **state)
{
	static const char archive[] =
		"/var/lib/dkms/old/original_module/" K1 "/x86_64/e1000.ko.xz";
	struct test_system *s = test_system(state);

	healthy(s);
	test_put(&s->root, archive, "");
	test_put(&s->root, "/var/lib/dkms/old/original_module/" K1 "/x86_64/x.origin",
		 "");
	assert_findings(s, NULL,
			"files: kernel " K1 ": moved out of its place by DKMS: "
			"/var/lib/dkms/old/original_module/" K1
			"/x86_64/e1000.ko.xz [kmodpkg adopt]\n");
}

/* A kernel that a person built and installed is nobody's, and fine. */
static void kernels_of_ones_own(void **state)
{
	struct test_system *s = test_system(state);

	test_disown(s, "linux-image-" K1);
	assert_findings(s, NULL, "");
}

static void directories_of_dead_kernels(void **state)
{
	struct test_system *s = test_system(state);

	test_put(&s->root, "/lib/modules/6.1.0-0-dead/updates/x.ko", "");
	test_put(&s->root, "/lib/modules/6.1.0-0-dead/modules.dep", "");
	test_put(&s->root, "/lib/modules/6.1.0-0-doc/README", "");
	test_own(s, "linux-doc", "/lib/modules/6.1.0-0-doc/README");
	assert_findings(s, NULL,
			"files: /lib/modules/6.1.0-0-dead is left of a kernel that is "
			"gone, with 1 module [rm -r /lib/modules/6.1.0-0-dead]\n");
}

static void compilers(void **state)
{
	struct test_system *s = test_system(state);
	_cleanup_free_ char *text = NULL;

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, "/usr/src/linux-headers-" K1 "/.config",
		 "CONFIG_64BIT=y\nCONFIG_GCC_VERSION=30400\n");
	test_put(&s->root, "/usr/src/linux-headers-" K2 "/.config",
		 "CONFIG_64BIT=y\nCONFIG_CC_IS_CLANG=y\n"
		 "CONFIG_CC_VERSION_TEXT=\"no-clang version 99\"\n");
	(void)unlink("/usr/bin/clang");
	text = findings(s, "compiler");
	assert_non_null(strstr(text, "compiler: kernel " K1
				     " was built by version 3 of its compiler, gcc is "
				     "version "));
	assert_non_null(strstr(text, "compiler: kernel " K2
				     ": its compiler clang is not installed\n"));
}

static void keys(void **state)
{
	struct test_system *s = test_system(state);

	s->ctx->config.sign = KP_SIGN_YES;
	assert_findings(s, "signing", "");
	test_put(&s->root, "/var/lib/dkms/mok.key", "");
	assert_findings(s, "signing",
			"signing: '/var/lib/dkms/mok.key' is there without its "
			"certificate '/var/lib/dkms/mok.pub': restore it, or remove the "
			"key to have both made anew\n");
	/* Both are there, and others may read it. */
	test_put(&s->root, "/var/lib/dkms/mok.pub", "");
	assert_findings(s, "signing",
			"signing: the key '/var/lib/dkms/mok.key' is not for its owner "
			"alone (mode 0644) [chmod 600 /var/lib/dkms/mok.key]\n");
	assert_int_equal(fchmodat(s->ctx->root_fd, "var/lib/dkms/mok.key", 0600, 0), 0);
	assert_findings(s, "signing", "");
	s->ctx->config.sign_key = kp_strdup("/k");
	assert_findings(s, "signing",
			"signing: the configuration sets only one of sign_key and "
			"sign_cert\n");
}

/* What is to be signed with is missed before a build is, by one line for all kernels. */
static void what_the_configuration_signs_with(void **state)
{
	static const char config[] = "CONFIG_64BIT=y\nCONFIG_MODULE_SIG=y\n"
				     "CONFIG_MODULE_SIG_HASH=\"sha256\"\n";
	struct test_system *s = test_system(state);

	test_register(s, "hello", "1.0", NULL);
	test_put(&s->root, "/usr/src/linux-headers-" K1 "/.config", config);
	test_put(&s->root, "/usr/src/linux-headers-" K2 "/.config", config);
	s->ctx->config.sign = KP_SIGN_AUTO;
	s->ctx->config.sign_tool = kp_strdup("/no/tool");
	assert_findings(s, "signing",
			"signing: the configured sign_tool '/no/tool' is not there, or "
			"not executable\n");
	free(s->ctx->config.sign_tool);
	s->ctx->config.sign_tool = kp_strdup("/bin/true");
	s->ctx->config.sign_key = kp_strdup("/no/key");
	s->ctx->config.sign_cert = kp_strdup("/no/cert");
	assert_findings(s, "signing",
			"signing: the configured sign_key '/no/key' is not there\n");
	test_put(&s->root, "/no/key", "");
	assert_int_equal(fchmodat(s->ctx->root_fd, "no/key", 0600, 0), 0);
	assert_findings(s, "signing",
			"signing: the configured sign_cert '/no/cert' is not there\n");
	test_put(&s->root, "/no/cert", "");
	assert_findings(s, "signing", "");
	s->ctx->config.sign_pin_file = kp_strdup("/no/pin");
	assert_findings(s, "signing",
			"signing: the configured sign_pin_file '/no/pin' is not "
			"there\n");
	s->ctx->config.sign = KP_SIGN_NO;
	assert_findings(s, "signing", "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SYSTEM_TEST(nothing_is_wrong),
		SYSTEM_TEST(kernels_without_headers),
		SYSTEM_TEST(modules_in_a_bad_state),
		SYSTEM_TEST(a_package_that_somebody_removed),
		SYSTEM_TEST(sources_that_are_not_registered),
		SYSTEM_TEST(what_is_still_to_be_done),
		SYSTEM_TEST(a_lock_that_is_held),
		SYSTEM_TEST(files_that_nobody_owns),
		SYSTEM_TEST(modules_that_dkms_moved_away),
		SYSTEM_TEST(kernels_of_ones_own),
		SYSTEM_TEST(directories_of_dead_kernels),
		SYSTEM_TEST(compilers),
		SYSTEM_TEST(keys),
		SYSTEM_TEST(what_the_configuration_signs_with),
	};

	test_system_prepare(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
