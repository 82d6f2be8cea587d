// SPDX-License-Identifier: GPL-2.0-or-later
#include <dlfcn.h>
#include <errno.h>

#include "base/cleanup.h"

#include "libalpm.h"

struct kp_libalpm kp_libalpm;

static int bind_all(void *handle, const char *soname, struct kp_err *err)
{
	const struct {
		const char *name;
		void *to; /* a function pointer of the table */
	} symbols[] = {
		{ "alpm_initialize", &kp_libalpm.initialize },
		{ "alpm_release", &kp_libalpm.release },
		{ "alpm_errno", &kp_libalpm.get_errno },
		{ "alpm_strerror", &kp_libalpm.strerror },
		{ "alpm_option_get_lockfile", &kp_libalpm.get_lockfile },
		{ "alpm_option_set_logcb", &kp_libalpm.set_logcb },
		{ "alpm_option_set_logfile", &kp_libalpm.set_logfile },
		{ "alpm_option_set_hookdirs", &kp_libalpm.set_hookdirs },
		{ "alpm_option_add_cachedir", &kp_libalpm.add_cachedir },
		{ "alpm_option_add_overwrite_file", &kp_libalpm.add_overwrite_file },
		{ "alpm_get_localdb", &kp_libalpm.get_localdb },
		{ "alpm_db_get_pkg", &kp_libalpm.db_get_pkg },
		{ "alpm_pkg_load", &kp_libalpm.pkg_load },
		{ "alpm_pkg_free", &kp_libalpm.pkg_free },
		{ "alpm_add_pkg", &kp_libalpm.add_pkg },
		{ "alpm_remove_pkg", &kp_libalpm.remove_pkg },
		{ "alpm_trans_init", &kp_libalpm.trans_init },
		{ "alpm_trans_prepare", &kp_libalpm.trans_prepare },
		{ "alpm_trans_commit", &kp_libalpm.trans_commit },
		{ "alpm_trans_release", &kp_libalpm.trans_release },
		{ "alpm_list_free", &kp_libalpm.list_free },
		{ "alpm_depmissing_free", &kp_libalpm.depmissing_free },
		{ "alpm_fileconflict_free", &kp_libalpm.fileconflict_free },
	};

	for (size_t i = 0; i < KP_ARRAY_SIZE(symbols); i++) {
		/* How POSIX wants a function pointer taken from dlsym(). */
		*(void **)symbols[i].to = dlsym(handle, symbols[i].name);
		if (!*(void **)symbols[i].to)
			return kp_err_set(err, -EOPNOTSUPP, "%s has no %s", soname,
					  symbols[i].name);
	}
	return 0;
}

int kp_libalpm_load(struct kp_err *err)
{
	static const char *const sonames[] = { "libalpm.so.16", "libalpm.so.15",
					       "libalpm.so.14", "libalpm.so.13" };
	static void *handle;

	/* Never unloaded: the libraries that it brings along do not all like that. */
	for (size_t i = 0; i < KP_ARRAY_SIZE(sonames) && !handle; i++) {
		void *candidate = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL);

		if (candidate && bind_all(candidate, sonames[i], err) == 0)
			handle = candidate;
	}
	if (!handle)
		return kp_err_set(err, -EOPNOTSUPP,
				  "no libalpm that this version of kmodpkg knows can be "
				  "loaded (%s to %s)",
				  sonames[KP_ARRAY_SIZE(sonames) - 1], sonames[0]);
	return 0;
}
