// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What kernel programs in the sandbox find themselves on: the real uname, and our front where it is
 * installed, in a mount namespace of this test's own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/utsname.h>

#include <cmocka.h>

#include <kmodpkg/proc.h>

#include "sandbox-fixture.h"
#include "sandbox-systems.h"

#define RELEASE "6.6.99-kp-other"

/* Put the front that was built with this test where an installed one is. */
static bool install(void)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL), *unit = NULL,
			    *tests = NULL, *dir = NULL, *front = NULL, *text = NULL,
			    *libexec = kp_path_dir(KP_LIBEXEC_DIR);
	_cleanup_close_ int root = -1;
	size_t len;

	if (!self || unshare(CLONE_NEWNS) ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", libexec, "tmpfs", 0, "mode=0755") ||
	    mkdir(KP_LIBEXEC_DIR, 0755))
		return false;
	unit = kp_path_dir(self);
	tests = kp_path_dir(unit);
	dir = kp_path_dir(tests);
	front = kp_path_join(dir, "uname");
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return !kp_read_in(root, front, 0, &text, &len) &&
	       !kp_write_in(root, KP_LIBEXEC_DIR "/uname", text, len, 0755, NULL);
}

/* What SCRIPT says inside. */
static char *say(struct fixture *f, const char *script)
{
	const char *argv[] = { "/bin/bash", "-c", script, NULL };
	const char *env[] = { "PATH=" KP_LIBEXEC_DIR ":/usr/bin:/bin",
			      "kernelver=" RELEASE, NULL };
	_cleanup_free_ char *log = kp_path_join(f->dir, "log");
	_cleanup_close_ int fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const struct kp_proc proc = {
		.argv = argv, .env = env, .out_fd = fd, .err_fd = fd
	};
	struct kp_err err = KP_ERR_INIT;
	char *text;

	f->sb.release = RELEASE;
	f->sb.max_output = 4096;
	if (kp_sandbox_run(&f->ctx, &f->sb, &proc, NULL, &err))
		fail_msg("%s: %s", script, err.text);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(kp_read_fd(fd, 0, &text, NULL), 0);
	return text;
}

static void assert_says(struct fixture *f, const char *script, const char *expect)
{
	_cleanup_free_ char *text = say(f, script);

	if (strcmp(text, expect))
		fail_msg("%s says '%s', not '%s'", script, text, expect);
}

static void test_release(void **state)
{
	struct fixture *f = *state;

	if (geteuid())
		skip();
	assert_says(f, "uname -r; uname --kernel-release", RELEASE "\n" RELEASE "\n");
	if (!kp_sandbox_has_mounts())
		return;
	assert_says(f, "/bin/uname -r; /usr/bin/uname -r", RELEASE "\n" RELEASE "\n");
	assert_says(f, "cat /proc/sys/kernel/osrelease", RELEASE "\n");
	assert_says(f, "PATH=/usr/bin:/bin uname -r", RELEASE "\n");
	/* Once they are built for one. */
	assert_says(f, "unset kernelver; test \"$(uname -r)\" != " RELEASE, "");
}

static void test_rest(void **state)
{
	struct fixture *f = *state;
	struct utsname name;
	_cleanup_free_ char *all = NULL, *three = NULL, *each = NULL;

	if (geteuid())
		skip();
	assert_int_equal(uname(&name), 0);
	three = kp_strf("%s " RELEASE " %s\n", name.sysname, name.machine);
	assert_says(f, "uname -s -r -m", three);
	each = say(f, "unset kernelver; uname -m -s -n -v -p -o");
	assert_says(f, "uname -m -s -n -v -p -o", each);
	all = say(f, "uname -a");
	assert_non_null(strstr(all, " " RELEASE " "));
	assert_null(strstr(all, name.release));
	assert_non_null(strstr(all, name.version));
	assert_says(f, "uname --kp-wrong 2>/dev/null || echo $?", "1\n");
}

static int test_system(const struct system *system)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
	};

	return cmocka_run_group_tests_name(system->name, tests, NULL, NULL);
}

int main(void)
{
	const struct system here = { "uname", as_it_is, NULL },
			    container = { "uname without CAP_SYS_ADMIN", no_mounts,
					  NULL };

	if (!geteuid() && !install())
		return 3;
	return !passes_on(&here, test_system) |
	       (!geteuid() && !passes_on(&container, test_system));
}
