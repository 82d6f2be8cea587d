// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The transaction plugin: runs `kmodpkg sync` in those transactions of rpm, dnf and zypper that
 * bring or take kernels, their headers or module sources.
 *
 * It is code in somebody else's process, and rpm refuses all work when a plugin that is
 * configured cannot be loaded. So it links libc alone: what it needs of librpm it finds in
 * the copy that loaded it, whatever its soname is (librpm may be local to a Python module,
 * and may be upgraded before we are), and what it does not find means that the plugin
 * steps aside. Nothing in here makes a transaction fail.
 *
 * psm_post comes after each element. When all that is to be installed is in the database, and
 * before the first %posttrans, where kernels have their initramfs made, the modules are
 * built and installed. tsm_post comes last, when what is to be removed is gone: the
 * rest is done there. rpm holds its lock in both; the child commits below it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rpm/rpmfiles.h>
#include <rpm/rpmte.h>
#include <rpm/rpmts.h>
#include <rpm/rpmtypes.h>

/*
 * rpm's plugin interface: include/rpm/rpmplugin.h of rpm, the same in 4.18, 4.20 and 6.1, not
 * installed by 4.18. rpm finds NAME_hooks in NAME.so and reads all hooks that it knows,
 * without asking for a size; later versions append some, so there is room behind these.
 */
struct rpmPluginHooks_s {
	rpmRC (*init)(rpmPlugin plugin, rpmts ts);
	void (*cleanup)(rpmPlugin plugin);
	rpmRC (*tsm_pre)(rpmPlugin plugin, rpmts ts);
	rpmRC (*tsm_post)(rpmPlugin plugin, rpmts ts, int res);
	rpmRC (*psm_pre)(rpmPlugin plugin, rpmte te);
	rpmRC (*psm_post)(rpmPlugin plugin, rpmte te, int res);
	void (*unused[6 + 18])(void); /* scriptlet_*, fsm_file_*, and what is to come */
};
extern struct rpmPluginHooks_s kmodpkg_hooks;

void rpmPluginSetData(rpmPlugin plugin, void *data);
void *rpmPluginGetData(rpmPlugin plugin);

#define FUNCTIONS(X)                                                                     \
	X(rpmPluginSetData)                                                              \
	X(rpmPluginGetData)                                                              \
	X(rpmtsFlags)                                                                    \
	X(rpmtsRootDir)                                                                  \
	X(rpmtsNElements)                                                                \
	X(rpmtsElement)                                                                  \
	X(rpmteType)                                                                     \
	X(rpmteN)                                                                        \
	X(rpmteFiles)                                                                    \
	X(rpmteDBInstance)                                                               \
	X(rpmteFailed)                                                                   \
	X(rpmfilesDC)                                                                    \
	X(rpmfilesDN)                                                                    \
	X(rpmfilesFree)

/* librpm's functions, all of them or none. */
static struct {
#define MEMBER(f) __typeof__(&f) f;
	FUNCTIONS(MEMBER)
	bool found;
} rpm;

/* The transaction set that a plugin was loaded for. It may be run more than once: dnf
 * tests first. */
struct transaction {
	rpmts ts;
	bool active; /* between tsm_pre and tsm_post of a run that changes this system */
	bool installs;	/* something that concerns us */
	bool removes;	/* something that concerns us */
	char *erases;	/* packages of ours, as a variable for kmodpkg; NULL: none */
	bool installed; /* the modules for what it installs were seen to */
	int next;	/* elements before this one are done with */
};

static int is_librpm(struct dl_phdr_info *info, size_t size, void *ret)
{
	const char *slash = strrchr(info->dlpi_name, '/');
	const char *name = slash ? slash + 1 : info->dlpi_name;

	(void)size;
	if (strncmp(name, "librpm.so", strlen("librpm.so")) != 0)
		return 0;
	*(const char **)ret = info->dlpi_name;
	return 1;
}

static bool find_functions(void)
{
	const char *path = NULL;
	void *lib;

	dl_iterate_phdr(is_librpm, &path);
	lib = path ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD) : NULL;
	if (!lib)
		return false;
	rpm.found = true;
#define FIND(f)                                                                          \
	rpm.f = (__typeof__(rpm.f))dlsym(lib, #f);                                       \
	rpm.found = rpm.found && rpm.f;
	FUNCTIONS(FIND)
	/* It stays: it is what calls us. */
	dlclose(lib);
	return rpm.found;
}

static rpmRC init(rpmPlugin plugin, rpmts ts)
{
	struct transaction *t;

	/* A transaction of kmodpkg's own. */
	if (getenv("KMODPKG_SYNC") || !find_functions())
		return RPMRC_NOTFOUND;
	t = calloc(1, sizeof(*t));
	if (!t)
		return RPMRC_NOTFOUND;
	t->ts = ts;
	rpm.rpmPluginSetData(plugin, t);
	return RPMRC_OK;
}

/* Called also when init() refused. */
static void cleanup(rpmPlugin plugin)
{
	struct transaction *t = rpm.found ? rpm.rpmPluginGetData(plugin) : NULL;

	if (t)
		free(t->erases);
	free(t);
}

static bool starts_with(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* DIR ends with a slash. rpm does not resolve /lib, nor do packages agree on it. */
static bool is_ours(const char *dir)
{
	return starts_with(dir, "/lib/modules/") ||
	       starts_with(dir, "/usr/lib/modules/") ||
	       (starts_with(dir, "/usr/src/") && !starts_with(dir, "/usr/src/debug/"));
}

static bool concerns_us(rpmte te)
{
	rpmfiles files = rpm.rpmteFiles(te);
	bool found = false;
	int n = files ? (int)rpm.rpmfilesDC(files) : 0;

	for (int i = 0; i < n && !found; i++) {
		const char *dir = rpm.rpmfilesDN(files, i);

		found = dir && is_ours(dir);
	}
	rpm.rpmfilesFree(files);
	return found;
}

/* rpm erases last, and fails where it does not find the very package that it began with. So
 * what it is going to erase of ours must not be upgraded before: the backend leaves those alone
 * that the variable names. */
static void note_erased(struct transaction *t, rpmte te)
{
	const char *name = rpm.rpmteN(te);
	char *longer;

	/* others' as well, which hurts nobody */
	if (!name || !starts_with(name, "kmod-") || !concerns_us(te))
		return;
	if (asprintf(&longer, "%s %s",
		     t->erases ? t->erases : "KMODPKG_RPM_ERASES=", name) < 0)
		return;
	free(t->erases);
	t->erases = longer;
}

static rpmRC tsm_pre(rpmPlugin plugin, rpmts ts)
{
	/* No files change on this system: those who make an image with --justdb, or work on
	 * another root, call kmodpkg themselves. */
	const rpmtransFlags skip =
		RPMTRANS_FLAG_TEST | RPMTRANS_FLAG_BUILD_PROBS | RPMTRANS_FLAG_JUSTDB;
	struct transaction *t = rpm.rpmPluginGetData(plugin);
	const char *root = rpm.rpmtsRootDir(ts);
	int n = rpm.rpmtsNElements(ts);

	free(t->erases);
	*t = (struct transaction){ .ts = ts };
	if ((rpm.rpmtsFlags(ts) & skip) || !root || strcmp(root, "/") != 0)
		return RPMRC_OK;
	t->active = true;
	for (int i = 0; i < n; i++) {
		rpmte te = rpm.rpmtsElement(ts, i);
		rpmElementType type = rpm.rpmteType(te);

		if (type == TR_ADDED && !t->installs)
			t->installs = concerns_us(te);
		else if (type == TR_REMOVED && !t->removes)
			t->removes = concerns_us(te);
		if (type == TR_REMOVED)
			note_erased(t, te);
	}
	return RPMRC_OK;
}

/* The mask and dispositions are the transaction's, which must not be interrupted; the
 * child can be. */
static int spawn(char *const argv[], char *const env[], pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, reset;
	int rc;

	sigemptyset(&none);
	sigemptyset(&reset);
	sigaddset(&reset, SIGPIPE);
	rc = posix_spawn_file_actions_init(&files);
	if (rc)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc) {
		posix_spawn_file_actions_destroy(&files);
		return rc;
	}
	rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY,
					      0);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	if (!rc)
		rc = posix_spawnattr_setsigmask(&attr, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(&attr, &reset);
	if (!rc)
		rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
							     POSIX_SPAWN_SETSIGDEF);
	if (!rc)
		rc = posix_spawn(ret, argv[0], &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* Our environment and VARIABLE (may be NULL), to be freed; NULL: out of memory. */
static char **environment_with(char *variable)
{
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (env) {
		memcpy(env, environ, n * sizeof(*env));
		env[n] = variable;
	}
	return env;
}

/* Run kmodpkg and wait. It reports its own failures; only what it cannot is said here. */
static void run(char *const argv[], char *variable)
{
	char **env = environment_with(variable);
	pid_t pid;
	int rc = env ? spawn(argv, env, &pid) : ENOMEM, status = 0;

	free(env);
	/* Removed, by this transaction perhaps, while the plugin stays loaded. */
	if (rc == ENOENT)
		return;
	if (rc) {
		dprintf(STDERR_FILENO,
			"kmodpkg: cannot run '%s': %s; kernel modules were not seen to\n",
			argv[0], strerror(rc));
		return;
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return;
	}
	if (WIFSIGNALED(status))
		dprintf(STDERR_FILENO,
			"kmodpkg: ended by signal %d; \"kmodpkg sync\" does what is left\n",
			WTERMSIG(status));
}

#define KMODPKG KP_SBIN_DIR "/kmodpkg"
#define NESTED "--nested", "--if-backend", "rpm", NULL

/* Is every package to be installed in the database, or not going to be? rpm goes through them in
 * this order, so each is looked at once. It marks one as failed after our hook for it: FAILED is
 * the one that has failed just now, or NULL. */
static bool all_installed(struct transaction *t, rpmte failed)
{
	int n = rpm.rpmtsNElements(t->ts);

	for (; t->next < n; t->next++) {
		rpmte te = rpm.rpmtsElement(t->ts, t->next);

		if (rpm.rpmteType(te) == TR_ADDED && te != failed &&
		    !rpm.rpmteFailed(te) && !rpm.rpmteDBInstance(te))
			return false;
	}
	return true;
}

/* Comes for scriptlets of the whole transaction too, before and after the installation. */
static rpmRC psm_post(rpmPlugin plugin, rpmte te, int res)
{
	static const char *const argv[] = { KMODPKG, "sync", "--no-erase", NESTED };
	struct transaction *t = rpm.rpmPluginGetData(plugin);

	if (!t->active || !t->installs || t->installed ||
	    !all_installed(t, res == RPMRC_OK ? NULL : te))
		return RPMRC_OK;
	t->installed = true;
	run((char *const *)argv, t->erases);
	return RPMRC_OK;
}

static rpmRC tsm_post(rpmPlugin plugin, rpmts ts, int res)
{
	static const char *const sync[] = { KMODPKG, "sync", NESTED };
	static const char *const drain[] = { KMODPKG, "drain", NESTED };
	struct transaction *t = rpm.rpmPluginGetData(plugin);

	(void)ts;
	(void)res;
	if (!t->active)
		return RPMRC_OK;
	t->active = false;
	/* Also after psm_post: scriptlets came since, and what was not to be erased before is
	 * now. A sync that finds nothing to do costs some tens of milliseconds, in a transaction that
	 * took seconds. Otherwise drain looks at what scriptlets left, removals that they asked for
	 * (in intent.json) among it, before it loads anything. */
	if (t->installs || t->removes)
		run((char *const *)sync, NULL);
	else if (access("/var/lib/kmodpkg/queue", F_OK) == 0 ||
		 access("/var/lib/kmodpkg/unsettled", F_OK) == 0 ||
		 access("/var/lib/kmodpkg/intent.json", F_OK) == 0)
		run((char *const *)drain, NULL);
	return RPMRC_OK;
}

__attribute__((visibility("default"))) struct rpmPluginHooks_s kmodpkg_hooks = {
	.init = init,
	.cleanup = cleanup,
	.tsm_pre = tsm_pre,
	.tsm_post = tsm_post,
	.psm_post = psm_post,
};
