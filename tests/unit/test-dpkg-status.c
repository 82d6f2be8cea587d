// SPDX-License-Identifier: GPL-2.0-or-later
/* list(): generated packages out of dpkg's status, journal and file lists. */
#include "dpkg-root.h"

struct listing {
	struct kp_pkg_installed *list;
	size_t n;
	struct kp_err err;
};

static int do_list(struct root *r, struct listing *l)
{
	*l = (struct listing){ 0 };
	return ops->list(r->db, &l->list, &l->n, &l->err);
}

static void listing_clear(struct listing *l)
{
	kp_pkg_list_free(l->list, l->n);
}

#define _cleanup_listing_ _cleanup_(listing_clear)

/* A generated package; STATUS is its status line. */
static char *ours(const char *module, const char *status)
{
	return kp_strf(
		"Package: %s-modules-6.1.0-56-amd64\nStatus: %s\nPriority: optional\n"
		"Section: kernel\nInstalled-Size: 20\n"
		"Maintainer: kmodpkg on this machine <root@localhost>\n"
		"Architecture: amd64\nVersion: 1.0\nDescription: %s module\n"
		" More words.\n"
		"Kmodpkg-Module: %s\nKmodpkg-Version: 1.0\n"
		"Kmodpkg-Kernel: 6.1.0-56-amd64\nKmodpkg-Architecture: x86_64\n"
		"Kmodpkg-Key: aaaa\nKmodpkg-Content: bbbb\n\n",
		module, status, module, module);
}

static void put_status(struct root *r, const char *stanzas)
{
	_cleanup_free_ char *text = kp_strf("%s%s", DPKG_STANZA, stanzas);

	put(r, "/var/lib/dpkg/status", text);
}

static void put_ours(struct root *r, const char *module, const char *status)
{
	_cleanup_free_ char *stanza = ours(module, status);
	_cleanup_free_ char *list =
		kp_strf("/var/lib/dpkg/info/%s-modules-6.1.0-56-amd64.list", module);
	_cleanup_free_ char *paths =
		kp_strf("/.\n/lib\n/lib/modules\n/lib/modules/6.1.0-56-amd64\n"
			"/lib/modules/6.1.0-56-amd64/updates\n"
			"/lib/modules/6.1.0-56-amd64/updates/dkms\n"
			"/lib/modules/6.1.0-56-amd64/updates/dkms/%s.ko\n"
			"/lib/modules/6.1.0-56-amd64/updates/dkms/%s-x.ko\n",
			module, module);

	put_status(r, stanza);
	put(r, list, paths);
}

static void test_finds_ours(void **state)
{
	_cleanup_listing_ struct listing l;

	put_ours(*state, "hello", "install ok installed");
	assert_int_equal(do_list(*state, &l), 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.list[0].name, "hello-modules-6.1.0-56-amd64");
	assert_string_equal(l.list[0].pkg_version, "1.0");
	assert_string_equal(l.list[0].id.module, "hello");
	assert_string_equal(l.list[0].id.version, "1.0");
	assert_string_equal(l.list[0].id.kernel, "6.1.0-56-amd64");
	assert_string_equal(l.list[0].id.arch, "x86_64");
	assert_string_equal(l.list[0].id.key, "aaaa");
	assert_string_equal(l.list[0].id.content, "bbbb");
	assert_null(l.list[0].id.source_package);
	assert_int_equal(kp_strv_len(l.list[0].files), 2);
	assert_true(kp_strv_has(l.list[0].files,
				"/lib/modules/6.1.0-56-amd64/updates/dkms/hello.ko"));
	assert_true(kp_strv_has(l.list[0].files,
				"/lib/modules/6.1.0-56-amd64/updates/dkms/hello-x.ko"));
}

static void test_same_name_without_our_field_is_not_ours(void **state)
{
	_cleanup_listing_ struct listing l;

	put_status(*state,
		   "Package: hello-modules-6.1.0-56-amd64\n"
		   "Status: install ok installed\nArchitecture: amd64\nVersion: 1\n");
	assert_int_equal(do_list(*state, &l), 0);
	assert_int_equal(l.n, 0);
}

static void test_states(void **state)
{
	static const struct {
		const char *status;
		bool there, whole;
	} cases[] = {
		{ "install ok installed", true, true },
		{ "hold ok installed", true, true },
		{ "deinstall ok installed", true, true },
		{ "install ok unpacked", true, true },
		{ "install ok triggers-pending", true, true },
		{ "install reinstreq half-installed", true, false },
		{ "deinstall ok half-installed", true, false },
		{ "install reinstreq installed", true, false },
		{ "deinstall ok config-files", false, false },
		{ "purge ok not-installed", false, false },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(cases); i++) {
		_cleanup_listing_ struct listing l;

		put_ours(*state, "hello", cases[i].status);
		assert_int_equal(do_list(*state, &l), 0);
		if (l.n != cases[i].there)
			fail_msg("%s: %zu packages", cases[i].status, l.n);
		if (l.n && kp_str_eq(l.list[0].id.key, "aaaa") != cases[i].whole)
			fail_msg("%s: key '%s'", cases[i].status, l.list[0].id.key);
	}
}

static void test_journal_replaces(void **state)
{
	_cleanup_free_ char *half = ours("hello", "install reinstreq half-installed");
	_cleanup_free_ char *whole = ours("hello", "install ok installed");
	_cleanup_listing_ struct listing a, b, c;

	put_ours(*state, "hello", "install ok unpacked");
	put(*state, "/var/lib/dpkg/updates/0001", half);
	put(*state, "/var/lib/dpkg/updates/tmp.i", "being written");
	assert_int_equal(do_list(*state, &a), 0);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.list[0].id.key, "");

	/* by number, whatever order they were written in */
	put(*state, "/var/lib/dpkg/updates/0002", whole);
	put(*state, "/var/lib/dpkg/updates/0000", half);
	assert_int_equal(do_list(*state, &b), 0);
	assert_int_equal(b.n, 1);
	assert_string_equal(b.list[0].id.key, "aaaa");

	/* what dpkg writes of a package that it has purged has no architecture */
	put(*state, "/var/lib/dpkg/updates/0003",
	    "Package: hello-modules-6.1.0-56-amd64\nStatus: purge ok not-installed\n"
	    "Priority: optional\nSection: kernel\n");
	assert_int_equal(do_list(*state, &c), 0);
	assert_int_equal(c.n, 0);
}

static void test_journal_adds(void **state)
{
	_cleanup_free_ char *stanza = ours("late", "install ok unpacked");
	_cleanup_listing_ struct listing l;

	put_ours(*state, "hello", "install ok installed");
	put(*state, "/var/lib/dpkg/updates/0000", stanza);
	put(*state, "/var/lib/dpkg/info/late-modules-6.1.0-56-amd64.list", "/.\n/x\n");
	assert_int_equal(do_list(*state, &l), 0);
	assert_int_equal(l.n, 2);
}

static void test_lost_list_makes_it_stale(void **state)
{
	_cleanup_listing_ struct listing l;
	_cleanup_free_ char *stanza = ours("hello", "install ok installed");

	put_status(*state, stanza);
	assert_int_equal(do_list(*state, &l), 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.list[0].id.key, "");
	assert_null(l.list[0].files);
}

static void test_bad_databases(void **state)
{
	static const char *const bad[] = {
		"Package: x\nStatus: install ok",
		"Package: x\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1",
		"Package: x\nStatus: install ok nonsense\nVersion: 1\n",
		"Package: x\nStatus: installed\nVersion: 1\n",
		"Package: x\nStatus: install ok installed\n",
		"Status: install ok installed\nVersion: 1\n",
		"Package: ../../x\nStatus: install ok installed\nVersion: 1\n",
		"Package: x\nno colon\n",
		": x\n",
	};
	struct root *r = *state;

	for (size_t i = 0; i < KP_ARRAY_SIZE(bad); i++) {
		_cleanup_listing_ struct listing l;

		put_status(r, bad[i]);
		if (do_list(r, &l) != -EIO)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(strstr(l.err.text, "/var/lib/dpkg/status"));
	}
	assert_int_equal(kp_unlink_in(r->fd, "/var/lib/dpkg/status"), 0);
	{
		_cleanup_listing_ struct listing l;

		assert_int_equal(do_list(r, &l), -EIO);
	}
}

static void test_cut_off_list(void **state)
{
	_cleanup_listing_ struct listing l;

	put_ours(*state, "hello", "install ok installed");
	put(*state, "/var/lib/dpkg/info/hello-modules-6.1.0-56-amd64.list", "/.\n/lib");
	assert_int_equal(do_list(*state, &l), -EIO);
	assert_non_null(strstr(l.err.text, "hello-modules"));
}

static void test_empty_database(void **state)
{
	_cleanup_listing_ struct listing l;

	put(*state, "/var/lib/dpkg/status", "");
	assert_int_equal(do_list(*state, &l), 0);
	assert_int_equal(l.n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, root_setup, root_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_finds_ours),
		TEST(test_same_name_without_our_field_is_not_ours),
		TEST(test_states),
		TEST(test_journal_replaces),
		TEST(test_journal_adds),
		TEST(test_lost_list_makes_it_stale),
		TEST(test_bad_databases),
		TEST(test_cut_off_list),
		TEST(test_empty_database),
	};

	if (!backend_load("dpkg"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
