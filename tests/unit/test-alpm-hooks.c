// SPDX-License-Identifier: GPL-2.0-or-later
/* check_hooks(): hooks that are there, missing, moved and masked. */
#include "alpm-root.h"

#define SYSTEM "/usr/share/libalpm/hooks/"
#define SYNC "70-kmodpkg.hook"
#define DRAIN "91-kmodpkg-drain.hook"
#define DEFAULT "/etc/pacman.d/hooks/"

static void keep(void *data, const char *what, const char *mend)
{
	kp_buf_addf(data, "%s | %s\n", what, mend);
}

/* As many findings, "WHAT | MEND" per line; in them each of WORDS, which ";" parts. */
static void check(struct root *r, size_t lines, const char *words)
{
	_cleanup_buf_ struct kp_buf b = KP_BUF_INIT;
	_cleanup_strv_ char **all = kp_strv_split(words, ";"), **found = NULL;

	kp_buf_addf(&b, "%s", "");
	assert_int_equal(ops->check_hooks(r->db, keep, &b, NULL), 0);
	found = kp_strv_split(b.s, "\n");
	assert_int_equal(kp_strv_len(found), lines);
	kp_strv_foreach(w, all) {
		if (!strstr(b.s, *w))
			fail_msg("no \"%s\" in: %s", *w, b.s);
	}
}

static void mask(struct root *r, const char *path)
{
	_cleanup_free_ char *dir = kp_path_dir(path);

	assert_int_equal(kp_mkdir_in(r->fd, dir, 0755, NULL), 0);
	assert_int_equal(kp_symlink_in(r->fd, "/dev/null", path, NULL), 0);
}

static void put_hooks(struct root *r)
{
	put(r, SYSTEM SYNC, "[Trigger]\n");
	put(r, SYSTEM DRAIN, "[Trigger]\n");
}

static void test_missing(void **state)
{
	struct root *r = *state;

	check(r, 2, SYNC ";" DRAIN ";| pacman -S kmodpkg");
	put(r, SYSTEM SYNC, "[Trigger]\n");
	check(r, 1, "no hook " DRAIN);
	put_hooks(r);
	check(r, 0, "");
}

static void test_masked(void **state)
{
	struct root *r = *state;

	put_hooks(r);
	mask(r, DEFAULT DRAIN);
	check(r, 1, DEFAULT DRAIN " switches;| rm " DEFAULT DRAIN);
	assert_int_equal(kp_unlink_in(r->fd, "/dev/null"), 0);
	check(r, 1, "| rm " DEFAULT DRAIN);
	/* The administrator's own form of it. */
	assert_int_equal(kp_unlink_in(r->fd, DEFAULT DRAIN), 0);
	put(r, DEFAULT DRAIN, "[Trigger]\n");
	check(r, 0, "");
}

/* HookDir takes the place of the default; the last one counts. */
static void test_hook_dirs(void **state)
{
	struct root *r = *state;

	put_hooks(r);
	put(r, "/etc/pacman.conf",
	    "[options]\nHookDir = /a /b/\nInclude = /etc/more.conf\n"
	    "[core]\nHookDir = /d\n");
	put(r, "/etc/more.conf", "HookDir=/c\n");
	mask(r, DEFAULT SYNC);
	mask(r, "/d/" SYNC);
	check(r, 0, "");
	mask(r, "/a/" SYNC);
	check(r, 1, "| rm /a/" SYNC);
	put(r, "/b/" SYNC, "[Trigger]\n");
	check(r, 0, "");
	mask(r, "/c/" SYNC);
	check(r, 1, "| rm /c/" SYNC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_missing),
		TEST(test_masked),
		TEST(test_hook_dirs),
	};

	if (!backend_load("alpm"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
