// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does rpm load our transaction plugin? It does when the file lies in its directory of plugins,
 * and %__transaction_NAME is defined and expands to the path to load (and options behind it):
 * rpmtsSetupTransactionPlugins() and rpmpluginsAddPlugin() of rpm's lib/. Files: hooks/rpm.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"

#include "rpm.h"

#define MACRO "__transaction_kmodpkg"
/* What the file triggers of our package do, comes after that. */
#define OTHERWISE                                                                           \
	"rpm does not load kmodpkg's plugin: modules for a new kernel are built after its " \
	"initramfs is made"
#define CONF_DIR "/etc/rpm"

enum kp_rpm_frontend kp_rpm_frontend(struct kp_pkgdb *db)
{
	_cleanup_free_ char *suse = kp_rpm_expand(db, "%{?suse_version}");
	bool dnf = kp_exists_in(db->root_fd, "/usr/bin/dnf"),
	     zypper = kp_exists_in(db->root_fd, "/usr/bin/zypper");

	/* Both may be there; each system has one that its people use. */
	if (zypper && (*suse || !dnf))
		return KP_RPM_ZYPPER;
	return dnf ? KP_RPM_DNF : KP_RPM_NONE;
}

const char *kp_rpm_install(struct kp_pkgdb *db)
{
	static const char *const commands[] = {
		[KP_RPM_DNF] = "dnf install",
		[KP_RPM_ZYPPER] = "zypper install",
		[KP_RPM_NONE] = NULL,
	};

	return commands[kp_rpm_frontend(db)];
}

static const char *reinstall(struct kp_pkgdb *db)
{
	static const char *const commands[] = {
		[KP_RPM_DNF] = "dnf reinstall kmodpkg",
		[KP_RPM_ZYPPER] = "zypper install --force kmodpkg",
		[KP_RPM_NONE] = NULL,
	};

	return commands[kp_rpm_frontend(db)];
}

/* The administrator's file that defines the macro, to be freed; NULL: not found. */
static char *find_definition(struct kp_pkgdb *db)
{
	_cleanup_strv_ char **names = NULL;

	(void)kp_list_in(db->root_fd, CONF_DIR, &names);
	kp_strv_foreach(name, names) {
		_cleanup_free_ char *path = kp_path_join(CONF_DIR, *name), *text = NULL;

		if (kp_str_starts(*name, "macros") &&
		    kp_read_in(db->root_fd, path, 0, &text, NULL) == 0 &&
		    (kp_str_starts(text, "%" MACRO) || strstr(text, "\n%" MACRO)))
			return kp_steal(&path);
	}
	return NULL;
}

int kp_rpm_check_hooks(struct kp_pkgdb *db,
		       void (*emit)(void *data, const char *what, const char *mend),
		       void *data, struct kp_err *err)
{
	_cleanup_free_ char *defined = NULL, *loaded = NULL, *listed = NULL, *what = NULL;
	const char *missing = NULL;

	(void)err;
	/* librpm's configuration is this system's, not another root's. */
	if (!kp_rpm_is_slash(db->root_fd))
		return 0;
	defined = kp_rpm_expand(db, "%{?" MACRO ":1}");
	loaded = kp_rpm_expand(db, "%{?" MACRO "}");
	listed = kp_rpm_expand(db, "%{__plugindir}/kmodpkg.so");
	loaded[strcspn(loaded, " \t")] = '\0';
	if (!*defined) {
		emit(data, "the macro %" MACRO " is not defined, so " OTHERWISE,
		     reinstall(db));
		return 0;
	}
	if (!*loaded) {
		_cleanup_free_ char *file = find_definition(db);
		_cleanup_free_ char *mend =
			file ? kp_strf("sed -i '/^%%" MACRO "/d' %s", file) : NULL;

		emit(data, "the macro %" MACRO " is empty, so " OTHERWISE, mend);
		return 0;
	}
	if (!kp_exists_in(db->root_fd, listed))
		missing = listed;
	else if (!kp_exists_in(db->root_fd, loaded))
		missing = loaded;
	if (missing) {
		what = kp_strf("%s is missing, so " OTHERWISE, missing);
		emit(data, what, reinstall(db));
	}
	return 0;
}
