// SPDX-License-Identifier: GPL-2.0-or-later
/* What makes dpkg and kernel packages call us: is it in place? Files: hooks/dpkg, packaging/deb. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <kmodpkg/proc.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "dpkg.h"

#define CFG "/etc/dpkg/dpkg.cfg.d/kmodpkg"
#define CFG_TARGET "/usr/share/kmodpkg/dpkg.cfg"
#define KERNEL_HOOK "/etc/kernel/postinst.d/aa-kmodpkg"
/* "PATH PACKAGE[:ARCH][/await|/noawait]" per line, of what has file triggers: deb-triggers(5),
 * dpkg's doc/spec/triggers.txt */
#define TRIGGERS "/var/lib/dpkg/triggers/File"
/* dpkg puts no conffile back that a person removed, unless asked to. */
#define REINSTALL "apt install --reinstall -o Dpkg::Options::=--force-confmiss kmodpkg"

static bool is_ours(const char *word)
{
	size_t n = strlen("kmodpkg");

	return !strncmp(word, "kmodpkg", n) &&
	       (!word[n] || word[n] == '/' || word[n] == ':');
}

static bool has_trigger(char *const *lines, const char *path)
{
	kp_strv_foreach(line, lines) {
		_cleanup_strv_ char **words = kp_strv_split(*line, " \t");

		if (kp_strv_len(words) == 2 && !strcmp(words[0], path) &&
		    is_ours(words[1]))
			return true;
	}
	return false;
}

static void check_triggers(struct kp_pkgdb *db,
			   void (*emit)(void *data, const char *what, const char *mend),
			   void *data)
{
	static const char *const paths[] = { "/lib/modules", "/usr/lib/modules",
					     "/usr/src" };
	_cleanup_free_ char *text = NULL;
	_cleanup_strv_ char **lines = NULL;

	if (kp_read_in(db->root_fd, TRIGGERS, 0, &text, NULL) == 0)
		lines = kp_strv_split(text, "\n");
	for (size_t i = 0; i < KP_ARRAY_SIZE(paths); i++) {
		if (has_trigger(lines, paths[i]))
			continue;
		emit(data,
		     "dpkg has no trigger for kmodpkg: kernels, headers and sources that "
		     "are installed go unnoticed",
		     "apt install --reinstall kmodpkg");
		return;
	}
}

int kp_dpkg_check_hooks(struct kp_pkgdb *db,
			void (*emit)(void *data, const char *what, const char *mend),
			void *data, struct kp_err *err)
{
	struct stat st;

	(void)err;
	check_triggers(db, emit, data);
	if (!kp_exists_in(db->root_fd, CFG))
		emit(data,
		     CFG " is missing: packages are not registered at the end of a "
			 "transaction, but by the next sync",
		     kp_exists_in(db->root_fd, CFG_TARGET)
			     ? "ln -sf " CFG_TARGET " " CFG
			     : "apt install --reinstall kmodpkg");
	if (kp_stat_in(db->root_fd, KERNEL_HOOK, &st) < 0 || !(st.st_mode & S_IXUSR))
		emit(data,
		     KERNEL_HOOK
		     " is missing, or not executable: the first initramfs of a "
		     "new kernel is made without its modules",
		     REINSTALL);
	return 0;
}

/* dpkg takes over what is noted here when the maintainer script that we run below has ended, and
 * goes through triggers when it has nothing else to do, apt when all its dpkgs have run. */
int kp_dpkg_sync_at_end(struct kp_pkgdb *db, struct kp_err *err)
{
	const char *const argv[] = { "/usr/bin/dpkg-trigger", "--no-await", "/usr/src",
				     NULL };
	struct kp_proc proc = { .argv = argv };
	int rc = kp_proc_run(&proc, NULL, err);

	(void)db;
	return rc < 0 ? rc : 0;
}
