// SPDX-License-Identifier: GPL-2.0-or-later
/* The check of a built module, through the sandbox, on real objects. */
#include <elf.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ko.h"

#include "lib/check-parts.h"

#define LOG "build.log"

/* With the log if there is one. *ret_note to be freed. */
static int check(struct art *a, const char *name, char *const *symvers, char **ret_note,
		 struct kp_err *err)
{
	_cleanup_free_ char *log = art_path(a, LOG);
	const struct kp_artifact_look look = {
		.ko = a->ko,
		.name = name,
		.kernel = &a->kernel,
		.kb = &a->kb,
		.symvers = symvers,
		.log = access(log, F_OK) ? NULL : log,
	};
	struct kp_artifact_facts facts = { 0 };
	int r = kp_artifact_check(&a->ctx, &a->sb, &look, &facts, err);

	*ret_note = kp_steal(&facts.note);
	kp_artifact_facts_clear(&facts);
	return r;
}

static void assert_bad(struct art *a, const char *name, char *const *symvers,
		       const char *reason)
{
	_cleanup_free_ char *note = NULL;
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(check(a, name, symvers, &note, &err), -ENOEXEC);
	if (!strstr(err.text, reason))
		fail_msg("'%s' does not say '%s'", err.text, reason);
	assert_null(note);
}

static void assert_noted(struct art *a, const char *name, char *const *symvers,
			 const char *expect)
{
	_cleanup_free_ char *note = NULL;
	struct kp_err err = KP_ERR_INIT;

	if (check(a, name, symvers, &note, &err))
		fail_msg("%s", err.text);
	if (!kp_str_eq(note, expect))
		fail_msg("'%s' is not '%s'", note ? note : "", expect ? expect : "");
}

static void assert_good(struct art *a, const char *name, char *const *symvers)
{
	assert_noted(a, name, symvers, NULL);
}

static void exports(struct art *a, const char *text)
{
	test_put(&a->root, "/headers/Module.symvers", text);
}

static void good(void **state)
{
	struct art *a = *state;

	exports(a, "0x1234abcd\tprintk_it\tvmlinux\tEXPORT_SYMBOL\t\n");
	assert_good(a, "hello", NULL);
}

static char *license_of(struct art *a)
{
	const struct kp_artifact_look look = {
		.ko = a->ko, .name = "hello", .kernel = &a->kernel, .kb = &a->kb
	};
	struct kp_artifact_facts facts = { 0 };
	struct kp_err err = KP_ERR_INIT;
	char *license;

	if (kp_artifact_check(&a->ctx, &a->sb, &look, &facts, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(facts.is_signed);
	license = kp_steal(&facts.license);
	kp_artifact_facts_clear(&facts);
	return license;
}

/* It becomes the license of a package. */
static void license(void **state)
{
	struct art *a = *state;
	static const struct {
		const char *code, *expect;
	} cases[] = {
		{ TEST_MODULE("hello", TEST_RELEASE), NULL },
		{ TEST_MODULE("hello", TEST_RELEASE) TEST_INFO("license", "Dual BSD/GPL"),
		  "Dual BSD/GPL" },
		{ TEST_MODULE("hello", TEST_RELEASE) TEST_INFO("license", ""), NULL },
		{ TEST_MODULE("hello", TEST_RELEASE) TEST_INFO("license", "GPL\\nsigned"),
		  NULL },
		{ TEST_MODULE("hello", TEST_RELEASE)
			  TEST_INFO("license", "0123456789012345678901234567890123456789"
					       "0123456789012345678901234"),
		  NULL },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *found = NULL;

		test_compile(a, "hello.ko", cases[i].code);
		found = license_of(a);
		if (!kp_str_eq(found, cases[i].expect))
			fail_msg("%zu: '%s'", i, found ? found : "");
	}
}

static void adopted(struct art *a, const char *ko, int expect, const char *reason)
{
	const struct kp_artifact_look look = { .ko = ko,
					       .name = "a-name",
					       .kernel = &a->kernel };
	struct kp_artifact_facts facts = { 0 };
	struct kp_err err = KP_ERR_INIT;

	assert_int_equal(kp_artifact_check(&a->ctx, &a->sb, &look, &facts, &err), expect);
	if (!strstr(err.text, reason))
		fail_msg("'%s' does not say '%s'", err.text, reason);
	kp_artifact_facts_clear(&facts);
}

/* Others compressed it, and know its dependencies. */
static void what_others_built(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *xz = kp_strf("%s.xz", a->ko);
	const char *argv[] = { "/usr/bin/xz", "-k", a->ko, NULL };
	struct kp_proc proc = { .argv = argv };

	exports(a, "0x1234abcd\tother\tvmlinux\tEXPORT_SYMBOL\t\n");
	adopted(a, a->ko, 0, "");
	assert_int_equal(kp_proc_run(&proc, NULL, NULL), 0);
	adopted(a, xz, 0, "");
	assert_int_equal(truncate(xz, 100), 0);
	adopted(a, xz, -ENOEXEC, "module 'a-name' has no module information");
	free(a->kernel.release);
	a->kernel.release = kp_strdup(TEST_RELEASE "-rt");
	adopted(a, a->ko, -ENOEXEC, "for kernel " TEST_RELEASE ", not " TEST_RELEASE);
}

static void answers(void **state KP_UNUSED)
{
	static const char *const bad[] = {
		"license GPL",
		"signed\nsigned\n",
		"license \n",
		"says \n",
		"license a\nlicense b\n",
		"license \033[2J\n",
		"\n",
		"name x\n",
		"says a\nsays b\n",
	};
	static const char good[] = "license GPL v2\nsigned\nsays it\n";
	static const char nul[] = "license a\0b\n";
	struct kp_artifact_facts f = { 0 };

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++)
		if (kp_check_parse(bad[i], strlen(bad[i]), &f) != -EINVAL)
			fail_msg("'%s'", bad[i]);
	assert_int_equal(kp_check_parse(nul, sizeof(nul) - 1, &f), -EINVAL);
	assert_int_equal(kp_check_parse("", 0, &f), 0);
	assert_null(f.license);
	assert_int_equal(kp_check_parse(good, strlen(good), &f), 0);
	assert_string_equal(f.license, "GPL v2");
	assert_true(f.is_signed);
	assert_string_equal(f.note, "it");
	kp_artifact_facts_clear(&f);
}

static void without_symvers_symbols_are_not_checked(void **state)
{
	assert_good(*state, "hello", NULL);
}

static void not_elf(void **state)
{
	struct art *a = *state;

	test_put(&a->root, "/hello.ko", "#!/bin/sh\n");
	assert_bad(a, "hello", NULL, "is not an ELF file");
	test_put(&a->root, "/hello.ko", "");
	assert_bad(a, "hello", NULL, "is not an ELF file");
}

static void not_relocatable(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *self = NULL;

	free(a->ko);
	assert_int_equal(kp_realpath_in(a->ctx.root_fd, "/proc/self/exe", &self), 0);
	a->ko = kp_steal(&self);
	assert_bad(a, "hello", NULL, "is not a relocatable ELF file");
}

static void cut_off(void **state)
{
	struct art *a = *state;

	assert_int_equal(truncate(a->ko, 200), 0);
	assert_bad(a, "hello", NULL, "has no module information");
}

/* The library that reads the file ends the process over this one. */
static void unreadable(void **state)
{
	const Elf64_Half none = 0xff00;
	struct art *a = *state;
	int fd = open(a->ko, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, &none, sizeof(none),
				sizeof(long) == 8 ? offsetof(Elf64_Ehdr, e_shstrndx)
						  : offsetof(Elf32_Ehdr, e_shstrndx)),
			 sizeof(none));
	close(fd);
	assert_bad(a, "hello", NULL, "is damaged");
}

static void no_modinfo(void **state)
{
	struct art *a = *state;

	test_compile(a, "hello.ko", "int x;\n");
	assert_bad(a, "hello", NULL, "has no module information");
	test_compile(a, "hello.ko", TEST_INFO("name", "hello"));
	assert_bad(a, "hello", NULL, "has no vermagic");
}

static void other_machine(void **state)
{
	struct art *a = *state;

	a->kb.elf_machine = 0xfff0;
	a->kb.elf_64 = sizeof(long) == 8;
	assert_bad(a, "hello", NULL, "is for another architecture");
}

static void other_class(void **state)
{
	struct art *a = *state;
	size_t len;
	_cleanup_free_ char *bytes = test_bytes(a->ko, &len);

	/* e_machine at 18, in this machine's order */
	a->kb.elf_machine = *(uint16_t *)(void *)(bytes + 18);
	a->kb.elf_64 = sizeof(long) == 8;
	assert_good(a, "hello", NULL);
	a->kb.elf_64 = !a->kb.elf_64;
	assert_bad(a, "hello", NULL, "is for another architecture");
}

static void other_release(void **state)
{
	struct art *a = *state;

	free(a->kernel.release);
	a->kernel.release = kp_strdup(TEST_RELEASE "-rt");
	assert_bad(a, "hello", NULL, "was built for kernel " TEST_RELEASE ", not ");
}

static void names(void **state)
{
	struct art *a = *state;

	assert_bad(a, "hell", NULL, "calls itself 'hello', not 'hell'");
	assert_bad(a, "hello2", NULL, "calls itself 'hello', not 'hello2'");
	test_compile(a, "hello.ko", TEST_MODULE("a_b_c", TEST_RELEASE));
	assert_good(a, "a-b_c", NULL);
	/* before Linux 4.13 */
	test_compile(a, "hello.ko", TEST_INFO("vermagic", TEST_RELEASE));
	assert_good(a, "anything", NULL);
}

static void missing_symbols(void **state)
{
	struct art *a = *state;

	exports(a, "0x1234abcd\tprintk_i\tvmlinux\tEXPORT_SYMBOL\t\n"
		   "0x1234abcd\tprintk_it2\tvmlinux\tEXPORT_SYMBOL\t\n");
	assert_bad(a, "hello", NULL, "needs the symbol 'printk_it', which");
	test_compile(
		a, "hello.ko",
		TEST_MODULE(
			"hello",
			TEST_RELEASE) "extern int w(void) __attribute__((weak));\n"
				      "extern int b(void), y(void), z(void), _GLOBAL_OFFSET_TABLE_;\n"
				      "int f(void) { return z() + w() + _GLOBAL_OFFSET_TABLE_ + b() + y(); }\n");
	assert_bad(a, "hello", NULL, "needs the symbol 'b' and 2 more, which");
	exports(a, "0x0\tb\tm\tE\t\n0x0\tz\tm\tE\t\n0x0\ty\tm\tE\t\n");
	assert_good(a, "hello", NULL);
}

static void symbols_of_dependencies(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *more = art_path(a, "more.symvers");
	_cleanup_free_ char *none = art_path(a, "none.symvers");
	char *symvers[] = { none, more, NULL };

	exports(a, "0x1234abcd\tother\tvmlinux\tEXPORT_SYMBOL\t\n");
	test_put(&a->root, "/more.symvers",
		 "0x00000000\tprintk_it\t/x/dep\tEXPORT_SYMBOL\t\n");
	test_put(&a->root, "/none.symvers", "");
	assert_good(a, "hello", symvers);
}

static void versions(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *more = art_path(a, "more.symvers");
	char *symvers[] = { more, NULL };

	test_compile(
		a, "hello.ko",
		TEST_MODULE(
			"hello",
			TEST_RELEASE) "extern int printk_it(void);\n"
				      "int f(void) { return printk_it(); }\n"
				      "static const struct { unsigned long crc; char name[64 - sizeof(long)]; }\n"
				      "versions[] __attribute__((used, section(\"__versions\"))) = {\n"
				      "	{ 0x11111111, \"module_layout\" }, { 0xdeadbeef, \"printk_it\" } };\n");
	exports(a, "0x11111111\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n"
		   "0xdeadbeef\tprintk_it\tvmlinux\tEXPORT_SYMBOL\t\n");
	assert_good(a, "hello", NULL);
	exports(a, "0x11111112\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n"
		   "0xdeadbeef\tprintk_it\tvmlinux\tEXPORT_SYMBOL\t\n");
	assert_bad(a, "hello", NULL, "another version of the symbol 'module_layout'");
	/* a kernel without CONFIG_MODVERSIONS */
	exports(a, "0x00000000\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n"
		   "0x00000000\tprintk_it\tvmlinux\tEXPORT_SYMBOL\t\n");
	assert_good(a, "hello", NULL);
	/* a dependency that replaces what the kernel has too */
	exports(a, "0x11111111\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n"
		   "0x22222222\tprintk_it\tdrivers/x\tEXPORT_SYMBOL\t\n");
	assert_bad(a, "hello", NULL, "another version of the symbol 'printk_it'");
	test_put(&a->root, "/more.symvers",
		 "0xdeadbeef\tprintk_it\t/x/dep\tEXPORT_SYMBOL\t\n");
	assert_good(a, "hello", symvers);
}

/* A recipe may name the symbols of a tree that nobody else knows of. */
static void modpost_knows_more(void **state)
{
	static const char note[] =
		"module 'hello' needs the symbol 'printk_it', which modpost found "
		"elsewhere than in the kernel and its BUILD_DEPENDS";
	struct art *a = *state;

	exports(a, "0x1234abcd\tother\tvmlinux\tEXPORT_SYMBOL\t\n");
	test_put(&a->root, "/" LOG, "");
	assert_bad(a, "hello", NULL, "needs the symbol 'printk_it', which the kernel");
	test_put(&a->root, "/" LOG, "make\n  MODPOST /x/Module.symvers\n");
	assert_noted(a, "hello", NULL, note);
	test_put(&a->root, "/" LOG,
		 "  MODPOST Module.symvers\n"
		 "ERROR: modpost: \"printk_it\" [/x/other.ko] undefined!\n");
	assert_noted(a, "hello", NULL, note);
	test_put(&a->root, "/" LOG,
		 "  MODPOST Module.symvers\n"
		 "ERROR: modpost: \"printk_it\" [/x/hello.ko] undefined!\n");
	assert_bad(a, "hello", NULL, "needs the symbol 'printk_it', which the kernel");
}

static void interrupted(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *note = NULL;
	struct kp_err err = KP_ERR_INIT;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTERM);
	assert_int_equal(check(a, "hello", NULL, &note, &err), -EINTR);
	assert_int_equal(sigwait(&set, &sig), 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	assert_true(kp_str_starts(err.text, "check of module 'hello': "));
}

static void cannot_be_checked(void **state)
{
	struct art *a = *state;
	struct kp_err err = KP_ERR_INIT;
	char *note;
	char *symvers[] = { (char *)"/nonexistent/Module.symvers", NULL };

	exports(a, "");
	assert_int_equal(check(a, "hello", symvers, &note, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/Module.symvers"));
	assert_int_equal(unlink(a->ko), 0);
	assert_int_equal(check(a, "hello", NULL, &note, &err), -ENOENT);
	/* A link is no product of ours. */
	assert_int_equal(symlink("/etc/passwd", a->ko), 0);
	assert_int_equal(check(a, "hello", NULL, &note, &err), -ELOOP);
}

/* What parses does so in the sandbox, and for the kmodpkg that it belongs to. */
static void program(void **state)
{
	static const struct {
		const char *protocol, *answer;
		bool inside;
	} runs[] = {
		{ KP_CHECK_PROTOCOL, "", false },
		{ "0", "says kmodpkg was upgraded meanwhile: run it again\n", true },
	};
	struct art *a = *state;
	_cleanup_free_ char *path = kp_strf("%s/check", getenv("KMODPKG_LIBEXEC_DIR"));
	char text[128];

	test_compile(a, "hello.ko", TEST_MODULE("hello", "6.1.0"));
	for (size_t i = 0; i < KP_ARRAY_SIZE(runs); i++) {
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (!pid) {
			int ko = open(a->ko, O_RDONLY);

			if (runs[i].inside)
				prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			if (dup2(ko, 0) == 0 && dup2(fds[1], 1) == 1)
				execl(path, path, runs[i].protocol, "built", "hello",
				      "6.1.0", "0", "64", "-", NULL);
			_exit(99);
		}
		close(fds[1]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), KP_CHECK_NONE);
		text[read(fds[0], text, sizeof(text) - 1)] = '\0';
		close(fds[0]);
		assert_string_equal(text, runs[i].answer);
	}
}

static void no_program(void **state)
{
	struct art *a = *state;
	_cleanup_free_ char *dir = kp_strdup(getenv("KMODPKG_LIBEXEC_DIR"));
	struct kp_err err = KP_ERR_INIT;
	char *note;

	setenv("KMODPKG_LIBEXEC_DIR", "/nonexistent", 1);
	assert_int_equal(check(a, "hello", NULL, &note, &err), -ENOPKG);
	assert_string_equal(
		err.text, "/nonexistent/check is not there: install kmodpkg as a whole");
	setenv("KMODPKG_LIBEXEC_DIR", dir, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, art_setup, art_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good),
		TEST(license),
		TEST(what_others_built),
		cmocka_unit_test(answers),
		TEST(without_symvers_symbols_are_not_checked),
		TEST(not_elf),
		TEST(not_relocatable),
		TEST(cut_off),
		TEST(unreadable),
		TEST(no_modinfo),
		TEST(other_machine),
		TEST(other_class),
		TEST(other_release),
		TEST(names),
		TEST(missing_symbols),
		TEST(symbols_of_dependencies),
		TEST(versions),
		TEST(modpost_knows_more),
		TEST(interrupted),
		TEST(cannot_be_checked),
		TEST(program),
		TEST(no_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
