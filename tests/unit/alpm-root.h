// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For the tests of the alpm backend: a root with a local database of pacman in it, and pacman itself
 * to judge what comes of it.
 */
#pragma once

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <kmodpkg/proc.h>

#include "pkgdb.h"

#define KERNEL "6.1.0-arch1-1"
#define MODULES "/usr/lib/modules/"
#define DIR MODULES KERNEL "/updates/dkms/"
#define LOCAL "/var/lib/pacman/local/"
#define LOCK "/var/lib/pacman/db.lck"

/* A package in the database: FILES as its list has them, one per line. */
static inline void put_package(struct root *r, const char *name, const char *version,
			       const char *desc, const char *files)
{
	_cleanup_free_ char *desc_path = kp_strf(LOCAL "%s-%s/desc", name, version);
	_cleanup_free_ char *files_path = kp_strf(LOCAL "%s-%s/files", name, version);
	_cleanup_free_ char *desc_text = kp_strf(
		"%%NAME%%\n%s\n\n%%VERSION%%\n%s\n\n%%BASE%%\n%s\n\n%%DESC%%\n%s\n\n"
		"%%ARCH%%\nx86_64\n\n%%BUILDDATE%%\n1699963200\n\n"
		"%%INSTALLDATE%%\n1699963200\n\n%%VALIDATION%%\nnone\n\n",
		name, version, name, desc);
	_cleanup_free_ char *files_text = kp_strf("%%FILES%%\n%s\n", files);

	put(r, desc_path, desc_text);
	put(r, files_path, files_text);
}

static inline void open_db(struct root *r, unsigned int flags)
{
	if (r->db)
		ops->close(r->db);
	assert_int_equal(ops->open(r->fd, flags, &r->db, NULL), 0);
}

/* A test's setup: a database with nothing in it, and a kernel that nobody owns. */
static inline int root_setup(void **state)
{
	static const char *const dirs[] = { "/proc", "/var/cache", "/etc/gnupg",
					    "/etc/hooks" };
	struct root *r = root_new();

	put(r, LOCAL "ALPM_DB_VERSION", "9\n");
	put(r, MODULES KERNEL "/pkgbase", "linux\n");
	put(r, MODULES KERNEL "/vmlinuz", "image");
	put(r, "/var/log/pacman.log", "");
	put(r, "/etc/test.conf", "[options]\nSigLevel = Never\n");
	put(r, "/dev/null", "");
	for (size_t i = 0; i < KP_ARRAY_SIZE(dirs); i++)
		assert_int_equal(kp_mkdir_in(r->fd, dirs[i], 0755, NULL), 0);
	open_db(r, 0);
	*state = r;
	return 0;
}

/* ---- packages */

/* *ret_path: below the root. */
static inline int write_into(struct root *r, const struct package *p, const char *dir,
			     char **ret_path, char **ret_name, struct kp_err *err)
{
	return package_write(r->db, r->fd, p, dir, ret_path, ret_name, err);
}

/* A package file with one module in it, DIR MODULE.ko; its path, to be freed. */
static inline char *simple_package(struct root *r, const char *module,
				   const char *version, const char *kernel,
				   const char *data)
{
	_cleanup_free_ char *ko =
		kp_strf(MODULES "%s/updates/dkms/%s.ko", kernel, module);
	_cleanup_free_ char *dir = kp_strf("/out/%s-%s-%s", module, version, kernel);
	_cleanup_package_ struct package p;
	struct kp_err err = KP_ERR_INIT;
	char *path = NULL;
	_cleanup_free_ char *name = NULL;

	package_init(&p, module, version, kernel);
	package_add(&p, ko, data);
	if (write_into(r, &p, dir, &path, &name, &err) < 0)
		fail_msg("%s", err.text);
	return path;
}

/* ---- pacman */

/* Run pacman on the root; its exit code, and what it says in *ret_out (may be NULL). */
static inline int pacman(struct root *r, char **ret_out, const char *const *args)
{
	_cleanup_strv_ char **argv = NULL;
	_cleanup_close_ int fd = memfd_create("pacman", MFD_CLOEXEC);
	struct kp_proc_end end = { 0 };
	struct kp_proc proc = { .out_fd = fd, .err_fd = fd };
	struct kp_err err = KP_ERR_INIT;
	int rc;

	kp_strv_add(&argv, "/usr/bin/pacman");
	for (const char *const *a = args; *a; a++)
		kp_strv_add(&argv, *a);
	kp_strv_add(&argv, "--noconfirm");
	kp_strv_addf(&argv, "--config=%s/etc/test.conf", r->dir.path);
	kp_strv_addf(&argv, "--root=%s", r->dir.path);
	kp_strv_addf(&argv, "--dbpath=%s/var/lib/pacman", r->dir.path);
	kp_strv_addf(&argv, "--cachedir=%s/var/cache", r->dir.path);
	kp_strv_addf(&argv, "--gpgdir=%s/etc/gnupg", r->dir.path);
	kp_strv_addf(&argv, "--hookdir=%s/etc/hooks", r->dir.path);
	kp_strv_addf(&argv, "--logfile=%s/var/log/pacman.log", r->dir.path);
	proc.argv = (const char *const *)argv;
	rc = kp_proc_run(&proc, &end, &err);
	if (rc < 0 && rc != -ECHILD)
		fail_msg("%s", err.text);
	if (ret_out) {
		lseek(fd, 0, SEEK_SET);
		assert_int_equal(kp_read_fd(fd, 0, ret_out, NULL), 0);
	}
	return end.exit_code;
}
#define PACMAN(r, ret_out, ...)                                                          \
	pacman(r, ret_out, (const char *const[]){ __VA_ARGS__, NULL })

/* What pacman -Q options say when all is well. */
static inline void assert_pacman(struct root *r, const char *const *args,
				 const char *expected)
{
	_cleanup_free_ char *out = NULL;
	int rc = pacman(r, &out, args);

	if (rc != 0 || !strstr(out, expected))
		fail_msg("pacman %s ended with %d and said \"%s\", not \"%s\"", args[0],
			 rc, out, expected);
}
#define ASSERT_PACMAN(r, expected, ...)                                                  \
	assert_pacman(r, (const char *const[]){ __VA_ARGS__, NULL }, expected)

/* ---- commit: in a child whose root it is */

#define MAX_CHANGES 8

struct outcome {
	int rc, state_rc;
	enum kp_lock_state state, state_after;
	char text[KP_ERR_MAX];
	enum kp_change_result result[MAX_CHANGES];
	char why[MAX_CHANGES][KP_ERR_MAX];
	bool left_alone; /* umask, directory and signals are as before */
};

static inline void commit_here(unsigned int flags, struct kp_change *changes, size_t n,
			       struct outcome *o)
{
	_cleanup_close_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *cwd = NULL;
	struct kp_err err = KP_ERR_INIT;
	struct kp_pkgdb *db;
	sigset_t set;

	umask(027);
	(void)!chdir("/var/log");
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_SETMASK, &set, NULL);
	o->rc = ops->open(fd, flags, &db, &err);
	if (o->rc == 0)
		o->state_rc = ops->state(db, &o->state, NULL, NULL);
	if (o->rc == 0)
		o->rc = ops->commit(db, changes, n, &err);
	ops->state(db, &o->state_after, NULL, NULL);
	memcpy(o->text, err.text, sizeof(o->text));
	for (size_t i = 0; i < n; i++) {
		o->result[i] = changes[i].result;
		memcpy(o->why[i], changes[i].err.text, sizeof(o->why[i]));
	}
	ops->close(db);
	cwd = getcwd(NULL, 0);
	sigprocmask(SIG_SETMASK, NULL, &set);
	o->left_alone = umask(022) == 027 && kp_str_eq(cwd, "/var/log") &&
			sigismember(&set, SIGUSR2) && !sigismember(&set, SIGINT);
}

/* What there is of libalpm, for a root that does not have it. */
static inline void load_libalpm(void)
{
	if (!dlopen("libalpm.so.16", RTLD_NOW) && !dlopen("libalpm.so.15", RTLD_NOW))
		(void)!dlopen("libalpm.so.13", RTLD_NOW);
}

enum {
	IN_PROC = 1 << 0,    /* the root has a /proc, as is usual */
	IN_LIBALPM = 1 << 1, /* and libalpm */
};

/* SETUP (may be NULL) is called in the child before it enters the root, but with its mounts. */
static inline struct outcome commit_in(struct root *r, unsigned int flags,
				       unsigned int with, void (*setup)(struct root *r),
				       struct kp_change *changes, size_t n)
{
	_cleanup_free_ char *at = kp_strf("%s/proc", r->dir.path);
	struct outcome *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct outcome o;
	int status;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	assert_true(n <= MAX_CHANGES);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (with & IN_LIBALPM)
			load_libalpm();
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    ((with & IN_PROC) &&
		     mount("/proc", at, NULL, MS_BIND | MS_REC, NULL) < 0))
			_exit(99);
		if (setup)
			setup(r);
		if (chroot(r->dir.path) < 0 || chdir("/") < 0)
			_exit(98);
		commit_here(flags, changes, n, shared);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	o = *shared;
	munmap(shared, sizeof(*shared));
	assert_true(o.left_alone);
	return o;
}

static inline struct outcome commit(struct root *r, struct kp_change *changes, size_t n)
{
	return commit_in(r, 0, IN_PROC | IN_LIBALPM, NULL, changes, n);
}

static inline void assert_done(const struct outcome *o, size_t n)
{
	if (o->rc < 0)
		fail_msg("%s", o->text);
	for (size_t i = 0; i < n; i++)
		if (o->result[i] != KP_CHANGE_DONE)
			fail_msg("change %zu: %d %s", i, o->result[i], o->why[i]);
}

/* Take the lock as pacman does. */
static inline int take_lock(struct root *r)
{
	int fd = kp_open_in(r->fd, LOCK, O_WRONLY | O_CREAT | O_EXCL, 0);

	assert_true(fd >= 0);
	return fd;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, root_setup, root_teardown)
