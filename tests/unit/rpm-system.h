// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the tests of the rpm backend: a copy of this system (system.h) with an empty rpm database
 * that is entered as "/", and rpm's own tools to judge by.
 */
#pragma once

#include <sys/mman.h>

#include <kmodpkg/proc.h>

#include "pkgdb.h"
#include "system.h"

#define RPM_DB "/var/lib/rpm"
#define RPM_LOCK RPM_DB "/.rpm.lock"
#define DIR1 "/lib/modules/" K1 "/updates/"

/* For main(): false: the backend was left out of the build, or rpm's tools are missing. */
static inline bool rpm_load_backend(void)
{
	return access("/usr/bin/rpmbuild", X_OK) == 0 && backend_load("rpm");
}

static inline char *rpm_run(int want, const char *const *argv)
{
	_cleanup_close_ int err_fd = memfd_create("stderr", MFD_CLOEXEC);
	struct kp_proc proc = { .argv = argv, .err_fd = err_fd };
	_cleanup_free_ char *said = NULL;
	struct kp_proc_end end = { 0 };
	struct kp_err err = KP_ERR_INIT;
	char *out = NULL;
	size_t len;
	int rc;

	(void)end;
	rc = kp_proc_capture(&proc, 1024 * 1024, &out, &len, &err);
	lseek(err_fd, 0, SEEK_SET);
	if ((rc < 0) != (want != 0) && kp_read_fd(err_fd, 1024 * 1024, &said, &len) == 0)
		fail_msg("%s %s: %s\n%s\n%s", argv[0], argv[1], err.text, out, said);
	return out;
}

/* Run a program that has to succeed (to fail); its output, to be freed. */
#define RUN(...) rpm_run(0, (const char *const[]){ __VA_ARGS__, NULL })
#define RUN_FAIL(...) rpm_run(1, (const char *const[]){ __VA_ARGS__, NULL })
#define DO(...) free(RUN(__VA_ARGS__))

struct rpm_system {
	struct test_system *s;
	struct kp_pkgdb *db;
};

static struct rpm_system sys;

/* KMODPKG_TEST_RPM_DB: the form of the database where rpm has more than one ("ndb"). */
static inline int rpm_setup(void **state)
{
	_cleanup_free_ char *macros = kp_strf("%%_dbpath " RPM_DB "\n%%_db_backend %s\n",
					      getenv("KMODPKG_TEST_RPM_DB") ?: "sqlite");

	test_system_setup(state);
	sys.s = *state;
	if (!sys.s->ctx)
		return 0;
	test_put(&sys.s->root, "/etc/rpm/macros.test", macros);
	TEST_TRY(kp_rm_rf_in(sys.s->root.fd, RPM_DB, err));
	TEST_TRY(kp_mkdir_in(sys.s->root.fd, RPM_DB, 0755, err));
	DO("/usr/bin/rpmdb", "--initdb");
	TEST_TRY(ops->open(sys.s->root.fd, 0, &sys.db, err));
	return 0;
}

static inline int rpm_teardown(void **state)
{
	if (sys.db)
		ops->close(sys.db);
	sys = (struct rpm_system){ 0 };
	return test_system_teardown(state);
}

#define RPM_TEST(t) cmocka_unit_test_setup_teardown(t, rpm_setup, rpm_teardown)

/* ---- packages of ours ---- */

static inline int write_into(const struct package *p, const char *dir, char **ret_path,
			     char **ret_name, struct kp_err *err)
{
	return package_write(sys.db, sys.s->root.fd, p, dir, ret_path, ret_name, err);
}

/* A package file of one module file; to be freed. */
static inline char *make_package(const char *module, const char *version,
				 const char *kernel, const char *path, const char *data)
{
	_cleanup_package_ struct package p;
	_cleanup_free_ char *dir = kp_strf("/out/%s-%s-%s", module, version, kernel);
	char *ret = NULL;

	package_init(&p, module, version, kernel);
	package_add(&p, path, data);
	TEST_TRY(write_into(&p, dir, &ret, NULL, err));
	return ret;
}

/* ---- packages of others ---- */

/* Install a package NAME 1-1 that has PATH with this content (NULL: as a directory). MORE: further
 * lines for its spec. */
static inline void install_other(const char *name, const char *path, const char *content,
				 const char *more)
{
	_cleanup_free_ char *put =
		content ? kp_strf("printf %%s '%s' >\"$RPM_BUILD_ROOT%s\"", content, path)
			: kp_strdup("");
	_cleanup_free_ char *spec = kp_strf(
		"Name: %s\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n"
		"AutoReqProv: no\n%s\n%%description\nx\n%%install\n"
		"%s \"$RPM_BUILD_ROOT%s\"\n%s\n%%files\n%s%s\n",
		name, more ?: "", content ? "install -D /dev/null" : "mkdir -p", path,
		put, content ? "" : "%dir ", path);
	_cleanup_free_ char *file = kp_strf("/other/noarch/%s-1-1.noarch.rpm", name);

	test_put(&sys.s->root, "/other/spec", spec);
	DO("/usr/bin/rpmbuild", "-bb", "--quiet", "--define", "_topdir /other",
	   "--define", "_rpmdir /other", "/other/spec");
	DO("/usr/bin/rpm", "-U", "--nodeps", file);
}

/* ---- committing ---- */

static inline int commit(struct kp_change *changes, size_t n)
{
	struct kp_err err = KP_ERR_INIT;
	int rc = ops->commit(sys.db, changes, n, &err);

	if (rc < 0)
		assert_string_not_equal(err.text, "");
	return rc;
}

static inline void commit_add(const char *file)
{
	struct kp_change c = { .kind = KP_CHANGE_ADD, .file = file };
	struct kp_err err = KP_ERR_INIT;

	if (ops->commit(sys.db, &c, 1, &err) < 0 || c.result != KP_CHANGE_DONE)
		fail_msg("%s: %s %s", file, err.text, c.err.text);
}

static inline void assert_clean(void)
{
	free(RUN("/usr/bin/rpmdb", "--verifydb"));
}
